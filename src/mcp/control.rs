//! The tools that control sessions: interrupt, restart, list, end.

use std::time::{Duration, UNIX_EPOCH};

use rmcp::model::{CallToolResult, ContentBlock, JsonObject};
use rmcp::schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use super::run::observe;
use super::{Call, read};
use crate::protocol::Reply;
use crate::protocol::client::ClientMessage;
use crate::protocol::event::EndReason;
use crate::protocol::wire_name;
use crate::session::{Delivery, ReadFrom, SessionHandle};

/// How long `end_session` waits for the sandbox to be gone.
const END: Duration = Duration::from_secs(10);

/// A session, and perhaps one of its cells.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Interrupt {
    /// The session.
    session_id: String,
    /// The cell to stop; without it the one that runs.
    cell: Option<String>,
}

/// A session.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct OneSession {
    /// The session.
    session_id: String,
}

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct Nothing {}

/// The sessions that live.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SessionList {
    /// Oldest first.
    sessions: Vec<SessionEntry>,
}

/// One session.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct SessionEntry {
    /// Its id.
    session_id: String,
    /// What it was made from.
    template: String,
    /// The language of its cells, and its version.
    language: String,
    /// `idle`, `busy` or `restarting`.
    state: String,
    /// Cells that have ended.
    cells: u64,
    /// When it began, in Unix milliseconds.
    created: u64,
}

impl SessionEntry {
    /// What is told of a session; `None`: it is over.
    fn of(session: &SessionHandle) -> Option<SessionEntry> {
        let (about, summary) = (session.about(), session.summary()?);
        let created = about.created.duration_since(UNIX_EPOCH).unwrap_or_default();
        Some(SessionEntry {
            session_id: session.id().to_string(),
            template: about.template.clone(),
            language: format!("{} {}", about.language.name, about.language.version),
            state: wire_name(&summary.state),
            cells: summary.cells,
            created: u64::try_from(created.as_millis()).unwrap_or(u64::MAX),
        })
    }
}

impl Call<'_> {
    /// Stops a cell.
    pub(super) async fn interrupt(&self, arguments: JsonObject) -> Result<CallToolResult, Failure> {
        let Interrupt { session_id, cell } = read(arguments)?;
        self.tell(&session_id, ClientMessage::Interrupt { id: cell, interpreter: None }).await?;
        Ok(said(
            "The code is told to stop; wait_for_cell answers how it ended. Variables stay, unless it \
             ignores this and has to be killed.",
        ))
    }

    /// Gives the session a fresh interpreter.
    pub(super) async fn restart(&self, arguments: JsonObject) -> Result<CallToolResult, Failure> {
        let OneSession { session_id } = read(arguments)?;
        self.tell(&session_id, ClientMessage::Restart { interpreter: None }).await?;
        Ok(said("A fresh interpreter is started: variables are gone, files stay."))
    }

    /// The sessions that the caller's token lists.
    pub(super) fn list_sessions(&self) -> Result<CallToolResult, Failure> {
        let sessions = self.door.admission.sessions(&self.caller.token)?;
        let mut sessions: Vec<SessionEntry> =
            sessions.iter().filter_map(SessionEntry::of).collect();
        sessions.sort_by(|one, other| {
            (one.created, &one.session_id).cmp(&(other.created, &other.session_id))
        });
        let lines = sessions.iter().map(|session| {
            let SessionEntry { session_id, language, state, cells, .. } = session;
            format!("{session_id}: {language}, {state}, {cells} cells")
        });
        let text = match sessions.is_empty() {
            true => "There are none. run_code without session_id makes one.".to_owned(),
            false => lines.collect::<Vec<_>>().join("\n"),
        };
        Ok(structured(text, &SessionList { sessions }))
    }

    /// Ends a session.
    pub(super) async fn end_session(
        &self,
        arguments: JsonObject,
    ) -> Result<CallToolResult, Failure> {
        let OneSession { session_id } = read(arguments)?;
        let (session, _) = self.session(&session_id)?;
        session.begin_end(EndReason::Requested).await;
        Ok(said(match tokio::time::timeout(END, session.ended()).await {
            Ok(()) => "The session is over; its variables and files are gone.",
            Err(_) => "The session is over; its sandbox is still being removed.",
        }))
    }

    /// Says something to a session, and waits until it has been heard or refused.
    async fn tell(&self, session_id: &str, message: ClientMessage) -> Result<(), Failure> {
        let (session, credential) = self.session(session_id)?;
        let mut seat = observe(&session, credential, ReadFrom::Now).await?;
        for message in [message, ClientMessage::Ping { fields: serde_json::Map::default() }] {
            seat.send(Ok(message)).await?;
        }
        loop {
            if let Delivery::Reply(reply) = seat.next().await? {
                match &reply.reply {
                    Reply::ProtocolError { message, .. } => return Err(Failure::new(message)),
                    // Answers come in the order of what was said.
                    Reply::Pong(_) => return Ok(()),
                    _ => {}
                }
            }
        }
    }
}

/// A result of one sentence.
pub(super) fn said(sentence: impl Into<String>) -> CallToolResult {
    CallToolResult::success(vec![ContentBlock::text(sentence)])
}

/// A result for programs, with its text for models.
pub(super) fn structured(text: String, value: &impl Serialize) -> CallToolResult {
    let mut result = said(text);
    // Texts, numbers and lists of them are always JSON.
    result.structured_content = serde_json::to_value(value).ok();
    result
}

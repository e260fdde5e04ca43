//! `/v1/sessions`: which there are, making one, ending one.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::problem::{Document, Problem};
use crate::protocol::event::{EndReason, SessionState};
use crate::protocol::reply::Role;
use crate::session::SessionHandle;

mod create;

pub(super) use create::*;

/// How long the answer to DELETE waits for the sandbox to be gone.
const END: Duration = Duration::from_secs(10);

/// The sessions that live.
#[derive(Serialize, ToSchema)]
pub(super) struct Sessions {
    sessions: Vec<SessionInfo>,
}

/// One session.
#[derive(Serialize, ToSchema)]
pub(super) struct SessionInfo {
    /// Its id.
    id: String,
    /// What it was made from.
    template: String,
    /// `local` or `docker`.
    backend: &'static str,
    /// `idle`, `busy`, `restarting`.
    #[schema(value_type = String)]
    state: SessionState,
    /// How many are attached.
    participants: usize,
    /// Cells that have ended.
    cells: u64,
    /// When it began, in Unix milliseconds.
    created: u64,
    /// Memory of its sandbox in bytes, by the newest sample: one a second while a cell runs. Absent
    /// before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes: Option<u64>,
    /// Name of the publishable key that it was made with, if it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
}

impl SessionInfo {
    /// What is told of a session; `None`: it is over.
    fn of(session: &SessionHandle) -> Option<SessionInfo> {
        let (about, summary) = (session.about(), session.summary()?);
        Some(SessionInfo {
            id: session.id().to_string(),
            template: about.template.clone(),
            backend: about.backend,
            state: summary.state,
            participants: summary.participants,
            cells: summary.cells,
            created: milliseconds(about.created),
            memory_bytes: summary.memory_bytes,
            key: session.key().map(|key| key.name.clone()),
        })
    }
}

/// One session.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}",
    operation_id = "readSession",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "What it does now", body = SessionInfo),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Json<SessionInfo>, Problem> {
    let session = caller.session(&app, &id, Role::Viewer)?;
    SessionInfo::of(&session).map(Json).ok_or_else(|| Problem::not_found("the session is over"))
}

/// The sessions of this gateway, oldest first. Where it has several tokens: those that were made with
/// the token of this request.
#[utoipa::path(
    get,
    path = "/v1/sessions",
    operation_id = "listSessions",
    tag = "sessions",
    responses(
        (status = 200, description = "The sessions that live", body = Sessions),
        (status = 401, description = "Not the gateway's token", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "A publishable key", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn list(
    State(app): State<Arc<AppState>>,
    caller: Caller,
) -> Result<Json<Sessions>, Problem> {
    let mut sessions: Vec<SessionInfo> =
        caller.sessions(&app)?.iter().filter_map(SessionInfo::of).collect();
    sessions.sort_by(|one, other| (one.created, &one.id).cmp(&(other.created, &other.id)));
    Ok(Json(Sessions { sessions }))
}

/// Ends a session now. Answers when nothing of its sandbox is left.
#[utoipa::path(
    delete,
    path = "/v1/sessions/{id}",
    operation_id = "endSession",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 204, description = "The session is over"),
        (status = 202, description = "The session is over; its sandbox is still being removed"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the role `owner`",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn end(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let session = caller.session(&app, &id, Role::Owner)?;
    session.begin_end(EndReason::Requested).await;
    Ok(match tokio::time::timeout(END, session.ended()).await {
        Ok(()) => StatusCode::NO_CONTENT,
        Err(_) => StatusCode::ACCEPTED,
    })
}

pub(super) fn milliseconds(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

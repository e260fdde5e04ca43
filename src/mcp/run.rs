//! The tools that run a cell, or wait for one that runs on.
//!
//! ```text
//!   run_code ─► observer ── execute ──► session       a call that is cancelled interrupts its cell
//!   result ◄─ Collected ◄─ events of the cell ─┘      a call whose time is over answers `running`
//! ```

use std::collections::BTreeMap;
use std::time::Duration;

use rmcp::model::{CallToolResult, JsonObject, ProgressNotificationParam, ProgressToken};
use rmcp::schemars::JsonSchema;
use serde::Deserialize;
use tokio::time::{Instant, sleep_until};

use super::collect::Collected;
use super::failure::Failure;
use super::{Call, read};
use crate::id::SessionId;
use crate::protocol::Reply;
use crate::protocol::client::{ClientMessage, Execute};
use crate::protocol::reply::Role;
use crate::registry::SessionOptions;
use crate::session::files::EntryKind;
use crate::session::{Attachment, Credential, Delivery, ObserveRequest, ReadFrom, SessionHandle};

/// Told to other participants as `by` of cells that agents run.
const NAME: &str = "agent";

/// How long a call waits for its cell, unless it says otherwise: less than the minute after which many
/// clients give up.
pub(super) const WAIT: Duration = Duration::from_secs(50);

/// How long it may ask to wait.
pub(super) const LONGEST_WAIT: Duration = Duration::from_secs(10 * 60);

/// From one notification of progress to the next while a cell prints.
const PROGRESS_PACE: Duration = Duration::from_millis(250);

/// The same while it does not: clients that give up after silence see that it runs.
const PROGRESS_SILENCE: Duration = Duration::from_secs(5);

/// Longest line that a notification of progress tells, in characters.
const PROGRESS_CHARACTERS: usize = 200;

/// Most entries of the working directory that are looked at for what a cell wrote.
const LOOKED_AT: usize = 1000;

/// Most files of which it is told that a cell wrote them.
const MOST_CHANGED: usize = 50;

/// How long the look at them may take. A sandbox that has no time for it is one that computes.
const LOOK: Duration = Duration::from_secs(1);

/// Code to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct RunCode {
    /// The code.
    code: String,
    /// A session of an earlier call, with its variables and files. Without it a new one is made.
    session_id: Option<String>,
    /// What a new session is made from.
    template: Option<String>,
    /// How long to wait for the code to end, in milliseconds. It runs on after that.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
}

/// A cell to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(crate = "rmcp::schemars")]
pub(super) struct WaitForCell {
    /// Its session.
    session_id: String,
    /// The cell, from the result of `run_code`.
    cell: String,
    /// How long to wait for it to end, in milliseconds.
    #[schemars(range(min = 1))]
    timeout_ms: Option<u64>,
}

impl Call<'_> {
    /// Runs code in a new session or in one that there is.
    pub(super) async fn run_code(&self, arguments: JsonObject) -> Result<CallToolResult, Failure> {
        let request: RunCode = read(arguments)?;
        let most = self.door.offer.code_bytes;
        if request.code.len() > most {
            return Err(Failure::new(format!(
                "the code has {} bytes, and a cell has at most {most}; write data into a file with \
                 write_file and read it in the code",
                request.code.len()
            )));
        }
        let wait = wait(request.timeout_ms)?;
        let (session, credential) = match (&request.session_id, &request.template) {
            (Some(_), Some(_)) => {
                return Err(Failure::new(
                    "a session keeps the template that it was made from; leave `template` out, or \
                     `session_id` for a new session",
                ));
            }
            (Some(id), None) => self.session(id)?,
            (None, template) => self.new_session(template.as_deref()).await?,
        };
        let charge = session.memory().try_charge(request.code.len())?;
        let cell = SessionId::random()
            .map_err(|error| Failure::new(format!("cannot make an id: {error}")))?
            .to_string();
        let before = top_files(&session).await;
        let seat = observe(&session, credential, ReadFrom::Now).await?;
        let execute = Execute { code: request.code, id: Some(cell.clone()), ..Execute::default() };
        seat.send_charged(Ok(ClientMessage::Execute(execute)), charge).await?;
        let mut collected = self.follow(seat, &session, cell, None, wait).await?;
        collected.scale(&self.door.scaler, session.memory()).await;
        let changed = match before {
            Some(before) => changed_files(&before, top_files(&session).await),
            None => Vec::new(),
        };
        Ok(collected.into_result(&session.id().to_string(), changed))
    }

    /// Waits for a cell that an earlier call left running; answers all that it has shown.
    pub(super) async fn wait_for_cell(
        &self,
        arguments: JsonObject,
    ) -> Result<CallToolResult, Failure> {
        let request: WaitForCell = read(arguments)?;
        let wait = wait(request.timeout_ms)?;
        let (session, credential) = self.session(&request.session_id)?;
        let join = from(credential, ReadFrom::Beginning, true);
        let (seat, newest) = session.observe(join).await?;
        let mut collected = self.follow(seat, &session, request.cell, Some(newest), wait).await?;
        collected.scale(&self.door.scaler, session.memory()).await;
        Ok(collected.into_result(&session.id().to_string(), Vec::new()))
    }

    /// A session that is there, for the caller as its owner.
    pub(super) fn session(&self, id: &str) -> Result<(SessionHandle, Credential), Failure> {
        let (session, _, credential) =
            self.door.admission.find(&self.caller.token, id, Role::Owner)?;
        Ok((session, credential))
    }

    async fn new_session(
        &self,
        template: Option<&str>,
    ) -> Result<(SessionHandle, Credential), Failure> {
        // It lives between calls, while nobody is attached.
        let options = SessionOptions { unattended: true, ..SessionOptions::default() };
        let Call { door, caller, context } = self;
        let making = door.admission.create(&caller.token, caller.address, template, options);
        let made = context.ct.run_until_cancelled(making).await;
        let session = made.ok_or_else(cancelled)??;
        let credential = Credential::Token(session.owner_token());
        Ok((session, credential))
    }

    /// Collects a cell's events until it ends, the time is over, or the call is cancelled, which interrupts
    /// the cell. `seen_by`: the newest event when the log was asked; a cell of which nothing stands up to
    /// there is unknown.
    async fn follow(
        &self,
        mut seat: Attachment,
        session: &SessionHandle,
        cell: String,
        seen_by: Option<u64>,
        wait: Duration,
    ) -> Result<Collected, Failure> {
        let mut collected = Collected::new(cell.clone(), session.memory().request());
        let mut progress = Progress::new(self.context.meta.get_progress_token());
        let deadline = Instant::now() + wait;
        let mut known = seen_by.is_none();
        while !collected.has_ended() {
            if seen_by == Some(0) {
                return Err(unknown(&cell));
            }
            let delivery = tokio::select! {
                biased;
                () = self.context.ct.cancelled() => {
                    let interrupt = ClientMessage::Interrupt { id: Some(cell), interpreter: None };
                    // A session that is over has stopped it.
                    seat.send(Ok(interrupt)).await.ok();
                    return Err(cancelled());
                }
                () = sleep_until(deadline) => break,
                () = sleep_until(progress.due(&collected)) => {
                    progress.tell(self, &collected).await;
                    continue;
                }
                delivery = seat.next() => delivery?,
            };
            let seen = match delivery {
                Delivery::Event(sequenced) => {
                    let event = sequenced.event().map_err(|error| {
                        Failure::new(crate::admission::failed("cannot read an event", &error))
                    })?;
                    known |= collected.is_of(&event);
                    collected.take(event);
                    sequenced.seq
                }
                Delivery::Reply(reply) => match &reply.reply {
                    Reply::ProtocolError { message, .. } => return Err(Failure::new(message)),
                    Reply::Gap { to, .. } => *to,
                    _ => 0,
                },
            };
            if !known && seen_by.is_some_and(|newest| seen >= newest) {
                return Err(unknown(&cell));
            }
        }
        Ok(collected)
    }
}

/// A place from which the log is read, and cells are sent.
pub(super) async fn observe(
    session: &SessionHandle,
    credential: Credential,
    from: ReadFrom,
) -> Result<Attachment, Failure> {
    Ok(session.observe(self::from(credential, from, true)).await?.0)
}

/// A request for such a place; `keeps_up`: output waits for it.
pub(super) fn from(credential: Credential, from: ReadFrom, keeps_up: bool) -> ObserveRequest {
    ObserveRequest { credential, name: NAME.into(), from, keeps_up }
}

/// Answers nobody: who cancels a call does not wait for its result.
fn cancelled() -> Failure {
    Failure::new("the call was cancelled, and its code interrupted")
}

fn unknown(cell: &str) -> Failure {
    Failure::new(format!(
        "the session's log holds nothing of a cell {cell:?}; it is too long ago, or never was"
    ))
}

/// How long a call waits.
fn wait(timeout_ms: Option<u64>) -> Result<Duration, Failure> {
    let wait = timeout_ms.map_or(WAIT, Duration::from_millis);
    if wait.is_zero() || wait > LONGEST_WAIT {
        return Err(Failure::new(format!(
            "`timeout_ms` is from 1 to {}; code that takes longer runs on, and wait_for_cell waits for it \
             again",
            LONGEST_WAIT.as_millis()
        )));
    }
    Ok(wait)
}

/// The files at the top of the working directory, with size and time; `None`: they cannot be told in time.
async fn top_files(session: &SessionHandle) -> Option<BTreeMap<String, (u64, u64)>> {
    let listing = tokio::time::timeout(LOOK, session.list_files("", LOOKED_AT)).await.ok()?.ok()?;
    let files = listing.entries.into_iter().filter(|entry| entry.kind == EntryKind::File);
    Some(files.map(|entry| (entry.name, (entry.size, entry.modified_ms))).collect())
}

/// Names of those that are new or were written.
fn changed_files(
    before: &BTreeMap<String, (u64, u64)>,
    after: Option<BTreeMap<String, (u64, u64)>>,
) -> Vec<String> {
    let after = after.into_iter().flatten();
    let changed = after.filter(|(name, file)| before.get(name) != Some(file));
    changed.map(|(name, _)| name).take(MOST_CHANGED).collect()
}

/// When a client that asked for it is told how far a cell has come.
struct Progress {
    token: Option<ProgressToken>,
    told_at: Instant,
    /// Bytes of output that were told.
    told_bytes: u64,
    /// The newest number told; each is larger than the one before.
    number: u64,
}

impl Progress {
    fn new(token: Option<ProgressToken>) -> Progress {
        Progress { token, told_at: Instant::now(), told_bytes: 0, number: 0 }
    }

    /// When the client is told next.
    fn due(&self, collected: &Collected) -> Instant {
        let pause = match (&self.token, collected.bytes() > self.told_bytes) {
            (None, _) => return Instant::now() + LONGEST_WAIT,
            (Some(_), true) => PROGRESS_PACE,
            (Some(_), false) => PROGRESS_SILENCE,
        };
        self.told_at + pause
    }

    async fn tell(&mut self, call: &Call<'_>, collected: &Collected) {
        let Some(token) = self.token.clone() else { return };
        self.told_at = Instant::now();
        self.told_bytes = collected.bytes();
        self.number = self.told_bytes.max(self.number + 1);
        let line = collected.last_line(PROGRESS_CHARACTERS);
        let mut notification = ProgressNotificationParam::new(token, self.number as f64);
        if !line.is_empty() {
            notification = notification.with_message(line);
        }
        let telling = call.context.peer.notify_progress(notification);
        // A client that is gone cancels the call.
        call.context.ct.run_until_cancelled(telling).await;
    }
}

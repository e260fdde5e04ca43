//! A session: one interpreter, its queue of cells, its event log and its participants.
//!
//! ```text
//!   SessionHandle ── Command ──► Actor ─ State (rules) ─► effects ─┬─ EventLog
//!        │                         │                              ├─ Fanout ─ Outbox ─► socket
//!   Attachment ◄── Outbox ─────────┘                              └─ Link ─► driver
//! ```
//! The actor owns everything; a [`SessionHandle`] only sends. The session's task ends when the
//! session does, and with it the sandbox.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use crate::id::{SessionId, Token};
use crate::pool::Prepared;
use crate::protocol::client::{ClientMessage, Refusal};
use crate::protocol::event::EndReason;
use crate::protocol::reply::Role;

mod actor;
mod fanout;
pub mod log;
pub mod names;
pub mod outbox;
pub mod state;
pub mod text;

use actor::Actor;
use outbox::Outbox;
use state::ParticipantId;

/// Commands that may wait for the actor. A socket that says more has to wait, which is what
/// keeps a talkative client from filling memory.
const COMMANDS: usize = 32;

/// What the settings say about sessions.
#[derive(Clone, Debug)]
pub struct SessionConfig {
    /// Cells that may wait behind the running one.
    pub queue: usize,
    /// Unsent (or unacknowledged) bytes a participant may have before reading stops.
    pub window_bytes: usize,
    /// Bytes of events kept for replay.
    pub log_bytes: usize,
    /// Longest client message in bytes; told to clients, enforced by the socket.
    pub message_bytes: usize,
    /// Participants that may be attached at one time.
    pub participants: usize,
    /// How long the session lives on without participants and without a running cell.
    pub detach_timeout: Duration,
    /// How long it may do nothing: no cell, no message. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long it may live at all. `None`: for ever.
    pub lifetime: Option<Duration>,
}

/// What an actor is told.
enum Command {
    /// Somebody wants to join.
    Attach {
        name: Arc<str>,
        role: Role,
        /// Replay what came after this seq; `None`: everything held.
        after: Option<u64>,
        joined: oneshot::Sender<Result<(ParticipantId, Arc<Outbox>), AttachError>>,
    },
    /// A participant said something.
    Message { from: ParticipantId, message: Result<ClientMessage, Refusal> },
    /// The session ends when its cells have.
    Drain,
    /// The session ends now.
    End { reason: EndReason },
}

/// Names a running session and talks to it.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    id: SessionId,
    token: Arc<Token>,
    commands: mpsc::Sender<Command>,
}

/// A participant's seat. Dropping it leaves the session.
#[derive(Debug)]
pub struct Attachment {
    participant: ParticipantId,
    commands: mpsc::Sender<Command>,
    outbox: Arc<Outbox>,
}

/// The session is over.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the session is over")]
pub struct SessionOver;

/// Why somebody cannot join.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum AttachError {
    /// The session ended meanwhile.
    #[error("the session is over")]
    Over,
    /// Every seat is taken.
    #[error("all {0} seats of the session are taken; try again later")]
    Full(usize),
}

/// Makes a session of a prepared sandbox: a handle to it, and the task that is it. The caller
/// runs the task to its end; nothing happens otherwise.
pub fn start(
    prepared: Prepared,
    config: SessionConfig,
    token: Token,
) -> (SessionHandle, impl Future<Output = ()> + Send + 'static) {
    let (commands, incoming) = mpsc::channel(COMMANDS);
    let token = Arc::new(token);
    let handle = SessionHandle { id: prepared.id.clone(), token: Arc::clone(&token), commands };
    (handle, Actor::new(prepared, config, token, incoming).run())
}

impl SessionHandle {
    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// Whether `offered` opens this session.
    pub fn admits(&self, offered: &str) -> bool {
        self.token.matches(offered)
    }

    /// Joins; the outbox begins with `ready` and what is to be replayed.
    pub async fn attach(
        &self,
        name: Arc<str>,
        role: Role,
        after: Option<u64>,
    ) -> Result<Attachment, AttachError> {
        let (joined, answer) = oneshot::channel();
        let command = Command::Attach { name, role, after, joined };
        self.commands.send(command).await.map_err(|_| AttachError::Over)?;
        let (participant, outbox) = answer.await.map_err(|_| AttachError::Over)??;
        Ok(Attachment { participant, commands: self.commands.clone(), outbox })
    }

    /// Asks the session to end when the cells it has accepted have ended.
    pub async fn begin_drain(&self) {
        // A session that is over already is what was wanted.
        self.commands.send(Command::Drain).await.ok();
    }

    /// Asks the session to end now; it has ended when its task has.
    pub async fn begin_end(&self, reason: EndReason) {
        // A session that is over already is what was wanted.
        self.commands.send(Command::End { reason }).await.ok();
    }
}

impl Attachment {
    /// Passes on what the client said, or why it could not be read.
    pub async fn say(&self, message: Result<ClientMessage, Refusal>) -> Result<(), SessionOver> {
        if let Ok(ClientMessage::Ack { seq }) = message {
            self.outbox.ack(seq);
            return Ok(());
        }
        let command = Command::Message { from: self.participant, message };
        self.commands.send(command).await.map_err(|_| SessionOver)
    }

    /// What the client is to be sent.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.outbox.leave();
    }
}

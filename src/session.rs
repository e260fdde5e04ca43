//! A session: one interpreter, its queue of cells, its event log and its participants.
//!
//! ```text
//!   SessionHandle ── Command ──► Actor ─ State (rules) ─► effects ─┬─ EventLog ─ Spill ─► disk
//!        │                         │                              ├─ Fanout ─ Outbox ─► socket
//!        │                         │                              ├─ Kept ─► disk
//!   Attachment ◄── Outbox ─────────┘                              └─ Link ─► driver
//! ```
//! The actor owns everything; a [`SessionHandle`] only sends. The session's task ends when the
//! session does, and with it the sandbox.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::sleep;

use crate::id::{SessionId, Token};
use crate::memory::{Account, Budget, Charge};
use crate::metrics::Metrics;
use crate::pool::Prepared;
use crate::protocol::client::{ClientMessage, Refusal};
use crate::protocol::event::EndReason;
use crate::protocol::reply::Role;

mod actor;
mod fanout;
pub mod files;
pub mod kept;
pub mod log;
mod meter;
pub mod names;
pub mod outbox;
mod participant;
mod spill;
pub mod state;
mod summary;
pub mod text;
mod tokens;
mod transfers;
mod vigil;

use actor::Actor;
use outbox::Outbox;
use state::ParticipantId;
pub use summary::{About, Summary};
use tokens::Tokens;
pub use tokens::{GrantError, Pass};
use transfers::{Step, Tickets};

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
    /// Bytes of events kept in memory for replay.
    pub log_bytes: usize,
    /// Bytes of older events kept in a file. 0: none.
    pub log_disk_bytes: u64,
    /// Where that file is.
    pub log_directory: PathBuf,
    /// Bytes that stay free on that disk: nothing is written there where less would be left.
    pub log_disk_reserve_bytes: u64,
    /// What all sessions together may hold in memory.
    pub memory: Budget,
    /// Longest client message in bytes; told to clients, enforced by the socket.
    pub message_bytes: usize,
    /// What becomes of output that nobody is attached for.
    pub detached_output: DetachedOutput,
    /// Participants that may be attached at one time.
    pub participants: usize,
    /// How long the session lives on without participants; a cell that runs goes on meanwhile, and
    /// ends with it.
    pub detach_timeout: Duration,
    /// How long its driver may be silent while something is expected of it.
    pub silence_timeout: Duration,
    /// How long it may do nothing: no cell, no message. `None`: for ever.
    pub idle_timeout: Option<Duration>,
    /// How long it may live at all. `None`: for ever.
    pub lifetime: Option<Duration>,
}

/// Who wants to join, as what.
#[derive(Clone, Debug)]
pub struct Guest {
    /// Shown to the others.
    pub name: Arc<str>,
    /// Whether the name was chosen: then it is one person's, and a newer connection of that name
    /// and role takes the older one's place.
    pub named: bool,
    /// What it may do.
    pub role: Role,
    /// The token to come back with; told in `ready`.
    pub token: Token,
    /// When it has to leave, because its token lets nobody in any more; `None`: never.
    pub expires: Option<SystemTime>,
    /// Replay what came after this seq; `None`: everything held.
    pub after: Option<u64>,
}

impl Guest {
    /// The session's creator, who sees everything.
    pub fn owner(name: &str, token: Token) -> Guest {
        Guest {
            name: name.into(),
            named: false,
            role: Role::Owner,
            token,
            expires: None,
            after: None,
        }
    }
}

/// The answer to somebody who wants to join.
type Joined = Result<(ParticipantId, Arc<Outbox>), AttachError>;

/// What becomes of output while no owner or editor is attached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DetachedOutput {
    /// It is kept up to the log's bound, and then the cell's writes wait.
    #[default]
    Hold,
    /// The cell goes on; the oldest is forgotten, and a `gap` says so.
    Drop,
}

/// What an actor is told.
enum Command {
    /// Somebody wants to join.
    Attach { guest: Guest, joined: oneshot::Sender<Joined> },
    /// A participant said something.
    Message {
        from: ParticipantId,
        message: Result<ClientMessage, Refusal>,
        /// The memory of the message.
        _charge: Charge,
    },
    /// Somebody moves a file.
    File(Step),
    /// Somebody wants all that a cell wrote.
    Output { cell: Arc<str>, asked: kept::Asked },
    /// The session ends when its cells have.
    Drain,
    /// The session ends now.
    End { reason: EndReason },
}

/// Names a running session and talks to it.
#[derive(Clone, Debug)]
pub struct SessionHandle {
    id: SessionId,
    /// Locked for a look or a push, never across an await.
    tokens: Arc<Mutex<Tokens>>,
    about: Arc<About>,
    summary: watch::Receiver<Summary>,
    tickets: Tickets,
    memory: Account,
    commands: mpsc::Sender<Command>,
}

/// A participant's seat. Dropping it leaves the session.
#[derive(Debug)]
pub struct Attachment {
    participant: ParticipantId,
    commands: mpsc::Sender<Command>,
    outbox: Arc<Outbox>,
    memory: Account,
    expires: Option<SystemTime>,
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
    metrics: &Metrics,
) -> (SessionHandle, impl Future<Output = ()> + Send + 'static) {
    let (commands, incoming) = mpsc::channel(COMMANDS);
    let tokens = Arc::new(Mutex::new(Tokens::new(token)));
    let about = Arc::new(About::of(&prepared));
    let (told, summary) = watch::channel(Summary::default());
    let tickets = Tickets::default();
    let (id, left) = (prepared.id.clone(), tickets.left());
    let memory = config.memory.account();
    let actor = Actor::new(prepared, config, memory.clone(), incoming, told, left, metrics.clone());
    (SessionHandle { id, tokens, about, summary, tickets, memory, commands }, actor.run())
}

impl SessionHandle {
    /// The session's id.
    pub fn id(&self) -> &SessionId {
        &self.id
    }

    /// The span in which the log's lines about this session stand.
    pub fn span(&self) -> tracing::Span {
        // At the highest level, so that no filter takes it from a line that is logged.
        tracing::error_span!("session", id = %self.id)
    }

    /// The token that its creator is given.
    pub fn owner_token(&self) -> Token {
        self.tokens().owner().clone()
    }

    /// What the token `offered` opens in this session; `None`: nothing.
    pub fn pass(&self, offered: &str) -> Option<Pass> {
        self.tokens().pass(offered, SystemTime::now())
    }

    /// Makes a token that lets its bearer in as `role`, for `lifetime` or as long as the session
    /// lives.
    pub fn grant(&self, role: Role, lifetime: Option<Duration>) -> Result<Token, GrantError> {
        self.tokens().grant(role, lifetime, SystemTime::now())
    }

    /// What never changes.
    pub fn about(&self) -> &About {
        &self.about
    }

    /// What the session does now; `None`: it is over.
    pub fn summary(&self) -> Option<Summary> {
        (!self.commands.is_closed()).then(|| *self.summary.borrow())
    }

    /// Waits until the session is over and nothing of its sandbox is left.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    fn tokens(&self) -> MutexGuard<'_, Tokens> {
        // Nothing panics while it holds the lock; if it did, the table is whole all the same.
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins; the outbox begins with `ready` and what is to be replayed.
    pub async fn attach(&self, guest: Guest) -> Result<Attachment, AttachError> {
        let (joined, answer) = oneshot::channel();
        let expires = guest.expires;
        let command = Command::Attach { guest, joined };
        self.commands.send(command).await.map_err(|_| AttachError::Over)?;
        let (participant, outbox) = answer.await.map_err(|_| AttachError::Over)??;
        let (commands, memory) = (self.commands.clone(), self.memory.clone());
        Ok(Attachment { participant, commands, outbox, memory, expires })
    }

    /// What the session and those who are attached to it hold in memory.
    pub fn memory(&self) -> &Account {
        &self.memory
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
    /// Passes on what the client said, or why it could not be read. Waits while the client leaves
    /// the answers unread that it was given before.
    pub async fn say(&self, message: Result<ClientMessage, Refusal>) -> Result<(), SessionOver> {
        self.say_charged(message, self.memory.charge(0)).await
    }

    /// The same for a message whose memory is counted by `charge`, until the session has read it.
    pub async fn say_charged(
        &self,
        message: Result<ClientMessage, Refusal>,
        charge: Charge,
    ) -> Result<(), SessionOver> {
        if let Ok(ClientMessage::Ack { seq }) = message {
            self.outbox.ack(seq);
            return Ok(());
        }
        self.outbox.answered().await;
        let command = Command::Message { from: self.participant, message, _charge: charge };
        self.commands.send(command).await.map_err(|_| SessionOver)
    }

    /// What the session and those who are attached to it hold in memory.
    pub fn memory(&self) -> &Account {
        &self.memory
    }

    /// Waits until the token that this seat was taken with has expired.
    pub async fn expired(&self) {
        match self.expires {
            Some(at) => sleep(at.duration_since(SystemTime::now()).unwrap_or_default()).await,
            None => std::future::pending().await,
        }
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

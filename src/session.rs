//! A session: one interpreter, its queue of cells, its event log and its participants.
//!
//! ```text
//!   SessionHandle ── Command ──► Actor ─ State (rules) ─► effects ─┬─ Journal (log, disk)
//!                                  │                               ├─ Audience ─ Fanout ─ Outbox
//!                                  │                               ├─ OutputArchive ─► disk
//!   Attachment ◄── Outbox ─────────┘                               └─ Link ─► driver
//! ```
//! Outside, a session is a [`SessionHandle`], which only sends, and an [`Attachment`] for each
//! participant, which hands out typed messages and in the end a [`Departure`]. No door is known
//! here. The actor owns everything else. The session's task ends when the session does, and with it
//! the sandbox.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime};

use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;
use tokio::time::sleep;

use crate::document::{self, Contents, DocumentHandle, DocumentSeat, JoinError, SeedError};
use crate::id::{SessionId, Token};
use crate::keys::{KeyConfig, KeyHolder};
use crate::memory::{Account, Budget, Charge};
use crate::metrics::Metrics;
use crate::pool::Prepared;
use crate::protocol::client::ClientMessage;
use crate::protocol::event::EndReason;
use crate::protocol::refusal::Refusal;
use crate::protocol::reply::{Rights, RightsChange, Role};

mod actor;
mod audience;
mod delivery;
mod fanout;
pub mod files;
mod flow;
mod journal;
pub mod log;
mod meter;
pub mod names;
pub mod outbox;
pub mod output_archive;
mod participant;
mod spill;
pub mod state;
mod summary;
pub mod text;
mod tokens;
mod transfers;
mod watchdog;

use actor::Actor;
pub use delivery::{Delivery, Departure, EncodedReply};
use fanout::Fanout;
pub use fanout::Seats;
use outbox::Outbox;
use state::ParticipantId;
pub use summary::{About, Summary};
use tokens::Tokens;
pub use tokens::{
    ChangeRightsError, Credential, GrantError, Granted, RevokeError, TokenId, TokenInfo,
};
use transfers::{TransferCommand, TransferTickets};

/// Commands that may wait for the actor. A socket that says more has to wait, which is what
/// keeps a talkative client from filling memory.
const COMMANDS: usize = 32;

/// What the gateway holds in memory for clients and sandboxes, unless set: what a hundred sessions
/// in ordinary use hold, many times over.
pub const MEMORY_BUDGET_BYTES: usize = 1 << 30; // 1 GiB

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
    /// What becomes of output while no owner and no editor is attached.
    pub detached_output: DetachedOutput,
    /// Participants that may be attached at one time; see [`Seats`].
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
    /// Environment variables of all cells; a cell's own come first.
    pub env: BTreeMap<String, String>,
    /// The client with a publishable key that made it, whose bounds hold for all its participants.
    /// `None`: it was made with the gateway's token.
    pub key_holder: Option<KeyHolder>,
}

impl Default for SessionConfig {
    fn default() -> SessionConfig {
        SessionConfig {
            queue: 64,
            window_bytes: 1 << 20, // 1 MiB: a second of output at what a browser can show
            log_bytes: 8 << 20,    // 8 MiB, times `sessions` in the worst case
            log_disk_bytes: 256 << 20, // 256 MiB: hours of chatter, a minute of a flood
            // By the file hierarchy standard on a disk, where /tmp is often memory.
            log_directory: "/var/tmp".into(),
            log_disk_reserve_bytes: 256 << 20, // 256 MiB: what shares the disk goes on
            memory: Budget::new(MEMORY_BUDGET_BYTES),
            message_bytes: 1 << 20, // 1 MiB: far beyond any cell that people write
            detached_output: DetachedOutput::Hold,
            participants: 64,
            detach_timeout: Duration::from_secs(2 * 60), // a reload, a tunnel, a lift
            silence_timeout: Duration::from_secs(30),    // a machine that swaps is slow, not dead
            idle_timeout: Some(Duration::from_secs(60 * 60)),
            lifetime: None,
            env: BTreeMap::new(),
            key_holder: None,
        }
    }
}

/// Who wants to join, and how.
#[derive(Clone, Debug)]
pub struct JoinRequest {
    /// Shown to the others.
    pub name: Arc<str>,
    /// What lets it in, which says what it may do and whether it was here before.
    pub credential: Credential,
    /// Replay what came after this seq; `None`: everything held.
    pub after: Option<u64>,
}

impl JoinRequest {
    /// The session's creator, who sees everything.
    pub fn owner(name: &str, token: Token) -> JoinRequest {
        JoinRequest { name: name.into(), credential: Credential::Token(token), after: None }
    }
}

/// Who wants to read the log without being a participant: it is not listed and takes no seat.
#[derive(Clone, Debug)]
pub struct ObserveRequest {
    /// What lets it in, which says what it may do while it is there.
    pub credential: Credential,
    /// Told as `by` of the cells that it sends.
    pub name: Arc<str>,
    /// From where on it reads.
    pub from: ReadFrom,
    /// Output waits for it as for an editor; else it misses output when it is slow, as a viewer does.
    pub keeps_up: bool,
}

/// From where on a log is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReadFrom {
    /// All that it holds.
    Beginning,
    /// What came after this seq.
    After(u64),
    /// What comes from now on.
    Now,
}

/// What an observer is given.
struct ObserverSeat {
    participant: ParticipantId,
    outbox: Arc<Outbox>,
    /// The newest seq when it came.
    newest: u64,
}

/// The answer to a request to join.
type Joined = Result<Seat, AttachError>;

/// What a participant who has joined is given.
struct Seat {
    participant: ParticipantId,
    outbox: Arc<Outbox>,
    /// When its token expires, and it has to leave; `None`: never.
    expires: Option<SystemTime>,
}

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
    /// A client wants to join.
    Attach { join: JoinRequest, joined: oneshot::Sender<Joined> },
    /// A reader of the log wants what came after this seq, and what comes.
    Observe { request: ObserveRequest, joined: oneshot::Sender<Result<ObserverSeat, AttachError>> },
    /// A participant said something.
    Message {
        from: ParticipantId,
        message: Result<ClientMessage, Refusal>,
        /// The memory of the message.
        _charge: Charge,
    },
    /// A step of a file transfer.
    File(TransferCommand),
    /// A client wants all that a cell wrote.
    Output { cell: Arc<str>, asked: output_archive::Asked },
    /// These participants' tokens were revoked.
    Remove { participants: Vec<ParticipantId>, departure: Departure },
    /// Somebody has opened or filled the document.
    DocumentOpened,
    /// What this participant may do has changed; its token says how.
    RightsChanged { participant: ParticipantId },
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
    tickets: TransferTickets,
    memory: Account,
    key_holder: Option<KeyHolder>,
    document: DocumentHandle,
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
    /// Messages that [`Attachment::next`] has taken from the outbox and not yet handed out.
    taken: std::vec::IntoIter<Delivery>,
}

/// The session is over.
#[derive(Clone, Copy, Debug, thiserror::Error)]
#[error("the session is over")]
pub struct SessionOver;

/// Why a client cannot join.
#[derive(Clone, Copy, Debug, thiserror::Error)]
pub enum AttachError {
    /// The session ended meanwhile.
    #[error("the session is over")]
    Over,
    /// Every seat that a participant of this role may have is taken.
    #[error("all {seats} seats that {} may have in the session are taken; try again later", plural(*.role))]
    Full {
        /// How many they may have.
        seats: usize,
        /// Of whom.
        role: Role,
    },
    /// The token has expired or was revoked.
    #[error("the token does not open this session any more; ask for a new link")]
    Invalid,
    /// The kernel gives no randomness for its token.
    #[error("cannot make a token")]
    Random(#[from] getrandom::Error),
}

fn plural(role: Role) -> &'static str {
    match role {
        Role::Owner => "owners",
        Role::Editor => "editors",
        Role::Viewer => "viewers",
    }
}

/// What a session's task and its handles share.
struct Shared {
    /// What the session holds in memory.
    memory: Account,
    tokens: Arc<Mutex<Tokens>>,
    document: DocumentHandle,
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
    let tokens = Arc::new(Mutex::new(Tokens::new(token, SystemTime::now())));
    let about = Arc::new(About::of(&prepared));
    let (told, summary) = watch::channel(Summary::default());
    let tickets = TransferTickets::default();
    let (id, left) = (prepared.id.clone(), tickets.left());
    let memory = config.memory.account();
    let (document, document_task) = document::start(memory.clone());
    let shared =
        Shared { memory: memory.clone(), tokens: Arc::clone(&tokens), document: document.clone() };
    let key_holder = config.key_holder.clone();
    let actor = Actor::new(prepared, config, shared, incoming, told, left, metrics.clone());
    let ending = document.clone();
    let task = async move {
        // A task of its own: merging a client's update must not hold up the session. It ends with
        // this future, however that ends.
        let mut tasks = JoinSet::new();
        tasks.spawn(document_task);
        actor.run().await;
        ending.end().await;
        tasks.join_next().await;
    };
    let handle = SessionHandle {
        id,
        tokens,
        about,
        summary,
        tickets,
        memory,
        key_holder,
        document,
        commands,
    };
    (handle, task)
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

    /// The publishable key that it was made with, if it was.
    pub fn key(&self) -> Option<&KeyConfig> {
        self.key_holder.as_ref().map(|holder| &holder.key.config)
    }

    /// The token that its creator is given.
    pub fn owner_token(&self) -> Token {
        self.tokens().creator().clone()
    }

    /// What the token `offered` lets its bearer do in this session; `None`: nothing.
    pub fn role(&self, offered: &str) -> Option<Role> {
        self.tokens().role(offered, SystemTime::now())
    }

    /// What one who has this credential may do in this session now; `None`: nothing.
    pub fn rights(&self, credential: &Credential) -> Option<Rights> {
        self.tokens().rights(credential, SystemTime::now())
    }

    /// A number that changes when [`SessionHandle::rights`] may answer less than before, or something
    /// else: a token was revoked, has expired or gives other rights, or a participant was removed.
    /// It changes at other times too, so that a receiver asks for the rights again.
    pub fn rights_changed(&self) -> watch::Receiver<u64> {
        self.tokens().changes()
    }

    /// Makes a token that lets its bearers in with these rights, for `lifetime` or as long as the token
    /// that it is made with is valid.
    pub fn grant(
        &self,
        maker: &Credential,
        rights: impl Into<Rights>,
        lifetime: Option<Duration>,
    ) -> Result<Granted, GrantError> {
        self.tokens().grant(maker, rights.into(), lifetime, SystemTime::now())
    }

    /// The tokens that are valid, in the order they were made.
    pub fn list_tokens(&self) -> Vec<TokenInfo> {
        self.tokens().list(SystemTime::now())
    }

    /// Revokes a token and all that was made with it; who is in by one of them is shown out.
    pub async fn revoke(&self, token: TokenId) -> Result<(), RevokeError> {
        self.take_back(Departure::Revoked, |tokens| tokens.revoke(token)).await
    }

    /// Revokes a participant's own token, and all that was made with it, and shows it out.
    pub async fn remove(&self, participant: ParticipantId) -> Result<(), RevokeError> {
        self.take_back(Departure::Removed, |tokens| tokens.remove(participant)).await
    }

    /// Changes what an attached participant may do, as the owner `by`: its messages that come after this returns are
    /// judged by the new rights, and it keeps them when it comes back. What it has queued runs.
    pub async fn change_rights(
        &self,
        by: &Credential,
        participant: ParticipantId,
        change: RightsChange,
    ) -> Result<(), ChangeRightsError> {
        let place = self.commands.reserve().await;
        self.tokens().change_rights(by, participant, change, SystemTime::now())?;
        // A session that is over has no participants.
        if let Ok(place) = place {
            place.send(Command::RightsChanged { participant });
        }
        Ok(())
    }

    /// Revokes tokens and removes the participants who joined with them: both or, if the caller is
    /// dropped meanwhile, neither.
    async fn take_back(
        &self,
        departure: Departure,
        revoke: impl FnOnce(&mut Tokens) -> Result<Vec<ParticipantId>, RevokeError>,
    ) -> Result<(), RevokeError> {
        let place = self.commands.reserve().await;
        let participants = revoke(&mut self.tokens())?;
        // A session that is over has no participants.
        if let Ok(place) = place {
            place.send(Command::Remove { participants, departure });
        }
        Ok(())
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
        tokens::lock(&self.tokens)
    }

    /// Joins; the outbox begins with `ready` and what is to be replayed.
    pub async fn attach(&self, join: JoinRequest) -> Result<Attachment, AttachError> {
        let (joined, answer) = oneshot::channel();
        let command = Command::Attach { join, joined };
        self.commands.send(command).await.map_err(|_| AttachError::Over)?;
        let seat = answer.await.map_err(|_| AttachError::Over)??;
        let Seat { participant, outbox, expires } = seat;
        let (commands, memory) = (self.commands.clone(), self.memory.clone());
        let taken = Vec::new().into_iter();
        Ok(Attachment { participant, commands, outbox, memory, expires, taken })
    }

    /// Reads the log without being a participant, and may say what its credential allows; with it the
    /// newest seq at this moment.
    pub async fn observe(&self, request: ObserveRequest) -> Result<(Attachment, u64), AttachError> {
        let (joined, answer) = oneshot::channel();
        let command = Command::Observe { request, joined };
        self.commands.send(command).await.map_err(|_| AttachError::Over)?;
        let seat = answer.await.map_err(|_| AttachError::Over)??;
        let ObserverSeat { participant, outbox, newest } = seat;
        let (commands, memory) = (self.commands.clone(), self.memory.clone());
        let taken = Vec::new().into_iter();
        let seat = Attachment { participant, commands, outbox, memory, expires: None, taken };
        Ok((seat, newest))
    }

    /// Joins the document with a credential of the session. All participants are told that there is
    /// a document.
    pub async fn join_document(&self, credential: &Credential) -> Result<DocumentSeat, JoinError> {
        // A share link is of many, none of whom is another.
        let own = self.tokens().who(credential, SystemTime::now()).and_then(|(_, own)| own);
        let seat = self.document.join(own).await?;
        self.tell_document().await;
        Ok(seat)
    }

    /// Fills the document with these cells if it has none; answers whether it was filled.
    pub async fn seed_document(&self, contents: Contents) -> Result<bool, SeedError> {
        let seeded = self.document.seed(contents).await?;
        self.tell_document().await;
        Ok(seeded)
    }

    /// What the document says; `None`: the session is over.
    pub async fn read_document(&self) -> Option<Contents> {
        self.document.read().await
    }

    async fn tell_document(&self) {
        // A session that is over has no participants.
        self.commands.send(Command::DocumentOpened).await.ok();
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
    pub async fn send(&self, message: Result<ClientMessage, Refusal>) -> Result<(), SessionOver> {
        self.send_charged(message, self.memory.request()).await
    }

    /// The same for a message whose memory is counted by `charge`, until the session has read it.
    pub async fn send_charged(
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

    /// Waits for the next message, in order. After the last one it answers why the session lets
    /// the participant go.
    pub async fn next(&mut self) -> Result<Delivery, Departure> {
        loop {
            if let Some(delivery) = self.taken.next() {
                return Ok(delivery);
            }
            let mut batch = Vec::new();
            self.outbox.take(&mut batch).await?;
            self.taken = batch.into_iter();
        }
    }

    /// What the client is to be sent, for doors that send it on in batches.
    pub fn outbox(&self) -> &Outbox {
        &self.outbox
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.outbox.leave();
    }
}

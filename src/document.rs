//! The document of a session: the text of its cells, which several people edit at once.
//!
//! ```text
//!   socket ── frames ──► DocumentHandle ── Command ──► task ─► Store (the CRDT)
//!   socket ◄── frames ── DocumentSeat ◄── Outgoing ────┘  └──► Presence (awareness states)
//! ```
//! Clients speak the y-websocket protocol: any Yjs client can attach. Each session has one
//! task for its document, which begins empty, costs next to nothing until a client joins, and ends with
//! the session. What clients send is hostile: a breach of a bound or a broken update ends that client's
//! connection and no other.
//!
//! Outputs are not in the document. They are the session's events, which name the cell of the document.

use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::memory::{Account, Charge};

mod check;
mod contents;
mod frames;
mod lib0;
mod outgoing;
mod presence;
mod store;
mod task;

use std::sync::Arc;

pub use contents::{CELL_ID_BYTES, CellKind, Contents, DocumentCell, WrongContents};
pub use outgoing::{Frame, Outgoing};
pub use presence::STATE_BYTES;
pub use store::DOCUMENT_BYTES;

use task::Task;

/// Longest update, in bytes.
pub const UPDATE_BYTES: usize = 256 << 10; // 256 KiB: a large paste

/// Longest frame, in bytes: everything of a document, with its header.
pub const FRAME_BYTES: usize = DOCUMENT_BYTES + 64;

/// Connections that a document may have. Each participant of a session has one, and one more while the
/// gateway has not noticed that its former one is gone.
const SEATS: usize = 256;

/// Commands that wait for the task. A socket that says more has to wait.
const COMMANDS: usize = 64;

/// Names a connection of a document.
pub type SocketId = u64;

/// Why the document lets a connection go. Doors translate it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DocumentDeparture {
    /// The session is over.
    Over,
    /// The client sent what cannot be read or merged.
    Broken(String),
    /// The client sent a message that is longer than it may be.
    TooLarge(String),
    /// The document would be larger than it may be.
    Full(String),
    /// The client does not take what it is sent.
    TooSlow,
    /// The gateway has no memory for more.
    NoMemory(String),
    /// The gateway failed.
    Failed,
}

/// Why there is no connection to a document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JoinError {
    /// The session is over.
    #[error("the session is over")]
    Over,
    /// All connections that it may have are there.
    #[error("all {SEATS} connections that the document may have are taken; try again later")]
    Full,
}

/// Why a document is not filled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// The session is over.
    #[error("the session is over")]
    Over,
    /// The cells are too much for it.
    #[error("{0}")]
    TooLarge(String),
}

/// What the task is told.
enum Command {
    /// A connection wants to join. Connections of one `bearer` are of one participant; `None`: of a new one.
    Join { bearer: Option<u64>, joined: oneshot::Sender<Result<DocumentSeat, JoinError>> },
    /// A client sent a frame.
    Frame { from: SocketId, bytes: bytes::Bytes, may_edit: bool, _charge: Charge },
    /// The document is to be filled if it has no cells.
    Seed { contents: Contents, seeded: oneshot::Sender<Result<bool, SeedError>> },
    /// A request for the title and the cells.
    Read { contents: oneshot::Sender<Contents> },
    /// The session is over.
    End,
}

/// Talks to the document of a session.
#[derive(Clone, Debug)]
pub struct DocumentHandle {
    commands: mpsc::Sender<Command>,
    /// When the text was last changed.
    changed: watch::Receiver<Option<Instant>>,
}

/// A connection's place at a document. Dropping it leaves.
#[derive(Debug)]
pub struct DocumentSeat {
    socket: SocketId,
    commands: mpsc::Sender<Command>,
    outgoing: Arc<Outgoing>,
}

/// Makes a document: a handle to it, and the task that is it. The caller runs the task.
pub fn start(memory: Account) -> (DocumentHandle, impl Future<Output = ()> + Send + 'static) {
    let (commands, incoming) = mpsc::channel(COMMANDS);
    let (told, changed) = watch::channel(None);
    let handle = DocumentHandle { commands: commands.clone(), changed };
    (handle, Task::run_when_needed(memory, commands, incoming, told))
}

impl DocumentHandle {
    /// Joins as the participant whose own token has the number `bearer`, or as a new one. What is sent first stands in the seat's outgoing
    /// frames.
    pub async fn join(&self, bearer: Option<u64>) -> Result<DocumentSeat, JoinError> {
        let (joined, answer) = oneshot::channel();
        let command = Command::Join { bearer, joined };
        self.commands.send(command).await.map_err(|_| JoinError::Over)?;
        answer.await.map_err(|_| JoinError::Over)?
    }

    /// Fills the document if it has no cells; answers whether it was filled.
    pub async fn seed(&self, contents: Contents) -> Result<bool, SeedError> {
        let (seeded, answer) = oneshot::channel();
        let command = Command::Seed { contents, seeded };
        self.commands.send(command).await.map_err(|_| SeedError::Over)?;
        answer.await.map_err(|_| SeedError::Over)?
    }

    /// What the document says; `None`: the session is over.
    pub async fn read(&self) -> Option<Contents> {
        let (contents, answer) = oneshot::channel();
        self.commands.send(Command::Read { contents }).await.ok()?;
        answer.await.ok()
    }

    /// When its text was last changed; `None`: never.
    pub fn last_change(&self) -> Option<Instant> {
        *self.changed.borrow()
    }

    /// Ends the task: every connection is told that the session is over.
    pub async fn end(&self) {
        // One that has ended already is what was wanted.
        self.commands.send(Command::End).await.ok();
    }
}

impl DocumentSeat {
    /// Passes a frame of the client on; `may_edit` as its token is now. Waits while the task is busy.
    pub async fn send(
        &self,
        bytes: bytes::Bytes,
        may_edit: bool,
        charge: Charge,
    ) -> Result<(), JoinError> {
        let command = Command::Frame { from: self.socket, bytes, may_edit, _charge: charge };
        self.commands.send(command).await.map_err(|_| JoinError::Over)
    }

    /// What the client is to be sent.
    pub fn outgoing(&self) -> &Outgoing {
        &self.outgoing
    }
}

impl Drop for DocumentSeat {
    fn drop(&mut self) {
        self.outgoing.leave();
    }
}

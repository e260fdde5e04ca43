//! What one connection of a document is to be sent. Bounded: who takes nothing is let go, and comes back
//! for what it lacks.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::Notify;

use super::{DOCUMENT_BYTES, DocumentDeparture};
use crate::memory::{Account, Charge};

/// Most bytes that wait for one connection: everything of a document, and what is changed until a slow
/// client has taken that.
const WAITING_BYTES: usize = DOCUMENT_BYTES + (1 << 20);

/// A frame, encoded once for all who are sent it, and counted for as long as one of them has it.
#[derive(Debug)]
pub struct Frame {
    /// The payload of a binary frame.
    pub bytes: Bytes,
    _charge: Charge,
}

impl Frame {
    pub(super) fn new(bytes: Vec<u8>, memory: &Account) -> Arc<Frame> {
        let charge = memory.charge(bytes.len());
        Arc::new(Frame { bytes: bytes.into(), _charge: charge })
    }
}

/// The frames that wait for a connection.
#[derive(Debug)]
pub struct Outgoing {
    queue: Mutex<Queue>,
    /// Wakes the connection.
    filled: Notify,
    /// Wakes the document's task.
    left: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Queue {
    frames: VecDeque<Arc<Frame>>,
    bytes: usize,
    departure: Option<DocumentDeparture>,
    has_left: bool,
}

impl Outgoing {
    /// Nothing yet; `left` is notified when the connection is gone.
    pub(super) fn new(left: Arc<Notify>) -> Outgoing {
        Outgoing { queue: Mutex::default(), filled: Notify::new(), left }
    }

    fn queue(&self) -> MutexGuard<'_, Queue> {
        // Nothing panics while it holds the lock.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a frame; one too many closes the connection.
    pub(super) fn push(&self, frame: &Arc<Frame>) {
        let mut queue = self.queue();
        if queue.departure.is_some() || queue.has_left {
            return;
        }
        if !queue.frames.is_empty() && queue.bytes + frame.bytes.len() > WAITING_BYTES {
            (queue.frames, queue.bytes) = (VecDeque::new(), 0);
            queue.departure = Some(DocumentDeparture::TooSlow);
        } else {
            queue.bytes += frame.bytes.len();
            queue.frames.push_back(Arc::clone(frame));
        }
        drop(queue);
        self.filled.notify_one();
    }

    /// Lets the connection go, after what waits for it.
    pub(super) fn close(&self, departure: DocumentDeparture) {
        self.queue().departure.get_or_insert(departure);
        self.filled.notify_one();
    }

    /// Takes all that waits; waits for something. An error: there is nothing more, and why.
    pub async fn take(&self, into: &mut Vec<Arc<Frame>>) -> Result<(), DocumentDeparture> {
        loop {
            {
                let mut queue = self.queue();
                if !queue.frames.is_empty() {
                    queue.bytes = 0;
                    into.extend(queue.frames.drain(..));
                    return Ok(());
                }
                if let Some(departure) = &queue.departure {
                    return Err(departure.clone());
                }
            }
            self.filled.notified().await;
        }
    }

    /// The connection is gone.
    pub(super) fn leave(&self) {
        let mut queue = self.queue();
        queue.has_left = true;
        (queue.frames, queue.bytes) = (VecDeque::new(), 0);
        drop(queue);
        self.left.notify_one();
    }

    pub(super) fn has_left(&self) -> bool {
        self.queue().has_left
    }
}

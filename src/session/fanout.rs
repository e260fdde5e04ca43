//! The participants of a session and what each is to be sent.

use std::sync::Arc;

use bytestring::ByteString;
use tokio::sync::Notify;

use super::Guest;
use super::outbox::Outbox;
use super::state::ParticipantId;
use crate::protocol::event::Sequenced;
use crate::protocol::reply::Role;
use crate::protocol::{Close, Reply};

/// One attached socket.
#[derive(Debug)]
pub(super) struct Participant {
    /// Its number in the session.
    pub id: ParticipantId,
    /// Shown to others.
    pub name: Arc<str>,
    /// Whether it chose its name.
    pub named: bool,
    /// What it may do.
    pub role: Role,
    /// What it has yet to be sent.
    pub outbox: Arc<Outbox>,
}

/// Everybody who is attached.
#[derive(Debug)]
pub(super) struct Fanout {
    participants: Vec<Participant>,
    last_id: ParticipantId,
    relieved: Arc<Notify>,
}

impl Fanout {
    /// Nobody yet.
    pub(super) fn new() -> Fanout {
        Fanout { participants: Vec::new(), last_id: 0, relieved: Arc::new(Notify::new()) }
    }

    /// An outbox for a socket that is about to join.
    pub(super) fn outbox(&self, window: usize) -> Arc<Outbox> {
        Arc::new(Outbox::new(window, Arc::clone(&self.relieved)))
    }

    /// Adds a participant.
    pub(super) fn join(&mut self, guest: &Guest, outbox: Arc<Outbox>) -> ParticipantId {
        self.last_id += 1;
        let (name, role, named) = (Arc::clone(&guest.name), guest.role, guest.named);
        self.participants.push(Participant { id: self.last_id, name, named, role, outbox });
        self.last_id
    }

    /// Forgets those whose sockets are gone. Answers whether anybody was.
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.participants.len();
        self.participants.retain(|participant| !participant.outbox.has_left());
        self.participants.len() < before
    }

    /// One participant.
    pub(super) fn get(&self, id: ParticipantId) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.id == id)
    }

    /// How many are attached.
    pub(super) fn len(&self) -> usize {
        self.participants.len()
    }

    /// Whether nobody is attached.
    pub(super) fn is_empty(&self) -> bool {
        self.participants.is_empty()
    }

    /// Whether everybody keeps up, so that more may be read from the driver.
    pub(super) fn has_room(&self) -> bool {
        self.participants.iter().all(|participant| participant.outbox.has_room())
    }

    /// Waits until there may be room again or somebody left.
    pub(super) async fn relieved(&self) {
        self.relieved.notified().await;
    }

    /// Sends an event to everybody.
    pub(super) fn broadcast(&self, event: &Sequenced) {
        for participant in &self.participants {
            participant.outbox.push(event.seq, event.json.clone());
        }
    }

    /// Sends a reply to one.
    pub(super) fn reply(&self, to: ParticipantId, reply: &Reply) -> Result<(), serde_json::Error> {
        if let Some(participant) = self.get(to) {
            participant.outbox.push(0, ByteString::from(serde_json::to_string(reply)?));
        }
        Ok(())
    }

    /// Wakes the sockets that have something to take.
    pub(super) fn wake(&self) {
        for participant in &self.participants {
            participant.outbox.wake();
        }
    }

    /// Closes all sockets after what waits for them.
    pub(super) fn close(&self, close: &Close) {
        for participant in &self.participants {
            participant.outbox.close(close.clone());
        }
    }
}

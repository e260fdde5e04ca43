//! The participants of a session and what each is to be sent.
//!
//! A participant is *live* while its outbox takes every event as it comes. One whose outbox is
//! full is *behind*: it gets nothing more until there is room, and then what it missed from the
//! log, named by a `gap` where the log has forgotten it. So memory stays flat whatever one client
//! does, and nobody waits for anybody.

use std::sync::Arc;

use bytestring::ByteString;
use tokio::sync::Notify;

use super::Guest;
use super::log::{EventLog, OVERHEAD_BYTES};
use super::outbox::Outbox;
use super::state::ParticipantId;
use crate::protocol::event::{ParticipantInfo, Sequenced};
use crate::protocol::reply::Role;
use crate::protocol::{Close, CloseCode, Reply};

/// Waiting output beyond which a participant who is to hear of a stopped cell's end skips it: more
/// than this takes a slow client longer than a person waits.
const HURRY_BYTES: usize = 64 << 10; // 64 KiB

/// One attached socket.
#[derive(Debug)]
pub(super) struct Participant {
    id: ParticipantId,
    /// Shown to others.
    pub(super) name: Arc<str>,
    /// Whether it chose its name.
    named: bool,
    /// What it may do.
    pub(super) role: Role,
    outbox: Arc<Outbox>,
    /// The first seq it has not been given, if it is behind.
    behind: Option<u64>,
}

/// Everybody who is attached.
#[derive(Debug)]
pub(super) struct Fanout {
    participants: Vec<Participant>,
    last_id: ParticipantId,
    window: usize,
    relieved: Arc<Notify>,
}

impl Fanout {
    /// Nobody yet; each may have `window` bytes that wait.
    pub(super) fn new(window: usize) -> Fanout {
        let relieved = Arc::new(Notify::new());
        Fanout { participants: Vec::new(), last_id: 0, window, relieved }
    }

    /// The number of whoever joins next.
    pub(super) fn next_id(&self) -> ParticipantId {
        self.last_id + 1
    }

    /// Adds a participant, who is given `first` and then what it has not seen from the log.
    /// A named one takes the place of an older connection of that name and role.
    pub(super) fn join(
        &mut self,
        guest: &Guest,
        first: &Reply,
    ) -> Result<(ParticipantId, Arc<Outbox>), serde_json::Error> {
        let first = ByteString::from(serde_json::to_string(first)?);
        for older in self.participants.iter().filter(|other| other.is_same(guest)) {
            let text = "a newer connection of the same participant took over";
            older.outbox.close(Close::new(CloseCode::Replaced, text));
        }
        self.participants.retain(|other| !other.is_same(guest));
        let outbox = Arc::new(Outbox::new(self.window, Arc::clone(&self.relieved)));
        outbox.push_reply(first);
        self.last_id = self.next_id();
        self.participants.push(Participant {
            id: self.last_id,
            name: Arc::clone(&guest.name),
            named: guest.named,
            role: guest.role,
            outbox: Arc::clone(&outbox),
            behind: Some(guest.after.unwrap_or(0).saturating_add(1)),
        });
        Ok((self.last_id, outbox))
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
        self.present().count()
    }

    /// Whether nobody is attached.
    pub(super) fn is_empty(&self) -> bool {
        self.present().next().is_none()
    }

    /// Whether a seat is free for a guest, as one of `seats` or as that of its older connection.
    pub(super) fn has_seat(&self, guest: &Guest, seats: usize) -> bool {
        self.present().filter(|other| !other.is_same(guest)).count() < seats
    }

    /// Those whose sockets are there.
    fn present(&self) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(|one| !one.outbox.has_left())
    }

    /// Everybody, as told to everybody.
    pub(super) fn list(&self) -> Vec<ParticipantInfo> {
        let info = |one: &Participant| ParticipantInfo {
            id: one.id,
            name: Arc::clone(&one.name),
            role: one.role,
        };
        self.present().map(info).collect()
    }

    /// Whether somebody is attached for whom output is held back rather than skipped. For a
    /// viewer nothing waits.
    pub(super) fn has_holders(&self) -> bool {
        self.present().any(Participant::holds)
    }

    /// Whether at least one of those keeps up, so that more may be read from the driver.
    pub(super) fn has_room(&self) -> bool {
        let mut holders = self.participants.iter().filter(|participant| participant.holds());
        holders.any(|holder| holder.behind.is_none() && holder.outbox.has_room())
    }

    /// How much of the log, at most, may have reached none of those: what is owed to the best of
    /// them. `None`: nobody is there who has been given all of it.
    pub(super) fn owed(&self) -> Option<usize> {
        let holders = self.participants.iter().filter(|one| one.holds() && one.behind.is_none());
        holders.map(|holder| holder.outbox.owed(OVERHEAD_BYTES)).min()
    }

    /// Waits until there may be room again or somebody left.
    pub(super) async fn relieved(&self) {
        self.relieved.notified().await;
    }

    /// Sends an event to everybody who is live; who has no room falls behind.
    pub(super) fn broadcast(&mut self, event: &Sequenced) {
        for participant in &mut self.participants {
            if participant.behind.is_none() {
                if participant.outbox.has_room() {
                    participant.outbox.push(event);
                } else {
                    participant.behind = Some(event.seq);
                }
            }
        }
    }

    /// Gives those who are behind what they missed, as far as they have room.
    pub(super) fn catch_up(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            participant.catch_up(log)?;
        }
        Ok(())
    }

    /// A stopped cell has ended: whoever has much output waiting is to hear of it now, and may
    /// come back for the output.
    pub(super) fn hurry(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            participant.hurry(log)?;
        }
        Ok(())
    }

    /// Sends a reply to one, before the events that wait for it.
    pub(super) fn reply(&self, to: ParticipantId, reply: &Reply) -> Result<(), serde_json::Error> {
        if let Some(participant) = self.get(to) {
            participant.outbox.push_reply(ByteString::from(serde_json::to_string(reply)?));
        }
        Ok(())
    }

    /// Wakes the sockets that have something to take.
    pub(super) fn wake(&self) {
        for participant in &self.participants {
            participant.outbox.wake();
        }
    }

    /// Closes all sockets after what waits for them. Who is behind is given the rest first,
    /// room or not: there is no later.
    pub(super) fn close(&mut self, close: &Close, log: &EventLog) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            participant.give_rest(log)?;
            participant.outbox.close(close.clone());
        }
        Ok(())
    }
}

impl Participant {
    /// Whether a guest is the same person, who has come back.
    fn is_same(&self, guest: &Guest) -> bool {
        guest.named && self.named && self.name == guest.name && self.role == guest.role
    }

    fn holds(&self) -> bool {
        self.role != Role::Viewer
    }

    fn catch_up(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        let Some(mut next) = self.behind else { return Ok(()) };
        if !self.outbox.has_room() {
            return Ok(());
        }
        let replay = log.after(next - 1);
        if let Some((from, to)) = replay.gap {
            self.outbox.push_gap(from, to)?;
            next = to + 1;
        }
        for event in replay.events {
            if !self.outbox.has_room() {
                self.behind = Some(next);
                return Ok(());
            }
            self.outbox.push(event);
            next = event.seq + 1;
        }
        self.behind = None;
        Ok(())
    }

    fn hurry(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        if self.behind.is_none() && self.outbox.waiting_bytes() < HURRY_BYTES {
            return Ok(());
        }
        self.outbox.skip_output()?;
        if let Some(next) = self.behind.take() {
            self.give(log, next, true)?;
        }
        Ok(())
    }

    fn give_rest(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        match self.behind.take() {
            Some(next) => self.give(log, next, false),
            None => Ok(()),
        }
    }

    /// Gives everything from `next` on, or everything but output, with gaps in its place.
    fn give(
        &mut self,
        log: &EventLog,
        next: u64,
        without_output: bool,
    ) -> Result<(), serde_json::Error> {
        let replay = log.after(next.saturating_sub(1));
        let mut skipped = replay.gap;
        for event in replay.events {
            if without_output && event.is_output {
                let from = skipped.map_or(event.seq, |(from, _)| from);
                skipped = Some((from, event.seq));
                continue;
            }
            if let Some((from, to)) = skipped.take() {
                self.outbox.push_gap(from, to)?;
            }
            self.outbox.push(event);
        }
        if let Some((from, to)) = skipped {
            self.outbox.push_gap(from, to)?;
        }
        Ok(())
    }
}

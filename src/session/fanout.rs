//! The participants of a session and what each is to be sent.
//!
//! A participant is *live* while its outbox takes every event as it comes, encoded once for all.
//! One whose outbox is full is *behind*: it gets nothing more until there is room, and then what
//! it missed from the log, named by a `gap` where the log has forgotten it. So memory stays flat
//! whatever one client does, and nobody waits for anybody.

use std::sync::Arc;

use bytestring::ByteString;
use tokio::sync::Notify;

use super::Guest;
use super::log::{Block, Entry, EventLog, OVERHEAD_BYTES};
use super::outbox::Outbox;
use super::participant::Participant;
use super::spill::{Spill, Spilled};
use super::state::ParticipantId;
use crate::protocol::event::Sequenced;
use crate::protocol::reply::ParticipantInfo;
use crate::protocol::{Close, CloseCode, Reply};

/// Everybody who is attached.
#[derive(Debug)]
pub(super) struct Fanout {
    participants: Vec<Participant>,
    last_id: ParticipantId,
    window: usize,
    relieved: Arc<Notify>,
    /// Whose block was read last: the next one is read for somebody else.
    served: ParticipantId,
    /// Counts the changes of the list of participants.
    list: u64,
}

impl Fanout {
    /// Nobody yet; each may have `window` bytes that wait.
    pub(super) fn new(window: usize) -> Fanout {
        let relieved = Arc::new(Notify::new());
        Fanout { participants: Vec::new(), last_id: 0, window, relieved, served: 0, list: 0 }
    }

    /// The number of whoever joins next.
    pub(super) fn next_id(&self) -> ParticipantId {
        self.last_id + 1
    }

    /// Adds a participant, who is given `first`, the list of participants and then what it has not
    /// seen from the log.
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
            told_list: 0,
            behind: Some(guest.after.unwrap_or(0).saturating_add(1)),
            fell: false,
            hurried_to: 0,
            skipped: None,
        });
        self.list += 1;
        outbox.set_list(self.encoded_list()?);
        if let Some(newest) = self.participants.last_mut() {
            newest.told_list = self.list;
        }
        Ok((self.last_id, outbox))
    }

    /// Forgets those whose sockets are gone. Answers whether anybody was.
    pub(super) fn sweep(&mut self) -> bool {
        let before = self.participants.len();
        self.participants.retain(|participant| !participant.outbox.has_left());
        let any = self.participants.len() < before;
        self.list += u64::from(any);
        any
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

    /// Whether somebody has not been told who is attached now.
    pub(super) fn owes_list(&self) -> bool {
        self.participants.iter().any(|one| one.told_list < self.list)
    }

    /// Tells those who do not know it yet who is attached. All share one encoding, and one who takes
    /// nothing is kept the newest list alone.
    pub(super) fn tell_list(&mut self) -> Result<(), serde_json::Error> {
        let json = self.encoded_list()?;
        for one in self.participants.iter_mut().filter(|one| one.told_list < self.list) {
            one.outbox.set_list(json.clone());
            one.told_list = self.list;
        }
        Ok(())
    }

    fn encoded_list(&self) -> Result<ByteString, serde_json::Error> {
        let info = |one: &Participant| ParticipantInfo {
            id: one.id,
            name: Arc::clone(&one.name),
            role: one.role,
        };
        let list = self.present().map(info).collect();
        serde_json::to_string(&Reply::Participants { list }).map(ByteString::from)
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
    pub(super) fn owed(&self) -> Option<u64> {
        let holders = self.participants.iter().filter(|one| one.holds() && one.behind.is_none());
        holders.map(|holder| holder.outbox.owed(OVERHEAD_BYTES) as u64).min()
    }

    /// The first seq that one of those is still to be given: what is from there on is theirs, as
    /// it was said.
    pub(super) fn wanted(&self) -> u64 {
        let holders = self.participants.iter().filter(|participant| participant.holds());
        holders.filter_map(|holder| holder.behind).min().unwrap_or(u64::MAX)
    }

    /// Waits until there may be room again or somebody left.
    pub(super) async fn relieved(&self) {
        self.relieved.notified().await;
    }

    /// Sends an event to everybody who is live; who has no room falls behind.
    pub(super) fn broadcast(&mut self, event: &Sequenced) {
        for participant in &mut self.participants {
            participant.offer(event);
        }
    }

    /// Gives those who are behind what they missed, as far as they have room. Answers a block
    /// that one of them needs to go on: each in turn, so that nobody has to wait for all others.
    pub(super) fn catch_up(&mut self, log: &EventLog) -> Result<Option<Block>, serde_json::Error> {
        let mut first = None;
        let mut after_served = None;
        for participant in &mut self.participants {
            if let Some(block) = participant.catch_up(log)? {
                let wanted = (participant.id, block);
                first.get_or_insert(wanted);
                if participant.id > self.served {
                    after_served.get_or_insert(wanted);
                }
            }
        }
        Ok(after_served.or(first).map(|(_, block)| block))
    }

    /// Gives what was read to those who need it.
    pub(super) fn take_block(
        &mut self,
        block: &Block,
        entries: &[Entry],
    ) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            if participant.take_block(block, entries)? {
                self.served = participant.id;
            }
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

    /// Gives those who are behind what stands on the disk, at their pace, until nobody needs any
    /// of it or it fails.
    pub(super) async fn empty(
        &mut self,
        log: &mut EventLog,
        spill: &mut Spill,
    ) -> Result<(), serde_json::Error> {
        loop {
            self.sweep();
            if let Some(block) = self.catch_up(log)? {
                spill.read(block);
            }
            self.wake();
            if !self.participants.iter().any(|one| one.needs_disk(log)) {
                return Ok(());
            }
            tokio::select! {
                spilled = spill.turn() => match spilled {
                    Spilled::Written(result) => log.on_written(result.is_ok()),
                    Spilled::Read(block, Ok(entries)) => self.take_block(&block, &entries)?,
                    Spilled::Read(_, Err(_)) => log.lose_disk(),
                },
                () = self.relieved.notified() => {}
            }
        }
    }

    /// Closes all sockets after what waits for them and what memory holds of what they missed.
    pub(super) fn close(&mut self, close: &Close, log: &EventLog) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            participant.close(close.clone(), log)?;
        }
        Ok(())
    }
}

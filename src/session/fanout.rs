//! The participants of a session and what each is to be sent.
//!
//! A participant is *live* while its outbox takes every event as it comes, encoded once for all.
//! One whose outbox is full is *behind*: it gets nothing more until there is room, and then what
//! it missed from the log, named by a `gap` where the log has forgotten it. So memory stays flat
//! whatever one client does, and no participant waits for another.

use std::sync::Arc;

use bytestring::ByteString;
use tokio::sync::Notify;

use super::delivery::{Delivery, Departure};
use super::log::{Block, EventLog, OVERHEAD_BYTES, Record};
use super::outbox::Outbox;
use super::participant::Participant;
use super::spill::{Spill, Spilled};
use super::state::ParticipantId;
use super::tokens::{Granted, TokenId};
use crate::memory::{Account, charged_text};
use crate::protocol::Reply;
use crate::protocol::event::Sequenced;
use crate::protocol::reply::{ParticipantInfo, Rights, Role};

/// The seats of a session. Some are kept for those who may do more: however many viewers come,
/// editors and owners find one, and however many editors, an owner.
#[derive(Clone, Copy, Debug)]
pub struct Seats(pub usize);

impl Seats {
    /// One seat in so many is kept from viewers, and at least one.
    const KEPT_FROM_VIEWERS: usize = 4;

    /// Seats that are kept for owners.
    const KEPT_FOR_OWNERS: usize = 1;

    /// How many at most those may have who may do no more than this role.
    pub fn most(self, role: Role) -> usize {
        let kept = match role {
            Role::Owner => 0,
            Role::Editor => Seats::KEPT_FOR_OWNERS,
            Role::Viewer => (self.0 / Seats::KEPT_FROM_VIEWERS).max(Seats::KEPT_FOR_OWNERS),
        };
        self.0.saturating_sub(kept)
    }

    /// Whether a seat is left for a participant of this role beside the others.
    fn has_free(self, role: Role, others: impl Iterator<Item = Role>) -> bool {
        let others: Vec<Role> = others.collect();
        let all = [Role::Owner, Role::Editor, Role::Viewer];
        // A participant takes a seat of its own role and of every higher one.
        all.into_iter()
            .filter(|least| *least <= role)
            .all(|least| others.iter().filter(|other| **other >= least).count() < self.most(least))
    }
}

/// All participants who are attached.
#[derive(Debug)]
pub(super) struct Fanout {
    participants: Vec<Participant>,
    last_id: ParticipantId,
    window: usize,
    relieved: Arc<Notify>,
    /// The participant for whom a block was read last: the next one is read for another.
    served: ParticipantId,
    memory: Account,
    /// Counts the changes of the list of participants.
    list: u64,
    /// The session has a document, which the list tells.
    has_document: bool,
}

impl Fanout {
    /// No participant yet; each may have `window` bytes that wait.
    pub(super) fn new(window: usize, memory: Account) -> Fanout {
        let relieved = Arc::new(Notify::new());
        let (participants, last_id, served, list) = (Vec::new(), 0, 0, 0);
        let has_document = false;
        Fanout { participants, last_id, window, relieved, served, memory, list, has_document }
    }

    /// The number of the participant who joins next.
    pub(super) fn next_id(&self) -> ParticipantId {
        self.last_id + 1
    }

    /// Adds a participant, who is given `first`, the list of participants and then what it has not
    /// seen from the log.
    /// It takes the place of an older connection of its own.
    pub(super) fn join(
        &mut self,
        name: &Arc<str>,
        own: &Granted,
        after: Option<u64>,
        first: Reply,
    ) -> Result<(ParticipantId, Arc<Outbox>), serde_json::Error> {
        let first = Delivery::of_reply(first, ByteString::from)?;
        let token = own.info.id;
        self.dismiss(|other| other.token == token, &Departure::Replaced);
        let outbox = self.add(name, token, own.info.rights, after, false);
        outbox.push_reply(first);
        self.list += 1;
        outbox.set_list(self.encoded_list()?);
        if let Some(newest) = self.participants.last_mut() {
            newest.told_list = self.list;
        }
        Ok((self.last_id, outbox))
    }

    /// Adds an observer, who is given what it has not seen from the log, and answers to what it says.
    pub(super) fn observe(
        &mut self,
        name: &Arc<str>,
        rights: Rights,
        after: Option<u64>,
        keeps_up: bool,
    ) -> (ParticipantId, Arc<Outbox>) {
        let outbox = self.add(name, 0, rights, after, true);
        if let Some(observer) = self.participants.last_mut() {
            observer.keeps_up = keeps_up;
        }
        (self.last_id, outbox)
    }

    fn add(
        &mut self,
        name: &Arc<str>,
        token: TokenId,
        rights: Rights,
        after: Option<u64>,
        is_observer: bool,
    ) -> Arc<Outbox> {
        let outbox = Arc::new(Outbox::new(self.window, Arc::clone(&self.relieved)));
        self.last_id = self.next_id();
        self.participants.push(Participant {
            id: self.last_id,
            is_observer,
            keeps_up: false,
            token,
            name: Arc::clone(name),
            rights,
            outbox: Arc::clone(&outbox),
            told_list: if is_observer { u64::MAX } else { 0 },
            behind: Some(after.unwrap_or(0).saturating_add(1)),
            fell_behind: false,
            skips_output_before: 0,
            skipped: None,
        });
        outbox
    }

    /// Forgets those whose sockets are gone. Answers which participants they were.
    pub(super) fn sweep(&mut self) -> Vec<ParticipantId> {
        let gone = self.participants.extract_if(.., |one| one.outbox.has_left());
        let gone: Vec<ParticipantId> =
            gone.filter(|one| !one.is_observer).map(|one| one.id).collect();
        self.list += u64::from(!gone.is_empty());
        gone
    }

    /// Lets some participants go; messages that they send from now on are ignored.
    pub(super) fn remove(&mut self, participants: &[ParticipantId], departure: &Departure) {
        self.dismiss(|one| participants.contains(&one.id), departure);
    }

    fn dismiss(&mut self, of: impl Fn(&Participant) -> bool, departure: &Departure) {
        for one in self.participants.extract_if(.., |one| of(one)) {
            one.outbox.close(departure.clone());
            self.list += 1;
        }
    }

    /// What a participant may do from now on; all are told in the next list.
    pub(super) fn set_rights(&mut self, id: ParticipantId, rights: Rights) {
        let participant = self.participants.iter_mut().find(|participant| participant.id == id);
        if let Some(participant) = participant.filter(|one| one.rights != rights) {
            participant.rights = rights;
            self.list += 1;
        }
    }

    /// One participant.
    pub(super) fn get(&self, id: ParticipantId) -> Option<&Participant> {
        self.participants.iter().find(|participant| participant.id == id)
    }

    /// How many are attached.
    pub(super) fn len(&self) -> usize {
        self.present().count()
    }

    /// Whether no participant is attached.
    pub(super) fn is_empty(&self) -> bool {
        self.present().next().is_none()
    }

    /// Whether a seat is free for a participant of a role, that of its older connection included.
    pub(super) fn has_seat(&self, role: Role, own: Option<TokenId>, seats: Seats) -> bool {
        let others = self.present().filter(|other| Some(other.token) != own);
        seats.has_free(role, others.map(|other| other.rights.role))
    }

    /// The participants whose sockets are there.
    fn present(&self) -> impl Iterator<Item = &Participant> {
        self.participants.iter().filter(|one| !one.is_observer && !one.outbox.has_left())
    }

    /// The session has a document now.
    pub(super) fn note_document(&mut self) {
        self.list += u64::from(!self.has_document);
        self.has_document = true;
    }

    /// Whether a participant has not been told who is attached now.
    pub(super) fn owes_list(&self) -> bool {
        self.participants.iter().any(|one| one.told_list < self.list)
    }

    /// Tells those who do not know it yet who is attached. All share one encoding, and one who
    /// takes nothing is kept the newest list alone.
    pub(super) fn tell_list(&mut self) -> Result<(), serde_json::Error> {
        let list = self.encoded_list()?;
        for one in self.participants.iter_mut().filter(|one| one.told_list < self.list) {
            one.outbox.set_list(list.clone());
            one.told_list = self.list;
        }
        Ok(())
    }

    fn encoded_list(&self) -> Result<Delivery, serde_json::Error> {
        let info = |one: &Participant| ParticipantInfo {
            id: one.id,
            name: Arc::clone(&one.name),
            rights: one.rights,
        };
        let list = self.present().map(info).collect();
        Delivery::of_reply(
            Reply::Participants { list, document: self.has_document },
            ByteString::from,
        )
    }

    /// Whether a participant is attached for whom output is held back rather than skipped. For a
    /// viewer nothing waits.
    pub(super) fn has_holders(&self) -> bool {
        self.present().any(Participant::holds)
    }

    /// Whether at least one of those keeps up, so that more may be read from the driver.
    pub(super) fn has_room(&self) -> bool {
        let mut holders = self.participants.iter().filter(|participant| participant.holds());
        holders.any(|holder| holder.behind.is_none() && holder.outbox.has_small_room())
    }

    /// How much of the log, at most, may have reached none of those: what is owed to the best of
    /// them. `None`: none of them has been given all of it.
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

    /// Waits until there may be room again in an outbox, or a participant left.
    pub(super) async fn relieved(&self) {
        self.relieved.notified().await;
    }

    /// Sends an event to all who are live; one whose outbox has no room falls behind.
    pub(super) fn broadcast(&mut self, event: &Arc<Sequenced>) {
        for participant in &mut self.participants {
            participant.offer(event);
        }
    }

    /// Gives those who are behind what they missed, as far as they have room. Answers a block
    /// that one of them needs to go on: each in turn, so that none has to wait for all others.
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
        records: &[Record],
    ) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            if participant.take_block(block, records)? {
                self.served = participant.id;
            }
        }
        Ok(())
    }

    /// A stopped cell has ended: participants with much output waiting are told of it now, and may
    /// join again to get the output.
    pub(super) fn skip_backlog(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            participant.skip_backlog(log)?;
        }
        Ok(())
    }

    /// Sends a reply to one, before the events that wait for it.
    pub(super) fn reply(&self, to: ParticipantId, reply: Reply) -> Result<(), serde_json::Error> {
        if let Some(participant) = self.get(to) {
            let hold = |json| charged_text(json, &self.memory);
            participant.outbox.push_reply(Delivery::of_reply(reply, hold)?);
        }
        Ok(())
    }

    /// Wakes the sockets that have something to take.
    pub(super) fn wake(&self) {
        for participant in &self.participants {
            participant.outbox.wake();
        }
    }

    /// Gives those who are behind what stands on the disk, at their pace, until none needs any
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
                    Spilled::Read(block, Ok(records)) => self.take_block(&block, &records)?,
                    Spilled::Read(_, Err(_)) => log.lose_disk(),
                },
                () = self.relieved.notified() => {}
            }
        }
    }

    /// Lets all participants go, after what waits for them and what memory holds of what they
    /// missed.
    pub(super) fn close(
        &mut self,
        departure: &Departure,
        log: &EventLog,
    ) -> Result<(), serde_json::Error> {
        for participant in &mut self.participants {
            participant.close(departure.clone(), log)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_are_kept_for_who_may_do_more() {
        use Role::{Editor, Owner, Viewer};
        // Seats, who sits in them (owners, editors, viewers), and who still finds one.
        for (seats, [owners, editors, viewers], free) in [
            (1, [0, 0, 0], vec![Owner]),
            (1, [1, 0, 0], vec![]),
            (2, [0, 0, 0], vec![Owner, Editor, Viewer]),
            (2, [0, 0, 1], vec![Owner]),
            (4, [0, 0, 2], vec![Owner, Editor, Viewer]),
            (4, [0, 0, 3], vec![Owner]),
            (64, [0, 0, 47], vec![Owner, Editor, Viewer]),
            (64, [0, 0, 48], vec![Owner, Editor]),
            (64, [0, 15, 48], vec![Owner]),
            (64, [0, 63, 0], vec![Owner]),
            (64, [1, 63, 0], vec![]),
            (64, [63, 0, 0], vec![Owner, Editor, Viewer]),
            (64, [64, 0, 0], vec![]),
        ] {
            let sit = |role, count| std::iter::repeat_n(role, count);
            let others =
                || sit(Owner, owners).chain(sit(Editor, editors)).chain(sit(Viewer, viewers));
            let found = [Owner, Editor, Viewer].into_iter();
            let found = found.filter(|role| Seats(seats).has_free(*role, others()));
            assert_eq!(found.collect::<Vec<_>>(), free, "{seats}: {owners} {editors} {viewers}");
        }
    }
}

//! One participant: what it has been given, and what it is to be given next.
//!
//! ```text
//!   live ── no room ──► behind ── given what it missed ──► live
//! ```
//! Who is behind is given what memory holds as far as it has room, and what stands on the disk a
//! block at a time. What it is not given is named by a `gap`.

use std::sync::Arc;

use super::delivery::Departure;
use super::log::{Block, EventLog, Location, Record};
use super::outbox::Outbox;
use super::state::ParticipantId;
use super::tokens::TokenId;
use crate::protocol::event::Sequenced;
use crate::protocol::reply::{Rights, Role};

/// Waiting output beyond which a participant who is to hear of a stopped cell's end skips it: more
/// than this takes a slow client longer than a person waits.
const BACKLOG_BYTES: usize = 64 << 10; // 64 KiB

/// How much of the newest output a viewer gets who has fallen too far behind: some pages.
const PRESENT_BYTES: usize = 64 << 10; // 64 KiB

/// One attached socket.
#[derive(Debug)]
pub(super) struct Participant {
    pub(super) id: ParticipantId,
    /// It reads the log and is no participant: it is not listed and takes no seat.
    pub(super) is_observer: bool,
    /// Output waits for it as for an editor, although it is an observer.
    pub(super) keeps_up: bool,
    /// Its own token, which is who it is. 0, which no token is, for an observer.
    pub(super) token: TokenId,
    /// Shown to others.
    pub(super) name: Arc<str>,
    /// What it may do now.
    pub(super) rights: Rights,
    pub(super) outbox: Arc<Outbox>,
    /// Which list of participants it was told last.
    pub(super) told_list: u64,
    /// The first seq it has not been given, if it is behind.
    pub(super) behind: Option<u64>,
    /// It was live and could not keep up, rather than come to see what was.
    pub(super) fell_behind: bool,
    /// It does without output before this seq.
    pub(super) skips_output_before: u64,
    /// What is left out and not yet named: first, last, and whether nothing is lost by it.
    pub(super) skipped: Option<(u64, u64, bool)>,
}

impl Participant {
    /// Whether output is held back for it rather than skipped. For a viewer nothing waits.
    pub(super) fn holds(&self) -> bool {
        if self.is_observer { self.keeps_up } else { self.rights.role != Role::Viewer }
    }

    /// Sends an event if it is live and has room.
    pub(super) fn offer(&mut self, event: &Arc<Sequenced>) {
        if self.behind.is_some() {
            return;
        }
        if !self.outbox.offer(event) {
            self.behind = Some(event.seq);
            self.fell_behind = true;
        }
    }

    /// Gives what it missed as far as it has room; answers the block that it needs to go on.
    pub(super) fn catch_up(&mut self, log: &EventLog) -> Result<Option<Block>, serde_json::Error> {
        let wanted = self.advance(log)?;
        self.name_skipped()?;
        Ok(wanted)
    }

    fn advance(&mut self, log: &EventLog) -> Result<Option<Block>, serde_json::Error> {
        while let Some(next) = self.behind {
            let skips = next < self.skips_output_before;
            if !skips && !self.outbox.has_room() && !self.passes(next, log) {
                return Ok(None);
            }
            let place = log.place(next);
            if !skips && self.is_lost_to(place) {
                // Of what it cannot keep up with it gets the end, and all that is no output.
                self.skips_output_before = log.last_output(PRESENT_BYTES);
            }
            match place {
                Location::Ahead => {
                    self.behind = None;
                    self.fell_behind = false;
                }
                Location::Lost { to } => self.skip(next, to, false)?,
                Location::Disk(block)
                    if block.only_output && block.next <= self.skips_output_before =>
                {
                    self.skip(next, block.next - 1, false)?;
                }
                Location::Disk(block) => {
                    return Ok(self.outbox.has_room().then_some(block));
                }
                Location::Memory => {
                    self.give(log.held(next), false)?;
                    if self.behind == Some(next) {
                        return Ok(None);
                    }
                }
            }
        }
        Ok(None)
    }

    /// Whether the next event is one that goes out while the window is full.
    fn passes(&self, next: u64, log: &EventLog) -> bool {
        let record = self.outbox.has_small_room().then(|| log.held(next).next()).flatten();
        let event = record.and_then(|record| match record {
            Record::Event(event) if event.seq == next => Some(event),
            _ => None,
        });
        event.is_some_and(|event| self.outbox.has_room_for(event))
    }

    /// Whether it is a viewer who has missed more than memory holds.
    fn is_lost_to(&self, place: Location) -> bool {
        let far = matches!(place, Location::Disk(_) | Location::Lost { .. });
        far && self.fell_behind && !self.holds()
    }

    /// Gives what it needs of a block that was read: all of it, as a block is small beside a
    /// window. Answers whether it needed any.
    pub(super) fn take_block(
        &mut self,
        block: &Block,
        records: &[Record],
    ) -> Result<bool, serde_json::Error> {
        let wants = |next: u64| block.first <= next && next < block.next;
        if !self.behind.is_some_and(wants) || !self.outbox.has_room() {
            return Ok(false);
        }
        self.give(records.iter(), true)?;
        self.name_skipped()?;
        Ok(true)
    }

    /// Gives from `records` what comes next: all, or as far as there is room.
    fn give<'a>(
        &mut self,
        records: impl Iterator<Item = &'a Record>,
        all: bool,
    ) -> Result<(), serde_json::Error> {
        for record in records {
            let Some(next) = self.behind.filter(|next| record.next() > *next) else { continue };
            if record.first() > next {
                self.skip(next, record.first() - 1, false)?;
            }
            match record {
                Record::Superseded(_, last) => self.skip(next.max(record.first()), *last, true)?,
                Record::Event(event) if event.seq < self.skips_output_before => {
                    if event.is_output() {
                        self.skip(event.seq, event.seq, false)?;
                    } else {
                        self.push(event)?;
                    }
                }
                Record::Event(event) if !all && !self.outbox.has_room_for(event) => return Ok(()),
                Record::Event(event) => self.push(event)?,
            }
        }
        Ok(())
    }

    fn push(&mut self, event: &Arc<Sequenced>) -> Result<(), serde_json::Error> {
        self.name_skipped()?;
        self.outbox.push(event);
        self.behind = Some(event.seq + 1);
        Ok(())
    }

    /// Leaves out what is from `first` to `last`.
    fn skip(&mut self, first: u64, last: u64, superseded: bool) -> Result<(), serde_json::Error> {
        self.behind = Some(last + 1);
        self.skipped = match self.skipped.take() {
            Some((from, to, same)) if to + 1 == first && same == superseded => {
                Some((from, last, same))
            }
            other => {
                self.skipped = other;
                self.name_skipped()?;
                Some((first, last, superseded))
            }
        };
        Ok(())
    }

    fn name_skipped(&mut self) -> Result<(), serde_json::Error> {
        match self.skipped.take() {
            Some((from, to, superseded)) => self.outbox.push_gap(from, to, superseded),
            None => Ok(()),
        }
    }

    /// Whether what it is to be given next stands on the disk.
    pub(super) fn needs_disk(&self, log: &EventLog) -> bool {
        self.behind.is_some_and(|next| matches!(log.place(next), Location::Disk(_)))
    }

    /// A stopped cell has ended. If much output waits, it is to hear of that now and may come back
    /// for the output.
    pub(super) fn skip_backlog(&mut self, log: &EventLog) -> Result<(), serde_json::Error> {
        if self.behind.is_some() || self.outbox.waiting_bytes() >= BACKLOG_BYTES {
            self.outbox.skip_output()?;
            self.skips_output_before = log.next_seq();
        }
        Ok(())
    }

    /// Gives what memory holds, room or not, and then closes: there is no later.
    pub(super) fn close(
        &mut self,
        departure: Departure,
        log: &EventLog,
    ) -> Result<(), serde_json::Error> {
        while let Some(next) = self.behind {
            match log.place(next) {
                Location::Ahead => self.behind = None,
                Location::Lost { to } => self.skip(next, to, false)?,
                Location::Disk(block) => self.skip(next, block.next - 1, false)?,
                Location::Memory => self.give(log.held(next), true)?,
            }
        }
        self.name_skipped()?;
        self.outbox.close(departure);
        Ok(())
    }
}

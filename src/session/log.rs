//! The event log of a session: the newest events, bounded in bytes. Pure.

use std::collections::VecDeque;

use bytestring::ByteString;

use crate::protocol::event::Sequenced;

/// What the log costs beside an event's text, in bytes; keeps a flood of tiny events bounded.
pub(super) const OVERHEAD_BYTES: usize = 64;

/// The newest events. Seqs begin at 1 and have no holes.
#[derive(Debug)]
pub struct EventLog {
    events: VecDeque<Sequenced>,
    /// Seq of the oldest event held; one past the newest if none is.
    first: u64,
    bytes: usize,
    capacity: usize,
}

/// What a participant has missed.
#[derive(Debug)]
pub struct Replay<'a> {
    /// Seqs that were missed and are no longer held, first and last.
    pub gap: Option<(u64, u64)>,
    /// The rest, in order.
    pub events: std::collections::vec_deque::Iter<'a, Sequenced>,
}

impl EventLog {
    /// An empty log that holds up to `capacity` bytes, and always the newest event.
    pub fn new(capacity: usize) -> EventLog {
        EventLog { events: VecDeque::new(), first: 1, bytes: 0, capacity }
    }

    /// The seq the next event gets.
    pub fn next_seq(&self) -> u64 {
        self.first + self.events.len() as u64
    }

    /// Seq of the newest event; 0 if there was none yet.
    pub fn newest(&self) -> u64 {
        self.next_seq() - 1
    }

    /// Keeps an event encoded for [`EventLog::next_seq`]; forgets the oldest beyond capacity.
    pub fn push(&mut self, event: &Sequenced) {
        debug_assert_eq!(event.seq, self.next_seq());
        self.bytes += cost(&event.json);
        self.events.push_back(event.clone());
        while self.bytes > self.capacity && self.events.len() > 1 {
            if let Some(oldest) = self.events.pop_front() {
                self.bytes -= cost(&oldest.json);
                self.first += 1;
            }
        }
    }

    /// Everything after `seq`. A `seq` that is yet to come asks for nothing.
    pub fn after(&self, seq: u64) -> Replay<'_> {
        let wanted = seq.saturating_add(1);
        let gap = (wanted < self.first).then(|| (wanted, self.first - 1));
        let skip = wanted.saturating_sub(self.first).min(self.events.len() as u64);
        Replay { gap, events: self.events.range(skip as usize..) }
    }
}

fn cost(json: &ByteString) -> usize {
    json.len() + OVERHEAD_BYTES
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(log: &mut EventLog, count: usize, size: usize) {
        for _ in 0..count {
            let json = ByteString::from("x".repeat(size));
            log.push(&Sequenced { seq: log.next_seq(), json, is_output: true });
        }
    }

    #[test]
    fn an_empty_log_replays_nothing() {
        let log = EventLog::new(100);
        assert_eq!((log.newest(), log.next_seq()), (0, 1));
        let replay = log.after(0);
        assert_eq!((replay.gap, replay.events.len()), (None, 0));
    }

    #[test]
    fn what_is_held_is_replayed_and_what_is_not_is_a_gap() {
        let mut log = EventLog::new(10 * (100 + OVERHEAD_BYTES));
        fill(&mut log, 25, 100);
        assert_eq!(log.newest(), 25);
        for (after, gap, count) in [
            (0, Some((1, 15)), 10),
            (10, Some((11, 15)), 10),
            (15, None, 10),
            (20, None, 5),
            (25, None, 0),
            (99, None, 0),
            (u64::MAX, None, 0),
        ] {
            let replay = log.after(after);
            assert_eq!((replay.gap, replay.events.len()), (gap, count), "after {after}");
        }
    }

    #[test]
    fn the_newest_event_is_held_whatever_its_size() {
        let mut log = EventLog::new(10);
        fill(&mut log, 3, 1000);
        let replay = log.after(0);
        assert_eq!((replay.gap, replay.events.len()), (Some((1, 2)), 1));
    }
}

//! The event log of a session: the newest events in memory, older ones on a disk, both bounded.
//! Pure: it says what is to be written and where, and where what is asked for stands.
//!
//! ```text
//!   push ─► records (memory) ── take_batch ─► leaving ── on_written ─► blocks (disk) ─► forgotten
//! ```
//! Memory holds twice its bound for a moment where the disk is slow and events cannot wait. What
//! stands on the disk is a circle: the place of the oldest block is the newest one's. Where
//! the disk fails or cannot keep up, what memory cannot hold is forgotten, and the log has a hole.

use std::collections::VecDeque;
use std::sync::Arc;

use crate::protocol::Event;
use crate::protocol::event::{EventKind, Sequenced};

pub mod block;
mod frames;
mod line;
mod shown;

pub use block::{Block, Record};
use frames::{Source, Start};

/// What the log costs beside an event's text, in bytes; keeps a flood of tiny events bounded.
pub(super) const OVERHEAD_BYTES: usize = 64;

/// Most that is written at once: a millisecond of copying, a few hundred times a GiB.
const BATCH_BYTES: usize = 1 << 20; // 1 MiB

/// Where a block ends: what one read brings back for one participant, beside its window.
const BLOCK_BYTES: u64 = 256 << 10; // 256 KiB

/// Most bytes in memory while the gateway's memory is short: half of what each session may hold in
/// any case, so that the other half is left for what is on its way.
const SQUEEZED_BYTES: usize = 128 << 10; // 128 KiB

/// The newest events. Seqs begin at 1.
#[derive(Debug)]
pub struct EventLog {
    /// In order and without a hole.
    records: VecDeque<Record>,
    /// What `records` cost.
    bytes: usize,
    /// Most bytes in memory now: `normal_capacity`, or less while the gateway's memory is short.
    capacity: usize,
    normal_capacity: usize,
    next_seq: u64,
    /// The newest output, if nothing that could change what is seen of it came after it.
    newest_output: Option<NewestOutput>,
    /// A cell has started and shown nothing yet.
    fresh: bool,
    shown: shown::Shown,
    /// The first seq of which no participant has been sent anything yet.
    unsent_from: u64,
    /// Older than `records`: what is being written, and can be read here until it is.
    leaving: Arc<Vec<Record>>,
    disk: Option<Disk>,
}

/// The output that a following one may overwrite.
#[derive(Debug)]
struct NewestOutput {
    event: Arc<Sequenced>,
    source: Source,
    start: Start,
}

#[derive(Debug)]
struct Disk {
    capacity: u64,
    /// Where the next block begins, counted without end; modulo `capacity` it is a place in the
    /// file.
    head: u64,
    /// What can be read, oldest first.
    blocks: VecDeque<Block>,
    writing: Vec<Block>,
    /// Nothing more is written.
    closed: bool,
}

/// What is to be written.
#[derive(Clone, Debug)]
pub struct Batch {
    /// Where, and what is in which.
    pub blocks: Vec<Block>,
    /// All that is in them, in order.
    pub records: Arc<Vec<Record>>,
}

/// Where a seq stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Location {
    /// It is yet to come.
    Ahead,
    /// In memory.
    Memory,
    /// On the disk.
    Disk(Block),
    /// Nowhere any more, and neither is what follows up to `to`.
    Lost {
        /// The last one.
        to: u64,
    },
}

impl EventLog {
    /// An empty log that holds up to `capacity` bytes in memory, and always the newest event, and
    /// `disk` bytes elsewhere; 0 for none.
    pub fn new(capacity: usize, disk: u64) -> EventLog {
        let disk = (disk > 0).then(|| Disk {
            capacity: disk,
            head: 0,
            blocks: VecDeque::new(),
            writing: Vec::new(),
            closed: false,
        });
        EventLog {
            records: VecDeque::new(),
            bytes: 0,
            capacity,
            normal_capacity: capacity,
            next_seq: 1,
            newest_output: None,
            fresh: false,
            shown: shown::Shown::default(),
            unsent_from: 1,
            leaving: Arc::default(),
            disk,
        }
    }

    /// The seq the next event gets.
    pub fn next_seq(&self) -> u64 {
        self.next_seq
    }

    /// Seq of the newest event; 0 if there was none yet.
    pub fn newest(&self) -> u64 {
        self.next_seq - 1
    }

    /// Keeps an event encoded for [`EventLog::next_seq`]; forgets the oldest where there is no room
    /// for it, and the frame of a progress bar that it overwrites, unless a participant is still to
    /// get every event from `wanted` on. Answers what that frame cost, in bytes, if it had been
    /// sent to no participant.
    pub fn push(&mut self, typed: &Event, event: &Arc<Sequenced>, wanted: u64) -> usize {
        debug_assert_eq!(event.seq, self.next_seq);
        let freed = self.overwrite(typed, event, wanted);
        self.bytes += event.json.len() + OVERHEAD_BYTES;
        self.records.push_back(Record::Event(event.clone()));
        self.next_seq += 1;
        // The disk gets time to take what is too much before it is forgotten.
        let newest = event.json.len() + OVERHEAD_BYTES;
        let capacity = self.normal_capacity;
        let bound = if self.spills() { 2 * capacity + newest } else { capacity };
        while self.bytes > bound && self.records.len() > 1 {
            self.pop();
        }
        freed
    }

    /// Keeps less in memory from now on (`squeezed`), or again as much as usual. What is too much
    /// goes to the disk; without one it is forgotten, but for what no participant has been sent yet
    /// and what is still to be sent to a participant, from `wanted` on.
    pub fn squeeze(&mut self, squeezed: bool, wanted: u64) {
        self.capacity = match squeezed {
            true => self.normal_capacity.min(SQUEEZED_BYTES),
            false => self.normal_capacity,
        };
        if !squeezed || self.spills() {
            return;
        }
        let needed = wanted.min(self.unsent_from);
        while self.bytes > self.capacity
            && self.records.len() > 1
            && self.records.front().is_some_and(|oldest| oldest.next() <= needed)
        {
            self.pop();
        }
    }

    /// Forgets the newest output if `event` overwrites it. Answers the bytes of it that had been
    /// sent to no participant.
    fn overwrite(&mut self, typed: &Event, event: &Arc<Sequenced>, wanted: u64) -> usize {
        let (Event::Stdout(output) | Event::Stderr(output)) = typed else {
            // A cell begins on a line of its own; some events change nothing on any line.
            if !event.kind.shows_nothing() {
                self.newest_output = None;
                self.fresh = event.kind == EventKind::Started;
            }
            return 0;
        };
        let fresh = std::mem::take(&mut self.fresh) && !output.late;
        let source = |older: Option<Source>| match older {
            Some(source) if source.is_of(event.kind, output) => (source, true),
            _ => (Source::new(event.kind, output), false),
        };
        let (older, source, is_overwritten, start) = match self.newest_output.take() {
            Some(older) => match source(Some(older.source)) {
                (source, true) => {
                    let (is_overwritten, start) = frames::follow(event, &older.event, older.start);
                    (older.event.seq, source, is_overwritten, start)
                }
                (source, false) => (older.event.seq, source, false, Start::default()),
            },
            None => {
                let start = if fresh { Start::FRESH } else { Start::default() };
                (0, source(None).0, false, start)
            }
        };
        if !is_overwritten {
            self.newest_output = Some(NewestOutput { event: Arc::clone(event), source, start });
            return 0;
        }
        // An event that a participant is still to get, or that is on its way to the disk, stays,
        // and so it stands beneath what follows.
        let is_gone = self.records.front().is_none_or(|oldest| oldest.first() > older);
        let is_kept = older >= wanted || is_gone;
        let start = Start { clean: start.clean && !is_kept, ..start };
        self.newest_output = Some(NewestOutput { event: Arc::clone(event), source, start });
        if is_kept { 0 } else { self.supersede(vec![older]) }
    }

    /// Forgets what this event, the newest, has removed from sight, unless a participant is still
    /// to get every event from `wanted` on. Answers what that cost, in bytes, as far as it was sent
    /// to no participant.
    pub fn outdate(&mut self, event: &Event, wanted: u64) -> usize {
        let mut outdated = self.shown.take(event, self.newest());
        if outdated.is_empty() {
            return 0;
        }
        outdated.retain(|seq| *seq < wanted);
        self.supersede(outdated)
    }

    /// All events so far were sent to a participant, or are counted otherwise: what is forgotten of
    /// them later makes no room for events that were sent to no participant.
    pub fn mark_sent(&mut self) {
        self.unsent_from = self.next_seq;
    }

    /// Forgets events that nothing is to be seen of, as far as they are in memory and not on their
    /// way to the disk. Answers what those of them cost that were sent to no participant.
    fn supersede(&mut self, mut seqs: Vec<u64>) -> usize {
        seqs.sort_unstable();
        let (mut freed, mut unseen) = (0, 0);
        let mut touched: Option<(usize, usize)> = None;
        for seq in seqs {
            let at = self.records.partition_point(|record| record.next() <= seq);
            let Some(record @ Record::Event(_)) = self.records.get_mut(at) else { continue };
            if record.first() != seq {
                continue;
            }
            let bytes = cost(record) - OVERHEAD_BYTES;
            *record = Record::Superseded(seq, seq);
            freed += bytes;
            if seq >= self.unsent_from {
                unseen += bytes;
            }
            touched = Some((touched.map_or(at, |(first, _)| first), at));
        }
        let Some((first, last)) = touched else { return 0 };
        // One record stands for all that nothing interrupts; in one pass, as there may be many.
        let (mut kept, end) = (first.saturating_sub(1), self.records.len().min(last + 2));
        for at in kept + 1..end {
            if let Record::Superseded(from, end) = self.records[at]
                && let Record::Superseded(_, to) = &mut self.records[kept]
            {
                *to = end;
                freed += OVERHEAD_BYTES;
                // What was seen may stand before it: it is this record that is there no more.
                if from >= self.unsent_from {
                    unseen += OVERHEAD_BYTES;
                }
            } else {
                kept += 1;
                self.records.swap(kept, at);
            }
        }
        self.records.drain(kept + 1..end);
        self.bytes -= freed;
        unseen
    }

    fn pop(&mut self) -> Option<Record> {
        let oldest = self.records.pop_front()?;
        self.bytes -= cost(&oldest);
        Some(oldest)
    }

    /// Bytes that may come unseen without any of them being forgotten.
    pub fn hold_bytes(&self) -> u64 {
        let memory = self.capacity as u64 / 2;
        match &self.disk {
            // A quarter for what a record and a block cost beside the text.
            Some(disk) if !disk.closed => memory.max(disk.capacity / 4 * 3),
            _ => memory,
        }
    }

    /// What is to be written next. One batch at a time: [`EventLog::on_written`] says what became
    /// of it.
    pub fn take_batch(&mut self) -> Option<Batch> {
        if !self.spills() || !self.leaving.is_empty() || self.bytes <= self.capacity / 4 * 3 {
            return None;
        }
        let most = BATCH_BYTES.min(self.capacity / 4);
        let mut records: Vec<Record> = Vec::new();
        let mut taken = 0;
        while taken < most
            && let Some(record) = self.pop()
        {
            taken += cost(&record);
            records.push(record);
        }
        let blocks = self.disk.as_mut()?.place(&records);
        self.leaving = Arc::new(records);
        Some(Batch { blocks, records: Arc::clone(&self.leaving) })
    }

    /// The batch has been written; or not, and then none ever will be.
    pub fn on_written(&mut self, written: bool) {
        self.leaving = Arc::default();
        if let Some(disk) = &mut self.disk {
            let blocks = std::mem::take(&mut disk.writing);
            if written && !disk.closed {
                disk.blocks.extend(blocks);
            }
            disk.closed |= !written;
        }
    }

    /// The disk does not give back what was written: nothing on it is of use.
    pub fn lose_disk(&mut self) {
        if let Some(disk) = &mut self.disk {
            disk.blocks.clear();
            disk.closed = true;
        }
    }

    /// Whether memory is full and the disk will make room.
    pub fn is_pressed(&self) -> bool {
        self.spills() && self.bytes > self.capacity / 8 * 7
    }

    /// Whether this block can still be read: nothing was written over it.
    pub fn holds(&self, block: &Block) -> bool {
        self.disk.as_ref().is_some_and(|disk| disk.blocks.contains(block))
    }

    /// Where an event stands.
    pub fn place(&self, seq: u64) -> Location {
        if seq >= self.next_seq {
            return Location::Ahead;
        }
        if let Some(disk) = &self.disk {
            let at = disk.blocks.partition_point(|block| block.next <= seq);
            match disk.blocks.get(at) {
                Some(block) if block.first <= seq => return Location::Disk(*block),
                Some(block) => return Location::Lost { to: block.first - 1 },
                None => {}
            }
        }
        match self.held(seq).next() {
            Some(record) if record.first() > seq => Location::Lost { to: record.first() - 1 },
            Some(_) => Location::Memory,
            None => Location::Lost { to: self.newest() },
        }
    }

    /// What memory holds from `seq` on. Seqs may be missing where the disk failed.
    pub fn held(&self, seq: u64) -> impl Iterator<Item = &Record> {
        let left = self.leaving.partition_point(|record| record.next() <= seq);
        let at = self.records.partition_point(|record| record.next() <= seq);
        self.leaving[left..].iter().chain(self.records.range(at..))
    }

    /// The seq from which on there are at most `bytes` of output, and the newest output in any
    /// case.
    pub fn last_output(&self, bytes: usize) -> u64 {
        let mut found = 0;
        for record in self.records.iter().rev() {
            let Record::Event(event) = record else { continue };
            if event.is_output() {
                if found > 0 && found + cost(record) > bytes {
                    return record.next();
                }
                found += cost(record);
            }
        }
        self.records.front().map_or(self.next_seq, Record::first)
    }

    fn spills(&self) -> bool {
        self.disk.as_ref().is_some_and(|disk| !disk.closed)
    }
}

impl Disk {
    /// Cuts records into blocks and gives each its place, in which older ones may have stood.
    fn place(&mut self, records: &[Record]) -> Vec<Block> {
        let mut rest = records;
        while let Some(first) = rest.first() {
            let mut block = Block::new(self.head, first.first());
            let mut count = 0;
            for record in rest {
                block.add(record);
                count += 1;
                if block.length >= BLOCK_BYTES {
                    break;
                }
            }
            rest = &rest[count..];
            // What is larger than the disk has no place, and what is there stays there.
            if block.length <= self.capacity {
                self.head += block.length;
                self.writing.push(block);
            }
        }
        let keeps = |block: &Block| self.head - block.position <= self.capacity;
        self.blocks.retain(keeps);
        self.writing.retain(keeps);
        self.writing.clone()
    }
}

fn cost(record: &Record) -> usize {
    OVERHEAD_BYTES + record.json().map_or(0, |json| json.len())
}

#[cfg(test)]
mod tests;

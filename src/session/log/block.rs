//! What stands on a disk: blocks of records. Pure.
//!
//! ```text
//!   block  = record*                      seqs follow one another
//!   record = length u32 · start u32 · end u32 · word u32 · length bytes of JSON   (little endian)
//! ```
//! `start` and `end` say where a message has text, both 0 for none; `word` is the number of its kind.
//! A record without JSON stands for `word` superseded events.

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::protocol::event::{EventKind, Sequenced, TextSpan};

/// Bytes of a record beside its JSON.
const RECORD_BYTES: u64 = 16;

/// One place in the log.
#[derive(Clone, Debug)]
pub enum Entry {
    /// An event.
    Event(Sequenced),
    /// Events in whose place later ones are: first and last.
    Superseded(u64, u64),
}

/// A stretch of the log on the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its beginning, counted as if the disk had no end.
    pub position: u64,
    /// Its bytes.
    pub length: u64,
    /// Its first seq.
    pub first: u64,
    /// One past its last.
    pub next: u64,
    /// Nothing but text of stdout and stderr is in it.
    pub only_output: bool,
}

impl Entry {
    /// Its first seq.
    pub fn first(&self) -> u64 {
        match self {
            Entry::Event(event) => event.seq,
            Entry::Superseded(first, _) => *first,
        }
    }

    /// One past its last seq.
    pub fn next(&self) -> u64 {
        match self {
            Entry::Event(event) => event.seq + 1,
            Entry::Superseded(_, last) => last + 1,
        }
    }

    /// Its message, if there is one.
    pub fn json(&self) -> Option<&ByteString> {
        match self {
            Entry::Event(event) => Some(&event.json),
            Entry::Superseded(..) => None,
        }
    }
}

impl Block {
    /// An empty one.
    pub(super) fn new(position: u64, first: u64) -> Block {
        Block { position, length: 0, first, next: first, only_output: true }
    }

    /// Counts an entry in.
    pub(super) fn add(&mut self, entry: &Entry) {
        self.length += RECORD_BYTES + entry.json().map_or(0, |json| json.len() as u64);
        self.next = entry.next();
        self.only_output &= match entry {
            Entry::Event(event) => event.is_output(),
            Entry::Superseded(..) => true,
        };
    }
}

/// Appends those of `entries` that are the block's.
pub fn encode(block: &Block, entries: &[Entry], into: &mut Vec<u8>) {
    let from = entries.partition_point(|entry| entry.first() < block.first);
    for entry in entries[from..].iter().take_while(|entry| entry.first() < block.next) {
        let (json, text, word) = match entry {
            Entry::Event(event) => (event.json.as_bytes().as_ref(), event.text, event.kind as u32),
            Entry::Superseded(first, last) => (&[][..], None, (last + 1 - first) as u32),
        };
        let (start, end) = text.map_or((0, 0), |text| (text.start, text.end));
        for word in [json.len() as u32, start, end, word] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        into.extend_from_slice(json);
    }
}

/// Reads a block's bytes. `None`: they are not what was written.
pub fn decode(block: &Block, mut bytes: Bytes) -> Option<Vec<Entry>> {
    let mut entries = Vec::new();
    let mut seq = block.first;
    while bytes.has_remaining() {
        let [length, start, end, word] = std::array::from_fn(|_| bytes.try_get_u32_le().ok());
        let (length, word) = (length? as usize, word?);
        if bytes.len() < length {
            return None;
        }
        let json = ByteString::try_from(bytes.split_to(length)).ok()?;
        let entry = if json.is_empty() {
            Entry::Superseded(seq, (seq + u64::from(word)).checked_sub(1).filter(|_| word > 0)?)
        } else {
            let text = TextSpan { start: start?, end: end? };
            let kind = *EventKind::ALL.get(word as usize)?;
            let text = (text.end > 0).then_some(text);
            Entry::Event(Sequenced { seq, kind, json, text })
        };
        seq = entry.next();
        entries.push(entry);
    }
    (seq == block.next).then_some(entries)
}

//! What stands on a disk: blocks of records. Pure.
//!
//! ```text
//!   block  = record*                      seqs follow one another
//!   record = length u32 · start u32 · end u32 · word u32 · length bytes of JSON   (little endian)
//! ```
//! `start` and `end` say where a message has text, both 0 for none; `word` is the number of its
//! kind. A record without JSON stands for `word` superseded events.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use bytestring::ByteString;

use crate::protocol::event::{EventKind, Sequenced, TextSpan};

/// Bytes of a record beside its JSON.
const RECORD_BYTES: u64 = 16;

/// One place in the log.
#[derive(Clone, Debug)]
pub enum Record {
    /// An event.
    Event(Arc<Sequenced>),
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

impl Record {
    /// Its first seq.
    pub fn first(&self) -> u64 {
        match self {
            Record::Event(event) => event.seq,
            Record::Superseded(first, _) => *first,
        }
    }

    /// One past its last seq.
    pub fn next(&self) -> u64 {
        match self {
            Record::Event(event) => event.seq + 1,
            Record::Superseded(_, last) => last + 1,
        }
    }

    /// Its message, if there is one.
    pub fn json(&self) -> Option<&ByteString> {
        match self {
            Record::Event(event) => Some(&event.json),
            Record::Superseded(..) => None,
        }
    }
}

impl Block {
    /// An empty one.
    pub(super) fn new(position: u64, first: u64) -> Block {
        Block { position, length: 0, first, next: first, only_output: true }
    }

    /// Counts a record in.
    pub(super) fn add(&mut self, record: &Record) {
        self.length += RECORD_BYTES + record.json().map_or(0, |json| json.len() as u64);
        self.next = record.next();
        self.only_output &= match record {
            Record::Event(event) => event.is_output(),
            Record::Superseded(..) => true,
        };
    }
}

/// Appends those of `records` that are the block's.
pub fn encode(block: &Block, records: &[Record], into: &mut Vec<u8>) {
    let from = records.partition_point(|record| record.first() < block.first);
    for record in records[from..].iter().take_while(|record| record.first() < block.next) {
        let (json, text, word) = match record {
            Record::Event(event) => (event.json.as_bytes().as_ref(), event.text, event.kind as u32),
            Record::Superseded(first, last) => (&[][..], None, (last + 1 - first) as u32),
        };
        let (start, end) = text.map_or((0, 0), |text| (text.start, text.end));
        for word in [json.len() as u32, start, end, word] {
            into.extend_from_slice(&word.to_le_bytes());
        }
        into.extend_from_slice(json);
    }
}

/// Reads a block's bytes. `None`: they are not what was written.
pub fn decode(block: &Block, mut bytes: Bytes) -> Option<Vec<Record>> {
    let mut records = Vec::new();
    let mut seq = block.first;
    while bytes.has_remaining() {
        let [length, start, end, word] = std::array::from_fn(|_| bytes.try_get_u32_le().ok());
        let (length, word) = (length? as usize, word?);
        if bytes.len() < length {
            return None;
        }
        let json = ByteString::try_from(bytes.split_to(length)).ok()?;
        let record = if json.is_empty() {
            Record::Superseded(seq, (seq + u64::from(word)).checked_sub(1).filter(|_| word > 0)?)
        } else {
            let text = TextSpan { start: start?, end: end? };
            let kind = *EventKind::ALL.get(word as usize)?;
            let text = (text.end > 0).then_some(text);
            Record::Event(Arc::new(Sequenced { seq, kind, json, text }))
        };
        seq = record.next();
        records.push(record);
    }
    (seq == block.next).then_some(records)
}

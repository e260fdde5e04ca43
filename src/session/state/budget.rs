//! What of a cell's output is shown: its head at once, its tail at its end; what lies between is
//! counted.
//!
//! ```text
//!   written  ├──── head ────┼────── omitted ──────┼─ tail ─┤
//!   shown    as it comes     `truncated` counts it  at the end, before `done`
//! ```

use std::collections::VecDeque;

use bytes::Bytes;

use crate::protocol::event::Stream;

/// Most that is held back to be shown at the end: some pages.
const TAIL_BYTES: u64 = 64 << 10; // 64 KiB

/// One cell's budget for both streams together.
#[derive(Debug)]
pub(super) struct Budget {
    /// What may still pass.
    left: u64,
    tail: VecDeque<u8>,
    tail_capacity: usize,
    /// Whose the tail's bytes are, in order.
    runs: VecDeque<(Stream, usize)>,
    omitted: [u64; 2],
}

impl Budget {
    /// A budget of `bytes`, at most half of it for the tail.
    pub(super) fn new(bytes: u64) -> Budget {
        let tail = TAIL_BYTES.min(bytes / 2);
        Budget {
            left: bytes - tail,
            tail: VecDeque::new(),
            tail_capacity: tail as usize,
            runs: VecDeque::new(),
            omitted: [0; 2],
        }
    }

    /// Takes a chunk; answers the part of it that is shown now.
    pub(super) fn take(&mut self, stream: Stream, mut bytes: Bytes) -> Bytes {
        let passes = usize::try_from(self.left).unwrap_or(usize::MAX).min(bytes.len());
        let head = bytes.split_to(passes);
        self.left -= passes as u64;
        self.hold_back(stream, &bytes);
        head
    }

    fn hold_back(&mut self, stream: Stream, bytes: &[u8]) {
        let fits = bytes.len().min(self.tail_capacity);
        let (lost, bytes) = bytes.split_at(bytes.len() - fits);
        self.omitted[stream as usize] += lost.len() as u64;
        self.omit((self.tail.len() + fits).saturating_sub(self.tail_capacity));
        if bytes.is_empty() {
            return;
        }
        self.tail.extend(bytes);
        match self.runs.back_mut() {
            Some((last, length)) if *last == stream => *length += bytes.len(),
            _ => self.runs.push_back((stream, bytes.len())),
        }
    }

    /// Forgets the oldest `count` bytes of the tail.
    fn omit(&mut self, mut count: usize) {
        self.tail.drain(..count);
        while count > 0
            && let Some((stream, length)) = self.runs.front_mut()
        {
            let taken = count.min(*length);
            self.omitted[*stream as usize] += taken as u64;
            *length -= taken;
            count -= taken;
            if *length == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// Whether something is not shown yet.
    pub(super) fn holds_back(&self) -> bool {
        !self.tail.is_empty()
    }

    /// Bytes that lie between this stream's head and its tail.
    pub(super) fn omitted(&self, stream: Stream) -> u64 {
        self.omitted[stream as usize]
    }

    /// The tail, to be shown now. Where something was omitted before it, it begins with a whole
    /// character.
    pub(super) fn take_tail(&mut self) -> Vec<(Stream, Bytes)> {
        let mut begun = self.omitted.map(|omitted| omitted == 0);
        let mut tail = Vec::with_capacity(self.runs.len());
        for (stream, length) in std::mem::take(&mut self.runs) {
            let mut bytes = Bytes::from_iter(self.tail.drain(..length));
            let has_begun = &mut begun[stream as usize];
            if !*has_begun {
                let middle = |byte: &&u8| **byte & 0xc0 == 0x80; // 10xxxxxx
                let cut = bytes.iter().take_while(middle).count().min(3);
                self.omitted[stream as usize] += cut as u64;
                bytes = bytes.slice(cut..);
                *has_begun = !bytes.is_empty();
            }
            tail.push((stream, bytes));
        }
        tail
    }

    /// Counts bytes of the head that cannot be shown, because the rest of their character is not.
    pub(super) fn omit_held(&mut self, stream: Stream, count: usize) {
        self.omitted[stream as usize] += count as u64;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(budget: u64, chunks: &[(bool, Vec<u8>)]) -> ([Vec<u8>; 2], [Vec<u8>; 2], [u64; 2]) {
        let mut budget = Budget::new(budget);
        let (mut heads, mut tails) = <([Vec<u8>; 2], [Vec<u8>; 2])>::default();
        for (is_stderr, chunk) in chunks {
            let stream = if *is_stderr { Stream::Stderr } else { Stream::Stdout };
            heads[stream as usize].extend(budget.take(stream, Bytes::from(chunk.clone())));
        }
        for (stream, bytes) in budget.take_tail() {
            tails[stream as usize].extend(bytes);
        }
        let omitted = [Stream::Stdout, Stream::Stderr].map(|stream| budget.omitted(stream));
        (heads, tails, omitted)
    }

    #[test]
    fn the_tail_begins_with_a_whole_character() {
        let text = "0123456789äöü€".as_bytes();
        // Half of nine is the tail: `ü€` would be five bytes, and one of `ö`'s does not count.
        let (heads, tails, omitted) = shown(12, &[(false, text.to_vec())]);
        assert_eq!((&heads[0][..], &tails[0][..]), (&b"012345"[..], "ü€".as_bytes()));
        assert_eq!(omitted, [text.len() as u64 - 6 - 5, 0]);
    }

    proptest! {
        #[test]
        fn what_is_shown_and_what_is_omitted_is_all(
            budget in 0u64..64,
            chunks in prop::collection::vec(
                (any::<bool>(), prop::collection::vec(0u8..128, 0..40)),
                0..12,
            ),
        ) {
            let (heads, tails, omitted) = shown(budget, &chunks);
            for (stream, is_stderr) in [(0, false), (1, true)] {
                let own = chunks.iter().filter(|(other, _)| *other == is_stderr);
                let all: Vec<u8> = own.flat_map(|(_, chunk)| chunk.clone()).collect();
                let (head, tail) = (&heads[stream], &tails[stream]);
                prop_assert_eq!((head.len() + tail.len()) as u64 + omitted[stream], all.len() as u64);
                prop_assert!(all.starts_with(head) && all.ends_with(tail));
            }
            let written: usize = chunks.iter().map(|(_, chunk)| chunk.len()).sum();
            let shown: usize = heads.iter().chain(&tails).map(Vec::len).sum();
            prop_assert_eq!(shown as u64, budget.min(written as u64));
        }
    }
}

//! When it is told that a file was written to: at once when a process closes it, some time after the first
//! write while it stays open, and at most five times a second.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Least time between two events of one file.
const PAUSE: Duration = Duration::from_millis(200);

/// Most files of which times are kept: a few hundred kilobytes. Writes to more are told at once.
const MOST_FILES: usize = 4096;

/// The files that were written to of late.
#[derive(Default)]
pub(super) struct Writes {
    files: BTreeMap<Vec<u8>, Write>,
    /// When [`Writes::take_due`] is to be called next.
    pub(super) next: Option<Instant>,
}

struct Write {
    /// When it is told, or if there is nothing to tell, when it is forgotten.
    at: Instant,
    /// It was written to since it was told the last time.
    is_pending: bool,
    /// It was told within the last [`PAUSE`].
    was_told: bool,
}

impl Writes {
    /// A process wrote to a file that it has open. Answers whether to tell it now.
    pub(super) fn on_write(&mut self, path: &[u8], now: Instant) -> bool {
        if let Some(write) = self.files.get_mut(path) {
            write.is_pending = true;
            return false;
        }
        !self.insert(path, Write { at: now + PAUSE, is_pending: true, was_told: false })
    }

    /// A process that could write to a file closed it. Answers whether to tell it now.
    pub(super) fn on_close(&mut self, path: &[u8], now: Instant) -> bool {
        match self.files.get_mut(path) {
            Some(write) if write.was_told => {
                write.is_pending = true;
                return false;
            }
            Some(write) => {
                *write = Write { at: now + PAUSE, is_pending: false, was_told: true };
            }
            None => {
                self.insert(path, Write { at: now + PAUSE, is_pending: false, was_told: true });
            }
        }
        true
    }

    /// Forgets a file, which is about to lose its name. Answers whether a write is still to be told.
    pub(super) fn forget(&mut self, path: &[u8]) -> bool {
        self.files.remove(path).is_some_and(|write| write.is_pending)
    }

    /// The files of which a write is to be told now.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<Vec<u8>> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        let mut due = Vec::new();
        self.files.retain(|path, write| {
            if write.at > now {
                return true;
            }
            if write.is_pending {
                due.push(path.clone());
                *write = Write { at: now + PAUSE, is_pending: false, was_told: true };
                return true;
            }
            false
        });
        self.next = self.files.values().map(|write| write.at).min();
        due
    }

    /// False: there are too many.
    fn insert(&mut self, path: &[u8], write: Write) -> bool {
        if self.files.len() >= MOST_FILES {
            return false;
        }
        self.next = Some(self.next.map_or(write.at, |next| next.min(write.at)));
        self.files.insert(path.to_vec(), write);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    #[test]
    fn what_is_closed_is_told_at_once_and_what_stays_open_five_times_a_second() {
        let (mut writes, start) = (Writes::default(), Instant::now());
        assert!(!writes.on_write(b"short", start));
        assert!(writes.on_close(b"short", start + MS), "the write is told with it");
        let mut told = 0;
        for ms in 0..1000 {
            let now = start + ms * MS;
            assert!(!writes.on_write(b"long", now));
            told += writes.take_due(now).iter().filter(|path| *path == b"long").count();
        }
        assert_eq!(told, 4, "after 200, 400, 600 and 800 ms");
        let end = start + 3 * PAUSE * 5;
        assert_eq!(writes.take_due(end), [b"long"]);
        assert_eq!(writes.take_due(end + PAUSE), [b""; 0]);
        assert_eq!((writes.next, writes.files.len()), (None, 0), "nothing is kept");
    }

    #[test]
    fn closing_again_and_again_is_told_five_times_a_second_and_the_last_one_too() {
        let (mut writes, start) = (Writes::default(), Instant::now());
        assert!(writes.on_close(b"f", start));
        for ms in 1..100 {
            assert!(!writes.on_close(b"f", start + ms * MS));
        }
        assert_eq!(writes.take_due(start + PAUSE), [b"f"]);
        assert!(!writes.forget(b"f"));
        assert!(!writes.on_write(b"f", start));
        assert!(writes.forget(b"f"), "a write before its file went is not lost");
    }

    #[test]
    fn more_files_than_are_kept_are_told_at_once() {
        let (mut writes, now) = (Writes::default(), Instant::now());
        for file in 0..MOST_FILES {
            assert!(!writes.on_write(&file.to_le_bytes(), now));
        }
        assert!(writes.on_write(b"another", now));
        assert!(writes.on_close(b"another", now));
        assert_eq!(writes.files.len(), MOST_FILES);
    }
}

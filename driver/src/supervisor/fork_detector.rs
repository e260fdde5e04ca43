//! Whether any process or thread was started in the sandbox since the last look.
//!
//! The kernel numbers them in turn, and the last field of /proc/loadavg is the number given last
//! in the reader's PID namespace, proc_loadavg(5): one short read tells what no list of processes
//! can, since a new process may be gone again and have left a child. Where the kernel does not
//! tell (gVisor says 0), every look finds that it moved.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Looks at the number given last.
#[derive(Debug)]
pub(crate) struct ForkDetector {
    /// `None` where it cannot be told.
    file: Option<File>,
    seen: u32,
}

impl ForkDetector {
    /// Looks for the first time.
    pub(crate) fn new() -> ForkDetector {
        let mut fork_detector = ForkDetector { file: File::open("/proc/loadavg").ok(), seen: 0 };
        fork_detector.saw_none();
        fork_detector
    }

    /// Called when a process was certainly started: a number that does not show it tells nothing.
    pub(crate) fn after_a_fork(mut self) -> ForkDetector {
        if self.saw_none() {
            self.file = None;
        }
        self
    }

    /// Whether it can be told at all.
    pub(crate) fn can_tell(&self) -> bool {
        self.file.is_some()
    }

    /// Whether there was none since the look before. Numbers start over after the greatest one, so
    /// this would miss as many fork_detector as there are numbers, were it an exact multiple of
    /// them.
    pub(crate) fn saw_none(&mut self) -> bool {
        let Some(now) = self.file.as_ref().and_then(last_given) else { return false };
        std::mem::replace(&mut self.seen, now) == now
    }
}

fn last_given(file: &File) -> Option<u32> {
    let mut line = [0; 64]; // three numbers with two decimals, two counts, one number
    let length = file.read_at(&mut line, 0).ok()?;
    let text = std::str::from_utf8(&line[..length]).ok()?;
    text.trim_ascii_end().rsplit(' ').next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_birth_is_seen() {
        let mut fork_detector = ForkDetector::new();
        assert!(fork_detector.can_tell());
        std::thread::spawn(|| ()).join().unwrap();
        assert!(!fork_detector.saw_none());
        std::thread::spawn(|| ()).join().unwrap();
        assert!(fork_detector.after_a_fork().can_tell());
    }

    #[test]
    fn who_cannot_tell_always_finds_that_it_moved() {
        let mut fork_detector = ForkDetector { file: None, seen: 0 };
        assert!(
            !fork_detector.saw_none() && !fork_detector.saw_none() && !fork_detector.can_tell()
        );
        let dull = ForkDetector { file: File::open("/dev/null").ok(), seen: 0 };
        assert!(!dull.after_a_fork().saw_none());
    }
}

//! Whether any process or thread was born in the sandbox since one last looked.
//!
//! The kernel numbers them in turn, and the last field of /proc/loadavg is the number given last
//! in the reader's PID namespace, proc_loadavg(5): one short read tells what no list of processes
//! can, since whoever was born may be gone again and have left a child. Where the kernel does not
//! tell (gVisor says 0), every look finds that it moved.

use std::fs::File;
use std::os::unix::fs::FileExt;

/// Looks at the number given last.
#[derive(Debug)]
pub(crate) struct Births {
    /// `None` where it cannot be told.
    file: Option<File>,
    seen: u32,
}

impl Births {
    /// Looks for the first time.
    pub(crate) fn new() -> Births {
        let mut births = Births { file: File::open("/proc/loadavg").ok(), seen: 0 };
        births.unmoved();
        births
    }

    /// Called when there certainly was a birth: a number that does not show it tells nothing.
    pub(crate) fn proven(mut self) -> Births {
        if self.unmoved() {
            self.file = None;
        }
        self
    }

    /// Whether it can be told at all.
    pub(crate) fn can_tell(&self) -> bool {
        self.file.is_some()
    }

    /// Whether there was none since the look before. Numbers start over after the greatest one, so
    /// this would miss as many births as there are numbers, were it an exact multiple of them.
    pub(crate) fn unmoved(&mut self) -> bool {
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
        let mut births = Births::new();
        assert!(births.can_tell());
        std::thread::spawn(|| ()).join().unwrap();
        assert!(!births.unmoved());
        std::thread::spawn(|| ()).join().unwrap();
        assert!(births.proven().can_tell());
    }

    #[test]
    fn who_cannot_tell_always_finds_that_it_moved() {
        let mut births = Births { file: None, seen: 0 };
        assert!(!births.unmoved() && !births.unmoved() && !births.can_tell());
        let dull = Births { file: File::open("/dev/null").ok(), seen: 0 };
        assert!(!dull.proven().unmoved());
    }
}

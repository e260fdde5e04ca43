//! Who dies first when memory runs out: the kernel takes the process with the highest score
//! (oom_score_adj, proc_pid_oom_score_adj(5)). What runs a cell stands above the supervisor, and
//! both above the machine's other processes.
//!
//! In a jail the sandbox's /proc can only be read, so that no process of it lowers its score; what
//! is opened before stays open. Elsewhere (`docker`) the engine has fixed the lowest one.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;

/// Of a supervisor: above all that does not ask to be killed first.
const SUPERVISOR: i32 = 500;

/// Of what runs cells: OOM_SCORE_ADJ_MAX.
const FIRST: i32 = 1000;

/// The score of this process.
pub(crate) struct OomScore {
    file: File,
    own: i32,
}

impl OomScore {
    /// Raises it, unless it is higher already. A process with CAP_SYS_RESOURCE fixes by this that
    /// neither it nor what it starts goes below again.
    pub(crate) fn raise() -> io::Result<OomScore> {
        let mut file =
            OpenOptions::new().read(true).write(true).open("/proc/self/oom_score_adj")?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let found: i32 = text.trim().parse().map_err(io::Error::other)?;
        let score = OomScore { file, own: found.max(SUPERVISOR) };
        score.write(score.own)?;
        Ok(score)
    }

    /// Lets `start` make a process that is the first to die: a process is born with its parent's
    /// score, and what it then does with its own is not asked of it.
    pub(crate) fn first_to_die<T>(&self, start: impl FnOnce() -> T) -> io::Result<T> {
        self.write(FIRST)?;
        let started = start();
        // If this failed both would have the same score, and the larger of two dies first: the
        // runner.
        let _ = self.write(self.own);
        Ok(started)
    }

    fn write(&self, score: i32) -> io::Result<()> {
        self.file.write_all_at(score.to_string().as_bytes(), 0)
    }
}

impl AsRawFd for OomScore {
    fn as_raw_fd(&self) -> RawFd {
        self.file.as_raw_fd()
    }
}

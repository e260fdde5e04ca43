//! Templates: the language of a sandbox, where its interpreter comes from, and its limits.

use std::path::PathBuf;
use std::time::Duration;

/// A named recipe for sandboxes. Read from the settings once and never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The name clients ask for with `template=`.
    pub name: String,
    /// Which embedded runner executes the cells.
    pub language: Language,
    /// Interpreter for the local backend; a virtual environment's too. `None`: found at start-up.
    pub python: Option<PathBuf>,
    /// A directory tree the local backend uses instead of the host's system directories.
    pub root: Option<PathBuf>,
    /// Image for the Docker backend.
    pub image: String,
    /// Variables added to the runner's environment.
    pub env: Vec<(String, String)>,
    /// What a session of this template may use.
    pub limits: Limits,
    /// How many sandboxes of it wait for visitors.
    pub pool: PoolSize,
}

/// Bounds on the sandboxes that are parked, ready for a visitor each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PoolSize {
    /// Number kept parked even without visitors; at most `max`.
    pub min: usize,
    /// Largest number parked, however many visitors come. 0: none is ever parked.
    pub max: usize,
}

impl PoolSize {
    /// None is parked: each sandbox is made when it is wanted.
    pub const OFF: PoolSize = PoolSize { min: 0, max: 0 };
}

impl Default for PoolSize {
    /// The first visitor does not wait, nor do the members of a small class; an idle Python takes
    /// about 10 MiB.
    fn default() -> PoolSize {
        PoolSize { min: 1, max: 8 }
    }
}

/// A language that has an embedded runner.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Language {
    /// CPython 3.9 or newer.
    Python,
}

impl Language {
    /// The name used on the wire and in settings.
    pub fn name(self) -> &'static str {
        match self {
            Language::Python => "python",
        }
    }
}

/// Limits of one session. Zero never means "unlimited"; what is optional is an `Option`.
#[derive(Clone, Debug, PartialEq)]
pub struct Limits {
    /// Memory of everything in the sandbox, files in its tmpfs included, in bytes.
    pub memory_bytes: u64,
    /// CPU time a second, in thousandths of a core.
    pub cpu_millis: u32,
    /// Processes and threads, the supervisor included.
    pub processes: u32,
    /// Open files of one process.
    pub open_files: u32,
    /// Size of the writable working directory, in bytes.
    pub disk_bytes: u64,
    /// Files and directories in it.
    pub disk_inodes: u64,
    /// Wall clock of one cell. `None`: as long as the session lives.
    pub timeout: Option<Duration>,
    /// Bytes that are shown of what a cell writes to stdout and stderr. `None`: all.
    pub output_bytes: Option<u64>,
    /// Bytes that are kept of it to be downloaded, where not all is shown. A cell that writes more is
    /// stopped.
    pub output_kept_bytes: u64,
    /// How long a cell may ignore an interrupt before it is killed.
    pub interrupt_grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            memory_bytes: 512 << 20, // 512 MiB: numpy, pandas and a plot with room to work
            cpu_millis: 1000,
            processes: 128,
            open_files: 1024,
            disk_bytes: 256 << 20, // 256 MiB, and it counts against memory
            disk_inodes: 16 << 10, // 16,384
            timeout: None,
            output_bytes: None,
            output_kept_bytes: 256 << 20, // 256 MiB
            interrupt_grace: Duration::from_secs(2),
        }
    }
}

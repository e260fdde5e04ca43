//! Templates: the language of a sandbox, where its interpreter comes from, and its limits.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cellgate_driver::wire::MOST_PROGRAMS;

use crate::language::{self, Interpreters, JUPYTER, LANGUAGES, Language};

/// The working directory of templates that name none.
pub const WORKDIR: &str = "/work";

/// A named recipe for sandboxes. Read from the settings once and never changed.
#[derive(Clone, Debug, PartialEq)]
pub struct Template {
    /// The name clients ask for with `template=`.
    pub name: String,
    /// The language of its sessions' first interpreter.
    pub language: &'static Language,
    /// What other languages its sessions may open interpreters of. `None`: those that are there.
    pub other_languages: Option<Vec<&'static Language>>,
    /// Interpreters for the local backend, by their language; in an image its command.
    pub interpreters: Interpreters,
    /// A directory tree the local backend uses instead of the host's system directories.
    pub root: Option<PathBuf>,
    /// Image for the Docker backend.
    pub image: String,
    /// What executes cells: one of [`Language::shells`]. Means nothing where the language has none.
    pub shell: Option<&'static str>,
    /// The kernel of Jupyter that executes cells, by the name of its directory. Means nothing in other languages.
    pub kernel: Option<String>,
    /// The working directory of its sessions, and their home: an absolute path.
    pub workdir: String,
    /// Variables added to the runner's environment.
    pub env: Vec<(String, String)>,
    /// What a session of this template may use.
    pub limits: Limits,
    /// How many sandboxes of it wait for visitors.
    pub pool: PoolSize,
}

impl Template {
    /// A template with the defaults of its language.
    pub fn new(name: impl Into<String>, language: &'static Language) -> Template {
        Template {
            name: name.into(),
            language,
            other_languages: None,
            interpreters: Interpreters::default(),
            root: None,
            image: language.image.to_owned(),
            shell: language.shells.first().copied(),
            kernel: None,
            workdir: WORKDIR.to_owned(),
            env: Vec::new(),
            limits: Limits::of(language),
            pool: PoolSize::default(),
        }
    }

    /// The interpreter that it names for its language. `None`: the language's usual one.
    pub fn interpreter(&self) -> Option<&Path> {
        self.interpreters.of(self.language)
    }

    /// Every language that its sessions could have on a machine with all interpreters, its first before all others.
    pub fn possible_languages(&self) -> Vec<&'static Language> {
        let has_kernel = self.kernel.is_some();
        let others = LANGUAGES.iter().copied().filter(|other| *other != self.language);
        let others = others.filter(|other| has_kernel || *other != JUPYTER);
        std::iter::once(self.language).chain(others).collect()
    }

    /// The languages, other than its first, that its sessions may have, and whether they are named: one that is named
    /// has to be there.
    pub fn other_languages(&self) -> (Vec<&'static Language>, bool) {
        let all = || self.possible_languages();
        let mut others = self.other_languages.clone().unwrap_or_else(all);
        others.retain(|other| *other != self.language);
        (others, self.other_languages.is_some())
    }

    /// Makes it one of another language, with that language's image and memory. Nothing changes if it is one already.
    pub fn set_language(&mut self, language: &'static Language) {
        if self.language != language {
            self.language = language;
            self.image = language.image.to_owned();
            self.limits.memory_bytes = language.memory_bytes;
        }
    }
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
    /// Programs that a session may have open: interpreters and processes, its first interpreter among them.
    pub programs: usize,
    /// Size of the writable working directory, in bytes.
    pub disk_bytes: u64,
    /// Files and directories in it.
    pub disk_inodes: u64,
    /// Wall clock of one cell. `None`: as long as the session lives.
    pub timeout: Option<Duration>,
    /// Bytes that are shown of what a cell writes to stdout and stderr. `None`: all.
    pub output_bytes: Option<u64>,
    /// Bytes that are kept of it to be downloaded, where not all is shown. A cell that writes more
    /// is stopped.
    pub output_kept_bytes: u64,
    /// How long a cell may ignore an interrupt before it is killed.
    pub interrupt_grace: Duration,
}

impl Limits {
    /// The limits of templates of this language that set none.
    pub fn of(language: &Language) -> Limits {
        Limits {
            memory_bytes: language.memory_bytes,
            cpu_millis: 1000,
            processes: 128,
            open_files: 1024,
            programs: MOST_PROGRAMS,
            disk_bytes: 256 << 20, // 256 MiB, and it counts against memory
            disk_inodes: 16 << 10, // 16,384
            timeout: None,
            output_bytes: None,
            output_kept_bytes: 256 << 20, // 256 MiB
            interrupt_grace: Duration::from_secs(2),
        }
    }
}

impl Default for Limits {
    /// Those of the default language.
    fn default() -> Limits {
        Limits::of(language::DEFAULT)
    }
}

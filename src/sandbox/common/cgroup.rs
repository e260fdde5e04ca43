//! Cgroups of the local backend: limits on memory, CPU and processes, and what they count.
//!
//! ```text
//!   <base>/cellgate-<instance>/             one a gateway, removed by its janitor
//!   <base>/cellgate-<instance>/<session>/   one a sandbox, removed by its ending
//! ```
//! Version 1 has one `<base>` a controller, version 2 one for all; a machine may have both. The
//! base is where the gateway itself is, so that a limit on the gateway's service holds for its
//! sessions too, except where version 2 forbids it (a cgroup with processes cannot have children
//! with controllers): then it is the root, if we may write there.
//!
//! Own code rather than `libcgroups` 0.7: half a dozen files are written and one is read, for
//! which that crate brings the OCI runtime spec and 98 packages, and moves processes through
//! `cgroup.procs`, which can wait for a grace period of the whole kernel where the jail's two
//! ways (`tasks` by oneself, a birth inside) do not.
//!
//! Files are plain reads and writes below a base, so the tests run against a directory tree.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::template::Limits;

mod layout;

pub use layout::{Hierarchy, Layout};

/// Length of the period a CPU quota is for, in microseconds: the kernel's default.
const CPU_PERIOD_US: u64 = 100_000;

/// What TCP and UDP may hold in buffers, as a part of the memory limit. Version 1 counts these
/// apart from all other memory (kernel: admin-guide/cgroup-v1/memory.rst, 2.7.1), so this much
/// comes on top of the limit; an eighth is more than a loopback connection of one's own ever needs.
const BUFFERS_DIVISOR: u64 = 8;

/// The file with that limit. It has to be written before the first process joins: sockets made
/// earlier are never counted.
pub(in crate::sandbox) const BUFFERS_FILE: &str = "memory.kmem.tcp.limit_in_bytes";

/// What TCP and UDP may hold in buffers beside this much memory, in bytes.
pub(in crate::sandbox) fn buffer_bytes(memory_bytes: u64) -> u64 {
    memory_bytes / BUFFERS_DIVISOR
}

/// Which resources of a sandbox can be limited.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Controllers {
    /// Memory, swap included.
    pub memory: bool,
    /// CPU time.
    pub cpu: bool,
    /// Number of processes and threads.
    pub pids: bool,
}

/// The cgroups of this gateway, made and ready for sandboxes.
#[derive(Debug, Default)]
pub struct Cgroups {
    roots: Vec<Root>,
    /// Why a controller is missing, one sentence each.
    pub problems: Vec<String>,
}

/// The gateway's directory in one hierarchy.
#[derive(Debug)]
struct Root {
    dir: PathBuf,
    unified: bool,
    controllers: Controllers,
}

impl Cgroups {
    /// Where [`Cgroups::prepare`] would make directories for `instance`, so that they can be
    /// recorded before.
    pub fn candidates(layout: &Layout, instance: &str) -> Vec<PathBuf> {
        layout.bases().map(|(_, base)| base.join(instance)).collect()
    }

    /// Makes the gateway's directories. One that cannot be made is added to `problems` and is no
    /// error, because the backend reports what it cannot enforce.
    pub fn prepare(layout: &Layout, instance: &str) -> Cgroups {
        let mut made = Cgroups::default();
        for hierarchy in &layout.hierarchies {
            let mut failures = Vec::new();
            let root = hierarchy.bases.iter().find_map(|base| {
                make_root(hierarchy, base, instance).map_err(|error| failures.push(error)).ok()
            });
            match root {
                Some(root) => made.roots.push(root),
                None => made.problems.append(&mut failures),
            }
        }
        made
    }

    /// What the directories can limit.
    pub fn controllers(&self) -> Controllers {
        self.roots.iter().fold(Controllers::default(), |all, root| Controllers {
            memory: all.memory || root.controllers.memory,
            cpu: all.cpu || root.controllers.cpu,
            pids: all.pids || root.controllers.pids,
        })
    }

    /// Whether the memory limit covers swap: the kernel's account of it can be switched off.
    pub fn limits_swap(&self) -> bool {
        let has = |root: &Root| {
            let file = if root.unified { "memory.swap.max" } else { "memory.memsw.limit_in_bytes" };
            root.controllers.memory && root.dir.join(file).exists()
        };
        self.roots.iter().any(has)
    }

    /// Whether what waits in TCP and UDP sockets is limited: version 2 counts it as memory, version
    /// 1 has a limit for it in kernels built so.
    pub fn limits_buffers(&self) -> bool {
        let has = |root: &Root| {
            root.controllers.memory && (root.unified || root.dir.join(BUFFERS_FILE).exists())
        };
        self.roots.iter().any(has)
    }

    /// Makes the cgroups of one sandbox, with its limits. On an error nothing is left.
    pub fn create(&self, name: &str, limits: &Limits) -> io::Result<SessionCgroup> {
        let mut session = SessionCgroup { dirs: Vec::with_capacity(self.roots.len()) };
        for root in &self.roots {
            let dir = root.dir.join(name);
            named("make", &dir, fs::create_dir(&dir))?;
            session.dirs.push(Dir { path: dir, unified: root.unified });
            let Some(dir) = session.dirs.last() else { continue };
            dir.limit(root.controllers, limits)?;
        }
        Ok(session)
    }
}

fn make_root(hierarchy: &Hierarchy, base: &Path, instance: &str) -> Result<Root, String> {
    let sentence = |error: io::Error| format!("{error}");
    let dir = base.join(instance);
    if !hierarchy.unified {
        named("make", &dir, fs::create_dir(&dir)).map_err(sentence)?;
        return Ok(Root { dir, unified: false, controllers: hierarchy.controllers });
    }
    layout::enable(base).map_err(sentence)?;
    named("make", &dir, fs::create_dir(&dir)).map_err(sentence)?;
    let controllers = layout::enable(&dir)
        .and_then(|()| named("read", &dir, fs::read_to_string(dir.join("cgroup.subtree_control"))));
    match controllers {
        Ok(text) => {
            Ok(Root { dir, unified: true, controllers: layout::parse_controllers(text.split(' ')) })
        }
        Err(error) => {
            // It was just made and is empty; if it stays, the janitor removes it, for it is
            // recorded.
            let _ = fs::remove_dir(&dir);
            Err(sentence(error))
        }
    }
}

/// Gives an error of a file its operation and path.
fn named<T>(operation: &str, path: &Path, result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| {
        io::Error::new(error.kind(), format!("cannot {operation} {}: {error}", path.display()))
    })
}

/// One directory of a session.
#[derive(Debug)]
struct Dir {
    path: PathBuf,
    unified: bool,
}

impl Dir {
    fn limit(&self, controllers: Controllers, limits: &Limits) -> io::Result<()> {
        let quota = u64::from(limits.cpu_millis) * CPU_PERIOD_US / 1000;
        let memory = limits.memory_bytes.to_string();
        if self.unified {
            if controllers.memory {
                self.write("memory.max", &memory)?;
                self.write_if_there("memory.swap.max", "0")?;
            }
            if controllers.cpu {
                self.write("cpu.max", &format!("{quota} {CPU_PERIOD_US}"))?;
            }
        } else {
            if controllers.memory {
                self.write("memory.limit_in_bytes", &memory)?;
                // Memory and swap together; must not be below the limit, so it comes second.
                self.write_if_there("memory.memsw.limit_in_bytes", &memory)?;
                let buffers = buffer_bytes(limits.memory_bytes).to_string();
                self.write_if_there(BUFFERS_FILE, &buffers)?;
            }
            if controllers.cpu {
                self.write("cpu.cfs_period_us", &CPU_PERIOD_US.to_string())?;
                self.write("cpu.cfs_quota_us", &quota.to_string())?;
            }
        }
        if controllers.pids {
            self.write("pids.max", &limits.processes.to_string())?;
        }
        Ok(())
    }

    fn write(&self, file: &str, value: &str) -> io::Result<()> {
        let path = self.path.join(file);
        named(&format!("write {value} to"), &path, fs::write(&path, value))
    }

    /// For files that a kernel without that part of the accounting does not have.
    fn write_if_there(&self, file: &str, value: &str) -> io::Result<()> {
        match self.path.join(file).try_exists() {
            Ok(true) => self.write(file, value),
            _ => Ok(()),
        }
    }

    /// How many processes the OOM killer has killed here.
    fn oom_kills(&self) -> Option<u64> {
        let file = if self.unified { "memory.events" } else { "memory.oom_control" };
        let text = fs::read_to_string(self.path.join(file)).ok()?;
        text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
    }
}

/// The cgroups of one sandbox. Dropping removes what is empty; [`SessionCgroup::remove`] waits.
#[derive(Debug)]
pub struct SessionCgroup {
    dirs: Vec<Dir>,
}

impl SessionCgroup {
    /// The directories, and whether each is of version 2.
    pub fn dirs(&self) -> impl Iterator<Item = (&Path, bool)> {
        self.dirs.iter().map(|dir| (dir.path.as_path(), dir.unified))
    }

    /// How many processes the OOM killer has killed in the sandbox; 0 if the kernel does not count
    /// them.
    pub fn oom_kills(&self) -> u64 {
        self.dirs.iter().filter_map(Dir::oom_kills).sum()
    }

    /// Removes the directories, whose processes have just ended. The kernel may refuse for some
    /// milliseconds, so removing is retried until `limit` has passed.
    pub async fn remove(mut self, limit: Duration) -> io::Result<()> {
        const FIRST_PAUSE: Duration = Duration::from_millis(1);
        const LONGEST_PAUSE: Duration = Duration::from_millis(50);
        let deadline = tokio::time::Instant::now() + limit;
        let mut pause = FIRST_PAUSE;
        loop {
            match self.try_remove() {
                Ok(()) => return Ok(()),
                Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
                Err(_) => tokio::time::sleep(pause).await,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }

    /// Removes what can be removed now; fails if something cannot.
    fn try_remove(&mut self) -> io::Result<()> {
        let mut result = Ok(());
        self.dirs.retain(|dir| match fs::remove_dir(&dir.path) {
            Ok(()) => false,
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => {
                result = named("remove", &dir.path, Err(error));
                true
            }
        });
        result
    }
}

impl Drop for SessionCgroup {
    fn drop(&mut self) {
        // What still has processes stays; the janitor removes it with the gateway's directory.
        let _ = self.try_remove();
    }
}

#[cfg(test)]
mod tests;

//! One live sandbox: its first process, its cgroups, its user id; and the power over it.
//!
//! ```text
//!   started ─► Live ─ end() / Drop ─► killed ─► reaped ─► cgroups removed ─► id free
//! ```
//! The first process is our child (the jail cloned it that way), so its number cannot be given to
//! another process before we have reaped it, and nothing of it is left afterwards: the kernel ends
//! and reaps everything in a process namespace before it lets its first process go.

use std::collections::{HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::future::BoxFuture;
use rustix::process::{Pid, PidfdFlags, Signal, WaitId, WaitIdOptions, WaitIdStatus};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;
use tokio::time::timeout;

use crate::sandbox::cgroup::SessionCgroup;
use crate::sandbox::reaper::Reaper;
use crate::sandbox::stream::LinkStream;
use crate::sandbox::{EndCause, SandboxHandle};

/// How long [`SandboxHandle::cause`] waits for the first process to end after its link did.
const CAUSE_PATIENCE: Duration = Duration::from_secs(1);

/// How long the kernel may take to end a killed sandbox. It needs milliseconds; a process in an
/// uninterruptible wait may take longer, and then the janitor gets what is left.
const KILL_PATIENCE: Duration = Duration::from_secs(10);

/// How long the emptied cgroups may refuse to be removed.
const CGROUP_PATIENCE: Duration = Duration::from_secs(5);

/// The pidfds of all live sandboxes, by a number of our own; for a new janitor.
#[derive(Debug, Default)]
pub(super) struct Registry {
    live: Mutex<(u64, HashMap<u64, OwnedFd>)>,
}

impl Registry {
    /// Adds a sandbox; the entry leaves with what is returned.
    fn add(self: &Arc<Self>, pidfd: OwnedFd) -> Entry {
        let mut live = self.lock();
        live.0 += 1;
        let key = live.0;
        live.1.insert(key, pidfd);
        Entry { registry: self.clone(), key }
    }

    /// Copies of all pidfds.
    pub(super) fn pidfds(&self) -> Vec<OwnedFd> {
        self.lock().1.values().filter_map(|pidfd| pidfd.try_clone().ok()).collect()
    }

    fn lock(&self) -> MutexGuard<'_, (u64, HashMap<u64, OwnedFd>)> {
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug)]
struct Entry {
    registry: Arc<Registry>,
    key: u64,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.registry.lock().1.remove(&self.key);
    }
}

/// User ids for sandboxes of one gateway.
#[derive(Debug)]
pub(super) struct Ids {
    first: u32,
    count: u32,
    state: Mutex<(u32, HashSet<u32>)>,
}

impl Ids {
    /// Ids from `first` on.
    pub(super) fn new(first: u32, count: u32) -> Ids {
        Ids { first, count, state: Mutex::default() }
    }

    /// One id for every sandbox, for want of more.
    pub(super) fn shared(id: u32) -> Ids {
        Ids { first: id, count: 0, state: Mutex::default() }
    }

    /// An id no live sandbox has; the one unused longest. `None` if all are in use.
    pub(super) fn take(self: &Arc<Self>) -> Option<Id> {
        if self.count == 0 {
            return Some(Id { ids: self.clone(), offset: 0 });
        }
        let mut state = self.lock();
        for _ in 0..self.count {
            let offset = state.0;
            state.0 = (offset + 1) % self.count;
            if state.1.insert(offset) {
                return Some(Id { ids: self.clone(), offset });
            }
        }
        None
    }

    fn lock(&self) -> MutexGuard<'_, (u32, HashSet<u32>)> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A user id while a sandbox has it.
#[derive(Debug)]
pub(super) struct Id {
    ids: Arc<Ids>,
    offset: u32,
}

impl Id {
    /// The user and group id outside.
    pub(super) fn value(&self) -> u32 {
        self.ids.first + self.offset
    }
}

impl Drop for Id {
    fn drop(&mut self) {
        self.ids.lock().1.remove(&self.offset);
    }
}

/// The first process of a sandbox.
#[derive(Debug)]
struct First {
    pidfd: AsyncFd<OwnedFd>,
    /// Its exit code, or minus the number of the signal that ended it, once reaped.
    status: Option<i32>,
    _entry: Entry,
}

impl First {
    fn kill(&self) {
        // It is our child and not reaped, so the only failure is that it has ended already.
        let _ = rustix::process::pidfd_send_signal(self.pidfd.get_ref(), Signal::KILL);
    }

    /// Waits for its end and reaps it.
    async fn wait(&mut self) -> io::Result<i32> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        // Readable once all threads have ended; never again otherwise.
        let _ready = self.pidfd.readable().await?;
        let id = WaitId::PidFd(self.pidfd.get_ref().as_fd());
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG;
        let status = rustix::process::waitid(id, options)?;
        let status = status.map_or(0, |status| exit_status(&status));
        self.status = Some(status);
        Ok(status)
    }
}

/// Registers a pidfd with the runtime.
#[allow(unsafe_code)] // tokio's safe constructor is deprecated, and this is the one it names
fn watched(pidfd: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: the descriptor is owned by the `AsyncFd`, which nobody gets mutably, so it is not
    // closed or replaced while it is registered.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn exit_status(status: &WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => -signal,
        (None, None) => 0,
    }
}

/// A sandbox, from its cgroups on. Dropping it hands it to the reaper.
#[derive(Debug)]
pub(super) struct Live {
    parts: Option<Parts>,
    reaper: Reaper,
    limit_bytes: u64,
}

/// What ends with a sandbox.
#[derive(Debug)]
struct Parts {
    first: Option<First>,
    cgroup: SessionCgroup,
    _id: Option<Id>,
}

impl Live {
    /// A sandbox of which only the surroundings exist yet.
    pub(super) fn new(
        cgroup: SessionCgroup,
        id: Option<Id>,
        limit_bytes: u64,
        reaper: Reaper,
    ) -> Live {
        Live { parts: Some(Parts { first: None, cgroup, _id: id }), reaper, limit_bytes }
    }

    /// Takes charge of the first process, which must be a child of ours. Answers its pidfd.
    pub(super) fn adopt(&mut self, pid: i32, registry: &Arc<Registry>) -> io::Result<OwnedFd> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let copy = pidfd.try_clone()?;
        let entry = registry.add(pidfd.try_clone()?);
        let first = First { pidfd: watched(pidfd)?, status: None, _entry: entry };
        if let Some(parts) = &mut self.parts {
            parts.first = Some(first);
        }
        Ok(copy)
    }

    /// Waits for the first process's own end, as that of a sandbox only tried.
    pub(super) async fn wait(&mut self) -> io::Result<i32> {
        match self.parts.as_mut().and_then(|parts| parts.first.as_mut()) {
            Some(first) => first.wait().await,
            None => Err(io::Error::other("the sandbox has no process")),
        }
    }

    async fn find_cause(&mut self) -> EndCause {
        let limit_bytes = self.limit_bytes;
        let status = match timeout(CAUSE_PATIENCE, self.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) | Err(_) => return EndCause::Unknown,
        };
        let oom_kills = self.parts.as_ref().map_or(0, |parts| parts.cgroup.oom_kills());
        match status {
            KILLED if oom_kills > 0 => EndCause::OutOfMemory { limit_bytes },
            KILLED => EndCause::Removed("somebody outside killed its first process".into()),
            status => EndCause::Supervisor(status),
        }
    }
}

/// The status of a process ended by SIGKILL, which nothing inside can send to a first process.
const KILLED: i32 = -9;

impl Parts {
    async fn end(mut self) {
        if let Some(first) = &mut self.first {
            first.kill();
            match timeout(KILL_PATIENCE, first.wait()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot wait for a sandbox's end"),
                Err(_) => tracing::error!("a killed sandbox does not end"),
            }
        }
        if let Err(error) = self.cgroup.remove(CGROUP_PATIENCE).await {
            tracing::error!(%error, "a sandbox's cgroup stays until the gateway's end");
        }
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        if let Some(parts) = self.parts.take() {
            // At once, and also if the runtime is gone and the ending never runs.
            if let Some(first) = &parts.first {
                first.kill();
            }
            drop(self.reaper.run(parts.end()));
        }
    }
}

impl SandboxHandle for Live {
    fn ended(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.wait().await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        Box::pin(self.find_cause())
    }

    fn end(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let ending = self.parts.take().map(|parts| self.reaper.run(parts.end()));
        Box::pin(async move {
            if let Some(ending) = ending {
                // It fails only with the runtime, and then nobody is left to be told.
                let _ = ending.await;
            }
        })
    }
}

/// Both ends of a link: ours for the runtime, theirs for the jail.
pub(super) fn link() -> io::Result<(LinkStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((LinkStream::new(ours)?, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_of_the_block_never_shared_and_reused_last() {
        let ids = Arc::new(Ids::new(1000, 3));
        let a = ids.take().unwrap();
        let b = ids.take().unwrap();
        assert_eq!((a.value(), b.value()), (1000, 1001));
        drop(a);
        let c = ids.take().unwrap();
        assert_eq!(c.value(), 1002, "the freshly freed one rests");
        let d = ids.take().unwrap();
        assert_eq!(d.value(), 1000);
        assert!(ids.take().is_none());
        drop(b);
        assert_eq!(ids.take().unwrap().value(), 1001);

        let shared = Arc::new(Ids::shared(65534));
        let both = (shared.take().unwrap(), shared.take().unwrap());
        assert_eq!((both.0.value(), both.1.value()), (65534, 65534));
    }
}

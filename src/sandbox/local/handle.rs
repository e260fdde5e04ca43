//! The handle of one sandbox, which owns its first process, its cgroups and its user id.
//!
//! ```text
//!   started ─► LocalHandle ─ end() / Drop ─► killed ─► reaped ─► cgroups removed ─► id free
//! ```
//! The first process is the gateway's child (the jail clones it that way), so its process id cannot
//! be reused before the gateway has reaped it. Nothing of the sandbox is left afterwards: the
//! kernel ends and reaps all processes of a process namespace before its first one.

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

use crate::sandbox::common::cgroup::SessionCgroup;
use crate::sandbox::common::reaper::Reaper;
use crate::sandbox::common::stream::LinkStream;
use crate::sandbox::{EndCause, SandboxHandle};

/// How long [`SandboxHandle::cause`] waits for the first process to end after its link did.
const CAUSE_TIMEOUT: Duration = Duration::from_secs(1);

/// How long the kernel may take to end a killed sandbox. It needs milliseconds; a process in an
/// uninterruptible wait may take longer, and then the janitor removes what is left.
const KILL_TIMEOUT: Duration = Duration::from_secs(10);

/// How long the emptied cgroups may refuse to be removed.
const CGROUP_TIMEOUT: Duration = Duration::from_secs(5);

/// The pidfds of all live sandboxes, by a running number; a new janitor gets them all.
#[derive(Debug, Default)]
pub(super) struct LivePidfds {
    live: Mutex<(u64, HashMap<u64, OwnedFd>)>,
}

impl LivePidfds {
    /// Adds a sandbox, until the returned registration is dropped.
    fn add(self: &Arc<Self>, pidfd: OwnedFd) -> Registration {
        let mut live = self.lock();
        live.0 += 1;
        let key = live.0;
        live.1.insert(key, pidfd);
        Registration { pidfds: self.clone(), key }
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
struct Registration {
    pidfds: Arc<LivePidfds>,
    key: u64,
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.pidfds.lock().1.remove(&self.key);
    }
}

/// User ids for sandboxes of one gateway.
#[derive(Debug)]
pub(super) struct UserIds {
    first: u32,
    count: u32,
    state: Mutex<(u32, HashSet<u32>)>,
}

impl UserIds {
    /// UserIds from `first` on.
    pub(super) fn new(first: u32, count: u32) -> UserIds {
        UserIds { first, count, state: Mutex::default() }
    }

    /// The same id for every sandbox, where no more can be had.
    pub(super) fn shared(id: u32) -> UserIds {
        UserIds { first: id, count: 0, state: Mutex::default() }
    }

    /// An id no live sandbox has; the one unused longest. `None` if all are in use.
    pub(super) fn take(self: &Arc<Self>) -> Option<UserId> {
        if self.count == 0 {
            return Some(UserId { ids: self.clone(), offset: 0 });
        }
        let mut state = self.lock();
        for _ in 0..self.count {
            let offset = state.0;
            state.0 = (offset + 1) % self.count;
            if state.1.insert(offset) {
                return Some(UserId { ids: self.clone(), offset });
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
pub(super) struct UserId {
    ids: Arc<UserIds>,
    offset: u32,
}

impl UserId {
    /// The user and group id outside.
    pub(super) fn value(&self) -> u32 {
        self.ids.first + self.offset
    }
}

impl Drop for UserId {
    fn drop(&mut self) {
        self.ids.lock().1.remove(&self.offset);
    }
}

/// The first process of a sandbox.
#[derive(Debug)]
struct FirstProcess {
    pidfd: AsyncFd<OwnedFd>,
    /// Its exit code, or minus the number of the signal that ended it, once reaped.
    status: Option<i32>,
    _registration: Registration,
}

impl FirstProcess {
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
    // SAFETY: the `AsyncFd` owns the descriptor and is never lent mutably, so the descriptor is
    // neither closed nor replaced while it is registered.
    Ok(unsafe { AsyncFd::register_with_interest(pidfd, Interest::READABLE) }?)
}

fn exit_status(status: &WaitIdStatus) -> i32 {
    match (status.exit_status(), status.terminating_signal()) {
        (Some(code), _) => code,
        (None, Some(signal)) => -signal,
        (None, None) => 0,
    }
}

/// One sandbox, which exists from its cgroups on. Dropping the handle gives its end to the reaper.
#[derive(Debug)]
pub(super) struct LocalHandle {
    resources: Option<Resources>,
    reaper: Reaper,
    limit_bytes: u64,
}

/// What has to be released when a sandbox ends.
#[derive(Debug)]
struct Resources {
    first: Option<FirstProcess>,
    cgroup: SessionCgroup,
    _id: Option<UserId>,
}

impl LocalHandle {
    /// A sandbox without a process yet.
    pub(super) fn new(
        cgroup: SessionCgroup,
        id: Option<UserId>,
        limit_bytes: u64,
        reaper: Reaper,
    ) -> LocalHandle {
        LocalHandle {
            resources: Some(Resources { first: None, cgroup, _id: id }),
            reaper,
            limit_bytes,
        }
    }

    /// Takes the first process over, which must be a child of this process. Returns its pidfd.
    pub(super) fn adopt(&mut self, pid: i32, pidfds: &Arc<LivePidfds>) -> io::Result<OwnedFd> {
        let pid = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidInput)?;
        let pidfd = rustix::process::pidfd_open(pid, PidfdFlags::NONBLOCK)?;
        let copy = pidfd.try_clone()?;
        let entry = pidfds.add(pidfd.try_clone()?);
        let first = FirstProcess { pidfd: watched(pidfd)?, status: None, _registration: entry };
        if let Some(resources) = &mut self.resources {
            resources.first = Some(first);
        }
        Ok(copy)
    }

    /// Waits until the first process ends by itself; returns its status.
    pub(super) async fn wait(&mut self) -> io::Result<i32> {
        match self.resources.as_mut().and_then(|resources| resources.first.as_mut()) {
            Some(first) => first.wait().await,
            None => Err(io::Error::other("the sandbox has no process")),
        }
    }

    async fn end_cause(&mut self) -> EndCause {
        let limit_bytes = self.limit_bytes;
        let status = match timeout(CAUSE_TIMEOUT, self.wait()).await {
            Ok(Ok(status)) => status,
            Ok(Err(_)) | Err(_) => return EndCause::Unknown,
        };
        let oom_kills = self.resources.as_ref().map_or(0, |resources| resources.cgroup.oom_kills());
        match status {
            KILLED if oom_kills > 0 => EndCause::OutOfMemory { limit_bytes },
            KILLED => EndCause::Removed("its first process was killed from outside".into()),
            status => EndCause::Supervisor(status),
        }
    }
}

/// The status of a process ended by SIGKILL, which nothing inside can send to a first process.
const KILLED: i32 = -9;

impl Resources {
    async fn end(mut self) {
        if let Some(first) = &mut self.first {
            first.kill();
            match timeout(KILL_TIMEOUT, first.wait()).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => tracing::error!(%error, "cannot wait for a sandbox's end"),
                Err(_) => tracing::error!("a killed sandbox does not end"),
            }
        }
        if let Err(error) = self.cgroup.remove(CGROUP_TIMEOUT).await {
            tracing::error!(%error, "a sandbox's cgroup stays until the gateway's end");
        }
    }
}

impl Drop for LocalHandle {
    fn drop(&mut self) {
        if let Some(resources) = self.resources.take() {
            // Kill at once: if the runtime has shut down, the task below never runs.
            if let Some(first) = &resources.first {
                first.kill();
            }
            drop(self.reaper.run(resources.end()));
        }
    }
}

impl SandboxHandle for LocalHandle {
    fn ended(&mut self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            if self.wait().await.is_err() {
                std::future::pending().await
            }
        })
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        Box::pin(self.end_cause())
    }

    fn end(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        let ending = self.resources.take().map(|resources| self.reaper.run(resources.end()));
        Box::pin(async move {
            if let Some(ending) = ending {
                // It fails only when the runtime shuts down, and then no caller is left.
                let _ = ending.await;
            }
        })
    }
}

/// Makes both ends of a link: the gateway's, and the jail's.
pub(super) fn link() -> io::Result<(LinkStream, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((LinkStream::new(ours)?, theirs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_stay_within_their_block_are_never_shared_and_are_reused_last() {
        let ids = Arc::new(UserIds::new(1000, 3));
        let a = ids.take().unwrap();
        let b = ids.take().unwrap();
        assert_eq!((a.value(), b.value()), (1000, 1001));
        drop(a);
        let c = ids.take().unwrap();
        assert_eq!(c.value(), 1002, "the one freed last is taken last");
        let d = ids.take().unwrap();
        assert_eq!(d.value(), 1000);
        assert!(ids.take().is_none());
        drop(b);
        assert_eq!(ids.take().unwrap().value(), 1001);

        let shared = Arc::new(UserIds::shared(65534));
        let both = (shared.take().unwrap(), shared.take().unwrap());
        assert_eq!((both.0.value(), both.1.value()), (65534, 65534));
    }
}

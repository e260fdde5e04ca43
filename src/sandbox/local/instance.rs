//! This gateway's number, its record on disk, and its janitor process.
//!
//! ```text
//!   <runtime dir>/<number>.instance   locked by the gateway and its janitor; holds what to
//!                                     remove should both be gone: lines `cgroup PATH`
//! ```
//! The number is unique among the live gateways of this directory: the record is created anew and
//! locked. It determines the name of the gateway's cgroups and its block of user ids, so that no
//! two gateways share any. A process that gets the lock of a record knows that neither the record's
//! gateway nor its janitor runs, and sweeps.

use std::fs::{self, File};
use std::io::{self, IoSlice, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rustix::fs::{MemfdFlags, SealFlags};
use rustix::net::{SendAncillaryBuffer, SendAncillaryMessage, SendFlags};
use tokio::process::{Child, Command};

use crate::sandbox::common::embedded::DRIVER;
use crate::sandbox::common::lock::{self, Lock};

/// How many gateways can live beside each other: blocks of [`IDS_EACH`] in the range that
/// systemd's table of user ids calls unused (1879048192 to 2147352575).
pub(super) const INSTANCES: u32 = 3000;

/// User ids of one gateway: more sandboxes than one machine can hold.
pub(super) const IDS_EACH: u32 = 1 << 16;

/// How long one janitor may sweep; it gives up by itself after 10 s a record.
const SWEEP_TIMEOUT: Duration = Duration::from_secs(15);

/// The driver's program, in memory and sealed: there is no file to replace, and a process that runs
/// it cannot write to it (CVE-2019-5736).
#[derive(Debug)]
pub(super) struct Program(OwnedFd);

impl Program {
    /// Puts the program into memory.
    pub(super) fn new() -> io::Result<Program> {
        let flags = MemfdFlags::CLOEXEC | MemfdFlags::ALLOW_SEALING;
        let make = |flags| rustix::fs::memfd_create("cellgate-driver", flags);
        // Kernels before 6.3 do not know EXEC; later ones may insist on it (vm.memfd_noexec).
        let fd = make(flags | MemfdFlags::EXEC).or_else(|_| make(flags))?;
        let mut file = File::from(fd);
        file.write_all(DRIVER)?;
        let fd = OwnedFd::from(file);
        let seals = SealFlags::SEAL | SealFlags::SHRINK | SealFlags::GROW | SealFlags::WRITE;
        rustix::fs::fcntl_add_seals(&fd, seals)?;
        Ok(Program(fd))
    }

    /// A command that runs it, with nothing of our environment, outside our process group.
    pub(super) fn command(&self, mode: &str) -> Command {
        let mut command = Command::new(format!("/proc/self/fd/{}", self.0.as_raw_fd()));
        command.arg(mode).env_clear().current_dir("/").process_group(0);
        command
    }
}

/// This gateway's number and record.
#[derive(Debug)]
pub(super) struct Instance {
    /// Below [`INSTANCES`].
    pub(super) number: u32,
    /// Tells our cgroups from those of a gateway with another directory and the same number.
    tag: u64,
    dir: PathBuf,
    path: PathBuf,
    record: File,
}

impl Instance {
    /// Takes a number that no live gateway of this directory has.
    pub(super) fn new(dir: &Path) -> io::Result<Instance> {
        lock::own_directory(dir, 0o700)?;
        let first = getrandom::u32().map_err(io::Error::other)? % INSTANCES;
        let tag = getrandom::u64().map_err(io::Error::other)?;
        for step in 0..INSTANCES {
            let number = (first + step) % INSTANCES;
            let path = dir.join(format!("{number}.instance"));
            if let Some(record) = lock::create(&path)? {
                return Ok(Instance { number, tag, dir: dir.to_owned(), path, record });
            }
        }
        Err(io::Error::other(format!("all {INSTANCES} numbers in {} are taken", dir.display())))
    }

    /// Names this gateway's cgroups; no other gateway of the machine has the same.
    pub(super) fn name(&self) -> String {
        format!("cellgate-{}-{:016x}", self.number, self.tag)
    }

    /// Records cgroups to be removed at the end. Called before they are made.
    pub(super) fn record(&self, cgroups: &[PathBuf]) -> io::Result<()> {
        let lines: String =
            cgroups.iter().map(|dir| format!("cgroup {}\n", dir.display())).collect();
        (&self.record).write_all(lines.as_bytes())
    }

    /// Starts the janitor.
    pub(super) fn janitor(&self, program: &Program) -> io::Result<Janitor> {
        let (child, socket) = start_janitor(program, &self.path, &self.record)?;
        Ok(Janitor { state: Mutex::new(Some(Running { child, socket })) })
    }

    /// Starts a janitor for every record whose gateway and janitor have ended. Returns how many
    /// sandboxes there were.
    pub(super) async fn sweep(&self, program: &Program) -> io::Result<usize> {
        let mut count = 0;
        for entry in fs::read_dir(&self.dir)?.flatten() {
            let path = entry.path();
            if path == self.path || path.extension().is_none_or(|extension| extension != "instance")
            {
                continue;
            }
            // Otherwise its gateway or janitor is running, or has just finished.
            let Ok(Lock::Free(record)) = lock::try_take(&path) else { continue };
            count += sandboxes(&fs::read_to_string(&path)?);
            let (mut child, socket) = start_janitor(program, &path, &record)?;
            drop(socket); // end-of-file at once
            match tokio::time::timeout(SWEEP_TIMEOUT, child.wait()).await {
                Ok(Ok(status)) if status.success() => {}
                _ => {
                    tracing::warn!(record = %path.display(), "something of a dead gateway is left")
                }
            }
        }
        Ok(count)
    }
}

/// How many sandboxes' cgroups a record's directories still have: the most of any hierarchy.
fn sandboxes(record: &str) -> usize {
    let children = |dir: &str| {
        let entries = fs::read_dir(dir).into_iter().flatten().flatten();
        entries.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())).count()
    };
    record.lines().filter_map(|line| line.strip_prefix("cgroup ")).map(children).max().unwrap_or(0)
}

fn start_janitor(program: &Program, path: &Path, record: &File) -> io::Result<(Child, UnixStream)> {
    let (ours, theirs) = UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let child = program
        .command("janitor")
        .arg(path)
        .stdin(Stdio::from(OwnedFd::from(theirs)))
        // The same open file, so the lock is held until gateway and janitor have ended.
        .stdout(Stdio::from(OwnedFd::from(record.try_clone()?)))
        .stderr(Stdio::null())
        .spawn()?;
    Ok((child, ours))
}

/// The process that outlives the gateway and then removes its sandboxes and cgroups.
#[derive(Debug)]
pub(super) struct Janitor {
    state: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    /// Reaped by [`Janitor::has_ended`], or by tokio once this is dropped.
    child: Child,
    socket: UnixStream,
}

impl Janitor {
    /// Sends it the pidfd of a new sandbox. Never waits.
    pub(super) fn watch(&self, pidfd: &impl AsFd) -> io::Result<()> {
        match self.lock().as_ref() {
            Some(running) => send(&running.socket, pidfd),
            None => Err(io::Error::from(io::ErrorKind::BrokenPipe)),
        }
    }

    /// Whether it has ended, as when an operator killed it.
    pub(super) fn has_ended(&self) -> bool {
        self.lock().as_mut().is_none_or(|running| !matches!(running.child.try_wait(), Ok(None)))
    }

    /// Replaces a janitor that was killed and sends the new one the pidfds of all sandboxes.
    pub(super) fn replace<'a>(
        &self,
        instance: &Instance,
        program: &Program,
        live: impl Iterator<Item = &'a OwnedFd>,
    ) -> io::Result<()> {
        let (child, socket) = start_janitor(program, &instance.path, &instance.record)?;
        for pidfd in live {
            send(&socket, pidfd)?;
        }
        *self.lock() = Some(Running { child, socket });
        Ok(())
    }

    fn lock(&self) -> MutexGuard<'_, Option<Running>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn send(socket: &UnixStream, pidfd: &impl AsFd) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let fds = [pidfd.as_fd()];
    if !control.push(SendAncillaryMessage::ScmRights(&fds)) {
        return Err(io::Error::other("no room for a descriptor"));
    }
    let flags = SendFlags::NOSIGNAL | SendFlags::DONTWAIT;
    rustix::net::sendmsg(socket, &[IoSlice::new(&[0])], &mut control, flags)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn live_gateways_have_different_numbers_and_do_not_sweep_each_other() {
        let dir = tempfile::tempdir().unwrap();
        let program = Program::new().unwrap();
        let one = Instance::new(dir.path()).unwrap();
        let two = Instance::new(dir.path()).unwrap();
        assert_ne!(one.number, two.number);
        assert_eq!(one.sweep(&program).await.unwrap(), 0);
        assert!(two.path.exists());
        // A gateway without a janitor that died: the lock is gone, the record stays.
        let left = two.path.clone();
        drop(two);
        one.sweep(&program).await.unwrap();
        assert!(!left.exists(), "swept");
        assert!(one.path.exists());
    }

    #[tokio::test]
    async fn a_janitor_removes_the_record_after_its_gateway() {
        let dir = tempfile::tempdir().unwrap();
        let program = Program::new().unwrap();
        let instance = Instance::new(dir.path()).unwrap();
        let janitor = instance.janitor(&program).unwrap();
        let path = instance.path.clone();
        let running = janitor.state.into_inner().unwrap().unwrap();
        let Running { mut child, socket } = running;
        drop(socket); // as the kernel does when the gateway ends
        let status = tokio::time::timeout(Duration::from_secs(10), child.wait()).await;
        assert!(status.unwrap().unwrap().success());
        assert!(!path.exists());
    }

    #[test]
    fn a_runtime_directory_that_is_a_link_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let link = dir.path().join("link");
        std::os::unix::fs::symlink("/tmp", &link).unwrap();
        assert!(Instance::new(&link).is_err());
    }
}

//! Starts the jail (`driver/src/jail.rs`) and reads its report.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cellgate_driver::spec::{Report, Spec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

use super::handle::{LivePidfds, LocalHandle};
use super::instance::{Instance, Janitor, Program};
use crate::sandbox::SandboxError;

/// How long building a sandbox may take. It takes milliseconds; a machine that swaps or whose cores
/// are all busy needs more.
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Longest report in bytes; it is a few lines.
const MAX_REPORT: u64 = 8 << 10;

/// Starts the jails of one backend.
#[derive(Debug)]
pub(super) struct Jailer {
    pub(super) program: Program,
    pub(super) instance: Instance,
    pub(super) janitor: Janitor,
    pub(super) pidfds: Arc<LivePidfds>,
}

/// What a jail reports after it has built its sandbox.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct JailStarted {
    /// The Landlock version in force; 0 for none.
    pub(super) landlock: u32,
}

/// Why a jail did not succeed: what the kernel refused, where that is known.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub(super) struct JailError {
    what: String,
    #[source]
    cause: io::Error,
}

impl JailError {
    fn new(what: impl Into<String>, cause: io::Error) -> JailError {
        JailError { what: what.into(), cause }
    }

    /// Whether the kernel refused because of this process's rights or the kernel's age.
    pub(super) fn is_refusal(&self) -> bool {
        // ENOSPC: user.max_user_namespaces is reached; ENOSYS, EINVAL: the kernel is too old or
        // was built without a namespace.
        let refusals = [libc::EPERM, libc::EACCES, libc::ENOSPC, libc::ENOSYS, libc::EINVAL];
        self.cause.raw_os_error().is_some_and(|errno| refusals.contains(&errno))
    }
}

impl From<JailError> for SandboxError {
    fn from(error: JailError) -> SandboxError {
        SandboxError::Step { operation: error.what, cause: error.cause.into() }
    }
}

impl Jailer {
    /// Builds the sandbox of `spec` and waits until its supervisor runs. From its start on the
    /// first process belongs to `handle`, also when an error is returned.
    pub(super) async fn start(
        &self,
        spec: &Spec,
        link: UnixStream,
        handle: &mut LocalHandle,
    ) -> Result<JailStarted, JailError> {
        let doing = |what: &'static str| move |cause| JailError::new(what, cause);
        let (spec_out, spec_in) = std::io::pipe().map_err(doing("make a pipe"))?;
        let (report_tx, report_rx) = pipe::pipe().map_err(doing("make a pipe"))?;
        let report_tx = report_tx.into_blocking_fd().map_err(doing("make a pipe"))?;
        let mut child = self
            .program
            .command("jail")
            .stdin(Stdio::from(OwnedFd::from(spec_out)))
            .stdout(Stdio::from(OwnedFd::from(link)))
            .stderr(Stdio::from(report_tx))
            .spawn()
            .map_err(doing("start the jail"))?;
        // It fits into a pipe's buffer (a test in `plan` checks that), so writing never waits.
        let mut spec_in = spec_in;
        spec_in.write_all(&spec.encode()).map_err(doing("hand over the sandbox's description"))?;
        drop(spec_in);

        let reading = self.read_report(report_rx, handle);
        let started = tokio::time::timeout(START_TIMEOUT, reading).await.unwrap_or_else(|_| {
            Err(JailError::new("build the sandbox in time", io::ErrorKind::TimedOut.into()))
        });
        // The process started above is not the sandbox. It has ended, or has to now.
        if started.is_err() {
            let _ = child.start_kill();
        }
        child.wait().await.map_err(doing("wait for the jail"))?;
        started
    }

    async fn read_report(
        &self,
        report: pipe::Receiver,
        handle: &mut LocalHandle,
    ) -> Result<JailStarted, JailError> {
        let mut lines = BufReader::new(report.take(MAX_REPORT)).lines();
        let mut started = None;
        let mut failure = None;
        let reading = |cause| JailError::new("read the jail's report", cause);
        while let Some(line) = lines.next_line().await.map_err(reading)? {
            match Report::parse(&line) {
                Some(Report::Pid(pid)) => {
                    let pidfd = handle
                        .adopt(pid, &self.pidfds)
                        .map_err(|cause| JailError::new("watch the sandbox's process", cause))?;
                    self.register_with_janitor(&pidfd);
                }
                Some(Report::Landlock(landlock)) => started = Some(JailStarted { landlock }),
                Some(Report::Failed(errno, what)) => {
                    failure = Some(JailError::new(what, io::Error::from_raw_os_error(errno)));
                }
                // Any other line is a failure of the program itself, as a panic's message.
                None => failure = Some(JailError::new("build the sandbox", io::Error::other(line))),
            }
        }
        match (failure, started) {
            (Some(failure), _) => Err(failure),
            (None, Some(started)) => Ok(started),
            (None, None) => Err(JailError::new(
                "build the sandbox",
                io::Error::other("the jail ended without a report"),
            )),
        }
    }

    fn register_with_janitor(&self, pidfd: &impl AsFd) {
        let Err(error) = self.janitor.watch(pidfd) else { return };
        // It was killed, or its queue is full because it is stopped. A new one gets all pidfds.
        tracing::warn!(%error, "the janitor does not answer; starting another");
        self.replace_janitor();
    }

    /// Makes sure that a janitor runs before the gateway ends.
    pub(super) fn ensure_janitor(&self) {
        if self.janitor.has_ended() {
            tracing::warn!("the janitor was ended; starting another");
            self.replace_janitor();
        }
    }

    fn replace_janitor(&self) {
        let live = self.pidfds.pidfds();
        if let Err(error) = self.janitor.replace(&self.instance, &self.program, live.iter()) {
            tracing::error!(%error, "no janitor: sandboxes end with the gateway, but their cgroups may stay");
        }
    }
}

//! Starts the jail and listens to its report.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use cellgate_driver::spec::{Report, Spec};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::net::unix::pipe;

use super::instance::{Instance, Janitor, Program};
use super::live::{Live, Registry};
use crate::sandbox::SandboxError;

/// How long a sandbox may take to stand. It takes milliseconds; a machine that swaps or whose
/// cores are all taken needs more.
const PATIENCE: Duration = Duration::from_secs(10);

/// Most bytes a report can have; it is a few lines.
const MAX_REPORT: u64 = 8 << 10;

/// Everything that starting a jail takes. One a backend.
#[derive(Debug)]
pub(super) struct Jailer {
    pub(super) program: Program,
    pub(super) instance: Instance,
    pub(super) janitor: Janitor,
    pub(super) registry: Arc<Registry>,
}

/// What a jail reported that succeeded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
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

    /// Whether the kernel said that this process may not.
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
    /// Builds the sandbox of `spec` around `live` and waits until it stands. On an error whatever
    /// was begun belongs to `live`.
    pub(super) async fn start(
        &self,
        spec: &Spec,
        link: UnixStream,
        live: &mut Live,
    ) -> Result<Standing, JailError> {
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
        // At most a pipe's capacity (a test of the plan holds it to that), so it never waits.
        let mut spec_in = spec_in;
        spec_in.write_all(&spec.encode()).map_err(doing("hand over the sandbox's description"))?;
        drop(spec_in);

        let listening = self.listen(report_rx, live);
        let standing = tokio::time::timeout(PATIENCE, listening).await.unwrap_or_else(|_| {
            Err(JailError::new("build the sandbox in time", io::ErrorKind::TimedOut.into()))
        });
        // The process we started has ended, or is to: it is not the sandbox.
        if standing.is_err() {
            let _ = child.start_kill();
        }
        child.wait().await.map_err(doing("wait for the jail"))?;
        standing
    }

    async fn listen(&self, report: pipe::Receiver, live: &mut Live) -> Result<Standing, JailError> {
        let mut lines = BufReader::new(report.take(MAX_REPORT)).lines();
        let mut standing = None;
        let mut failure = None;
        let reading = |cause| JailError::new("read the jail's report", cause);
        while let Some(line) = lines.next_line().await.map_err(reading)? {
            match Report::parse(&line) {
                Some(Report::Pid(pid)) => {
                    let pidfd = live
                        .adopt(pid, &self.registry)
                        .map_err(|cause| JailError::new("watch the sandbox's process", cause))?;
                    self.tell_janitor(&pidfd);
                }
                Some(Report::Landlock(landlock)) => standing = Some(Standing { landlock }),
                Some(Report::Failed(errno, what)) => {
                    failure = Some(JailError::new(what, io::Error::from_raw_os_error(errno)));
                }
                // What the program says when it breaks, a panic's message for one.
                None => failure = Some(JailError::new("build the sandbox", io::Error::other(line))),
            }
        }
        match (failure, standing) {
            (Some(failure), _) => Err(failure),
            (None, Some(standing)) => Ok(standing),
            (None, None) => Err(JailError::new(
                "build the sandbox",
                io::Error::other("the jail ended silently"),
            )),
        }
    }

    fn tell_janitor(&self, pidfd: &impl AsFd) {
        let Err(error) = self.janitor.watch(pidfd) else { return };
        // Killed by somebody, or its queue is full because it is stopped: a new one gets all.
        tracing::warn!(%error, "the janitor does not listen; starting another");
        self.replace_janitor();
    }

    /// Sees to it that somebody cleans up behind a gateway that is about to end.
    pub(super) fn keep_janitor(&self) {
        if self.janitor.has_ended() {
            tracing::warn!("the janitor was ended; starting another");
            self.replace_janitor();
        }
    }

    fn replace_janitor(&self) {
        let live = self.registry.pidfds();
        if let Err(error) = self.janitor.replace(&self.instance, &self.program, live.iter()) {
            tracing::error!(%error, "no janitor: sandboxes end with us, but their cgroups may stay");
        }
    }
}

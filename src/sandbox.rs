//! Sandboxes: what the operating system isolates, and the backends that make them.
//!
//! ```text
//!   pool ─► Backend::create ─► Sandbox { link, setup, startable, handle }
//!                                │       │      └ asks why it ended, ends it; Drop gives that to a reaper
//!                                │       └ first frame the gateway sends
//!                                └ the byte stream the supervisor answers on
//! ```
//! A backend makes a sandbox, starts the driver in it as PID 1 and hands over the stream to it.
//! It never reads or writes that stream afterwards. A sandbox is used for one session and never
//! again.

use std::fmt;
use std::sync::Arc;

use cellgate_driver::wire::Setup;
use futures::future::BoxFuture;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::id::SessionId;
use crate::template::Template;

pub mod common;
pub use common::startable::Startable;
pub mod docker;
pub mod local;
mod protection;

pub use protection::{Enforcement, EnforcementState, Protection, missing_limits};

/// A byte stream to a driver.
pub trait Duplex: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Duplex for T {}

/// The request for a sandbox.
#[derive(Clone, Debug)]
pub struct SandboxSpec {
    /// Names the sandbox in labels, cgroups and logs.
    pub session: SessionId,
    /// The recipe.
    pub template: Arc<Template>,
}

/// A sandbox in which the driver runs.
pub struct Sandbox {
    /// The stream to the supervisor; the supervisor's HELLO is its first frame.
    pub link: Box<dyn Duplex>,
    /// Settings for the supervisor; the first frame that the gateway sends.
    pub setup: Setup,
    /// What can be started in it later.
    pub startable: Arc<Startable>,
    /// Waits for the sandbox's end and ends it.
    pub handle: Box<dyn SandboxHandle>,
}

/// Control over one sandbox. Dropping the handle ends the sandbox too: `Drop` cannot await, so it
/// gives the work to the backend's reaper.
pub trait SandboxHandle: Send {
    /// Waits until the sandbox's first process has ended, for a caller that does not read the link
    /// and so does not see it close. Never returns where the backend cannot know. Safe to drop and
    /// call again.
    fn ended(&mut self) -> BoxFuture<'_, ()>;

    /// Says why the sandbox ended; called once the link has closed. Returns within two seconds
    /// whatever the backend does.
    fn cause(&mut self) -> BoxFuture<'_, EndCause>;

    /// Ends the sandbox and waits until nothing of it is left.
    fn end(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// Why a sandbox ended without being asked to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EndCause {
    /// The kernel's OOM killer took the supervisor itself.
    OutOfMemory {
        /// The limit that was reached, in bytes.
        limit_bytes: u64,
    },
    /// The sandbox was removed or stopped from outside, by an operator or the engine. With the
    /// details.
    Removed(String),
    /// The supervisor ended: its exit code, or minus the number of the signal.
    Supervisor(i32),
    /// The backend does not answer.
    BackendGone(String),
    /// The link closed and the backend knows no reason.
    Unknown,
}

/// A language, as a backend finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LanguageFound {
    /// Its name in settings.
    pub name: &'static str,
    /// Its interpreter, or why there is none and what to do.
    pub interpreter: Result<String, String>,
}

/// A way of making sandboxes.
pub trait Backend: Send + Sync + 'static {
    /// Which one it is.
    fn kind(&self) -> BackendKind;

    /// How it works here, in a few words for people: `as root`, `runsc`. Empty: there is only one
    /// way.
    fn flavour(&self) -> String {
        String::new()
    }

    /// The kernel whose system calls code in its sandboxes makes.
    fn kernel(&self) -> Kernel {
        Kernel::Shared
    }

    /// Makes a sandbox and starts the driver in it. On an error, and when the future is dropped
    /// half-way, nothing is left behind.
    fn create<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Sandbox, SandboxError>>;

    /// Checks that the interpreter, root or image that `template` names for this backend exists.
    /// Called once for every template before a gateway starts.
    fn check_template<'a>(
        &'a self,
        template: &'a Template,
    ) -> BoxFuture<'a, Result<(), SandboxError>>;

    /// Which languages cells of `template` could be written in here, each with its interpreter or with what would give
    /// it one; for `cellgate doctor`.
    fn languages<'a>(&'a self, template: &'a Template) -> BoxFuture<'a, Vec<LanguageFound>>;

    /// Checks that a sandbox could be made right now; for `/readyz`.
    fn check(&self) -> BoxFuture<'_, Result<(), SandboxError>>;

    /// How this backend enforces `protection` on this machine; `None` if it is none of this
    /// backend's.
    fn protection(&self, protection: Protection) -> Option<EnforcementState>;

    /// Every protection of this backend, and whether it is in force.
    fn enforcement(&self) -> Vec<Enforcement> {
        let entry = |protection: &Protection| {
            let (protection, name) = (*protection, protection.name(self.kind()));
            Some(Enforcement { protection, name, state: self.protection(protection)? })
        };
        Protection::ALL.iter().filter_map(entry).collect()
    }

    /// Removes what gateways that have ended left behind. Returns how many sandboxes it removed.
    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>>;

    /// Waits until every sandbox whose handle was dropped is gone.
    fn drained(&self) -> BoxFuture<'_, ()>;
}

/// The kernel whose system calls code in a sandbox makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kernel {
    /// The machine's, which all sandboxes share.
    Shared,
    /// One for each sandbox: gVisor's, a program without privileges.
    Own,
}

/// The backends there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum BackendKind {
    /// Docker containers.
    Docker,
    /// Linux namespaces made by us.
    Local,
}

impl BackendKind {
    /// The name in settings, `ready` and logs.
    pub fn name(self) -> &'static str {
        match self {
            BackendKind::Docker => "docker",
            BackendKind::Local => "local",
        }
    }
}

impl fmt::Display for BackendKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Why a sandbox could not be made.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// This machine cannot do it at all; says what to change.
    #[error("{0}")]
    Unsupported(String),
    /// The template asks for something that is not there (an image, an interpreter, a root).
    #[error("template {template}: {what}")]
    Template {
        /// The template's name.
        template: String,
        /// Key of the setting that asks for it: `python`, `root`, `image`.
        setting: &'static str,
        /// What is missing, and what to do.
        what: String,
    },
    /// A setting of the gateway names what is not there or cannot be used.
    #[error("{what}")]
    Setting {
        /// Its key: `runtime_dir`, `docker.host`.
        setting: &'static str,
        /// What is wrong, and what to do.
        what: String,
    },
    /// One step failed.
    #[error("cannot {operation}")]
    Step {
        /// What was tried, values included.
        operation: String,
        /// Its cause.
        #[source]
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The backend did not answer in time.
    #[error("{operation} took longer than {limit_ms} ms")]
    Deadline {
        /// What was tried.
        operation: String,
        /// The deadline, in milliseconds.
        limit_ms: u64,
    },
}

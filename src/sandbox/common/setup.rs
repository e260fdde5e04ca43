//! The SETUP message, with which the gateway describes a sandbox to its supervisor. It is the same
//! for every backend but for the few values that a backend finds out itself.

use cellgate_driver::wire::Setup;

use super::environment;
use super::rlimits;
use crate::template::Template;

/// How often USAGE is sent while a cell runs, in milliseconds.
const USAGE_INTERVAL_MS: u32 = 1000;

/// The values of SETUP that a backend finds out itself.
pub(in crate::sandbox) struct Found {
    /// The interpreter's path or name in the sandbox.
    pub(in crate::sandbox) interpreter: String,
    /// Variables that every other source of variables may replace, PATH among them.
    pub(in crate::sandbox) variables: Vec<(String, String)>,
    /// The filter for system calls of user code, see [`super::policy::runner_filter`].
    pub(in crate::sandbox) seccomp: Vec<u8>,
    /// Whether a cgroup limits the sandbox's memory; if not, the supervisor watches it.
    pub(in crate::sandbox) memory_is_limited: bool,
}

/// The message for a sandbox of `template`.
pub(in crate::sandbox) fn setup(template: &Template, found: Found) -> Setup {
    let limits = &template.limits;
    Setup {
        language: template.language.name.to_owned(),
        interpreter: found.interpreter,
        env: environment::variables(&found.variables, template),
        workdir: template.workdir.clone(),
        rlimits: rlimits::of_runner(limits, found.memory_is_limited),
        seccomp: found.seccomp,
        memory_limit_bytes: limits.memory_bytes,
        watch_memory: !found.memory_is_limited,
        usage_interval_ms: USAGE_INTERVAL_MS,
        process: None,
    }
}

//! How many file descriptors the process may have, and what they are for.
//!
//! Each connection is one. Each sandbox needs some for its link, its processes and its files; they
//! come out of a reserve, so that a crowd of connections does not keep sessions from working.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// For what is there once: listener, runtime, log, engine, the sandboxes' directories.
const PROCESS: usize = 64;

/// For a session: link, process, pipes of its start, log on disk, the output that is kept of eight
/// cells, files that are moved.
const PER_SANDBOX: usize = 16;

/// Connections that are accepted in any case.
const LEAST: usize = 16;

/// Raises the process's limit as far as it may, and answers how many of the `wanted` connections
/// fit beside `sandboxes`. Says so in the log where that is fewer.
pub(super) fn connections(wanted: usize, sandboxes: usize) -> usize {
    let mut limits = getrlimit(Resource::Nofile);
    if limits.current < limits.maximum || limits.maximum.is_none() {
        let raised = Rlimit { current: limits.maximum, ..limits };
        match setrlimit(Resource::Nofile, raised) {
            Ok(()) => limits = raised,
            Err(error) => tracing::warn!(%error, "cannot raise the limit of open files"),
        }
    }
    let Some(limit) = limits.current else { return wanted };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let fit = fitting(wanted, sandboxes, limit);
    if fit < wanted {
        tracing::warn!(
            open_files = limit,
            sandboxes,
            wanted,
            connections = fit,
            "the limit of open files (ulimit -n) is too low for all connections; fewer are accepted \
             at one time"
        );
    }
    fit
}

fn fitting(wanted: usize, sandboxes: usize, limit: usize) -> usize {
    let reserve = sandboxes.saturating_mul(PER_SANDBOX).saturating_add(PROCESS);
    wanted.min(limit.saturating_sub(reserve)).max(LEAST.min(wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_leave_what_sandboxes_need() {
        for (wanted, sandboxes, limit, fit) in [
            (10_000, 108, 1 << 20, 10_000),
            (10_000, 108, 4096, 4096 - 108 * PER_SANDBOX - PROCESS),
            (10, 108, 4096, 10),
            (10_000, 100, 1024, LEAST),
            (8, 100, 1024, 8),
        ] {
            assert_eq!(fitting(wanted, sandboxes, limit), fit, "{wanted} {sandboxes} {limit}");
        }
    }

    #[test]
    fn the_limit_is_raised_to_what_is_allowed() {
        connections(1, 1);
        let limits = getrlimit(Resource::Nofile);
        assert_eq!(limits.current, limits.maximum);
    }
}

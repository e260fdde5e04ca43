//! Limits of each process of user code, beside the cgroup's of all: one table for every backend.
//!
//! The kernel counts some of these by process and some by user; a user id for each sandbox
//! separates the latter. Where the table leaves a limit unchanged, it says why.

use cellgate_driver::wire::Rlimit;

use crate::template::Limits;

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

/// One resource of setrlimit(2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::sandbox) struct Resource {
    /// The name engines have for it.
    pub(in crate::sandbox) name: &'static str,
    /// The kernel's number.
    pub(in crate::sandbox) number: u32,
    /// Soft and hard limit; `None`: as it is.
    pub(in crate::sandbox) value: Option<u64>,
}

/// All sixteen. `memory_is_limited` says whether a cgroup limits the sandbox's memory.
pub(in crate::sandbox) fn table(limits: &Limits, memory_is_limited: bool) -> [Resource; 16] {
    let resource = |name, number, value| Resource { name, number, value };
    [
        // The share of the processors is limited for the sandbox as a whole, and a cell's time by
        // its template; a session may run for days.
        resource("cpu", libc::RLIMIT_CPU, None),
        // Files that are on no disk (memfd) are no larger than those that are. The margin lets a
        // full disk be what it is, ENOSPC: this limit comes with a signal.
        resource("fsize", libc::RLIMIT_FSIZE, Some(limits.disk_bytes + MIB)),
        // Without a cgroup a MemoryError in one process comes before the watch ends all of them.
        resource("data", libc::RLIMIT_DATA, (!memory_is_limited).then_some(limits.memory_bytes)),
        // The kernel's default. Without a limit the kernel gives up a part of the randomisation of
        // addresses (legacy layout).
        resource("stack", libc::RLIMIT_STACK, Some(8 * MIB)),
        resource("core", libc::RLIMIT_CORE, Some(0)),
        // The kernel ignores it today (getrlimit(2)).
        resource("rss", libc::RLIMIT_RSS, None),
        // Processes and threads of the user, the supervisor included.
        resource("nproc", libc::RLIMIT_NPROC, Some(u64::from(limits.processes))),
        resource("nofile", libc::RLIMIT_NOFILE, Some(u64::from(limits.open_files))),
        // The kernel's own default for a user until 5.16.
        resource("memlock", libc::RLIMIT_MEMLOCK, Some(64 * KIB)),
        // Not memory: numpy reserves far more of it than it ever touches.
        resource("as", libc::RLIMIT_AS, None),
        // The kernel ignores it today (getrlimit(2)).
        resource("locks", libc::RLIMIT_LOCKS, None),
        // Signals and timers, each of which is kernel memory.
        resource("sigpending", libc::RLIMIT_SIGPENDING, Some(1024)),
        // Bytes of POSIX message queues, which no disk limit covers.
        resource("msgqueue", libc::RLIMIT_MSGQUEUE, Some(64 * KIB)),
        // Nice values cannot be lowered, and real-time priorities cannot be had: a process with
        // such a priority would take the processors from all others.
        resource("nice", libc::RLIMIT_NICE, Some(0)),
        resource("rtprio", libc::RLIMIT_RTPRIO, Some(0)),
        resource("rttime", libc::RLIMIT_RTTIME, Some(0)),
    ]
}

/// What the supervisor sets on user code.
pub(in crate::sandbox) fn of_runner(limits: &Limits, memory_is_limited: bool) -> Vec<Rlimit> {
    let set = |resource: Resource| {
        resource.value.map(|value| Rlimit { resource: resource.number, value })
    };
    table(limits, memory_is_limited).into_iter().filter_map(set).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_resource_of_the_kernel_is_decided_on_once() {
        let limits = Limits::default();
        let mut numbers = table(&limits, true).map(|resource| resource.number);
        numbers.sort_unstable();
        assert_eq!(numbers.to_vec(), (0..16).collect::<Vec<u32>>());
        let unset = |memory_is_limited| {
            let table = table(&limits, memory_is_limited).into_iter();
            table.filter(|one| one.value.is_none()).map(|one| one.name).collect::<Vec<_>>()
        };
        assert_eq!(unset(true), ["cpu", "data", "rss", "as", "locks"]);
        assert_eq!(unset(false), ["cpu", "rss", "as", "locks"]);
        for name in ["core", "nice", "rtprio", "rttime"] {
            let found = table(&limits, true).into_iter().find(|one| one.name == name);
            assert_eq!(found.unwrap().value, Some(0), "{name}");
        }
    }
}

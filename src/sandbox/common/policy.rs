//! Which system calls user code may make: one list, two forms.
//!
//! ```text
//!   table::rules() ─┬─► runner_filter()    BPF for SETUP, installed just before the interpreter
//!                   └─► docker_profile()   JSON for Docker's `seccomp=` option
//! ```
//! The list has the shape of Docker's default profile for a container without capabilities, and
//! is tighter: no tracing or reading of other processes, no namespaces, no mounts, no io_uring and
//! no asynchronous I/O of the older kind, no keyrings, no BPF, no performance counters, no NUMA
//! policy, no huge pages, and no sockets but Unix ones and those of TCP and UDP over IP.
//!
//! Verdicts: listed → allowed · clone3, asynchronous I/O and numbers newer than the list → ENOSYS,
//! so that libc and runtimes fall back to calls whose arguments a filter can check · other sockets
//! → EOPNOTSUPP · anything else → EPERM · calls of another architecture (i386, x32 as far as the
//! kernel has it) → the process is killed, or ENOSYS for x32's numbers.
//!
//! Own compiler rather than the `seccompiler` crate: that has two verdicts a filter and compares
//! one number after the other (about 1,800 instructions for this list); ranges of numbers need
//! 200, and each session holds its own copy in the kernel.

use std::collections::BTreeSet;

use serde_json::{Value, json};

mod bpf;
mod table;

use table::{Condition, Rule};

/// Why no filter can be made.
#[derive(Debug, thiserror::Error)]
pub enum PolicyError {
    /// The list knows no numbers for this architecture.
    #[error("system calls cannot be filtered on {0}: only x86_64 and aarch64 are known")]
    Architecture(&'static str),
}

/// The filter for user code as `struct sock_filter`s in native layout, eight bytes each.
pub fn runner_filter() -> Result<Vec<u8>, PolicyError> {
    let arch = audit_arch().ok_or(PolicyError::Architecture(std::env::consts::ARCH))?;
    let program = bpf::compile(arch);
    Ok(program.iter().flat_map(|instruction| instruction.bytes()).collect())
}

/// The same list as a profile for Docker's `security-opt seccomp=`.
///
/// Two differences. libseccomp compares 64 bits of an argument where the kernel reads 32, so "not
/// this value" could be evaded and is left out; and a refused socket answers EPERM. Both are as in
/// [`runner_filter`] for user code, which the driver puts under that one too.
pub fn docker_profile() -> Value {
    let mut always = BTreeSet::new();
    let mut rules = Vec::new();
    for Rule { name, conditions, .. } in table::rules() {
        let args: Vec<Value> = conditions.iter().filter_map(docker_condition).collect();
        if args.is_empty() {
            always.insert(name);
        } else {
            rules.push(json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args }));
        }
    }
    rules.push(json!({ "names": always, "action": "SCMP_ACT_ALLOW" }));
    let absent: Vec<&str> = table::ABSENT.iter().map(|&(name, _)| name).collect();
    rules.push(json!({ "names": absent, "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": libc::EPERM,
        // No other architectures below these: their calls are not filtered but refused.
        "archMap": [
            { "architecture": "SCMP_ARCH_X86_64", "subArchitectures": [] },
            { "architecture": "SCMP_ARCH_AARCH64", "subArchitectures": [] },
        ],
        "syscalls": rules,
    })
}

fn docker_condition(condition: &Condition) -> Option<Value> {
    match *condition {
        Condition::Is(index, value) => {
            Some(json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" }))
        }
        Condition::Clear(index, mask) => Some(
            json!({ "index": index, "value": mask, "valueTwo": 0, "op": "SCMP_CMP_MASKED_EQ" }),
        ),
        Condition::Masked(index, mask, value) => Some(json!({
            "index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ",
        })),
        Condition::IsNot(..) => None,
    }
}

/// The kernel's AUDIT_ARCH_* number of this architecture.
fn audit_arch() -> Option<u32> {
    match std::env::consts::ARCH {
        "x86_64" => Some(0xC000_003E),
        "aarch64" => Some(0xC000_00B7),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::LazyLock;

    use super::*;
    use bpf::{Call, evaluate};

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    fn verdict(nr: i64, args: [u64; 6]) -> u32 {
        static PROGRAM: LazyLock<Vec<bpf::Instruction>> =
            LazyLock::new(|| bpf::compile(audit_arch().unwrap()));
        evaluate(&PROGRAM, &Call { nr: nr as u32, arch: audit_arch().unwrap(), args })
    }

    #[test]
    fn every_number_gets_the_verdict_of_the_list() {
        let entries = table::rules();
        for nr in 0..2048 {
            let of_number: Vec<_> = entries.iter().filter(|entry| entry.nr == nr).collect();
            let expected = match of_number[..] {
                _ if nr > table::NEWEST => ENOSYS,
                _ if table::ABSENT.iter().any(|&(_, absent)| absent == nr) => ENOSYS,
                [] => EPERM,
                [entry] if entry.conditions.is_empty() => ALLOW,
                _ => continue, // its own test below
            };
            assert_eq!(verdict(nr, [u64::MAX; 6]), expected, "number {nr}");
        }
    }

    #[test]
    fn arguments_are_judged_as_the_kernel_reads_them() {
        let of = |first: u64, second: u64, third: u64| [first, second, third, 0, 0, 0];
        let clone = |flags: i32| verdict(libc::SYS_clone, of(flags as u32 as u64, 0, 0));
        assert_eq!(clone(libc::SIGCHLD), ALLOW);
        assert_eq!(clone(libc::CLONE_VM | libc::CLONE_THREAD | libc::CLONE_SIGHAND), ALLOW);
        for namespace in [libc::CLONE_NEWUSER, libc::CLONE_NEWNS, libc::CLONE_NEWCGROUP] {
            assert_eq!(clone(libc::SIGCHLD | namespace), EPERM, "{namespace:x}");
        }
        // The kernel reads 32 bits of an ioctl's number: the high half must not hide it.
        let ioctl = |request: u64| verdict(libc::SYS_ioctl, of(0, request, 0));
        assert_eq!(ioctl(libc::TIOCGWINSZ), ALLOW);
        assert_eq!(ioctl(libc::TIOCSTI), EPERM);
        assert_eq!(ioctl(libc::TIOCSTI | 1 << 32), EPERM);
        assert_eq!(verdict(libc::SYS_personality, of(0xffff_ffff, 0, 0)), ALLOW);
        assert_eq!(verdict(libc::SYS_personality, of(0x0400_0000, 0, 0)), EPERM);
    }

    #[test]
    fn sockets_are_unix_ones_and_those_of_tcp_and_udp() {
        use libc::*;
        let refused = SECCOMP_RET_ERRNO | EOPNOTSUPP as u32;
        let verdict_of = |nr, family: c_int, kind: c_int, protocol: c_int| {
            verdict(nr, [family as u64, kind as u64, protocol as u64, 0, 0, 0])
        };
        let allowed = |family, kind, protocol| match family {
            AF_UNIX => [SOCK_STREAM, SOCK_DGRAM, SOCK_SEQPACKET].contains(&kind) && protocol < 2,
            AF_INET | AF_INET6 => {
                [(SOCK_STREAM, 0), (SOCK_STREAM, IPPROTO_TCP), (SOCK_DGRAM, 0)]
                    .contains(&(kind, protocol))
                    || (kind, protocol) == (SOCK_DGRAM, IPPROTO_UDP)
            }
            _ => false,
        };
        for family in 0..64 {
            for kind in 0..16 {
                for protocol in 0..300 {
                    let expected = if allowed(family, kind, protocol) { ALLOW } else { refused };
                    for flags in [0, SOCK_CLOEXEC | SOCK_NONBLOCK] {
                        let found = verdict_of(SYS_socket, family, kind | flags, protocol);
                        assert_eq!(found, expected, "{family} {kind} {protocol} {flags}");
                    }
                    let pair = if family == AF_UNIX { expected } else { refused };
                    let found = verdict_of(SYS_socketpair, family, kind, protocol);
                    assert_eq!(found, pair, "a pair of {family} {kind} {protocol}");
                }
            }
        }
        // No other flag of a type hides what it is.
        assert_eq!(verdict_of(SYS_socket, AF_INET, SOCK_STREAM | 1 << 20, 0), refused);
    }

    #[test]
    fn memory_that_no_limit_counts_is_refused() {
        use libc::{
            IPPROTO_TCP, IPPROTO_UDP, MAP_ANONYMOUS, MAP_HUGETLB, MAP_PRIVATE, MFD_CLOEXEC,
            MFD_HUGETLB, MSG_MORE, MSG_NOSIGNAL, SHM_HUGETLB, SPLICE_F_MORE, SPLICE_F_MOVE,
            SYS_memfd_create, SYS_mmap, SYS_sendmmsg, SYS_sendmsg, SYS_sendto, SYS_setsockopt,
            SYS_shmget, SYS_splice, TCP_NODELAY, UDP_CORK, UDP_SEGMENT, c_int,
        };
        let with = |index: usize, value: u64| {
            let mut args = [0; 6];
            args[index] = value;
            args
        };
        let cases = [
            (SYS_mmap, 3, MAP_PRIVATE | MAP_ANONYMOUS, MAP_HUGETLB),
            (SYS_memfd_create, 1, MFD_CLOEXEC as c_int, MFD_HUGETLB as c_int),
            (SYS_shmget, 2, 0o1600, SHM_HUGETLB),
            (SYS_sendto, 3, MSG_NOSIGNAL, MSG_MORE),
            (SYS_sendmsg, 2, MSG_NOSIGNAL, MSG_MORE),
            (SYS_sendmmsg, 3, MSG_NOSIGNAL, MSG_MORE),
            (SYS_splice, 5, SPLICE_F_MOVE as c_int, SPLICE_F_MORE as c_int),
        ];
        for (nr, index, usual, refused) in cases {
            assert_eq!(verdict(nr, with(index, usual as u64)), ALLOW, "{nr}");
            assert_eq!(verdict(nr, with(index, (usual | refused) as u64)), EPERM, "{nr}");
        }
        let option = |level: c_int, name: c_int| {
            verdict(SYS_setsockopt, [0, level as u64, name as u64, 0, 0, 0])
        };
        assert_eq!(option(IPPROTO_UDP, UDP_CORK), EPERM);
        assert_eq!(option(IPPROTO_UDP, UDP_SEGMENT), ALLOW);
        assert_eq!(option(IPPROTO_TCP, TCP_NODELAY), ALLOW);
    }

    #[test]
    fn what_opens_doors_is_not_on_the_list() {
        let denied = [
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "kcmp",
            "bpf",
            "perf_event_open",
            "userfaultfd",
            "io_setup",
            "io_submit",
            "io_pgetevents",
            "io_uring_setup",
            "io_uring_enter",
            "io_uring_register",
            "keyctl",
            "add_key",
            "request_key",
            "mount",
            "umount2",
            "mount_setattr",
            "open_tree",
            "fsopen",
            "move_mount",
            "pivot_root",
            "chroot",
            "unshare",
            "setns",
            "clone3",
            "kexec_load",
            "kexec_file_load",
            "init_module",
            "finit_module",
            "delete_module",
            "reboot",
            "swapon",
            "open_by_handle_at",
            "syslog",
            "fanotify_init",
            "quotactl",
            "acct",
            "settimeofday",
            "clock_settime",
            "iopl",
            "ioperm",
            "pidfd_getfd",
        ];
        let entries = table::rules();
        for name in denied {
            assert!(!entries.iter().any(|entry| entry.name == name), "{name}");
        }
    }

    #[test]
    fn calls_of_another_architecture_end_the_process() {
        let arch = audit_arch().unwrap();
        let program = bpf::compile(arch);
        let i386 = Call { nr: 3, arch: 0x4000_0003, args: [0; 6] };
        assert_eq!(evaluate(&program, &i386), libc::SECCOMP_RET_KILL_PROCESS);
        assert_eq!(verdict(0x4000_0000, [0; 6]), ENOSYS); // x32's read
    }

    #[test]
    fn the_filter_fits_the_wire_and_the_kernel() {
        let filter = runner_filter().unwrap();
        let instructions = filter.len() / 8;
        assert_eq!(filter.len() % 8, 0);
        assert!((20..512).contains(&instructions), "{instructions}");
    }

    #[test]
    fn the_docker_profile_has_the_same_names() {
        let profile = docker_profile();
        let mut names: Vec<String> = Vec::new();
        for rule in profile["syscalls"].as_array().unwrap() {
            if rule["action"] == "SCMP_ACT_ALLOW" {
                let of_rule = rule["names"].as_array().unwrap();
                names.extend(of_rule.iter().map(|name| name.as_str().unwrap().to_owned()));
            }
        }
        names.sort();
        names.dedup();
        let mut listed: Vec<String> =
            table::rules().iter().map(|entry| entry.name.to_owned()).collect();
        listed.sort();
        listed.dedup();
        assert_eq!(names, listed);
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(profile["defaultErrnoRet"], 1);
    }
}

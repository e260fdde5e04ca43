//! Which system calls user code may make: one list, two forms.
//!
//! ```text
//!   table::ENTRIES ─┬─► runner_filter()    BPF for SETUP, installed just before the interpreter
//!                   └─► docker_profile()   JSON for Docker's `seccomp=` option
//! ```
//! The list has the shape of Docker's default profile for a container without capabilities, and
//! is tighter: no tracing or reading of other processes, no namespaces, no mounts, no io_uring,
//! no keyrings, no BPF, no performance counters, no NUMA policy, and sockets only of the Unix,
//! IP and route-netlink families (the last is what `getaddrinfo` and `getifaddrs` ask).
//!
//! Verdicts: listed → allowed · clone3 and numbers newer than the list → ENOSYS, so that libc and
//! runtimes fall back to what can be judged (clone3 hides its flags behind a pointer) · anything
//! else → EPERM · calls of another architecture (i386, x32 as far as the kernel has it) → the
//! process is killed, or ENOSYS for x32's numbers.
//!
//! Own compiler rather than the `seccompiler` crate: that has two verdicts a filter and compares
//! one number after the other (about 1,800 instructions for this list); ranges of numbers need
//! 200, and each session holds its own copy in the kernel.

use serde_json::{Value, json};

mod bpf;
mod table;

use table::{Condition, Entry};

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
    let program = bpf::compile(arch, &table::entries(), table::CLONE3, table::NEWEST);
    Ok(program.iter().flat_map(|instruction| instruction.bytes()).collect())
}

/// The same list as a profile for Docker's `security-opt seccomp=`.
///
/// One difference: libseccomp compares 64 bits of an argument where the kernel reads 32, so "not
/// this `ioctl`" could be evaded there and is left out; it guards terminals, and the containers
/// have none.
pub fn docker_profile() -> Value {
    let mut always = Vec::new();
    let mut rules = Vec::new();
    for Entry { name, conditions, .. } in table::entries() {
        let args: Vec<Value> = conditions.iter().filter_map(docker_condition).collect();
        if args.is_empty() {
            always.push(name);
        } else {
            rules.push(json!({ "names": [name], "action": "SCMP_ACT_ALLOW", "args": args }));
        }
    }
    rules.push(json!({ "names": always, "action": "SCMP_ACT_ALLOW" }));
    rules
        .push(json!({ "names": ["clone3"], "action": "SCMP_ACT_ERRNO", "errnoRet": libc::ENOSYS }));
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
    use super::*;
    use bpf::{Call, evaluate};

    const ALLOW: u32 = libc::SECCOMP_RET_ALLOW;
    const EPERM: u32 = libc::SECCOMP_RET_ERRNO | libc::EPERM as u32;
    const ENOSYS: u32 = libc::SECCOMP_RET_ERRNO | libc::ENOSYS as u32;

    fn verdict(nr: i64, args: [u64; 6]) -> u32 {
        let arch = audit_arch().unwrap();
        let program = bpf::compile(arch, &table::entries(), table::CLONE3, table::NEWEST);
        evaluate(&program, &Call { nr: nr as u32, arch, args })
    }

    #[test]
    fn every_number_gets_the_verdict_of_the_list() {
        let entries = table::entries();
        for nr in 0..2048 {
            let of_number: Vec<_> = entries.iter().filter(|entry| entry.nr == nr).collect();
            let expected = match of_number[..] {
                _ if nr == table::CLONE3 || nr > table::NEWEST => ENOSYS,
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
        let socket = |domain, protocol| verdict(libc::SYS_socket, of(domain, 2, protocol));
        assert_eq!(socket(libc::AF_UNIX as u64, 0), ALLOW);
        assert_eq!(socket(libc::AF_INET as u64, 17), ALLOW);
        assert_eq!(socket(libc::AF_INET6 as u64, 0), ALLOW);
        assert_eq!(socket(libc::AF_NETLINK as u64, libc::NETLINK_ROUTE as u64), ALLOW);
        assert_eq!(socket(libc::AF_NETLINK as u64, libc::NETLINK_NETFILTER as u64), EPERM);
        for family in [libc::AF_PACKET, libc::AF_ALG, libc::AF_VSOCK, libc::AF_BLUETOOTH] {
            assert_eq!(socket(family as u64, 0), EPERM, "{family}");
        }
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
    fn what_opens_doors_is_not_on_the_list() {
        let denied = [
            "ptrace",
            "process_vm_readv",
            "process_vm_writev",
            "kcmp",
            "bpf",
            "perf_event_open",
            "userfaultfd",
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
        let entries = table::entries();
        for name in denied {
            assert!(!entries.iter().any(|entry| entry.name == name), "{name}");
        }
    }

    #[test]
    fn calls_of_another_architecture_end_the_process() {
        let arch = audit_arch().unwrap();
        let program = bpf::compile(arch, &table::entries(), table::CLONE3, table::NEWEST);
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
            table::entries().iter().map(|entry| entry.name.to_owned()).collect();
        listed.sort();
        listed.dedup();
        assert_eq!(names, listed);
        assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
        assert_eq!(profile["defaultErrnoRet"], 1);
    }
}

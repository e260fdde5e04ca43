//! Which protections the local backend enforces on this machine, in words for the operator.

use std::fs;

use super::host::Privilege;
use super::jailer::JailStarted;
use crate::sandbox::cgroup::Cgroups;
use crate::sandbox::{Enforcement, EnforcementState};

/// One entry for every protection of this backend.
pub(super) fn list(
    privilege: Privilege,
    further_groups: usize,
    cgroups: &Cgroups,
    probed: &Result<JailStarted, String>,
) -> Vec<Enforcement> {
    let started = match probed {
        Ok(started) => started,
        Err(why) => {
            return vec![entry("sandbox", missing(why.clone(), "see above; or use Docker"))];
        }
    };
    let full = |by: &str| EnforcementState::Full(by.into());
    vec![
        entry("no network", full("a network namespace with loopback alone")),
        entry("no privileges", full("no capabilities, no_new_privs, locked securebits")),
        entry("read-only system", full("read-only, nosuid mounts and a masked /proc")),
        entry("nothing of others visible", full("mount, process, IPC and cgroup namespaces")),
        entry("system call filter", full("seccomp, on all user code")),
        entry("landlock", landlock(started)),
        entry("user of its own", user(privilege)),
        entry("no further groups", groups(further_groups)),
        entry("disk limit", full("one sized tmpfs with an inode limit for all writable places")),
        entry("open files limit", full("RLIMIT_NOFILE for every process")),
        entry("memory limit", memory(cgroups)),
        entry("CPU limit", cpu(cgroups)),
        entry("process limit", processes(cgroups)),
        entry(
            "nothing left behind",
            full("the link's end ends the sandbox; a janitor process, and a sweep at start-up"),
        ),
    ]
}

fn entry(what: &'static str, state: EnforcementState) -> Enforcement {
    Enforcement { what, state }
}

fn missing(why: String, remedy: &str) -> EnforcementState {
    EnforcementState::Missing { why, remedy: remedy.into() }
}

fn landlock(started: &JailStarted) -> EnforcementState {
    const SCOPED: u32 = 6; // the first version with everything used
    match started.landlock {
        0 => missing(
            "this kernel has no Landlock; the mounts are the only wall around files".into(),
            "Linux 5.13 with CONFIG_SECURITY_LANDLOCK and `landlock` in lsm=",
        ),
        version if version < SCOPED => EnforcementState::Partial {
            by: format!("Landlock version {version}: files, but no signal and socket scopes"),
            remedy: "Linux 6.12".into(),
        },
        version => EnforcementState::Full(format!("Landlock version {version}")),
    }
}

fn user(privilege: Privilege) -> EnforcementState {
    match privilege {
        Privilege::Root => EnforcementState::Full("a user id for each sandbox".into()),
        Privilege::SharedId(id) => EnforcementState::Partial {
            by: format!(
                "all sandboxes have user id {id}: namespaces keep them apart, and they share what \
                 the kernel counts by user, as inotify"
            ),
            remedy: "map more user ids into the gateway's container".into(),
        },
        Privilege::User => EnforcementState::Partial {
            by: "all sandboxes have the gateway's own user id: namespaces keep them apart, and they \
                 share what the kernel counts by user, as inotify"
                .into(),
            remedy: "start the gateway as root".into(),
        },
    }
}

fn groups(further: usize) -> EnforcementState {
    if further == 0 {
        return EnforcementState::Full("the group of its user alone".into());
    }
    EnforcementState::Partial {
        by: format!(
            "an ordinary user cannot leave its groups: what a sandbox sees of the system may be read \
             by {further} of the gateway's, and nothing more of the machine is there to be read"
        ),
        remedy: "start the gateway as root, or as a user without further groups".into(),
    }
}

const DELEGATE: &str = "start the gateway as root, or with a delegated cgroup: systemd-run --user \
                        --scope --property=Delegate=yes cellgate …";

fn reasons(cgroups: &Cgroups) -> String {
    match cgroups.problems.first() {
        Some(problem) => format!("no cgroup for it ({problem})"),
        None => "no cgroup for it".into(),
    }
}

fn memory(cgroups: &Cgroups) -> EnforcementState {
    if !cgroups.controllers().memory {
        return EnforcementState::Missing {
            why: format!(
                "{}: the supervisor looks 20 times a second at the memory of processes, files, memory \
                 files and System V IPC and ends what is above the limit, and RLIMIT_DATA bounds each \
                 process; what grows faster, waits in sockets or hides from it is not limited",
                reasons(cgroups)
            ),
            remedy: DELEGATE.into(),
        };
    }
    let swaps = fs::read_to_string("/proc/swaps").unwrap_or_default().lines().count() > 1;
    if swaps && !cgroups.limits_swap() {
        return EnforcementState::Partial {
            by: "a memory cgroup; swap is not counted by this kernel".into(),
            remedy: "boot with swapaccount=1, or swapoff -a".into(),
        };
    }
    if !cgroups.limits_buffers() {
        return EnforcementState::Partial {
            by: "a memory cgroup; what waits in TCP and UDP sockets is not counted by this kernel"
                .into(),
            remedy: "boot with cgroup version 2: systemd.unified_cgroup_hierarchy=1".into(),
        };
    }
    EnforcementState::Full("a memory cgroup, swap and socket buffers included".into())
}

fn cpu(cgroups: &Cgroups) -> EnforcementState {
    if cgroups.controllers().cpu {
        EnforcementState::Full("a CPU quota".into())
    } else {
        EnforcementState::Missing { why: reasons(cgroups), remedy: DELEGATE.into() }
    }
}

fn processes(cgroups: &Cgroups) -> EnforcementState {
    if cgroups.controllers().pids {
        return EnforcementState::Full("a pids cgroup, and RLIMIT_NPROC".into());
    }
    EnforcementState::Partial {
        by: format!(
            "{}: RLIMIT_NPROC, which Linux 5.14 and newer count for each sandbox and older ones \
             for all of this user's processes",
            reasons(cgroups)
        ),
        remedy: DELEGATE.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_dropped_silently() {
        let none = Cgroups::default();
        let probed = Ok(JailStarted { landlock: 0 });
        let list = list(Privilege::User, 2, &none, &probed);
        let state = |what| &list.iter().find(|entry| entry.what == what).unwrap().state;
        for what in ["process limit", "user of its own", "no further groups"] {
            assert!(matches!(state(what), EnforcementState::Partial { .. }), "{what}");
        }
        for what in ["memory limit", "CPU limit", "landlock"] {
            assert!(matches!(state(what), EnforcementState::Missing { .. }), "{what}");
        }
        let vital = crate::sandbox::missing_limits(&list);
        let vital: Vec<&str> = vital.into_iter().map(|entry| entry.what).collect();
        assert_eq!(vital, ["memory limit", "CPU limit"]);
    }

    #[test]
    fn a_machine_without_sandboxes_says_only_why() {
        let probed = Err("user namespaces are forbidden".to_owned());
        let list = list(Privilege::User, 0, &Cgroups::default(), &probed);
        let [Enforcement { state: EnforcementState::Missing { why, .. }, .. }] = &list[..] else {
            panic!("{list:?}")
        };
        assert!(why.contains("forbidden"));
    }
}

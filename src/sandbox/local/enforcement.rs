//! Which protections the local backend enforces on this machine, in words for the operator.

use std::fs;

use super::host::Privilege;
use super::jailer::JailStarted;
use crate::sandbox::common::cgroup::Cgroups;
use crate::sandbox::{EnforcementState, Protection};

/// How the local backend enforces `protection`; `None` if it has no such protection. `probed` is
/// what came of the sandbox that was made at the start: where none can be made, only that is said.
pub(super) fn state(
    protection: Protection,
    privilege: Privilege,
    further_groups: usize,
    cgroups: &Cgroups,
    probed: &Result<JailStarted, String>,
) -> Option<EnforcementState> {
    let started = match probed {
        Ok(started) => started,
        Err(why) => {
            return (protection == Protection::Sandbox)
                .then(|| missing(why.clone(), "see above; or use Docker"));
        }
    };
    let full = EnforcementState::full;
    Some(match protection {
        Protection::Sandbox
        | Protection::AccessControl
        | Protection::UserNamespace
        | Protection::NoSwap
        | Protection::SoundRuntime => return None,
        Protection::NoNetwork => full("a network namespace with loopback alone"),
        Protection::NoPrivileges => full("no capabilities, no_new_privs, locked securebits"),
        Protection::OwnUser => user(privilege),
        Protection::NoFurtherGroups => groups(further_groups),
        Protection::SystemCalls => full("seccomp, on all user code"),
        Protection::Landlock => landlock(started),
        Protection::ReadOnlySystem => full("read-only, nosuid mounts and a masked /proc"),
        Protection::DiskLimit => {
            full("one sized tmpfs with an inode limit for all writable places")
        }
        Protection::MemoryLimit => memory(cgroups),
        Protection::CpuLimit => cpu(cgroups),
        Protection::ProcessLimit => processes(cgroups),
        Protection::OpenFilesLimit => full("RLIMIT_NOFILE for every process"),
        Protection::OthersInvisible => full("mount, process, IPC and cgroup namespaces"),
        Protection::EndsWithGateway => {
            full("the link's end ends the sandbox; a janitor process, and a sweep at start-up")
        }
    })
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
    fn what_a_machine_lacks_is_never_called_full() {
        let none = Cgroups::default();
        let probed = Ok(JailStarted { landlock: 0 });
        let state = |protection| state(protection, Privilege::User, 2, &none, &probed).unwrap();
        for partial in [Protection::ProcessLimit, Protection::OwnUser, Protection::NoFurtherGroups]
        {
            assert!(matches!(state(partial), EnforcementState::Partial { .. }), "{partial:?}");
        }
        for missing in [Protection::MemoryLimit, Protection::CpuLimit, Protection::Landlock] {
            assert!(matches!(state(missing), EnforcementState::Missing { .. }), "{missing:?}");
        }
    }

    #[test]
    fn a_machine_without_sandboxes_says_only_why() {
        let probed = Err("user namespaces are forbidden".to_owned());
        let none = Cgroups::default();
        let state = |protection| state(protection, Privilege::User, 0, &none, &probed);
        let said: Vec<Protection> =
            Protection::ALL.iter().copied().filter(|one| state(*one).is_some()).collect();
        assert_eq!(said, [Protection::Sandbox]);
        let Some(EnforcementState::Missing { why, .. }) = state(Protection::Sandbox) else {
            panic!("{:?}", state(Protection::Sandbox))
        };
        assert!(why.contains("forbidden"));
    }
}

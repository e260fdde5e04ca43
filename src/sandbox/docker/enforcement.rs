//! Which protections an engine enforces, derived from what it says about itself.

use super::facts::Facts;
use crate::sandbox::{EnforcementState, Protection};

/// How an engine with these facts enforces `protection`; `None` if Docker has no such protection.
pub(super) fn state(protection: Protection, facts: &Facts) -> Option<EnforcementState> {
    let full = EnforcementState::full;
    Some(match protection {
        Protection::Sandbox | Protection::Landlock => return None,
        Protection::NoNetwork => full("a network namespace with nothing but loopback"),
        Protection::NoPrivileges => full("no capabilities, no_new_privs"),
        Protection::OwnUser => full("a user id for each container"),
        Protection::NoFurtherGroups => full("the group of its user alone"),
        Protection::SystemCalls => system_calls(facts),
        Protection::AccessControl => access_control(facts),
        Protection::UserNamespace => user_namespace(facts),
        Protection::ReadOnlySystem => {
            full("read-only root file system; tmpfs for /work, /tmp, /dev/shm")
        }
        Protection::DiskLimit => full("sized tmpfs, counted as memory"),
        Protection::MemoryLimit => memory(facts),
        Protection::NoSwap => swap(facts),
        Protection::CpuLimit => {
            cgroup(facts, facts.cpu_quota, "CFS quota", "the cgroup cpu controller")
        }
        Protection::ProcessLimit => {
            cgroup(facts, facts.pids_limit, "pids cgroup", "the cgroup pids controller")
        }
        Protection::OpenFilesLimit => full("RLIMIT_NOFILE"),
        Protection::OthersInvisible => full("own pid, mount, ipc, uts and cgroup namespaces"),
        Protection::EndsWithGateway => {
            full("dead-man switch of the driver; auto-removed container")
        }
        Protection::SoundRuntime => runtime(facts),
    })
}

fn system_calls(facts: &Facts) -> EnforcementState {
    match (facts.gvisor, facts.seccomp) {
        (true, _) => EnforcementState::Full("gVisor's own kernel, and our filter in it".into()),
        (false, true) => {
            EnforcementState::Full("our seccomp profile, a second one in the runner".into())
        }
        (false, false) => EnforcementState::Partial {
            by: "the filter the driver installs in the runner alone".into(),
            remedy: "use an engine and a kernel built with seccomp".into(),
        },
    }
}

fn access_control(facts: &Facts) -> EnforcementState {
    match facts.access_control {
        Some(name) => EnforcementState::Full(format!("{name}, the engine's default profile")),
        None if facts.gvisor => EnforcementState::Full("gVisor keeps the host out of reach".into()),
        None => EnforcementState::Missing {
            why: "the engine's machine has neither AppArmor nor SELinux in force".into(),
            remedy: "boot it with lsm=…,apparmor and install apparmor, or use runsc".into(),
        },
    }
}

fn user_namespace(facts: &Facts) -> EnforcementState {
    if facts.rootless {
        return EnforcementState::Full("rootless engine".into());
    }
    if facts.user_namespace {
        return EnforcementState::Full("the engine maps users (userns-remap)".into());
    }
    if facts.gvisor {
        return EnforcementState::Full("gVisor runs itself in one".into());
    }
    EnforcementState::Partial {
        by: "an unprivileged user without capabilities, in the host's user namespace".into(),
        remedy: "set \"userns-remap\": \"default\" in the engine's daemon.json, or use a rootless \
                 engine or runsc"
            .into(),
    }
}

fn memory(facts: &Facts) -> EnforcementState {
    let buffers_are_limited = !facts.counts_buffers_apart() || facts.buffers_hierarchy.is_some();
    if facts.memory_is_enforced() && buffers_are_limited {
        return EnforcementState::Full(format!(
            "memory cgroup (version {}), socket buffers included",
            facts.cgroup_version
        ));
    }
    if facts.memory_is_enforced() {
        return EnforcementState::Partial {
            by: "memory cgroup (version 1), which does not count what waits in TCP and UDP sockets"
                .into(),
            remedy: "run the gateway as root on the engine's machine, or boot that with cgroup \
                     version 2: systemd.unified_cgroup_hierarchy=1"
                .into(),
        };
    }
    EnforcementState::Missing {
        why: "no cgroup for it: the driver looks 20 times a second at what the sandbox holds and ends \
              what is above the limit; what grows faster, waits in sockets or hides is not limited"
            .into(),
        remedy: if facts.gvisor {
            "let runsc use cgroups: take --ignore-cgroups out of its runtimeArgs".into()
        } else {
            "give the engine the memory controller (rootless: delegate it with systemd)".into()
        },
    }
}

fn swap(facts: &Facts) -> EnforcementState {
    if facts.memory_is_enforced() && facts.swap_limit {
        return EnforcementState::Full("memory and swap have one limit".into());
    }
    EnforcementState::Missing {
        why: "the engine cannot count swap".into(),
        remedy: "boot its machine with swapaccount=1 or cgroup version 2, or turn swap off".into(),
    }
}

fn cgroup(facts: &Facts, there: bool, by: &str, wanted: &str) -> EnforcementState {
    if there && !facts.without_cgroups {
        return EnforcementState::Full(by.to_owned());
    }
    let why = match facts.gvisor && facts.without_cgroups {
        true => "runsc was registered with --ignore-cgroups".to_owned(),
        false => format!("the engine has not {wanted}"),
    };
    let remedy = match facts.gvisor && facts.without_cgroups {
        true => "take --ignore-cgroups out of its runtimeArgs".to_owned(),
        false => format!("give the engine {wanted} (rootless: delegate it with systemd)"),
    };
    EnforcementState::Missing { why, remedy }
}

fn runtime(facts: &Facts) -> EnforcementState {
    let engine = &facts.server_version;
    if facts.gvisor {
        return EnforcementState::Full(format!("{} (gVisor), engine {engine}", facts.runtime));
    }
    let Some(version) = facts.runc_version.as_deref().filter(|_| facts.runtime.contains("runc"))
    else {
        return EnforcementState::Partial {
            by: format!("runtime {}, engine {engine}: nothing known of its version", facts.runtime),
            remedy: "keep it up to date".into(),
        };
    };
    let holes = known_runc_vulnerabilities(version);
    if holes.is_empty() {
        return EnforcementState::Full(format!("runc {version}, engine {engine}"));
    }
    EnforcementState::Partial {
        by: format!(
            "runc {version}, engine {engine}: by its number open to {}, unless its distribution \
             mended it under the same number",
            holes.join(", ")
        ),
        remedy: "update runc to 1.2.8, 1.3.3 or newer".into(),
    }
}

/// Ways out of a container that the runc of this version is open to, newest first, going by the
/// number alone: distributions mend old versions without changing it. A version that cannot be
/// read is open to nothing we know of.
///
/// Source: the security advisories of opencontainers/runc.
pub fn known_runc_vulnerabilities(version: &str) -> Vec<&'static str> {
    let Some(version) = Version::parse(version) else { return Vec::new() };
    let mended_last = [Version::release(1, 2, 8), Version::release(1, 3, 3)];
    let flaws = [
        ("CVE-2025-31133", &mended_last[..]),
        ("CVE-2025-52565", &mended_last[..]),
        ("CVE-2025-52881", &mended_last[..]),
        ("CVE-2024-45310", &[Version::release(1, 1, 14)]),
        ("CVE-2024-21626", &[Version::release(1, 1, 12)]),
        ("CVE-2023-27561", &[Version::release(1, 1, 5)]),
        ("CVE-2021-30465", &[Version { number: (1, 0, 0), candidate: 95 }]),
        ("CVE-2019-5736", &[Version { number: (1, 0, 0), candidate: 7 }]),
    ];
    flaws.into_iter().filter(|(_, mended)| version.precedes(mended)).map(|(name, _)| name).collect()
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Version {
    number: (u32, u32, u32),
    /// Number of the release candidate; [`Version::RELEASE`], above all of them, for the release.
    candidate: u32,
}

impl Version {
    const RELEASE: u32 = u32::MAX;

    fn release(major: u32, minor: u32, patch: u32) -> Version {
        Version { number: (major, minor, patch), candidate: Version::RELEASE }
    }

    /// Reads `1.1.5`, `1.1.5+ds1`, `v1.0.0-rc95`, `1.2.0-rc.3`, `1.0.0~rc93+ds1`.
    fn parse(text: &str) -> Option<Version> {
        let text = text.trim().trim_start_matches('v');
        let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
        let (number, suffix) = text.split_at(end);
        let mut parts = number.split('.').map(|part| part.parse::<u32>().ok());
        let number = (parts.next()??, parts.next()??, parts.next().unwrap_or(Some(0))?);
        let candidate = match suffix.get(1..).and_then(|suffix| suffix.strip_prefix("rc")) {
            Some(rest) => {
                let rest = rest.trim_start_matches('.');
                let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
                rest[..end].parse().unwrap_or(0)
            }
            None => Version::RELEASE,
        };
        Some(Version { number, candidate })
    }

    /// Whether this version comes before the mended one of its release line. `mended` holds the
    /// first mended version of every line that got one, oldest first: a line before the first is
    /// open, one between counts by the next, one after the last is not open.
    fn precedes(self, mended: &[Version]) -> bool {
        let line = |version: &Version| (version.number.0, version.number.1);
        let next = mended.iter().find(|candidate| line(candidate) >= line(&self));
        next.is_some_and(|next| self < *next)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runc_versions_are_open_to_what_was_mended_later() {
        let newest = ["CVE-2025-31133", "CVE-2025-52565", "CVE-2025-52881"];
        let with = |more: &[&'static str]| [&newest[..], more].concat();
        for (version, expected) in [
            ("1.1.5+ds1", with(&["CVE-2024-45310", "CVE-2024-21626"])),
            ("1.1.11", with(&["CVE-2024-45310", "CVE-2024-21626"])),
            ("1.1.12", with(&["CVE-2024-45310"])),
            ("1.2.7", newest.to_vec()),
            ("1.2.8", vec![]),
            ("1.3.0", newest.to_vec()),
            ("1.3.3", vec![]),
            ("1.3.3-rc.1", newest.to_vec()),
            ("v1.4.0", vec![]),
            ("unknown", vec![]),
            ("", vec![]),
        ] {
            assert_eq!(known_runc_vulnerabilities(version), expected, "{version}");
        }
        for (version, name, open) in [
            ("1.0.0-rc6", "CVE-2019-5736", true),
            ("1.0.0~rc93+ds1", "CVE-2019-5736", false),
            ("1.0.0~rc93+ds1", "CVE-2021-30465", true),
            ("1.0.0-rc95", "CVE-2021-30465", false),
            ("1.0.0", "CVE-2021-30465", false),
        ] {
            assert_eq!(known_runc_vulnerabilities(version).contains(&name), open, "{version}");
        }
    }

    #[test]
    fn what_an_engine_lacks_is_never_called_full() {
        let bare = Facts { runtime: "runc".into(), without_cgroups: true, ..Default::default() };
        let lacking = [
            Protection::SystemCalls,
            Protection::AccessControl,
            Protection::UserNamespace,
            Protection::MemoryLimit,
            Protection::NoSwap,
            Protection::CpuLimit,
            Protection::ProcessLimit,
            Protection::SoundRuntime,
        ];
        for protection in Protection::ALL {
            let Some(state) = state(*protection, &bare) else { continue };
            let full = matches!(state, EnforcementState::Full(_));
            assert_eq!(full, !lacking.contains(protection), "{protection:?}: {state:?}");
        }
    }

    #[test]
    fn a_complete_engine_has_nothing_missing() {
        let complete = Facts {
            runtime: "runc".into(),
            runc_version: Some("1.3.3".into()),
            cgroup_version: 2,
            memory_limit: true,
            swap_limit: true,
            cpu_quota: true,
            pids_limit: true,
            seccomp: true,
            access_control: Some("AppArmor"),
            user_namespace: true,
            ..Default::default()
        };
        for protection in Protection::ALL {
            let Some(state) = state(*protection, &complete) else { continue };
            assert!(matches!(state, EnforcementState::Full(_)), "{protection:?}: {state:?}");
        }
        // Version 1 counts socket buffers apart.
        let version_1 = Facts { cgroup_version: 1, ..complete };
        assert!(matches!(memory(&version_1), EnforcementState::Partial { .. }));
        let told = Facts { buffers_hierarchy: Some("/cg/memory".into()), ..version_1 };
        assert!(matches!(memory(&told), EnforcementState::Full(_)));
    }
}

//! The protections of a sandbox, and whether a backend enforces each of them on this machine.

use super::BackendKind;

/// Defines the enumeration together with the list of all its values.
macro_rules! protections {
    ($($(#[$doc:meta])* $name:ident,)*) => {
        /// Something from which a sandbox protects the machine, its users or other sessions.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Protection {
            $($(#[$doc])* $name,)*
        }

        impl Protection {
            /// Every protection, in the order in which they are shown.
            pub const ALL: &[Protection] = &[$(Protection::$name),*];
        }
    };
}

protections! {
    /// Sandboxes can be made at all; a backend names it only where they cannot.
    Sandbox,
    /// Code reaches no network but the sandbox's own loopback.
    NoNetwork,
    /// Code has no capabilities and cannot gain any.
    NoPrivileges,
    /// No two sandboxes have the same user id on the host.
    OwnUser,
    /// Code is in no group of the host but its user's own.
    NoFurtherGroups,
    /// Code can make only system calls that the policy allows.
    SystemCalls,
    /// AppArmor or SELinux confine code.
    AccessControl,
    /// Landlock confines code.
    Landlock,
    /// Root in the sandbox is not root of the host.
    UserNamespace,
    /// Code cannot change the system's files.
    ReadOnlySystem,
    /// Files that code writes have a largest size and number.
    DiskLimit,
    /// All memory of the sandbox together is limited.
    MemoryLimit,
    /// The sandbox cannot use swap beyond its memory limit.
    NoSwap,
    /// The sandbox's share of the processors is limited.
    CpuLimit,
    /// The number of processes and threads is limited.
    ProcessLimit,
    /// The number of open files of a process is limited.
    OpenFilesLimit,
    /// Code does not see processes and files of other sessions.
    OthersInvisible,
    /// Sandboxes end with the gateway, however it ends.
    EndsWithGateway,
    /// The container runtime has no known vulnerability.
    SoundRuntime,
}

impl Protection {
    /// Protections without which one session can use up the machine.
    pub const VITAL: &[Protection] = &[Protection::MemoryLimit, Protection::CpuLimit];

    /// Its name in `cellgate doctor` and in the log. Backends that enforce a protection by other
    /// means may call it otherwise.
    pub fn name(self, backend: BackendKind) -> &'static str {
        let by_backend = |docker, local| match backend {
            BackendKind::Docker => docker,
            BackendKind::Local => local,
        };
        match self {
            Protection::Sandbox => "sandbox",
            Protection::NoNetwork => "no network",
            Protection::NoPrivileges => "no privileges",
            Protection::OwnUser => "user of its own",
            Protection::NoFurtherGroups => "no further groups",
            Protection::SystemCalls => by_backend("system calls", "system call filter"),
            Protection::AccessControl => "access control",
            Protection::Landlock => "landlock",
            Protection::UserNamespace => "user namespace",
            Protection::ReadOnlySystem => "read-only system",
            Protection::DiskLimit => "disk limit",
            Protection::MemoryLimit => "memory limit",
            Protection::NoSwap => "no swap",
            Protection::CpuLimit => by_backend("cpu limit", "CPU limit"),
            Protection::ProcessLimit => "process limit",
            Protection::OpenFilesLimit => "open files limit",
            Protection::OthersInvisible => {
                by_backend("other sessions unseen", "nothing of others visible")
            }
            Protection::EndsWithGateway => {
                by_backend("gone with the gateway", "nothing left behind")
            }
            Protection::SoundRuntime => "runtime without known holes",
        }
    }

    /// The protection of that name, in whatever case, with whichever backend.
    pub fn named(name: &str) -> Option<Protection> {
        let has_name = |protection: &Protection| {
            [BackendKind::Docker, BackendKind::Local]
                .iter()
                .any(|backend| protection.name(*backend).eq_ignore_ascii_case(name))
        };
        Protection::ALL.iter().copied().find(has_name)
    }
}

/// One protection of a backend, and whether it is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enforcement {
    /// Which protection.
    pub protection: Protection,
    /// Its name, as [`Protection::name`] gives it for the backend.
    pub name: &'static str,
    /// How it is enforced here, or why it is not and what to do about it.
    pub state: EnforcementState,
}

/// Whether a protection is in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnforcementState {
    /// In force; by what means.
    Full(String),
    /// In force by weaker means; which, and how to get the full one.
    Partial {
        /// What is done instead.
        by: String,
        /// What would give the full protection.
        remedy: String,
    },
    /// Not in force.
    Missing {
        /// Why not.
        why: String,
        /// What would give it.
        remedy: String,
    },
}

impl EnforcementState {
    /// Fully in force, by these means.
    pub fn full(by: &str) -> EnforcementState {
        EnforcementState::Full(by.to_owned())
    }

    /// Why the protection is not fully in force; `None` if it is.
    pub fn shortfall(&self) -> Option<&str> {
        match self {
            EnforcementState::Full(_) => None,
            EnforcementState::Partial { by, .. } => Some(by),
            EnforcementState::Missing { why, .. } => Some(why),
        }
    }
}

/// The vital protections that are not in force.
pub fn missing_limits(enforcement: &[Enforcement]) -> Vec<&Enforcement> {
    let missing = |entry: &&Enforcement| {
        Protection::VITAL.contains(&entry.protection)
            && matches!(entry.state, EnforcementState::Missing { .. })
    };
    enforcement.iter().filter(missing).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_belongs_to_one_protection() {
        for backend in [BackendKind::Docker, BackendKind::Local] {
            for protection in Protection::ALL {
                assert_eq!(Protection::named(protection.name(backend)), Some(*protection));
            }
        }
        assert_eq!(Protection::named("CPU Limit"), Some(Protection::CpuLimit));
        assert_eq!(Protection::named("cpu"), None);
    }
}

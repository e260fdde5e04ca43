//! Which sandboxes this process may make on this machine, and what to change where it may not.

use std::fs;

use crate::error::Chain;
use crate::sandbox::SandboxError;

/// The rights of the gateway's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Privilege {
    /// Root with the capabilities and user ids to give each sandbox one of its own.
    Root,
    /// Root in a namespace or container with too few user ids: all sandboxes have this one.
    SharedId(u32),
    /// An ordinary user: all sandboxes have its id.
    User,
}

/// Capabilities for changing the user and mounting parts of the host for it (capabilities(7)):
/// SETGID, SETUID, SYS_ADMIN.
const NEEDED_CAPABILITIES: u64 = 1 << 6 | 1 << 7 | 1 << 21;

/// The kernel's "nobody".
const NOBODY: u32 = 65534;

impl Privilege {
    pub(super) fn of_this_process() -> Privilege {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        let root = rustix::process::geteuid().is_root();
        let highest =
            u64::from(super::FIRST_ID) + u64::from(super::INSTANCES) * u64::from(super::IDS_EACH);
        privilege(root, &read("/proc/self/status"), &read("/proc/self/uid_map"), highest)
    }
}

/// How many groups beside its own a sandbox of this process is in: an ordinary user may not leave
/// them (user_namespaces(7)).
pub(super) fn further_groups(privilege: Privilege) -> usize {
    if privilege != Privilege::User {
        return 0; // the jail leaves them all
    }
    let own = rustix::process::getegid();
    let groups = rustix::process::getgroups().unwrap_or_default();
    groups.into_iter().filter(|group| *group != own).count()
}

fn privilege(root: bool, status: &str, uid_map: &str, highest: u64) -> Privilege {
    let effective = status
        .lines()
        .find_map(|line| u64::from_str_radix(line.strip_prefix("CapEff:")?.trim(), 16).ok())
        .unwrap_or(0);
    if !root || effective & NEEDED_CAPABILITIES != NEEDED_CAPABILITIES {
        return Privilege::User;
    }
    let has = |id: u64| {
        uid_map.lines().any(|line| {
            let mut numbers = line.split_whitespace().map(|word| word.parse::<u64>().unwrap_or(0));
            let (first, count) = (numbers.next().unwrap_or(0), numbers.nth(1).unwrap_or(0));
            (first..first.saturating_add(count)).contains(&id)
        })
    };
    if has(u64::from(super::FIRST_ID)) && has(highest) {
        Privilege::Root
    } else if has(u64::from(NOBODY)) {
        Privilege::SharedId(NOBODY)
    } else {
        Privilege::User
    }
}

/// Adds to a refusal of the kernel what the operator can change.
pub(super) fn explain(error: SandboxError) -> SandboxError {
    let read = |path| fs::read_to_string(path).map(|text| text.trim().to_owned()).ok();
    let remedy = remedy(
        read("/proc/sys/kernel/unprivileged_userns_clone").as_deref(),
        read("/proc/sys/user/max_user_namespaces").as_deref(),
        read("/proc/sys/kernel/apparmor_restrict_unprivileged_userns").as_deref(),
        read("/proc/sys/kernel/osrelease").as_deref(),
        std::path::Path::new("/.dockerenv").exists()
            || std::path::Path::new("/run/.containerenv").exists(),
    );
    SandboxError::Unsupported(format!(
        "this machine does not allow sandboxes: {}; {remedy}",
        Chain(&error)
    ))
}

fn remedy(
    clone: Option<&str>,
    maximum: Option<&str>,
    apparmor: Option<&str>,
    release: Option<&str>,
    container: bool,
) -> String {
    const OLDEST: (u32, u32) = (5, 12); // mount_setattr
    if clone == Some("0") {
        return "allow user namespaces: sysctl -w kernel.unprivileged_userns_clone=1".into();
    }
    if maximum == Some("0") {
        return "allow user namespaces: sysctl -w user.max_user_namespaces=10000".into();
    }
    let mut numbers = release.unwrap_or_default().split(['.', '-']).map(|n| n.parse().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    if release.is_some() && version < OLDEST {
        return format!("Linux {}.{} or newer is needed", OLDEST.0, OLDEST.1);
    }
    if apparmor == Some("1") {
        return "AppArmor restricts user namespaces: sysctl -w \
                kernel.apparmor_restrict_unprivileged_userns=0, or give this program a profile with \
                `userns,`"
            .into();
    }
    if container {
        return "this is a container: start it with --security-opt seccomp=unconfined \
                --security-opt apparmor=unconfined --security-opt systempaths=unconfined, or use \
                the Docker backend with the host's socket"
            .into();
    }
    "a security module or a seccomp filter around this process forbids it; start the gateway \
     outside of it, or use the Docker backend"
        .into()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ALL: &str = "Name:\tx\nCapEff:\t000001ffffffffff\n";
    const HIGHEST: u64 = 2_096_608_000;

    #[test]
    fn privileges_follow_capabilities_and_the_id_map() {
        let whole = "         0          0 4294967295\n";
        assert_eq!(privilege(true, ALL, whole, HIGHEST), Privilege::Root);
        assert_eq!(privilege(false, ALL, whole, HIGHEST), Privilege::User);
        assert_eq!(privilege(true, "CapEff:\t00000000a80425fb\n", whole, HIGHEST), Privilege::User);
        let container = "0 100000 65536\n";
        assert_eq!(privilege(true, ALL, container, HIGHEST), Privilege::SharedId(65534));
        assert_eq!(privilege(true, ALL, "0 1000 1\n", HIGHEST), Privilege::User);
    }

    #[test]
    fn each_obstacle_has_its_remedy() {
        let new = Some("6.8.0-31-generic");
        assert!(remedy(Some("0"), None, None, new, false).contains("unprivileged_userns_clone=1"));
        assert!(remedy(None, Some("0"), None, new, false).contains("max_user_namespaces"));
        assert!(remedy(Some("1"), Some("9"), Some("1"), new, false).contains("AppArmor"));
        assert!(remedy(None, None, None, Some("5.10.0-8"), false).contains("5.12"));
        assert!(remedy(None, None, Some("0"), new, true).contains("container"));
        assert!(!remedy(None, None, None, new, false).is_empty());
    }
}

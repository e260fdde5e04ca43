//! Landlock: a second wall behind the mounts, where the kernel has it.
//!
//! The mounts already show nothing but what the spec names, and most of it read-only. Should a
//! kernel bug open a way around them, this still denies every path outside the spec, every
//! change outside the scratch places and, from version 6, abstract sockets and signals that
//! leave the sandbox. Three system calls, so no library.
//!
//! Source: <https://docs.kernel.org/userspace-api/landlock.html>.
#![allow(unsafe_code)] // Landlock has no wrappers in libc

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use cellgate_driver::spec::Access;

use super::sys;

const EXECUTE: u64 = 1 << 0;
const WRITE_FILE: u64 = 1 << 1;
const READ_FILE: u64 = 1 << 2;
const READ_DIR: u64 = 1 << 3;
const TRUNCATE: u64 = 1 << 14;
const IOCTL_DEV: u64 = 1 << 15;

/// What makes sense for a file; a rule on a file with more than this is refused.
const OF_FILES: u64 = EXECUTE | WRITE_FILE | READ_FILE | TRUNCATE | IOCTL_DEV;

/// Abstract Unix sockets and signals.
const SCOPES: u64 = 0b11;

const CREATE_RULESET_VERSION: u32 = 1;
const RULE_PATH_BENEATH: i32 = 1;

/// `struct landlock_ruleset_attr`.
#[repr(C)]
struct RulesetAttr {
    fs: u64,
    net: u64,
    scoped: u64,
}

/// `struct landlock_path_beneath_attr`.
#[repr(C, packed)]
struct PathBeneath {
    allowed: u64,
    parent: RawFd,
}

/// The version of Landlock in this kernel; 0 where there is none or it is switched off.
fn version() -> u32 {
    let none = std::ptr::null::<RulesetAttr>();
    // SAFETY: asks for the version; nothing is read.
    let version = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, none, 0, CREATE_RULESET_VERSION)
    };
    u32::try_from(version).unwrap_or(0)
}

/// All file system rights that `version` knows.
fn rights(version: u32) -> u64 {
    match version {
        0 => 0,
        1 => (1 << 13) - 1,
        2 => (1 << 14) - 1,     // + REFER
        3 | 4 => (1 << 15) - 1, // + TRUNCATE
        _ => (1 << 16) - 1,     // + IOCTL_DEV
    }
}

/// Confines this process and all its children to `access`, and to reading below `extra`.
/// Needs no_new_privs. Answers the version in force, 0 for none.
///
/// Inside the sandbox loopback TCP stays allowed: the network namespace has nothing else, and
/// programs talk to themselves over it.
pub(super) fn restrict(access: &[Access], extra: &[BorrowedFd<'_>]) -> io::Result<u32> {
    let version = version();
    if version == 0 {
        return Ok(0);
    }
    let handled = rights(version);
    let scoped = if version >= 6 { SCOPES } else { 0 };
    let attr = RulesetAttr { fs: handled, net: 0, scoped };
    // A kernel refuses a longer structure than it knows unless the rest is zero, which it is.
    // SAFETY: `attr` is as long as we say.
    let fd = unsafe {
        libc::syscall(libc::SYS_landlock_create_ruleset, &attr, size_of::<RulesetAttr>(), 0)
    };
    if fd < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: the kernel has just returned this descriptor.
    let ruleset = unsafe { OwnedFd::from_raw_fd(fd as RawFd) };
    for rule in access {
        let place = match sys::open_at(None, &sys::c(&rule.path)?, libc::O_PATH) {
            Ok(place) => place,
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            Err(error) => return Err(error),
        };
        let mut allowed = if rule.write { handled } else { EXECUTE | READ_FILE | READ_DIR };
        if !sys::is_directory(place.as_fd(), c"")? {
            allowed &= OF_FILES;
        }
        add(&ruleset, place.as_raw_fd(), allowed & handled)?;
    }
    for place in extra {
        add(&ruleset, place.as_raw_fd(), READ_FILE | READ_DIR)?;
    }
    // SAFETY: takes integers.
    let result = unsafe { libc::syscall(libc::SYS_landlock_restrict_self, ruleset.as_raw_fd(), 0) };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(version) }
}

fn add(ruleset: &OwnedFd, parent: RawFd, allowed: u64) -> io::Result<()> {
    let rule = PathBeneath { allowed, parent };
    // SAFETY: RULE_PATH_BENEATH reads this structure.
    let result = unsafe {
        libc::syscall(libc::SYS_landlock_add_rule, ruleset.as_raw_fd(), RULE_PATH_BENEATH, &rule, 0)
    };
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

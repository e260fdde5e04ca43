//! What a process gives up, and what it keeps others from taking.

// Unsafe: see `sys`.
#![allow(unsafe_code)]

use std::io;

use libc::c_int;

use super::check;

fn prctl(option: c_int, argument: libc::c_ulong) -> io::Result<c_int> {
    // SAFETY: the options used here take one number.
    check(unsafe { libc::prctl(option, argument, 0, 0, 0) })
}

/// Keeps other processes of the same user from tracing this one and from reading its memory and
/// descriptors.
pub(crate) fn forbid_dumping() -> io::Result<()> {
    prctl(libc::PR_SET_DUMPABLE, 0).map(drop)
}

/// Gives up gaining privileges by exec, for this process and all it starts.
pub(crate) fn forbid_new_privileges() -> io::Result<()> {
    prctl(libc::PR_SET_NO_NEW_PRIVS, 1).map(drop)
}

/// Makes orphaned descendants children of this process, as they are of PID 1.
pub(crate) fn adopt_orphans() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1).map(drop)
}

/// Empties the bounding set, as far as the process may.
pub(crate) fn empty_bounding_set() {
    // The kernel refuses numbers above its last capability, so the loop need not know that one.
    for capability in 0..64 {
        if prctl(libc::PR_CAPBSET_DROP, capability).is_err() {
            return;
        }
    }
}

/// Gives up every capability: effective, permitted, inheritable and ambient.
pub(crate) fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522; // _LINUX_CAPABILITY_VERSION_3, two words a set
    let header: [u32; 2] = [VERSION_3, 0];
    let none = [0u32; 6];
    let clear = libc::PR_CAP_AMBIENT_CLEAR_ALL as libc::c_ulong;
    prctl(libc::PR_CAP_AMBIENT, clear)?;
    // SAFETY: header and data have the layout of capset(2) version 3.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    check(result as c_int)?;
    Ok(())
}

/// Allows this process as many open files as it may have.
pub(crate) fn raise_open_files() -> io::Result<()> {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) })?;
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit) })?;
    Ok(())
}

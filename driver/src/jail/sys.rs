//! The system calls of the jail, each with its error and nothing else.
//!
//! The mount interface of Linux 5.2 (`open_tree`, `fsmount`, `move_mount`) and `mount_setattr`
//! of 5.12 work on descriptors: no path is looked up twice, a tree is made read-only before
//! anybody can see it, and nothing passes through a shared mount table.
#![allow(unsafe_code)] // system calls have no safe form in `libc`

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};

use libc::{c_int, c_long, c_uint, c_ulong};

/// Read-only: `MOUNT_ATTR_RDONLY`.
pub(super) const RDONLY: u64 = 1;
/// No set-user-ID: `MOUNT_ATTR_NOSUID`.
pub(super) const NOSUID: u64 = 2;
/// No device nodes: `MOUNT_ATTR_NODEV`.
pub(super) const NODEV: u64 = 4;
/// No executables: `MOUNT_ATTR_NOEXEC`.
pub(super) const NOEXEC: u64 = 8;

const FSOPEN_CLOEXEC: c_uint = 1;
const FSMOUNT_CLOEXEC: c_uint = 1;
const FSCONFIG_SET_STRING: c_uint = 1;
const FSCONFIG_CMD_CREATE: c_uint = 6;
const MOVE_MOUNT_F_EMPTY_PATH: c_uint = 4;
const OPEN_TREE_CLONE: c_uint = 1;
const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;
const KEYCTL_JOIN_SESSION_KEYRING: c_int = 1;

/// Turns a path or value into what the kernel takes.
pub(super) fn c(text: &str) -> io::Result<CString> {
    CString::new(text).map_err(|_| io::Error::from_raw_os_error(libc::EINVAL))
}

fn checked(result: c_long) -> io::Result<c_long> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

fn owned(result: c_long) -> io::Result<OwnedFd> {
    let fd = checked(result)? as RawFd;
    // SAFETY: the kernel has just returned this descriptor and no other code knows it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Takes over a descriptor that the parent left open for us.
pub(super) fn inherited(fd: RawFd) -> io::Result<OwnedFd> {
    // SAFETY: fcntl takes integers; a number that is not open is answered with EBADF.
    let copy = unsafe { libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, 3) };
    owned(c_long::from(copy))
}

/// Makes a process with the namespaces of `flags` that is a child of our own parent. Answers its
/// pid to us and `None` to it.
pub(super) fn clone_sibling(
    flags: c_int,
    cgroup: Option<BorrowedFd<'_>>,
) -> io::Result<Option<i32>> {
    #[repr(C)]
    #[derive(Default)]
    struct Args {
        flags: u64,
        pidfd: u64,
        child_tid: u64,
        parent_tid: u64,
        exit_signal: u64,
        stack: u64,
        stack_size: u64,
        tls: u64,
        set_tid: u64,
        set_tid_size: u64,
        cgroup: u64,
    }
    let mut args = Args {
        flags: flags as u64 | libc::CLONE_PARENT as u64,
        exit_signal: 0, // that of our own parent's choice
        ..Args::default()
    };
    if let Some(cgroup) = cgroup {
        args.flags |= CLONE_INTO_CGROUP;
        args.cgroup = cgroup.as_raw_fd() as u64;
    }
    // SAFETY: without CLONE_VM and with no stack this is a fork: the child goes on in a copy of
    // our memory, and we have one thread, so no lock is held by anybody it lacks.
    let pid = unsafe { libc::syscall(libc::SYS_clone3, &args, size_of::<Args>()) };
    match checked(pid)? {
        0 => Ok(None),
        pid => Ok(Some(pid as i32)),
    }
}

/// Leaves the namespaces of `flags` for new ones.
pub(super) fn unshare(flags: c_int) -> io::Result<()> {
    // SAFETY: takes integers.
    checked(c_long::from(unsafe { libc::unshare(flags) })).map(drop)
}

/// Starts a session without a terminal.
pub(super) fn setsid() -> io::Result<()> {
    // SAFETY: takes nothing.
    checked(c_long::from(unsafe { libc::setsid() })).map(drop)
}

/// Becomes user and group `id`, with no other groups, real, effective and saved.
pub(super) fn become_id(id: u32) -> io::Result<()> {
    // SAFETY: no groups, so the pointer is never read.
    checked(unsafe { libc::syscall(libc::SYS_setgroups, 0, std::ptr::null::<u32>()) })?;
    // SAFETY: takes integers.
    checked(unsafe { libc::syscall(libc::SYS_setresgid, id, id, id) })?;
    // SAFETY: takes integers.
    checked(unsafe { libc::syscall(libc::SYS_setresuid, id, id, id) }).map(drop)
}

/// The effective user and group.
pub(super) fn own_ids() -> (u32, u32) {
    // SAFETY: takes nothing and cannot fail.
    let uid = unsafe { libc::geteuid() };
    // SAFETY: takes nothing and cannot fail.
    (uid, unsafe { libc::getegid() })
}

/// One `prctl` whose arguments are integers.
pub(super) fn prctl(option: c_int, a: c_ulong, b: c_ulong) -> io::Result<()> {
    const ZERO: c_ulong = 0;
    // SAFETY: the options used in this module take integers only.
    checked(c_long::from(unsafe { libc::prctl(option, a, b, ZERO, ZERO) })).map(drop)
}

/// Gives up every capability of the effective, permitted and inheritable sets.
pub(super) fn drop_capabilities() -> io::Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let header: [u32; 2] = [VERSION_3, 0];
    let none: [u32; 6] = [0; 6]; // two halves of three sets
    // SAFETY: both pointers are to arrays of the size version 3 of the interface reads.
    let result = unsafe { libc::syscall(libc::SYS_capset, header.as_ptr(), none.as_ptr()) };
    checked(result).map(drop)
}

/// Joins a fresh session keyring, so that the caller's keys are out of reach.
pub(super) fn new_keyring() -> io::Result<()> {
    let none = std::ptr::null::<u8>();
    // SAFETY: a null name asks for an anonymous keyring.
    let result = unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, none) };
    checked(result).map(drop)
}

/// Names the machine.
pub(super) fn sethostname(name: &str) -> io::Result<()> {
    // SAFETY: the pointer is good for `len` bytes.
    let result = unsafe { libc::sethostname(name.as_ptr().cast(), name.len()) };
    checked(c_long::from(result)).map(drop)
}

/// Brings the loopback interface of the network namespace up.
pub(super) fn loopback_up() -> io::Result<()> {
    // SAFETY: takes integers.
    let socket = unsafe { libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0) };
    let socket = owned(c_long::from(socket))?;
    // SAFETY: zero is a value of every field.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    request.ifr_name[0] = b'l' as libc::c_char;
    request.ifr_name[1] = b'o' as libc::c_char;
    request.ifr_ifru.ifru_flags = libc::IFF_UP as libc::c_short;
    // SAFETY: SIOCSIFFLAGS reads an ifreq.
    let result = unsafe { libc::ioctl(socket.as_raw_fd(), libc::SIOCSIFFLAGS as _, &request) };
    checked(c_long::from(result)).map(drop)
}

/// Copies the mounts at and below `path` of `at` into a tree that is mounted nowhere yet.
pub(super) fn open_tree(at: Option<BorrowedFd<'_>>, path: &str) -> io::Result<OwnedFd> {
    let at = at.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC as c_uint | libc::AT_RECURSIVE as c_uint;
    let path = c(path)?;
    // SAFETY: `path` is a C string that lives during the call.
    owned(unsafe { libc::syscall(libc::SYS_open_tree, at, path.as_ptr(), flags) })
}

/// Sets attributes on every mount of a tree and takes it out of all propagation.
pub(super) fn restrict_mounts(tree: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    set_mounts(tree.as_raw_fd(), c"", libc::AT_EMPTY_PATH | libc::AT_RECURSIVE, attributes)
}

/// Sets attributes on the mount that `directory` is the root of, and on no other.
pub(super) fn restrict_mount(directory: BorrowedFd<'_>, attributes: u64) -> io::Result<()> {
    set_mounts(directory.as_raw_fd(), c"", libc::AT_EMPTY_PATH, attributes)
}

/// Takes every mount out of propagation, so that nothing we do shows outside.
pub(super) fn make_all_private() -> io::Result<()> {
    set_mounts(libc::AT_FDCWD, c"/", libc::AT_RECURSIVE, 0)
}

fn set_mounts(at: RawFd, path: &CStr, flags: c_int, set: u64) -> io::Result<()> {
    #[repr(C)]
    struct MountAttr {
        set: u64,
        clear: u64,
        propagation: u64,
        userns_fd: u64,
    }
    let attr = MountAttr { set, clear: 0, propagation: libc::MS_PRIVATE, userns_fd: 0 };
    // SAFETY: `path` is a C string and `attr` is as long as we say.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            at,
            path.as_ptr(),
            flags,
            &attr,
            size_of::<MountAttr>(),
        )
    };
    checked(result).map(drop)
}

/// Makes a file system of type `name` with `options`, mounted nowhere yet.
pub(super) fn new_filesystem(
    name: &CStr,
    options: &[(&CStr, &str)],
    attributes: u64,
) -> io::Result<OwnedFd> {
    // SAFETY: `name` is a C string.
    let context = owned(unsafe { libc::syscall(libc::SYS_fsopen, name.as_ptr(), FSOPEN_CLOEXEC) })?;
    let fd = context.as_raw_fd();
    for (key, value) in options {
        let value = c(value)?;
        let (set, key, value) = (FSCONFIG_SET_STRING, key.as_ptr(), value.as_ptr());
        // SAFETY: key and value are C strings, which is what FSCONFIG_SET_STRING reads.
        checked(unsafe { libc::syscall(libc::SYS_fsconfig, fd, set, key, value, 0) })?;
    }
    let none = std::ptr::null::<u8>();
    // SAFETY: FSCONFIG_CMD_CREATE reads neither key nor value.
    checked(unsafe { libc::syscall(libc::SYS_fsconfig, fd, FSCONFIG_CMD_CREATE, none, none, 0) })?;
    // SAFETY: takes integers.
    owned(unsafe { libc::syscall(libc::SYS_fsmount, fd, FSMOUNT_CLOEXEC, attributes) })
}

/// Puts a tree of mounts at `path` of `at`.
pub(super) fn attach(tree: BorrowedFd<'_>, at: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let path = c(path)?;
    let (from, to, flags) = (tree.as_raw_fd(), at.as_raw_fd(), MOVE_MOUNT_F_EMPTY_PATH);
    // SAFETY: both paths are C strings that live during the call.
    let result = unsafe {
        libc::syscall(libc::SYS_move_mount, from, c"".as_ptr(), to, path.as_ptr(), flags)
    };
    checked(result).map(drop)
}

/// Puts a tree of mounts over the root directory.
pub(super) fn attach_over_root(tree: BorrowedFd<'_>) -> io::Result<()> {
    let root = open_at(None, c"/", libc::O_PATH | libc::O_DIRECTORY)?;
    attach(tree, root.as_fd(), ".")
}

/// Makes the working directory the root and what was the root before a mount on top of it.
pub(super) fn pivot_root_here() -> io::Result<()> {
    let here = c".".as_ptr();
    // SAFETY: both are C strings.
    checked(unsafe { libc::syscall(libc::SYS_pivot_root, here, here) }).map(drop)
}

/// Takes away the topmost mount of the working directory, busy or not.
pub(super) fn detach_here() -> io::Result<()> {
    // SAFETY: a C string and an integer.
    checked(c_long::from(unsafe { libc::umount2(c".".as_ptr(), libc::MNT_DETACH) })).map(drop)
}

/// Makes `directory` the working directory.
pub(super) fn fchdir(directory: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: takes an integer.
    checked(c_long::from(unsafe { libc::fchdir(directory.as_raw_fd()) })).map(drop)
}

/// Opens a path of `at`, never for the next program.
pub(super) fn open_at(
    at: Option<BorrowedFd<'_>>,
    path: &CStr,
    flags: c_int,
) -> io::Result<OwnedFd> {
    let at = at.map_or(libc::AT_FDCWD, |fd| fd.as_raw_fd());
    // SAFETY: `path` is a C string.
    let fd = unsafe { libc::openat(at, path.as_ptr(), flags | libc::O_CLOEXEC, 0o644) };
    owned(c_long::from(fd))
}

/// Makes a directory.
pub(super) fn mkdir_at(at: BorrowedFd<'_>, path: &str, mode: u32) -> io::Result<()> {
    let path = c(path)?;
    // SAFETY: `path` is a C string.
    let result = unsafe { libc::mkdirat(at.as_raw_fd(), path.as_ptr(), mode) };
    checked(c_long::from(result)).map(drop)
}

/// Makes a symbolic link.
pub(super) fn symlink_at(to: &str, at: BorrowedFd<'_>, path: &str) -> io::Result<()> {
    let (to, path) = (c(to)?, c(path)?);
    // SAFETY: both are C strings.
    let result = unsafe { libc::symlinkat(to.as_ptr(), at.as_raw_fd(), path.as_ptr()) };
    checked(c_long::from(result)).map(drop)
}

/// Whether `path` of `at` is a directory; fails where there is nothing.
pub(super) fn is_directory(at: BorrowedFd<'_>, path: &CStr) -> io::Result<bool> {
    // SAFETY: zero is a value of every field.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `path` is a C string and `stat` is ours to fill. An empty path means `at` itself.
    let result =
        unsafe { libc::fstatat(at.as_raw_fd(), path.as_ptr(), &mut stat, libc::AT_EMPTY_PATH) };
    checked(c_long::from(result))?;
    Ok(stat.st_mode & libc::S_IFMT == libc::S_IFDIR)
}

/// Puts a copy of `from` at the number `to`, open across exec.
pub(super) fn dup_onto(from: BorrowedFd<'_>, to: RawFd) -> io::Result<()> {
    // SAFETY: takes integers; whatever was open at `to` is closed, which is the purpose.
    checked(c_long::from(unsafe { libc::dup2(from.as_raw_fd(), to) })).map(drop)
}

/// Closes every descriptor from 3 on that is not in `keep`.
pub(super) fn close_all_but(keep: &[RawFd]) -> io::Result<()> {
    let mut keep: Vec<c_uint> = keep.iter().map(|&fd| fd as c_uint).collect();
    keep.sort_unstable();
    keep.push(c_uint::MAX);
    let mut first: c_uint = 3;
    for kept in keep {
        if kept > first {
            let last = if kept == c_uint::MAX { kept } else { kept - 1 };
            // SAFETY: takes integers. Nothing in this process uses the descriptors closed here:
            // the caller names all it still holds.
            checked(unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) })?;
        }
        first = kept.saturating_add(1);
    }
    Ok(())
}

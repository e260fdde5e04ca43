//! Files of the sandbox, reached from an open directory, one name at a time and never over a link.

// Unsafe: see `sys`.
#![allow(unsafe_code)]

use std::ffi::CStr;
use std::fs::File;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

use super::{check, check_size};

/// What is known of a file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct About {
    /// Its kind and permissions, `st_mode`.
    pub(crate) mode: libc::mode_t,
    /// Its size in bytes.
    pub(crate) size: u64,
    /// When it was last changed, in Unix milliseconds.
    pub(crate) modified_ms: u64,
    /// When it or what is known of it was last changed, `st_ctim`: seconds and nanoseconds.
    pub(crate) changed: (i64, i64),
    /// The device that it is on.
    pub(crate) device: u64,
}

impl About {
    /// The kind: one of `S_IFREG`, `S_IFDIR`, …
    pub(crate) fn kind(&self) -> libc::mode_t {
        self.mode & libc::S_IFMT
    }

    fn of(stat: &libc::stat) -> About {
        let seconds = u64::try_from(stat.st_mtime).unwrap_or(0);
        About {
            mode: stat.st_mode,
            size: u64::try_from(stat.st_size).unwrap_or(0),
            modified_ms: seconds * 1000 + stat.st_mtime_nsec as u64 / 1_000_000,
            changed: (stat.st_ctime, stat.st_ctime_nsec),
            device: stat.st_dev,
        }
    }
}

/// Never follows a link at the end, never waits (for the other end of a pipe, for the holder of a
/// lease), never survives an exec.
const CAREFULLY: c_int = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_CLOEXEC;

/// Opens the directory at an absolute path, for nothing but as a start for others.
pub(crate) fn open_root(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_PATH | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated.
    let fd = check(unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens the directory at an absolute path for listing.
pub(crate) fn open_root_listing(path: &CStr) -> io::Result<OwnedFd> {
    let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
    // SAFETY: the path is NUL-terminated.
    let fd = check(unsafe { libc::open(path.as_ptr(), flags) })?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Opens a directory of a directory for listing.
pub(crate) fn open_directory(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open(directory, name, libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

/// Opens whatever has this name, a link itself included, for nothing but as a start for others.
pub(crate) fn open_place(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<OwnedFd> {
    open(directory, name, libc::O_PATH, 0)
}

/// Opens a file for reading.
pub(crate) fn open_file(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<File> {
    open(directory, name, libc::O_RDONLY, 0).map(File::from)
}

/// Opens a directory itself for listing.
pub(crate) fn open_listing(directory: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open(directory, c".", libc::O_RDONLY | libc::O_DIRECTORY, 0)
}

/// Makes a file that is not there yet, for writing.
pub(crate) fn create_file(
    directory: BorrowedFd<'_>,
    name: &CStr,
    mode: libc::mode_t,
) -> io::Result<File> {
    open(directory, name, libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL, mode).map(File::from)
}

fn open(
    directory: BorrowedFd<'_>,
    name: &CStr,
    flags: c_int,
    mode: libc::mode_t,
) -> io::Result<OwnedFd> {
    // SAFETY: the name is NUL-terminated.
    let fd = check(unsafe {
        libc::openat(directory.as_raw_fd(), name.as_ptr(), flags | CAREFULLY, mode)
    })?;
    // SAFETY: the kernel has just made it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// What an open file is.
pub(crate) fn about(file: BorrowedFd<'_>) -> io::Result<About> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    // SAFETY: the pointer is to a live local.
    check(unsafe { libc::fstat(file.as_raw_fd(), stat.as_mut_ptr()) })?;
    // SAFETY: all zero is a valid stat, and the kernel filled it.
    Ok(About::of(&unsafe { stat.assume_init() }))
}

/// What has this name; of a link, the link itself.
pub(crate) fn about_name(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<About> {
    let mut stat = MaybeUninit::<libc::stat>::zeroed();
    let (at, flags) = (directory.as_raw_fd(), libc::AT_SYMLINK_NOFOLLOW);
    // SAFETY: the name is NUL-terminated, the pointer is to a live local.
    check(unsafe { libc::fstatat(at, name.as_ptr(), stat.as_mut_ptr(), flags) })?;
    // SAFETY: all zero is a valid stat, and the kernel filled it.
    Ok(About::of(&unsafe { stat.assume_init() }))
}

/// Whether something is mounted at an open directory. A file system that is mounted twice has one
/// device, so that the device alone does not say it; a kernel before 5.8 and gVisor do not say it.
pub(crate) fn is_mount_root(directory: BorrowedFd<'_>) -> io::Result<bool> {
    // struct statx, statx(2): u64 stx_attributes at 8, u64 stx_attributes_mask at 56. Spelled out, as
    // the C library of the static build has no such structure.
    const WORDS: usize = 32; // 256 bytes
    let (attributes, mask) = (1, 7); // in words
    let mut words = [0_u64; WORDS];
    // SAFETY: the path is NUL-terminated, the buffer is as long and as aligned as the structure.
    let result = unsafe {
        libc::syscall(
            libc::SYS_statx,
            directory.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_SYMLINK_NOFOLLOW,
            0,
            words.as_mut_ptr(),
        )
    };
    match check_size(result as isize) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => return Ok(false),
        told => told?,
    };
    Ok(words[attributes] & words[mask] & STATX_ATTR_MOUNT_ROOT != 0)
}

/// linux/stat.h, since Linux 5.8.
const STATX_ATTR_MOUNT_ROOT: u64 = 0x2000;

/// Makes a directory.
pub(crate) fn make_directory(
    directory: BorrowedFd<'_>,
    name: &CStr,
    mode: libc::mode_t,
) -> io::Result<()> {
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::mkdirat(directory.as_raw_fd(), name.as_ptr(), mode) }).map(drop)
}

/// Removes a name that is not a directory's.
pub(crate) fn remove_file(directory: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::unlinkat(directory.as_raw_fd(), name.as_ptr(), 0) }).map(drop)
}

/// Removes a directory that has nothing in it.
pub(crate) fn remove_directory(parent: BorrowedFd<'_>, name: &CStr) -> io::Result<()> {
    let at = parent.as_raw_fd();
    // SAFETY: the name is NUL-terminated.
    check(unsafe { libc::unlinkat(at, name.as_ptr(), libc::AT_REMOVEDIR) }).map(drop)
}

/// Gives what has a name another one, in another directory too; fails if something has that already.
pub(crate) fn rename_to_free(
    from: (BorrowedFd<'_>, &CStr),
    to: (BorrowedFd<'_>, &CStr),
) -> io::Result<()> {
    const RENAME_NOREPLACE: libc::c_uint = 1; // linux/fs.h
    // SAFETY: both names are NUL-terminated.
    let result = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            from.0.as_raw_fd(),
            from.1.as_ptr(),
            to.0.as_raw_fd(),
            to.1.as_ptr(),
            RENAME_NOREPLACE,
        )
    };
    check_size(result as isize).map(drop)
}

/// Gives a file of a directory another name, taking the place of what has that name.
pub(crate) fn rename(directory: BorrowedFd<'_>, from: &CStr, to: &CStr) -> io::Result<()> {
    let at = directory.as_raw_fd();
    // SAFETY: both names are NUL-terminated.
    check(unsafe { libc::renameat(at, from.as_ptr(), at, to.as_ptr()) }).map(drop)
}

/// Names of a directory, as many as one call of the kernel gives. None: there are no more.
pub(crate) struct Names {
    buffer: Records,
    length: usize,
}

/// Bytes of the kernel's records taken at once: some two hundred names.
pub(crate) const RECORDS_BYTES: usize = 8 << 10;

#[repr(align(8))]
struct Records([u8; RECORDS_BYTES]);

impl Names {
    /// The next names of a directory that was opened for listing.
    pub(crate) fn next_of(listing: BorrowedFd<'_>) -> io::Result<Names> {
        let mut names = Names { buffer: Records([0; RECORDS_BYTES]), length: 0 };
        // SAFETY: the buffer is valid and aligned for its length.
        let result = unsafe {
            libc::syscall(
                libc::SYS_getdents64,
                listing.as_raw_fd(),
                names.buffer.0.as_mut_ptr(),
                RECORDS_BYTES,
            )
        };
        names.length = check_size(result as isize)?;
        Ok(names)
    }

    /// Whether the directory has no more names.
    pub(crate) fn is_end(&self) -> bool {
        self.length == 0
    }

    /// The names, `.` and `..` too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &CStr> {
        self.with_kinds().map(|(name, _)| name)
    }

    /// The names, each with the kind that the directory says it is: `DT_REG`, `DT_DIR`, …, or `DT_UNKNOWN`.
    pub(crate) fn with_kinds(&self) -> impl Iterator<Item = (&CStr, u8)> {
        const NAME_AT: usize = 19; // linux_dirent64: inode, offset, u16 length, u8 type; getdents(2)
        let mut rest = &self.buffer.0[..self.length];
        std::iter::from_fn(move || {
            let length = u16::from_ne_bytes([*rest.get(16)?, *rest.get(17)?]);
            let record = rest.get(..usize::from(length))?;
            rest = &rest[record.len()..];
            let name = CStr::from_bytes_until_nul(record.get(NAME_AT..)?).ok()?;
            Some((name, record[NAME_AT - 1]))
        })
    }
}

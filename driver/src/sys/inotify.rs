//! What the kernel tells of directories: inotify(7).

// Unsafe: see `sys`.
#![allow(unsafe_code)]

use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};

use libc::c_int;

use super::{check, read};

/// What is asked of each directory. `IN_EXCL_UNLINK`: nothing of files that have no name any more.
const MASK: u32 = libc::IN_CREATE
    | libc::IN_MODIFY
    | libc::IN_CLOSE_WRITE
    | libc::IN_DELETE
    | libc::IN_MOVED_FROM
    | libc::IN_MOVED_TO
    | libc::IN_MOVE_SELF
    | libc::IN_ONLYDIR
    | libc::IN_EXCL_UNLINK;

/// An inotify instance; the kernel counts them by user.
pub(crate) struct Inotify(OwnedFd);

impl Inotify {
    /// An instance that watches nothing.
    pub(crate) fn new() -> io::Result<Inotify> {
        // SAFETY: no pointers.
        let fd = check(unsafe { libc::inotify_init1(libc::IN_NONBLOCK | libc::IN_CLOEXEC) })?;
        // SAFETY: the kernel has just made it.
        Ok(Inotify(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Watches an open directory, and answers the number that its records have. A directory has one number,
    /// however often it is added.
    pub(crate) fn add(&self, directory: BorrowedFd<'_>) -> io::Result<c_int> {
        // There is no call that takes a descriptor. This link leads to the directory that is open, whatever
        // has its name by now.
        let path = format!("/proc/self/fd/{}\0", directory.as_raw_fd());
        // SAFETY: the path is NUL-terminated.
        check(unsafe { libc::inotify_add_watch(self.0.as_raw_fd(), path.as_ptr().cast(), MASK) })
    }

    /// Ends the watch of that number; its record `IN_IGNORED` may still come.
    pub(crate) fn remove(&self, number: c_int) {
        // SAFETY: no pointers. It fails if the directory is gone, and then there is no watch.
        unsafe { libc::inotify_rm_watch(self.0.as_raw_fd(), number) };
    }

    /// The records that have come, as many as one call gives; `None` if there are none.
    pub(crate) fn next(&self) -> io::Result<Option<Records>> {
        let mut records = Records { buffer: Buffer([0; BUFFER_BYTES]), length: 0 };
        match read(self.0.as_fd(), &mut records.buffer.0) {
            Ok(length) => records.length = length,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(error) => return Err(error),
        }
        Ok(Some(records))
    }

    /// Readable when there are records.
    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

const BUFFER_BYTES: usize = 16 << 10; // 16 KiB: some four hundred records

#[repr(align(8))]
struct Buffer([u8; BUFFER_BYTES]);

/// Records of one call.
pub(crate) struct Records {
    buffer: Buffer,
    length: usize,
}

/// One `inotify_event`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Record<'a> {
    /// The number of the directory's watch.
    pub(crate) directory: c_int,
    /// What happened: `IN_CREATE`, …
    pub(crate) mask: u32,
    /// What the two records of a rename have in common.
    pub(crate) cookie: u32,
    /// The name in the directory; empty if it is about the directory itself.
    pub(crate) name: &'a [u8],
}

impl Records {
    /// The records, in their order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = Record<'_>> {
        const HEAD: usize = size_of::<libc::inotify_event>();
        let mut rest = &self.buffer.0[..self.length];
        std::iter::from_fn(move || {
            let (head, behind) = rest.split_at_checked(HEAD)?;
            let mut event = MaybeUninit::<libc::inotify_event>::zeroed();
            // SAFETY: both are HEAD bytes long, and any bytes are a valid event.
            let event = unsafe {
                std::ptr::copy_nonoverlapping(head.as_ptr(), event.as_mut_ptr().cast(), HEAD);
                event.assume_init()
            };
            let (name, behind) = behind.split_at_checked(event.len as usize)?;
            rest = behind;
            let end = name.iter().position(|byte| *byte == 0).unwrap_or(name.len());
            Some(Record {
                directory: event.wd,
                mask: event.mask,
                cookie: event.cookie,
                name: &name[..end],
            })
        })
    }
}

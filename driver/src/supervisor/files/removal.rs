//! Removes a directory with all in it, a bounded step at a time, while user code may change it.
//!
//! ```text
//!   parent ─ name ─ below ─ below …   walked anew, a name at a time, for each directory
//!                            └ its first names are removed; one that has something in it is next
//! ```
//! Only the parent of what is removed stays open. From there each directory is reached by its names,
//! over no link and over no mount, and never by `..`: a directory that is moved or replaced while it is
//! emptied leads nowhere else. What user code adds meanwhile is removed too, within the bounds.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use cellgate_driver::wire::files::{MOST_LEVELS, MOST_REMOVED, Refusal};

use super::{Refused, enter, walk, while_trying};
use crate::sys::files::{self as sys, Names};

/// Calls of the kernel after which a step answers: about a millisecond.
const STEP_CALLS: usize = 1000;

/// The removal of one directory.
pub(super) struct Removal {
    /// Holds what is removed.
    parent: OwnedFd,
    /// The device of the parent; what is on another one is mounted.
    device: u64,
    /// Names from the parent down to the directory that is emptied now; none: all is removed.
    levels: Vec<CString>,
    removed: u64,
}

impl Removal {
    /// Finds a directory; nothing is removed yet.
    pub(super) fn begin(workdir: &str, path: &[u8]) -> Result<Removal, Refused> {
        let (parent, name) = walk(workdir, path, false)?;
        let about = sys::about(parent.as_fd()).map_err(while_trying("look at a directory"))?;
        let levels = vec![name];
        let removal = Removal { parent, device: about.device, levels, removed: 0 };
        removal.innermost()?;
        Ok(removal)
    }

    /// Removes some names and says how many; `None`: all is removed.
    pub(super) fn step(&mut self) -> Result<Option<u64>, Refused> {
        let before = self.removed;
        let mut calls = 0;
        while calls < STEP_CALLS && !self.levels.is_empty() {
            calls += self.empty_innermost()?;
        }
        let count = self.removed - before;
        Ok((count > 0 || !self.levels.is_empty()).then_some(count))
    }

    /// Removes the first names of the innermost directory, or itself if it has none. Answers about how
    /// many calls of the kernel that took.
    fn empty_innermost(&mut self) -> Result<usize, Refused> {
        let (above, directory) = self.innermost()?;
        let mut calls = 3 * self.levels.len();
        let opened = sys::open_listing(directory.as_fd());
        let listing = opened.map_err(while_trying("open a directory"))?;
        let names = Names::next_of(listing.as_fd()).map_err(while_trying("list a directory"))?;
        let mut inner = None;
        let mut is_empty = true;
        for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
            is_empty = false;
            calls += 2;
            let removed = match sys::remove_file(directory.as_fd(), name) {
                Err(error) if error.raw_os_error() == Some(libc::EISDIR) => {
                    sys::remove_directory(directory.as_fd(), name)
                }
                removed => removed,
            };
            match removed {
                Ok(()) => self.count()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {} // gone by itself
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) =>
                {
                    inner = Some(name.to_owned());
                    break;
                }
                Err(error) => return Err(while_trying("remove what is in it")(error)),
            }
        }
        if let Some(name) = inner {
            if self.levels.len() == MOST_LEVELS {
                let sentence = format!(
                    "it has more than {MOST_LEVELS} directories below each other, of which the \
                     innermost are left; let code remove it"
                );
                return Err(Refused::new(Refusal::TooLarge, sentence));
            }
            self.levels.push(name);
        } else if is_empty {
            let Some(name) = self.levels.pop() else { return Ok(calls) };
            match sys::remove_directory(above.as_fd(), &name) {
                Ok(()) => self.count()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                // User code has put something into it: it is emptied again.
                Err(error)
                    if matches!(error.raw_os_error(), Some(libc::ENOTEMPTY | libc::EEXIST)) =>
                {
                    self.levels.push(name);
                }
                Err(error) => return Err(while_trying("remove a directory")(error)),
            }
        }
        Ok(calls)
    }

    /// The innermost directory and the one above it, walked to from the parent.
    fn innermost(&self) -> Result<(OwnedFd, OwnedFd), Refused> {
        let copy = self.parent.try_clone();
        let mut above = copy.map_err(while_trying("open a directory"))?;
        let mut names = self.levels.iter();
        let first = names.next().map(CString::as_c_str).unwrap_or(c".");
        let mut directory = self.enter(&above, first)?;
        for name in names {
            let inner = self.enter(&directory, name)?;
            above = std::mem::replace(&mut directory, inner);
        }
        Ok((above, directory))
    }

    /// Opens a directory of a directory, if nothing is mounted there.
    fn enter(&self, parent: &OwnedFd, name: &CStr) -> Result<OwnedFd, Refused> {
        let directory = enter(parent, name, false)?;
        let about = sys::about(directory.as_fd()).map_err(while_trying("look at a directory"))?;
        let is_mount = about.device != self.device
            || sys::is_mount_root(directory.as_fd()).map_err(while_trying("look at a mount"))?;
        match is_mount {
            true => Err(Refused::new(
                Refusal::Mount,
                "another file system is mounted in it, which is not touched",
            )),
            false => Ok(directory),
        }
    }

    fn count(&mut self) -> Result<(), Refused> {
        self.removed += 1;
        if self.removed > MOST_REMOVED {
            let sentence = format!(
                "{MOST_REMOVED} names of it are removed, which is as many as one request removes; \
                 repeat it for the rest"
            );
            return Err(Refused::new(Refusal::TooLarge, sentence));
        }
        Ok(())
    }
}

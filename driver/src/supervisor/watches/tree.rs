//! The directories that watches look at: found, opened, and known by the numbers that the kernel gives them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};

use cellgate_driver::wire::file_events::{FileChange, MOST_WATCHED};
use cellgate_driver::wire::files::{PATH_BYTES, Refusal};
use libc::c_int;

use super::super::files::{Refused, UPLOAD_PREFIX, open_directory, while_trying};
use super::{Watches, is_below, join, no_watch, too_many_directories};
use crate::sys::files::{self as sys, Names};
use crate::sys::inotify::Inotify;

/// Most names that are looked at for directories at once: a tenth of a second.
const MOST_NAMES: usize = 100_000;

/// The directories, by the numbers that their records have.
#[derive(Default)]
pub(super) struct Directories {
    by_number: BTreeMap<c_int, Directory>,
    /// Some have `found`.
    has_found: bool,
}

pub(super) struct Directory {
    /// Its path.
    pub(super) path: Vec<u8>,
    /// Names that were told of when the directory was found, until all records of that time are read: theirs
    /// would tell of them again.
    pub(super) found: BTreeSet<Vec<u8>>,
}

impl Directories {
    pub(super) fn get_mut(&mut self, number: c_int) -> Option<&mut Directory> {
        self.by_number.get_mut(&number)
    }

    /// Forgets the directory of a number, which the kernel has forgotten.
    pub(super) fn forget(&mut self, number: c_int) -> Option<Vec<u8>> {
        self.by_number.remove(&number).map(|directory| directory.path)
    }

    /// Looks no more at those of which `holds` says no.
    pub(super) fn retain(&mut self, inotify: &Inotify, holds: impl Fn(&[u8]) -> bool) {
        self.by_number.retain(|number, directory| {
            let is_held = holds(&directory.path);
            if !is_held {
                inotify.remove(*number);
            }
            is_held
        });
    }

    /// Gives a directory and those in it other paths. Answers whether it was looked at.
    pub(super) fn rename(&mut self, from: &[u8], to: &[u8]) -> bool {
        let mut is_known = false;
        for Directory { path, .. } in self.by_number.values_mut() {
            if path == from || is_below(path, from) {
                is_known |= path == from;
                path.splice(..from.len(), to.iter().copied());
            }
        }
        is_known
    }

    /// All records of the time at which directories were found are read.
    pub(super) fn forget_found(&mut self) {
        if std::mem::take(&mut self.has_found) {
            self.by_number.values_mut().for_each(|directory| directory.found.clear());
        }
    }

    /// Looks at an open directory. Answers its number, and whether it had another path till now.
    fn add(
        &mut self,
        inotify: &Inotify,
        open: BorrowedFd<'_>,
        path: &[u8],
    ) -> Result<(c_int, bool), Refused> {
        let number = inotify.add(open).map_err(no_watch)?;
        if let Some(known) = self.by_number.get_mut(&number) {
            let had_another = known.path != path;
            known.path = path.to_vec();
            return Ok((number, had_another));
        }
        if self.by_number.len() >= MOST_WATCHED {
            inotify.remove(number);
            return Err(too_many_directories());
        }
        let directory = Directory { path: path.to_vec(), found: BTreeSet::new() };
        self.by_number.insert(number, directory);
        Ok((number, false))
    }
}

impl Watches {
    /// Looks at a directory, and if `is_recursive` at those in it. With `tells`, all names in them are told as
    /// created: they may have been before anything looked.
    pub(super) fn watch_tree(
        &mut self,
        workdir: &str,
        root: &[u8],
        is_recursive: bool,
        tells: bool,
    ) -> Result<(), Refused> {
        let mut left = vec![root.to_vec()];
        let mut names = 0;
        while let Some(path) = left.pop() {
            match self.watch_directory(workdir, &path, is_recursive, tells, &mut names) {
                Ok(within) => left.extend(within),
                // One that went away or may not be read has nothing to be told of.
                Err(refused) if path != root && !is_limit(refused.why) => {}
                Err(refused) => return Err(refused),
            }
        }
        Ok(())
    }

    /// Does so for one directory; answers the directories in it, if they are to be looked at.
    fn watch_directory(
        &mut self,
        workdir: &str,
        path: &[u8],
        is_recursive: bool,
        tells: bool,
        count: &mut usize,
    ) -> Result<Vec<Vec<u8>>, Refused> {
        let open = open_directory(workdir, path)?;
        let Some(inotify) = &self.inotify else { return Ok(Vec::new()) };
        let (number, had_another) = self.directories.add(inotify, open.as_fd(), path)?;
        // It was moved, and its records are not read yet: what has its old path now is not known.
        self.is_stale |= had_another;
        let mut within = Vec::new();
        if !is_recursive && !tells {
            return Ok(within);
        }
        let listing =
            sys::open_listing(open.as_fd()).map_err(while_trying("open the directory"))?;
        loop {
            let names =
                Names::next_of(listing.as_fd()).map_err(while_trying("list the directory"))?;
            if names.is_end() {
                return Ok(within);
            }
            for (name, kind) in names.with_kinds() {
                let bytes = name.to_bytes();
                if matches!(bytes, b"." | b"..") || bytes.starts_with(UPLOAD_PREFIX) {
                    continue;
                }
                *count += 1;
                if *count > MOST_NAMES {
                    return Err(too_many_names());
                }
                let is_directory = is_directory(listing.as_fd(), name, kind);
                let child = join(path, bytes);
                if tells {
                    self.tell(FileChange::Created, is_directory, &child);
                    self.directories.has_found = true;
                    if let Some(directory) = self.directories.get_mut(number) {
                        directory.found.insert(bytes.to_vec());
                    }
                }
                if is_recursive && is_directory && child.len() <= PATH_BYTES {
                    within.push(child);
                }
            }
        }
    }

    /// Looks at all directories anew, after it can no more be known which those are. Every watch tells that
    /// events are missing.
    pub(super) fn begin_anew(&mut self, workdir: &str) {
        let Some(inotify) = &self.inotify else { return };
        self.directories.retain(inotify, |_| false);
        self.moved = None;
        let roots: Vec<(Vec<u8>, bool)> = self
            .open
            .iter_mut()
            .filter(|watch| !watch.is_over)
            .map(|watch| {
                watch.lose();
                (watch.root.clone(), watch.is_recursive)
            })
            .collect();
        for (root, is_recursive) in roots {
            match self.watch_tree(workdir, &root, is_recursive, false) {
                Err(refused) if !is_limit(refused.why) => self.end_watches(&root),
                // What is beyond a limit is missed, as has just been told.
                _ => {}
            }
        }
        self.is_stale = false;
    }
}

/// Whether it is not the directory's fault that it cannot be watched.
pub(super) fn is_limit(why: Refusal) -> bool {
    matches!(why, Refusal::TooLarge | Refusal::NoWatch | Refusal::TooMany)
}

fn is_directory(listing: BorrowedFd<'_>, name: &CStr, kind: u8) -> bool {
    match kind {
        libc::DT_UNKNOWN => {
            sys::about_name(listing, name).is_ok_and(|about| about.kind() == libc::S_IFDIR)
        }
        kind => kind == libc::DT_DIR,
    }
}

fn too_many_names() -> Refused {
    let sentence = format!(
        "there are more than {MOST_NAMES} names to look at for directories; watch a directory that has \
         fewer, or not those in it"
    );
    Refused::new(Refusal::TooLarge, sentence)
}

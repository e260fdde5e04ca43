//! What the kernel's records say, one after the other.

use std::time::{Duration, Instant};

use cellgate_driver::wire::file_events::{FileChange, FileEvent};

use super::super::files::UPLOAD_PREFIX;
use super::{Watches, is_below, join, parent};
use crate::sys::inotify::Record;

/// Time in which the second record of a rename has to come. The kernel writes both at once.
const MOVE_WAIT: Duration = Duration::from_millis(20);

/// The first record of a rename: a name went away.
pub(super) struct Moved {
    cookie: u32,
    path: Vec<u8>,
    is_directory: bool,
    /// When it counts as removed.
    pub(super) until: Instant,
}

impl Watches {
    /// Takes in one record.
    pub(super) fn take_record(&mut self, record: Record<'_>, workdir: &str, now: Instant) {
        let Record { directory: number, mask, cookie, name } = record;
        if mask & libc::IN_Q_OVERFLOW != 0 {
            self.is_stale = true;
            return;
        }
        if self.moved.as_ref().is_some_and(|moved| moved.cookie != cookie) {
            self.settle_move();
        }
        let Some(directory) = self.directories.get_mut(number) else { return };
        if mask & libc::IN_IGNORED != 0 {
            if let Some(path) = self.directories.forget(number) {
                self.end_watches(&path);
            }
            return;
        }
        if name.is_empty() {
            if mask & libc::IN_MOVE_SELF != 0 {
                let path = directory.path.clone();
                self.on_directory_moved(&path);
            }
            return;
        }
        let path = join(&directory.path, name);
        let was_found = match mask {
            _ if mask & (libc::IN_CREATE | libc::IN_DELETE | libc::IN_MOVED_FROM) != 0 => {
                directory.found.remove(name)
            }
            _ => false,
        };
        let is_directory = mask & libc::IN_ISDIR != 0;
        let is_upload = name.starts_with(UPLOAD_PREFIX);
        if mask & libc::IN_MOVED_FROM != 0 {
            if self.writes.forget(&path) && !is_upload {
                self.tell(FileChange::Written, false, &path);
            }
            self.moved = Some(Moved { cookie, path, is_directory, until: now + MOVE_WAIT });
        } else if mask & libc::IN_MOVED_TO != 0 {
            self.writes.forget(&path);
            match self.moved.take() {
                Some(moved) if is_upload_name(&moved.path) => {
                    self.tell(FileChange::Written, is_directory, &path);
                }
                Some(moved) => self.on_rename(&moved.path, &path, is_directory, workdir),
                None => self.on_created(&path, is_directory, workdir),
            }
        } else if is_upload {
            // One that is not whole yet: it gets its name later, or none.
        } else if mask & libc::IN_CREATE != 0 && !was_found {
            self.on_created(&path, is_directory, workdir);
        } else if mask & libc::IN_DELETE != 0 {
            self.writes.forget(&path);
            self.tell(FileChange::Removed, is_directory, &path);
        } else if mask & libc::IN_CLOSE_WRITE != 0 {
            if self.writes.on_close(&path, now) {
                self.tell(FileChange::Written, false, &path);
            }
        } else if mask & libc::IN_MODIFY != 0 && self.writes.on_write(&path, now) {
            self.tell(FileChange::Written, false, &path);
        }
    }

    /// The second half of a rename did not come: the name went to where nothing is watched.
    pub(super) fn settle_move(&mut self) {
        let Some(Moved { path, is_directory, .. }) = self.moved.take() else { return };
        if is_upload_name(&path) {
            return;
        }
        self.tell(FileChange::Removed, is_directory, &path);
        if is_directory {
            self.leave(&path);
        }
    }

    fn on_created(&mut self, path: &[u8], is_directory: bool, workdir: &str) {
        self.tell(FileChange::Created, is_directory, path);
        if is_directory {
            self.enter(path, workdir);
        }
    }

    fn on_rename(&mut self, from: &[u8], to: &[u8], is_directory: bool, workdir: &str) {
        let (left, entered) = (parent(from), parent(to));
        for watch in &mut self.open {
            let event = match (watch.shows(left), watch.shows(entered)) {
                (true, true) => FileEvent::Renamed { is_directory, path: from, to },
                (true, false) => {
                    let change = FileChange::Removed;
                    FileEvent::Changed { change, is_directory, path: from }
                }
                (false, true) => {
                    let change = FileChange::Created;
                    FileEvent::Changed { change, is_directory, path: to }
                }
                (false, false) => continue,
            };
            watch.tell(&event);
            let comes_in = watch.shows(entered) && !watch.shows(left);
            if is_directory && watch.is_recursive && comes_in {
                // What is in it is not told of, as another watch looks at it already.
                watch.lose();
            }
        }
        if !is_directory {
            return;
        }
        self.end_watches(from);
        if !self.directories.rename(from, to) {
            self.enter(to, workdir);
        }
    }

    /// A directory has another name than the one by which it is known, and no record of its parent said so.
    fn on_directory_moved(&mut self, path: &[u8]) {
        if self.open.iter().any(|watch| watch.root == path) {
            self.end_watches(path);
        }
    }

    /// Looks at a directory that appeared, where a watch shows those in its directory.
    fn enter(&mut self, path: &[u8], workdir: &str) {
        if !self.open.iter().any(|watch| watch.shows(path)) {
            return;
        }
        let watched = self.watch_tree(workdir, path, true, true);
        if watched.is_err_and(|refused| super::tree::is_limit(refused.why)) {
            for watch in self.open.iter_mut().filter(|watch| watch.shows(path)) {
                watch.lose();
            }
        }
    }

    /// Looks no more at a directory that went away, nor at those in it.
    fn leave(&mut self, directory: &[u8]) {
        self.end_watches(directory);
        if let Some(inotify) = &self.inotify {
            let stays = |path: &[u8]| path != directory && !is_below(path, directory);
            self.directories.retain(inotify, stays);
        }
    }
}

fn is_upload_name(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    name.starts_with(UPLOAD_PREFIX)
}

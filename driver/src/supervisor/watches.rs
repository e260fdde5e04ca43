//! Watches: what happens to the names below directories of the working directory, told while it happens.
//!
//! ```text
//!   kernel ─► inotify ─► read ─► tree (which directory, which names) ─► events of each watch ─► link
//!                                  └► writes (how often a file is told)
//! ```
//! All watches of a sandbox share one inotify instance, made for the first and closed with the last, as the
//! kernel counts them by user. A directory is opened as those of files are: one name after the other, over no
//! link. What a watch has to tell waits in a buffer of [`EVENTS_BYTES`] until the gateway asks for it; what
//! finds no room there is dropped and an overflow told in its place. Nothing here waits.

use std::io;
use std::os::fd::BorrowedFd;
use std::time::Instant;

use cellgate_driver::wire::file_events::{
    EVENTS_BYTES, FileChange, FileEvent, MOST_WATCHED, MOST_WATCHES,
};
use cellgate_driver::wire::files::{Begun, CHUNK_TAG, FileAnswer, FileCommand, Refusal};
use cellgate_driver::wire::kind;

use super::clock::earliest;
use super::files::{Fault, Refused, while_trying};
use super::{Link, Supervisor};
use crate::sys::inotify::Inotify;

mod records;
mod tree;
mod writes;

use records::Moved;
use tree::Directories;
use writes::Writes;

/// Reads of the inotify instance in one turn of the loop: some 1,600 events.
const MOST_READS: usize = 4;

/// The open watches, at most [`MOST_WATCHES`], and the directories that they look at.
#[derive(Default)]
pub(super) struct Watches {
    /// There is one while there are watches.
    inotify: Option<Inotify>,
    directories: Directories,
    open: Vec<Watch>,
    writes: Writes,
    /// The first half of a rename, until the second comes.
    moved: Option<Moved>,
    /// The kernel dropped records, or the paths of directories cannot be known from them: all are opened anew.
    is_stale: bool,
}

struct Watch {
    /// The number of its transfer.
    number: u32,
    /// The directory that it is about.
    root: Vec<u8>,
    is_recursive: bool,
    /// What is to be told, at most [`EVENTS_BYTES`].
    events: Vec<u8>,
    /// An event found no room.
    has_lost: bool,
    /// The gateway asked for events, and there were none yet.
    is_due: bool,
    /// Its directory is gone: what is in `events` is the last.
    is_over: bool,
}

impl Watch {
    /// Whether it tells what happens to the names in a directory.
    fn shows(&self, directory: &[u8]) -> bool {
        !self.is_over
            && (self.root == directory || self.is_recursive && is_below(directory, &self.root))
    }

    fn tell(&mut self, event: &FileEvent<'_>) {
        if self.has_lost {
            return;
        }
        let before = self.events.len();
        event.append(&mut self.events);
        if self.events.len() > EVENTS_BYTES - FileEvent::OVERFLOW_BYTES {
            self.events.truncate(before);
            self.lose();
        }
    }

    /// Tells that events are missing. There is room for that.
    fn lose(&mut self) {
        if !self.has_lost {
            self.has_lost = true;
            FileEvent::Overflow.append(&mut self.events);
        }
    }
}

impl Supervisor {
    /// Takes in what the kernel tells of watched directories.
    pub(super) fn read_watches(&mut self, now: Instant) {
        if let Err(error) = self.watches.read(&self.setup.workdir, now) {
            self.log(&format!("cannot read what happens to watched files: {error}"));
        }
    }
}

impl Watches {
    /// Obeys a step of a watch; `None` if it is none of a watch. No answer: none is wanted, or
    /// [`Watches::put_events`] gives it.
    pub(super) fn handle(
        &mut self,
        number: u32,
        command: &FileCommand<'_>,
        workdir: &str,
    ) -> Option<Result<Option<FileAnswer<'static>>, Fault>> {
        let found = self.open.iter().position(|watch| watch.number == number);
        match (command, found) {
            (FileCommand::Watch { .. }, Some(_)) => Some(Err(Fault::Breach("a second beginning"))),
            (FileCommand::Watch { path, is_recursive }, None) => {
                let begun = self.begin(number, path, *is_recursive, workdir);
                Some(match begun {
                    Ok(()) => Ok(Some(FileAnswer::Begun(Begun::default()))),
                    Err(refused) => {
                        self.release();
                        Err(refused.into())
                    }
                })
            }
            (_, None) => None,
            (FileCommand::Next, Some(at)) if !self.open[at].is_due => {
                self.open[at].is_due = true;
                Some(Ok(None))
            }
            (FileCommand::Abandon, Some(at)) => {
                self.open.swap_remove(at);
                self.release();
                Some(Ok(None))
            }
            (_, Some(_)) => Some(Err(Fault::Breach("an odd command"))),
        }
    }

    fn begin(
        &mut self,
        number: u32,
        path: &[u8],
        is_recursive: bool,
        workdir: &str,
    ) -> Result<(), Refused> {
        if self.open.len() >= MOST_WATCHES {
            let sentence =
                format!("{MOST_WATCHES} watches are open in this session; close one of them");
            return Err(Refused::new(Refusal::TooMany, sentence));
        }
        if self.inotify.is_none() {
            self.inotify = Some(Inotify::new().map_err(no_instance)?);
        }
        self.watch_tree(workdir, path, is_recursive, false)?;
        self.open.push(Watch {
            number,
            root: path.to_vec(),
            is_recursive,
            events: Vec::new(),
            has_lost: false,
            is_due: false,
            is_over: false,
        });
        Ok(())
    }

    /// Readable when there is something to read.
    pub(super) fn input(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(Inotify::descriptor)
    }

    /// When [`Watches::on_time`] has something to do.
    pub(super) fn deadline(&self) -> Option<Instant> {
        earliest(self.writes.next, self.moved.as_ref().map(|moved| moved.until))
    }

    /// Tells what was held back for a while.
    pub(super) fn on_time(&mut self, now: Instant) {
        if self.moved.as_ref().is_some_and(|moved| moved.until <= now) {
            self.settle_move();
        }
        for path in self.writes.take_due(now) {
            self.tell(FileChange::Written, false, &path);
        }
    }

    fn read(&mut self, workdir: &str, now: Instant) -> io::Result<()> {
        for _ in 0..MOST_READS {
            let Some(inotify) = &self.inotify else { return Ok(()) };
            let Some(records) = inotify.next()? else {
                self.directories.forget_found();
                break;
            };
            for record in records.iter() {
                self.take_record(record, workdir, now);
            }
            if self.is_stale {
                self.begin_anew(workdir);
            }
        }
        self.release();
        Ok(())
    }

    /// Tells an event to all watches that show the name's directory.
    fn tell(&mut self, change: FileChange, is_directory: bool, path: &[u8]) {
        let event = FileEvent::Changed { change, is_directory, path };
        for watch in self.open.iter_mut().filter(|watch| watch.shows(parent(path))) {
            watch.tell(&event);
        }
    }

    /// Ends the watches of a directory that is gone, and of those that were in it.
    fn end_watches(&mut self, directory: &[u8]) {
        for watch in &mut self.open {
            if !watch.is_over && (watch.root == directory || is_below(&watch.root, directory)) {
                let path = &std::mem::take(&mut watch.root);
                let change = FileChange::Removed;
                watch.tell(&FileEvent::Changed { change, is_directory: true, path });
                watch.is_over = true;
            }
        }
    }

    /// Looks no more at directories that no watch shows, and closes the instance with the last watch.
    fn release(&mut self) {
        let Watches { inotify, directories, open, .. } = self;
        if open.iter().all(|watch| watch.is_over) {
            *self = Watches { open: std::mem::take(open), ..Watches::default() };
            return;
        }
        if let Some(inotify) = inotify {
            directories.retain(inotify, |path| open.iter().any(|watch| watch.shows(path)));
        }
    }

    /// Puts the events that are due on the link, as far as it has room.
    pub(super) fn put_events(&mut self, link: &mut Link) -> io::Result<()> {
        let mut at = 0;
        while at < self.open.len() {
            let watch = &mut self.open[at];
            if !watch.is_due || (watch.events.is_empty() && !watch.is_over) {
                at += 1;
                continue;
            }
            let is_end = watch.events.is_empty();
            let put = link.compose(kind::FILE_ANSWER, watch.number, 1 + EVENTS_BYTES, |room| {
                let length = watch.events.len();
                room[0] = CHUNK_TAG;
                room[1..=length].copy_from_slice(&watch.events);
                1 + length
            })?;
            if !put {
                return Ok(());
            }
            // A watch that tells nothing for hours holds nothing.
            watch.events = Vec::new();
            (watch.is_due, watch.has_lost) = (false, false);
            if is_end {
                self.open.swap_remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }
}

/// Whether a path is one in a directory, or in a directory of it. All are in the working directory, which is
/// the empty path.
fn is_below(path: &[u8], directory: &[u8]) -> bool {
    match directory {
        b"" => !path.is_empty(),
        directory => path.strip_prefix(directory).is_some_and(|rest| rest.starts_with(b"/")),
    }
}

/// The directory that a path's last name is in.
fn parent(path: &[u8]) -> &[u8] {
    let slash = path.iter().rposition(|byte| *byte == b'/');
    &path[..slash.unwrap_or(0)]
}

fn join(directory: &[u8], name: &[u8]) -> Vec<u8> {
    match directory {
        b"" => name.to_vec(),
        directory => [directory, b"/", name].concat(),
    }
}

fn no_instance(error: io::Error) -> Refused {
    match error.raw_os_error() {
        Some(libc::EMFILE) => Refused::new(
            Refusal::NoWatch,
            "the machine has no inotify instance left for this sandbox's user; end other watches, or have \
             its administrator raise the sysctl fs.inotify.max_user_instances",
        ),
        _ => while_trying("watch files")(error),
    }
}

fn no_watch(error: io::Error) -> Refused {
    match error.raw_os_error() {
        Some(libc::ENOSPC) => Refused::new(
            Refusal::NoWatch,
            "the machine has no inotify watch left for this sandbox's user; watch fewer directories, or have \
             its administrator raise the sysctl fs.inotify.max_user_watches",
        ),
        _ => while_trying("watch the directory")(error),
    }
}

fn too_many_directories() -> Refused {
    let sentence = format!(
        "the watches of a session look at {MOST_WATCHED} directories at most; watch one that has fewer, or \
         not those in it"
    );
    Refused::new(Refusal::TooLarge, sentence)
}

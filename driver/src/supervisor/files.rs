//! Files of the working directory, read and written for the gateway while cells run.
//!
//! Paths come from strangers, and the directory is user code's to fill with traps. So a path is
//! walked one name at a time from the working directory, no name is `.` or `..`, and no link is
//! followed: what is reached is below the working directory however it changes meanwhile. That is
//! what `openat2` would promise with `RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS`, and every kernel
//! has it, gVisor's too.
//!
//! Nothing here waits: only regular files are read, everything is opened with `O_NONBLOCK`, and
//! each command does at most one chunk of work. Answers have to find room on the link; until then
//! a chunk is only owed, not read. An upload is written beside its place and moved there when it
//! is whole; one that is dropped leaves nothing. What is removed, moved and made is in `changes`, and
//! directories with all in them in `removal`.

use std::ffi::{CStr, CString};
use std::fs::{File, Permissions};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::PermissionsExt;
use std::time::Instant;

use cellgate_driver::wire::files::{
    Begun, CHUNK_BYTES, CHUNK_TAG, Entry, EntryKind, FileAnswer, FileCommand, MOST_TRANSFERS,
    Refusal, check_path,
};
use cellgate_driver::wire::kind;

use super::{End, Link, Supervisor};
use crate::sys::files::{self as sys, About, Names};

mod changes;
mod removal;

use removal::Removal;

/// Permissions of a new file.
const FILE_MODE: libc::mode_t = 0o644;

/// Permissions of a directory made on the way to a file.
const DIRECTORY_MODE: libc::mode_t = 0o755;

/// How the name of an upload begins that is not whole yet.
pub(super) const UPLOAD_PREFIX: &[u8] = b".cellgate-upload-";

/// The open transfers, at most [`MOST_TRANSFERS`].
#[derive(Default)]
pub(super) struct Files {
    open: Vec<Transfer>,
    /// When a transfer last put a file into its place.
    pub(super) changed_at: Option<Instant>,
}

struct Transfer {
    number: u32,
    work: Work,
    /// A chunk was asked for and has not found room yet.
    is_due: bool,
}

enum Work {
    Read(File),
    List(OwnedFd),
    Write(Upload),
    Empty(Removal),
}

/// A file that is not yet whole, beside its place.
struct Upload {
    directory: OwnedFd,
    name: CString,
    temporary: CString,
    /// Open until all is written.
    file: Option<File>,
}

impl Drop for Upload {
    fn drop(&mut self) {
        // After a commit there is nothing of this name; and user code may have taken it away.
        let _ = sys::remove_file(self.directory.as_fd(), &self.temporary);
    }
}

/// Opens what the path of a transfer names; the number is the transfer's.
type Begin = fn(workdir: &str, path: &[u8], number: u32) -> Result<(Work, Begun), Refused>;

/// Why something was not done.
pub(super) struct Refused {
    pub(super) why: Refusal,
    sentence: String,
}

impl Refused {
    pub(super) fn new(why: Refusal, sentence: impl Into<String>) -> Refused {
        Refused { why, sentence: sentence.into() }
    }

    fn answer(&self) -> Vec<u8> {
        FileAnswer::Refused(self.why, self.sentence.as_bytes()).encode()
    }
}

/// Names the operation a kernel's refusal belongs to.
pub(super) fn while_trying(operation: &'static str) -> impl Fn(io::Error) -> Refused {
    move |error| {
        let why = match error.raw_os_error().unwrap_or(0) {
            libc::ENOENT => Refusal::NotFound,
            libc::ELOOP => Refusal::Link,
            libc::EISDIR => Refusal::Directory,
            libc::ENOTDIR => Refusal::NotADirectory,
            libc::ENXIO => Refusal::Special,
            libc::EACCES | libc::EPERM | libc::EROFS => Refusal::Denied,
            // A tmpfs whose sandbox has no memory left says ENOMEM.
            libc::ENOSPC | libc::EDQUOT | libc::ENOMEM | libc::EFBIG => Refusal::Full,
            libc::ENOTEMPTY => Refusal::NotEmpty,
            libc::EXDEV => Refusal::Mount,
            libc::EAGAIN | libc::EBUSY | libc::ETXTBSY | libc::EEXIST => Refusal::Busy,
            libc::ENAMETOOLONG => Refusal::BadPath,
            libc::EMFILE | libc::ENFILE => Refusal::TooMany,
            _ => Refusal::Failed,
        };
        Refused::new(why, format!("cannot {operation}: {error}"))
    }
}

impl Supervisor {
    /// Takes a step of a transfer.
    pub(super) fn transfer(&mut self, number: u32, payload: &[u8]) -> Result<(), End> {
        let command = FileCommand::decode(payload).map_err(End::link_breach)?;
        let workdir = &self.setup.workdir;
        let mut room = Vec::new();
        let taken = match self.watches.handle(number, &command, workdir) {
            Some(taken) => taken,
            None => self.files.handle(number, command, workdir, &mut room),
        };
        let answer = match taken {
            Ok(Some(answer)) => answer.encode(),
            Ok(None) => return Ok(()),
            Err(Fault::Refused(refused)) => refused.answer(),
            Err(Fault::Breach(what)) => {
                return Err(End::Breach(format!("{what} of transfer {number}")));
            }
        };
        self.owed.push_back((0, kind::FILE_ANSWER, 0, number, answer));
        Ok(())
    }
}

/// Why a command was not obeyed.
pub(super) enum Fault {
    /// It cannot be done; the transfer is over.
    Refused(Refused),
    /// No honest gateway says this now.
    Breach(&'static str),
}

impl From<Refused> for Fault {
    fn from(refused: Refused) -> Fault {
        Fault::Refused(refused)
    }
}

impl Files {
    /// Obeys a command. No answer: none is wanted, or [`Files::put_chunks`] gives it.
    ///
    /// `room` is for what an answer has to say.
    fn handle<'a>(
        &mut self,
        number: u32,
        command: FileCommand<'_>,
        workdir: &str,
        room: &'a mut Vec<u8>,
    ) -> Result<Option<FileAnswer<'a>>, Fault> {
        let found = self.open.iter().position(|transfer| transfer.number == number);
        let begin: Begin = match command {
            FileCommand::Read(_) => |workdir, path, _| read(workdir, path),
            FileCommand::List(_) => |workdir, path, _| list(workdir, path),
            FileCommand::Write(_) => write,
            FileCommand::Empty(_) => |workdir, path, _| {
                Ok((Work::Empty(Removal::begin(workdir, path)?), Begun::default()))
            },
            // These are done at once, and open nothing.
            FileCommand::Remove(_)
            | FileCommand::Move { .. }
            | FileCommand::Make(_)
            | FileCommand::Stat(_)
                if found.is_some() =>
            {
                return Err(Fault::Breach("a second beginning"));
            }
            FileCommand::Remove(path) => {
                changes::remove(workdir, path)?;
                return Ok(Some(FileAnswer::Took));
            }
            FileCommand::Move { from, to } => {
                changes::move_to(workdir, from, to)?;
                self.changed_at = Some(Instant::now());
                return Ok(Some(FileAnswer::Took));
            }
            FileCommand::Make(path) => {
                let existed = changes::make_directory(workdir, path)?;
                return Ok(Some(FileAnswer::Begun(Begun { existed, ..Begun::default() })));
            }
            FileCommand::Stat(path) => {
                return Ok(Some(FileAnswer::Chunk(stat(workdir, path, room)?)));
            }
            FileCommand::Watch { .. } => return Err(Fault::Breach("a watch among transfers")),
            FileCommand::Abandon => {
                if let Some(at) = found {
                    self.open.swap_remove(at);
                }
                return Ok(None);
            }
            FileCommand::Next | FileCommand::Append(_) | FileCommand::Commit => {
                let Some(at) = found else {
                    return Err(Refused::new(Refusal::NotOpen, "no such transfer").into());
                };
                let taken = self.step(at, command);
                if let Err(Fault::Refused(_)) = taken {
                    self.open.swap_remove(at);
                }
                return taken;
            }
        };
        let (FileCommand::Read(path)
        | FileCommand::List(path)
        | FileCommand::Write(path)
        | FileCommand::Empty(path)) = command
        else {
            return Err(Fault::Breach("an odd beginning"));
        };
        if found.is_some() {
            return Err(Fault::Breach("a second beginning"));
        }
        if self.open.len() >= MOST_TRANSFERS {
            let sentence = format!("{MOST_TRANSFERS} transfers are open");
            return Err(Refused::new(Refusal::TooMany, sentence).into());
        }
        let (work, begun) = begin(workdir, path, number)?;
        self.open.push(Transfer { number, work, is_due: false });
        Ok(Some(FileAnswer::Begun(begun)))
    }

    /// Takes a step of an open transfer.
    fn step(
        &mut self,
        at: usize,
        command: FileCommand<'_>,
    ) -> Result<Option<FileAnswer<'static>>, Fault> {
        let transfer = &mut self.open[at];
        if transfer.is_due {
            return Err(Fault::Breach("a command before the answer to the last"));
        }
        match (command, &mut transfer.work) {
            (FileCommand::Next, Work::Read(_) | Work::List(_) | Work::Empty(_)) => {
                transfer.is_due = true;
                Ok(None)
            }
            (FileCommand::Append(bytes), Work::Write(upload)) => {
                if let Some(file) = &mut upload.file {
                    file.write_all(bytes).map_err(while_trying("write the file"))?;
                }
                Ok(Some(FileAnswer::Took))
            }
            (FileCommand::Commit, Work::Write(upload)) => {
                // Closed under its temporary name, it is no second write to those who watch the other.
                upload.file = None;
                sys::rename(upload.directory.as_fd(), &upload.temporary, &upload.name)
                    .map_err(while_trying("put the file into its place"))?;
                self.open.swap_remove(at);
                self.changed_at = Some(Instant::now());
                Ok(Some(FileAnswer::Took))
            }
            _ => Err(Fault::Breach("a command for another kind")),
        }
    }

    /// Puts the chunks that are due on the link, as far as it has room.
    pub(super) fn put_chunks(&mut self, link: &mut Link) -> io::Result<()> {
        let mut at = 0;
        while at < self.open.len() {
            let Transfer { number, work, is_due } = &mut self.open[at];
            if !*is_due {
                at += 1;
                continue;
            }
            let mut is_over = false;
            let put = link.compose(kind::FILE_ANSWER, *number, 1 + CHUNK_BYTES, |room| {
                room[0] = CHUNK_TAG;
                match fill(work, &mut room[1..]) {
                    Ok(bytes) => {
                        is_over = bytes == 0;
                        1 + bytes
                    }
                    Err(refused) => {
                        is_over = true;
                        let answer = refused.answer();
                        room[..answer.len()].copy_from_slice(&answer);
                        answer.len()
                    }
                }
            })?;
            if !put {
                return Ok(());
            }
            *is_due = false;
            if is_over {
                self.open.swap_remove(at);
            } else {
                at += 1;
            }
        }
        Ok(())
    }
}

/// The next chunk of a file, a listing or a removal; 0 at its end.
fn fill(work: &mut Work, room: &mut [u8]) -> Result<usize, Refused> {
    match work {
        Work::Read(file) => file.read(room).map_err(while_trying("read the file")),
        Work::List(listing) => entries(listing, room),
        Work::Write(_) => Ok(0), // never due
        Work::Empty(removal) => {
            let count = removal.step()?.map(u64::to_le_bytes);
            let bytes = count.as_ref().map_or(&[][..], |count| count);
            room[..bytes.len()].copy_from_slice(bytes);
            Ok(bytes.len())
        }
    }
}

fn entries(listing: &OwnedFd, room: &mut [u8]) -> Result<usize, Refused> {
    // An entry of ours is not longer than the kernel's, so what one call gives has room.
    let mut chunk = Vec::with_capacity(sys::RECORDS_BYTES);
    while chunk.is_empty() {
        let names = Names::next_of(listing.as_fd()).map_err(while_trying("list the directory"))?;
        if names.is_end() {
            break;
        }
        for name in names.iter().filter(|name| !matches!(name.to_bytes(), b"." | b"..")) {
            // What went away meanwhile is no entry.
            let Ok(about) = sys::about_name(listing.as_fd(), name) else { continue };
            entry(about, name.to_bytes()).append(&mut chunk);
        }
    }
    room[..chunk.len()].copy_from_slice(&chunk);
    Ok(chunk.len())
}

/// What is told of a name.
fn entry(about: About, name: &[u8]) -> Entry<'_> {
    let kind = match about.kind() {
        libc::S_IFREG => EntryKind::File,
        libc::S_IFDIR => EntryKind::Directory,
        libc::S_IFLNK => EntryKind::Link,
        _ => EntryKind::Other,
    };
    let size = if kind == EntryKind::File { about.size } else { 0 };
    let mode = (about.mode & 0o7777) as u16;
    Entry { kind, size, modified_ms: about.modified_ms, mode, name }
}

/// The entry of what has the name at a path, written into `room`.
fn stat<'a>(workdir: &str, path: &[u8], room: &'a mut Vec<u8>) -> Result<&'a [u8], Refused> {
    let (about, name) = match path {
        b"" => (sys::about(root(workdir)?.as_fd()), CString::default()),
        path => {
            let (parent, name) = walk(workdir, path, false)?;
            (sys::about_name(parent.as_fd(), &name), name)
        }
    };
    entry(about.map_err(while_trying("find the file"))?, name.to_bytes()).append(room);
    Ok(room)
}

fn read(workdir: &str, path: &[u8]) -> Result<(Work, Begun), Refused> {
    let (directory, name) = walk(workdir, path, false)?;
    // Looked at before it is opened, as opening wakes a process that waits at a pipe's other end;
    // and again behind it, as it may have become something else.
    regular(sys::about_name(directory.as_fd(), &name).map_err(while_trying("find the file"))?)?;
    let opened = sys::open_file(directory.as_fd(), &name);
    let file = opened.map_err(while_trying("open the file"))?;
    let about = regular(sys::about(file.as_fd()).map_err(while_trying("look at the file"))?)?;
    let (size, modified_ms) = (about.size, about.modified_ms);
    Ok((Work::Read(file), Begun { size, modified_ms, existed: true }))
}

fn list(workdir: &str, path: &[u8]) -> Result<(Work, Begun), Refused> {
    let directory = open_directory(workdir, path)?;
    let opened = sys::open_listing(directory.as_fd());
    let listing = opened.map_err(while_trying("open the directory"))?;
    let about = sys::about(listing.as_fd()).map_err(while_trying("look at the directory"))?;
    Ok((Work::List(listing), Begun { size: 0, modified_ms: about.modified_ms, existed: true }))
}

/// Opens the directory at a path, which is the working directory if it is empty, for nothing but as a start
/// for others.
pub(super) fn open_directory(workdir: &str, path: &[u8]) -> Result<OwnedFd, Refused> {
    match path {
        b"" => root(workdir),
        path => {
            let (parent, name) = walk(workdir, path, false)?;
            enter(&parent, &name, false)
        }
    }
}

fn write(workdir: &str, path: &[u8], number: u32) -> Result<(Work, Begun), Refused> {
    let (directory, name) = walk(workdir, path, true)?;
    let before = match sys::about_name(directory.as_fd(), &name) {
        Ok(about) => Some(regular(about)?),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(error) => return Err(while_trying("look at the file")(error)),
    };
    let temporary = c_name(&[UPLOAD_PREFIX, number.to_string().as_bytes()].concat())?;
    let created = sys::create_file(directory.as_fd(), &temporary, FILE_MODE);
    let file = created.map_err(while_trying("make the file"))?;
    let upload = Upload { directory, name, temporary, file: Some(file) };
    if let (Some(about), Some(file)) = (before, &upload.file) {
        let mode = Permissions::from_mode(about.mode & 0o777);
        let set = file.set_permissions(mode);
        set.map_err(while_trying("keep the file's permissions"))?;
    }
    Ok((Work::Write(upload), Begun { existed: before.is_some(), ..Begun::default() }))
}

/// The directory that a path's last name is in, and that name.
fn walk(workdir: &str, path: &[u8], make: bool) -> Result<(OwnedFd, CString), Refused> {
    check_path(path).map_err(|what| Refused::new(Refusal::BadPath, what))?;
    let mut directory = root(workdir)?;
    let mut names = path.split(|byte| *byte == b'/');
    let mut name = c_name(names.next().unwrap_or_default())?;
    for next in names {
        directory = enter(&directory, &name, make)?;
        name = c_name(next)?;
    }
    Ok((directory, name))
}

fn root(workdir: &str) -> Result<OwnedFd, Refused> {
    let path = c_name(workdir.as_bytes())?;
    sys::open_root(&path).map_err(while_trying("open the working directory"))
}

/// Opens a directory of a directory; with `make`, one that is not there is made.
fn enter(parent: &OwnedFd, name: &CStr, make: bool) -> Result<OwnedFd, Refused> {
    let mut opened = sys::open_place(parent.as_fd(), name);
    if make && opened.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
        match sys::make_directory(parent.as_fd(), name, DIRECTORY_MODE) {
            // Another process was faster; what it made, we see in a moment.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            made => made.map_err(while_trying("make a directory"))?,
        }
        opened = sys::open_place(parent.as_fd(), name);
    }
    let place = opened.map_err(while_trying("find a directory of the path"))?;
    let about = sys::about(place.as_fd()).map_err(while_trying("look at a directory"))?;
    match about.kind() {
        libc::S_IFDIR => Ok(place),
        libc::S_IFLNK => Err(Refused::new(Refusal::Link, "a part of the path is a link")),
        _ => Err(Refused::new(Refusal::NotADirectory, "a part of the path is not a directory")),
    }
}

/// Lets regular files pass.
fn regular(about: About) -> Result<About, Refused> {
    let (why, sentence) = match about.kind() {
        libc::S_IFREG => return Ok(about),
        libc::S_IFDIR => (Refusal::Directory, "it is a directory"),
        libc::S_IFLNK => (Refusal::Link, "it is a link"),
        _ => (Refusal::Special, "it is a pipe, a socket or a device"),
    };
    Err(Refused::new(why, sentence))
}

fn c_name(name: &[u8]) -> Result<CString, Refused> {
    CString::new(name).map_err(|_| Refused::new(Refusal::BadPath, "the path has a NUL in it"))
}

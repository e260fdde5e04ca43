//! Files over the link: what [`kind::FILE`](super::kind::FILE) asks and
//! [`kind::FILE_ANSWER`](super::kind::FILE_ANSWER) answers.
//!
//! ```text
//!   READ path   ─► BEGUN, then  NEXT ─► CHUNK …  NEXT ─► CHUNK (empty: the end)
//!   LIST path   ─► BEGUN, then  the same, with entries as the bytes of a chunk
//!   WRITE path  ─► BEGUN, then  APPEND bytes ─► TOOK …  COMMIT ─► TOOK (the file stands)
//!   EMPTY path  ─► BEGUN, then  NEXT ─► CHUNK (a count, u64 LE) …  NEXT ─► CHUNK (empty: the end)
//!   REMOVE path, MOVE paths     ─► TOOK    and the transfer is over
//!   MAKE path   ─► BEGUN        and the transfer is over
//!   STAT path   ─► CHUNK (its entry)  and the transfer is over
//!   WATCH path  ─► BEGUN, then  NEXT ─► CHUNK (events, once there are some) …  CHUNK (empty: the end)
//!   any of them ─► REFUSED      and the transfer is over
//!   ABANDON     ─► no answer    and the transfer is over
//! ```
//! The header's `cell` is the number of the transfer, which the gateway chooses. Each command but
//! ABANDON has exactly one answer, and the gateway waits for it before the transfer's next
//! command: that is all the flow control there is, and nothing is ever held beyond one chunk.

use super::{MAX_PAYLOAD, WireError, u64_at};

/// Most bytes of a file in one frame: a whole number of pages, with room for the tag.
pub const CHUNK_BYTES: usize = 60 << 10;

/// Transfers that may be open at once: each costs the supervisor two descriptors.
pub const MOST_TRANSFERS: usize = 8;

/// Longest path, in bytes. A quarter of the kernel's own bound, so that a long listing stays small.
pub const PATH_BYTES: usize = 1024;

/// Most directories below each other that are removed with all in them: a tree of sources or packages
/// has thirty. Each costs a few calls of the kernel for each directory that is removed.
pub const MOST_LEVELS: usize = 128;

/// Most names that one request removes: some seconds of work.
pub const MOST_REMOVED: u64 = 100_000;

/// Longest part of a path, in bytes: `NAME_MAX` of every file system.
pub const NAME_BYTES: usize = 255;

/// What the gateway asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileCommand<'a> {
    /// Begin to read the regular file at a path.
    Read(&'a [u8]),
    /// Begin to list the directory at a path; the empty path is the working directory.
    List(&'a [u8]),
    /// Begin to write the file at a path; directories that are missing are made.
    Write(&'a [u8]),
    /// Remove what has the name at a path, unless it is a directory with something in it.
    Remove(&'a [u8]),
    /// Begin to remove the directory at a path with all in it. Each chunk says in a u64 how many
    /// names were removed for it.
    Empty(&'a [u8]),
    /// Give what has the name at a path another path, where there is nothing yet.
    Move {
        /// The path it has, at most [`PATH_BYTES`].
        from: &'a [u8],
        /// The path it gets.
        to: &'a [u8],
    },
    /// Make a directory, and those on its way that are missing. `existed` of the answer says whether
    /// it was there.
    Make(&'a [u8]),
    /// Say what has the name at a path: one entry, a link's its own. The empty path is the working
    /// directory, whose entry has no name.
    Stat(&'a [u8]),
    /// Begin to tell what happens to names in the directory at a path; the empty path is the working
    /// directory. Each chunk has [`FileEvent`](super::file_events::FileEvent)s; NEXT is answered when there are
    /// some, and with none when the directory is gone.
    Watch {
        /// The directory.
        path: &'a [u8],
        /// Whether what happens in the directories in it is told too.
        is_recursive: bool,
    },
    /// The next chunk.
    Next,
    /// Add this to what is written, at most [`CHUNK_BYTES`].
    Append(&'a [u8]),
    /// What is written takes the place of the file, in one step.
    Commit,
    /// Forget the transfer.
    Abandon,
}

/// What the supervisor answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileAnswer<'a> {
    /// The transfer has begun.
    Begun(Begun),
    /// Bytes of the file, or entries of the directory; none at the end.
    Chunk(&'a [u8]),
    /// Written, or committed.
    Took,
    /// It cannot be done, and a sentence for the log.
    Refused(Refusal, &'a [u8]),
}

/// What is known of a file at the start of its transfer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Begun {
    /// Its size in bytes; 0 for a directory, or for a file that is to be written.
    pub size: u64,
    /// When it was last changed, in Unix milliseconds.
    pub modified_ms: u64,
    /// Whether a file of this name was there.
    pub existed: bool,
}

/// Why something cannot be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Refusal {
    /// Not a path below the working directory; see [`check_path`].
    BadPath = 0,
    /// There is nothing of this name.
    NotFound = 1,
    /// A part of the path is a link. Links are not followed: they may lead anywhere.
    Link = 2,
    /// A directory, where a file is wanted.
    Directory = 3,
    /// A part of the path, or what is to be listed, is not a directory.
    NotADirectory = 4,
    /// Neither file nor directory: a pipe, a socket, a device.
    Special = 5,
    /// Its permissions do not allow it.
    Denied = 6,
    /// The working directory is full: of bytes, or of files.
    Full = 7,
    /// Another process holds it in a way that would make the supervisor wait.
    Busy = 8,
    /// [`MOST_TRANSFERS`] are open.
    TooMany = 9,
    /// There is no such transfer.
    NotOpen = 10,
    /// Something else; the sentence says what.
    Failed = 11,
    /// Something has this name already.
    Exists = 12,
    /// A directory that is to be removed has something in it.
    NotEmpty = 13,
    /// A directory that is to be removed has more in it than is removed at once: entries, or
    /// directories below each other.
    TooLarge = 14,
    /// Another file system is mounted there; it is not touched, and nothing moves to or from it.
    Mount = 15,
    /// The kernel has no inotify instance or watch left for the sandbox's user.
    NoWatch = 16,
}

impl Refusal {
    const ALL: [Refusal; 17] = [
        Refusal::BadPath,
        Refusal::NotFound,
        Refusal::Link,
        Refusal::Directory,
        Refusal::NotADirectory,
        Refusal::Special,
        Refusal::Denied,
        Refusal::Full,
        Refusal::Busy,
        Refusal::TooMany,
        Refusal::NotOpen,
        Refusal::Failed,
        Refusal::Exists,
        Refusal::NotEmpty,
        Refusal::TooLarge,
        Refusal::Mount,
        Refusal::NoWatch,
    ];
}

/// What stands in a directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry<'a> {
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes; 0 for what is not a file.
    pub size: u64,
    /// When it was last changed, in Unix milliseconds.
    pub modified_ms: u64,
    /// Its permissions: the lowest twelve bits of `st_mode`.
    pub mode: u16,
    /// Its name, at most [`NAME_BYTES`]; user code may choose any bytes but `/` and NUL.
    pub name: &'a [u8],
}

/// What an entry is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum EntryKind {
    /// A regular file.
    File = 0,
    /// A directory.
    Directory = 1,
    /// A symbolic link, wherever it leads.
    Link = 2,
    /// A pipe, a socket, a device.
    Other = 3,
}

mod op {
    pub(super) const READ: u8 = 1;
    pub(super) const LIST: u8 = 2;
    pub(super) const WRITE: u8 = 3;
    pub(super) const NEXT: u8 = 4;
    pub(super) const APPEND: u8 = 5;
    pub(super) const COMMIT: u8 = 6;
    pub(super) const ABANDON: u8 = 7;
    pub(super) const REMOVE: u8 = 8;
    pub(super) const EMPTY: u8 = 9;
    pub(super) const MOVE: u8 = 10;
    pub(super) const MAKE: u8 = 11;
    pub(super) const STAT: u8 = 12;
    pub(super) const WATCH: u8 = 13;
}

mod tag {
    pub(super) const BEGUN: u8 = 1;
    pub(super) const CHUNK: u8 = 2;
    pub(super) const TOOK: u8 = 3;
    pub(super) const REFUSED: u8 = 4;
}

/// First byte of the payload of a [`FileAnswer::Chunk`], for who reads a file straight behind it.
pub const CHUNK_TAG: u8 = tag::CHUNK;

impl<'a> FileCommand<'a> {
    /// The payload: an `op u8`, then the path or the bytes. Two paths have a NUL between them, which no
    /// path has in it; before the path of a WATCH stands a 1 if it is recursive, else a 0.
    pub fn encode(&self) -> Vec<u8> {
        let joined;
        let (op, rest) = match *self {
            FileCommand::Read(path) => (op::READ, path),
            FileCommand::List(path) => (op::LIST, path),
            FileCommand::Write(path) => (op::WRITE, path),
            FileCommand::Next => (op::NEXT, &[][..]),
            FileCommand::Append(bytes) => (op::APPEND, bytes),
            FileCommand::Commit => (op::COMMIT, &[][..]),
            FileCommand::Abandon => (op::ABANDON, &[][..]),
            FileCommand::Remove(path) => (op::REMOVE, path),
            FileCommand::Empty(path) => (op::EMPTY, path),
            FileCommand::Move { from, to } => {
                joined = [from, &[0], to].concat();
                (op::MOVE, &joined[..])
            }
            FileCommand::Make(path) => (op::MAKE, path),
            FileCommand::Stat(path) => (op::STAT, path),
            FileCommand::Watch { path, is_recursive } => {
                joined = [&[is_recursive.into()], path].concat();
                (op::WATCH, &joined[..])
            }
        };
        let mut out = Vec::with_capacity(1 + rest.len());
        out.push(op);
        out.extend_from_slice(rest);
        out
    }

    /// Reads the payload. Paths are not looked at.
    pub fn decode(payload: &'a [u8]) -> Result<FileCommand<'a>, WireError> {
        const WRONG: WireError = WireError::Payload("a FILE");
        let (&op, rest) = payload.split_first().ok_or(WRONG)?;
        match op {
            op::READ => Ok(FileCommand::Read(rest)),
            op::LIST => Ok(FileCommand::List(rest)),
            op::WRITE => Ok(FileCommand::Write(rest)),
            op::APPEND if rest.len() <= CHUNK_BYTES => Ok(FileCommand::Append(rest)),
            op::NEXT if rest.is_empty() => Ok(FileCommand::Next),
            op::COMMIT if rest.is_empty() => Ok(FileCommand::Commit),
            op::ABANDON if rest.is_empty() => Ok(FileCommand::Abandon),
            op::REMOVE => Ok(FileCommand::Remove(rest)),
            op::EMPTY => Ok(FileCommand::Empty(rest)),
            op::MOVE => {
                let at = rest.iter().position(|byte| *byte == 0).ok_or(WRONG)?;
                Ok(FileCommand::Move { from: &rest[..at], to: &rest[at + 1..] })
            }
            op::MAKE => Ok(FileCommand::Make(rest)),
            op::STAT => Ok(FileCommand::Stat(rest)),
            op::WATCH => match rest {
                [recursive @ (0 | 1), path @ ..] => {
                    Ok(FileCommand::Watch { path, is_recursive: *recursive == 1 })
                }
                _ => Err(WRONG),
            },
            _ => Err(WRONG),
        }
    }
}

impl<'a> FileAnswer<'a> {
    /// The payload: a `tag u8`, then the fields. A sentence that does not fit is cut.
    pub fn encode(&self) -> Vec<u8> {
        match self {
            FileAnswer::Begun(begun) => {
                let mut out = vec![tag::BEGUN, begun.existed as u8];
                out.extend_from_slice(&begun.size.to_le_bytes());
                out.extend_from_slice(&begun.modified_ms.to_le_bytes());
                out
            }
            FileAnswer::Chunk(bytes) => [&[tag::CHUNK], *bytes].concat(),
            FileAnswer::Took => vec![tag::TOOK],
            FileAnswer::Refused(refusal, sentence) => {
                let length = sentence.len().min(MAX_PAYLOAD - 2);
                [&[tag::REFUSED, *refusal as u8], &sentence[..length]].concat()
            }
        }
    }

    /// Reads the payload.
    pub fn decode(payload: &'a [u8]) -> Result<FileAnswer<'a>, WireError> {
        const WRONG: WireError = WireError::Payload("a FILE_ANSWER");
        match payload {
            [tag::BEGUN, existed @ (0 | 1), rest @ ..] if rest.len() == 16 => {
                Ok(FileAnswer::Begun(Begun {
                    size: u64_at(rest, 0),
                    modified_ms: u64_at(rest, 8),
                    existed: *existed == 1,
                }))
            }
            [tag::CHUNK, bytes @ ..] if bytes.len() <= CHUNK_BYTES => Ok(FileAnswer::Chunk(bytes)),
            [tag::TOOK] => Ok(FileAnswer::Took),
            [tag::REFUSED, why, sentence @ ..] => {
                let refusal = Refusal::ALL.get(usize::from(*why)).ok_or(WRONG)?;
                Ok(FileAnswer::Refused(*refusal, sentence))
            }
            _ => Err(WRONG),
        }
    }
}

impl<'a> Entry<'a> {
    const FIXED: usize = 20; // kind, size, time, permissions, length of the name

    /// Appends the entry to a chunk: `kind u8 · size u64 · modified u64 · mode u16 · length u8 ·
    /// name`. Not longer than what `getdents64` needs for the same entry.
    pub fn append(&self, out: &mut Vec<u8>) {
        out.push(self.kind as u8);
        out.extend_from_slice(&self.size.to_le_bytes());
        out.extend_from_slice(&self.modified_ms.to_le_bytes());
        out.extend_from_slice(&self.mode.to_le_bytes());
        let name = &self.name[..self.name.len().min(NAME_BYTES)];
        out.push(name.len() as u8);
        out.extend_from_slice(name);
    }

    /// Takes the first entry off a chunk; `None` at its end.
    pub fn take(chunk: &mut &'a [u8]) -> Result<Option<Entry<'a>>, WireError> {
        const WRONG: WireError = WireError::Payload("a list of entries");
        if chunk.is_empty() {
            return Ok(None);
        }
        let fixed = chunk.get(..Entry::FIXED).ok_or(WRONG)?;
        let kind = match fixed[0] {
            0 => EntryKind::File,
            1 => EntryKind::Directory,
            2 => EntryKind::Link,
            3 => EntryKind::Other,
            _ => return Err(WRONG),
        };
        let name = chunk[Entry::FIXED..].get(..usize::from(fixed[19])).ok_or(WRONG)?;
        let (size, modified_ms) = (u64_at(fixed, 1), u64_at(fixed, 9));
        let mode = u16::from_le_bytes([fixed[17], fixed[18]]);
        *chunk = &chunk[Entry::FIXED + name.len()..];
        Ok(Some(Entry { kind, size, modified_ms, mode, name }))
    }
}

/// Whether this is a path below the working directory, by its text alone: names divided by single
/// slashes, none of them `.` or `..`. Answers what is wrong with it.
pub fn check_path(path: &[u8]) -> Result<(), &'static str> {
    if path.is_empty() {
        return Err("the path is empty");
    }
    if path.len() > PATH_BYTES {
        return Err("the path is longer than 1024 bytes");
    }
    if path.contains(&0) {
        return Err("the path has a NUL in it");
    }
    if path[0] == b'/' {
        return Err("the path is absolute; it has to be one below the working directory");
    }
    for name in path.split(|byte| *byte == b'/') {
        match name {
            b"" => return Err("the path has an empty part"),
            b"." | b".." => return Err("the path has a part `.` or `..`"),
            name if name.len() > NAME_BYTES => {
                return Err("a part of the path is longer than 255 bytes");
            }
            _ => {}
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_survive_the_wire_and_odd_ones_are_refused() {
        for command in [
            FileCommand::Read(b"a/b"),
            FileCommand::List(b""),
            FileCommand::Write(b"\xff"),
            FileCommand::Next,
            FileCommand::Append(b"bytes"),
            FileCommand::Commit,
            FileCommand::Abandon,
            FileCommand::Remove(b"a"),
            FileCommand::Empty(b"a/b"),
            FileCommand::Move { from: b"a", to: b"b/c" },
            FileCommand::Make(b"d"),
            FileCommand::Stat(b""),
            FileCommand::Watch { path: b"", is_recursive: true },
            FileCommand::Watch { path: b"a/b", is_recursive: false },
        ] {
            assert_eq!(FileCommand::decode(&command.encode()), Ok(command));
        }
        let long = FileCommand::Append(&[0; CHUNK_BYTES + 1]).encode();
        for odd in [
            &b""[..],
            &[0],
            &[14],
            &[op::NEXT, 0],
            &[op::COMMIT, 0],
            &[op::MOVE, b'a'],
            &[op::WATCH],
            &[op::WATCH, 2],
            &long,
        ] {
            assert!(FileCommand::decode(odd).is_err(), "{:?}", &odd[..odd.len().min(4)]);
        }
    }

    #[test]
    fn answers_survive_the_wire_and_odd_ones_are_refused() {
        let begun = Begun { size: u64::MAX, modified_ms: 7, existed: true };
        for answer in [
            FileAnswer::Begun(begun),
            FileAnswer::Chunk(b""),
            FileAnswer::Chunk(&[9; CHUNK_BYTES]),
            FileAnswer::Took,
            FileAnswer::Refused(Refusal::Failed, b"why"),
        ] {
            assert!(answer.encode().len() <= MAX_PAYLOAD);
            assert_eq!(FileAnswer::decode(&answer.encode()), Ok(answer));
        }
        for refusal in Refusal::ALL {
            let answer = FileAnswer::Refused(refusal, b"");
            assert_eq!(FileAnswer::decode(&answer.encode()), Ok(answer));
        }
        let long = FileAnswer::Chunk(&[0; CHUNK_BYTES + 1]).encode();
        let odd_flag = [&[tag::BEGUN, 2][..], &[0; 16]].concat();
        for odd in [
            &b""[..],
            &[0],
            &[tag::TOOK, 0],
            &[tag::REFUSED],
            &[tag::REFUSED, 17],
            &long,
            &odd_flag,
        ] {
            assert!(FileAnswer::decode(odd).is_err(), "{:?}", &odd[..odd.len().min(4)]);
        }
    }

    #[test]
    fn entries_survive_the_wire_and_cut_ones_are_refused() {
        let mut chunk = Vec::new();
        let entries = [
            Entry {
                kind: EntryKind::File,
                size: 5,
                modified_ms: 6,
                mode: 0o4755,
                name: "é".as_bytes(),
            },
            Entry {
                kind: EntryKind::Other,
                size: 0,
                modified_ms: 0,
                mode: 0,
                name: &[b'x'; NAME_BYTES],
            },
        ];
        entries.iter().for_each(|entry| entry.append(&mut chunk));
        let mut rest = &chunk[..];
        for entry in entries {
            assert_eq!(Entry::take(&mut rest), Ok(Some(entry)));
        }
        assert_eq!(Entry::take(&mut rest), Ok(None));
        assert!(Entry::take(&mut &chunk[..3]).is_err());
        assert!(Entry::take(&mut &chunk[..Entry::FIXED + 1]).is_err());
        assert!(Entry::take(&mut &[4; 40][..]).is_err());
    }

    #[test]
    fn only_paths_below_the_working_directory_are_paths() {
        for good in ["a", "a/b", "...", "a b/é", ".hidden", "-"] {
            assert_eq!(check_path(good.as_bytes()), Ok(()), "{good}");
        }
        assert_eq!(check_path(&[b'a'; NAME_BYTES]), Ok(()));
        let deep = "a/".repeat(PATH_BYTES);
        let long = "a".repeat(NAME_BYTES + 1);
        for bad in [
            "", "/", "/a", ".", "..", "a/..", "../a", "a//b", "a/", "./a", "a/./b", "a\0b", &deep,
            &long,
        ] {
            assert!(check_path(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}

//! What a watch tells of files: the events in a chunk of a [`FileCommand::Watch`](super::files::FileCommand::Watch).
//!
//! All paths are relative to the working directory.

use super::WireError;
use super::files::CHUNK_BYTES;

/// Watches that may be open at once.
pub const MOST_WATCHES: usize = 8;

/// Most directories that the watches of a sandbox look at. Each costs the kernel about a kilobyte.
pub const MOST_WATCHED: usize = 1000;

/// Most bytes of events that wait for the gateway, for each watch. Those that find no room are dropped, and
/// [`FileEvent::Overflow`] says so.
pub const EVENTS_BYTES: usize = CHUNK_BYTES;

/// What happened below a watched directory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileEvent<'a> {
    /// Something happened to one name.
    Changed {
        /// What.
        change: FileChange,
        /// Whether it is a directory.
        is_directory: bool,
        /// Its path.
        path: &'a [u8],
    },
    /// A name became another one. What had that name before is replaced.
    Renamed {
        /// Whether it is a directory.
        is_directory: bool,
        /// The path it had.
        path: &'a [u8],
        /// The path it has.
        to: &'a [u8],
    },
    /// Events were dropped: whoever keeps track of files has to list them anew.
    Overflow,
}

/// What happened to a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FileChange {
    /// It is there, and was not.
    Created,
    /// It was written to.
    Written,
    /// It is there no more.
    Removed,
}

mod op {
    pub(super) const CREATED: u8 = 1;
    pub(super) const WRITTEN: u8 = 2;
    pub(super) const REMOVED: u8 = 3;
    pub(super) const RENAMED: u8 = 4;
    pub(super) const OVERFLOW: u8 = 5;
}

impl<'a> FileEvent<'a> {
    /// Bytes of [`FileEvent::Overflow`] in a chunk.
    pub const OVERFLOW_BYTES: usize = 1;

    /// Appends the event to a chunk: `op u8`, and but for an overflow `directory u8 · length u16 · path`, and
    /// for a new name `length u16 · path` once more.
    pub fn append(&self, out: &mut Vec<u8>) {
        let (op, is_directory, paths) = match *self {
            FileEvent::Changed { change, is_directory, path } => {
                let op = match change {
                    FileChange::Created => op::CREATED,
                    FileChange::Written => op::WRITTEN,
                    FileChange::Removed => op::REMOVED,
                };
                (op, is_directory, [Some(path), None])
            }
            FileEvent::Renamed { is_directory, path, to } => {
                (op::RENAMED, is_directory, [Some(path), Some(to)])
            }
            FileEvent::Overflow => return out.push(op::OVERFLOW),
        };
        out.extend_from_slice(&[op, is_directory.into()]);
        for path in paths.into_iter().flatten() {
            let path = &path[..path.len().min(usize::from(u16::MAX))];
            out.extend_from_slice(&(path.len() as u16).to_le_bytes());
            out.extend_from_slice(path);
        }
    }

    /// Takes the first event off a chunk; `None` at its end.
    pub fn take(chunk: &mut &'a [u8]) -> Result<Option<FileEvent<'a>>, WireError> {
        const WRONG: WireError = WireError::Payload("a list of file events");
        let change = match *chunk {
            [] => return Ok(None),
            [op::OVERFLOW, rest @ ..] => {
                *chunk = rest;
                return Ok(Some(FileEvent::Overflow));
            }
            [op::CREATED, ..] => Some(FileChange::Created),
            [op::WRITTEN, ..] => Some(FileChange::Written),
            [op::REMOVED, ..] => Some(FileChange::Removed),
            [op::RENAMED, ..] => None,
            _ => return Err(WRONG),
        };
        let [_, directory @ (0 | 1), rest @ ..] = *chunk else { return Err(WRONG) };
        let is_directory = *directory == 1;
        let (path, rest) = take_path(rest).ok_or(WRONG)?;
        let (event, rest) = match change {
            Some(change) => (FileEvent::Changed { change, is_directory, path }, rest),
            None => {
                let (to, rest) = take_path(rest).ok_or(WRONG)?;
                (FileEvent::Renamed { is_directory, path, to }, rest)
            }
        };
        *chunk = rest;
        Ok(Some(event))
    }
}

fn take_path(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(usize::from(u16::from_le_bytes(*length)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_survive_the_wire_and_cut_ones_are_refused() {
        let changed = |change, path| FileEvent::Changed { change, is_directory: false, path };
        let events = [
            changed(FileChange::Created, b"a/\xff"),
            changed(FileChange::Written, b"a"),
            changed(FileChange::Removed, b""),
            FileEvent::Renamed { is_directory: true, path: b"d", to: "é/x".as_bytes() },
            FileEvent::Overflow,
        ];
        let mut chunk = Vec::new();
        for event in events {
            let before = chunk.len();
            event.append(&mut chunk);
            if event == FileEvent::Overflow {
                assert_eq!(chunk.len() - before, FileEvent::OVERFLOW_BYTES);
                continue;
            }
            for end in before + 1..chunk.len() {
                assert!(FileEvent::take(&mut &chunk[before..end]).is_err(), "{event:?} to {end}");
            }
        }
        let mut rest = &chunk[..];
        for event in events {
            assert_eq!(FileEvent::take(&mut rest), Ok(Some(event)));
        }
        assert_eq!(FileEvent::take(&mut rest), Ok(None));
        for odd in [&[0][..], &[6], &[op::CREATED, 2, 1, 0, b'a']] {
            assert!(FileEvent::take(&mut &odd[..]).is_err());
        }
    }
}

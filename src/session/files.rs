//! Files of a session's working directory, moved chunk by chunk.
//!
//! Works while a cell runs, as the supervisor does it. The answers come on the same link as the
//! output: while a cell's output is held back because no participant takes it, files wait too, and
//! after [`STEP`] the transfer fails.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use cellgate_driver::wire::files::{Begun, Entry, FileCommand, MOST_REMOVED};
pub use cellgate_driver::wire::files::{CHUNK_BYTES, EntryKind, Refusal, check_path};
use tokio::sync::oneshot;

use super::transfers::{TransferCommand, TransferTicket};
use super::{Command, SessionHandle};
use crate::link::TransferAnswer;

mod watching;

pub use watching::{FileChange, FileEvent, FileWatch};

/// Longest wait for one answer. A supervisor answers within a millisecond; a machine that swaps
/// needs seconds.
const STEP: Duration = Duration::from_secs(20);

/// Longest time that a directory is removed for. Code that fills it meanwhile could make it endless.
const REMOVAL: Duration = Duration::from_secs(60);

/// Longest name in a directory on Linux (`NAME_MAX`, limits.h), in bytes. A hostile supervisor
/// could fill memory with longer ones.
const NAME_BYTES: usize = 255;

/// Why a file was not moved.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// The supervisor cannot do it.
    #[error("{sentence}")]
    Refused {
        /// Why.
        why: Refusal,
        /// What exactly, for people.
        sentence: String,
    },
    /// The session is over.
    #[error("the session is over")]
    Over,
    /// No answer came in time.
    #[error(
        "the sandbox did not answer within {} s; a cell's output that nobody takes is in the way \
         of files too",
        STEP.as_secs()
    )]
    Silent,
    /// A directory could not be emptied in time.
    #[error(
        "it is not removed after {} s; what is left stays. Interrupt what writes into it, and repeat \
         this",
        REMOVAL.as_secs()
    )]
    Unending,
    /// An answer that fits no honest question.
    #[error("the sandbox's answer makes no sense")]
    Odd,
}

/// A file that is being read.
#[derive(Debug)]
pub struct FileReader {
    transfer: Transfer,
    begun: Begun,
    left: u64,
}

/// A file that is being written. Dropping it before [`FileWriter::commit`] leaves nothing.
#[derive(Debug)]
pub struct FileWriter {
    transfer: Transfer,
    existed: bool,
}

/// What stands in a directory.
#[derive(Clone, Debug, PartialEq)]
pub struct Listing {
    /// Its entries, by name.
    pub entries: Vec<FileEntry>,
    /// Whether there are more than were asked for.
    pub truncated: bool,
}

/// What has a name in a directory.
#[derive(Clone, Debug, PartialEq)]
pub struct FileEntry {
    /// Its name; what is not UTF-8 is mended, and cannot be asked for by that name.
    pub name: String,
    /// What it is.
    pub kind: EntryKind,
    /// Its size in bytes; 0 for what is not a file.
    pub size: u64,
    /// When it was last changed, in Unix milliseconds.
    pub modified_ms: u64,
    /// Its permissions: the lowest twelve bits of `st_mode`.
    pub mode: u16,
}

/// One end of a transfer.
#[derive(Debug)]
struct Transfer {
    ticket: Arc<TransferTicket>,
    session: SessionHandle,
}

impl SessionHandle {
    /// Begins to read a regular file.
    pub async fn read_file(&self, path: &str) -> Result<FileReader, FileError> {
        let (transfer, begun) = self.begin(&FileCommand::Read(path.as_bytes())).await?;
        Ok(FileReader { transfer, begun, left: begun.size })
    }

    /// Begins to write a file; directories on its way are made.
    pub async fn write_file(&self, path: &str) -> Result<FileWriter, FileError> {
        let (transfer, begun) = self.begin(&FileCommand::Write(path.as_bytes())).await?;
        Ok(FileWriter { transfer, existed: begun.existed })
    }

    /// Lists a directory, at most `most` entries of it. The empty path is the working directory.
    pub async fn list_files(&self, path: &str, most: usize) -> Result<Listing, FileError> {
        let (transfer, _) = self.begin(&FileCommand::List(path.as_bytes())).await?;
        let mut entries = Vec::new();
        let mut truncated = false;
        while !truncated {
            let chunk = transfer.chunk().await?;
            if chunk.is_empty() {
                break;
            }
            let mut rest = &chunk[..];
            while let Some(entry) = Entry::take(&mut rest).map_err(|_| FileError::Odd)? {
                if entries.len() == most {
                    truncated = true;
                    break;
                }
                entries.push(FileEntry::of(&entry)?);
            }
        }
        entries.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        Ok(Listing { entries, truncated })
    }

    /// What has the name at a path; of a link, the link itself. The empty path is the working directory.
    pub async fn stat_file(&self, path: &str) -> Result<FileEntry, FileError> {
        let answer = self.transfer().ask(&FileCommand::Stat(path.as_bytes())).await?;
        let TransferAnswer::Chunk(chunk) = answer else { return Err(FileError::Odd) };
        let mut rest = &chunk[..];
        match Entry::take(&mut rest) {
            Ok(Some(entry)) if rest.is_empty() => FileEntry::of(&entry),
            _ => Err(FileError::Odd),
        }
    }

    /// Removes what has the name at a path: a file, a link itself, an empty directory.
    pub async fn remove_file(&self, path: &str) -> Result<(), FileError> {
        self.transfer().take(&FileCommand::Remove(path.as_bytes())).await
    }

    /// Removes a directory with all in it. An error in between leaves what is not removed yet.
    pub async fn remove_directory(&self, path: &str) -> Result<(), FileError> {
        let (transfer, _) = self.begin(&FileCommand::Empty(path.as_bytes())).await?;
        let removal = async {
            let mut removed = 0_u64;
            loop {
                let chunk = transfer.chunk().await?;
                if chunk.is_empty() {
                    return Ok(());
                }
                let count: [u8; 8] = chunk[..].try_into().map_err(|_| FileError::Odd)?;
                removed = removed.saturating_add(u64::from_le_bytes(count));
                if removed > MOST_REMOVED {
                    return Err(FileError::Odd);
                }
            }
        };
        tokio::time::timeout(REMOVAL, removal).await.unwrap_or(Err(FileError::Unending))
    }

    /// Gives what has the name at a path another path, where there is nothing yet.
    pub async fn move_file(&self, from: &str, to: &str) -> Result<(), FileError> {
        let (from, to) = (from.as_bytes(), to.as_bytes());
        self.transfer().take(&FileCommand::Move { from, to }).await
    }

    /// Makes a directory, and those on its way that are missing; says whether it was there.
    pub async fn make_directory(&self, path: &str) -> Result<bool, FileError> {
        let (_, begun) = self.begin(&FileCommand::Make(path.as_bytes())).await?;
        Ok(begun.existed)
    }

    fn transfer(&self) -> Transfer {
        Transfer { ticket: self.tickets.issue(), session: self.clone() }
    }

    async fn begin(&self, command: &FileCommand<'_>) -> Result<(Transfer, Begun), FileError> {
        let transfer = self.transfer();
        match transfer.ask(command).await? {
            TransferAnswer::Begun(begun) => Ok((transfer, begun)),
            _ => Err(FileError::Odd),
        }
    }
}

impl FileEntry {
    fn of(entry: &Entry<'_>) -> Result<FileEntry, FileError> {
        if entry.name.len() > NAME_BYTES {
            return Err(FileError::Odd);
        }
        Ok(FileEntry {
            name: String::from_utf8_lossy(entry.name).into_owned(),
            kind: entry.kind,
            size: entry.size,
            modified_ms: entry.modified_ms,
            mode: entry.mode & 0o7777,
        })
    }
}

impl Transfer {
    async fn ask(&self, command: &FileCommand<'_>) -> Result<TransferAnswer, FileError> {
        let exchange = self.exchange(command, true);
        tokio::time::timeout(STEP, exchange).await.unwrap_or(Err(FileError::Silent))
    }

    /// The same, however long it takes, and without that being an activity of the session.
    async fn wait_for(&self, command: &FileCommand<'_>) -> Result<TransferAnswer, FileError> {
        self.exchange(command, false).await
    }

    async fn exchange(
        &self,
        command: &FileCommand<'_>,
        is_activity: bool,
    ) -> Result<TransferAnswer, FileError> {
        let (answer, answered) = oneshot::channel();
        let ticket = Arc::downgrade(&self.ticket);
        let step = TransferCommand { ticket, payload: command.encode(), is_activity, answer };
        let sent = self.session.commands.send(Command::File(step)).await;
        sent.map_err(|_| FileError::Over)?;
        match answered.await.map_err(|_| FileError::Over)? {
            TransferAnswer::Refused { why, sentence } => Err(FileError::Refused { why, sentence }),
            answer => Ok(answer),
        }
    }

    async fn chunk(&self) -> Result<Bytes, FileError> {
        match self.ask(&FileCommand::Next).await? {
            TransferAnswer::Chunk(bytes) => Ok(bytes),
            _ => Err(FileError::Odd),
        }
    }

    async fn take(&self, command: &FileCommand<'_>) -> Result<(), FileError> {
        match self.ask(command).await? {
            TransferAnswer::Took => Ok(()),
            _ => Err(FileError::Odd),
        }
    }
}

impl FileReader {
    /// Size in bytes when reading began: as many are read, however the file grows.
    pub fn size(&self) -> u64 {
        self.begun.size
    }

    /// When the file was last changed.
    pub fn modified(&self) -> std::time::SystemTime {
        UNIX_EPOCH + Duration::from_millis(self.begun.modified_ms)
    }

    /// The next bytes; `None` at the end. Fails if the file became shorter than it was.
    pub async fn next(&mut self) -> Result<Option<Bytes>, FileError> {
        if self.left == 0 {
            return Ok(None);
        }
        let mut bytes = self.transfer.chunk().await?;
        if bytes.is_empty() {
            let sentence = format!("the file became {} bytes shorter meanwhile", self.left);
            return Err(FileError::Refused { why: Refusal::Busy, sentence });
        }
        bytes.truncate(usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left -= bytes.len() as u64;
        Ok(Some(bytes))
    }
}

impl FileWriter {
    /// Whether a file of this name was there.
    pub fn existed(&self) -> bool {
        self.existed
    }

    /// Adds bytes, however many.
    pub async fn append(&mut self, bytes: &[u8]) -> Result<(), FileError> {
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.transfer.take(&FileCommand::Append(chunk)).await?;
        }
        Ok(())
    }

    /// Puts what was written into its place, in one step.
    pub async fn commit(self) -> Result<(), FileError> {
        self.transfer.take(&FileCommand::Commit).await
    }
}

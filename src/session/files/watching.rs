//! Watches: what happens to the names below a directory, as the driver tells it.

pub use cellgate_driver::wire::file_events::FileChange;
use cellgate_driver::wire::file_events::FileEvent as Told;
use cellgate_driver::wire::files::FileCommand;

use super::{FileError, SessionHandle, Transfer};
use crate::link::TransferAnswer;

/// Longest path that a driver tells, in bytes: Linux's `PATH_MAX`. A hostile supervisor could fill memory
/// with longer ones.
const PATH_BYTES: usize = 4096;

/// What happened below a watched directory. Paths are relative to the working directory; in those that are
/// not UTF-8 what is not is replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileEvent {
    /// Something happened to one name.
    Changed {
        /// What.
        change: FileChange,
        /// Whether it is a directory.
        is_directory: bool,
        /// Its path.
        path: String,
    },
    /// A name became another one.
    Renamed {
        /// Whether it is a directory.
        is_directory: bool,
        /// The path it had.
        path: String,
        /// The path it has.
        to: String,
    },
    /// Events were dropped: who keeps track of files has to list them anew.
    Overflow,
}

/// A directory that is watched. Dropping it ends the watch.
#[derive(Debug)]
pub struct FileWatch {
    transfer: Transfer,
}

impl SessionHandle {
    /// Begins to watch a directory, which is the working directory if the path is empty; with `is_recursive`
    /// also the directories in it. What happens from when this returns is told.
    pub async fn watch_files(
        &self,
        path: &str,
        is_recursive: bool,
    ) -> Result<FileWatch, FileError> {
        let path = path.as_bytes();
        let (transfer, _) = self.begin(&FileCommand::Watch { path, is_recursive }).await?;
        Ok(FileWatch { transfer })
    }
}

impl FileWatch {
    /// The next events, once there are some; `None` when the directory is gone. The driver keeps those that
    /// come between two calls, as far as its bound goes.
    pub async fn next(&mut self) -> Result<Option<Vec<FileEvent>>, FileError> {
        let answer = self.transfer.wait_for(&FileCommand::Next).await?;
        let TransferAnswer::Chunk(chunk) = answer else { return Err(FileError::Odd) };
        let mut rest = &chunk[..];
        let mut events = Vec::new();
        while let Some(told) = Told::take(&mut rest).map_err(|_| FileError::Odd)? {
            events.push(FileEvent::of(told)?);
        }
        Ok((!events.is_empty()).then_some(events))
    }
}

impl FileEvent {
    fn of(told: Told<'_>) -> Result<FileEvent, FileError> {
        let text = |path: &[u8]| match path.len() {
            ..=PATH_BYTES => Ok(String::from_utf8_lossy(path).into_owned()),
            _ => Err(FileError::Odd),
        };
        Ok(match told {
            Told::Changed { change, is_directory, path } => {
                FileEvent::Changed { change, is_directory, path: text(path)? }
            }
            Told::Renamed { is_directory, path, to } => {
                FileEvent::Renamed { is_directory, path: text(path)?, to: text(to)? }
            }
            Told::Overflow => FileEvent::Overflow,
        })
    }
}

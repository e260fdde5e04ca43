//! The output of cells of which not all is shown: kept in files, to be downloaded.
//!
//! ```text
//!   rules ── Keep ─► buffer ── 64 KiB ─► blocking pool ─► a file without a name, one a cell
//!         └─ OutputArchive ─► forgotten, or ended ── all is written ─► Full (to the request)
//! ```
//! A short cell costs no file. The actor never waits for a disk; while it is slow, the link is not
//! read ([`OutputArchive::is_full`]). Older cells' output goes where newer one needs its room.

use std::collections::VecDeque;
use std::fs::File;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use tokio::sync::oneshot;
use tokio::task::{JoinHandle, spawn_blocking};

use super::{Command, SessionHandle};
use crate::disk;

/// What is worth a file, and a write.
const BATCH_BYTES: usize = 64 << 10; // 64 KiB

/// What may wait for the disk before no more is read.
const FULL_BYTES: usize = 4 << 20; // 4 MiB

/// What may wait for it where reading goes on because a cell was told to stop.
const MOST_BYTES: usize = 16 << 20; // 16 MiB

/// Cells whose output is kept; each holds a descriptor.
const CELLS: usize = 8;

/// Everything that a cell wrote.
#[derive(Clone, Debug)]
pub struct Full {
    file: Arc<File>,
    length: u64,
}

/// Why a cell's output cannot be had.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum OutputError {
    /// It was not worth keeping, or is kept no more.
    #[error(
        "no output of that cell is kept: all of it was shown, or it is too long ago, or the cell \
         still runs"
    )]
    NotKept,
    /// The disk did not take it.
    #[error("the output of that cell could not be kept: {0}")]
    Failed(Arc<str>),
    /// The session is over, and its cells' output with it.
    #[error("the session is over")]
    Over,
}

/// The request for a cell's output.
pub(super) type Asked = oneshot::Sender<Result<Full, OutputError>>;

/// Answers the file, which the first write makes, and how much was written.
type Writing = JoinHandle<io::Result<(Arc<File>, usize)>>;

/// The output of the newest cells of a session.
#[derive(Debug)]
pub(super) struct OutputArchive {
    directory: Arc<PathBuf>,
    /// For all cells together.
    capacity: u64,
    /// Oldest first; the last may still run.
    cells: VecDeque<Cell>,
    /// Whose output is being written.
    writing: Option<(Arc<str>, Writing)>,
    /// Bytes that stay free on the disk.
    reserve: u64,
}

#[derive(Debug)]
struct Cell {
    id: Arc<str>,
    file: Option<Arc<File>>,
    written: u64,
    buffer: Vec<u8>,
    ended: bool,
    /// Bytes on their way to the file.
    writing: usize,
    failed: Option<Arc<str>>,
    asked: Vec<Asked>,
}

impl SessionHandle {
    /// Everything that a cell wrote that has ended, if not all of it was shown. Waits for the disk.
    pub async fn output(&self, cell: &str) -> Result<Full, OutputError> {
        let (asked, answer) = oneshot::channel();
        let command = Command::Output { cell: cell.into(), asked };
        self.commands.send(command).await.map_err(|_| OutputError::Over)?;
        answer.await.unwrap_or(Err(OutputError::Over))
    }
}

impl OutputArchive {
    /// At most `capacity` bytes, in files in `directory`, on whose disk `reserve` bytes stay free.
    pub(super) fn new(directory: PathBuf, capacity: u64, reserve: u64) -> OutputArchive {
        let directory = Arc::new(directory);
        OutputArchive { directory, capacity, cells: VecDeque::new(), writing: None, reserve }
    }

    /// Bytes in memory that wait for the disk or are on their way to it.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.cells.iter().map(|cell| cell.buffer.len() + cell.writing).sum()
    }

    /// Keeps what a running cell wrote.
    pub(super) fn push(&mut self, id: &Arc<str>, bytes: &[u8]) {
        if self.cells.back().is_none_or(|cell| cell.id != *id) {
            self.cells.push_back(Cell::new(Arc::clone(id)));
        }
        let Some(cell) = self.cells.back_mut() else { return };
        if cell.failed.is_some() {
            return;
        }
        if cell.buffer.len() + bytes.len() > MOST_BYTES {
            cell.fail("the disk is too slow".into());
        } else {
            cell.buffer.extend_from_slice(bytes);
        }
        self.make_room();
        self.write();
    }

    /// A cell has ended; its output is worth keeping only if some of it was `omitted`.
    pub(super) fn end(&mut self, id: &Arc<str>, omitted: bool) {
        if !omitted {
            self.cells.retain(|cell| cell.id != *id);
        } else if let Some(cell) = self.cells.iter_mut().find(|cell| cell.id == *id) {
            cell.ended = true;
            cell.answer();
        }
        self.write();
    }

    /// Answers once all that the cell wrote is in its file.
    pub(super) fn ask(&mut self, id: &str, asked: Asked) {
        match self.cells.iter_mut().find(|cell| &*cell.id == id && cell.ended) {
            Some(cell) => {
                cell.asked.push(asked);
                cell.answer();
            }
            // The request may be gone.
            None => drop(asked.send(Err(OutputError::NotKept))),
        }
    }

    /// Whether the disk has to have its time before more is read.
    pub(super) fn is_full(&self) -> bool {
        self.cells.back().is_some_and(|cell| cell.buffer.len() >= FULL_BYTES)
    }

    /// Waits for what is being written. Safe to drop and call again at any point.
    pub(super) async fn turn(&mut self) {
        let Some((id, writing)) = &mut self.writing else { return pending().await };
        let ended = poll_fn(|cx| match Pin::new(&mut *writing).poll(cx) {
            Poll::Ready(ended) => Poll::Ready(ended.unwrap_or_else(|e| Err(io::Error::other(e)))),
            Poll::Pending => Poll::Pending,
        })
        .await;
        let id = Arc::clone(id);
        self.writing = None;
        // One that was forgotten meanwhile takes its file with it.
        if let Some(cell) = self.cells.iter_mut().find(|cell| cell.id == id) {
            cell.writing = 0;
            match ended {
                Ok((file, count)) => {
                    cell.file = Some(file);
                    cell.written += count as u64;
                }
                Err(error) => {
                    tracing::warn!(%error, "a cell's output cannot be kept");
                    cell.fail(error.to_string().into());
                }
            }
            cell.answer();
        }
        self.write();
    }

    fn make_room(&mut self) {
        let cost = |cell: &Cell| cell.written + (cell.writing + cell.buffer.len()) as u64;
        while self.cells.len() > 1
            && (self.cells.len() > CELLS
                || self.cells.iter().map(cost).sum::<u64>() > self.capacity)
        {
            self.cells.pop_front();
        }
    }

    fn write(&mut self) {
        if self.writing.is_some() {
            return;
        }
        let due = |cell: &&mut Cell| {
            let waiting = cell.buffer.len();
            waiting >= BATCH_BYTES || (cell.ended && waiting > 0)
        };
        let Some(cell) = self.cells.iter_mut().find(due) else { return };
        let buffer = std::mem::take(&mut cell.buffer);
        cell.writing = buffer.len();
        let (directory, file, at) = (Arc::clone(&self.directory), cell.file.clone(), cell.written);
        let reserve = self.reserve;
        let work = move || {
            let file = match file {
                Some(file) => file,
                None => Arc::new(tempfile::tempfile_in(&*directory)?),
            };
            disk::check_room(&file, buffer.len() as u64, reserve)?;
            file.write_all_at(&buffer, at)?;
            Ok((file, buffer.len()))
        };
        self.writing = Some((Arc::clone(&cell.id), spawn_blocking(work)));
    }
}

impl Drop for Cell {
    fn drop(&mut self) {
        // Freeing what a large file holds takes a while, which is none of the caller's.
        if let Some(file) = self.file.take()
            && tokio::runtime::Handle::try_current().is_ok()
        {
            spawn_blocking(move || drop(file));
        }
    }
}

impl Full {
    /// How long it is, in bytes.
    pub fn length(&self) -> u64 {
        self.length
    }

    /// At most `most` bytes of it from `at` on.
    pub async fn read(&self, at: u64, most: usize) -> io::Result<Bytes> {
        let file = Arc::clone(&self.file);
        let count = self.length.saturating_sub(at).min(most as u64) as usize;
        let work = move || {
            let mut bytes = vec![0; count];
            file.read_exact_at(&mut bytes, at)?;
            Ok(Bytes::from(bytes))
        };
        spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

impl Cell {
    fn new(id: Arc<str>) -> Cell {
        Cell {
            id,
            file: None,
            written: 0,
            buffer: Vec::new(),
            ended: false,
            writing: 0,
            failed: None,
            asked: Vec::new(),
        }
    }

    /// Answers those who asked, if it is time.
    fn answer(&mut self) {
        let answer = match (&self.failed, &self.file) {
            (Some(why), _) => Err(OutputError::Failed(Arc::clone(why))),
            (None, Some(file)) if self.ended && self.writing == 0 && self.buffer.is_empty() => {
                Ok(Full { file: Arc::clone(file), length: self.written })
            }
            _ => return,
        };
        for asked in self.asked.drain(..) {
            // The request may be gone.
            drop(asked.send(answer.clone()));
        }
    }

    fn fail(&mut self, why: Arc<str>) {
        self.failed.get_or_insert(why);
        self.buffer = Vec::new();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str) -> Arc<str> {
        name.into()
    }

    async fn asked(kept: &mut OutputArchive, name: &str) -> Result<Full, OutputError> {
        let (asked, mut answer) = oneshot::channel();
        kept.ask(name, asked);
        loop {
            match answer.try_recv() {
                Ok(answer) => return answer,
                Err(_) => kept.turn().await,
            }
        }
    }

    async fn read(full: &Full) -> Vec<u8> {
        let mut all = Vec::new();
        while (all.len() as u64) < full.length() {
            all.extend(full.read(all.len() as u64, 100_000).await.unwrap());
        }
        all
    }

    #[tokio::test]
    async fn a_cell_that_was_not_shown_whole_can_be_read_whole() {
        let directory = tempfile::tempdir().unwrap();
        let mut kept = OutputArchive::new(directory.path().into(), 64 << 20, 0);
        let mut all = Vec::new();
        for number in 0..3000 {
            let line = format!("{number:0>999}\n");
            kept.push(&id("a"), line.as_bytes());
            all.extend_from_slice(line.as_bytes());
            while kept.is_full() {
                kept.turn().await;
            }
        }
        assert_eq!(asked(&mut kept, "a").await.unwrap_err(), OutputError::NotKept, "it runs");
        kept.end(&id("a"), true);
        let full = asked(&mut kept, "a").await.unwrap();
        // Who has begun to read goes on, whatever becomes of the session.
        drop(kept);
        assert!(read(&full).await == all);
        assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 0, "it has no name");
    }

    #[tokio::test]
    async fn what_was_shown_is_not_kept_and_costs_no_file() {
        let mut kept = OutputArchive::new("/nonexistent".into(), 64 << 20, 0);
        kept.push(&id("a"), b"short");
        kept.end(&id("a"), false);
        assert!(kept.writing.is_none() && kept.cells.is_empty());
        assert_eq!(asked(&mut kept, "a").await.unwrap_err(), OutputError::NotKept);
    }

    #[tokio::test]
    async fn older_output_goes_where_newer_needs_its_room() {
        let directory = tempfile::tempdir().unwrap();
        let mut kept = OutputArchive::new(directory.path().into(), 100, 0);
        for name in ["a", "b", "c"] {
            kept.push(&id(name), &[b'x'; 40]);
            kept.end(&id(name), true);
        }
        assert_eq!(asked(&mut kept, "a").await.unwrap_err(), OutputError::NotKept);
        for name in ["b", "c"] {
            assert_eq!(asked(&mut kept, name).await.unwrap().length(), 40);
        }
    }

    #[tokio::test]
    async fn a_disk_that_fails_is_told_to_who_asks() {
        let mut kept = OutputArchive::new("/nonexistent".into(), 64 << 20, 0);
        kept.push(&id("a"), b"lost");
        kept.end(&id("a"), true);
        let error = asked(&mut kept, "a").await.unwrap_err();
        assert!(matches!(error, OutputError::Failed(_)), "{error}");
        // And one that is too slow, while reading may not stop.
        for _ in 0..MOST_BYTES / BATCH_BYTES + 2 {
            kept.push(&id("b"), &[0; BATCH_BYTES]);
        }
        assert!(!kept.is_full());
        kept.end(&id("b"), true);
        assert!(matches!(asked(&mut kept, "b").await, Err(OutputError::Failed(_))));
    }
}

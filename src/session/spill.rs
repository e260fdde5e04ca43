//! The file that holds what a session's log cannot keep in memory.
//!
//! ```text
//!   log ── Batch ─► write ─┐                        ┌─ Spilled::Written ─► log
//!                          ├─ blocking pool ── turn ┤
//!   fanout ─ Block ─► read ┘                        └─ Spilled::Read ────► fanout
//! ```
//! One write and one read are under way at most; the actor never waits for either. The file has no
//! name, so that nothing is left of it however the gateway ends.

use std::fs::File;
use std::future::{pending, poll_fn};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::Poll;

use tokio::task::{JoinError, JoinHandle, spawn_blocking};

use super::log::{Batch, Block, Record, block};
use crate::disk;
use crate::memory::{Account, charged};

/// A session's file, which is made when it is first needed.
#[derive(Debug)]
pub(super) struct Spill {
    file: SpillFile,
    writing: Option<JoinHandle<io::Result<()>>>,
    reading: Option<(Block, JoinHandle<io::Result<Vec<Record>>>)>,
}

/// The file in which blocks stand; shared with the task that writes or reads one.
#[derive(Clone, Debug)]
struct SpillFile {
    file: Arc<OnceLock<File>>,
    directory: Arc<PathBuf>,
    capacity: u64,
    /// Bytes that stay free on the disk.
    reserve: u64,
    memory: Account,
}

/// What has come to its end.
#[derive(Debug)]
pub(super) enum Spilled {
    /// A batch is on the disk, or cannot be.
    Written(io::Result<()>),
    /// What stands in a block.
    Read(Block, io::Result<Vec<Record>>),
}

impl Spill {
    /// A file of at most `capacity` bytes in `directory`, on whose disk `reserve` bytes stay free.
    /// What is read back is charged to `memory`.
    pub(super) fn new(directory: PathBuf, capacity: u64, reserve: u64, memory: Account) -> Spill {
        let directory = Arc::new(directory);
        let file = SpillFile { file: Arc::default(), directory, capacity, reserve, memory };
        Spill { file, writing: None, reading: None }
    }

    /// Begins to write; only when nothing is being written.
    pub(super) fn write(&mut self, batch: Batch) {
        let file = self.file.clone();
        self.writing = Some(spawn_blocking(move || file.write(&batch)));
    }

    /// Begins to read, unless something is being read.
    pub(super) fn read(&mut self, block: Block) {
        if self.reading.is_none() {
            let file = self.file.clone();
            self.reading = Some((block, spawn_blocking(move || file.read(&block))));
        }
    }

    /// Waits no more for what is being written, which may never end.
    pub(super) fn give_up(&mut self) {
        self.writing = None;
    }

    /// Waits for whatever is under way. Safe to drop and call again at any point.
    pub(super) async fn turn(&mut self) -> Spilled {
        if self.writing.is_none() && self.reading.is_none() {
            return pending().await;
        }
        poll_fn(|cx| {
            if let Some(writing) = &mut self.writing
                && let Poll::Ready(ended) = Pin::new(writing).poll(cx)
            {
                self.writing = None;
                return Poll::Ready(Spilled::Written(settle(ended)));
            }
            if let Some((block, reading)) = &mut self.reading
                && let Poll::Ready(ended) = Pin::new(reading).poll(cx)
            {
                let block = *block;
                self.reading = None;
                return Poll::Ready(Spilled::Read(block, settle(ended)));
            }
            Poll::Pending
        })
        .await
    }
}

impl Drop for Spill {
    fn drop(&mut self) {
        // Freeing what a large file holds takes a while, which is none of the caller's.
        let file = std::mem::take(&mut self.file.file);
        if file.get().is_some() && tokio::runtime::Handle::try_current().is_ok() {
            spawn_blocking(move || drop(file));
        }
    }
}

fn settle<T>(ended: Result<io::Result<T>, JoinError>) -> io::Result<T> {
    ended.unwrap_or_else(|error| Err(io::Error::other(error)))
}

impl SpillFile {
    fn write(&self, batch: &Batch) -> io::Result<()> {
        if self.file.get().is_none() {
            // No other task sets it: one write is under way at a time.
            self.file.set(tempfile::tempfile_in(&*self.directory)?).ok();
        }
        let length: u64 = batch.blocks.iter().map(|block| block.length).sum();
        disk::check_room(self.file()?, length, self.reserve)?;
        let mut bytes = Vec::new();
        for block in &batch.blocks {
            bytes.clear();
            bytes.reserve(block.length as usize);
            block::encode(block, &batch.records, &mut bytes);
            let (at, first) = self.split(block);
            let (head, tail) = bytes.split_at(first);
            self.file()?.write_all_at(head, at)?;
            self.file()?.write_all_at(tail, 0)?;
        }
        Ok(())
    }

    fn read(&self, block: &Block) -> io::Result<Vec<Record>> {
        let charge = self.memory.charge(block.length as usize);
        let mut bytes = vec![0; block.length as usize];
        let (at, first) = self.split(block);
        let (head, tail) = bytes.split_at_mut(first);
        self.file()?.read_exact_at(head, at)?;
        self.file()?.read_exact_at(tail, 0)?;
        block::decode(block, charged(bytes, charge))
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "not what was written"))
    }

    /// Where a block begins in the file, and how much of it comes before the file's end.
    fn split(&self, block: &Block) -> (u64, usize) {
        let at = block.position % self.capacity;
        (at, block.length.min(self.capacity - at) as usize)
    }

    fn file(&self) -> io::Result<&File> {
        self.file.get().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }
}

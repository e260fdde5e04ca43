//! The log with its disk, and what of it was sent to no participant for whom output is held back.
//!
//! The actor gives it every event; it answers what is to be broadcast. It never waits: what goes to
//! the disk and what comes back are turns of the actor.

use std::io;
use std::sync::Arc;

use tokio::time::Instant;

use super::flow::Unsent;
use super::log::{Block, EventLog, OVERHEAD_BYTES};
use super::spill::{Spill, Spilled};
use super::{Fanout, SessionConfig};
use crate::memory::{Account, charged_text};
use crate::protocol::Event;
use crate::protocol::event::Sequenced;

/// Keeps the events of one session.
pub(super) struct Journal {
    log: EventLog,
    spill: Spill,
    unsent: Unsent,
    /// Since when the log's memory is full and waits for the disk.
    full_since: Option<Instant>,
    memory: Account,
}

impl Journal {
    /// An empty journal with the bounds of the settings, whose texts are charged to `memory`.
    pub(super) fn new(config: &SessionConfig, memory: Account) -> Journal {
        let spill = Spill::new(
            config.log_directory.clone(),
            config.log_disk_bytes,
            config.log_disk_reserve_bytes,
            memory.clone(),
        );
        let log = EventLog::new(config.log_bytes, config.log_disk_bytes);
        Journal { log, spill, unsent: Unsent::default(), full_since: None, memory }
    }

    /// The log, to replay from.
    pub(super) fn log(&self) -> &EventLog {
        &self.log
    }

    /// Gives an event its place and encodes it. No participant still to be given events from
    /// `wanted` on loses any of them. `ts`: Unix milliseconds.
    pub(super) fn push(
        &mut self,
        event: &Event,
        ts: u64,
        wanted: u64,
    ) -> Result<Arc<Sequenced>, serde_json::Error> {
        let hold = |text| charged_text(text, &self.memory);
        let sequenced = Arc::new(Sequenced::encode_into(event, self.log.next_seq(), ts, hold)?);
        let freed = self.log.push(event, &sequenced, wanted) + self.log.outdate(event, wanted);
        self.unsent.on_event(sequenced.json.len() + OVERHEAD_BYTES, freed);
        Ok(sequenced)
    }

    /// Bytes that no owner and no editor has been sent.
    pub(super) fn unsent_bytes(&self) -> u64 {
        self.unsent.bytes()
    }

    /// The holder who has got most of the log is owed `owed` bytes of it; see [`Unsent::on_owed`].
    pub(super) fn on_owed(&mut self, owed: Option<u64>) {
        if self.unsent.on_owed(owed) {
            self.log.mark_sent();
        }
    }

    /// Keeps less in memory while the gateway is short of it.
    pub(super) fn squeeze(&mut self, is_short: bool, wanted: u64) {
        self.log.squeeze(is_short, wanted);
    }

    /// Lets the disk have what memory cannot hold.
    pub(super) fn spill_over(&mut self) {
        if let Some(batch) = self.log.take_batch() {
            self.spill.write(batch);
        }
        self.full_since =
            self.log.is_pressed().then(|| self.full_since.unwrap_or_else(Instant::now));
    }

    /// Since when memory is full and waits for the disk.
    pub(super) fn full_since(&self) -> Option<Instant> {
        self.full_since
    }

    /// Waits for the end of a write or a read.
    pub(super) async fn turn(&mut self) -> Spilled {
        self.spill.turn().await
    }

    /// Begins to read a block for a participant who is behind.
    pub(super) fn read(&mut self, block: Block) {
        self.spill.read(block);
    }

    /// A batch has been written, or cannot be.
    pub(super) fn on_written(&mut self, result: &io::Result<()>) {
        self.log.on_written(result.is_ok());
    }

    /// Does without the disk, which takes too long to write.
    pub(super) fn give_up_writing(&mut self) {
        self.spill.give_up();
        self.log.on_written(false);
    }

    /// Does without the disk, which does not give back what was written.
    pub(super) fn lose_disk(&mut self) {
        self.log.lose_disk();
    }

    /// Gives participants who are behind what stands on the disk, at their pace, until none needs
    /// any of it or it fails.
    pub(super) async fn empty_into(
        &mut self,
        fanout: &mut Fanout,
    ) -> Result<(), serde_json::Error> {
        fanout.empty(&mut self.log, &mut self.spill).await
    }
}

//! What the actor does for its log's disk.

use super::Actor;
use crate::protocol::event::{Event, NoticeLevel};
use crate::session::spill::Spilled;

impl Actor {
    pub(super) fn catch_up(&mut self) {
        match self.audience.fanout.catch_up(self.journal.log()) {
            Ok(Some(block)) => self.journal.read(block),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot encode a gap"),
        }
    }

    pub(super) fn on_spilled(&mut self, spilled: Spilled) {
        match spilled {
            Spilled::Written(result) => {
                self.journal.on_written(&result);
                if let Err(error) = result {
                    self.tell_of_disk(&error.to_string());
                }
            }
            // What was written over meanwhile is lost, and so told when it is looked for.
            Spilled::Read(block, Ok(records)) if self.journal.log().holds(&block) => {
                if let Err(error) = self.audience.fanout.take_block(&block, &records) {
                    tracing::error!(%error, "cannot encode a gap");
                }
            }
            Spilled::Read(_, Ok(_)) => {}
            Spilled::Read(_, Err(error)) => {
                self.journal.lose_disk();
                self.tell_of_disk(&error.to_string());
            }
        }
    }

    /// Once for writing and once for reading at most, as neither is tried again.
    pub(super) fn tell_of_disk(&mut self, why: &str) {
        tracing::warn!(why, "the log's disk is given up");
        let text = format!(
            "older output is no longer kept on disk ({why}): what the log cannot hold in memory \
             is forgotten, and named by a gap"
        );
        self.emit(&Event::Notice { level: NoticeLevel::Warning, code: "log_disk".into(), text });
    }
}

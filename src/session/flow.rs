//! Back-pressure: when more is read from the driver, and how much output was sent to no participant
//! for whom it is held back. Pure.
//!
//! ```text
//!   driver ── may_read ──► log ──► outboxes of owners and editors   (holders: output waits for them)
//!                           │      outboxes of viewers              (output never waits for them)
//!                        Unsent: what no holder has been sent
//! ```

use super::DetachedOutput;

/// Whether the owners and editors who are attached have room for more output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Holders {
    /// No owner and no editor is attached.
    None,
    /// None of those who are attached keeps up.
    Behind,
    /// At least one of them keeps up.
    Ready,
}

/// Everything that decides whether the driver's link is read on.
#[derive(Clone, Copy, Debug)]
pub(super) struct Flow {
    /// The driver owes the answer to an interrupt or a restart. It is read whatever becomes of the
    /// output before it, so that no client can delay it.
    pub(super) awaits_answer: bool,
    /// The sandbox has ended: its link holds little, and then the link's end.
    pub(super) sandbox_ended: bool,
    /// The log waits for its disk, the archive for its file, or the gateway is short of memory.
    pub(super) is_full: bool,
    /// Those for whom output is held back.
    pub(super) holders: Holders,
    /// What becomes of output while there are none.
    pub(super) detached_output: DetachedOutput,
    /// Bytes in the log that no holder has been sent.
    pub(super) unsent_bytes: u64,
    /// Bytes that the log can hold without forgetting any.
    pub(super) hold_bytes: u64,
}

impl Flow {
    /// Whether more may be read from the driver. If not, the cell's writes wait.
    pub(super) fn may_read(&self) -> bool {
        if self.awaits_answer || self.sandbox_ended {
            return true;
        }
        let has_room = match self.holders {
            Holders::Ready => true,
            Holders::Behind => false,
            Holders::None => {
                self.detached_output == DetachedOutput::Drop || self.unsent_bytes < self.hold_bytes
            }
        };
        has_room && !self.is_full
    }
}

/// Bytes of the log that may have been sent to no owner and no editor. A participant who joins and
/// leaves without taking anything was sent nothing.
#[derive(Debug, Default)]
pub(super) struct Unsent {
    bytes: u64,
}

impl Unsent {
    /// Now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// An event of `cost` bytes was added to the log, which forgot `freed` unsent bytes for it.
    pub(super) fn on_event(&mut self, cost: usize, freed: usize) {
        self.bytes = (self.bytes + cost as u64).saturating_sub(freed as u64);
    }

    /// The holder who has got most of the log is owed at most `owed` bytes of it; `None`: no holder
    /// has been given all of it. Answers whether less is unsent than was known.
    pub(super) fn on_owed(&mut self, owed: Option<u64>) -> bool {
        match owed.filter(|owed| *owed < self.bytes) {
            Some(owed) => {
                self.bytes = owed;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_driver_is_read_while_output_has_somewhere_to_go() {
        use DetachedOutput::{Drop, Hold};
        use Holders::{Behind, None, Ready};
        let quiet = Flow {
            awaits_answer: false,
            sandbox_ended: false,
            is_full: false,
            holders: Ready,
            detached_output: Hold,
            unsent_bytes: 0,
            hold_bytes: 100,
        };
        for (flow, may_read) in [
            (quiet, true),
            (Flow { unsent_bytes: 1000, ..quiet }, true),
            (Flow { is_full: true, ..quiet }, false),
            (Flow { holders: Behind, ..quiet }, false),
            (Flow { holders: Behind, detached_output: Drop, ..quiet }, false),
            // Without a holder the log takes what it can hold, or forgets.
            (Flow { holders: None, unsent_bytes: 99, ..quiet }, true),
            (Flow { holders: None, unsent_bytes: 100, ..quiet }, false),
            (Flow { holders: None, unsent_bytes: 100, detached_output: Drop, ..quiet }, true),
            (Flow { holders: None, is_full: true, detached_output: Drop, ..quiet }, false),
            // An answer that is owed, and the end of the link, are read whatever is full.
            (Flow { holders: Behind, is_full: true, awaits_answer: true, ..quiet }, true),
            (Flow { holders: Behind, is_full: true, sandbox_ended: true, ..quiet }, true),
        ] {
            assert_eq!(flow.may_read(), may_read, "{flow:?}");
        }
    }

    #[test]
    fn what_the_best_holder_is_owed_is_unsent_and_nothing_makes_it_more() {
        let mut unsent = Unsent::default();
        unsent.on_event(100, 0);
        unsent.on_event(50, 30);
        assert_eq!(unsent.bytes(), 120);
        for (owed, is_less, bytes) in [
            (None, false, 120),
            (Some(500), false, 120),
            (Some(120), false, 120),
            (Some(40), true, 40),
            (Some(0), true, 0),
        ] {
            assert_eq!((unsent.on_owed(owed), unsent.bytes()), (is_less, bytes));
        }
        // More may be forgotten than was counted: what a leaver had been sent in part.
        unsent.on_event(10, 20);
        assert_eq!(unsent.bytes(), 0);
    }
}

//! From processes to the gateway: what they write, and how much they have read.

use std::time::Instant;

use cellgate_driver::wire::kind;

use crate::supervisor::{End, Supervisor};

/// Bytes of WROTE.
const WROTE_BYTES: usize = 4;

impl Supervisor {
    /// Puts on the link what processes have for it. The one that filled the link is last the next time.
    pub(in crate::supervisor) fn pump_processes(&mut self, now: Instant) -> Result<(), End> {
        let count = self.processes.len();
        for step in 0..count {
            if self.link.is_blocked() {
                break;
            }
            let at = (self.first_process + step) % count;
            self.carry_process(at, now)?;
            if self.link.is_blocked() {
                self.first_process = at + 1;
                break;
            }
        }
        // What was not carried is found ready again.
        self.processes.iter_mut().for_each(|process| process.ready.clear());
        let mut at = 0;
        while at < self.processes.len() {
            if !self.settle_process(at, now)? {
                at += 1;
            }
        }
        Ok(())
    }

    fn carry_process(&mut self, at: usize, now: Instant) -> Result<(), End> {
        let process = &mut self.processes[at];
        if process.input.has_untold() && self.link.make_room(WROTE_BYTES)? {
            let taken = process.input.take_untold() as u32; // at most MOST_UNWRITTEN
            self.link.put_of(process.number, kind::WROTE, 0, 0, &taken.to_le_bytes());
        }
        for stream in std::mem::take(&mut process.ready) {
            let bytes = process.pipes.carry(0, stream, &mut self.link, now)?;
            process.output_bytes += bytes as u64;
        }
        Ok(())
    }
}

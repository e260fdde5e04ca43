//! What goes on the link in each turn of the loop, and in which order.
//!
//! Interpreters and processes take turns at being first: of two that could fill the link alone, each gets a half.

use std::time::Instant;

use super::program::Program;
use super::runner::Socket;
use super::{End, Supervisor};

impl Supervisor {
    /// Puts on the link what can go there now.
    pub(super) fn pump(&mut self, now: Instant) -> Result<(), End> {
        self.put_owed()?;
        self.files.put_chunks(&mut self.link)?;
        self.watches.put_events(&mut self.link)?;
        let was_blocked = self.link.is_blocked();
        let processes_first = self.processes_first;
        self.pump_programs(processes_first, now)?;
        if self.link.is_blocked() && !was_blocked {
            self.processes_first = !processes_first;
        }
        self.pump_programs(!processes_first, now)?;
        self.put_owed()?;
        for runner in self.programs.iter_mut().filter_map(|program| program.runner.as_mut()) {
            runner.send_due_ack();
        }
        if !self.link.is_blocked() {
            self.link.flush()?;
        }
        Ok(())
    }

    /// Does so for one of the two kinds of programs.
    fn pump_programs(&mut self, of_processes: bool, now: Instant) -> Result<(), End> {
        if of_processes {
            return self.pump_processes(now);
        }
        let mut at = 0;
        while at < self.programs.len() {
            // A message from one socket may hold back the other's until it is complete.
            for socket in [Socket::Control, Socket::Side, Socket::Control] {
                self.relay(at, socket, now)?;
            }
            self.carry_output(at, now)?;
            let number = self.programs[at].number;
            self.settle_ending(at, now)?;
            // One that was closed may be gone now.
            if self.programs.get(at).is_some_and(|program| program.number == number) {
                at += 1;
            }
        }
        Ok(())
    }

    fn put_owed(&mut self) -> Result<(), End> {
        while let Some((.., payload)) = self.owed.front() {
            if !self.link.make_room(payload.len())? {
                return Ok(());
            }
            if let Some((program, kind, flags, cell, payload)) = self.owed.pop_front() {
                self.link.put_of(program, kind, flags, cell, &payload);
            }
        }
        Ok(())
    }

    fn carry_output(&mut self, at: usize, now: Instant) -> Result<(), End> {
        let Program { runner, cell, ready_pipes, .. } = &mut self.programs[at];
        for (number, stream) in ready_pipes.drain(..) {
            let Some(runner) = runner else { break };
            // A drain in progress knows better how far this cell's pipes may be read.
            if self.link.is_blocked() || runner.gate.is_some() {
                break;
            }
            let bytes = runner.pipes.carry(number, stream, &mut self.link, now)?;
            if let Some(cell) = cell.as_mut().filter(|cell| cell.number == number) {
                cell.output_bytes += bytes as u64;
            }
        }
        Ok(())
    }
}

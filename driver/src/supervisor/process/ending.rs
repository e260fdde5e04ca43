//! The end of a process.
//!
//! ```text
//!   CLOSE, memory: kill all of it ─► reap it ─┐
//!   its own end ──────────────────────────────┴─► carry what it wrote before ─► EXITED ─► forget it
//! ```

use std::time::Instant;

use cellgate_driver::wire::{CellUsage, ExitCause, Exited, kind};

use crate::supervisor::pipes::{Due, Stream};
use crate::supervisor::stage::Ending;
use crate::supervisor::{End, Supervisor};
use crate::sys::Death;

impl Supervisor {
    /// Kills all of a process: it, its descendants, and what is in its session. The first cause holds, except that a
    /// CLOSE is always answered as such.
    pub(in crate::supervisor) fn end_process(
        &mut self,
        at: usize,
        cause: ExitCause,
        detail: String,
        now: Instant,
    ) {
        let process = &mut self.processes[at];
        match &mut process.ending {
            Some(ending) if cause == ExitCause::Restart => {
                ending.cause = cause;
                ending.alone = false; // of what it left behind nothing is to live
            }
            Some(_) => return,
            None => process.ending = Some(Ending::new(cause, detail, now)),
        }
        self.scope.kill_program(self.processes[at].pid);
        self.look_for_survivors();
    }

    /// Takes note of the death of a process that is the supervisor's own child. False: it is none of these.
    pub(in crate::supervisor) fn process_died(&mut self, death: Death, now: Instant) -> bool {
        let Some(process) = self.processes.iter_mut().find(|one| one.pid == death.pid) else {
            return false;
        };
        let ending = process.ending.get_or_insert_with(|| {
            let killed = death.signalled && death.status == libc::SIGKILL;
            let cause = match killed && self.watch.meter.oom_killed() {
                true => ExitCause::Memory,
                false => ExitCause::Own,
            };
            // What it leaves behind lives on.
            Ending { alone: true, ..Ending::new(cause, String::new(), now) }
        });
        ending.death = Some(death);
        true
    }

    /// Takes a process's end as far as it goes now. True: it is told, and the process is forgotten.
    pub(super) fn settle_process(&mut self, at: usize, now: Instant) -> Result<bool, End> {
        let process = &mut self.processes[at];
        let Some(ending) = &mut process.ending else { return Ok(false) };
        if now >= ending.again && !ending.is_over(now) {
            ending.kill_again(now);
            self.scope.kill_program(process.pid);
            self.look_for_survivors();
        }
        let process = &mut self.processes[at];
        let Some(ending) = process.ending.as_ref().filter(|ending| ending.is_over(now)) else {
            return Ok(false);
        };
        for stream in Stream::ALL {
            let due = &mut process.due[stream as usize];
            let bytes = process.pipes.drain(0, stream, due, &mut self.link)?;
            process.output_bytes += bytes as u64;
        }
        if process.due.iter().any(|due| *due != Due::Nothing) {
            return Ok(false);
        }
        let death = ending.death;
        let exited = Exited {
            cause: ending.cause,
            signalled: death.is_some_and(|death| death.signalled),
            status: death.map_or(0, |death| death.status),
            memory_limit_bytes: self.setup.memory_limit_bytes,
            usage: CellUsage {
                duration_us: now.duration_since(process.began).as_micros() as u64,
                cpu_us: death.map_or(0, |death| death.cpu_us),
                peak_memory_bytes: 0,
                output_bytes: process.output_bytes,
            },
            detail: ending.detail.clone(),
        };
        let number = process.number;
        self.owed.push_back((number, kind::EXITED, 0, 0, exited.encode()));
        self.ended_processes.insert(number);
        self.processes.remove(at);
        Ok(true)
    }
}

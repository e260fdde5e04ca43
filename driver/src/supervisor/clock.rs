//! What happens without an event: interrupts that were not heeded, looks at what a cell uses,
//! memory watched where no cgroup does it, runners that do not do their part in time.
//!
//! There is no timer: [`Supervisor::deadline`] says how long the loop may wait, and after each
//! wait [`Supervisor::handle_deadlines`] does what is due.

use std::time::{Duration, Instant};

use cellgate_driver::wire::{ExitCause, Usage, kind};

use super::Supervisor;
use super::program::Program;
use super::stage::Stage;

/// How long an interpreter may take to write its stacks.
const DUMP_LIMIT: Duration = Duration::from_millis(250);

/// How often memory is watched while a cell or a process runs, where no cgroup does it.
const WATCH_BUSY: Duration = Duration::from_millis(50);

/// How often it is watched while none runs: threads of ended cells may go on.
const WATCH_IDLE: Duration = Duration::from_secs(1);

/// How long a runner may live with its control socket closed, or not read from a full one.
const STUCK_LIMIT: Duration = Duration::from_secs(10);

impl Supervisor {
    /// When to act next without being told.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        let of_programs = self.programs.iter().map(|program| program.deadline(now));
        let endings = self.processes.iter().filter_map(|process| process.ending.as_ref());
        let of_processes = endings.map(|ending| ending.deadline(now));
        let next = earliest(self.watch.due, self.watches.deadline());
        of_programs.chain(of_processes).fold(next, earliest)
    }

    /// Does what is due.
    pub(super) fn handle_deadlines(&mut self, now: Instant) {
        self.watch_memory(now);
        self.watches.on_time(now);
        for at in 0..self.programs.len() {
            if self.programs[at].absence.retry_at.is_some_and(|at| at <= now) {
                self.start_runner(at, now);
            }
            self.check_cell(at, now);
            self.send_late_interrupt(at, now);
            self.repeat_interrupt(at, now);
            self.check_runner(at, now);
        }
    }

    /// Lets memory be looked at soon: something began that may take much of it.
    pub(super) fn watch_closely(&mut self, now: Instant) {
        if self.watch.due.is_some() {
            self.watch.due = earliest(self.watch.due, Some(now + WATCH_BUSY));
        }
    }

    fn watch_memory(&mut self, now: Instant) {
        if self.watch.due.is_none_or(|at| at > now) {
            return;
        }
        let runs_cell = self.programs.iter().any(|program| program.cell.is_some());
        let busy = runs_cell || !self.processes.is_empty();
        let pause = if busy { WATCH_BUSY } else { WATCH_IDLE };
        self.watch.due = Some(now + pause);
        let limit = self.setup.memory_limit_bytes;
        let Some(bytes) = self.watch.meter.above(limit) else { return };
        for cell in self.programs.iter_mut().filter_map(|program| program.cell.as_mut()) {
            cell.note_memory(bytes);
        }
        let detail = format!("{bytes} bytes of memory were in use, and {limit} are allowed");
        self.end_largest(detail, now);
    }

    fn check_cell(&mut self, at: usize, now: Instant) {
        let is_first = self.programs[..at].iter().all(|program| program.cell.is_none());
        let program = &mut self.programs[at];
        let (Some(cell), Some(runner)) = (&mut program.cell, &program.runner) else { return };
        if cell.look_at.is_none_or(|at| at > now) {
            return;
        }
        if self.watch.due.is_some() {
            self.watch.due = earliest(self.watch.due, Some(now + WATCH_BUSY));
        }
        let every_ms = self.setup.usage_interval_ms;
        let sample = cell.look(&mut self.watch.meter, runner.pid, every_ms, now);
        let Some(sample) = sample.filter(|_| !self.link.is_blocked()) else {
            return; // one more or less is no loss
        };
        let usage = Usage {
            memory_bytes: sample.memory_bytes,
            memory_limit_bytes: self.setup.memory_limit_bytes,
            cpu_us: sample.cpu_us,
            processes: sample.processes,
        };
        // Of all in the sandbox, so that one of several running cells is enough to tell it.
        if is_first {
            self.link.put(kind::USAGE, 0, cell.number, &usage.encode());
        }
    }

    /// Ends a runner that does not do its part in time.
    fn check_runner(&mut self, at: usize, now: Instant) {
        let Program { runner, cell, full_since, .. } = &mut self.programs[at];
        let Some(runner) = runner else { return };
        if runner.control.closed || runner.side.closed {
            runner.closed_since.get_or_insert(now);
        }
        *full_since = runner.is_full().then(|| full_since.unwrap_or(now));
        let full_since = *full_since;
        let stuck = |since: Option<Instant>| since.is_some_and(|since| since + STUCK_LIMIT <= now);
        let interrupt = cell.as_ref().and_then(|cell| cell.interrupt);
        match &mut runner.stage {
            Stage::Ending(_) => {}
            Stage::Dumping(dump) if dump.until <= now => {
                let stacks = String::from_utf8_lossy(&dump.text).into_owned();
                self.end_stubborn(at, &stacks, now);
            }
            Stage::Dumping(_) => {}
            Stage::Starting | Stage::Ready => {
                if stuck(runner.closed_since) {
                    let detail = "the runner closed a socket to the supervisor and lived on";
                    self.end_runner(at, ExitCause::Protocol, detail.to_owned(), now);
                } else if stuck(full_since) {
                    let detail = "the runner stopped reading what it is sent";
                    self.end_runner(at, ExitCause::Protocol, detail.to_owned(), now);
                } else if interrupt.is_some_and(|interrupt| interrupt.kill_at <= now) {
                    runner.begin_dump(now, DUMP_LIMIT);
                }
            }
        }
    }
}

impl Program {
    /// When to act next on it without being told.
    fn deadline(&self, now: Instant) -> Option<Instant> {
        let mut next = self.absence.retry_at;
        if let Some(cell) = &self.cell {
            next = earliest(next, cell.look_at);
        }
        let Some(runner) = &self.runner else { return next };
        match &runner.stage {
            Stage::Dumping(dump) => earliest(next, Some(dump.until)),
            Stage::Ending(ending) => earliest(next, ending.deadline(now)),
            Stage::Starting | Stage::Ready => {
                let stuck = earliest(runner.closed_since, self.full_since);
                next = earliest(next, stuck.map(|since| since + STUCK_LIMIT));
                let interrupt = self.cell.as_ref().and_then(|cell| cell.interrupt);
                let owed = interrupt.and_then(|interrupt| interrupt.look_again(now));
                let owed = owed.filter(|_| runner.was_ready);
                let again = interrupt.filter(|interrupt| interrupt.owed_until.is_none());
                let again = again.and_then(|interrupt| interrupt.again_at);
                earliest(earliest(next, interrupt.map(|i| i.kill_at)), earliest(owed, again))
            }
        }
    }
}

/// The earlier of two moments, if there are any.
pub(super) fn earliest(one: Option<Instant>, other: Option<Instant>) -> Option<Instant> {
    match (one, other) {
        (Some(one), Some(other)) => Some(one.min(other)),
        (one, other) => one.or(other),
    }
}

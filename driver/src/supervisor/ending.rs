//! The end of a runner, and the start of the next.
//!
//! ```text
//! kill all ──► reap all ──► relay its last frames ──► drain its pipes ──► EXITED ──► start anew
//! ```
//! Nothing that was in the sandbox outlives its only runner, so the pipes of a dead runner are drained
//! to their end, and all it wrote stands before EXITED. Each step that writes waits for the link.
//!
//! Of several programs each is ended alone: its descendants, and what is in its session. A process that has left both
//! cannot be told from another program's; it lives until the last program ends.

use std::io;
use std::time::{Duration, Instant};

use cellgate_driver::wire::{CellUsage, ExitCause, Exited, flag, kind};

use super::frames::Fill;
use super::process_table::{Scope, alive, of_program, resident_pages};
use super::program::Program;
use super::runner::{Runner, Socket};
use super::stage::{Ending, Stage};
use super::{End, Supervisor, shared_memory};
use crate::sys::{self, Death, Reaped};

/// Pauses between tries to start a runner when processes have run out.
const START_AGAIN_MS: [u64; 4] = [10, 50, 250, 1000];

/// Why there is no runner.
#[derive(Default)]
pub(super) struct Absence {
    /// For people.
    why: String,
    /// When to try again.
    pub(super) retry_at: Option<Instant>,
    tries: usize,
}

impl Supervisor {
    /// Kills a program's runner and its other processes. The first cause holds, except that a
    /// restart that was asked for is always answered.
    pub(super) fn end_runner(&mut self, at: usize, cause: ExitCause, detail: String, now: Instant) {
        let Some(runner) = &mut self.programs[at].runner else { return };
        if let Stage::Ending(ending) = &mut runner.stage {
            if cause == ExitCause::Restart {
                ending.cause = cause;
            }
            return;
        }
        runner.stage = Stage::Ending(Ending::new(cause, detail, now));
        self.kill_processes(at);
    }

    /// Kills all of a program's processes: all in the sandbox, if it is the only one.
    fn kill_processes(&self, at: usize) {
        match &self.programs[at].runner {
            Some(runner) if !self.has_one_program() => self.scope.kill_program(runner.pid),
            _ => self.scope.kill_all(),
        }
    }

    /// Whether all that runs in the sandbox is the first interpreter's.
    fn has_one_program(&self) -> bool {
        self.programs.len() + self.processes.len() == 1
    }

    /// Ends the program whose processes hold the most memory.
    pub(super) fn end_largest(&mut self, detail: String, now: Instant) {
        if self.has_one_program() {
            return self.end_runner(0, ExitCause::Memory, detail, now);
        }
        let all = self.scope.list();
        let pages = |pid: i32| resident_pages(&of_program(&all, pid));
        let runner = |program: &Program| program.runner.as_ref().map_or(0, |one| pages(one.pid));
        let programs = self.programs.iter().map(runner).enumerate();
        let program = programs.max_by_key(|&(_, pages)| pages);
        let processes = self.processes.iter().map(|process| pages(process.pid)).enumerate();
        let process = processes.max_by_key(|&(_, pages)| pages);
        match (program, process) {
            (program, Some((at, pages))) if program.is_none_or(|(_, most)| pages > most) => {
                self.end_process(at, ExitCause::Memory, detail, now);
            }
            (Some((at, _)), _) => self.end_runner(at, ExitCause::Memory, detail, now),
            (None, _) => {}
        }
    }

    /// Waits for every child that has ended. The death of a runner ends all of its program.
    pub(super) fn reap(&mut self, now: Instant) -> Result<(), End> {
        loop {
            match sys::reap().map_err(|error| End::failed("wait for children", error))? {
                Reaped::Dead(death) => {
                    let of_it = |program: &Program| {
                        program.runner.as_ref().is_some_and(|runner| runner.pid == death.pid)
                    };
                    if let Some(at) = self.programs.iter().position(of_it) {
                        self.runner_died(at, death, now);
                    } else {
                        self.process_died(death, now);
                    }
                }
                Reaped::AllAlive => {
                    self.look_for_survivors();
                    return Ok(());
                }
                Reaped::NoChild => {
                    for program in &mut self.programs {
                        if let Some(Runner { stage: Stage::Ending(ending), .. }) =
                            &mut program.runner
                        {
                            ending.alone = true;
                        }
                    }
                    for process in &mut self.processes {
                        if let Some(ending) = &mut process.ending {
                            ending.alone = true;
                        }
                    }
                    return Ok(());
                }
            }
        }
    }

    /// Notes which programs that end have no process any more though others live.
    pub(super) fn look_for_survivors(&mut self) {
        let ends = |program: &Program| program.runner.as_ref().is_some_and(Runner::is_ending);
        let is_left = |ending: &Ending| !ending.alone;
        let killed = self.processes.iter().any(|one| one.ending.as_ref().is_some_and(is_left));
        if self.has_one_program() || !(killed || self.programs.iter().any(ends)) {
            return;
        }
        let all = self.scope.list();
        for process in &mut self.processes {
            let pid = process.pid;
            if let Some(ending) = process.ending.as_mut().filter(|ending| is_left(ending)) {
                ending.alone = alive(&of_program(&all, pid)) == 0;
            }
        }
        for runner in self.programs.iter_mut().filter_map(|program| program.runner.as_mut()) {
            let pid = runner.pid;
            if let Stage::Ending(ending) = &mut runner.stage {
                ending.alone = alive(&of_program(&all, pid)) == 0;
            }
        }
    }

    fn runner_died(&mut self, at: usize, death: Death, now: Instant) {
        let Some(runner) = &self.programs[at].runner else { return };
        if let Stage::Dumping(dump) = &runner.stage {
            let text = String::from_utf8_lossy(&dump.text).into_owned();
            self.end_stubborn(at, &text, now);
        } else if !runner.is_ending() {
            let killed = death.signalled && death.status == libc::SIGKILL;
            let cause = match killed && self.watch.meter.oom_killed() {
                true => ExitCause::Memory,
                false => ExitCause::Own,
            };
            self.end_runner(at, cause, String::new(), now);
        }
        if let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.programs[at].runner {
            ending.death = Some(death);
        }
    }

    /// Ends a runner whose cell did not yield.
    pub(super) fn end_stubborn(&mut self, at: usize, stacks: &str, now: Instant) {
        let interrupt = self.programs[at].cell.as_ref().and_then(|cell| cell.interrupt);
        let grace_ms = interrupt.map_or(0, |interrupt| interrupt.grace_ms);
        let mut detail = format!("did not yield to an interrupt within {grace_ms} ms");
        if !stacks.trim_ascii().is_empty() {
            detail.push_str("; stacks:\n");
            detail.push_str(stacks.trim_ascii_end());
        }
        self.end_runner(at, ExitCause::Stubborn, detail, now);
    }

    /// Takes a dying runner's end as far as it goes now.
    pub(super) fn settle_ending(&mut self, at: usize, now: Instant) -> Result<(), End> {
        let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.programs[at].runner
        else {
            return Ok(());
        };
        if now >= ending.again && !ending.is_over(now) {
            ending.kill_again(now);
            self.kill_processes(at);
            self.look_for_survivors();
        }
        let Some(Runner { stage: Stage::Ending(ending), .. }) = &self.programs[at].runner else {
            return Ok(());
        };
        if !ending.is_over(now) || !self.relay_last(at, now)? {
            return Ok(());
        }
        let Program { runner, cell, .. } = &mut self.programs[at];
        let Some(runner) = runner else { return Ok(()) };
        let number = cell.as_ref().map_or(0, |cell| cell.number);
        let (bytes, whole) = runner.pipes.drain_all(number, &mut self.link)?;
        if let Some(cell) = cell {
            cell.output_bytes += bytes as u64;
        }
        if whole {
            self.send_exit(at, now);
        }
        Ok(())
    }

    /// Relays what the runner had sent before its end. False: the link is blocked.
    fn relay_last(&mut self, at: usize, now: Instant) -> Result<bool, End> {
        for socket in [Socket::Control, Socket::Side, Socket::Control] {
            loop {
                match &self.programs[at].runner {
                    Some(Runner { stage: Stage::Ending(ending), .. }) if !ending.mute => {}
                    _ => return Ok(true),
                }
                self.relay(at, socket, now)?;
                if self.link.is_blocked() {
                    return Ok(false);
                }
                let Some(runner) = &mut self.programs[at].runner else { return Ok(true) };
                if !matches!(runner.channel(socket).fill(), Ok(Fill::Bytes)) {
                    break;
                }
            }
        }
        Ok(true)
    }

    /// Says that the runner is no more, and starts the next if this one ever was of use.
    fn send_exit(&mut self, at: usize, now: Instant) {
        let program = &mut self.programs[at];
        let Some(runner) = program.runner.take() else { return };
        let Stage::Ending(ending) = runner.stage else { return };
        let asking = program.incoming.asking.take().map(|(number, _)| number);
        program.incoming.asking = asking.map(|number| (number, None)); // answered when its last fragment came
        for question in runner.asked.into_iter().filter(|&asked| Some(asked) != asking) {
            self.owed.push_back((program.number, kind::REPLY, flag::BUSY, question, Vec::new()));
        }
        let death = ending.death;
        let mut number = 0;
        let mut usage = CellUsage::default();
        if let Some(mut cell) = program.cell.take() {
            number = cell.number;
            let cpu_us = death.map_or(0, |death| death.cpu_us);
            if ending.cause == ExitCause::Memory {
                cell.note_memory(self.setup.memory_limit_bytes); // or it would not have died
            }
            usage = cell.usage(&mut self.watch.meter, runner.pid, Some(cpu_us), now);
            if ending.cause == ExitCause::Memory {
                // Looks are rare; that it was at the limit is certain.
                let limit = self.setup.memory_limit_bytes;
                usage.peak_memory_bytes = usage.peak_memory_bytes.max(limit);
            }
            program.last_cell = number;
            program.incoming.discarding = program.incoming.receiving.take();
        }
        self.owe_exit(at, number, ending.cause, death, usage, ending.detail);
        if self.programs[at].closing {
            self.programs.remove(at);
            return;
        }
        if runner.was_ready || ending.cause == ExitCause::Restart {
            self.programs[at].absence = Absence::default();
            self.start_runner(at, now);
        } else {
            self.programs[at].absence = Absence {
                why: "the last one ended before it was ready".into(),
                ..Absence::default()
            };
        }
    }

    /// Starts a runner; tries again for a while if processes have run out.
    pub(super) fn start_runner(&mut self, at: usize, now: Instant) {
        self.programs[at].absence.retry_at = None;
        let no_runner = self.programs.iter().all(|program| program.runner.is_none());
        if no_runner && self.processes.is_empty() {
            if self.scope == Scope::Namespace {
                shared_memory::remove_system_v(); // no process of the last runner lives
            }
            self.watch.meter.settle();
            self.watch.meter.forget_high_water();
        }
        let Program { number, setup, .. } = &self.programs[at];
        let (number, setup) = (*number, setup.clone());
        match self.start_first_to_die(|| Runner::start(number, &setup)) {
            Ok(runner) => {
                self.programs[at].runner = Some(runner);
                self.programs[at].absence = Absence::default();
            }
            Err(error) => {
                let absence = &mut self.programs[at].absence;
                let pause = START_AGAIN_MS.get(absence.tries).filter(|_| error.again);
                absence.tries += 1;
                absence.retry_at = pause.map(|&ms| now + Duration::from_millis(ms));
                absence.why = error.detail.clone();
                if absence.retry_at.is_none() {
                    self.owe_exit(at, 0, ExitCause::Own, None, CellUsage::default(), error.detail);
                }
            }
        }
    }

    /// Starts a program so that the kernel ends it before the supervisor when memory runs out.
    pub(super) fn start_first_to_die<T>(&mut self, start: impl Fn() -> T) -> T {
        let started = match &self.score {
            Ok(score) => score.first_to_die(&start),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        started.unwrap_or_else(|error| {
            self.log(&format!("a program is not first to go when memory runs out: {error}"));
            start()
        })
    }

    /// Answers RESTART.
    pub(super) fn restart(&mut self, at: usize, now: Instant) {
        if self.programs[at].runner.is_some() {
            self.end_runner(at, ExitCause::Restart, String::new(), now);
        } else {
            let detail = "there was no interpreter to end".to_owned();
            self.owe_exit(at, 0, ExitCause::Restart, None, CellUsage::default(), detail);
            self.programs[at].absence = Absence::default();
            self.start_runner(at, now);
        }
    }

    /// Answers a cell for which there is no runner.
    pub(super) fn refuse_cell(&mut self, at: usize, cell: u32) {
        let detail = format!("there is no interpreter: {}", self.programs[at].absence.why);
        self.programs[at].last_cell = cell;
        self.owe_exit(at, cell, ExitCause::Own, None, CellUsage::default(), detail);
    }

    pub(super) fn owe_exit(
        &mut self,
        at: usize,
        cell: u32,
        cause: ExitCause,
        death: Option<Death>,
        usage: CellUsage,
        detail: String,
    ) {
        let exited = Exited {
            cause,
            signalled: death.is_some_and(|death| death.signalled),
            status: death.map_or(0, |death| death.status),
            memory_limit_bytes: self.setup.memory_limit_bytes,
            usage,
            detail,
        };
        self.owed.push_back((self.programs[at].number, kind::EXITED, 0, cell, exited.encode()));
    }
}

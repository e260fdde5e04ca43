//! The end of a runner, and the start of the next.
//!
//! ```text
//! kill all ──► reap all ──► relay its last frames ──► drain its pipes ──► EXITED ──► start anew
//! ```
//! Nothing that was in the sandbox outlives its runner, so the pipes of a dead runner are drained
//! to their end, and all it wrote stands before EXITED. Each step that writes waits for the link.

use std::io;
use std::time::{Duration, Instant};

use cellgate_driver::wire::{CellUsage, ExitCause, Exited, flag, kind};

use super::frames::Fill;
use super::processes::Scope;
use super::runner::{Runner, Socket};
use super::stage::{Ending, Stage};
use super::{End, Supervisor, shared_memory};
use crate::sys::{self, Death, Reaped};

/// How long killed processes may take to go. Longer takes only who hangs in the kernel.
const REAP_LIMIT: Duration = Duration::from_secs(2);

/// How often the descendants are killed again where the kernel cannot kill all in one step.
const REAP_AGAIN: Duration = Duration::from_millis(20);

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
    /// Kills the runner and all else in the sandbox. The first cause holds, except that a
    /// restart that was asked for is always answered.
    pub(super) fn end_runner(&mut self, cause: ExitCause, detail: String, now: Instant) {
        let Some(runner) = &mut self.runner else { return };
        if let Stage::Ending(ending) = &mut runner.stage {
            if cause == ExitCause::Restart {
                ending.cause = cause;
            }
            return;
        }
        runner.stage = Stage::Ending(Ending {
            cause,
            detail,
            death: None,
            alone: false,
            mute: false,
            give_up: now + REAP_LIMIT,
            again: now + REAP_AGAIN,
        });
        self.scope.kill_all();
    }

    /// Waits for every child that has ended. The death of the runner ends everything else.
    pub(super) fn reap(&mut self, now: Instant) -> Result<(), End> {
        loop {
            match sys::reap().map_err(|error| End::failed("wait for children", error))? {
                Reaped::Dead(death) => {
                    if self.runner.as_ref().is_some_and(|runner| runner.pid == death.pid) {
                        self.runner_died(death, now);
                    }
                }
                Reaped::AllAlive => return Ok(()),
                Reaped::NoChild => {
                    if let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.runner {
                        ending.alone = true;
                    }
                    return Ok(());
                }
            }
        }
    }

    fn runner_died(&mut self, death: Death, now: Instant) {
        let Some(runner) = &self.runner else { return };
        if let Stage::Dumping(dump) = &runner.stage {
            let text = String::from_utf8_lossy(&dump.text).into_owned();
            self.end_stubborn(&text, now);
        } else if !runner.is_ending() {
            let killed = death.signalled && death.status == libc::SIGKILL;
            let cause = match killed && self.watch.meter.oom_killed() {
                true => ExitCause::Memory,
                false => ExitCause::Own,
            };
            self.end_runner(cause, String::new(), now);
        }
        if let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.runner {
            ending.death = Some(death);
        }
    }

    /// Ends a runner whose cell did not yield.
    pub(super) fn end_stubborn(&mut self, stacks: &str, now: Instant) {
        let interrupt = self.cell.as_ref().and_then(|cell| cell.interrupt);
        let grace_ms = interrupt.map_or(0, |interrupt| interrupt.grace_ms);
        let mut detail = format!("did not yield to an interrupt within {grace_ms} ms");
        if !stacks.trim_ascii().is_empty() {
            detail.push_str("; stacks:\n");
            detail.push_str(stacks.trim_ascii_end());
        }
        self.end_runner(ExitCause::Stubborn, detail, now);
    }

    /// Takes a dying runner's end as far as it goes now.
    pub(super) fn settle_ending(&mut self, now: Instant) -> Result<(), End> {
        let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.runner else {
            return Ok(());
        };
        if now >= ending.again && !ending.is_over(now) {
            ending.again = now + REAP_AGAIN;
            self.scope.kill_all();
        }
        if !ending.is_over(now) || !self.relay_last(now)? {
            return Ok(());
        }
        let cell = self.cell.as_ref().map_or(0, |cell| cell.number);
        let Some(runner) = &mut self.runner else { return Ok(()) };
        let (bytes, whole) = runner.pipes.drain_all(cell, &mut self.link)?;
        if let Some(cell) = &mut self.cell {
            cell.output_bytes += bytes as u64;
        }
        if whole {
            self.send_exit(now);
        }
        Ok(())
    }

    /// Relays what the runner had sent before its end. False: the link is blocked.
    fn relay_last(&mut self, now: Instant) -> Result<bool, End> {
        for socket in [Socket::Control, Socket::Side, Socket::Control] {
            loop {
                match &self.runner {
                    Some(Runner { stage: Stage::Ending(ending), .. }) if !ending.mute => {}
                    _ => return Ok(true),
                }
                self.relay(socket, now)?;
                if self.link.is_blocked() {
                    return Ok(false);
                }
                let Some(runner) = &mut self.runner else { return Ok(true) };
                if !matches!(runner.channel(socket).fill(), Ok(Fill::Bytes)) {
                    break;
                }
            }
        }
        Ok(true)
    }

    /// Says that the runner is no more, and starts the next if this one ever was of use.
    fn send_exit(&mut self, now: Instant) {
        let Some(runner) = self.runner.take() else { return };
        let Stage::Ending(ending) = runner.stage else { return };
        let asking = self.incoming.asking.take().map(|(number, _)| number);
        self.incoming.asking = asking.map(|number| (number, None)); // answered when its last fragment came
        for question in runner.asked.into_iter().filter(|&asked| Some(asked) != asking) {
            self.owed.push_back((kind::REPLY, flag::BUSY, question, Vec::new()));
        }
        let death = ending.death;
        let mut number = 0;
        let mut usage = CellUsage::default();
        if let Some(mut cell) = self.cell.take() {
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
            self.last_cell = number;
            self.incoming.discarding = self.incoming.receiving.take();
        }
        self.owe_exit(number, ending.cause, death, usage, ending.detail);
        if runner.was_ready || ending.cause == ExitCause::Restart {
            self.absence = Absence::default();
            self.start_runner(now);
        } else {
            self.absence = Absence {
                why: "the last one ended before it was ready".into(),
                ..Absence::default()
            };
        }
    }

    /// Starts a runner; tries again for a while if processes have run out.
    pub(super) fn start_runner(&mut self, now: Instant) {
        self.absence.retry_at = None;
        if self.scope == Scope::Namespace {
            shared_memory::remove_system_v(); // no process of the last runner lives
        }
        self.watch.meter.settle();
        self.watch.meter.forget_high_water();
        let started = match &self.score {
            Ok(score) => score.first_to_die(|| Runner::start(&self.setup)),
            Err(error) => Err(io::Error::new(error.kind(), error.to_string())),
        };
        let started = started.unwrap_or_else(|error| {
            self.log(&format!("the runner is not first to go when memory runs out: {error}"));
            Runner::start(&self.setup)
        });
        match started {
            Ok(runner) => {
                self.runner = Some(runner);
                self.absence = Absence::default();
            }
            Err(error) => {
                let pause = START_AGAIN_MS.get(self.absence.tries).filter(|_| error.again);
                self.absence.tries += 1;
                self.absence.retry_at = pause.map(|&ms| now + Duration::from_millis(ms));
                self.absence.why = error.detail.clone();
                if self.absence.retry_at.is_none() {
                    self.owe_exit(0, ExitCause::Own, None, CellUsage::default(), error.detail);
                }
            }
        }
    }

    /// Answers RESTART.
    pub(super) fn restart(&mut self, now: Instant) {
        if self.runner.is_some() {
            self.end_runner(ExitCause::Restart, String::new(), now);
        } else {
            let detail = "there was no interpreter to end".to_owned();
            self.owe_exit(0, ExitCause::Restart, None, CellUsage::default(), detail);
            self.absence = Absence::default();
            self.start_runner(now);
        }
    }

    /// Answers a cell for which there is no runner.
    pub(super) fn refuse_cell(&mut self, cell: u32) {
        let detail = format!("there is no interpreter: {}", self.absence.why);
        self.last_cell = cell;
        self.owe_exit(cell, ExitCause::Own, None, CellUsage::default(), detail);
    }

    fn owe_exit(
        &mut self,
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
        self.owed.push_back((kind::EXITED, 0, cell, exited.encode()));
    }
}

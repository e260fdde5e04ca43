//! The running cell: what it used, and the interrupt on its way.
//!
//! ```text
//! begin ──5 ms──► first look at the sandbox ──► USAGE, USAGE, … ──► end
//!    └─────────── end: no file was read ──────────────────────────┘
//! ```
//! A short cell costs two readings of the runner's CPU clock. Only a cell that lives past
//! [`LONG`] has the sandbox's counters read, and is charged for its children too.

use std::time::{Duration, Instant};

use cellgate_driver::wire::CellUsage;

use super::usage::{Meter, Sample};
use crate::sys;

/// Age at which a cell is worth reading files for: below, it would cost a noticeable part.
const LONG: Duration = Duration::from_millis(5);

/// Age up to which its end is awaited without sleeping: about what the interpreter takes for a
/// statement. A tenth of a round trip is saved, for that much processor time a cell at most.
const EAGER: Duration = Duration::from_micros(150);

/// How long an interrupt may wait for the runner to take the cell it is meant for.
const OWED: Duration = Duration::from_millis(20);

/// How much of the grace has to be left for SIGINT to be sent yet another time.
const LEAST_AGAIN: Duration = Duration::from_millis(50);

/// An interrupt that was asked for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Interrupt {
    /// What the gateway allowed, in milliseconds.
    pub(crate) grace_ms: u32,
    /// When the cell is killed.
    pub(crate) kill_at: Instant,
    /// Set until SIGINT is sent: when it is sent at the latest. The runner ignores SIGINT until
    /// it has taken the cell.
    pub(crate) owed_until: Option<Instant>,
    /// When SIGINT is sent once more, late in the grace, and then again and again, each time
    /// halfway to its end. The first may have stopped a child alone: system(3) ignores it for as
    /// long as its command runs. And it may have met a shell that was just starting a program and
    /// kept it from both.
    pub(crate) again_at: Option<Instant>,
}

impl Interrupt {
    /// Lets SIGINT wait a while longer for the runner to take the cell.
    pub(crate) fn owe(&mut self, now: Instant) {
        self.owed_until = self.owed_until.map(|_| now + OWED);
    }

    /// SIGINT was sent once more.
    pub(crate) fn repeated(&mut self, now: Instant) {
        let left = self.kill_at.saturating_duration_since(now);
        self.again_at = (left > LEAST_AGAIN).then(|| now + left / 2);
    }

    /// When to look again whether SIGINT can be sent, if it is still owed.
    pub(crate) fn look_again(&self, now: Instant) -> Option<Instant> {
        self.owed_until.map(|until| until.min(now + OWED / 20))
    }
}

/// The sandbox's and the runner's CPU time at one moment, in microseconds.
struct Base {
    sandbox_us: u64,
    runner_us: u64,
    /// Processes that the kernel had ended at the memory limit.
    memory_kills: u64,
}

/// The cell that runs.
pub(crate) struct Cell {
    /// Its number.
    pub(crate) number: u32,
    /// Bytes of output so far.
    pub(crate) output_bytes: u64,
    /// The interrupt on its way.
    pub(crate) interrupt: Option<Interrupt>,
    /// Files that are stamped from then on are its own: seconds and nanoseconds.
    pub(crate) files_since: (i64, i64),
    /// The payload of its FILES_CHANGED, once it was looked for.
    pub(crate) files_changed: Option<Vec<u8>>,
    /// When the sandbox is looked at next.
    pub(crate) look_at: Option<Instant>,
    began: Instant,
    runner_us_before: u64,
    base: Option<Base>,
    peak_memory_bytes: u64,
}

impl Cell {
    /// A cell that arrived now for the runner `pid`.
    pub(crate) fn begin(number: u32, pid: i32, now: Instant) -> Cell {
        Cell {
            number,
            output_bytes: 0,
            interrupt: None,
            files_since: sys::file_time(),
            files_changed: None,
            look_at: Some(now + LONG),
            began: now,
            runner_us_before: sys::process_cpu_us(pid).unwrap_or(0),
            base: None,
            peak_memory_bytes: 0,
        }
    }

    /// Until when its end is awaited without sleeping.
    pub(crate) fn eager_until(&self) -> Instant {
        self.began + EAGER
    }

    /// Asks for an interrupt; of two, the earlier deadline holds.
    pub(crate) fn interrupt(&mut self, grace_ms: u32, now: Instant) {
        let kill_at = now + Duration::from_millis(u64::from(grace_ms));
        let before = self.interrupt.filter(|before| before.kill_at <= kill_at);
        let (grace_ms, kill_at) = before.map_or((grace_ms, kill_at), |b| (b.grace_ms, b.kill_at));
        let again_at = Some(kill_at - Duration::from_millis(u64::from(grace_ms) / 4));
        let owed_until = Some(now + OWED);
        self.interrupt = Some(Interrupt { grace_ms, kill_at, owed_until, again_at });
    }

    /// Looks at the sandbox, once the cell is long. Answers what is to be sent as USAGE: nothing
    /// at the first look.
    pub(crate) fn look(
        &mut self,
        meter: &mut Meter,
        pid: i32,
        every_ms: u32,
        now: Instant,
    ) -> Option<Sample> {
        let first = self.base.is_none();
        if !first {
            meter.settle();
        }
        let sample = meter.sample();
        self.note_memory(sample.memory_bytes);
        if first {
            let runner_us = sys::process_cpu_us(pid).unwrap_or(self.runner_us_before);
            let memory_kills = meter.memory_kills();
            self.base = Some(Base { sandbox_us: sample.cpu_us, runner_us, memory_kills });
        }
        let every = Duration::from_millis(u64::from(every_ms));
        self.look_at = (every_ms > 0).then(|| if first { self.began + every } else { now + every });
        (!first).then_some(sample)
    }

    /// Takes note of how much memory is in use.
    pub(crate) fn note_memory(&mut self, bytes: u64) {
        self.peak_memory_bytes = self.peak_memory_bytes.max(bytes);
    }

    /// How many processes the kernel ended at the memory limit since the cell is long.
    pub(crate) fn memory_kills(&self, meter: &Meter) -> u8 {
        let before = self.base.as_ref().map(|base| base.memory_kills);
        let kills = before.map_or(0, |before| meter.memory_kills().saturating_sub(before));
        u8::try_from(kills).unwrap_or(u8::MAX)
    }

    /// What it used in the end. `runner_us` is the runner's CPU time if it is dead.
    pub(crate) fn usage(
        &mut self,
        meter: &mut Meter,
        pid: i32,
        runner_us: Option<u64>,
        now: Instant,
    ) -> CellUsage {
        let clock = runner_us.or_else(|| sys::process_cpu_us(pid)).unwrap_or(0);
        let own = clock.saturating_sub(self.runner_us_before);
        let mut cpu_us = own;
        if let Some(base) = &self.base {
            let sample = meter.sample();
            let before = base.runner_us.saturating_sub(self.runner_us_before);
            cpu_us = own.max(before + sample.cpu_us.saturating_sub(base.sandbox_us));
            self.note_memory(sample.memory_bytes);
            // The looks are a second apart; the kernel saw what was between them.
            self.note_memory(meter.peak_bytes(pid, sample.memory_bytes));
        }
        CellUsage {
            duration_us: now.duration_since(self.began).as_micros() as u64,
            cpu_us,
            peak_memory_bytes: self.peak_memory_bytes.max(meter.last_memory_bytes()),
            output_bytes: self.output_bytes,
        }
    }
}

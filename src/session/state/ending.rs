//! Why a cell ended, told truthfully.

use std::time::Duration;

use cellgate_driver::wire::{CellUsage, Done, ExitCause, Exited, Outcome};

use super::running::{Running, Stop};
use crate::protocol::client::signal_name;
use crate::protocol::event::{CellStatus, DoneUsage};

/// A cell ended and its interpreter lives.
pub(super) fn of_done(running: &Running, done: &Done) -> (CellStatus, Option<String>) {
    let stopped = done.outcome != Outcome::Ok;
    match &running.stop {
        Some(Stop::OutputLimit { most }) => (CellStatus::OutputLimit, Some(output_limit(*most))),
        Some(Stop::Timeout) if stopped || ran_longer(running, done) => {
            (CellStatus::Timeout, Some(timeout(running)))
        }
        Some(Stop::Interrupt { by }) if stopped => {
            (CellStatus::Interrupted, Some(format!("interrupted by {by}")))
        }
        _ => match done.outcome {
            Outcome::Ok => (CellStatus::Ok, None),
            Outcome::Error => (CellStatus::Error, None),
            Outcome::Interrupted if running.stop.is_some() => (CellStatus::Interrupted, None),
            // A KeyboardInterrupt without an interrupt of ours was raised by the code itself.
            Outcome::Interrupted => (CellStatus::Error, None),
        },
    }
}

/// That the kernel ended processes of the cell, not the interpreter, at the memory limit.
pub(super) fn memory_kills(count: u8, limit_bytes: u64) -> String {
    let (many, were) = match count {
        1 => ("a process".to_owned(), "was"),
        u8::MAX => ("255 processes or more".to_owned(), "were"),
        count => (format!("{count} processes"), "were"),
    };
    let limit = mebibytes(limit_bytes);
    format!(
        "{many} that the code had started {were} killed: the sandbox's memory ran out: limit {limit}"
    )
}

/// An interpreter ended, with `running` in it if a cell ran.
pub(super) fn of_exit(running: Option<&Running>, exited: &Exited) -> (CellStatus, String) {
    let stop = running.and_then(|running| running.stop.as_ref());
    match (exited.cause, stop, running) {
        (ExitCause::Restart, ..) => {
            (CellStatus::Interrupted, "the session was restarted while the cell ran".to_owned())
        }
        (ExitCause::Memory, ..) => (CellStatus::Oom, out_of_memory(exited)),
        (ExitCause::Stubborn, Some(Stop::Timeout), Some(running)) => {
            (CellStatus::Timeout, with_place(timeout(running) + KILLED, exited))
        }
        (ExitCause::Stubborn, Some(Stop::OutputLimit { most }), _) => {
            (CellStatus::OutputLimit, with_place(output_limit(*most) + KILLED, exited))
        }
        (ExitCause::Stubborn, ..) => {
            let text = "the cell did not yield to an interrupt and was killed".to_owned();
            (CellStatus::Killed, with_place(text, exited))
        }
        (ExitCause::Protocol, ..) => {
            let text = format!("the interpreter was killed: {}", exited.detail);
            (CellStatus::Exited, text)
        }
        (ExitCause::Own, Some(Stop::Interrupt { by }), _) if exited.signalled => {
            let text = format!("interrupted by {by}: {}", by_itself(exited));
            (CellStatus::Interrupted, text)
        }
        (ExitCause::Own, ..) => (CellStatus::Exited, by_itself(exited)),
    }
}

/// What there is to say of a process's end beside its exit code or signal.
pub(super) fn of_process(exited: &Exited) -> Option<String> {
    match exited.cause {
        ExitCause::Memory => Some(out_of_memory(exited)),
        _ => Some(exited.detail.clone()).filter(|detail| !detail.is_empty()),
    }
}

const KILLED: &str = "; it did not yield to an interrupt and was killed";

/// The supervisor's figures in the units of the protocol.
pub(super) fn usage(usage: &CellUsage) -> DoneUsage {
    DoneUsage {
        cpu_ms: usage.cpu_us as f64 / 1000.0,
        peak_memory_bytes: usage.peak_memory_bytes,
        output_bytes: usage.output_bytes,
    }
}

/// Whether the timer and the cell's own end did not just cross on the way.
fn ran_longer(running: &Running, done: &Done) -> bool {
    running.timeout.is_some_and(|limit| Duration::from_micros(done.usage.duration_us) >= limit)
}

fn timeout(running: &Running) -> String {
    let limit = running.timeout.unwrap_or_default();
    format!("ran longer than its limit of {} ms", limit.as_millis())
}

fn output_limit(most: u64) -> String {
    format!("wrote more than its limit of {most} bytes")
}

fn out_of_memory(exited: &Exited) -> String {
    let peak = exited.usage.peak_memory_bytes;
    let mut text = match exited.memory_limit_bytes {
        0 => "ran out of memory".to_owned(),
        limit => format!("ran out of memory: limit {}", mebibytes(limit)),
    };
    if peak > 0 {
        text += &format!(", peak {}", mebibytes(peak));
    }
    text
}

fn mebibytes(bytes: u64) -> String {
    let mebibytes = bytes as f64 / f64::from(1 << 20);
    if mebibytes.fract() == 0.0 {
        format!("{mebibytes:.0} MiB")
    } else {
        format!("{mebibytes:.1} MiB")
    }
}

fn by_itself(exited: &Exited) -> String {
    let mut text = if exited.signalled {
        match signal_name(exited.status) {
            Some(name) => format!("the interpreter was ended by signal {} ({name})", exited.status),
            None => format!("the interpreter was ended by signal {}", exited.status),
        }
    } else {
        format!("the interpreter ended with exit code {}", exited.status)
    };
    if !exited.detail.is_empty() {
        text += ": ";
        text += &exited.detail;
    }
    text
}

fn with_place(text: String, exited: &Exited) -> String {
    if exited.detail.is_empty() { text } else { format!("{text}; it hung at:\n{}", exited.detail) }
}

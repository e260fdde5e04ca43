//! A process: a program that is a command, with pipes or a terminal.
//!
//! ```text
//!   OPEN ─► STARTED ─► runs: OUTPUT, WRITE, WROTE, SIGNAL, RESIZE ─┬─ its own end ──────────────────────┐
//!      └─► EXITED: it cannot be started                            └─ CLOSE, memory ─► all of it killed ─┴─► its last output ─► EXITED
//! ```
//! It is the leader of its own session and process group, and descends from the supervisor alone, so that the end of
//! no other program reaches it. Its output is carried like that of a cell, as of cell 0.
//!
//! When a process has ended by itself, what it wrote before is carried, and then its pipes are closed: children that
//! it leaves behind may live on, but hold back nothing. They die with the sandbox.

use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

use cellgate_driver::wire::{self, Setup, TerminalSize};

use super::pipes::{Due, Pair, Pipes, Stream};
use super::process_table::{Scope, likely_foreground};
use super::runner::filter;
use super::search::find;
use super::stage::Ending;
use crate::sys::launch::{Launch, LaunchError, Program, Step, launch};
use crate::sys::{self, terminal};

mod commands;
mod ending;
mod input;
mod output;

use input::{Input, TooMany};

/// Status of a process whose file was not found, as shells say it.
const NOT_FOUND: i32 = 127;

/// Status of a process whose file was found and could not be started, as shells say it.
const NOT_STARTED: i32 = 126;

/// A process that runs or is about to be forgotten.
pub(super) struct Process {
    /// Its number among the programs, which the gateway gave it.
    pub(super) number: u16,
    /// Its number in the sandbox, also that of its process group and session.
    pub(super) pid: i32,
    began: Instant,
    /// What it writes to: a pair of pipes or a terminal.
    pub(super) pipes: Pipes,
    /// Streams found ready in this turn.
    pub(super) ready: Vec<Stream>,
    /// What it reads.
    input: Input,
    /// The supervisor's end of its terminal, if it has one.
    terminal: Option<OwnedFd>,
    output_bytes: u64,
    /// Set once it has ended or was killed.
    pub(super) ending: Option<Ending>,
    /// What of its output still stands before EXITED.
    due: [Due; 2],
}

/// Why a process could not be started.
pub(super) struct NotStarted {
    /// What its exit code is said to be.
    status: i32,
    /// For people.
    detail: String,
}

/// The descriptors of a process that is to be started.
struct Descriptors {
    theirs: [OwnedFd; 3],
    pair: Pair,
    input: Input,
    terminal: Option<OwnedFd>,
}

impl Process {
    /// Starts the process of `setup` as the program of this number.
    pub(super) fn start(
        number: u16,
        setup: &Setup,
        process: &wire::Process,
        now: Instant,
    ) -> Result<Process, NotStarted> {
        let name = process.argv.first().map(Vec::as_slice).unwrap_or_default();
        let failed = |what: &str, error: io::Error| {
            let detail = format!("cannot {what} for {}: {error}", name.escape_ascii());
            NotStarted { status: NOT_STARTED, detail }
        };
        let path = find(name, &setup.env).map_err(|error| not_found(name, &error))?;
        let made = match process.terminal {
            Some(size) => Descriptors::of_terminal(size),
            None => Descriptors::of_pipes(process.stdin),
        };
        let made = made.map_err(|(what, error)| failed(what, error))?;
        let text = |bytes: &[u8]| {
            CString::new(bytes).map_err(|error| failed("pass on a text", error.into()))
        };
        let texts = |list: &[Vec<u8>]| list.iter().map(|one| text(one)).collect();
        let (arguments, environment): (Result<Vec<_>, _>, Result<Vec<_>, _>) =
            (texts(&process.argv), texts(&setup.env));
        let rlimits: Vec<_> = setup.rlimits.iter().map(|l| (l.resource, l.value)).collect();
        let theirs: Vec<BorrowedFd<'_>> = made.theirs.iter().map(AsFd::as_fd).collect();
        let pid = launch(&Launch {
            program: Program::File {
                path: &text(&path)?,
                arguments: &arguments?,
                environment: &environment?,
            },
            directory: &text(setup.workdir.as_bytes())?,
            descriptors: &theirs,
            has_terminal: made.terminal.is_some(),
            rlimits: &rlimits,
            filter: &filter(&setup.seccomp),
        })
        .map_err(|error| explain(name, &setup.workdir, &error))?;
        let mut pipes = Pipes::of(number);
        pipes.begin(0, made.pair, now);
        Ok(Process {
            number,
            pid,
            began: now,
            pipes,
            ready: Vec::new(),
            input: made.input,
            terminal: made.terminal,
            output_bytes: 0,
            ending: None,
            due: [Due::All; 2],
        })
    }

    /// Where bytes wait for the process to read, if any do.
    pub(super) fn waits_to_write(&self) -> Option<BorrowedFd<'_>> {
        self.input.waits_for()
    }

    /// Writes what it reads now.
    pub(super) fn flush_input(&mut self) {
        self.input.flush();
    }

    /// Sends a signal to the process group in the foreground of its terminal, or to its own.
    fn signal(&self, signal: i32, scope: Scope) {
        let foreground = self.terminal.as_ref().map(|terminal| {
            let terminal = terminal.as_fd();
            terminal::foreground_group(terminal).unwrap_or_else(|| {
                likely_foreground(&scope.list(), self.pid, terminal::reads_by_line(terminal))
            })
        });
        // It may have ended; that is an event of its own.
        let _ = sys::kill(-foreground.unwrap_or(self.pid), signal);
    }

    /// The first of these characters that stands for a signal where the kernel makes none of it.
    fn typed_signal(&self, typed: &[u8]) -> Option<(usize, i32)> {
        let terminal = self.terminal.as_ref()?.as_fd();
        match terminal::foreground_group(terminal) {
            Some(_) => None,
            None => terminal::typed_signal(terminal, typed),
        }
    }

    /// Takes what a client has written for it.
    fn write(&mut self, bytes: &[u8], scope: Scope) -> Result<(), TooMany> {
        let mut rest = bytes;
        let mut sent = Vec::new(); // each signal once, as to find whom it is for takes milliseconds
        while self.ending.is_none()
            && let Some((at, signal)) = self.typed_signal(rest)
        {
            if at > 0 {
                self.input.write(&rest[..at])?;
            }
            self.input.pass_over(1);
            if !sent.contains(&signal) {
                self.signal(signal, scope);
                sent.push(signal);
            }
            rest = &rest[at + 1..];
        }
        if rest.is_empty() && !bytes.is_empty() {
            return Ok(()); // to write nothing is to end the input
        }
        self.input.write(rest)
    }

    /// Changes the size of its terminal, if it has one.
    fn resize(&self, size: TerminalSize) {
        if let Some(terminal) = &self.terminal {
            // The kernel refuses it only where the terminal is gone.
            let _ = terminal::resize(terminal.as_fd(), size.columns, size.rows);
        }
    }
}

impl Descriptors {
    fn of_pipes(has_input: bool) -> Result<Descriptors, (&'static str, io::Error)> {
        let pipe = |error| ("make a pipe", error);
        let (input_end, input) = if has_input {
            let (read, write) = sys::input_pipe().map_err(pipe)?;
            (read, Input::to_pipe(write))
        } else {
            let null = File::open("/dev/null").map_err(|error| ("open /dev/null", error))?;
            (null.into(), Input::none())
        };
        let (pair, ends) = Pair::new().map_err(pipe)?;
        let [out, err] = ends.0;
        Ok(Descriptors { theirs: [input_end, out, err], pair, input, terminal: None })
    }

    fn of_terminal(size: TerminalSize) -> Result<Descriptors, (&'static str, io::Error)> {
        let failed = |error| ("make a terminal", error);
        let terminal::Terminal { master, slave } =
            terminal::open(size.columns, size.rows).map_err(failed)?;
        let copy = |fd: &OwnedFd| fd.try_clone().map_err(failed);
        Ok(Descriptors {
            theirs: [copy(&slave)?, copy(&slave)?, slave],
            pair: Pair::of_terminal(copy(&master)?),
            input: Input::to_terminal(copy(&master)?),
            terminal: Some(master),
        })
    }
}

fn not_found(name: &[u8], error: &io::Error) -> NotStarted {
    let (status, remedy) = match error.kind() {
        io::ErrorKind::PermissionDenied => (NOT_STARTED, "make the file executable"),
        _ => (NOT_FOUND, "install it in the sandbox, or give the path of its file"),
    };
    let detail = format!("cannot start {}: {error}; {remedy}", name.escape_ascii());
    NotStarted { status, detail }
}

/// Says in words for people why a launch failed.
fn explain(name: &[u8], workdir: &str, error: &LaunchError) -> NotStarted {
    let LaunchError { step, cause } = error;
    let name = name.escape_ascii();
    let (status, what) = match (step, cause.raw_os_error()) {
        (Step::Execute, Some(libc::ENOENT | libc::ENOTDIR)) => (
            NOT_FOUND,
            format!(
                "{cause}; there is no such file in the sandbox, or what it names in its first line is not"
            ),
        ),
        (Step::Execute, Some(libc::EACCES)) => {
            (NOT_STARTED, format!("{cause}; make the file executable"))
        }
        (Step::Execute, _) => (NOT_STARTED, cause.to_string()),
        (Step::Directory, _) => (
            NOT_STARTED,
            format!("cannot enter {workdir}: {cause}; name a directory that is in the sandbox"),
        ),
        (Step::Fork, _) => (
            NOT_STARTED,
            format!(
                "cannot create a process: {cause}; end others of the sandbox, or raise its limit of processes"
            ),
        ),
        (step, _) => (NOT_STARTED, format!("cannot {}: {cause}", step.text())),
    };
    NotStarted { status, detail: format!("cannot start {name}: {what}") }
}

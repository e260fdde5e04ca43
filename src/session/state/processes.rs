//! The rules of processes: commands that run beside a session's interpreters.
//!
//! ```text
//!   open ──► starting ── STARTED ──► running ── EXITED ──► gone
//!                └──────────── EXITED ────────────────────┘
//! ```
//! What is written to one goes on as far as it takes it; the rest waits here, up to [`INPUT_BYTES`].

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use cellgate_driver::wire::{Exited, MAX_PAYLOAD, MOST_UNWRITTEN};

use super::RESTART_TIME;
use super::common::Common;
use super::{Effect, ending};
use crate::link::{DriverCommand, DriverEvent};
use crate::memory::Charge;
use crate::protocol::client::{ProgramAction, signal_name};
use crate::protocol::event::{Event, ProcessOutput, ProgramInfo, ProgramKind, Stream};
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::shorten::shorten;
use crate::session::text::TextDecoder;
use crate::tally::QuotaShare;

/// Most bytes that may wait for one process to take them.
const INPUT_BYTES: usize = 1 << 20; // 1 MiB

/// Most bytes of a process's arguments that are shown.
const ARGV_BYTES: usize = 1 << 10; // 1 KiB

/// Longest sentence about a process's end, in bytes.
const DETAIL_BYTES: usize = 1 << 10; // 1 KiB

/// A process from its opening to its end.
#[derive(Debug)]
pub(super) struct Process {
    /// Its number on the wire.
    pub(super) program: u16,
    /// What clients are told of it.
    pub(super) info: ProgramInfo,
    started: bool,
    closed_by: Option<Arc<str>>,
    decoders: [TextDecoder; 2],
    /// What was written to it and it has not been sent.
    input: VecDeque<Bytes>,
    /// The memory of `input`.
    input_charge: Charge,
    /// Bytes that it was sent and has not taken.
    unwritten: usize,
    /// Whether its input is to end, and whether it was told so.
    input_ends: bool,
    told_end: bool,
    /// Whether its input can be written to.
    takes_input: bool,
    /// Its place among the cells of a publishable key.
    _place: Option<QuotaShare>,
}

impl Process {
    /// One that is being started.
    pub(super) fn new(
        common: &Common,
        program: u16,
        info: ProgramInfo,
        takes_input: bool,
        place: Option<QuotaShare>,
    ) -> Process {
        Process {
            program,
            info,
            started: false,
            closed_by: None,
            decoders: Default::default(),
            input: VecDeque::new(),
            input_charge: common.rules.memory.charge(0),
            unwritten: 0,
            input_ends: false,
            told_end: false,
            takes_input,
            _place: place,
        }
    }

    /// Whether it does something that is not to be cut off for idleness: a command does until it ends, a terminal waits
    /// for people.
    pub(super) fn is_work(&self) -> bool {
        !self.info.terminal
    }

    /// Whether the driver owes an answer about it.
    pub(super) fn expects_answer(&self) -> bool {
        !self.started || self.closed_by.is_some()
    }

    /// A participant does something with it.
    pub(super) fn act(
        &mut self,
        common: &mut Common,
        by: &Arc<str>,
        action: ProgramAction,
    ) -> Result<(), Refusal> {
        let refuse = |code, text: &str| Err(Refusal::new(code, text).of(&*self.info.id));
        match action {
            ProgramAction::Close => {
                if self.closed_by.is_none() {
                    self.closed_by = Some(Arc::clone(by));
                    common.send(self.program, DriverCommand::Close);
                    let (program, after) = (self.program, RESTART_TIME);
                    common.effects.push(Effect::ArmTimer { program, after });
                }
            }
            ProgramAction::Signal(number) => {
                common.send(self.program, DriverCommand::Signal(number));
            }
            ProgramAction::Resize(_) if !self.info.terminal => {
                return refuse(
                    ErrorCode::BadMessage,
                    "this process has no terminal; open one with `terminal`",
                );
            }
            ProgramAction::Resize(size) => common.send(self.program, DriverCommand::Resize(size)),
            ProgramAction::Write { .. } if !self.takes_input => {
                let text =
                    "the input of this process cannot be written to; open it with `stdin: true`";
                return refuse(ErrorCode::BadMessage, text);
            }
            ProgramAction::Write { .. } if self.input_ends => {
                return refuse(ErrorCode::NotRunning, "the input of this process has ended");
            }
            ProgramAction::Write { bytes, eof } => {
                let waiting = self.input_charge.bytes() + bytes.len();
                let has_room = waiting <= INPUT_BYTES || self.input.is_empty();
                if !has_room || self.input_charge.try_set(waiting).is_err() {
                    let text = "this process has not read what was written to it before; write again when it has";
                    return refuse(ErrorCode::QueueFull, text);
                }
                if !bytes.is_empty() {
                    self.input.push_back(bytes);
                }
                // A terminal goes on after the end of an input.
                self.input_ends = eof && !self.info.terminal;
                self.told_end &= !eof;
                self.pass_on_input(common, eof);
            }
        }
        Ok(())
    }

    /// Sends as much of what waits as the process may be sent.
    fn pass_on_input(&mut self, common: &mut Common, eof: bool) {
        while self.unwritten < MOST_UNWRITTEN
            && let Some(next) = self.input.front_mut()
        {
            let room = (MOST_UNWRITTEN - self.unwritten).min(MAX_PAYLOAD);
            let part = next.split_to(room.min(next.len()));
            if next.is_empty() {
                self.input.pop_front();
            }
            self.unwritten += part.len();
            self.input_charge.set(self.input_charge.bytes().saturating_sub(part.len()));
            common.send(self.program, DriverCommand::Write(part));
        }
        let ends = self.input_ends || (eof && self.info.terminal);
        if ends && self.input.is_empty() && !self.told_end {
            self.told_end = self.input_ends;
            common.send(self.program, DriverCommand::Write(Bytes::new()));
        }
    }

    /// The driver says something of it. True: it is no more.
    pub(super) fn on_driver(&mut self, common: &mut Common, event: DriverEvent) -> bool {
        match event {
            DriverEvent::Started { pid } if !self.started => {
                self.started = true;
                self.info.pid = Some(pid);
                if self.closed_by.is_none() {
                    common.effects.push(Effect::DisarmTimer { program: self.program });
                }
                common.emit(Event::Opened(self.info.clone()));
            }
            DriverEvent::Wrote { bytes } => {
                self.unwritten = self.unwritten.saturating_sub(bytes as usize);
                self.pass_on_input(common, false);
            }
            DriverEvent::Output { cell: 0, stream, bytes } => {
                let text = self.decoders[stream as usize].push(bytes);
                self.emit_text(common, stream, text);
            }
            DriverEvent::Exited { exited, .. } => {
                self.on_exited(common, &exited);
                return true;
            }
            _ => common.log(format!("an event that is none of process {}", self.info.id)),
        }
        false
    }

    fn emit_text(&self, common: &mut Common, stream: Stream, text: bytestring::ByteString) {
        if text.is_empty() {
            return;
        }
        let output = ProcessOutput { program: Arc::clone(&self.info.id), text };
        common.emit(match (self.info.terminal, stream) {
            (true, _) => Event::ProcessTerminal(output),
            (false, Stream::Stdout) => Event::ProcessStdout(output),
            (false, Stream::Stderr) => Event::ProcessStderr(output),
        });
    }

    fn on_exited(&mut self, common: &mut Common, exited: &Exited) {
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = self.decoders[stream as usize].finish();
            self.emit_text(common, stream, rest);
        }
        common.effects.push(Effect::DisarmTimer { program: self.program });
        let (code, signal) = match exited.signalled {
            true => {
                let name = signal_name(exited.status);
                (None, Some(name.unwrap_or_else(|| format!("signal {}", exited.status))))
            }
            false => (Some(exited.status), None),
        };
        let detail = match &self.closed_by {
            Some(by) => Some(format!("closed by {by}")),
            None => ending::of_process(exited),
        };
        let detail = detail.map(|detail| shorten(detail, DETAIL_BYTES));
        common.emit(Event::Exited { id: Arc::clone(&self.info.id), code, signal, detail });
    }
}

/// What clients are told of a process that is being started.
pub(super) fn info(id: &str, argv: &[String], terminal: bool, by: &Arc<str>) -> ProgramInfo {
    let mut room = ARGV_BYTES;
    let mut shown = Vec::new();
    for argument in argv {
        if room == 0 {
            break;
        }
        let argument = shorten(argument.clone(), room);
        room = room.saturating_sub(argument.len() + 1);
        shown.push(argument);
    }
    ProgramInfo {
        id: id.into(),
        kind: ProgramKind::Process,
        language: None,
        version: None,
        pid: None,
        argv: shown,
        terminal,
        by: Some(Arc::clone(by)),
    }
}

//! What the programs of a session share: the rules, the names of cells, and the list of what is to be done.

use std::sync::Arc;

use bytestring::ByteString;
use serde::Serialize;

use super::{Effect, Rules};
use crate::link::DriverCommand;
use crate::protocol::event::{Event, Output, SessionState, Stream};
use crate::session::names::Names;

/// What the programs of a session share.
#[derive(Debug)]
pub(super) struct Common {
    pub(super) rules: Rules,
    pub(super) names: Names,
    /// The gateway shuts down: what was accepted may finish, nothing new is.
    pub(super) draining: bool,
    pub(super) effects: Vec<Effect>,
    /// What each interpreter does.
    phases: Vec<(u16, SessionState)>,
    /// What the session does, as it was told last.
    pub(super) phase: SessionState,
}

impl Common {
    /// Those of a session whose first interpreter is ready.
    pub(super) fn new(rules: Rules) -> Common {
        Common {
            rules,
            names: Names::default(),
            draining: false,
            effects: Vec::new(),
            phases: vec![(0, SessionState::Idle)],
            phase: SessionState::Idle,
        }
    }

    /// An interpreter does something else now.
    pub(super) fn set_phase(&mut self, program: u16, phase: SessionState) {
        match self.phases.iter_mut().find(|(known, _)| *known == program) {
            Some(known) => known.1 = phase,
            None => self.phases.push((program, phase)),
        }
        self.tell_phase();
    }

    /// An interpreter is no more.
    pub(super) fn forget_phase(&mut self, program: u16) {
        self.phases.retain(|(known, _)| *known != program);
        self.tell_phase();
    }

    /// Whether no interpreter does anything.
    pub(super) fn all_idle(&self) -> bool {
        self.phases.iter().all(|(_, phase)| *phase == SessionState::Idle)
    }

    /// What the session as a whole does: one that starts a further interpreter is busy.
    fn tell_phase(&mut self) {
        let busy = |&(program, phase): &(u16, SessionState)| {
            phase == SessionState::Busy || (program != 0 && phase == SessionState::Restarting)
        };
        let phase = if self.phases.iter().any(busy) {
            SessionState::Busy
        } else if self.all_idle() {
            SessionState::Idle
        } else {
            SessionState::Restarting
        };
        // One that has nothing left to do while the gateway shuts down ends.
        if phase == SessionState::Idle && self.draining {
            return;
        }
        self.enter(phase);
    }

    /// The session does something else now.
    pub(super) fn enter(&mut self, phase: SessionState) {
        if self.phase != phase {
            self.phase = phase;
            self.emit(Event::Status { state: phase });
        }
    }

    pub(super) fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Emit(event));
    }

    pub(super) fn log(&mut self, line: impl Into<String>) {
        self.effects.push(Effect::Log(line.into()));
    }

    pub(super) fn emit_text(&mut self, id: Arc<str>, stream: Stream, text: ByteString, late: bool) {
        if text.is_empty() {
            return;
        }
        let output = Output { id, text, late };
        self.emit(match stream {
            Stream::Stdout => Event::Stdout(output),
            Stream::Stderr => Event::Stderr(output),
        });
    }

    /// Tells the driver something of a program.
    pub(super) fn send(&mut self, program: u16, command: DriverCommand) {
        self.effects.push(Effect::Send(command.of(program)));
    }

    /// The same of what is encoded as JSON.
    pub(super) fn send_json(
        &mut self,
        program: u16,
        value: &impl Serialize,
        command: impl FnOnce(Vec<u8>) -> DriverCommand,
    ) {
        match serde_json::to_vec(value) {
            Ok(json) => self.send(program, command(json)),
            Err(error) => self.log(format!("cannot encode: {error}")),
        }
    }
}

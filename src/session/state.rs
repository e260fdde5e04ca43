//! The rules of a session. Pure: it takes what happened and answers what is to be done.
//!
//! A session has programs: interpreters, of which the first is always there, and processes. Each interpreter
//! (`interpreter.rs`) does this for itself:
//! ```text
//!           execute                 done
//!   Idle ───────────────────────► Busy ─────────► Idle, or the next cell
//!    ▲                             │ exited, restart
//!    └─────── Restarting ◄─────────┘
//!     ready
//!   any ── link lost, ended ──► Ended
//! ```
//! Invariants: an interpreter runs one cell at a time; each accepted cell gets exactly one `done`; nothing of a
//! cell follows its `done` but output marked `late`; whatever ends an interpreter cancels the
//! cells behind it, because what they build on is gone.

use std::sync::Arc;
use std::time::Duration;

use crate::keys::KeyHolder;
use crate::link::{DriverCommand, DriverEvent};
use crate::memory::{Account, Charge};
use crate::protocol::client::{ClientMessage, Execute, ProgramAction};
use crate::protocol::event::{CellStatus, EndReason, Event, NoticeLevel, SessionState};
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::reply::Reply;
use crate::sandbox::Startable;
use crate::tally::QuotaShare;

mod budget;
mod commands;
mod common;
mod ending;
mod interpreter;
mod message;
mod opening;
mod processes;
mod queries;
mod reports;
mod running;
mod usage;

#[cfg(test)]
mod tests;

use common::Common;
use interpreter::Interpreter;
use processes::Process;
use running::{Running, Stop};

/// How much longer than the grace an interrupt's answer may take. A supervisor needs milliseconds
/// to kill a runner and seconds on a machine that swaps; one that takes longer is stuck or hostile.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// How long a fresh interpreter may take to be ready: twice what it gets at a session's start.
const RESTART_TIME: Duration = Duration::from_secs(60);

/// What a session says that ends with its gateway.
const DRAINED: &str = "the gateway shuts down";

/// Names a participant within its session.
pub type ParticipantId = u32;

/// What the rules need to know of the template and the settings.
#[derive(Clone, Debug)]
pub struct Rules {
    /// Cells that may wait behind the running one.
    pub queue: usize,
    /// Wall clock of a cell; a client may ask for less, never for more.
    pub timeout: Option<Duration>,
    /// Bytes that are shown of a cell's output. `None`: all.
    pub output_bytes: Option<u64>,
    /// Bytes of a cell's output that are kept where not all of it is shown. A cell that writes more
    /// is stopped.
    pub output_kept_bytes: u64,
    /// Programs that may be open, interpreters and processes.
    pub programs: usize,
    /// From interrupt to kill.
    pub interrupt_grace: Duration,
    /// Memory of the sandbox, in bytes.
    pub memory_bytes: u64,
    /// What the session may hold in memory: cells that wait and questions are charged to it.
    pub memory: Account,
    /// The client with a publishable key whose cells are bounded; `None`: no key bounds them.
    pub key_holder: Option<KeyHolder>,
}

impl Rules {
    /// Bytes that a cell may write where not all is shown.
    fn most_output(&self) -> u64 {
        self.output_kept_bytes.max(self.output_bytes.unwrap_or(0))
    }
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Give the event its place in the log and send it to all participants.
    Emit(Event),
    /// Tell one participant.
    Reply(ParticipantId, Reply),
    /// Tell the driver.
    Send(DriverCommand),
    /// Keep this output of a cell, which may turn out not to be shown.
    Archive {
        /// The cell.
        id: Arc<str>,
        /// As it was written.
        bytes: bytes::Bytes,
    },
    /// The cell has ended; forget its output, unless not all of it was shown.
    EndArchive {
        /// The cell.
        id: Arc<str>,
        /// Whether some of it was omitted.
        omitted: bool,
    },
    /// Call [`State::on_timer`] for a program after this time, and not at an earlier one that was asked for.
    ArmTimer {
        /// The program.
        program: u16,
        /// How long after.
        after: Duration,
    },
    /// Do not.
    DisarmTimer {
        /// For this program.
        program: u16,
    },
    /// Write a line to the operator's log.
    Log(String),
}

/// A cell that waits.
#[derive(Debug)]
struct Waiting {
    number: u32,
    id: Arc<str>,
    /// The document's cell that it is from.
    cell: Option<Arc<str>>,
    by: Arc<str>,
    execute: Execute,
    /// The memory of `execute`.
    charge: Charge,
    /// Its place among the cells of a publishable key.
    place: Option<QuotaShare>,
}

/// The id of a session's first interpreter.
pub const FIRST: &str = "main";

/// The state of one session.
#[derive(Debug)]
pub struct State {
    common: Common,
    /// The session's first interpreter before all others.
    interpreters: Vec<Interpreter>,
    processes: Vec<Process>,
    /// What can be opened.
    startable: Arc<Startable>,
    /// The number that the newest program was given.
    last_program: u16,
    /// CPU time at the last USAGE, for the percentage.
    last_cpu_us: Option<u64>,
    /// Memory of the sandbox at the last USAGE, in bytes.
    last_memory: Option<u64>,
    /// People were told that memory runs out.
    memory_warned: bool,
}

impl State {
    /// A session whose first interpreter is ready.
    pub fn new(rules: Rules, startable: Arc<Startable>) -> State {
        let language = startable.languages().next().map(|info| info.name.clone());
        State {
            common: Common::new(rules),
            interpreters: vec![Interpreter::first(FIRST.into(), language.unwrap_or_default())],
            processes: Vec::new(),
            startable,
            last_program: 0,
            last_cpu_us: None,
            last_memory: None,
            memory_warned: false,
        }
    }

    /// What the session does now.
    pub fn phase(&self) -> SessionState {
        self.common.phase
    }

    /// Whether it does something that is not to be cut off for idleness: it runs a cell, or a command without a
    /// terminal.
    pub fn is_working(&self) -> bool {
        self.phase() != SessionState::Idle || self.processes.iter().any(Process::is_work)
    }

    /// Whether the driver has something to do that it will have to tell us about.
    pub fn expects_answer(&self) -> bool {
        use SessionState::{Ended, Idle};
        !matches!(self.phase(), Idle | Ended)
            || self.interpreters.iter().any(|one| !one.queries.is_empty())
            || self.processes.iter().any(Process::expects_answer)
    }

    /// Takes what is to be done, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.common.effects)
    }

    /// A participant said something.
    pub fn on_message(&mut self, from: ParticipantId, name: &Arc<str>, message: ClientMessage) {
        if self.phase() == SessionState::Ended {
            return;
        }
        if let Err(refusal) = self.obey(from, name, message) {
            self.common.effects.push(Effect::Reply(from, refusal.into()));
        }
    }

    fn obey(
        &mut self,
        from: ParticipantId,
        by: &Arc<str>,
        message: ClientMessage,
    ) -> Result<(), Refusal> {
        match message {
            ClientMessage::Execute(execute) => {
                let at = self.interpreter_for_cell(by, execute.interpreter.as_deref());
                let at = at.map_err(|refusal| match &execute.id {
                    Some(id) => refusal.of(id.clone()),
                    None => refusal,
                })?;
                self.interpreters[at].on_execute(&mut self.common, by, execute)
            }
            ClientMessage::Interrupt { id: Some(id), .. } => self.interrupt_cell(by, id),
            ClientMessage::Interrupt { id: None, interpreter } => {
                let at = self.interpreter_or_first(interpreter.as_deref())?;
                self.interpreters[at].interrupt(&mut self.common, by);
                Ok(())
            }
            ClientMessage::Input { id, text } => {
                let State { interpreters, common, .. } = self;
                if interpreters.iter_mut().any(|one| one.input(common, &id, &text)) {
                    return Ok(());
                }
                let message = "this cell does not wait for input";
                Err(Refusal::new(ErrorCode::NotRunning, message).of(id))
            }
            ClientMessage::Restart { interpreter } => {
                let at = self.interpreter_or_first(interpreter.as_deref())?;
                self.interpreters[at].restart(&mut self.common, by);
                Ok(())
            }
            ClientMessage::Query(query) => {
                let at = self.interpreter_or_first(query.interpreter.as_deref());
                let at = at.map_err(|refusal| refusal.of(query.id.clone()))?;
                self.interpreters[at].on_query(&mut self.common, from, query)
            }
            ClientMessage::Open(open) => self.on_open(by, *open),
            ClientMessage::Program { id, action } => self.act_on_program(by, &id, action),
            ClientMessage::Ping { fields } => {
                self.common.effects.push(Effect::Reply(from, Reply::Pong(fields)));
                Ok(())
            }
            ClientMessage::End => {
                self.end(EndReason::Requested, "the session was ended by its owner");
                Ok(())
            }
            // Credit is between the socket and its outbox.
            ClientMessage::Ack { .. } => Ok(()),
        }
    }

    fn interrupt_cell(&mut self, by: &Arc<str>, id: String) -> Result<(), Refusal> {
        let State { interpreters, common, .. } = self;
        let found = interpreters.iter_mut().any(|one| one.interrupt_cell(common, by, &id));
        // A cell that has ended: another participant was faster, which is not an error.
        if found || common.names.knows(&id) {
            return Ok(());
        }
        let message = "no cell of this id was accepted";
        Err(Refusal::new(ErrorCode::NotRunning, message).of(id))
    }

    fn act_on_program(
        &mut self,
        by: &Arc<str>,
        id: &str,
        action: ProgramAction,
    ) -> Result<(), Refusal> {
        let common = &mut self.common;
        if let Some(process) = self.processes.iter_mut().find(|process| *process.info.id == *id) {
            return process.act(common, by, action);
        }
        let refuse = |code, text: &str| Err(Refusal::new(code, text).of(id));
        let Some(interpreter) = self.interpreters.iter_mut().find(|one| *one.id == *id) else {
            return refuse(ErrorCode::NotRunning, "no program of this id is open");
        };
        match action {
            ProgramAction::Close if interpreter.program == 0 => {
                let text = "the session's first interpreter lives as long as the session; restart it, or end the session";
                refuse(ErrorCode::BadMessage, text)
            }
            ProgramAction::Close => {
                interpreter.close(common, format!("closed by {by}"));
                Ok(())
            }
            _ => refuse(
                ErrorCode::BadMessage,
                "this is an interpreter; send it cells with `execute`",
            ),
        }
    }

    /// The place of an interpreter in the list.
    fn interpreter_of(&self, id: &str) -> Option<usize> {
        self.interpreters.iter().position(|one| *one.id == *id)
    }

    fn interpreter_or_first(&self, id: Option<&str>) -> Result<usize, Refusal> {
        let Some(id) = id else { return Ok(0) };
        self.interpreter_of(id).ok_or_else(|| self.no_interpreter(id))
    }

    /// The number of the program of this id.
    fn program_of(&self, id: &str) -> Option<u16> {
        let process = self.processes.iter().find(|process| *process.info.id == *id);
        let interpreter = || self.interpreters.iter().find(|one| *one.id == *id);
        process.map(|process| process.program).or_else(|| interpreter().map(|one| one.program))
    }

    /// The driver said something.
    pub fn on_driver(&mut self, event: DriverEvent) {
        if self.phase() == SessionState::Ended {
            return;
        }
        match event {
            DriverEvent::OfProgram { program, event } => self.on_program(program, *event),
            DriverEvent::Usage(usage) => self.on_usage(usage),
            // The actor hands these to the transfer that waits for them; they change nothing here.
            DriverEvent::File { .. } => {}
            DriverEvent::Log(line) => self.common.log(line),
            event => self.on_program(0, event),
        }
        self.end_if_drained();
    }

    fn on_program(&mut self, program: u16, event: DriverEvent) {
        let common = &mut self.common;
        if let Some(at) = self.processes.iter().position(|process| process.program == program) {
            if self.processes[at].on_driver(common, event) {
                self.processes.remove(at);
            }
            return;
        }
        let found = self.interpreters.iter().position(|one| one.program == program);
        let Some(at) = found else {
            // One that has just been forgotten: what it said last was on its way.
            common.log(format!("an event of program {program}, which is not open"));
            return;
        };
        let interpreter = &mut self.interpreters[at];
        match event {
            DriverEvent::Output { cell: 0, bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                common.log(format!("output of no cell: {text}"));
            }
            DriverEvent::Output { cell, stream, bytes } => {
                interpreter.on_output(common, cell, stream, bytes);
            }
            DriverEvent::Message { cell: 0, json } => interpreter.on_rich_of_no_cell(common, &json),
            DriverEvent::Message { cell, json } => interpreter.on_rich(common, cell, &json),
            DriverEvent::Refused { cell } => interpreter.on_refused(common, cell),
            DriverEvent::FilesChanged { cell, files, more } => {
                interpreter.on_files_changed(cell, files, more);
            }
            DriverEvent::Done { cell, done } => interpreter.on_done(common, cell, done),
            DriverEvent::Exited { cell, exited } => {
                self.last_cpu_us = None;
                if let Some(why) = interpreter.on_exited(common, cell, &exited) {
                    self.give_up_interpreter(at, why);
                }
            }
            DriverEvent::Ready(introduction) => interpreter.on_ready(common, &introduction),
            DriverEvent::Reply { number, json } => {
                interpreter.queries.on_reply(number, json.as_deref(), &mut common.effects);
            }
            DriverEvent::Started { .. } | DriverEvent::Wrote { .. } => {
                common.log(format!("an event that is none of interpreter {}", interpreter.id));
            }
            DriverEvent::OfProgram { .. }
            | DriverEvent::Usage(_)
            | DriverEvent::File { .. }
            | DriverEvent::Log(_) => {}
        }
    }

    /// An interpreter ended and is not replaced: without its first one the session is over.
    fn give_up_interpreter(&mut self, at: usize, why: String) {
        if at == 0 {
            self.end(EndReason::InterpreterFailed, &why);
            return;
        }
        let mut interpreter = self.interpreters.remove(at);
        let common = &mut self.common;
        interpreter.cancel_waiting(common, &why);
        interpreter.disarm_timer(common);
        let program = interpreter.program;
        // The driver keeps the number of one that could not be started, until it is told.
        if interpreter.closing.is_none() {
            common.send(program, DriverCommand::Close);
        }
        let (id, detail) = (Arc::clone(&interpreter.id), Some(why));
        common.emit(Event::Exited { id, code: None, signal: None, detail });
        common.forget_phase(program);
    }

    /// The gateway shuts down: the session ends when the cells it has accepted have.
    pub fn on_drain(&mut self) {
        if self.phase() == SessionState::Ended || std::mem::replace(&mut self.common.draining, true)
        {
            return;
        }
        if self.phase() == SessionState::Idle {
            self.end(EndReason::Draining, DRAINED);
            return;
        }
        let text = "the gateway shuts down; cells that were accepted may still finish".to_owned();
        let (level, code) = (NoticeLevel::Warning, "draining".into());
        self.common.emit(Event::Notice { level, code, text });
    }

    fn end_if_drained(&mut self) {
        let over = self.common.draining && self.common.all_idle();
        if over && self.phase() != SessionState::Ended {
            self.end(EndReason::Draining, DRAINED);
        }
    }

    /// The time of [`Effect::ArmTimer`] has come: the wall clock of a cell ran out, or what the driver owes did not
    /// come.
    pub fn on_timer(&mut self, program: u16) {
        let found = self.interpreters.iter_mut().find(|one| one.program == program);
        let text = match found {
            Some(one) if one.phase == SessionState::Restarting => {
                let limit = RESTART_TIME.as_secs();
                let what = if one.closing.is_some() { "end an" } else { "start a fresh" };
                format!("the sandbox did not {what} interpreter within {limit} s")
            }
            Some(Interpreter { running: Some(Running { stop: Some(_), .. }), .. }) => {
                let limit = (self.common.rules.interrupt_grace + ANSWER_TIME).as_secs();
                format!("the sandbox did not answer an interrupt within {limit} s")
            }
            Some(one) => return one.stop_running(&mut self.common, Stop::Timeout),
            None if self.processes.iter().any(|process| process.program == program) => {
                let limit = RESTART_TIME.as_secs();
                format!("the sandbox did not start or end a process within {limit} s")
            }
            None => return,
        };
        self.end(EndReason::SandboxLost, &format!("{text} and was ended"));
    }

    /// Whether the driver owes an answer that must not wait behind output that no participant
    /// takes.
    pub fn awaits_answer(&self) -> bool {
        let restarts = |one: &Interpreter| one.phase == SessionState::Restarting;
        self.is_stopping()
            || self.interpreters.iter().any(restarts)
            || self.processes.iter().any(Process::expects_answer)
    }

    /// Whether a running cell was told to stop.
    pub fn is_stopping(&self) -> bool {
        let running = self.interpreters.iter().filter_map(|one| one.running.as_ref());
        running.into_iter().any(|running| running.stop.is_some())
    }

    /// The sandbox, or the way to it, is gone.
    pub fn on_lost(&mut self, detail: &str) {
        self.end(EndReason::SandboxLost, detail);
    }

    /// Ends the session: every cell gets its `done`, and `ended` is the last event.
    pub fn end(&mut self, reason: EndReason, detail: &str) {
        if self.phase() == SessionState::Ended {
            return;
        }
        let status = match reason {
            EndReason::SandboxLost | EndReason::InterpreterFailed => CellStatus::Lost,
            _ => CellStatus::Interrupted,
        };
        let common = &mut self.common;
        for interpreter in &mut self.interpreters {
            interpreter.end(common, status, detail);
        }
        common.enter(SessionState::Ended);
        common.emit(Event::Ended { reason, detail: detail.to_owned() });
    }
}

//! The rules of a session. Pure: it takes what happened and answers what is to be done.
//!
//! ```text
//!            ready                execute                 done
//!   Starting ─────► Idle ───────────────────────► Busy ─────────► Idle, or the next cell
//!                    ▲                             │ exited, restart
//!                    └──────── Restarting ◄────────┘
//!   any ── link lost, ended ──► Ended
//! ```
//! Invariants: one cell runs at a time; each accepted cell gets exactly one `done`; nothing of a
//! cell follows its `done` but output marked `late`; whatever ends an interpreter cancels the
//! cells behind it, because what they build on is gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use cellgate_driver::wire::{Done, ExitCause, Exited, Usage};
use serde::Serialize;

use crate::link::{DriverCommand, DriverEvent};
use crate::protocol::client::{ClientMessage, Execute, Query, Refusal};
use crate::protocol::event::{
    CellStatus, DoneUsage, EndReason, Event, NoticeLevel, SessionState, Stream,
};
use crate::protocol::reply::{ErrorCode, Reply};
use crate::session::names::Names;

mod ending;
mod message;
mod queries;
mod running;

#[cfg(test)]
mod tests;

use queries::Queries;
use running::{Running, Stop};

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
    /// Bytes a cell may write before it is stopped.
    pub output_bytes: Option<u64>,
    /// From interrupt to kill.
    pub interrupt_grace: Duration,
}

/// What is to be done.
#[derive(Debug)]
pub enum Effect {
    /// Give the event its place in the log and send it to everybody.
    Emit(Event),
    /// Tell one participant.
    Reply(ParticipantId, Reply),
    /// Tell the driver.
    Send(DriverCommand),
    /// Call [`State::on_cell_timeout`] after this time.
    ArmTimer(Duration),
    /// Do not.
    DisarmTimer,
    /// Write a line to the operator's log.
    Log(String),
    /// The session is over; `ended` is the last event emitted.
    End,
}

/// A cell that waits.
#[derive(Debug)]
struct Waiting {
    number: u32,
    id: Arc<str>,
    by: Arc<str>,
    execute: Execute,
}

/// The state of one session.
#[derive(Debug)]
pub struct State {
    rules: Rules,
    phase: SessionState,
    names: Names,
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    execution_count: u32,
    /// Why a fresh interpreter is being started, and who asked.
    restart: Option<(String, Option<Arc<str>>)>,
    /// Cells that wait for an answer of `input`.
    asking: HashSet<u32>,
    queries: Queries,
    /// Decoders of cells that have ended but still write.
    late: HashMap<(u32, Stream), crate::session::text::TextDecoder>,
    /// CPU time at the last USAGE, for the percentage.
    last_cpu_us: Option<u64>,
    /// The gateway shuts down: what was accepted may finish, nothing new is.
    draining: bool,
    effects: Vec<Effect>,
}

impl State {
    /// A session whose runner is ready.
    pub fn new(rules: Rules) -> State {
        State {
            rules,
            phase: SessionState::Idle,
            names: Names::default(),
            waiting: VecDeque::new(),
            running: None,
            execution_count: 0,
            restart: None,
            asking: HashSet::new(),
            queries: Queries::default(),
            late: HashMap::new(),
            last_cpu_us: None,
            draining: false,
            effects: Vec::new(),
        }
    }

    /// What the session does now.
    pub fn phase(&self) -> SessionState {
        self.phase
    }

    /// Takes what is to be done, in order.
    pub fn take_effects(&mut self) -> Vec<Effect> {
        std::mem::take(&mut self.effects)
    }

    /// A participant said something.
    pub fn on_message(&mut self, from: ParticipantId, name: &Arc<str>, message: ClientMessage) {
        if self.phase == SessionState::Ended {
            return;
        }
        let refused = match message {
            ClientMessage::Execute(execute) => self.on_execute(name, execute),
            ClientMessage::Interrupt { id } => self.on_interrupt(name, id),
            ClientMessage::Input { id, text } => self.on_input(id, text),
            ClientMessage::Restart => {
                self.on_restart(name);
                Ok(())
            }
            ClientMessage::Query(query) => self.on_query(from, query),
            ClientMessage::Ping { fields } => {
                self.effects.push(Effect::Reply(from, Reply::Pong(fields)));
                Ok(())
            }
            ClientMessage::End => {
                self.end(EndReason::Requested, "the session was ended by its owner");
                Ok(())
            }
            // Credit is between the socket and its outbox.
            ClientMessage::Ack { .. } => Ok(()),
        };
        if let Err(refusal) = refused {
            self.effects.push(Effect::Reply(from, refusal.into()));
        }
    }

    /// The driver said something.
    pub fn on_driver(&mut self, event: DriverEvent) {
        if self.phase == SessionState::Ended {
            return;
        }
        match event {
            DriverEvent::Output { cell: 0, bytes, .. } => {
                let text = String::from_utf8_lossy(&bytes).into_owned();
                self.effects.push(Effect::Log(format!("output of no cell: {text}")));
            }
            DriverEvent::Output { cell, stream, late, bytes } => {
                self.on_output(cell, stream, late, bytes);
            }
            DriverEvent::Message { cell, late, json } => self.on_rich(cell, late, &json),
            DriverEvent::Done { cell, done } => self.on_done(cell, done),
            DriverEvent::Exited { cell, exited } => self.on_exited(cell, &exited),
            DriverEvent::Ready(_) => self.on_ready(),
            DriverEvent::Usage(usage) => self.on_usage(usage),
            DriverEvent::Reply { number, json } => {
                self.queries.on_reply(number, json.as_deref(), &mut self.effects);
            }
            // The actor hands these to whoever waits for them; they change nothing here.
            DriverEvent::File { .. } => {}
            DriverEvent::Log(line) => self.effects.push(Effect::Log(line)),
        }
    }

    /// The gateway shuts down: the session ends when the cells it has accepted have.
    pub fn on_drain(&mut self) {
        if self.phase == SessionState::Ended || std::mem::replace(&mut self.draining, true) {
            return;
        }
        if self.phase == SessionState::Idle {
            self.end(EndReason::Draining, DRAINED);
            return;
        }
        let text = "the gateway shuts down; cells that were accepted may still finish".to_owned();
        self.emit(Event::Notice { level: NoticeLevel::Warning, code: "draining", text });
    }

    /// The running cell's wall clock ran out.
    pub fn on_cell_timeout(&mut self) {
        self.stop_running(Stop::Timeout);
    }

    /// The sandbox, or the way to it, is gone.
    pub fn on_lost(&mut self, detail: &str) {
        self.end(EndReason::SandboxLost, detail);
    }

    /// Ends the session: every cell gets its `done`, everybody gets `ended`.
    pub fn end(&mut self, reason: EndReason, detail: &str) {
        if self.phase == SessionState::Ended {
            return;
        }
        let status = match reason {
            EndReason::SandboxLost | EndReason::InterpreterFailed => CellStatus::Lost,
            _ => CellStatus::Interrupted,
        };
        if let Some(running) = self.running.take() {
            self.finish(running, status, DoneUsage::default(), 0, false, Some(detail.to_owned()));
        }
        self.cancel_waiting("the session ended before the cell's turn came");
        self.queries.give_up(&mut self.effects);
        self.enter(SessionState::Ended);
        self.emit(Event::Ended { reason, detail: detail.to_owned() });
        self.effects.push(Effect::End);
    }

    fn on_execute(&mut self, by: &Arc<str>, execute: Execute) -> Result<(), Refusal> {
        let named = |refusal: Refusal| match &execute.id {
            Some(id) => refusal.of(id.clone()),
            None => refusal,
        };
        if self.draining {
            let message = "the gateway shuts down and takes no more cells";
            return Err(named(Refusal::new(ErrorCode::QueueFull, message)));
        }
        if self.waiting.len() >= self.rules.queue {
            let message = format!("{} cells wait already; try again later", self.rules.queue);
            return Err(named(Refusal::new(ErrorCode::QueueFull, message)));
        }
        let Some((number, id)) = self.names.add(execute.id.clone()) else {
            let message = "a cell of this id was accepted before; ids are used once";
            return Err(named(Refusal::new(ErrorCode::DuplicateId, message)));
        };
        let position = self.waiting.len() + usize::from(self.running.is_some());
        self.emit(Event::Queued { id: Arc::clone(&id), position, by: Arc::clone(by) });
        self.waiting.push_back(Waiting { number, id, by: Arc::clone(by), execute });
        self.start_next();
        Ok(())
    }

    fn on_interrupt(&mut self, by: &Arc<str>, id: Option<String>) -> Result<(), Refusal> {
        let Some(id) = id else {
            self.stop_running(Stop::Interrupt { by: Arc::clone(by) });
            return Ok(());
        };
        if self.running.as_ref().is_some_and(|running| *running.id == *id) {
            self.stop_running(Stop::Interrupt { by: Arc::clone(by) });
        } else if let Some(at) = self.waiting.iter().position(|cell| *cell.id == *id) {
            if let Some(cell) = self.waiting.remove(at) {
                self.cancel(cell, &format!("cancelled by {by}"));
            }
        } else if !self.names.knows(&id) {
            let message = "no cell of this id was accepted";
            return Err(Refusal::new(ErrorCode::NotRunning, message).of(id));
        }
        // A cell that has ended: somebody was faster, which is not an error.
        Ok(())
    }

    fn on_input(&mut self, id: String, text: Option<String>) -> Result<(), Refusal> {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Answer {
            Text { text: String },
            Eof { eof: bool },
        }
        let cell = self
            .asking
            .iter()
            .copied()
            .find(|number| self.names.name(*number).is_some_and(|name| **name == *id));
        let Some(cell) = cell else {
            let message = "this cell does not wait for input";
            return Err(Refusal::new(ErrorCode::NotRunning, message).of(id));
        };
        self.asking.remove(&cell);
        let answer = match text {
            Some(text) => Answer::Text { text },
            None => Answer::Eof { eof: true },
        };
        self.send_json(&answer, |json| DriverCommand::Input { cell, json });
        Ok(())
    }

    fn on_restart(&mut self, by: &Arc<str>) {
        self.cancel_waiting("the session was restarted before the cell's turn came");
        if self.phase == SessionState::Restarting {
            return;
        }
        if let Some(running) = &mut self.running {
            running.stop = Some(Stop::Restart);
            self.effects.push(Effect::DisarmTimer);
        }
        self.restart = Some(("asked for by a participant".to_owned(), Some(Arc::clone(by))));
        self.effects.push(Effect::Send(DriverCommand::Restart));
        self.enter(SessionState::Restarting);
    }

    fn on_query(&mut self, from: ParticipantId, query: Query) -> Result<(), Refusal> {
        self.queries.ask(from, query, self.phase, &mut self.effects)
    }

    fn start_next(&mut self) {
        if self.running.is_some() || self.phase == SessionState::Restarting {
            return;
        }
        let Some(cell) = self.waiting.pop_front() else {
            if self.draining {
                self.end(EndReason::Draining, DRAINED);
            } else {
                self.enter(SessionState::Idle);
            }
            return;
        };
        self.enter(SessionState::Busy);
        let execution_count = (!cell.execute.silent).then(|| {
            self.execution_count += 1;
            self.execution_count
        });
        let limits = [self.rules.timeout, cell.execute.timeout_ms.map(Duration::from_millis)];
        let timeout = limits.into_iter().flatten().min();
        if let Some(timeout) = timeout {
            self.effects.push(Effect::ArmTimer(timeout));
        }
        #[derive(Serialize)]
        struct Order<'a> {
            id: &'a str,
            code: &'a str,
            execution_count: Option<u32>,
            silent: bool,
            allow_input: bool,
            #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
            env: &'a std::collections::BTreeMap<String, String>,
        }
        let order = Order {
            id: &cell.id,
            code: &cell.execute.code,
            execution_count,
            silent: cell.execute.silent,
            allow_input: cell.execute.allow_input,
            env: &cell.execute.env,
        };
        let number = cell.number;
        self.send_json(&order, |json| DriverCommand::Execute { cell: number, json });
        let code = ByteString::from(cell.execute.code);
        let (id, by) = (Arc::clone(&cell.id), cell.by);
        self.emit(Event::Started { id, code, execution_count, by });
        self.running = Some(Running::new(
            number,
            cell.id,
            execution_count,
            timeout,
            cell.execute.stop_on_error,
        ));
    }

    fn on_output(&mut self, cell: u32, stream: Stream, late: bool, bytes: bytes::Bytes) {
        let Some(id) = self.names.name(cell).cloned() else { return };
        let mut spent = false;
        let text = match &mut self.running {
            Some(running) if running.number == cell => {
                let Some(text) = running.take_output(stream, bytes, self.rules.output_bytes) else {
                    self.stop_running(Stop::OutputLimit);
                    return;
                };
                spent = running.is_over_budget();
                text
            }
            _ => {
                let mut decoder = self.late.remove(&(cell, stream)).unwrap_or_default();
                let text = decoder.push(bytes);
                if decoder.holds_any() {
                    self.late.insert((cell, stream), decoder);
                }
                text
            }
        };
        self.emit_text(id, stream, text, late);
        if spent {
            self.stop_running(Stop::OutputLimit);
        }
    }

    fn emit_text(&mut self, id: Arc<str>, stream: Stream, text: ByteString, late: bool) {
        if text.is_empty() {
            return;
        }
        let output = crate::protocol::event::Output { id, text, late };
        self.emit(match stream {
            Stream::Stdout => Event::Stdout(output),
            Stream::Stderr => Event::Stderr(output),
        });
    }

    fn on_rich(&mut self, cell: u32, late: bool, json: &[u8]) {
        let Some(id) = self.names.name(cell).cloned() else { return };
        let execution_count = match &self.running {
            Some(running) if running.number == cell => running.execution_count,
            _ => None,
        };
        match message::read(id, execution_count, late, json) {
            Ok(event) => {
                if matches!(event, Event::InputRequest { .. }) {
                    self.asking.insert(cell);
                }
                self.emit(event);
            }
            Err(error) => self.effects.push(Effect::Log(format!("a runner's message: {error}"))),
        }
    }

    fn on_done(&mut self, cell: u32, done: Done) {
        let Some(running) = self.running.take_if(|running| running.number == cell) else {
            self.effects.push(Effect::Log(format!("a DONE for cell {cell}, which does not run")));
            return;
        };
        let (status, detail) = ending::of_done(&running, &done);
        let failed = status != CellStatus::Ok && running.stop_on_error;
        let usage = ending::usage(&done.usage);
        self.finish(running, status, usage, done.usage.duration_us, true, detail);
        if failed {
            self.cancel_waiting("an earlier cell with stop_on_error did not end ok");
        }
        self.queries.ask_again(&mut self.effects);
        self.start_next();
    }

    fn on_exited(&mut self, cell: u32, exited: &Exited) {
        let (status, detail) = ending::of_exit(self.running.as_ref(), exited);
        if let Some(running) = self.running.take_if(|running| running.number == cell) {
            let usage = ending::usage(&exited.usage);
            let duration = exited.usage.duration_us;
            self.finish(running, status, usage, duration, false, Some(detail.clone()));
        }
        self.late.clear();
        self.execution_count = 0;
        self.last_cpu_us = None;
        self.queries.give_up(&mut self.effects);
        if exited.cause != ExitCause::Restart {
            self.cancel_waiting("the interpreter ended before the cell's turn came");
        }
        if self.phase == SessionState::Restarting && exited.cause == ExitCause::Own {
            let text = format!("a fresh interpreter could not be started: {detail}");
            self.end(EndReason::InterpreterFailed, &text);
            return;
        }
        self.restart.get_or_insert((detail, None));
        self.enter(SessionState::Restarting);
    }

    fn on_ready(&mut self) {
        if self.phase != SessionState::Restarting {
            self.effects.push(Effect::Log("a READY that nothing asked for".to_owned()));
            return;
        }
        if let Some((reason, requested_by)) = self.restart.take() {
            self.emit(Event::Restarted { reason, requested_by });
        }
        // Neither idle nor busy, so that whichever comes now is told.
        self.phase = SessionState::Starting;
        self.queries.ask_again(&mut self.effects);
        self.start_next();
    }

    fn on_usage(&mut self, usage: Usage) {
        let before = self.last_cpu_us.replace(usage.cpu_us);
        let used = before.map_or(0, |before| usage.cpu_us.saturating_sub(before));
        self.emit(Event::Usage {
            memory_bytes: usage.memory_bytes,
            memory_limit_bytes: usage.memory_limit_bytes,
            // One USAGE a second: microseconds in it, as a percentage of a core.
            cpu_percent: used as f64 / 10_000.0,
            processes: usage.processes,
        });
    }

    fn stop_running(&mut self, stop: Stop) {
        let Some(running) = &mut self.running else { return };
        if running.stop.is_some() {
            return;
        }
        running.stop = Some(stop);
        let grace = self.rules.interrupt_grace;
        let command = DriverCommand::Interrupt { cell: running.number, grace };
        self.effects.extend([Effect::DisarmTimer, Effect::Send(command)]);
    }

    fn finish(
        &mut self,
        mut running: Running,
        status: CellStatus,
        usage: DoneUsage,
        duration_us: u64,
        state_kept: bool,
        detail: Option<String>,
    ) {
        if running.timeout.is_some() {
            self.effects.push(Effect::DisarmTimer);
        }
        for stream in [Stream::Stdout, Stream::Stderr] {
            let rest = running.decoder(stream).finish();
            self.emit_text(Arc::clone(&running.id), stream, rest, false);
            if let Some(omitted_bytes) = running.omitted(stream) {
                let id = Arc::clone(&running.id);
                self.emit(Event::Truncated { id, stream, omitted_bytes });
            }
        }
        self.asking.remove(&running.number);
        self.emit(Event::Done {
            id: running.id,
            status,
            execution_count: running.execution_count,
            duration_ms: duration_us as f64 / 1000.0,
            state_kept,
            usage,
            detail,
        });
    }

    fn cancel_waiting(&mut self, why: &str) {
        while let Some(cell) = self.waiting.pop_front() {
            self.cancel(cell, why);
        }
    }

    fn cancel(&mut self, cell: Waiting, why: &str) {
        self.emit(Event::Done {
            id: cell.id,
            status: CellStatus::Cancelled,
            execution_count: None,
            duration_ms: 0.0,
            state_kept: true,
            usage: DoneUsage::default(),
            detail: Some(why.to_owned()),
        });
    }

    fn enter(&mut self, phase: SessionState) {
        if self.phase != phase {
            self.phase = phase;
            self.emit(Event::Status { state: phase });
        }
    }

    fn emit(&mut self, event: Event) {
        self.effects.push(Effect::Emit(event));
    }

    fn send_json(
        &mut self,
        value: &impl Serialize,
        command: impl FnOnce(Vec<u8>) -> DriverCommand,
    ) {
        match serde_json::to_vec(value) {
            Ok(json) => self.effects.push(Effect::Send(command(json))),
            Err(error) => self.effects.push(Effect::Log(format!("cannot encode: {error}"))),
        }
    }
}

//! The rules of a session. Pure: it takes what happened and answers what is to be done.
//!
//! ```text
//!           execute                 done
//!   Idle ───────────────────────► Busy ─────────► Idle, or the next cell
//!    ▲                             │ exited, restart
//!    └─────── Restarting ◄─────────┘
//!     ready
//!   any ── link lost, ended ──► Ended
//! ```
//! Invariants: one cell runs at a time; each accepted cell gets exactly one `done`; nothing of a
//! cell follows its `done` but output marked `late`; whatever ends an interpreter cancels the
//! cells behind it, because what they build on is gone.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use serde::Serialize;

use crate::keys::KeyHolder;
use crate::link::{DriverCommand, DriverEvent};
use crate::memory::{Account, Charge};
use crate::protocol::client::{ClientMessage, Execute, Program};
use crate::protocol::comm::Comm;
use crate::protocol::event::{
    CellStatus, DoneUsage, EndReason, Event, NoticeLevel, SessionState, Stream,
};
use crate::protocol::reply::Reply;
use crate::session::names::Names;
use crate::tally::QuotaShare;

mod budget;
mod commands;
mod ending;
mod message;
mod queries;
mod reports;
mod running;

#[cfg(test)]
mod tests;

use queries::Queries;
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
    /// Call [`State::on_timer`] after this time, and not at an earlier one that was asked for.
    ArmTimer(Duration),
    /// Do not.
    DisarmTimer,
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

/// The state of one session.
#[derive(Debug)]
pub struct State {
    rules: Rules,
    phase: SessionState,
    names: Names,
    waiting: VecDeque<Waiting>,
    running: Option<Running>,
    execution_count: u32,
    /// The interpreter that lives, or lived last, has been ready: its end is followed by another.
    was_ready: bool,
    /// Why a fresh interpreter is being started, and who asked.
    restart: Option<(String, Option<Arc<str>>)>,
    /// Cells that wait for an answer of `input`.
    asking: HashSet<u32>,
    queries: Queries,
    /// Decoders of cells that have ended but still write.
    late: HashMap<(u32, Stream), crate::session::text::TextDecoder>,
    /// CPU time at the last USAGE, for the percentage.
    last_cpu_us: Option<u64>,
    /// Memory of the sandbox at the last USAGE, in bytes.
    last_memory: Option<u64>,
    /// People were told that memory runs out.
    memory_warned: bool,
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
            was_ready: true,
            restart: None,
            asking: HashSet::new(),
            queries: Queries::default(),
            late: HashMap::new(),
            last_cpu_us: None,
            last_memory: None,
            memory_warned: false,
            draining: false,
            effects: Vec::new(),
        }
    }

    /// What the session does now.
    pub fn phase(&self) -> SessionState {
        self.phase
    }

    /// Whether the driver has something to do that it will have to tell us about.
    pub fn expects_answer(&self) -> bool {
        use SessionState::{Ended, Idle};
        !matches!(self.phase, Idle | Ended) || !self.queries.is_empty()
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
            DriverEvent::Output { cell, stream, bytes } => self.on_output(cell, stream, bytes),
            DriverEvent::Message { cell: 0, json } => self.on_rich_of_no_cell(&json),
            DriverEvent::Message { cell, json } => self.on_rich(cell, &json),
            DriverEvent::Refused { cell } => self.on_refused(cell),
            DriverEvent::Done { cell, done } => self.on_done(cell, done),
            DriverEvent::Exited { cell, exited } => self.on_exited(cell, &exited),
            DriverEvent::Ready(_) => self.on_ready(),
            DriverEvent::Usage(usage) => self.on_usage(usage),
            DriverEvent::Reply { number, json } => {
                self.queries.on_reply(number, json.as_deref(), &mut self.effects);
            }
            // The actor hands these to the transfer that waits for them; they change nothing here.
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
        self.emit(Event::Notice { level: NoticeLevel::Warning, code: "draining".into(), text });
    }

    /// The time of [`Effect::ArmTimer`] has come: the running cell's wall clock ran out, or what
    /// the driver owes did not come.
    pub fn on_timer(&mut self) {
        let text = match (&self.running, self.phase) {
            (_, SessionState::Restarting) => {
                let limit = RESTART_TIME.as_secs();
                format!("the sandbox did not start a fresh interpreter within {limit} s")
            }
            (Some(Running { stop: Some(_), .. }), _) => {
                let limit = (self.rules.interrupt_grace + ANSWER_TIME).as_secs();
                format!("the sandbox did not answer an interrupt within {limit} s")
            }
            _ => return self.stop_running(Stop::Timeout),
        };
        self.end(EndReason::SandboxLost, &format!("{text} and was ended"));
    }

    /// Whether the driver owes an answer that must not wait behind output that no participant
    /// takes.
    pub fn awaits_answer(&self) -> bool {
        self.is_stopping() || self.phase == SessionState::Restarting
    }

    /// Whether the running cell was told to stop.
    pub fn is_stopping(&self) -> bool {
        self.running.as_ref().is_some_and(|running| running.stop.is_some())
    }

    /// The sandbox, or the way to it, is gone.
    pub fn on_lost(&mut self, detail: &str) {
        self.end(EndReason::SandboxLost, detail);
    }

    /// Ends the session: every cell gets its `done`, and `ended` is the last event.
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
    }

    /// Starts the cell that has waited longest, if the interpreter is there.
    fn start_next(&mut self) {
        if self.phase != SessionState::Restarting {
            self.run_next();
        }
    }

    fn run_next(&mut self) {
        if self.running.is_some() {
            // It was on its way while the interpreter before it ended, and runs in this one.
            self.enter(SessionState::Busy);
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
        let execution_count = cell.execute.is_counted().then(|| {
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
            #[serde(skip_serializing_if = "std::collections::BTreeMap::is_empty")]
            user_expressions: &'a std::collections::BTreeMap<String, String>,
            #[serde(skip_serializing_if = "Option::is_none")]
            program: Option<&'a Program>,
            #[serde(skip_serializing_if = "Option::is_none")]
            comm: Option<&'a Comm>,
        }
        let order = Order {
            id: &cell.id,
            code: &cell.execute.code,
            execution_count,
            silent: cell.execute.silent,
            allow_input: cell.execute.allow_input,
            env: &cell.execute.env,
            user_expressions: &cell.execute.user_expressions,
            program: cell.execute.program.as_ref(),
            comm: cell.execute.comm.as_deref(),
        };
        let number = cell.number;
        self.send_json(&order, |json| DriverCommand::Execute { cell: number, json });
        let code = ByteString::from(cell.execute.code);
        let (id, by) = (Arc::clone(&cell.id), cell.by);
        let comm_id = cell.execute.comm.map(|comm| comm.comm_id);
        let of_document = cell.cell.clone();
        self.emit(Event::Started { id, code, execution_count, by, comm_id, cell: of_document });
        let mut running = Running::new(
            number,
            cell.id,
            execution_count,
            timeout,
            cell.execute.stop_on_error,
            self.rules.output_bytes,
        );
        running.place = cell.place;
        running.cell = cell.cell;
        self.running = Some(running);
    }

    fn stop_running(&mut self, stop: Stop) {
        let Some(running) = &mut self.running else { return };
        if running.stop.is_some() {
            return;
        }
        running.stop = Some(stop);
        let grace = self.rules.interrupt_grace;
        let command = DriverCommand::Interrupt { cell: running.number, grace };
        self.effects.push(Effect::Send(command));
        // An interpreter that is not ready yet has its own time; after it comes the cell's.
        if self.phase != SessionState::Restarting {
            self.effects.push(Effect::ArmTimer(grace + ANSWER_TIME));
        }
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
        // A fresh interpreter that is on its way has the timer.
        let has_timer = running.timeout.is_some() || running.stop.is_some();
        if has_timer && self.phase != SessionState::Restarting {
            self.effects.push(Effect::DisarmTimer);
        }
        let (omitted, rest) = running.take_rest();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let omitted_bytes = omitted[stream as usize];
            if omitted_bytes > 0 {
                let id = Arc::clone(&running.id);
                self.emit(Event::Truncated { id, stream, omitted_bytes });
            }
        }
        for (stream, text) in rest {
            self.emit_text(Arc::clone(&running.id), stream, text, false);
        }
        if self.rules.output_bytes.is_some() {
            let (id, omitted) = (Arc::clone(&running.id), omitted != [0; 2]);
            self.effects.push(Effect::EndArchive { id, omitted });
        }
        self.asking.remove(&running.number);
        // Its memory is given back after the event has been made, which is charged by itself.
        let values = running.user_expressions.take().filter(|_| status == CellStatus::Ok);
        let (user_expressions, _charge) = values.unzip();
        self.emit(Event::Done {
            id: running.id,
            status,
            execution_count: running.execution_count,
            duration_ms: duration_us as f64 / 1000.0,
            state_kept,
            usage,
            detail,
            user_expressions,
            cell: running.cell,
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
            user_expressions: None,
            cell: cell.cell,
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

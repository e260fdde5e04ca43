//! The rules of one interpreter: its cells, one at a time, and its end.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytestring::ByteString;
use serde::Serialize;

use super::common::Common;
use super::queries::Queries;
use super::running::{Running, Stop};
use super::{ANSWER_TIME, Effect, Waiting};
use crate::link::DriverCommand;
use crate::protocol::client::Program;
use crate::protocol::comm::Comm;
use crate::protocol::event::{CellStatus, DoneUsage, Event, SessionState, Stream};
use crate::session::text::TextDecoder;

/// How a cell ended.
pub(super) struct CellEnd {
    pub(super) status: CellStatus,
    pub(super) usage: DoneUsage,
    pub(super) duration_us: u64,
    pub(super) state_kept: bool,
    pub(super) detail: Option<String>,
}

/// An interpreter of a session.
#[derive(Debug)]
pub(super) struct Interpreter {
    /// Its number on the wire. The session's first has 0.
    pub(super) program: u16,
    /// Its id, by which clients name it.
    pub(super) id: Arc<str>,
    /// What its cells are written in, as its template has it.
    pub(super) language: String,
    /// Who opened it; `None`: the session has it from its beginning.
    pub(super) opened_by: Option<Arc<str>>,
    pub(super) phase: SessionState,
    pub(super) waiting: VecDeque<Waiting>,
    pub(super) running: Option<Running>,
    pub(super) execution_count: u32,
    /// The interpreter that lives, or lived last, has been ready: its end is followed by another.
    pub(super) was_ready: bool,
    /// Whether clients were told that it is open.
    pub(super) is_open: bool,
    /// Set once it is to end for good: why.
    pub(super) closing: Option<String>,
    /// Why a fresh interpreter is being started, and who asked.
    pub(super) restart: Option<(String, Option<Arc<str>>)>,
    /// Cells that wait for an answer of `input`.
    pub(super) asking: HashSet<u32>,
    pub(super) queries: Queries,
    /// Decoders of cells that have ended but still write.
    pub(super) late: HashMap<(u32, Stream), TextDecoder>,
}

impl Interpreter {
    /// The first of a session: it is ready.
    pub(super) fn first(id: Arc<str>, language: String) -> Interpreter {
        Interpreter {
            phase: SessionState::Idle,
            was_ready: true,
            is_open: true,
            ..Interpreter::opened(0, id, language, None)
        }
    }

    /// One that is being started.
    pub(super) fn opened(
        program: u16,
        id: Arc<str>,
        language: String,
        opened_by: Option<Arc<str>>,
    ) -> Interpreter {
        Interpreter {
            program,
            id,
            language,
            opened_by,
            phase: SessionState::Restarting,
            waiting: VecDeque::new(),
            running: None,
            execution_count: 0,
            was_ready: false,
            is_open: false,
            closing: None,
            restart: None,
            asking: HashSet::new(),
            queries: Queries::default(),
            late: HashMap::new(),
        }
    }

    /// Its id where events name it: none for the session's first.
    pub(super) fn name(&self) -> Option<Arc<str>> {
        (self.program != 0).then(|| Arc::clone(&self.id))
    }

    /// Has the timer fire after this time.
    pub(super) fn arm_timer(&self, common: &mut Common, after: Duration) {
        common.effects.push(Effect::ArmTimer { program: self.program, after });
    }

    /// Gives up the time that was set.
    pub(super) fn disarm_timer(&self, common: &mut Common) {
        common.effects.push(Effect::DisarmTimer { program: self.program });
    }

    /// Starts the cell that has waited longest, if the interpreter is there.
    pub(super) fn start_next(&mut self, common: &mut Common) {
        if self.phase != SessionState::Restarting {
            self.run_next(common);
        }
    }

    pub(super) fn run_next(&mut self, common: &mut Common) {
        if self.running.is_some() {
            // It was on its way while the interpreter before it ended, and runs in this one.
            self.enter(common, SessionState::Busy);
            return;
        }
        let Some(cell) = self.waiting.pop_front() else {
            self.enter(common, SessionState::Idle);
            return;
        };
        self.enter(common, SessionState::Busy);
        let execution_count = cell.execute.is_counted().then(|| {
            self.execution_count += 1;
            self.execution_count
        });
        let limits = [common.rules.timeout, cell.execute.timeout_ms.map(Duration::from_millis)];
        let timeout = limits.into_iter().flatten().min();
        if let Some(timeout) = timeout {
            self.arm_timer(common, timeout);
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
        common
            .send_json(self.program, &order, |json| DriverCommand::Execute { cell: number, json });
        let code = ByteString::from(cell.execute.code);
        let (id, by) = (Arc::clone(&cell.id), cell.by);
        let comm_id = cell.execute.comm.map(|comm| comm.comm_id);
        let of_document = cell.cell.clone();
        common.emit(Event::Started {
            id,
            code,
            execution_count,
            by,
            comm_id,
            cell: of_document,
            interpreter: self.name(),
        });
        let mut running = Running::new(
            number,
            cell.id,
            execution_count,
            timeout,
            cell.execute.stop_on_error,
            common.rules.output_bytes,
        );
        running.place = cell.place;
        running.cell = cell.cell;
        self.running = Some(running);
    }

    pub(super) fn stop_running(&mut self, common: &mut Common, stop: Stop) {
        let Some(running) = &mut self.running else { return };
        if running.stop.is_some() {
            return;
        }
        running.stop = Some(stop);
        let grace = common.rules.interrupt_grace;
        let command = DriverCommand::Interrupt { cell: running.number, grace };
        common.send(self.program, command);
        // An interpreter that is not ready yet has its own time; after it comes the cell's.
        if self.phase != SessionState::Restarting {
            self.arm_timer(common, grace + ANSWER_TIME);
        }
    }

    /// Tells that a cell has ended.
    pub(super) fn finish(&mut self, common: &mut Common, mut running: Running, end: CellEnd) {
        let CellEnd { status, usage, duration_us, state_kept, detail } = end;
        // A fresh interpreter that is on its way has the timer.
        let has_timer = running.timeout.is_some() || running.stop.is_some();
        if has_timer && self.phase != SessionState::Restarting {
            self.disarm_timer(common);
        }
        let (omitted, rest) = running.take_rest();
        for stream in [Stream::Stdout, Stream::Stderr] {
            let omitted_bytes = omitted[stream as usize];
            if omitted_bytes > 0 {
                let id = Arc::clone(&running.id);
                common.emit(Event::Truncated { id, stream, omitted_bytes });
            }
        }
        for (stream, text) in rest {
            common.emit_text(Arc::clone(&running.id), stream, text, false);
        }
        if common.rules.output_bytes.is_some() {
            let (id, omitted) = (Arc::clone(&running.id), omitted != [0; 2]);
            common.effects.push(Effect::EndArchive { id, omitted });
        }
        self.asking.remove(&running.number);
        // Its memory is given back after the event has been made, which is charged by itself.
        let values = running.user_expressions.take().filter(|_| status == CellStatus::Ok);
        let (user_expressions, _charge) = values.unzip();
        common.emit(Event::Done {
            id: running.id,
            status,
            execution_count: running.execution_count,
            duration_ms: duration_us as f64 / 1000.0,
            state_kept,
            usage,
            detail,
            user_expressions,
            cell: running.cell,
            files_changed: running.files_changed,
            more: running.more_files_changed,
        });
    }

    pub(super) fn cancel_waiting(&mut self, common: &mut Common, why: &str) {
        while let Some(cell) = self.waiting.pop_front() {
            cancel(common, cell, why);
        }
    }

    pub(super) fn enter(&mut self, common: &mut Common, phase: SessionState) {
        self.phase = phase;
        common.set_phase(self.program, phase);
    }
}

/// Takes a cell that waited out of the queue, for good.
pub(super) fn cancel(common: &mut Common, cell: Waiting, why: &str) {
    common.emit(Event::Done {
        id: cell.id,
        status: CellStatus::Cancelled,
        execution_count: None,
        duration_ms: 0.0,
        state_kept: true,
        usage: DoneUsage::default(),
        detail: Some(why.to_owned()),
        user_expressions: None,
        cell: cell.cell,
        files_changed: Vec::new(),
        more: false,
    });
}

//! What participants ask of one interpreter.

use std::sync::Arc;

use serde::Serialize;

use super::common::Common;
use super::interpreter::{CellEnd, Interpreter, cancel};
use super::running::Stop;
use super::{ParticipantId, RESTART_TIME, Waiting};
use crate::keys::KeyHolder;
use crate::link::DriverCommand;
use crate::protocol::client::{Execute, Query};
use crate::protocol::event::{CellStatus, DoneUsage, Event, SessionState};
use crate::protocol::refusal::{ErrorCode, Refusal};

/// Most bytes of code, environment and messages on comms that the cells of one session may wait with. One cell may
/// wait whatever its size.
const QUEUE_BYTES: usize = 16 << 20; // 16 MiB

impl Interpreter {
    pub(super) fn on_execute(
        &mut self,
        common: &mut Common,
        by: &Arc<str>,
        execute: Execute,
    ) -> Result<(), Refusal> {
        let named = |refusal: Refusal| match &execute.id {
            Some(id) => refusal.of(id.clone()),
            None => refusal,
        };
        if common.draining {
            let message = "the gateway shuts down and takes no more cells";
            return Err(named(Refusal::new(ErrorCode::QueueFull, message)));
        }
        if self.waiting.len() >= common.rules.queue {
            let message = format!("{} cells wait already; try again later", common.rules.queue);
            return Err(named(Refusal::new(ErrorCode::QueueFull, message)));
        }
        if common.rules.key_holder.is_some() && !execute.env.is_empty() {
            let message = "a session that was made with a publishable key takes no `env`; set what \
                           the code needs in `os.environ`";
            return Err(named(Refusal::new(ErrorCode::Forbidden, message)));
        }
        let bytes = execute.bytes();
        let waiting: usize = self.waiting.iter().map(|cell| cell.charge.bytes()).sum();
        if waiting + bytes > QUEUE_BYTES && !self.waiting.is_empty() {
            let message = format!(
                "the cells that wait have {waiting} bytes, of {QUEUE_BYTES} that they may have; \
                 try again when some of them have ended"
            );
            return Err(named(Refusal::new(ErrorCode::QueueFull, message)));
        }
        let charge = match common.rules.memory.try_charge(bytes) {
            Ok(charge) => charge,
            Err(exhausted) => {
                return Err(named(Refusal::new(ErrorCode::QueueFull, exhausted.to_string())));
            }
        };
        let place = match common.rules.key_holder.as_ref().map(KeyHolder::take_cell).transpose() {
            Ok(place) => place,
            Err(taken) => {
                return Err(named(Refusal::new(ErrorCode::QueueFull, taken.to_string())));
            }
        };
        let Some((number, id)) = common.names.add(execute.id.clone(), self.program) else {
            let message = "a cell of this id was accepted before; ids are used once";
            return Err(named(Refusal::new(ErrorCode::DuplicateId, message)));
        };
        let cell: Option<Arc<str>> = execute.cell.as_deref().map(Arc::from);
        let position = self.waiting.len() + usize::from(self.running.is_some());
        // Messages on comms are many and short: clients are not told that one waits.
        if execute.comm.is_none() {
            let (id, by, cell) = (Arc::clone(&id), Arc::clone(by), cell.clone());
            common.emit(Event::Queued { id, position, by, cell, interpreter: self.name() });
        }
        let by = Arc::clone(by);
        self.waiting.push_back(Waiting { number, id, cell, by, execute, charge, place });
        self.start_next(common);
        Ok(())
    }

    /// Stops the cell that runs.
    pub(super) fn interrupt(&mut self, common: &mut Common, by: &Arc<str>) {
        self.stop_running(common, Stop::Interrupt { by: Arc::clone(by) });
    }

    /// Stops the cell of this id, or takes it out of the queue. False: it is not one of this interpreter's that has
    /// not ended.
    pub(super) fn interrupt_cell(&mut self, common: &mut Common, by: &Arc<str>, id: &str) -> bool {
        if self.running.as_ref().is_some_and(|running| *running.id == *id) {
            self.interrupt(common, by);
            return true;
        }
        let waiting = self.waiting.iter().position(|cell| *cell.id == *id);
        let Some(cell) = waiting.and_then(|at| self.waiting.remove(at)) else { return false };
        cancel(common, cell, &format!("cancelled by {by}"));
        true
    }

    /// Answers the cell of this id. False: it does not wait for input, or is none of this interpreter's.
    pub(super) fn input(&mut self, common: &mut Common, id: &str, text: &Option<String>) -> bool {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Answer<'a> {
            Text { text: &'a str },
            Eof { eof: bool },
        }
        let cell = self.asking.iter().copied().find(|number| {
            common.names.name(*number, self.program).is_some_and(|name| **name == *id)
        });
        let Some(cell) = cell else { return false };
        self.asking.remove(&cell);
        let answer = match text {
            Some(text) => Answer::Text { text },
            None => Answer::Eof { eof: true },
        };
        common.send_json(self.program, &answer, |json| DriverCommand::Input { cell, json });
        true
    }

    pub(super) fn restart(&mut self, common: &mut Common, by: &Arc<str>) {
        self.cancel_waiting(common, "the session was restarted before the cell's turn came");
        if self.phase == SessionState::Restarting {
            return;
        }
        if let Some(running) = &mut self.running {
            running.stop = Some(Stop::Restart);
        }
        self.restart = Some(("asked for by a participant".to_owned(), Some(Arc::clone(by))));
        common.send(self.program, DriverCommand::Restart);
        self.arm_timer(common, RESTART_TIME);
        self.enter(common, SessionState::Restarting);
    }

    /// Ends the interpreter for good.
    pub(super) fn close(&mut self, common: &mut Common, why: String) {
        self.cancel_waiting(common, &why);
        if self.closing.is_some() {
            return;
        }
        if let Some(running) = &mut self.running {
            running.stop = Some(Stop::Restart);
        }
        self.closing = Some(why);
        common.send(self.program, DriverCommand::Close);
        self.arm_timer(common, RESTART_TIME);
        self.enter(common, SessionState::Restarting);
    }

    pub(super) fn on_query(
        &mut self,
        common: &mut Common,
        from: ParticipantId,
        query: Query,
    ) -> Result<(), Refusal> {
        let Common { rules, effects, .. } = common;
        self.queries.ask(from, query, self.program, self.phase, &rules.memory, effects)
    }

    /// The session is over: each of its cells gets its `done`.
    pub(super) fn end(&mut self, common: &mut Common, status: CellStatus, detail: &str) {
        if let Some(running) = self.running.take() {
            let detail = Some(detail.to_owned());
            let usage = DoneUsage::default();
            let end = CellEnd { status, usage, duration_us: 0, state_kept: false, detail };
            self.finish(common, running, end);
        }
        self.cancel_waiting(common, "the session ended before the cell's turn came");
        self.queries.give_up(&mut common.effects);
    }
}

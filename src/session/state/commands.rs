//! What participants ask for.

use std::sync::Arc;

use serde::Serialize;

use super::running::Stop;
use super::{Effect, ParticipantId, RESTART_TIME, State, Waiting};
use crate::keys::KeyHolder;
use crate::link::DriverCommand;
use crate::protocol::client::{Execute, Query};
use crate::protocol::event::{Event, SessionState};
use crate::protocol::refusal::{ErrorCode, Refusal};

/// Most bytes of code, environment and messages on comms that the cells of one session may wait with. One cell may
/// wait whatever its size.
const QUEUE_BYTES: usize = 16 << 20; // 16 MiB

impl State {
    pub(super) fn on_execute(&mut self, by: &Arc<str>, execute: Execute) -> Result<(), Refusal> {
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
        if self.rules.key_holder.is_some() && !execute.env.is_empty() {
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
        let charge = match self.rules.memory.try_charge(bytes) {
            Ok(charge) => charge,
            Err(exhausted) => {
                return Err(named(Refusal::new(ErrorCode::QueueFull, exhausted.to_string())));
            }
        };
        let place = match self.rules.key_holder.as_ref().map(KeyHolder::take_cell).transpose() {
            Ok(place) => place,
            Err(taken) => {
                return Err(named(Refusal::new(ErrorCode::QueueFull, taken.to_string())));
            }
        };
        let Some((number, id)) = self.names.add(execute.id.clone()) else {
            let message = "a cell of this id was accepted before; ids are used once";
            return Err(named(Refusal::new(ErrorCode::DuplicateId, message)));
        };
        let cell: Option<Arc<str>> = execute.cell.as_deref().map(Arc::from);
        let position = self.waiting.len() + usize::from(self.running.is_some());
        // Messages on comms are many and short: clients are not told that one waits.
        if execute.comm.is_none() {
            let (id, by, cell) = (Arc::clone(&id), Arc::clone(by), cell.clone());
            self.emit(Event::Queued { id, position, by, cell });
        }
        let by = Arc::clone(by);
        self.waiting.push_back(Waiting { number, id, cell, by, execute, charge, place });
        self.start_next();
        Ok(())
    }

    pub(super) fn on_interrupt(
        &mut self,
        by: &Arc<str>,
        id: Option<String>,
    ) -> Result<(), Refusal> {
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
        // A cell that has ended: another participant was faster, which is not an error.
        Ok(())
    }

    pub(super) fn on_input(&mut self, id: String, text: Option<String>) -> Result<(), Refusal> {
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

    pub(super) fn on_restart(&mut self, by: &Arc<str>) {
        self.cancel_waiting("the session was restarted before the cell's turn came");
        if self.phase == SessionState::Restarting {
            return;
        }
        if let Some(running) = &mut self.running {
            running.stop = Some(Stop::Restart);
        }
        self.restart = Some(("asked for by a participant".to_owned(), Some(Arc::clone(by))));
        let answered = Effect::ArmTimer(RESTART_TIME);
        self.effects.extend([Effect::Send(DriverCommand::Restart), answered]);
        self.enter(SessionState::Restarting);
    }

    pub(super) fn on_query(&mut self, from: ParticipantId, query: Query) -> Result<(), Refusal> {
        let memory = &self.rules.memory;
        self.queries.ask(from, query, self.phase, memory, &mut self.effects)
    }
}

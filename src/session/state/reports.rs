//! What the driver reports.

use std::sync::Arc;

use bytestring::ByteString;
use cellgate_driver::wire::{Done, ExitCause, Exited};

use super::common::Common;
use super::interpreter::{CellEnd, Interpreter};
use super::message::Message;
use super::running::Stop;
use super::{ANSWER_TIME, Effect, RESTART_TIME, ending, message};
use crate::memory::Exhausted;
use crate::protocol::comm::JsonObject;
use crate::protocol::event::{CellStatus, Event, NoticeLevel, SessionState, Stream};
use crate::protocol::shorten::shorten;

/// Longest sentence about an interpreter's end, in bytes, with the place where it hung.
const DETAIL_BYTES: usize = 16 << 10; // 16 KiB

/// Streams of ended cells of which the beginning of a character is remembered until its rest comes.
/// Each needs a thread or a child that outlived its cell.
const LATE_DECODERS: usize = 256;

impl Interpreter {
    /// The name of a cell that runs or has run; of no other may a driver say anything.
    fn begun(&self, common: &Common, cell: u32) -> Option<Arc<str>> {
        let waits = || self.waiting.iter().any(|waiting| waiting.number == cell);
        if !self.runs(cell) && waits() {
            return None;
        }
        common.names.name(cell, self.program).cloned()
    }

    fn runs(&self, cell: u32) -> bool {
        self.running.as_ref().is_some_and(|running| running.number == cell)
    }

    pub(super) fn on_output(
        &mut self,
        common: &mut Common,
        cell: u32,
        stream: Stream,
        bytes: bytes::Bytes,
    ) {
        let Some(id) = self.begun(common, cell) else { return };
        // Whatever the driver calls it: what comes of a cell that does not run is late.
        let late = !self.runs(cell);
        let text = match &mut self.running {
            Some(running) if running.number == cell => {
                if common.rules.output_bytes.is_some() {
                    let room = common.rules.most_output().saturating_sub(running.written());
                    let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                    if room > 0 {
                        let (id, bytes) = (Arc::clone(&id), bytes.slice(..room));
                        common.effects.push(Effect::Archive { id, bytes });
                    }
                }
                running.take_output(stream, bytes)
            }
            _ => {
                let mut decoder = self.late.remove(&(cell, stream)).unwrap_or_default();
                let text = decoder.push(bytes);
                if !decoder.holds_any() {
                    text
                } else if self.late.len() < LATE_DECODERS {
                    self.late.insert((cell, stream), decoder);
                    text
                } else {
                    // Of so many at once, the character is told as a broken one.
                    ByteString::from([&*text, &*decoder.finish()].concat())
                }
            }
        };
        common.emit_text(id, stream, text, late);
        self.look_at_budget(common);
    }

    /// Tells of a budget that is spent, and stops a cell that has written more than is kept.
    fn look_at_budget(&mut self, common: &mut Common) {
        let (Some(running), Some(budget)) = (&mut self.running, common.rules.output_bytes) else {
            return;
        };
        let most = common.rules.most_output();
        if running.written() > most {
            self.stop_running(common, Stop::OutputLimit { most });
        } else if running.begins_to_hold_back() {
            let text = format!(
                "cell {} has written most of the {budget} bytes that are shown of its output; the \
                 end of what follows is shown when it ends, and all of it is kept to be downloaded",
                running.id
            );
            common.emit(Event::Notice {
                level: NoticeLevel::Info,
                code: "output_budget".into(),
                text,
            });
        }
    }

    pub(super) fn on_rich(&mut self, common: &mut Common, cell: u32, json: &[u8]) {
        let Some(id) = self.begun(common, cell) else { return };
        let late = !self.runs(cell);
        let execution_count = match &self.running {
            Some(running) if running.number == cell => running.execution_count,
            _ => None,
        };
        match message::read(Arc::clone(&id), execution_count, late, json) {
            // Of a cell that has ended there is nothing left to say but what its threads show and
            // say on comms.
            Ok(said) if late && !outlives_cell(&said) => {
                let line = format!("a message of cell {cell}, which has ended");
                common.effects.push(Effect::Log(line));
            }
            Ok(Message::UserExpressions(values)) => self.keep_expressions(common, &id, values),
            Ok(Message::Detail(text)) => {
                if let Some(running) = &mut self.running {
                    running.detail = Some(text);
                }
            }
            Ok(Message::Event(event)) => {
                if matches!(event, Event::InputRequest { .. }) {
                    self.asking.insert(cell);
                }
                common.emit(event);
            }
            Err(error) => tell_unreadable(common, Some(&id), &error.why()),
        }
    }

    /// Keeps the values of the running cell's expressions until its end.
    fn keep_expressions(&mut self, common: &mut Common, id: &str, values: JsonObject) {
        match (common.rules.memory.try_charge(values.get().len()), &mut self.running) {
            (Ok(charge), Some(running)) => running.user_expressions = Some((values, charge)),
            (Err(exhausted), _) => tell_unreadable(common, Some(id), &exhausted.to_string()),
            (Ok(_), None) => {}
        }
    }

    /// A message of code that runs in the background while no cell does.
    pub(super) fn on_rich_of_no_cell(&mut self, common: &mut Common, json: &[u8]) {
        match message::read_of_no_cell(json) {
            Ok(event) => common.emit(event),
            Err(error) => tell_unreadable(common, None, &error.why()),
        }
    }

    /// The link did not keep a message, because the gateway's memory has no room for it.
    pub(super) fn on_refused(&mut self, common: &mut Common, cell: u32) {
        let id = self.begun(common, cell);
        if id.is_some() || cell == 0 {
            tell_unreadable(common, id.as_deref(), &Exhausted.to_string());
        }
    }

    /// Files that a cell has made or changed, which its end tells.
    pub(super) fn on_files_changed(&mut self, cell: u32, files: Vec<String>, more: bool) {
        if let Some(running) = self.running.as_mut().filter(|running| running.number == cell) {
            (running.files_changed, running.more_files_changed) = (files, more);
        }
    }

    pub(super) fn on_done(&mut self, common: &mut Common, cell: u32, done: Done) {
        let Some(mut running) = self.running.take_if(|running| running.number == cell) else {
            common.log(format!("a DONE for cell {cell}, which does not run"));
            return;
        };
        let (status, detail) = ending::of_done(&running, &done);
        let mut detail = detail.or(running.detail.take());
        if done.memory_kills > 0 {
            let text = ending::memory_kills(done.memory_kills, common.rules.memory_bytes);
            let code = "process_killed";
            common.emit(Event::Notice {
                level: NoticeLevel::Warning,
                code: code.into(),
                text: text.clone(),
            });
            detail = Some(detail.map_or(text.clone(), |detail| format!("{detail}; {text}")));
        }
        let failed = status != CellStatus::Ok && running.stop_on_error;
        let usage = ending::usage(&done.usage);
        let duration_us = done.usage.duration_us;
        let end = CellEnd { status, usage, duration_us, state_kept: true, detail };
        self.finish(common, running, end);
        if failed {
            self.cancel_waiting(common, "an earlier cell with stop_on_error did not end ok");
        }
        self.start_next(common);
    }

    /// The interpreter ended. Answers why it is not replaced, if it is not.
    pub(super) fn on_exited(
        &mut self,
        common: &mut Common,
        cell: u32,
        exited: &Exited,
    ) -> Option<String> {
        let (status, detail) = ending::of_exit(self.running.as_ref(), exited);
        let detail = self.closing.clone().unwrap_or(detail);
        let detail = shorten(detail, DETAIL_BYTES);
        if let Some(running) = self.running.take_if(|running| running.number == cell) {
            let usage = ending::usage(&exited.usage);
            let (duration_us, detail) = (exited.usage.duration_us, Some(detail.clone()));
            let end = CellEnd { status, usage, duration_us, state_kept: false, detail };
            self.finish(common, running, end);
        }
        self.late.clear();
        self.execution_count = 0;
        self.queries.give_up(&mut common.effects);
        if self.closing.is_some() {
            return self.closing.clone();
        }
        if exited.cause != ExitCause::Restart {
            self.cancel_waiting(common, "the interpreter ended before the cell's turn came");
        }
        // An interpreter that ended before it was ready is not replaced, unless a participant asked
        // for it.
        let was_ready = std::mem::replace(&mut self.was_ready, false);
        if !was_ready && exited.cause != ExitCause::Restart {
            let what = if self.is_open { "a fresh interpreter" } else { "the interpreter" };
            return Some(format!("{what} could not be started: {detail}"));
        }
        self.restart.get_or_insert((detail, None));
        self.enter(common, SessionState::Restarting);
        self.arm_timer(common, RESTART_TIME);
        None
    }

    /// The interpreter is ready, and has introduced itself.
    pub(super) fn on_ready(&mut self, common: &mut Common, introduction: &[u8]) {
        if self.phase != SessionState::Restarting {
            common.effects.push(Effect::Log("a READY that nothing asked for".to_owned()));
            return;
        }
        self.was_ready = true;
        // A cell that was on its way while the interpreter before this one ended begins now.
        let running = self.running.as_ref();
        let stops = running.is_some_and(|running| running.stop.is_some());
        let limit = running.and_then(|running| running.timeout);
        let limit = if stops { Some(common.rules.interrupt_grace + ANSWER_TIME) } else { limit };
        match limit {
            Some(limit) => self.arm_timer(common, limit),
            None => self.disarm_timer(common),
        }
        if !std::mem::replace(&mut self.is_open, true) {
            common.emit(self.opened_event(introduction));
        }
        if let Some((reason, requested_by)) = self.restart.take() {
            common.emit(Event::Restarted { reason, requested_by, interpreter: self.name() });
        }
        self.run_next(common);
    }
}

/// Tells that a message of the cell `id`, or of none, is not passed on.
fn tell_unreadable(common: &mut Common, id: Option<&str>, why: &str) {
    let what = match id {
        Some(id) => format!("something that cell {id} shows"),
        None => "something that code in the background sends".to_owned(),
    };
    let text = format!("{what} cannot be passed on: {why}");
    common.emit(Event::Notice { level: NoticeLevel::Warning, code: "unreadable".into(), text });
}

/// Whether a thread that has outlived its cell may cause this.
fn outlives_cell(said: &Message) -> bool {
    use Event::{CommClose, CommMsg, CommOpen, Display};
    let Message::Event(event) = said else { return false };
    matches!(event, Display { .. } | CommOpen(_) | CommMsg(_) | CommClose(_))
}

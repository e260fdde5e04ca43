//! What the driver reports.

use std::sync::Arc;

use bytestring::ByteString;
use cellgate_driver::wire::{Done, ExitCause, Exited, Usage};

use super::message::Message;
use super::running::Stop;
use super::{ANSWER_TIME, Effect, RESTART_TIME, State, ending, message};
use crate::memory::Exhausted;
use crate::protocol::comm::JsonObject;
use crate::protocol::event::{
    CellStatus, EndReason, Event, NoticeLevel, Output, SessionState, Stream,
};
use crate::protocol::shorten::shorten;

/// Longest sentence about an interpreter's end, in bytes, with the place where it hung.
const DETAIL_BYTES: usize = 16 << 10; // 16 KiB

/// Streams of ended cells of which the beginning of a character is remembered until its rest comes.
/// Each needs a thread or a child that outlived its cell.
const LATE_DECODERS: usize = 256;

/// Memory in use at which people are warned: early enough to save something.
const MEMORY_HIGH_PERCENT: u64 = 80;

/// Memory in use below which a later rise is news again.
const MEMORY_CALM_PERCENT: u64 = 70;

impl State {
    /// The name of a cell that runs or has run; of no other may a driver say anything.
    fn begun(&self, cell: u32) -> Option<Arc<str>> {
        let waits = || self.waiting.iter().any(|waiting| waiting.number == cell);
        if !self.runs(cell) && waits() {
            return None;
        }
        self.names.name(cell).cloned()
    }

    fn runs(&self, cell: u32) -> bool {
        self.running.as_ref().is_some_and(|running| running.number == cell)
    }

    pub(super) fn on_output(&mut self, cell: u32, stream: Stream, bytes: bytes::Bytes) {
        let Some(id) = self.begun(cell) else { return };
        // Whatever the driver calls it: what comes of a cell that does not run is late.
        let late = !self.runs(cell);
        let text = match &mut self.running {
            Some(running) if running.number == cell => {
                if self.rules.output_bytes.is_some() {
                    let room = self.rules.most_output().saturating_sub(running.written());
                    let room = usize::try_from(room).unwrap_or(usize::MAX).min(bytes.len());
                    if room > 0 {
                        let (id, bytes) = (Arc::clone(&id), bytes.slice(..room));
                        self.effects.push(Effect::Archive { id, bytes });
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
        self.emit_text(id, stream, text, late);
        self.look_at_budget();
    }

    /// Tells of a budget that is spent, and stops a cell that has written more than is kept.
    fn look_at_budget(&mut self) {
        let (Some(running), Some(budget)) = (&mut self.running, self.rules.output_bytes) else {
            return;
        };
        let most = self.rules.most_output();
        if running.written() > most {
            self.stop_running(Stop::OutputLimit { most });
        } else if running.begins_to_hold_back() {
            let text = format!(
                "cell {} has written most of the {budget} bytes that are shown of its output; the \
                 end of what follows is shown when it ends, and all of it is kept to be downloaded",
                running.id
            );
            self.emit(Event::Notice {
                level: NoticeLevel::Info,
                code: "output_budget".into(),
                text,
            });
        }
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

    pub(super) fn on_rich(&mut self, cell: u32, json: &[u8]) {
        let Some(id) = self.begun(cell) else { return };
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
                self.effects.push(Effect::Log(line));
            }
            Ok(Message::UserExpressions(values)) => self.keep_expressions(&id, values),
            Ok(Message::Detail(text)) => {
                if let Some(running) = &mut self.running {
                    running.detail = Some(text);
                }
            }
            Ok(Message::Event(event)) => {
                if matches!(event, Event::InputRequest { .. }) {
                    self.asking.insert(cell);
                }
                self.emit(event);
            }
            Err(error) => self.tell_unreadable(Some(&id), &error.why()),
        }
    }

    /// Keeps the values of the running cell's expressions until its end.
    fn keep_expressions(&mut self, id: &str, values: JsonObject) {
        match (self.rules.memory.try_charge(values.get().len()), &mut self.running) {
            (Ok(charge), Some(running)) => running.user_expressions = Some((values, charge)),
            (Err(exhausted), _) => self.tell_unreadable(Some(id), &exhausted.to_string()),
            (Ok(_), None) => {}
        }
    }

    /// A message of code that runs in the background while no cell does.
    pub(super) fn on_rich_of_no_cell(&mut self, json: &[u8]) {
        match message::read_of_no_cell(json) {
            Ok(event) => self.emit(event),
            Err(error) => self.tell_unreadable(None, &error.why()),
        }
    }

    /// Tells that a message of the cell `id`, or of none, is not passed on.
    fn tell_unreadable(&mut self, id: Option<&str>, why: &str) {
        let what = match id {
            Some(id) => format!("something that cell {id} shows"),
            None => "something that code in the background sends".to_owned(),
        };
        let text = format!("{what} cannot be passed on: {why}");
        self.emit(Event::Notice { level: NoticeLevel::Warning, code: "unreadable".into(), text });
    }

    /// The link did not keep a message, because the gateway's memory has no room for it.
    pub(super) fn on_refused(&mut self, cell: u32) {
        let id = self.begun(cell);
        if id.is_some() || cell == 0 {
            self.tell_unreadable(id.as_deref(), &Exhausted.to_string());
        }
    }

    pub(super) fn on_done(&mut self, cell: u32, done: Done) {
        let Some(mut running) = self.running.take_if(|running| running.number == cell) else {
            self.effects.push(Effect::Log(format!("a DONE for cell {cell}, which does not run")));
            return;
        };
        let (status, detail) = ending::of_done(&running, &done);
        let mut detail = detail.or(running.detail.take());
        if done.memory_kills > 0 {
            let text = ending::memory_kills(done.memory_kills, self.rules.memory_bytes);
            let code = "process_killed";
            self.emit(Event::Notice {
                level: NoticeLevel::Warning,
                code: code.into(),
                text: text.clone(),
            });
            detail = Some(detail.map_or(text.clone(), |detail| format!("{detail}; {text}")));
        }
        let failed = status != CellStatus::Ok && running.stop_on_error;
        let usage = ending::usage(&done.usage);
        self.finish(running, status, usage, done.usage.duration_us, true, detail);
        if failed {
            self.cancel_waiting("an earlier cell with stop_on_error did not end ok");
        }
        self.start_next();
    }

    pub(super) fn on_exited(&mut self, cell: u32, exited: &Exited) {
        let (status, detail) = ending::of_exit(self.running.as_ref(), exited);
        let detail = shorten(detail, DETAIL_BYTES);
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
        // An interpreter that ended before it was ready is not replaced, unless a participant asked
        // for it.
        let was_ready = std::mem::replace(&mut self.was_ready, false);
        if !was_ready && exited.cause != ExitCause::Restart {
            let text = format!("a fresh interpreter could not be started: {detail}");
            self.end(EndReason::InterpreterFailed, &text);
            return;
        }
        self.restart.get_or_insert((detail, None));
        self.enter(SessionState::Restarting);
        self.effects.push(Effect::ArmTimer(RESTART_TIME));
    }

    pub(super) fn on_ready(&mut self) {
        if self.phase != SessionState::Restarting {
            self.effects.push(Effect::Log("a READY that nothing asked for".to_owned()));
            return;
        }
        self.was_ready = true;
        // A cell that was on its way while the interpreter before this one ended begins now.
        let running = self.running.as_ref();
        let stops = running.is_some_and(|running| running.stop.is_some());
        let limit = running.and_then(|running| running.timeout);
        let limit = if stops { Some(self.rules.interrupt_grace + ANSWER_TIME) } else { limit };
        self.effects.push(limit.map_or(Effect::DisarmTimer, Effect::ArmTimer));
        if let Some((reason, requested_by)) = self.restart.take() {
            self.emit(Event::Restarted { reason, requested_by });
        }
        self.run_next();
    }

    /// Says that memory runs out before it has: once, until there is clearly room again.
    fn warn_of_memory(&mut self, usage: &Usage) {
        let limit = usage.memory_limit_bytes;
        let percent = (usage.memory_bytes.saturating_mul(100)).checked_div(limit).unwrap_or(0);
        if percent < MEMORY_CALM_PERCENT {
            self.memory_warned = false;
        } else if percent >= MEMORY_HIGH_PERCENT && !self.memory_warned {
            self.memory_warned = true;
            let text = format!(
                "{percent} % of the sandbox's memory is in use: {} of {} MiB; at the limit the \
                 interpreter ends",
                usage.memory_bytes >> 20,
                limit >> 20,
            );
            self.emit(Event::Notice {
                level: NoticeLevel::Warning,
                code: "memory_high".into(),
                text,
            });
        }
    }

    /// Memory of the sandbox in bytes, by its newest sample.
    pub fn memory(&self) -> Option<u64> {
        self.last_memory
    }

    pub(super) fn on_usage(&mut self, usage: Usage) {
        self.warn_of_memory(&usage);
        self.last_memory = Some(usage.memory_bytes);
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
}

/// Whether a thread that has outlived its cell may cause this.
fn outlives_cell(said: &Message) -> bool {
    use Event::{CommClose, CommMsg, CommOpen, Display};
    let Message::Event(event) = said else { return false };
    matches!(event, Display { .. } | CommOpen(_) | CommMsg(_) | CommClose(_))
}

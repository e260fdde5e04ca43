//! The task that owns a session: it waits for what happens, asks the rules, does what they say.
//!
//! ```text
//!   participants ── people ──┐                   ┌─► log, fanout
//!   link ────────── driver ──┼─► State ─ apply ──┼─► link
//!   time ────────────────────┘                   └─► kept, timer
//!   spill ── disk ──► log, fanout
//! ```

use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::delivery::Departure;
use super::fanout::Fanout;
use super::log::{EventLog, OVERHEAD_BYTES};
use super::meter::Meter;
use super::output_archive::OutputArchive;
use super::spill::{Spill, Spilled};
use super::state::{Effect, ParticipantId, Rules, State};
use super::tokens::{self, Tokens};
use super::transfers::Transfers;
use super::watchdog::Watchdog;
use super::{Command, DetachedOutput, SessionConfig, Shared, Summary};
use crate::id::SessionId;
use crate::link::{DriverEvent, Link, LinkError};
use crate::memory::{Account, Charge, Pressure, charged_text};
use crate::metrics::Metrics;
use crate::pool::Prepared;
use crate::protocol::Reply;
use crate::protocol::event::{CellStatus, EndReason, Event, Sequenced, SessionState};
use crate::protocol::reply::LanguageInfo;
use crate::sandbox::{BackendKind, SandboxHandle};
use crate::template::Template;

mod commands;
mod disk;
mod driver_events;

/// Longest wait for a full memory's way to the disk. A disk that takes longer for a megabyte hangs,
/// and a cell should not hang with it.
const DISK_DEADLINE: Duration = Duration::from_secs(2);

/// How long participants who are behind are still given what stands on the disk once the session is
/// over.
const FAREWELL: Duration = Duration::from_secs(10);

/// A session's owner.
pub(super) struct Actor {
    id: SessionId,
    template: Arc<Template>,
    backend: BackendKind,
    language: LanguageInfo,
    config: SessionConfig,
    /// Shared with the handles.
    tokens: Arc<Mutex<Tokens>>,
    commands: mpsc::Receiver<Command>,
    link: Link,
    handle: Box<dyn SandboxHandle>,
    state: State,
    log: EventLog,
    spill: Spill,
    /// Since when the log's memory is full and waits for the disk.
    full_since: Option<Instant>,
    fanout: Fanout,
    /// Since when everybody may be told again who is attached.
    next_list: Instant,
    archive: OutputArchive,
    transfers: Transfers,
    watchdog: Watchdog,
    /// The sandbox has ended: what its link still holds is little, and then comes the link's end.
    sandbox_ended: bool,
    /// Cells that have ended.
    cells: u64,
    summary: watch::Sender<Summary>,
    /// When the rules want to be asked: the running cell's time is up, or the driver's to answer.
    timer: Option<Instant>,
    /// Since when nobody is attached.
    unattended_since: Option<Instant>,
    /// Bytes of the log that may have been sent to no editor and no owner, for whom output is held
    /// back. One who comes and goes without taking anything was sent nothing.
    unsent_bytes: u64,
    /// The running cell was told to stop: its end goes before the output that waits.
    skips_backlog: bool,
    /// When somebody last said something or a cell ended.
    last_activity: Instant,
    began: Instant,
    /// Why participants are let go, once the session is over.
    departure: Option<Departure>,
    meter: Meter,
    memory: Account,
    /// Memory of what waits for the driver and for the disk, as of the last turn.
    waiting: Charge,
    pressure: Pressure,
}

/// From one list of participants that everybody is told to the next: four a second, so that one who
/// comes and goes all the time costs the others little.
const LIST_INTERVAL: Duration = Duration::from_millis(250);

/// How long an ending may take before the sandbox is left to its dead-man switch.
const STUCK: Duration = Duration::from_secs(2);

/// What an actor waits for.
enum Turn {
    Command(Option<Command>),
    Driver(Result<DriverEvent, LinkError>),
    Deadline(Deadline),
    /// The sandbox has ended while its link was not read.
    SandboxEnded,
    /// Something was written to the disk, or read.
    Spilled(Spilled),
    /// What cells wrote was kept.
    Archived,
    /// There may be room again, or somebody left.
    RoomAgain,
    /// Somebody gave up moving a file.
    TransferLeft,
    /// The gateway's memory is nearly used up, or has room again.
    Pressure,
}

/// What a session does when a time has come.
#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// The rules are asked.
    Timer,
    /// The disk is given up.
    Disk,
    /// The driver is looked after.
    Silence,
    /// Everybody is told who is attached.
    List,
    /// The session ends.
    End(EndReason),
}

impl Actor {
    pub(super) fn new(
        prepared: Prepared,
        config: SessionConfig,
        shared: Shared,
        commands: mpsc::Receiver<Command>,
        summary: watch::Sender<Summary>,
        transfer_left: Arc<Notify>,
        metrics: Metrics,
    ) -> Actor {
        let Shared { memory, tokens } = shared;
        let limits = &prepared.template.limits;
        let rules = Rules {
            queue: config.queue,
            timeout: limits.timeout,
            output_bytes: limits.output_bytes,
            output_kept_bytes: limits.output_kept_bytes,
            interrupt_grace: limits.interrupt_grace,
            memory_bytes: limits.memory_bytes,
            memory: memory.clone(),
        };
        let reserve = config.log_disk_reserve_bytes;
        let archive =
            OutputArchive::new(config.log_directory.clone(), limits.output_kept_bytes, reserve);
        let mut link = prepared.link;
        link.charge_to(&memory);
        Actor {
            id: prepared.id,
            template: prepared.template,
            backend: prepared.backend,
            language: prepared.language,
            tokens,
            commands,
            link,
            handle: prepared.handle,
            state: State::new(rules),
            log: EventLog::new(config.log_bytes, config.log_disk_bytes),
            spill: Spill::new(
                config.log_directory.clone(),
                config.log_disk_bytes,
                reserve,
                memory.clone(),
            ),
            full_since: None,
            fanout: Fanout::new(config.window_bytes, memory.clone()),
            next_list: Instant::now(),
            archive,
            transfers: Transfers::new(transfer_left),
            watchdog: Watchdog::new(config.silence_timeout),
            sandbox_ended: false,
            cells: 0,
            summary,
            timer: None,
            unattended_since: Some(Instant::now()),
            unsent_bytes: 0,
            skips_backlog: false,
            last_activity: Instant::now(),
            began: Instant::now(),
            departure: None,
            meter: Meter::new(metrics),
            waiting: memory.charge(0),
            pressure: memory.pressure(),
            memory,
            config,
        }
    }

    /// Lives until the session is over and nothing of its sandbox is left.
    pub(super) async fn run(mut self) {
        tracing::info!(template = self.template.name, "session begins");
        while self.departure.is_none() {
            match self.turn().await {
                Turn::Command(Some(command)) => {
                    // What was given up before goes before: a cell is not to see half a file.
                    self.transfers.sweep(&mut self.link);
                    self.on_command(command);
                }
                // Every handle and every seat is gone, so nobody can come back.
                Turn::Command(None) => self.end(EndReason::Abandoned),
                // Whether it is time for the list is asked after every turn.
                Turn::RoomAgain
                | Turn::Archived
                | Turn::Pressure
                | Turn::Deadline(Deadline::List) => {}
                Turn::SandboxEnded => self.sandbox_ended = true,
                Turn::TransferLeft => self.transfers.sweep(&mut self.link),
                Turn::Driver(Ok(event)) => self.on_driver(event),
                Turn::Driver(Err(error)) => self.on_link_lost(error).await,
                Turn::Deadline(Deadline::Timer) => {
                    self.timer = None;
                    self.state.on_timer();
                }
                Turn::Deadline(Deadline::Silence) => self.check_driver(),
                Turn::Deadline(Deadline::Disk) => {
                    self.spill.give_up();
                    self.log.on_written(false);
                    self.tell_of_disk("it takes too long");
                }
                Turn::Deadline(Deadline::End(reason)) => self.end(reason),
                Turn::Spilled(spilled) => self.on_spilled(spilled),
            }
            self.apply();
            self.check_link();
            self.note_leavers();
            self.waiting.set(self.link.unsent() + self.archive.waiting_bytes());
            self.log.squeeze(self.memory.is_pressed(), self.fanout.wanted());
            self.tell_list();
            self.spill_over();
            self.catch_up();
            self.fanout.wake();
            self.summarise();
        }
        let Actor { mut log, mut spill, mut fanout, link, handle, departure, .. } = self;
        let goodbye = async {
            // Who has gone or takes nothing any more is waited for no longer than that.
            let rest = timeout(FAREWELL, fanout.empty(&mut log, &mut spill)).await;
            let rest = rest.unwrap_or(Ok(()));
            let closed = match &departure {
                Some(departure) => fanout.close(departure, &log),
                None => Ok(()),
            };
            if let Err(error) = rest.and(closed) {
                tracing::error!(%error, "cannot encode a gap");
            }
        };
        let ending = async move {
            let mut ending = handle.end();
            if timeout(STUCK, &mut ending).await.is_err() {
                // Whoever has power over the sandbox is stuck; the link's end needs nobody.
                drop(link);
                ending.await;
            }
        };
        tokio::join!(ending, goodbye);
        tracing::info!("session ended");
    }

    async fn turn(&mut self) -> Turn {
        let may_read = self.may_read();
        self.meter.reading(may_read);
        let expected = self.state.expects_answer() || !self.transfers.is_empty();
        self.watchdog.expect(may_read && expected, self.link.heard());
        let next = self.next_deadline();
        let deadline = async move {
            match next {
                Some((at, deadline)) => {
                    sleep_until(at).await;
                    deadline
                }
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            // Commands first: an interrupt must not wait behind a flood.
            biased;
            command = self.commands.recv() => Turn::Command(command),
            event = self.link.turn(may_read) => Turn::Driver(event),
            () = self.fanout.relieved() => Turn::RoomAgain,
            () = self.transfers.left() => Turn::TransferLeft,
            () = self.handle.ended(), if !may_read => Turn::SandboxEnded,
            spilled = self.spill.turn() => Turn::Spilled(spilled),
            () = self.archive.turn() => Turn::Archived,
            () = self.pressure.changed() => Turn::Pressure,
            deadline = deadline => Turn::Deadline(deadline),
        }
    }

    /// Whether output has somewhere to go: to somebody who keeps up or, while nobody is there to
    /// hold it for, into a log that would lose nothing that was sent to nobody. A cell that was
    /// told to stop, and an interpreter that is to be replaced, are read on whatever becomes of
    /// their output, so that their end is not held up by it; and so is what a sandbox that has
    /// ended left behind.
    fn may_read(&self) -> bool {
        if self.state.awaits_answer() || self.sandbox_ended {
            true
        } else if self.log.is_pressed() || self.archive.is_full() || self.memory.is_pressed() {
            false
        } else if self.fanout.has_holders() {
            self.fanout.has_room()
        } else {
            self.config.detached_output == DetachedOutput::Drop
                || self.unsent_bytes < self.log.hold_bytes()
        }
    }

    fn next_deadline(&self) -> Option<(Instant, Deadline)> {
        let config = &self.config;
        let after = |from: Instant, limit: Option<Duration>| from.checked_add(limit?);
        let idle = self.state.phase() == SessionState::Idle;
        [
            (self.timer, Deadline::Timer),
            (self.full_since.and_then(|since| after(since, Some(DISK_DEADLINE))), Deadline::Disk),
            (self.watchdog.due(), Deadline::Silence),
            (self.fanout.owes_list().then_some(self.next_list), Deadline::List),
            (
                self.unattended_since.and_then(|since| after(since, Some(config.detach_timeout))),
                Deadline::End(EndReason::Abandoned),
            ),
            (
                idle.then_some(()).and_then(|()| after(self.last_activity, config.idle_timeout)),
                Deadline::End(EndReason::IdleTimeout),
            ),
            (after(self.began, config.lifetime), Deadline::End(EndReason::Lifetime)),
        ]
        .into_iter()
        .filter_map(|(at, deadline)| Some((at?, deadline)))
        .min_by_key(|(at, _)| *at)
    }

    /// Tells whoever lists sessions, if there is anything new to tell.
    fn summarise(&self) {
        let (state, participants) = (self.state.phase(), self.fanout.len());
        let now = Summary { state, participants, cells: self.cells };
        self.summary.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    fn apply(&mut self) {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Emit(event) => self.emit(&event),
                Effect::Reply(to, reply) => self.reply(to, reply),
                Effect::Send(command) => {
                    self.skips_backlog |= self.state.is_stopping();
                    self.link.send(&command);
                }
                Effect::ArmTimer(after) => self.timer = Instant::now().checked_add(after),
                Effect::DisarmTimer => self.timer = None,
                Effect::Archive { id, bytes } => self.archive.push(&id, &bytes),
                Effect::EndArchive { id, omitted } => self.archive.end(&id, omitted),
                Effect::Log(line) => tracing::debug!(line, "driver"),
            }
        }
    }

    fn emit(&mut self, event: &Event) {
        self.meter.event(event);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ts = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let hold = |text| charged_text(text, &self.memory);
        match Sequenced::encode_into(event, self.log.next_seq(), ts, hold) {
            Ok(sequenced) => {
                let wanted = self.fanout.wanted();
                let freed =
                    self.log.push(event, &sequenced, wanted) + self.log.outdate(event, wanted);
                let cost = sequenced.json.len() + OVERHEAD_BYTES;
                self.unsent_bytes = (self.unsent_bytes + cost as u64).saturating_sub(freed as u64);
                self.fanout.broadcast(&sequenced);
            }
            Err(error) => tracing::error!(%error, "cannot encode an event"),
        }
        if let Event::Done { status, .. } = event {
            self.cells += 1;
            self.last_activity = Instant::now();
            // One that leaves the queue meanwhile is not the one that was told to stop.
            if *status != CellStatus::Cancelled
                && std::mem::take(&mut self.skips_backlog)
                && let Err(error) = self.fanout.skip_backlog(&self.log)
            {
                tracing::error!(%error, "cannot encode a gap");
            }
        }
        if let Event::Ended { reason, detail } = event {
            let (reason, detail) = (*reason, detail.clone());
            self.departure = Some(Departure::Ended { reason, detail });
        }
    }

    fn reply(&self, to: ParticipantId, reply: Reply) {
        self.meter.reply(&reply);
        if let Err(error) = self.fanout.reply(to, reply) {
            tracing::error!(%error, "cannot encode a reply");
        }
    }

    fn note_leavers(&mut self) {
        if let Some(owed) = self.fanout.owed()
            && owed < self.unsent_bytes
        {
            self.unsent_bytes = owed;
            self.log.mark_sent();
        }
        // What somebody said before leaving may still wait, and is said by a participant.
        if !self.commands.is_empty() {
            return;
        }
        let gone = self.fanout.sweep();
        if gone.is_empty() {
            return;
        }
        for participant in gone {
            tokens::lock(&self.tokens).leave(participant);
        }
        self.note_emptiness();
    }

    /// The time that a session lives on without participants begins when the last one is gone.
    fn note_emptiness(&mut self) {
        if self.fanout.is_empty() {
            self.unattended_since.get_or_insert(Instant::now());
        }
    }

    /// Tells everybody who is attached, if that has changed and it is time again.
    fn tell_list(&mut self) {
        if !self.fanout.owes_list() || Instant::now() < self.next_list {
            return;
        }
        self.next_list = Instant::now() + LIST_INTERVAL;
        if let Err(error) = self.fanout.tell_list() {
            tracing::error!(%error, "cannot encode the list of participants");
        }
    }

    fn end(&mut self, reason: EndReason) {
        let detail = match reason {
            EndReason::Requested => "the session was ended by its owner",
            EndReason::Abandoned => "nobody was connected any more",
            EndReason::IdleTimeout => "nothing happened for the idle timeout",
            EndReason::Lifetime => "the session's lifetime is over",
            EndReason::Draining => "the gateway shuts down",
            EndReason::SandboxLost => "the sandbox is gone",
            EndReason::InterpreterFailed => "the interpreter cannot be started",
        };
        self.state.end(reason, detail);
    }
}

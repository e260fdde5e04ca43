//! The task that owns a session: it waits for what happens, asks the rules, does what they say.
//!
//! ```text
//!   participants ── commands ──────┐                   ┌─► journal, audience
//!   driver ──────── driver_events ─┼─► State ─ apply ──┼─► driver
//!   time ──────────────────────────┘                   └─► archive, timer
//!   disk ── disk ──► journal, audience
//! ```
//! Each part owns its fields: the [`Journal`] the log and its disk, the [`Audience`] the
//! participants, [`Driver`] the sandbox and the link. What is read from the driver, [`Flow`]
//! decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::audience::Audience;
use super::delivery::Departure;
use super::fanout::{Fanout, Seats};
use super::flow::Flow;
use super::journal::Journal;
use super::meter::Meter;
use super::output_archive::OutputArchive;
use super::spill::Spilled;
use super::state::{Effect, ParticipantId, Rules, State};
use super::transfers::Transfers;
use super::watchdog::Watchdog;
use super::{Command, SessionConfig, Shared, Summary};
use crate::document::DocumentHandle;
use crate::id::SessionId;
use crate::link::{DriverEvent, Link, LinkError};
use crate::memory::{Account, Charge, Pressure};
use crate::metrics::Metrics;
use crate::pool::Prepared;
use crate::protocol::Reply;
use crate::protocol::event::{CellStatus, EndReason, Event};
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
    about: Identity,
    config: SessionConfig,
    commands: mpsc::Receiver<Command>,
    driver: Driver,
    state: State,
    journal: Journal,
    audience: Audience,
    archive: OutputArchive,
    transfers: Transfers,
    clock: Clock,
    /// Cells that have ended.
    cells: u64,
    summary: watch::Sender<Summary>,
    /// The running cell was told to stop: its end goes before the output that waits.
    skips_backlog: bool,
    /// Why participants are let go, once the session is over.
    departure: Option<Departure>,
    meter: Meter,
    memory: Account,
    /// Memory of what waits for the driver and for the disk, as of the last turn.
    waiting: Charge,
    pressure: Pressure,
    /// When its text was last changed counts as activity.
    document: DocumentHandle,
}

/// What never changes of a session.
struct Identity {
    id: SessionId,
    template: Arc<Template>,
    backend: BackendKind,
    language: LanguageInfo,
    languages: Vec<LanguageInfo>,
}

/// The sandbox, the link to its driver, and whether that still gives signs of life.
struct Driver {
    link: Link,
    handle: Box<dyn SandboxHandle>,
    watchdog: Watchdog,
    /// The sandbox has ended: what its link still holds is little, and then comes the link's end.
    has_ended: bool,
}

/// The times from which the session's own deadlines count.
struct Clock {
    began: Instant,
    /// When a participant last did something or a cell ended.
    last_activity: Instant,
    /// When the rules are to be asked about a program: its cell's time is up, or the driver's to answer.
    timers: BTreeMap<u16, Instant>,
}

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
    /// There may be room again in an outbox, or a participant left.
    RoomAgain,
    /// A file transfer was given up.
    TransferLeft,
    /// The gateway's memory is nearly used up, or has room again.
    Pressure,
    /// Tokens were made, changed or revoked, or have expired.
    Tokens,
}

/// What a session does when a time has come.
#[derive(Clone, Copy, Debug)]
enum Deadline {
    /// The rules are asked about a program.
    Timer(u16),
    /// The disk is given up.
    Disk,
    /// The driver is looked after.
    Silence,
    /// All participants are told who is attached.
    List,
    /// A token expires.
    Expiry,
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
        let Shared { memory, tokens, document } = shared;
        let startable = Arc::clone(&prepared.startable);
        let languages = prepared.languages();
        let limits = &prepared.template.limits;
        let rules = Rules {
            queue: config.queue,
            timeout: limits.timeout,
            output_bytes: limits.output_bytes,
            output_kept_bytes: limits.output_kept_bytes,
            programs: limits.programs,
            interrupt_grace: limits.interrupt_grace,
            memory_bytes: limits.memory_bytes,
            memory: memory.clone(),
            key_holder: config.key_holder.clone(),
        };
        let archive = OutputArchive::new(
            config.log_directory.clone(),
            limits.output_kept_bytes,
            config.log_disk_reserve_bytes,
        );
        let mut link = prepared.link;
        link.charge_to(&memory);
        let fanout = Fanout::new(config.window_bytes, memory.clone());
        let now = Instant::now();
        Actor {
            about: Identity {
                id: prepared.id,
                template: prepared.template,
                backend: prepared.backend,
                languages,
                language: prepared.language,
            },
            commands,
            driver: Driver {
                link,
                handle: prepared.handle,
                watchdog: Watchdog::new(config.silence_timeout),
                has_ended: false,
            },
            state: State::new(rules, startable),
            journal: Journal::new(&config, memory.clone()),
            audience: Audience::new(fanout, tokens, Seats(config.participants)),
            archive,
            transfers: Transfers::new(transfer_left),
            clock: Clock { began: now, last_activity: now, timers: BTreeMap::new() },
            cells: 0,
            summary,
            skips_backlog: false,
            departure: None,
            meter: Meter::new(metrics),
            waiting: memory.charge(0),
            pressure: memory.pressure(),
            memory,
            document,
            config,
        }
    }

    /// Lives until the session is over and nothing of its sandbox is left.
    pub(super) async fn run(mut self) {
        let key = self.config.key_holder.as_ref().map(|holder| holder.key.config.name.as_str());
        tracing::info!(template = self.about.template.name, key, "session begins");
        while self.departure.is_none() {
            match self.turn().await {
                Turn::Command(Some(command)) => {
                    // What was given up before goes before: a cell is not to see half a file.
                    self.transfers.sweep(&mut self.driver.link);
                    self.on_command(command);
                }
                // Every handle and every attachment is dropped, so no participant can come back.
                Turn::Command(None) => self.end(EndReason::Abandoned),
                // Whether it is time for the list is asked after every turn.
                Turn::RoomAgain
                | Turn::Archived
                | Turn::Pressure
                | Turn::Deadline(Deadline::List) => {}
                Turn::Tokens => self.audience.note_next_expiry(),
                Turn::Deadline(Deadline::Expiry) => self.audience.expire_tokens(),
                Turn::SandboxEnded => self.driver.has_ended = true,
                Turn::TransferLeft => self.transfers.sweep(&mut self.driver.link),
                Turn::Driver(Ok(event)) => self.on_driver(event),
                Turn::Driver(Err(error)) => self.on_link_lost(error).await,
                Turn::Deadline(Deadline::Timer(program)) => {
                    self.clock.timers.remove(&program);
                    self.state.on_timer(program);
                }
                Turn::Deadline(Deadline::Silence) => self.check_driver(),
                Turn::Deadline(Deadline::Disk) => {
                    self.journal.give_up_writing();
                    self.tell_of_disk("it takes too long");
                }
                // The text may have been changed since that time was set.
                Turn::Deadline(Deadline::End(EndReason::IdleTimeout))
                    if self.idle_end().is_some_and(|end| end > Instant::now()) => {}
                Turn::Deadline(Deadline::End(reason)) => self.end(reason),
                Turn::Spilled(spilled) => self.on_spilled(spilled),
            }
            self.apply();
            self.check_link();
            self.note_leavers();
            self.waiting.set(self.driver.link.unsent() + self.archive.waiting_bytes());
            self.journal.squeeze(self.memory.is_pressed(), self.audience.fanout.wanted());
            self.tell_list();
            self.journal.spill_over();
            self.catch_up();
            self.audience.fanout.wake();
            self.summarise();
        }
        let Actor { mut journal, audience, driver, departure, .. } = self;
        let (mut fanout, Driver { link, handle, .. }) = (audience.fanout, driver);
        let goodbye = async {
            // A participant who has gone or takes nothing any more is waited for no longer than
            // that.
            let rest = timeout(FAREWELL, journal.empty_into(&mut fanout)).await;
            let rest = rest.unwrap_or(Ok(()));
            let closed = match &departure {
                Some(departure) => fanout.close(departure, journal.log()),
                None => Ok(()),
            };
            if let Err(error) = rest.and(closed) {
                tracing::error!(%error, "cannot encode a gap");
            }
        };
        let ending = async move {
            let mut ending = handle.end();
            if timeout(STUCK, &mut ending).await.is_err() {
                // The backend is stuck. Closing the link makes the driver end itself.
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
        let heard = self.driver.link.heard();
        self.driver.watchdog.expect(may_read && expected, heard);
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
            event = self.driver.link.turn(may_read) => Turn::Driver(event),
            () = self.audience.fanout.relieved() => Turn::RoomAgain,
            () = self.transfers.left() => Turn::TransferLeft,
            () = self.driver.handle.ended(), if !may_read => Turn::SandboxEnded,
            spilled = self.journal.turn() => Turn::Spilled(spilled),
            () = self.archive.turn() => Turn::Archived,
            () = self.pressure.changed() => Turn::Pressure,
            Ok(()) = self.audience.token_changes.changed() => Turn::Tokens,
            deadline = deadline => Turn::Deadline(deadline),
        }
    }

    fn may_read(&self) -> bool {
        let log = self.journal.log();
        let flow = Flow {
            awaits_answer: self.state.awaits_answer(),
            sandbox_ended: self.driver.has_ended,
            is_full: log.is_pressed() || self.archive.is_full() || self.memory.is_pressed(),
            holders: self.audience.holders(),
            detached_output: self.config.detached_output,
            unsent_bytes: self.journal.unsent_bytes(),
            hold_bytes: log.hold_bytes(),
        };
        flow.may_read()
    }

    fn next_deadline(&self) -> Option<(Instant, Deadline)> {
        let (config, clock) = (&self.config, &self.clock);
        let after = |from: Instant, limit: Option<Duration>| from.checked_add(limit?);
        let idle = !self.state.is_working();
        let timer = clock.timers.iter().map(|(program, at)| (*at, *program)).min();
        let full_since = self.journal.full_since();
        let unattended_since = self.audience.unattended_since();
        [
            (timer.map(|(at, _)| at), Deadline::Timer(timer.map_or(0, |(_, program)| program))),
            (full_since.and_then(|since| after(since, Some(DISK_DEADLINE))), Deadline::Disk),
            (self.driver.watchdog.due(), Deadline::Silence),
            (self.audience.next_list(), Deadline::List),
            (self.audience.next_expiry(), Deadline::Expiry),
            (
                unattended_since.and_then(|since| after(since, Some(config.detach_timeout))),
                Deadline::End(EndReason::Abandoned),
            ),
            (idle.then(|| self.idle_end()).flatten(), Deadline::End(EndReason::IdleTimeout)),
            (after(clock.began, config.lifetime), Deadline::End(EndReason::Lifetime)),
        ]
        .into_iter()
        .filter_map(|(at, deadline)| Some((at?, deadline)))
        .min_by_key(|(at, _)| *at)
    }

    /// When the idle timeout ends the session, unless there is activity before.
    fn idle_end(&self) -> Option<Instant> {
        let changed = self.document.last_change().unwrap_or(self.clock.last_activity);
        changed.max(self.clock.last_activity).checked_add(self.config.idle_timeout?)
    }

    /// Updates what the list of sessions shows, if it has changed.
    fn summarise(&self) {
        let (state, participants) = (self.state.phase(), self.audience.fanout.len());
        let now =
            Summary { state, participants, cells: self.cells, memory_bytes: self.state.memory() };
        self.summary.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    fn apply(&mut self) {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Emit(event) => self.emit(&event),
                Effect::Reply(to, reply) => self.reply(to, reply),
                Effect::Send(command) => {
                    self.skips_backlog |= self.state.is_stopping();
                    self.driver.link.send(&command);
                }
                Effect::ArmTimer { program, after } => {
                    match Instant::now().checked_add(after) {
                        Some(at) => self.clock.timers.insert(program, at),
                        None => self.clock.timers.remove(&program),
                    };
                }
                Effect::DisarmTimer { program } => {
                    self.clock.timers.remove(&program);
                }
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
        match self.journal.push(event, ts, self.audience.fanout.wanted()) {
            Ok(sequenced) => self.audience.fanout.broadcast(&sequenced),
            Err(error) => tracing::error!(%error, "cannot encode an event"),
        }
        if let Event::Done { status, .. } = event {
            self.cells += 1;
            self.clock.last_activity = Instant::now();
            // One that leaves the queue meanwhile is not the one that was told to stop.
            if *status != CellStatus::Cancelled
                && std::mem::take(&mut self.skips_backlog)
                && let Err(error) = self.audience.fanout.skip_backlog(self.journal.log())
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
        if let Err(error) = self.audience.fanout.reply(to, reply) {
            tracing::error!(%error, "cannot encode a reply");
        }
    }

    fn note_leavers(&mut self) {
        self.journal.on_owed(self.audience.fanout.owed());
        // Messages that a participant sent before leaving may still wait, and are a participant's.
        if self.commands.is_empty() {
            self.audience.forget_leavers();
        }
    }

    fn tell_list(&mut self) {
        if let Err(error) = self.audience.tell_list() {
            tracing::error!(%error, "cannot encode the list of participants");
        }
    }

    fn end(&mut self, reason: EndReason) {
        let detail = match reason {
            EndReason::Requested => "the session was ended by its owner",
            EndReason::Abandoned => "no participant was connected for the detach timeout",
            EndReason::IdleTimeout => "the session was idle for its idle timeout",
            EndReason::Lifetime => "the session's lifetime is over",
            EndReason::Draining => "the gateway shuts down",
            EndReason::SandboxLost => "the sandbox is gone",
            EndReason::InterpreterFailed => "the interpreter cannot be started",
        };
        self.state.end(reason, detail);
    }
}

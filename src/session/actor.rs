//! The task that owns a session: it waits for what happens, asks the rules, does what they say.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep_until, timeout};

use super::fanout::Fanout;
use super::kept::Kept;
use super::log::{EventLog, OVERHEAD_BYTES};
use super::meter::Meter;
use super::spill::{Spill, Spilled};
use super::state::{Effect, ParticipantId, Rules, State};
use super::transfers::Transfers;
use super::vigil::{Finding, Vigil};
use super::{AttachError, Command, DetachedOutput, Guest, Joined, SessionConfig, Summary};
use crate::error::Chain;
use crate::id::SessionId;
use crate::link::{DriverEvent, Link, LinkError};
use crate::metrics::Metrics;
use crate::pool::Prepared;
use crate::protocol::client::{ClientMessage, Refusal};
use crate::protocol::event::{CellStatus, EndReason, Event, NoticeLevel, Sequenced, SessionState};
use crate::protocol::reply::{ErrorCode, LanguageInfo, Ready, ReadyLimits, Role};
use crate::protocol::{self, Close, CloseCode, Reply};
use crate::sandbox::{BackendKind, EndCause, SandboxHandle};
use crate::template::Template;

/// Longest wait for a backend's word on why a sandbox is gone.
const CAUSE_DEADLINE: Duration = Duration::from_secs(5);

/// Most that may wait for the driver beside a few of the longest messages: the questions that may
/// be open, of a MiB each. A supervisor takes its commands at once, so one that does not is stuck,
/// or hostile.
const UNSENT_BYTES: usize = 64 << 20; // 64 MiB

/// Longest wait for a full memory's way to the disk. A disk that takes longer for a megabyte hangs,
/// and a cell should not hang with it.
const DISK_DEADLINE: Duration = Duration::from_secs(2);

/// How long participants who are behind are still given what stands on the disk once the session is
/// over.
const FAREWELL: Duration = Duration::from_secs(10);

/// Driver events handled before commands are looked at again: an interrupt under a flood is seen
/// within a few frames.
const EVENTS_A_TURN: usize = 16;

/// A session's owner.
pub(super) struct Actor {
    id: SessionId,
    template: Arc<Template>,
    backend: BackendKind,
    language: LanguageInfo,
    config: SessionConfig,
    commands: mpsc::Receiver<Command>,
    link: Link,
    handle: Box<dyn SandboxHandle>,
    state: State,
    log: EventLog,
    spill: Spill,
    /// Since when the log's memory is full and waits for the disk.
    pressed: Option<Instant>,
    fanout: Fanout,
    kept: Kept,
    transfers: Transfers,
    vigil: Vigil,
    /// The sandbox has ended: what its link still holds is little, and then comes the link's end.
    gone: bool,
    /// Cells that have ended.
    cells: u64,
    summary: watch::Sender<Summary>,
    /// When the rules want to be asked: the running cell's time is up, or the driver's to answer.
    timer: Option<Instant>,
    /// Since when nobody is attached.
    unwatched: Option<Instant>,
    /// What of the log may have reached nobody for whom output is held back. One who comes and
    /// goes without taking anything has seen nothing.
    unseen: u64,
    /// The running cell was told to stop: its end goes before the output that waits.
    hurried: bool,
    /// When somebody last said something or a cell ended.
    last_activity: Instant,
    began: Instant,
    /// Why sockets close, once the session is over.
    farewell: Option<Close>,
    meter: Meter,
}

/// How long an ending may take before the sandbox is left to its dead-man switch.
const STUCK: Duration = Duration::from_secs(2);

/// What an actor waits for.
enum Turn {
    Command(Option<Command>),
    Driver(Result<DriverEvent, LinkError>),
    Deadline(Deadline),
    /// The sandbox has ended while its link was not read.
    Gone,
    /// Something was written to the disk, or read.
    Spilled(Spilled),
    /// What cells wrote was kept.
    Kept,
    /// There may be room again, or somebody left.
    Relieved,
    /// Somebody gave up moving a file.
    TransferLeft,
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
    /// The session ends.
    End(EndReason),
}

impl Actor {
    pub(super) fn new(
        prepared: Prepared,
        config: SessionConfig,
        commands: mpsc::Receiver<Command>,
        summary: watch::Sender<Summary>,
        transfer_left: Arc<Notify>,
        metrics: Metrics,
    ) -> Actor {
        let limits = &prepared.template.limits;
        let rules = Rules {
            queue: config.queue,
            timeout: limits.timeout,
            output_bytes: limits.output_bytes,
            output_kept_bytes: limits.output_kept_bytes,
            interrupt_grace: limits.interrupt_grace,
        };
        let kept = Kept::new(config.log_directory.clone(), limits.output_kept_bytes);
        Actor {
            id: prepared.id,
            template: prepared.template,
            backend: prepared.backend,
            language: prepared.language,
            commands,
            link: prepared.link,
            handle: prepared.handle,
            state: State::new(rules),
            log: EventLog::new(config.log_bytes, config.log_disk_bytes),
            spill: Spill::new(config.log_directory.clone(), config.log_disk_bytes),
            pressed: None,
            fanout: Fanout::new(config.window_bytes),
            kept,
            transfers: Transfers::new(transfer_left),
            vigil: Vigil::new(config.silence_timeout),
            gone: false,
            cells: 0,
            summary,
            timer: None,
            unwatched: Some(Instant::now()),
            unseen: 0,
            hurried: false,
            last_activity: Instant::now(),
            began: Instant::now(),
            farewell: None,
            meter: Meter::new(metrics),
            config,
        }
    }

    /// Lives until the session is over and nothing of its sandbox is left.
    pub(super) async fn run(mut self) {
        tracing::info!(template = self.template.name, "session begins");
        while self.farewell.is_none() {
            match self.turn().await {
                Turn::Command(Some(command)) => {
                    // What was given up before goes before: a cell is not to see half a file.
                    self.transfers.sweep(&mut self.link);
                    self.on_command(command);
                }
                // Every handle and every seat is gone, so nobody can come back.
                Turn::Command(None) => self.end(EndReason::Abandoned),
                Turn::Relieved | Turn::Kept => {}
                Turn::Gone => self.gone = true,
                Turn::TransferLeft => self.transfers.sweep(&mut self.link),
                Turn::Driver(Ok(event)) => self.on_driver(event),
                Turn::Driver(Err(error)) => self.on_link_lost(error).await,
                Turn::Deadline(Deadline::Timer) => {
                    self.timer = None;
                    self.state.on_timer();
                }
                Turn::Deadline(Deadline::Silence) => self.look_after_driver(),
                Turn::Deadline(Deadline::Disk) => {
                    self.spill.give_up();
                    self.log.on_written(false);
                    self.tell_of_disk("it takes too long");
                }
                Turn::Deadline(Deadline::End(reason)) => self.end(reason),
                Turn::Spilled(spilled) => self.on_spilled(spilled),
            }
            self.apply();
            self.look_after_link();
            self.note_leavers();
            self.spill_over();
            self.catch_up();
            self.fanout.wake();
            self.summarise();
        }
        let Actor { mut log, mut spill, mut fanout, link, handle, farewell, .. } = self;
        let goodbye = async {
            // Who has gone or takes nothing any more is waited for no longer than that.
            let rest = timeout(FAREWELL, fanout.empty(&mut log, &mut spill)).await;
            let rest = rest.unwrap_or(Ok(()));
            let closed = match &farewell {
                Some(farewell) => fanout.close(farewell, &log),
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

    /// Lets the log's disk have what its memory cannot hold.
    fn spill_over(&mut self) {
        if let Some(batch) = self.log.take_batch() {
            self.spill.write(batch);
        }
        self.pressed = self.log.is_pressed().then(|| self.pressed.unwrap_or_else(Instant::now));
    }

    fn catch_up(&mut self) {
        match self.fanout.catch_up(&self.log) {
            Ok(Some(block)) => self.spill.read(block),
            Ok(None) => {}
            Err(error) => tracing::error!(%error, "cannot encode a gap"),
        }
    }

    fn on_spilled(&mut self, spilled: Spilled) {
        match spilled {
            Spilled::Written(result) => {
                self.log.on_written(result.is_ok());
                if let Err(error) = result {
                    self.tell_of_disk(&error.to_string());
                }
            }
            // What was written over meanwhile is lost, and so told when it is looked for.
            Spilled::Read(block, Ok(entries)) if self.log.holds(&block) => {
                if let Err(error) = self.fanout.take_block(&block, &entries) {
                    tracing::error!(%error, "cannot encode a gap");
                }
            }
            Spilled::Read(_, Ok(_)) => {}
            Spilled::Read(_, Err(error)) => {
                self.log.lose_disk();
                self.tell_of_disk(&error.to_string());
            }
        }
    }

    /// Once for writing and once for reading at most, as neither is tried again.
    fn tell_of_disk(&mut self, why: &str) {
        tracing::warn!(why, "the log's disk is given up");
        let text = format!(
            "older output is no longer kept on disk ({why}): what the log cannot hold in memory \
             is forgotten, and named by a gap"
        );
        self.emit(&Event::Notice { level: NoticeLevel::Warning, code: "log_disk", text });
    }

    async fn turn(&mut self) -> Turn {
        let may_read = self.may_read();
        self.meter.reading(may_read);
        let expected = self.state.expects_answer() || !self.transfers.is_empty();
        self.vigil.keep(may_read && expected, self.link.heard());
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
            () = self.fanout.relieved() => Turn::Relieved,
            () = self.transfers.left() => Turn::TransferLeft,
            () = self.handle.ended(), if !may_read => Turn::Gone,
            spilled = self.spill.turn() => Turn::Spilled(spilled),
            () = self.kept.turn() => Turn::Kept,
            deadline = deadline => Turn::Deadline(deadline),
        }
    }

    /// Whether output has somewhere to go: to somebody who keeps up or, while nobody is there to
    /// hold it for, into a log that would lose nothing unseen. A cell that was told to stop, and an
    /// interpreter that is to be replaced, are read on whatever becomes of their output, so that
    /// their end is not held up by it; and so is what a sandbox that has ended left behind.
    fn may_read(&self) -> bool {
        if self.state.awaits_answer() || self.gone {
            true
        } else if self.log.is_pressed() || self.kept.is_full() {
            false
        } else if self.fanout.has_holders() {
            self.fanout.has_room()
        } else {
            self.config.detached_output == DetachedOutput::Drop
                || self.unseen < self.log.hold_bytes()
        }
    }

    fn next_deadline(&self) -> Option<(Instant, Deadline)> {
        let config = &self.config;
        let after = |from: Instant, limit: Option<Duration>| from.checked_add(limit?);
        let idle = self.state.phase() == SessionState::Idle;
        [
            (self.timer, Deadline::Timer),
            (self.pressed.and_then(|since| after(since, Some(DISK_DEADLINE))), Deadline::Disk),
            (self.vigil.due(), Deadline::Silence),
            (
                self.unwatched.and_then(|since| after(since, Some(config.detach_timeout))),
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

    fn on_command(&mut self, command: Command) {
        match command {
            Command::Attach { guest, joined }
                if !self.fanout.has_seat(&guest, self.config.participants) =>
            {
                // Whoever asked and is gone already need not be told.
                joined.send(Err(AttachError::Full(self.config.participants))).ok();
            }
            Command::Attach { guest, joined } => self.admit(guest, joined),
            Command::Message { from, message } => {
                let Some(participant) = self.fanout.get(from) else { return };
                let name = Arc::clone(&participant.name);
                match message.and_then(|message| permitted(participant.role, message)) {
                    Ok(message) => {
                        // A page's heartbeat is not somebody doing something, nor is what was
                        // refused.
                        if !matches!(message, ClientMessage::Ping { .. }) {
                            self.last_activity = Instant::now();
                        }
                        self.state.on_message(from, &name, message);
                    }
                    Err(refusal) => self.reply(from, &refusal.into()),
                }
            }
            Command::Output { cell, asked } => self.kept.ask(&cell, asked),
            Command::File(step) => {
                self.last_activity = Instant::now();
                self.transfers.take(step, &mut self.link);
            }
            Command::Drain => self.state.on_drain(),
            Command::End { reason } => self.end(reason),
        }
    }

    /// Joining and what is replayed are settled in one turn, so that nothing falls between.
    fn admit(&mut self, guest: Guest, joined: oneshot::Sender<Joined>) {
        let ready = self.ready(self.fanout.next_id(), &guest);
        let ready = Reply::Ready(Box::new(ready));
        let (id, outbox) = match self.fanout.join(&guest, &ready) {
            Ok(seat) => seat,
            Err(error) => {
                tracing::error!(%error, "cannot encode `ready`");
                return;
            }
        };
        self.unwatched = None;
        if joined.send(Ok((id, Arc::clone(&outbox)))).is_err() {
            // The socket went away while we answered; its seat must not stay taken.
            outbox.leave();
            return;
        }
        self.tell_participants();
    }

    fn ready(&self, participant: ParticipantId, guest: &Guest) -> Ready {
        let limits = &self.template.limits;
        let timeout_ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Ready {
            protocol: protocol::VERSION,
            session: self.id.to_string(),
            token: guest.token.reveal().to_owned(),
            participant,
            role: guest.role,
            template: self.template.name.clone(),
            language: self.language.clone(),
            state: self.state.phase(),
            seq: self.log.newest(),
            limits: ReadyLimits {
                message_bytes: self.config.message_bytes as u64,
                queue: self.config.queue as u64,
                output_bytes: limits.output_bytes,
                timeout_ms: limits.timeout.map(timeout_ms),
                memory_bytes: limits.memory_bytes,
                window_bytes: self.config.window_bytes as u64,
                cpu_millis: u64::from(limits.cpu_millis),
                processes: u64::from(limits.processes),
                disk_bytes: limits.disk_bytes,
            },
            backend: self.backend.name(),
        }
    }

    fn tell_participants(&mut self) {
        let list = self.fanout.list();
        self.emit(&Event::Participants { list });
    }

    fn hear(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::File { number, answer } => self.transfers.on_answer(number, answer),
            event => self.state.on_driver(event),
        }
    }

    fn on_driver(&mut self, event: DriverEvent) {
        self.hear(event);
        // What was read with it comes along; the room is looked at again for each.
        for _ in 1..EVENTS_A_TURN {
            self.apply();
            if self.farewell.is_some() || !self.may_read() {
                return;
            }
            match self.link.ready_event() {
                Ok(Some(event)) => self.hear(event),
                // The next turn meets the error again and handles it.
                Ok(None) | Err(_) => return,
            }
        }
    }

    /// Tells whoever lists sessions, if there is anything new to tell.
    fn summarise(&self) {
        let (state, participants) = (self.state.phase(), self.fanout.len());
        let now = Summary { state, participants, cells: self.cells };
        self.summary.send_if_modified(|told| std::mem::replace(told, now) != now);
    }

    async fn on_link_lost(&mut self, error: LinkError) {
        let cause = tokio::time::timeout(CAUSE_DEADLINE, self.handle.cause())
            .await
            .unwrap_or(EndCause::Unknown);
        tracing::warn!(error = %Chain(&error), ?cause, "the link is lost");
        let detail = match (&error, cause) {
            (_, EndCause::OutOfMemory { limit_bytes }) => {
                format!("the sandbox ran out of memory: limit {} MiB", limit_bytes >> 20)
            }
            (_, EndCause::Removed(how)) => format!("the sandbox is gone: {how}"),
            (_, EndCause::BackendGone(how)) => format!("the backend is gone: {how}"),
            (LinkError::Closed, EndCause::Supervisor(status)) => {
                format!("the sandbox's supervisor ended with status {status}")
            }
            (LinkError::Closed, EndCause::Unknown) => "the sandbox is gone".to_owned(),
            (error, _) => format!("the sandbox was given up: {error}"),
        };
        self.state.on_lost(&detail);
    }

    fn look_after_driver(&mut self) {
        match self.vigil.look(self.link.heard()) {
            Finding::Well => {}
            Finding::Ask => self.link.send_ping(),
            Finding::Silent => {
                let patience = self.vigil.patience();
                tracing::warn!(?patience, "the driver is silent and given up");
                let detail = format!("the sandbox was given up: it said nothing for {patience:?}");
                self.state.on_lost(&detail);
            }
        }
    }

    fn look_after_link(&mut self) {
        let most = UNSENT_BYTES.saturating_add(8 * self.config.message_bytes);
        if self.link.unsent() > most {
            tracing::warn!(unsent = self.link.unsent(), "the driver takes nothing and is given up");
            self.state.on_lost("the sandbox was given up: it takes no commands");
            self.apply();
        }
    }

    fn apply(&mut self) {
        for effect in self.state.take_effects() {
            match effect {
                Effect::Emit(event) => self.emit(&event),
                Effect::Reply(to, reply) => self.reply(to, &reply),
                Effect::Send(command) => {
                    self.hurried |= self.state.is_stopping();
                    self.link.send(&command);
                }
                Effect::ArmTimer(after) => self.timer = Instant::now().checked_add(after),
                Effect::DisarmTimer => self.timer = None,
                Effect::Keep { id, bytes } => self.kept.push(&id, &bytes),
                Effect::Kept { id, omitted } => self.kept.end(&id, omitted),
                Effect::Log(line) => tracing::debug!(line, "driver"),
                Effect::End => {}
            }
        }
    }

    fn emit(&mut self, event: &Event) {
        self.meter.event(event);
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let ts = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        match Sequenced::encode(event, self.log.next_seq(), ts) {
            Ok(sequenced) => {
                let wanted = self.fanout.wanted();
                let freed = self.log.push(&sequenced, wanted) + self.log.outdate(event, wanted);
                let cost = sequenced.json.len() + OVERHEAD_BYTES;
                self.unseen = (self.unseen + cost as u64).saturating_sub(freed as u64);
                self.fanout.broadcast(&sequenced);
            }
            Err(error) => tracing::error!(%error, "cannot encode an event"),
        }
        if let Event::Done { status, .. } = event {
            self.cells += 1;
            self.last_activity = Instant::now();
            // One that leaves the queue meanwhile is not the one that was told to stop.
            if *status != CellStatus::Cancelled
                && std::mem::take(&mut self.hurried)
                && let Err(error) = self.fanout.hurry(&self.log)
            {
                tracing::error!(%error, "cannot encode a gap");
            }
        }
        if let Event::Ended { reason, detail } = event {
            let code = match reason {
                EndReason::Requested | EndReason::Abandoned => CloseCode::Ended,
                EndReason::IdleTimeout | EndReason::Lifetime => CloseCode::Expired,
                EndReason::Draining => CloseCode::Draining,
                EndReason::SandboxLost | EndReason::InterpreterFailed => CloseCode::Internal,
            };
            self.farewell = Some(Close::new(code, detail.clone()));
        }
    }

    fn reply(&self, to: ParticipantId, reply: &Reply) {
        self.meter.reply(reply);
        if let Err(error) = self.fanout.reply(to, reply) {
            tracing::error!(%error, "cannot encode a reply");
        }
    }

    fn note_leavers(&mut self) {
        if let Some(owed) = self.fanout.owed()
            && owed < self.unseen
        {
            self.unseen = owed;
            self.log.mark_seen();
        }
        // What somebody said before leaving may still wait, and is said by a participant.
        if !self.commands.is_empty() || !self.fanout.sweep() {
            return;
        }
        if self.fanout.is_empty() {
            self.unwatched.get_or_insert(Instant::now());
        }
        if self.farewell.is_none() {
            self.tell_participants();
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

/// What a role may say.
fn permitted(role: Role, message: ClientMessage) -> Result<ClientMessage, Refusal> {
    let allowed = match (&message, role) {
        (ClientMessage::Ping { .. } | ClientMessage::Ack { .. }, _) | (_, Role::Owner) => true,
        (ClientMessage::End, Role::Editor) | (_, Role::Viewer) => false,
        (_, Role::Editor) => true,
    };
    if allowed {
        return Ok(message);
    }
    Err(Refusal::new(ErrorCode::Forbidden, "this participant's role does not allow that"))
}

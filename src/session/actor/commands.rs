//! What the actor does with commands: a participant joins, leaves or sends a message, files are
//! moved, the session is to end.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Actor;
use crate::keys::KeyConfig;
use crate::protocol::client::ClientMessage;
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::reply::{Ready, ReadyAllowed, ReadyLimits, Rights, Role};
use crate::protocol::{self, Reply};
use crate::session::state::ParticipantId;
use crate::session::tokens::Granted;
use crate::session::{
    AttachError, Command, JoinRequest, Joined, ObserveRequest, ObserverSeat, ReadFrom, Seat,
};

impl Actor {
    pub(super) fn on_command(&mut self, command: Command) {
        match command {
            Command::Attach { join, joined } => self.attach(join, joined),
            Command::Observe { request, joined } => self.observe(&request, joined),
            Command::Remove { participants, departure } => {
                self.audience.fanout.remove(&participants, &departure);
                self.audience.note_emptiness();
            }
            Command::RightsChanged { participant } => self.audience.on_rights_changed(participant),
            Command::Message { from, message, _charge } => {
                let Some(participant) = self.audience.fanout.get(from) else { return };
                let name = Arc::clone(&participant.name);
                match message.and_then(|message| permitted(participant.rights, message)) {
                    Ok(mut message) => {
                        let env = match &mut message {
                            ClientMessage::Execute(execute) => Some(&mut execute.env),
                            ClientMessage::Open(open) => Some(&mut open.env),
                            _ => None,
                        };
                        if let Some(env) = env {
                            for (name, value) in &self.config.env {
                                env.entry(name.clone()).or_insert_with(|| value.clone());
                            }
                        }
                        // A page's heartbeat is no activity, nor is a message that was refused.
                        if !matches!(message, ClientMessage::Ping { .. }) {
                            self.clock.last_activity = Instant::now();
                        }
                        self.state.on_message(from, &name, message);
                    }
                    Err(refusal) => self.reply(from, refusal.into()),
                }
            }
            Command::Output { cell, asked } => self.archive.ask(&cell, asked),
            Command::File(step) => {
                if step.is_activity {
                    self.clock.last_activity = Instant::now();
                }
                self.transfers.take(step, &mut self.driver.link);
            }
            Command::DocumentOpened => self.audience.fanout.note_document(),
            Command::Drain => self.state.on_drain(),
            Command::End { reason } => self.end(reason),
        }
    }

    /// Joining and what is replayed are settled in one turn, so that nothing falls between.
    fn attach(&mut self, join: JoinRequest, joined: oneshot::Sender<Joined>) {
        let own = match self.audience.admit(&join) {
            Ok(own) => own,
            Err(error) => {
                // A client that is gone already need not be told.
                joined.send(Err(error)).ok();
                return;
            }
        };
        let ready = Reply::Ready(Box::new(self.ready(self.audience.fanout.next_id(), &own)));
        let (participant, outbox) =
            match self.audience.fanout.join(&join.name, &own, join.after, ready) {
                Ok(seat) => seat,
                Err(error) => {
                    tracing::error!(%error, "cannot encode `ready`");
                    return;
                }
            };
        self.audience.on_joined();
        let expires = own.info.expires;
        if joined.send(Ok(Seat { participant, outbox: Arc::clone(&outbox), expires })).is_err() {
            // The socket went away while we answered; its seat must not stay taken.
            outbox.leave();
        }
    }

    fn observe(
        &mut self,
        request: &ObserveRequest,
        joined: oneshot::Sender<Result<ObserverSeat, AttachError>>,
    ) {
        let Some(rights) = self.audience.rights(&request.credential) else {
            // A client that is gone already need not be told.
            joined.send(Err(AttachError::Invalid)).ok();
            return;
        };
        let newest = self.journal.log().newest();
        let after = match request.from {
            ReadFrom::Beginning => None,
            ReadFrom::After(seq) => Some(seq),
            ReadFrom::Now => Some(newest),
        };
        let keeps_up = request.keeps_up && rights.role != Role::Viewer;
        let fanout = &mut self.audience.fanout;
        let (participant, outbox) = fanout.observe(&request.name, rights, after, keeps_up);
        let seat = ObserverSeat { participant, outbox: Arc::clone(&outbox), newest };
        if joined.send(Ok(seat)).is_err() {
            // The reader went away while we answered.
            outbox.leave();
        }
    }

    fn ready(&self, participant: ParticipantId, own: &Granted) -> Ready {
        let limits = &self.about.template.limits;
        let timeout_ms = |limit: Duration| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX);
        Ready {
            protocol: protocol::VERSION,
            session: self.about.id.to_string(),
            token: own.token.reveal().to_owned(),
            participant,
            rights: own.info.rights,
            template: self.about.template.name.clone(),
            language: self.about.language.clone(),
            languages: self.about.languages.clone(),
            programs: self.state.programs(),
            state: self.state.phase(),
            seq: self.journal.log().newest(),
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
            backend: self.about.backend.name(),
            allowed: self.config.key_holder.as_ref().and_then(|holder| {
                let KeyConfig { files, sharing, .. } = holder.key.config;
                (!files || !sharing).then_some(ReadyAllowed { files, sharing })
            }),
        }
    }
}

/// Lets a message pass that a participant with these rights may send.
fn permitted(rights: Rights, message: ClientMessage) -> Result<ClientMessage, Refusal> {
    let (least, runs) = match &message {
        ClientMessage::Ping { .. } | ClientMessage::Ack { .. } => (Role::Viewer, false),
        // Questions run no cell; who edits wants completions.
        ClientMessage::Query(_) => (Role::Editor, false),
        ClientMessage::Execute(_)
        | ClientMessage::Interrupt { .. }
        | ClientMessage::Input { .. }
        | ClientMessage::Open(_)
        | ClientMessage::Program { .. } => (Role::Editor, true),
        // These take the variables of all participants.
        ClientMessage::Restart { .. } | ClientMessage::End => (Role::Owner, true),
    };
    let held = rights.role;
    let text = if !held.covers(least) {
        let (needed, held) = (least.name(), held.name());
        format!("this needs the role {needed}, and yours is {held}; ask an owner for a link")
    } else if runs && !rights.may_run() {
        "you may edit the document but not run cells; ask an owner for the right to run".to_owned()
    } else {
        return Ok(message);
    };
    let refusal = Refusal::new(ErrorCode::Forbidden, text);
    Err(match message.id() {
        Some(id) => refusal.of(id),
        None => refusal,
    })
}

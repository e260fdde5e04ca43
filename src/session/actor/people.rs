//! What the actor does when somebody says something.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::oneshot;
use tokio::time::Instant;

use super::Actor;
use crate::protocol::client::{ClientMessage, Refusal};
use crate::protocol::reply::{ErrorCode, Ready, ReadyLimits, Role};
use crate::protocol::{self, Reply};
use crate::session::state::ParticipantId;
use crate::session::{AttachError, Command, Guest, Joined};

impl Actor {
    pub(super) fn on_command(&mut self, command: Command) {
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
    pub(super) fn admit(&mut self, guest: Guest, joined: oneshot::Sender<Joined>) {
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
        }
    }

    pub(super) fn ready(&self, participant: ParticipantId, guest: &Guest) -> Ready {
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
}

/// What a role may say.
fn permitted(role: Role, message: ClientMessage) -> Result<ClientMessage, Refusal> {
    let least = match &message {
        ClientMessage::Ping { .. } | ClientMessage::Ack { .. } => Role::Viewer,
        ClientMessage::Execute(_)
        | ClientMessage::Interrupt { .. }
        | ClientMessage::Input { .. }
        | ClientMessage::Query(_) => Role::Editor,
        // What takes everybody's variables.
        ClientMessage::Restart | ClientMessage::End => Role::Owner,
    };
    if role.covers(least) {
        return Ok(message);
    }
    let (needed, held) = (least.name(), role.name());
    let text =
        format!("this needs the role {needed}, and yours is {held}; ask an owner for a link");
    Err(Refusal::new(ErrorCode::Forbidden, text))
}

//! What the actor does when the driver says something, or nothing.

use std::time::Duration;

use super::Actor;
use crate::error::Chain;
use crate::link::{DriverEvent, LinkError};
use crate::sandbox::EndCause;
use crate::session::watchdog::Verdict;

/// Longest wait for a backend's word on why a sandbox is gone.
const CAUSE_DEADLINE: Duration = Duration::from_secs(5);

/// Most that may wait for the driver beside a few of the longest messages: the questions that may
/// be open, and what they need beside their code. A supervisor takes its commands at once, so one
/// that does not is stuck, or hostile.
const UNSENT_BYTES: usize = 16 << 20; // 16 MiB

/// Driver events handled before commands are looked at again: an interrupt under a flood is seen
/// within a few frames.
const EVENTS_A_TURN: usize = 16;

impl Actor {
    pub(super) fn handle_driver_event(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::File { number, answer } => self.transfers.on_answer(number, answer),
            event => self.state.on_driver(event),
        }
    }

    pub(super) fn on_driver(&mut self, event: DriverEvent) {
        self.handle_driver_event(event);
        // What was read with it comes along; the room is looked at again for each.
        for _ in 1..EVENTS_A_TURN {
            self.apply();
            if self.departure.is_some() || !self.may_read() {
                return;
            }
            match self.driver.link.ready_event() {
                Ok(Some(event)) => self.handle_driver_event(event),
                // The next turn meets the error again and handles it.
                Ok(None) | Err(_) => return,
            }
        }
    }

    pub(super) async fn on_link_lost(&mut self, error: LinkError) {
        let cause = tokio::time::timeout(CAUSE_DEADLINE, self.driver.handle.cause())
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
            (error, _) => format!("the sandbox was ended: {error}"),
        };
        self.state.on_lost(&detail);
    }

    pub(super) fn check_driver(&mut self) {
        match self.driver.watchdog.check(self.driver.link.heard()) {
            Verdict::Alive => {}
            Verdict::Ask => self.driver.link.send_ping(),
            Verdict::Silent => {
                let patience = self.driver.watchdog.patience();
                tracing::warn!(?patience, "the driver is silent and given up");
                let detail = format!("the sandbox was ended: it did not answer for {patience:?}");
                self.state.on_lost(&detail);
            }
        }
    }

    pub(super) fn check_link(&mut self) {
        let most = UNSENT_BYTES.saturating_add(8 * self.config.message_bytes);
        if self.driver.link.unsent() > most {
            tracing::warn!(
                unsent = self.driver.link.unsent(),
                "the driver takes nothing and is given up"
            );
            self.state.on_lost("the sandbox was ended: it reads no commands");
            self.apply();
        }
    }
}

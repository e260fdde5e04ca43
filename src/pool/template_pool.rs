//! One template's part of the pool: what is parked, who waits, what is being made.

use std::collections::VecDeque;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tokio::sync::oneshot;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use super::backoff::Backoff;
use super::demand::Demand;
use super::{Parked, PrepareError, Prepared, TemplatePoolStatus};
use crate::id::SessionId;
use crate::link::{DriverEvent, LinkError};
use crate::template::Template;

/// The answer to a claim that waits.
pub(super) type Answer = Result<Parked, PrepareError>;

/// A template's sandboxes.
pub(super) struct TemplatePool {
    pub(super) template: Arc<Template>,
    /// Oldest first.
    parked: VecDeque<Parked>,
    /// First come first.
    waiting: VecDeque<oneshot::Sender<Answer>>,
    /// The creations under way, oldest first.
    pub(super) creating: Vec<AbortHandle>,
    demand: Demand,
    pub(super) backoff: Backoff,
}

impl TemplatePool {
    /// An empty one.
    pub(super) fn new(template: Arc<Template>, now: Instant) -> TemplatePool {
        let demand = Demand::new(template.pool, now);
        TemplatePool {
            template,
            parked: VecDeque::new(),
            waiting: VecDeque::new(),
            creating: Vec::new(),
            demand,
            backoff: Backoff::default(),
        }
    }

    /// A claim: gives it the oldest sandbox, or puts it into the line, at its head if it had
    /// got one before that was dead. Answers whether there was one.
    pub(super) fn serve(
        &mut self,
        reply: oneshot::Sender<Answer>,
        again: bool,
        now: Instant,
    ) -> bool {
        if self.parked.len() <= 1 {
            self.demand.on_empty(now);
        }
        match self.parked.pop_front() {
            Some(parked) => {
                if let Err(Ok(unwanted)) = reply.send(Ok(parked)) {
                    self.parked.push_front(unwanted);
                }
                return true;
            }
            None if again => self.waiting.push_front(reply),
            None => self.waiting.push_back(reply),
        }
        false
    }

    /// A sandbox is ready: the first in the line gets it; if there is no line it is parked.
    pub(super) fn stock(&mut self, prepared: Prepared, now: Instant) {
        self.backoff.succeed();
        let mut parked = Parked { prepared, since: now };
        while let Some(reply) = self.waiting.pop_front() {
            match reply.send(Ok(parked)) {
                Err(Ok(unwanted)) => parked = unwanted,
                _ => return,
            }
        }
        self.parked.push_back(parked);
    }

    /// Making one failed: the first in the line is told, if there is one.
    pub(super) fn fail(&mut self, mut error: PrepareError) -> Result<(), PrepareError> {
        while let Some(reply) = self.waiting.pop_front() {
            match reply.send(Err(error)) {
                Err(Err(unheard)) => error = unheard,
                _ => return Ok(()),
            }
        }
        Err(error)
    }

    /// Forgets who has stopped waiting.
    pub(super) fn forget_gone(&mut self) {
        self.waiting.retain(|reply| !reply.is_closed());
    }

    /// Looks after the parked ones; ready with those that died.
    pub(super) fn poll_dead(&mut self, cx: &mut Context<'_>) -> Poll<Vec<(SessionId, String)>> {
        let mut dead = Vec::new();
        self.parked.retain_mut(|parked| match poll_watch(&mut parked.prepared, cx) {
            Poll::Pending => true,
            Poll::Ready(why) => {
                dead.push((parked.prepared.id.clone(), why));
                false
            }
        });
        if dead.is_empty() { Poll::Pending } else { Poll::Ready(dead) }
    }

    /// Takes away what is parked beyond the target, the oldest first.
    pub(super) fn shrink(&mut self, now: Instant) -> usize {
        let target = self.demand.target(now);
        let mut surplus = 0;
        while self.parked.len() > target {
            // Dropping one tells the backend's reaper.
            self.parked.pop_front();
            surplus += 1;
        }
        surplus
    }

    /// Newcomers for whom nothing is being made yet.
    pub(super) fn unserved(&self) -> usize {
        self.waiting.len().saturating_sub(self.creating.len())
    }

    /// How many more should be made so that, the line served, the target is met.
    pub(super) fn missing(&self, now: Instant) -> usize {
        self.wanted(now).saturating_sub(self.creating.len())
    }

    /// Stops creations that no claim needs any more, the newest first.
    pub(super) fn stop_needless(&mut self, now: Instant) {
        let wanted = self.wanted(now);
        while self.creating.len() > wanted {
            if let Some(newest) = self.creating.pop() {
                newest.abort();
            }
        }
    }

    fn wanted(&self, now: Instant) -> usize {
        self.waiting.len() + self.demand.target(now).saturating_sub(self.parked.len())
    }

    /// When there is something to do even if nothing happens.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        let retry = self.backoff.retry_at().filter(|at| *at > now && self.missing(now) > 0);
        [self.demand.next_fall(now), retry].into_iter().flatten().min()
    }

    /// What others may know.
    pub(super) fn status(&self, now: Instant) -> TemplatePoolStatus {
        TemplatePoolStatus {
            template: Arc::clone(&self.template),
            parked: self.parked.len(),
            target: self.demand.target(now),
            creating: self.creating.len(),
            waiting: self.waiting.len(),
            failures: self.backoff.failures(),
            retry_at: self.backoff.retry_at(),
        }
    }
}

/// Reads what a parked driver says; ready, with the reason, once it is of no use any more.
fn poll_watch(prepared: &mut Prepared, cx: &mut Context<'_>) -> Poll<String> {
    loop {
        // The future holds nothing that is lost when it is dropped.
        let event = pin!(prepared.link.turn(true)).poll(cx);
        return Poll::Ready(match std::task::ready!(event) {
            Ok(DriverEvent::Log(line)) => {
                tracing::debug!(session = %prepared.id, line, "driver");
                continue;
            }
            Ok(event) if event.is_of_no_cell() => continue,
            Ok(DriverEvent::Exited { exited, .. }) => {
                format!("its interpreter ended: {}", exited.detail)
            }
            Ok(_) => "its driver speaks of a cell that nobody sent".to_owned(),
            Err(LinkError::Closed) => "it is gone".to_owned(),
            Err(error) => error.to_string(),
        });
    }
}

//! The task that owns the pool: it waits for wishes, for sandboxes that were made, for parked ones
//! that die and for deadlines, and then puts in order what is parked and what is being made.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::Instrument;

use super::prepare::prepare;
use super::shelf::{Answer, Shelf};
use super::{PoolConfig, PrepareError, Prepared, ShelfStatus};
use crate::error::Chain;
use crate::id::SessionId;
use crate::metrics::{self, Metrics};
use crate::sandbox::{Backend, SandboxSpec};
use crate::template::Template;

/// Somebody wants a sandbox.
pub(super) struct Wish {
    /// From which shelf.
    pub(super) shelf: usize,
    /// They got one before, and it was dead.
    pub(super) again: bool,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The pool's owner.
pub(super) struct Actor {
    backend: Arc<dyn Backend>,
    config: PoolConfig,
    shelves: Vec<Shelf>,
    creations: JoinSet<Result<Prepared, PrepareError>>,
    wishes: mpsc::Receiver<Wish>,
    gone: Arc<Notify>,
    status: watch::Sender<Vec<ShelfStatus>>,
    metrics: Metrics,
}

/// How a creation's task ended.
type Made = Result<(Id, Result<Prepared, PrepareError>), JoinError>;

/// What the actor waits for.
enum Turn {
    Stop,
    Wish(Option<Wish>),
    /// A newcomer waits no longer.
    Gone,
    Made(Box<Made>),
    /// Parked sandboxes of a shelf died, for these reasons.
    Dead(usize, Vec<(SessionId, String)>),
    /// A target fell, or a back-off is over.
    Deadline,
}

impl Actor {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        templates: &[Arc<Template>],
        config: PoolConfig,
        wishes: mpsc::Receiver<Wish>,
        gone: Arc<Notify>,
        metrics: &Metrics,
    ) -> (Actor, watch::Receiver<Vec<ShelfStatus>>) {
        let now = Instant::now();
        let shelves = templates.iter().map(|template| Shelf::new(Arc::clone(template), now));
        let shelves: Vec<Shelf> = shelves.collect();
        let (status, seen) = watch::channel(shelves.iter().map(|s| s.status(now)).collect());
        let creations = JoinSet::new();
        let metrics = metrics.clone();
        (Actor { backend, config, shelves, creations, wishes, gone, status, metrics }, seen)
    }

    /// Lives until it is stopped; then nothing is parked and nothing is being made.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.settle();
        loop {
            match self.turn(&stop).await {
                Turn::Stop | Turn::Wish(None) => break,
                Turn::Wish(Some(Wish { shelf, again, reply })) => {
                    let shelf = &mut self.shelves[shelf];
                    let result =
                        if shelf.serve(reply, again, Instant::now()) { "hit" } else { "miss" };
                    let labels = [shelf.template.name.as_str(), result];
                    self.metrics.count(&metrics::POOL_CLAIMS, &labels);
                }
                Turn::Gone => self.shelves.iter_mut().for_each(Shelf::forget_gone),
                Turn::Made(made) => self.on_made(*made),
                Turn::Dead(shelf, dead) => self.on_dead(shelf, dead),
                Turn::Deadline => {}
            }
            self.settle();
        }
        // What was being made is dropped half-way, which leaves nothing behind.
        self.creations.shutdown().await;
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Turn {
        let now = Instant::now();
        let deadline = self.shelves.iter().filter_map(|shelf| shelf.next_deadline(now)).min();
        let deadline = async move {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let shelves = &mut self.shelves;
        let dead = poll_fn(|cx| {
            for (at, shelf) in shelves.iter_mut().enumerate() {
                if let Poll::Ready(dead) = shelf.poll_dead(cx) {
                    return Poll::Ready(Turn::Dead(at, dead));
                }
            }
            Poll::Pending
        });
        tokio::select! {
            // The dead before wishes: what is known to be dead is not given away.
            biased;
            () = stop.cancelled() => Turn::Stop,
            dead = dead => dead,
            wish = self.wishes.recv() => Turn::Wish(wish),
            Some(made) = self.creations.join_next_with_id() => Turn::Made(Box::new(made)),
            () = self.gone.notified() => Turn::Gone,
            () = deadline => Turn::Deadline,
        }
    }

    fn on_made(&mut self, made: Result<(Id, Result<Prepared, PrepareError>), JoinError>) {
        let (id, made) = match made {
            Ok(made) => made,
            // It was stopped, and taken from its shelf then.
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), Err(PrepareError::Panicked)),
        };
        let owner = self.shelves.iter_mut().find_map(|shelf| {
            let at = shelf.creating.iter().position(|creation| creation.id() == id)?;
            shelf.creating.remove(at);
            Some(shelf)
        });
        // Made in the very moment it was stopped: it goes with `made`.
        let Some(shelf) = owner else { return };
        match made {
            Ok(prepared) => shelf.stock(prepared, Instant::now()),
            Err(error) => {
                let labels = [self.backend.kind().name(), shelf.template.name.as_str()];
                self.metrics.count(&metrics::SANDBOX_FAILURES, &labels);
                shelf.backoff.fail(Instant::now(), jitter());
                if let Err(untold) = shelf.fail(error) {
                    let failures = shelf.backoff.failures();
                    let template = &shelf.template.name;
                    let error = Chain(&untold);
                    tracing::warn!(template, failures, %error, "the pool cannot be filled");
                }
            }
        }
    }

    fn on_dead(&mut self, shelf: usize, dead: Vec<(SessionId, String)>) {
        let shelf = &mut self.shelves[shelf];
        for (session, why) in dead {
            tracing::warn!(%session, why, "a parked sandbox died");
            self.metrics.count(&metrics::POOL_LOST, &[shelf.template.name.as_str()]);
        }
        // What kills one soon kills the next.
        shelf.backoff.fail(Instant::now(), jitter());
    }

    /// Ends what is too much, begins what is missing, tells what came of it.
    fn settle(&mut self) {
        let now = Instant::now();
        for at in 0..self.shelves.len() {
            let shelf = &mut self.shelves[at];
            shelf.shrink(now);
            shelf.stop_needless(now);
        }
        // Newcomers first, one for each template in turn so that none waits for another's line.
        while self.under_way() < self.config.creations {
            let most = self.shelves.iter_mut().filter(|shelf| shelf.unserved() > 0);
            let Some(shelf) = most.min_by_key(|shelf| shelf.creating.len()) else { break };
            begin(shelf, &mut self.creations, &self.backend, &self.config, &self.metrics);
        }
        // Refills leave half of the places to newcomers yet to come.
        while self.under_way() < self.config.creations.div_ceil(2) {
            let mut shelves = self.shelves.iter_mut();
            let missing = shelves.find(|s| s.missing(now) > 0 && s.backoff.may_try(now));
            let Some(shelf) = missing else { break };
            begin(shelf, &mut self.creations, &self.backend, &self.config, &self.metrics);
        }
        let status: Vec<_> = self.shelves.iter().map(|shelf| shelf.status(now)).collect();
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// Creations that were not stopped.
    fn under_way(&self) -> usize {
        self.shelves.iter().map(|shelf| shelf.creating.len()).sum()
    }
}

fn begin(
    shelf: &mut Shelf,
    creations: &mut JoinSet<Result<Prepared, PrepareError>>,
    backend: &Arc<dyn Backend>,
    config: &PoolConfig,
    metrics: &Metrics,
) {
    let backend = Arc::clone(backend);
    let template = Arc::clone(&shelf.template);
    let deadline = config.create_timeout;
    let labels = [backend.kind().name(), template.name.as_str()];
    let took = metrics.histogram(&metrics::SANDBOX_CREATE, &labels);
    shelf.creating.push(creations.spawn(async move {
        let began = Instant::now();
        let session = SessionId::random()?;
        let span = tracing::error_span!("session", id = %session);
        let spec = SandboxSpec { session, template };
        let prepared = prepare(&*backend, spec, deadline).instrument(span).await?;
        took.record(began.elapsed());
        Ok(prepared)
    }));
}

/// From 0 to 1. Without randomness everything fails, and then at the same time.
fn jitter() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

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
use super::template_pool::{Answer, TemplatePool};
use super::{PoolConfig, PrepareError, Prepared, TemplatePoolStatus};
use crate::error::Chain;
use crate::id::SessionId;
use crate::metrics::{self, Metrics};
use crate::sandbox::{Backend, SandboxSpec};
use crate::template::Template;

/// A claim for a sandbox.
pub(super) struct ClaimRequest {
    /// Which template's.
    pub(super) template_pool: usize,
    /// They got one before, and it was dead.
    pub(super) again: bool,
    pub(super) reply: oneshot::Sender<Answer>,
}

/// The pool's owner.
pub(super) struct Actor {
    backend: Arc<dyn Backend>,
    config: PoolConfig,
    template_pools: Vec<TemplatePool>,
    creations: JoinSet<Result<Prepared, PrepareError>>,
    wishes: mpsc::Receiver<ClaimRequest>,
    gone: Arc<Notify>,
    status: watch::Sender<Vec<TemplatePoolStatus>>,
    metrics: Metrics,
}

/// How a creation's task ended.
type Made = Result<(Id, Result<Prepared, PrepareError>), JoinError>;

/// What the actor waits for.
enum Turn {
    Stop,
    ClaimRequest(Option<ClaimRequest>),
    /// A newcomer waits no longer.
    Gone,
    Made(Box<Made>),
    /// Parked sandboxes of a template died, for these reasons.
    Dead(usize, Vec<(SessionId, String)>),
    /// A target fell, or a back-off is over.
    Deadline,
}

impl Actor {
    pub(super) fn new(
        backend: Arc<dyn Backend>,
        templates: &[Arc<Template>],
        config: PoolConfig,
        wishes: mpsc::Receiver<ClaimRequest>,
        gone: Arc<Notify>,
        metrics: &Metrics,
    ) -> (Actor, watch::Receiver<Vec<TemplatePoolStatus>>) {
        let now = Instant::now();
        let template_pools =
            templates.iter().map(|template| TemplatePool::new(Arc::clone(template), now));
        let template_pools: Vec<TemplatePool> = template_pools.collect();
        let (status, seen) = watch::channel(template_pools.iter().map(|s| s.status(now)).collect());
        let creations = JoinSet::new();
        let metrics = metrics.clone();
        (Actor { backend, config, template_pools, creations, wishes, gone, status, metrics }, seen)
    }

    /// Lives until it is stopped; then nothing is parked and nothing is being made.
    pub(super) async fn run(mut self, stop: CancellationToken) {
        self.settle();
        loop {
            match self.turn(&stop).await {
                Turn::Stop | Turn::ClaimRequest(None) => break,
                Turn::ClaimRequest(Some(ClaimRequest { template_pool, again, reply })) => {
                    let template_pool = &mut self.template_pools[template_pool];
                    let result = if template_pool.serve(reply, again, Instant::now()) {
                        "hit"
                    } else {
                        "miss"
                    };
                    let labels = [template_pool.template.name.as_str(), result];
                    self.metrics.count(&metrics::POOL_CLAIMS, &labels);
                }
                Turn::Gone => self.template_pools.iter_mut().for_each(TemplatePool::forget_gone),
                Turn::Made(made) => self.on_made(*made),
                Turn::Dead(template_pool, dead) => self.on_dead(template_pool, dead),
                Turn::Deadline => {}
            }
            self.settle();
        }
        // What was being made is dropped half-way, which leaves nothing behind.
        self.creations.shutdown().await;
    }

    async fn turn(&mut self, stop: &CancellationToken) -> Turn {
        let now = Instant::now();
        let deadline = self
            .template_pools
            .iter()
            .filter_map(|template_pool| template_pool.next_deadline(now))
            .min();
        let deadline = async move {
            match deadline {
                Some(at) => sleep_until(at).await,
                None => std::future::pending().await,
            }
        };
        let template_pools = &mut self.template_pools;
        let dead = poll_fn(|cx| {
            for (at, template_pool) in template_pools.iter_mut().enumerate() {
                if let Poll::Ready(dead) = template_pool.poll_dead(cx) {
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
            claim = self.wishes.recv() => Turn::ClaimRequest(claim),
            Some(made) = self.creations.join_next_with_id() => Turn::Made(Box::new(made)),
            () = self.gone.notified() => Turn::Gone,
            () = deadline => Turn::Deadline,
        }
    }

    fn on_made(&mut self, made: Result<(Id, Result<Prepared, PrepareError>), JoinError>) {
        let (id, made) = match made {
            Ok(made) => made,
            // It was stopped, and taken from its pool then.
            Err(error) if error.is_cancelled() => return,
            Err(error) => (error.id(), Err(PrepareError::Panicked)),
        };
        let owner = self.template_pools.iter_mut().find_map(|template_pool| {
            let at = template_pool.creating.iter().position(|creation| creation.id() == id)?;
            template_pool.creating.remove(at);
            Some(template_pool)
        });
        // Made in the very moment it was stopped: it goes with `made`.
        let Some(template_pool) = owner else { return };
        match made {
            Ok(prepared) => template_pool.stock(prepared, Instant::now()),
            Err(error) => {
                let labels = [self.backend.kind().name(), template_pool.template.name.as_str()];
                self.metrics.count(&metrics::SANDBOX_FAILURES, &labels);
                template_pool.backoff.fail(Instant::now(), jitter());
                if let Err(untold) = template_pool.fail(error) {
                    let failures = template_pool.backoff.failures();
                    let template = &template_pool.template.name;
                    let error = Chain(&untold);
                    tracing::warn!(template, failures, %error, "the pool cannot be filled");
                }
            }
        }
    }

    fn on_dead(&mut self, template_pool: usize, dead: Vec<(SessionId, String)>) {
        let template_pool = &mut self.template_pools[template_pool];
        for (session, why) in dead {
            tracing::warn!(%session, why, "a parked sandbox died");
            self.metrics.count(&metrics::POOL_LOST, &[template_pool.template.name.as_str()]);
        }
        // What kills one soon kills the next.
        template_pool.backoff.fail(Instant::now(), jitter());
    }

    /// Ends what is too much, begins what is missing, tells what came of it.
    fn settle(&mut self) {
        let now = Instant::now();
        for at in 0..self.template_pools.len() {
            let template_pool = &mut self.template_pools[at];
            template_pool.shrink(now);
            template_pool.stop_needless(now);
        }
        // Newcomers first, one for each template in turn so that none waits for another's line.
        while self.under_way() < self.config.creations {
            let most =
                self.template_pools.iter_mut().filter(|template_pool| template_pool.unserved() > 0);
            let Some(template_pool) = most.min_by_key(|template_pool| template_pool.creating.len())
            else {
                break;
            };
            begin(template_pool, &mut self.creations, &self.backend, &self.config, &self.metrics);
        }
        // Refills leave half of the places to newcomers yet to come.
        while self.under_way() < self.config.creations.div_ceil(2) {
            let mut template_pools = self.template_pools.iter_mut();
            let missing = template_pools.find(|s| s.missing(now) > 0 && s.backoff.may_try(now));
            let Some(template_pool) = missing else { break };
            begin(template_pool, &mut self.creations, &self.backend, &self.config, &self.metrics);
        }
        let status: Vec<_> =
            self.template_pools.iter().map(|template_pool| template_pool.status(now)).collect();
        self.status.send_if_modified(|old| {
            let changed = *old != status;
            *old = status;
            changed
        });
    }

    /// Creations that were not stopped.
    fn under_way(&self) -> usize {
        self.template_pools.iter().map(|template_pool| template_pool.creating.len()).sum()
    }
}

fn begin(
    template_pool: &mut TemplatePool,
    creations: &mut JoinSet<Result<Prepared, PrepareError>>,
    backend: &Arc<dyn Backend>,
    config: &PoolConfig,
    metrics: &Metrics,
) {
    let backend = Arc::clone(backend);
    let template = Arc::clone(&template_pool.template);
    let deadline = config.create_timeout;
    let labels = [backend.kind().name(), template.name.as_str()];
    let took = metrics.histogram(&metrics::SANDBOX_CREATE, &labels);
    template_pool.creating.push(creations.spawn(async move {
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

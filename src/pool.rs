//! Sandboxes with an interpreter that is ready for its first cell: made ahead of time and parked,
//! used once each.
//!
//! ```text
//!   Pool::claim ── ClaimRequest ──► Actor ─ a TemplatePool each ─┬─ parked: oldest goes first
//!        ▲                            │     (demand, back-off)    └─ creating: claims first,
//!        └─ a sandbox, or why not ────┘                              then refills
//! ```
//! A claim gets the oldest parked sandbox of its template; else it waits, first come first served,
//! for the next one that is made, even if that was begun for another claim. How many are
//! being made at one time is bounded; refills never take the last places, so that claims
//! need not wait for them.
//!
//! A parked sandbox that dies is noticed at once and replaced. One that has been parked for long
//! has to answer a ping before it is given away. When making them fails, refills back off; for
//! a claim an attempt is always made, and it gets the error.
//!
//! One task owns everything; dropping the [`Pool`] ends it, and with it all that is parked.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::{Instant, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::id::SessionId;
use crate::link::{Link, LinkError};
use crate::metrics::{self, Metrics};
use crate::protocol::reply::LanguageInfo;
use crate::sandbox::{Backend, BackendKind, SandboxError, SandboxHandle, Startable};
use crate::template::Template;

mod actor;
mod backoff;
mod demand;
mod prepare;
mod template_pool;

use actor::{Actor, ClaimRequest};

/// Wishes on their way to the actor; who comes when they are this many waits to be heard.
const WISHES: usize = 64;

/// How long a sandbox may be parked and count as alive because its link is open. A supervisor that
/// was stopped or swapped out keeps its link.
const FRESH: Duration = Duration::from_secs(30);

/// What a parked supervisor has to answer a ping. It does nothing else, so a healthy one needs
/// tens of microseconds; a busy machine is forgiven a lot.
const PING_DEADLINE: Duration = Duration::from_millis(250);

/// What the settings say about making sandboxes.
#[derive(Clone, Debug)]
pub struct PoolConfig {
    /// Sandboxes being made at one time, at least 1.
    pub creations: usize,
    /// From the claim for a sandbox to an interpreter that is ready.
    pub create_timeout: Duration,
}

impl Default for PoolConfig {
    fn default() -> PoolConfig {
        PoolConfig {
            creations: 8, // more at once only slow each other down, also with an engine
            create_timeout: Duration::from_secs(30),
        }
    }
}

/// A sandbox whose interpreter waits for a cell.
pub struct Prepared {
    /// Which session it will be.
    pub id: SessionId,
    /// What it was made from.
    pub template: Arc<Template>,
    /// Who made it.
    pub backend: BackendKind,
    /// The way to its driver.
    pub link: Link,
    /// Power over it.
    pub handle: Box<dyn SandboxHandle>,
    /// What the interpreter says it is.
    pub language: LanguageInfo,
    /// What can be started in it later.
    pub startable: Arc<Startable>,
}

impl Prepared {
    /// What cells may be written in, the interpreter's language first.
    pub fn languages(&self) -> Vec<LanguageInfo> {
        let others = self.startable.languages().skip(1).cloned();
        std::iter::once(self.language.clone()).chain(others).collect()
    }
}

/// Why no interpreter is ready.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The backend could not make a sandbox.
    #[error("cannot make a sandbox")]
    Sandbox(#[from] SandboxError),
    /// The driver in it did not answer as it should.
    #[error("the driver in the sandbox failed")]
    Link(#[from] LinkError),
    /// The interpreter ended before it was ready.
    #[error("the interpreter does not start: {0}")]
    Interpreter(String),
    /// What it says of itself cannot be read.
    #[error("the interpreter's first message cannot be read")]
    Ready(#[from] serde_json::Error),
    /// The kernel gives no randomness for its name.
    #[error("cannot make an id")]
    Random(#[from] getrandom::Error),
    /// Making it panicked.
    #[error("making a sandbox failed unexpectedly")]
    Panicked,
    /// All that took too long.
    #[error("no interpreter was ready within {} ms", .0.as_millis())]
    Deadline(Duration),
}

/// Why a claim came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum ClaimError {
    /// The pool was not given this template.
    #[error("the pool has no template {0:?}")]
    NoTemplate(String),
    /// The pool is being emptied for good.
    #[error("the pool is closed")]
    Closed,
    /// Making a sandbox failed.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
}

/// One template's sandboxes at a moment.
#[derive(Clone, Debug, PartialEq)]
pub struct TemplatePoolStatus {
    /// The template.
    pub template: Arc<Template>,
    /// Parked and ready.
    pub parked: usize,
    /// How many should be.
    pub target: usize,
    /// Being made, for newcomers too.
    pub creating: usize,
    /// Newcomers that wait for one.
    pub waiting: usize,
    /// Failures since the last success.
    pub failures: u32,
    /// While backing off: when the next refill is tried.
    pub retry_at: Option<Instant>,
}

impl TemplatePoolStatus {
    /// Whether a newcomer has nothing to hope for: attempts fail and none is parked.
    pub fn is_failing(&self) -> bool {
        self.retry_at.is_some() && self.parked == 0
    }
}

/// A sandbox and since when it is parked.
struct Parked {
    prepared: Prepared,
    since: Instant,
}

/// Gives away sandboxes. Dropping it ends those that are parked.
pub struct Pool {
    /// In the order of the pools.
    templates: Vec<Arc<Template>>,
    metrics: Metrics,
    wishes: mpsc::Sender<ClaimRequest>,
    /// A claim was given up while it waited.
    gone: Arc<Notify>,
    status: watch::Receiver<Vec<TemplatePoolStatus>>,
    config: PoolConfig,
    stop: CancellationToken,
    task: TaskTracker,
    _stop_on_drop: DropGuard,
}

impl Pool {
    /// Starts to fill the pools of these templates.
    ///
    /// # Panics
    /// Outside a tokio runtime, as tokio does.
    pub fn start(
        backend: Arc<dyn Backend>,
        templates: impl IntoIterator<Item = Arc<Template>>,
        config: PoolConfig,
        metrics: Metrics,
    ) -> Pool {
        let (wishes, incoming) = mpsc::channel(WISHES);
        let gone = Arc::new(Notify::new());
        let stop = CancellationToken::new();
        let templates: Vec<_> = templates.into_iter().collect();
        let (actor, status) =
            Actor::new(backend, &templates, config.clone(), incoming, Arc::clone(&gone), &metrics);
        let task = TaskTracker::new();
        task.spawn(actor.run(stop.clone()));
        task.close();
        let _stop_on_drop = stop.clone().drop_guard();
        Pool { templates, metrics, wishes, gone, status, config, stop, task, _stop_on_drop }
    }

    /// A sandbox of this template, parked or made for the caller. Dropping the future leaves the
    /// line; what was being made for it is parked if there is room.
    pub async fn claim(&self, template: &str) -> Result<Prepared, ClaimError> {
        let claimed = timeout(self.config.create_timeout, self.claim_healthy(template)).await;
        claimed.unwrap_or(Err(PrepareError::Deadline(self.config.create_timeout).into()))
    }

    async fn claim_healthy(&self, template: &str) -> Result<Prepared, ClaimError> {
        let mut again = false;
        loop {
            let mut parked = self.ask(template, again).await?;
            if parked.since.elapsed() < FRESH {
                return Ok(parked.prepared);
            }
            let link = &mut parked.prepared.link;
            let why = match timeout(PING_DEADLINE, link.ping()).await {
                Ok(Ok(())) => return Ok(parked.prepared),
                Ok(Err(error)) => error.to_string(),
                Err(_) => format!("no answer within {} ms", PING_DEADLINE.as_millis()),
            };
            tracing::warn!(session = %parked.prepared.id, why, "a parked sandbox was given up");
            self.metrics.count(&metrics::POOL_LOST, &[template]);
            // It has waited once, and goes before those who come now.
            again = true;
        }
    }

    async fn ask(&self, template: &str, again: bool) -> Result<Parked, ClaimError> {
        let template_pool = self.templates.iter().position(|known| known.name == template);
        let template_pool =
            template_pool.ok_or_else(|| ClaimError::NoTemplate(template.to_owned()))?;
        let (reply, answer) = oneshot::channel();
        let claim = ClaimRequest { template_pool, again, reply };
        self.wishes.send(claim).await.map_err(|_| ClaimError::Closed)?;
        // Told whenever we stop waiting, also because we were served.
        let _leave = NotifyOnDrop(&self.gone);
        Ok(answer.await.map_err(|_| ClaimError::Closed)??)
    }

    /// Sets the gauges of what the pools hold at this moment.
    pub fn measure(&self) {
        for template_pool in self.status.borrow().iter() {
            let template = [template_pool.template.name.as_str()];
            for (metric, value) in [
                (&metrics::POOL_PARKED, template_pool.parked),
                (&metrics::POOL_TARGET, template_pool.target),
                (&metrics::POOL_CREATING, template_pool.creating),
                (&metrics::POOL_WAITING, template_pool.waiting),
                (&metrics::POOL_FAILURES, template_pool.failures as usize),
            ] {
                self.metrics.set(metric, &template, value as f64);
            }
        }
    }

    /// What the pools hold at this moment, a template each.
    pub fn status(&self) -> Vec<TemplatePoolStatus> {
        self.status.borrow().clone()
    }

    /// Waits until the pools are as `wanted` says.
    pub async fn until(&self, wanted: impl FnMut(&Vec<TemplatePoolStatus>) -> bool) {
        // An error says that the pool has ended, and it will not be as wanted any more.
        self.status.clone().wait_for(wanted).await.ok();
    }

    /// Ends the parked sandboxes and refuses all claims, those that wait included.
    pub fn begin_shutdown(&self) {
        self.stop.cancel();
    }

    /// Waits until all that was parked has been given to the backend's reaper.
    pub async fn shutdown(&self) {
        self.begin_shutdown();
        self.task.wait().await;
    }
}

struct NotifyOnDrop<'a>(&'a Notify);

impl Drop for NotifyOnDrop<'_> {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

//! Every session of this gateway, by id; the only place that makes and ends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::id::{SessionId, Token};
use crate::pool::{ClaimError, Pool, PoolConfig, PrepareError, ShelfStatus};
use crate::protocol::event::EndReason;
use crate::sandbox::{Backend, SandboxError};
use crate::session::{self, SessionConfig, SessionHandle};
use crate::template::Template;

/// What the settings say about sessions as a whole.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Sessions that may live at once.
    pub sessions: usize,
    /// Newcomers that may wait while all are taken.
    pub waiting: usize,
    /// How long each of them waits. Zero: nobody does.
    pub waiting_timeout: Duration,
    /// How sandboxes are made.
    pub pool: PoolConfig,
    /// What each session is told.
    pub session: SessionConfig,
}

/// The sessions and what they are made from.
pub struct Registry {
    backend: Arc<dyn Backend>,
    templates: HashMap<String, Arc<Template>>,
    pool: Pool,
    config: RegistryConfig,
    sessions: DashMap<SessionId, SessionHandle>,
    /// One permit a session, held until nothing of its sandbox is left. Whoever waits for one gets
    /// it in the order of coming.
    capacity: Arc<Semaphore>,
    /// One permit a newcomer that waits for capacity.
    line: Semaphore,
    tasks: TaskTracker,
}

/// Why there is no new session.
#[derive(Debug, thiserror::Error)]
pub enum CreateError {
    /// No template of this name.
    #[error("there is no template {wanted:?}; there are: {known}")]
    NoTemplate {
        /// What was asked for.
        wanted: String,
        /// The names there are, separated by commas.
        known: String,
    },
    /// All the sessions this gateway may have are taken, and stayed so.
    #[error("all {0} sessions are taken; try again later")]
    Full(usize),
    /// Too many wait already.
    #[error("all sessions are taken and {0} newcomers wait already; try again later")]
    LineFull(usize),
    /// Attempts to make a sandbox fail, of whatever template.
    #[error("sandboxes cannot be made; the next attempt is in {} s", .0.as_secs())]
    Failing(Duration),
    /// The gateway shuts down.
    #[error("the gateway shuts down")]
    Draining,
    /// Its sandbox or interpreter failed.
    #[error("cannot start a session")]
    Prepare(#[from] PrepareError),
    /// The kernel gives no randomness for its id.
    #[error("cannot make an id")]
    Random(#[from] getrandom::Error),
}

impl Registry {
    /// No sessions yet.
    pub fn new(
        backend: Arc<dyn Backend>,
        templates: impl IntoIterator<Item = Template>,
        config: RegistryConfig,
    ) -> Arc<Registry> {
        let templates: HashMap<_, _> = templates
            .into_iter()
            .map(|template| (template.name.clone(), Arc::new(template)))
            .collect();
        let parked = templates.values().map(Arc::clone);
        Arc::new(Registry {
            pool: Pool::start(Arc::clone(&backend), parked, config.pool.clone()),
            backend,
            templates,
            capacity: Arc::new(Semaphore::new(config.sessions)),
            line: Semaphore::new(config.waiting),
            config,
            sessions: DashMap::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Makes a session of a template; waits for its turn if all are taken. Dropping the future
    /// half-way leaves nothing behind.
    pub async fn create(self: &Arc<Self>, template: &str) -> Result<SessionHandle, CreateError> {
        if !self.templates.contains_key(template) {
            let mut known: Vec<&str> = self.templates.keys().map(String::as_str).collect();
            known.sort_unstable();
            let wanted = template.chars().take(40).collect();
            return Err(CreateError::NoTemplate { wanted, known: known.join(", ") });
        }
        if self.tasks.is_closed() {
            return Err(CreateError::Draining);
        }
        let permit = self.wait_for_capacity().await?;
        let prepared = self.pool.claim(template).await.map_err(|error| match error {
            ClaimError::Prepare(error) => CreateError::Prepare(error),
            // It has every template of ours and closes when we do.
            ClaimError::Closed | ClaimError::NoTemplate(_) => CreateError::Draining,
        })?;
        let id = prepared.id.clone();
        let (handle, task) =
            session::start(prepared, self.config.session.clone(), Token::random()?);
        self.sessions.insert(id.clone(), handle.clone());
        let registry = Arc::clone(self);
        self.tasks.spawn(async move {
            task.await;
            registry.sessions.remove(&id);
            drop(permit);
        });
        if self.tasks.is_closed() {
            // The shutdown may have looked around just before we came.
            handle.begin_end(EndReason::Draining).await;
        }
        Ok(handle)
    }

    async fn wait_for_capacity(&self) -> Result<OwnedSemaphorePermit, CreateError> {
        let capacity = Arc::clone(&self.capacity);
        // Never passes those who wait: what becomes free is theirs before it is free.
        if let Ok(permit) = Arc::clone(&capacity).try_acquire_owned() {
            return Ok(permit);
        }
        let limit = self.config.waiting_timeout;
        if limit.is_zero() {
            return Err(CreateError::Full(self.config.sessions));
        }
        let waiting = self.config.waiting;
        let _place = self.line.try_acquire().map_err(|_| CreateError::LineFull(waiting))?;
        match timeout(limit, capacity.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(CreateError::Draining),
            Err(_) => Err(CreateError::Full(self.config.sessions)),
        }
    }

    /// A session that lives.
    pub fn find(&self, id: &SessionId) -> Option<SessionHandle> {
        self.sessions.get(id).map(|entry| entry.value().clone())
    }

    /// How many sessions live.
    pub fn len(&self) -> usize {
        self.sessions.len()
    }

    /// Whether none does.
    pub fn is_empty(&self) -> bool {
        self.sessions.is_empty()
    }

    /// Whether a session could be made now; for `/readyz`.
    pub async fn check(&self) -> Result<(), CreateError> {
        if self.tasks.is_closed() {
            return Err(CreateError::Draining);
        }
        let shelves = self.pool.status();
        if shelves.iter().all(ShelfStatus::is_failing)
            && let Some(at) = shelves.iter().filter_map(|shelf| shelf.retry_at).min()
        {
            return Err(CreateError::Failing(at.saturating_duration_since(Instant::now())));
        }
        self.backend
            .check()
            .await
            .map_err(|error: SandboxError| CreateError::Prepare(PrepareError::Sandbox(error)))
    }

    /// Whether the gateway shuts down.
    pub fn is_draining(&self) -> bool {
        self.tasks.is_closed()
    }

    /// What is parked and what is being made, a template each.
    pub fn pool(&self) -> Vec<ShelfStatus> {
        self.pool.status()
    }

    /// Refuses new sessions from now on, also to those who wait, and ends what is parked.
    pub fn begin_shutdown(&self) {
        self.tasks.close();
        self.capacity.close();
        self.pool.begin_shutdown();
    }

    /// Lets the cells that run finish, for at most `patience`, then ends what is left; waits until
    /// nothing of any session is left.
    pub async fn shutdown(&self, patience: Duration) {
        self.begin_shutdown();
        for handle in self.handles() {
            handle.begin_drain().await;
        }
        if tokio::time::timeout(patience, self.tasks.wait()).await.is_err() {
            for handle in self.handles() {
                handle.begin_end(EndReason::Draining).await;
            }
            self.tasks.wait().await;
        }
        self.pool.shutdown().await;
        self.backend.drained().await;
    }

    /// The sessions that live, in no order.
    pub fn handles(&self) -> Vec<SessionHandle> {
        self.sessions.iter().map(|entry| entry.value().clone()).collect()
    }
}

//! Every session of this gateway, by id; the only place that makes and ends them.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;
use tracing::Instrument;

use crate::id::{SessionId, Token};
use crate::keys::{KeyHolder, TooManySessions};
use crate::metrics::{self, Metrics};
use crate::pool::{ClaimError, Pool, PoolConfig, PrepareError, TemplatePoolStatus};
use crate::protocol::event::{EndReason, SessionState};
use crate::protocol::wire_name;
use crate::sandbox::{Backend, SandboxError};
use crate::session::{self, DetachedOutput, SessionConfig, SessionHandle};
use crate::tally::Tally;
use crate::template::Template;

mod readiness;

use readiness::Readiness;

/// What the settings say about sessions as a whole.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Sessions that may live at once.
    pub sessions: usize,
    /// Sessions that one address may have made. `None`: any number.
    pub sessions_per_address: Option<usize>,
    /// Sessions that may have been made with one token. `None`: any number.
    pub sessions_per_token: Option<usize>,
    /// Newcomers that may wait while all are taken.
    pub waiting: usize,
    /// How long each of them waits. Zero: not at all.
    pub waiting_timeout: Duration,
    /// How sandboxes are made.
    pub pool: PoolConfig,
    /// What each session is told.
    pub session: SessionConfig,
}

impl Default for RegistryConfig {
    fn default() -> RegistryConfig {
        RegistryConfig {
            sessions: 100,
            // A holder of the gateway's token is trusted with all of them.
            sessions_per_address: None,
            sessions_per_token: None,
            waiting: 100,
            waiting_timeout: Duration::from_secs(10),
            pool: PoolConfig::default(),
            session: SessionConfig::default(),
        }
    }
}

/// The sessions and what they are made from.
pub struct Registry {
    backend: Arc<dyn Backend>,
    templates: HashMap<String, Arc<Template>>,
    pool: Pool,
    config: RegistryConfig,
    sessions: DashMap<SessionId, Registered>,
    metrics: Metrics,
    /// One permit a session, held until nothing of its sandbox is left. Creations that wait for one
    /// get it in the order of coming.
    capacity: Arc<Semaphore>,
    /// Sessions by the address they were made from, those of newcomers included.
    by_address: Arc<Tally<IpAddr>>,
    /// The same by the token they were made with.
    by_token: Arc<Tally<usize>>,
    /// One permit a newcomer that waits for capacity.
    line: Semaphore,
    /// What the backend answered when it was last asked whether it can make sandboxes.
    readiness: Readiness,
    tasks: TaskTracker,
}

/// A session that lives, and which of the gateway's tokens it was made with.
struct Registered {
    handle: SessionHandle,
    token: Option<usize>,
}

/// Who makes a session, for those who count.
#[derive(Clone, Debug, Default)]
pub struct Maker {
    /// Where it comes from.
    pub address: Option<IpAddr>,
    /// Which of the gateway's tokens it has.
    pub token: Option<usize>,
    /// The publishable key that it has instead, which bounds the session.
    pub key_holder: Option<KeyHolder>,
    /// What it wants of the session besides the template.
    pub options: SessionOptions,
}

/// What the maker of a session may choose.
#[derive(Clone, Debug, Default)]
pub struct SessionOptions {
    /// Environment variables of all its cells; a cell's own come first.
    pub env: BTreeMap<String, String>,
    /// How long it may do nothing; at most what the settings say.
    pub idle_timeout: Option<Duration>,
    /// How long it may live; at most what the settings say.
    pub lifetime: Option<Duration>,
    /// It does not end because no participant is attached, nor does output wait for one: it is for a
    /// client that comes with a request at a time.
    pub unattended: bool,
}

/// What a session that lives may do.
const STATES: [SessionState; 3] =
    [SessionState::Idle, SessionState::Busy, SessionState::Restarting];

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
    /// One address has made all it may have.
    #[error("all {0} sessions that one address may have are taken; end one of them")]
    TooMany(usize),
    /// All that may be made with one token are.
    #[error("all {0} sessions that one token may have are taken; end one of them")]
    TooManyOfToken(usize),
    /// All that may be made with a publishable key are.
    #[error(transparent)]
    TooManyOfKey(#[from] TooManySessions),
    /// Too many wait already.
    #[error("all sessions are taken and {0} clients wait already; try again later")]
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
    /// The backend said, to this caller or to one just before, that it can make none.
    #[error("no sandbox can be made")]
    NotReady(#[source] Arc<SandboxError>),
    /// The kernel gives no randomness for its id.
    #[error("cannot make an id")]
    Random(#[from] getrandom::Error),
}

impl CreateError {
    /// In a word, for those who count.
    pub fn reason(&self) -> &'static str {
        match self {
            CreateError::NoTemplate { .. } => "no_template",
            CreateError::Full(_) => "full",
            CreateError::TooMany(_) => "too_many_of_address",
            CreateError::TooManyOfToken(_) => "too_many_of_token",
            CreateError::TooManyOfKey(_) => "too_many_of_key",
            CreateError::LineFull(_) => "line_full",
            CreateError::Draining => "draining",
            CreateError::Failing(_)
            | CreateError::Prepare(_)
            | CreateError::NotReady(_)
            | CreateError::Random(_) => "failed",
        }
    }
}

impl Registry {
    /// No sessions yet.
    pub fn new(
        backend: Arc<dyn Backend>,
        templates: impl IntoIterator<Item = Template>,
        config: RegistryConfig,
        metrics: Metrics,
    ) -> Arc<Registry> {
        let templates: HashMap<_, _> = templates
            .into_iter()
            .map(|template| (template.name.clone(), Arc::new(template)))
            .collect();
        let parked = templates.values().map(Arc::clone);
        Arc::new(Registry {
            pool: Pool::start(Arc::clone(&backend), parked, config.pool.clone(), metrics.clone()),
            backend,
            templates,
            capacity: Arc::new(Semaphore::new(config.sessions)),
            by_address: Tally::new(),
            by_token: Tally::new(),
            line: Semaphore::new(config.waiting),
            readiness: Readiness::default(),
            config,
            sessions: DashMap::new(),
            metrics,
            tasks: TaskTracker::new(),
        })
    }

    /// Makes a session of a template; waits for its turn if all are
    /// taken. Dropping the future half-way leaves nothing behind.
    pub async fn create(
        self: &Arc<Self>,
        template: &str,
        maker: Maker,
    ) -> Result<SessionHandle, CreateError> {
        let began = Instant::now();
        let created = self.try_create(template, maker).await;
        match &created {
            Ok(_) => {
                self.metrics.count(&metrics::SESSIONS_CREATED, &[template]);
                self.metrics.observe(&metrics::SESSION_WAIT, &[], began.elapsed());
            }
            Err(error) => self.metrics.count(&metrics::SESSIONS_REFUSED, &[error.reason()]),
        }
        created
    }

    async fn try_create(
        self: &Arc<Self>,
        template: &str,
        maker: Maker,
    ) -> Result<SessionHandle, CreateError> {
        if !self.templates.contains_key(template) {
            let mut known: Vec<&str> = self.templates.keys().map(String::as_str).collect();
            known.sort_unstable();
            let wanted = template.chars().take(40).collect();
            return Err(CreateError::NoTemplate { wanted, known: known.join(", ") });
        }
        if self.tasks.is_closed() {
            return Err(CreateError::Draining);
        }
        let config = &self.config;
        let of_address = match maker.address.zip(config.sessions_per_address) {
            Some((address, most)) => {
                Some(self.by_address.take(address, most).ok_or(CreateError::TooMany(most))?)
            }
            None => None,
        };
        let of_token = match maker.token.zip(config.sessions_per_token) {
            Some((token, most)) => {
                Some(self.by_token.take(token, most).ok_or(CreateError::TooManyOfToken(most))?)
            }
            None => None,
        };
        let of_key = maker.key_holder.as_ref().map(KeyHolder::take_session).transpose()?;
        let session_config = config_for(&config.session, maker.key_holder, maker.options);
        let permit = self.wait_for_capacity().await?;
        let prepared = self.pool.claim(template).await.map_err(|error| match error {
            ClaimError::Prepare(error) => CreateError::Prepare(error),
            // It has every template of ours and closes when we do.
            ClaimError::Closed | ClaimError::NoTemplate(_) => CreateError::Draining,
        })?;
        let id = prepared.id.clone();
        let (handle, task) =
            session::start(prepared, session_config, Token::random()?, &self.metrics);
        let registered = Registered { handle: handle.clone(), token: maker.token };
        self.sessions.insert(id.clone(), registered);
        let registry = Arc::clone(self);
        let span = handle.span();
        self.tasks.spawn(async move {
            task.instrument(span).await;
            registry.sessions.remove(&id);
            drop((permit, of_address, of_token, of_key));
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
        let _counted = self.metrics.present(&metrics::SESSIONS_WAITING, &[]);
        match timeout(limit, capacity.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            Ok(Err(_)) => Err(CreateError::Draining),
            Err(_) => Err(CreateError::Full(self.config.sessions)),
        }
    }

    /// A session that lives.
    pub fn find(&self, id: &SessionId) -> Option<SessionHandle> {
        self.sessions.get(id).map(|entry| entry.handle.clone())
    }

    /// A session that lives, and which of the gateway's tokens it was made with.
    pub fn find_with_token(&self, id: &SessionId) -> Option<(SessionHandle, Option<usize>)> {
        self.sessions.get(id).map(|entry| (entry.handle.clone(), entry.token))
    }

    /// The sessions that live and were made with this token of the gateway, in no order.
    pub fn handles_of(&self, token: usize) -> Vec<SessionHandle> {
        let of_token = self.sessions.iter().filter(|entry| entry.token == Some(token));
        of_token.map(|entry| entry.handle.clone()).collect()
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
        let template_pools = self.pool.status();
        if template_pools.iter().all(TemplatePoolStatus::is_failing)
            && let Some(at) =
                template_pools.iter().filter_map(|template_pool| template_pool.retry_at).min()
        {
            return Err(CreateError::Failing(at.saturating_duration_since(Instant::now())));
        }
        self.readiness.ask(&self.backend, &self.tasks).await.map_err(CreateError::NotReady)
    }

    /// Sets the gauges of what lives at this moment.
    pub fn measure(&self) {
        let mut states = STATES.map(|state| (state, 0_usize));
        let mut participants = 0;
        // One that has just ended is none that lives.
        for summary in self.handles().iter().filter_map(SessionHandle::summary) {
            participants += summary.participants;
            for (_, count) in states.iter_mut().filter(|(state, _)| *state == summary.state) {
                *count += 1;
            }
        }
        let backend = self.backend.kind().name();
        for (state, count) in states {
            let labels = [backend, &wire_name(&state)];
            self.metrics.set(&metrics::SESSIONS, &labels, count as f64);
        }
        self.metrics.set(&metrics::PARTICIPANTS, &[], participants as f64);
        let memory = &self.config.session.memory;
        self.metrics.set(&metrics::MEMORY_HELD, &[], memory.used() as f64);
        self.metrics.set(&metrics::MEMORY_BUDGET, &[], memory.limit() as f64);
        self.pool.measure();
    }

    /// What is parked and what is being made, a template each.
    pub fn pool(&self) -> Vec<TemplatePoolStatus> {
        self.pool.status()
    }

    /// Whether the gateway shuts down.
    pub fn is_draining(&self) -> bool {
        self.tasks.is_closed()
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
        self.sessions.iter().map(|entry| entry.handle.clone()).collect()
    }
}

/// What a session is told that a client with this key makes: a key shortens its life, and never
/// makes it longer.
fn config_for(
    config: &SessionConfig,
    key_holder: Option<KeyHolder>,
    options: SessionOptions,
) -> SessionConfig {
    let mut own = config.clone();
    if let Some(holder) = &key_holder {
        let key = &holder.key.config;
        own.lifetime = own.lifetime.into_iter().chain([key.lifetime]).min();
        own.idle_timeout = own.idle_timeout.into_iter().chain([key.idle_timeout]).min();
    }
    own.key_holder = key_holder;
    own.lifetime = own.lifetime.into_iter().chain(options.lifetime).min();
    own.idle_timeout = own.idle_timeout.into_iter().chain(options.idle_timeout).min();
    own.env = options.env;
    if options.unattended {
        own.detach_timeout = Duration::MAX;
        own.detached_output = DetachedOutput::Drop;
    }
    own
}

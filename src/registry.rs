//! Every session of this gateway, by id; the only place that makes and ends them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use dashmap::DashMap;
use tokio::sync::Semaphore;
use tokio_util::task::TaskTracker;

use crate::id::{SessionId, Token};
use crate::pool::{self, PrepareError};
use crate::protocol::event::EndReason;
use crate::sandbox::{Backend, SandboxError, SandboxSpec};
use crate::session::{self, SessionConfig, SessionHandle};
use crate::template::Template;

/// What the settings say about sessions as a whole.
#[derive(Clone, Debug)]
pub struct RegistryConfig {
    /// Sessions that may live at once.
    pub sessions: usize,
    /// From a client's wish to an interpreter that is ready.
    pub create_timeout: Duration,
    /// What each session is told.
    pub session: SessionConfig,
}

/// The sessions and what they are made from.
pub struct Registry {
    backend: Arc<dyn Backend>,
    templates: HashMap<String, Arc<Template>>,
    config: RegistryConfig,
    sessions: DashMap<SessionId, SessionHandle>,
    /// One permit a session, held until nothing of its sandbox is left.
    capacity: Arc<Semaphore>,
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
    /// All the sessions this gateway may have are taken.
    #[error("all {0} sessions are taken; try again later")]
    Full(usize),
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
        let templates =
            templates.into_iter().map(|template| (template.name.clone(), Arc::new(template)));
        Arc::new(Registry {
            backend,
            templates: templates.collect(),
            capacity: Arc::new(Semaphore::new(config.sessions)),
            config,
            sessions: DashMap::new(),
            tasks: TaskTracker::new(),
        })
    }

    /// Makes a session of a template. Dropping the future half-way leaves nothing behind.
    pub async fn create(self: &Arc<Self>, template: &str) -> Result<SessionHandle, CreateError> {
        let Some(template) = self.templates.get(template) else {
            let mut known: Vec<&str> = self.templates.keys().map(String::as_str).collect();
            known.sort_unstable();
            let wanted = template.chars().take(40).collect();
            return Err(CreateError::NoTemplate { wanted, known: known.join(", ") });
        };
        if self.tasks.is_closed() {
            return Err(CreateError::Draining);
        }
        let Ok(permit) = Arc::clone(&self.capacity).try_acquire_owned() else {
            return Err(CreateError::Full(self.config.sessions));
        };
        let spec = SandboxSpec { session: SessionId::random()?, template: Arc::clone(template) };
        let prepared = pool::prepare(&*self.backend, spec, self.config.create_timeout).await?;
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
        self.backend
            .check()
            .await
            .map_err(|error: SandboxError| CreateError::Prepare(PrepareError::Sandbox(error)))
    }

    /// Whether the gateway shuts down.
    pub fn is_draining(&self) -> bool {
        self.tasks.is_closed()
    }

    /// Refuses new sessions from now on.
    pub fn begin_shutdown(&self) {
        self.tasks.close();
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
        self.backend.drained().await;
    }

    /// The sessions that live, in no order.
    pub fn handles(&self) -> Vec<SessionHandle> {
        self.sessions.iter().map(|entry| entry.value().clone()).collect()
    }
}

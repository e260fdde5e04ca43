//! Sandboxes as Docker containers.
//!
//! ```text
//!   DockerBackend ─┬─ Engine      one connection, every call with a deadline; Facts read once
//!                  ├─ Instance    this gateway's directory and lock; which other gateways are alive
//!                  ├─ ExitWatcher one event stream: why containers ended
//!                  ├─ Images      what an image brings along
//!                  ├─ DriverVolume    the driver, for engines that do not see our files
//!                  ├─ UserIds     a user id for each container
//!                  └─ Remover     owns every creation and removal under way
//! ```
//! A creation runs in a task of its own. If its caller gives up, the task still sees the engine's
//! answer and removes the container that the engine was about to make. The way to the driver is
//! found by the first sandbox: a socket in a shared directory if that connects, else the
//! container's stdio through the engine, and the driver from a volume if the engine does not see
//! our files at all.
//!
//! Several gateways may use one engine. Everything a gateway makes carries a label with its
//! instance id, and [`Backend::sweep`] removes only what belongs to an instance that has ended, or
//! has expired.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Backend, BackendKind, EnforcementState, Kernel, LanguageFound, Protection, Sandbox,
    SandboxError, SandboxHandle, SandboxSpec,
};
use crate::template::Template;

mod buffers;
mod container;
mod creation;
mod enforcement;
mod engine;
mod exits;
mod facts;
mod handle;
mod images;
mod instance;
mod link_listener;
mod removal;
mod stdio;
mod sweep;
mod user_ids;
mod volume;

pub use enforcement::known_runc_vulnerabilities;

use container::label;
use engine::{Address, Engine, QUICK_TIMEOUT, call};
use exits::ExitWatcher;
use images::Images;
use instance::Instance;
use removal::Remover;
use user_ids::UserIds;
use volume::DriverVolume;

/// Settings of the docker backend.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// `unix:///path`, `tcp://host:port`, or a path. `None`: `DOCKER_HOST`, else the usual socket.
    pub host: Option<String>,
    /// An OCI runtime the engine knows, such as `runsc`. `None`: the engine's default.
    pub runtime: Option<String>,
    /// A directory of this user's own for the driver and the links' sockets. Best on the engine's
    /// machine and seen by it under the same name; the backend finds out.
    pub runtime_dir: PathBuf,
    /// How gateway and driver are connected.
    pub data_path: DataPath,
    /// The longest a sandbox may live, parked time included. After this, any gateway's sweep may
    /// remove it, even one that cannot see whether its owner lives.
    pub lifetime: Duration,
    /// Images the templates use; [`Backend::check`] wants them there.
    pub images: Vec<String>,
}

impl DockerConfig {
    /// The defaults, with this directory for runtime files.
    pub fn new(runtime_dir: PathBuf) -> DockerConfig {
        DockerConfig {
            host: None,
            runtime: None,
            runtime_dir,
            data_path: DataPath::Auto,
            lifetime: Duration::from_secs(24 * 60 * 60),
            images: Vec::new(),
        }
    }
}

/// How gateway and driver talk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataPath {
    /// The socket if sandboxes can connect to it, else stdio.
    #[default]
    Auto,
    /// A Unix socket in a directory mounted into the sandbox; nothing of the engine in between.
    Socket,
    /// The container's stdin and stdout, through the engine.
    Stdio,
}

/// Makes sandboxes on one Docker engine.
pub struct DockerBackend {
    context: Arc<Context>,
    /// Reads the engine's events as long as the backend lives.
    _events: AbortOnDropHandle<()>,
}

/// State that the backend shares with the creations under way and with its handles.
struct Context {
    config: DockerConfig,
    engine: Engine,
    instance: Instance,
    exits: ExitWatcher,
    images: Images,
    volume: DriverVolume,
    remover: Remover,
    users: UserIds,
    /// The best way to a driver known so far. Held for a copy, never across an await.
    route: Mutex<Route>,
}

/// How sandboxes of this engine are reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Route {
    /// The driver comes from a file the engine sees, not from a volume.
    files: bool,
    /// The link is a socket, not stdio.
    socket: bool,
    /// A sandbox was reached this way before, so a failure is no reason to try another route.
    proven: bool,
}

impl Route {
    /// The best that may work with this engine.
    fn first(config: &DockerConfig, engine: &Engine) -> Result<Route, SandboxError> {
        let local = matches!(engine.address, Address::Unix(_));
        let socket = match config.data_path {
            DataPath::Stdio => false,
            DataPath::Socket if !local => {
                let what = format!(
                    "the data path is set to \"socket\" and the engine at {} is remote: set it to \
                     \"auto\" or \"stdio\"",
                    engine.address
                );
                return Err(SandboxError::Setting { setting: "docker.data_path", what });
            }
            DataPath::Socket => true,
            // gVisor's sandboxes cannot connect to a socket of the host's, by design.
            DataPath::Auto => local && !engine.facts.gvisor,
        };
        Ok(Route { files: local, socket, proven: false })
    }
}

impl DockerBackend {
    /// Connects to the engine and makes this gateway's instance directory.
    ///
    /// # Errors
    /// [`SandboxError::Setting`] says what to change if there is no engine, its socket may not be
    /// used, or it lacks what the settings name; [`SandboxError::Unsupported`] if it cannot run our
    /// sandboxes.
    pub async fn connect(config: DockerConfig) -> Result<DockerBackend, SandboxError> {
        let address = Address::find(config.host.as_deref())?;
        let engine = Engine::connect(address, config.runtime.as_deref()).await?;
        let route = Route::first(&config, &engine)?;
        let root = config.runtime_dir.clone();
        let traversable = engine.facts.user_namespace;
        let instance = blocking(move || Instance::create(&root, traversable)).await?;
        let exits = ExitWatcher::default();
        let label = format!("{}={}", label::INSTANCE, instance.id);
        let events = tokio::spawn(exits.clone().follow(engine.client.clone(), label));
        let remover = Remover::new(engine.clone());
        let users = UserIds::of(&engine.facts);
        let context = Context {
            config,
            engine,
            instance,
            exits,
            images: Images::default(),
            volume: DriverVolume::default(),
            remover,
            users,
            route: Mutex::new(route),
        };
        Ok(DockerBackend { context: Arc::new(context), _events: AbortOnDropHandle::new(events) })
    }

    /// Names this gateway in its containers' labels and names.
    pub fn instance(&self) -> &str {
        &self.context.instance.id
    }

    /// How sandboxes are reached as far as known: once one was made, [`DataPath::Socket`] or
    /// [`DataPath::Stdio`]; before, [`DataPath::Auto`].
    pub fn data_path(&self) -> DataPath {
        match self.context.route() {
            Route { proven: false, .. } => DataPath::Auto,
            Route { socket: true, .. } => DataPath::Socket,
            Route { socket: false, .. } => DataPath::Stdio,
        }
    }
}

impl Context {
    fn route(&self) -> Route {
        *self.route.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn set_route(&self, route: Route) {
        *self.route.lock().unwrap_or_else(PoisonError::into_inner) = route;
    }

    /// Labels of what this gateway makes, for `session` if it is a sandbox.
    fn labels(&self, session: Option<&str>) -> HashMap<String, String> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let expires = now.saturating_add(self.config.lifetime).as_secs();
        let mut labels = HashMap::from([
            (label::INSTANCE.to_owned(), self.instance.id.clone()),
            (label::RUNTIME_DIR_ID.to_owned(), self.instance.directory_id.clone()),
            (label::EXPIRES.to_owned(), expires.to_string()),
        ]);
        if let Some(session) = session {
            labels.insert(label::SESSION.to_owned(), session.to_owned());
        }
        labels
    }
}

impl Backend for DockerBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Docker
    }

    fn flavour(&self) -> String {
        let facts = &self.context.engine.facts;
        let rootless = if facts.rootless { ", rootless" } else { "" };
        format!("{}{rootless}", facts.runtime)
    }

    fn kernel(&self) -> Kernel {
        if self.context.engine.facts.gvisor { Kernel::Own } else { Kernel::Shared }
    }

    fn create<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Sandbox, SandboxError>> {
        Box::pin(async move {
            let cancelled = CancellationToken::new();
            let _cancel_on_drop = cancelled.clone().drop_guard();
            let creation = creation::create(self.context.clone(), spec.clone(), cancelled);
            self.context.remover.tasks().run(creation).await.unwrap_or_else(|_| {
                Err(SandboxError::Unsupported("the gateway's runtime is shutting down".into()))
            })
        })
    }

    fn check_template<'a>(
        &'a self,
        template: &'a Template,
    ) -> BoxFuture<'a, Result<(), SandboxError>> {
        Box::pin(async move {
            self.context.images.get(&self.context.engine, template).await?;
            Ok(())
        })
    }

    fn languages<'a>(&'a self, template: &'a Template) -> BoxFuture<'a, Vec<LanguageFound>> {
        let image = &template.image;
        let all = template.possible_languages().into_iter().map(|language| {
            let offered = language == template.language
                || container::other_languages(template).contains(&language);
            let interpreter = match offered {
                true => Ok(format!("{} in {image}", container::interpreter(template, language))),
                false => Err(format!(
                    "not known to be in {image}: with an image that has {}, name it in other_languages",
                    language.wanted()
                )),
            };
            LanguageFound { name: language.name, interpreter }
        });
        Box::pin(std::future::ready(all.collect()))
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        Box::pin(async move {
            let engine = &self.context.engine;
            call("ping the docker engine", QUICK_TIMEOUT, engine.client.ping()).await?;
            self.context.images.check(engine, &self.context.config.images).await
        })
    }

    fn protection(&self, protection: Protection) -> Option<EnforcementState> {
        let mut facts = self.context.engine.facts.clone();
        let route = self.context.route();
        if route.proven && !route.files {
            facts.buffers_hierarchy = None; // the engine runs on another machine
        }
        enforcement::state(protection, &facts)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        Box::pin(sweep::sweep(&self.context))
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.context.remover.drained().await;
            self.context.volume.release(&self.context.engine).await;
            self.context.remover.drained().await;
            sweep::own(&self.context).await;
        })
    }
}

/// Runs `work`, which waits for the file system, on a thread for blocking work.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, SandboxError> + Send + 'static,
) -> Result<T, SandboxError> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| {
        Err(SandboxError::Step {
            operation: "use the runtime directory".into(),
            cause: error.into(),
        })
    })
}

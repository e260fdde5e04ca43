//! Sandboxes as Docker containers.
//!
//! ```text
//!   DockerBackend ─┬─ Engine      one connection, every call with a deadline; Facts read once
//!                  ├─ Instance    this gateway's directory and lock; who is dead
//!                  ├─ Fates       one event stream: why containers ended
//!                  ├─ Images      what an image brings along
//!                  ├─ DriverVolume    the driver, for engines that do not see our files
//!                  ├─ Users       a user id for each container
//!                  └─ Reaper      owns every creation and removal under way
//! ```
//! A creation runs in a task of its own, so that a caller who gives up never leaves a container the
//! engine was just about to make: the task ends what it began. The way to the driver is found by
//! the first sandbox: a socket in a shared directory if that connects, else the container's stdio
//! through the engine, and the driver from a volume if the engine does not see our files at all.
//!
//! Two gateways on one engine leave each other alone: whatever one makes carries its instance, and
//! [`Backend::sweep`] removes only what belongs to an instance that is known to be dead, or has
//! expired.

use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use futures::future::BoxFuture;
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use super::{
    Backend, BackendKind, Enforcement, Kernel, Sandbox, SandboxError, SandboxHandle, SandboxSpec,
};
use crate::template::Template;

mod buffers;
mod container;
mod creation;
mod enforcement;
mod engine;
mod facts;
mod fates;
mod handle;
mod images;
mod instance;
mod reaper;
mod rendezvous;
mod stdio;
mod sweep;
mod users;
mod volume;

pub use enforcement::known_runc_vulnerabilities;

use container::label;
use engine::{Address, Engine, QUICK, call};
use fates::Fates;
use images::Images;
use instance::Instance;
use reaper::Reaper;
use users::Users;
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
    /// How the driver is talked to.
    pub data_path: DataPath,
    /// The longest a sandbox may live, parked time included. After this, any gateway's sweep may
    /// remove it, even one that cannot see whether its owner lives.
    pub lifetime: Duration,
    /// Images the templates use; [`Backend::check`] wants them there.
    pub images: Vec<String>,
}

impl Default for DockerConfig {
    fn default() -> DockerConfig {
        DockerConfig {
            host: None,
            runtime: None,
            runtime_dir: default_runtime_dir(),
            data_path: DataPath::Auto,
            lifetime: Duration::from_secs(24 * 60 * 60),
            images: Vec::new(),
        }
    }
}

/// Where runtime files go on this system: `/run` for root, else the user's own place.
fn default_runtime_dir() -> PathBuf {
    let uid = rustix::process::geteuid();
    if uid.is_root() {
        return PathBuf::from("/run/cellgate/docker");
    }
    match std::env::var_os("XDG_RUNTIME_DIR") {
        Some(directory) => PathBuf::from(directory).join("cellgate-docker"),
        None => std::env::temp_dir().join(format!("cellgate-docker-{}", uid.as_raw())),
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
    shared: Arc<Shared>,
    /// Reads the engine's events as long as the backend lives.
    _events: AbortOnDropHandle<()>,
}

/// What the backend, its creations and its handles have in common.
struct Shared {
    config: DockerConfig,
    engine: Engine,
    instance: Instance,
    fates: Fates,
    images: Images,
    volume: DriverVolume,
    reaper: Reaper,
    users: Users,
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
    /// A sandbox was reached this way: a failure from now on is a failure.
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
    /// Connects to the engine and takes this gateway's place on disk.
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
        let fates = Fates::default();
        let label = format!("{}={}", label::INSTANCE, instance.id);
        let events = tokio::spawn(fates.clone().follow(engine.client.clone(), label));
        let reaper = Reaper::new(engine.clone());
        let users = Users::of(&engine.facts);
        let shared = Shared {
            config,
            engine,
            instance,
            fates,
            images: Images::default(),
            volume: DriverVolume::default(),
            reaper,
            users,
            route: Mutex::new(route),
        };
        Ok(DockerBackend { shared: Arc::new(shared), _events: AbortOnDropHandle::new(events) })
    }

    /// Names this gateway in its containers' labels and names.
    pub fn instance(&self) -> &str {
        &self.shared.instance.id
    }

    /// How sandboxes are reached as far as known: once one was made, [`DataPath::Socket`] or
    /// [`DataPath::Stdio`]; before, [`DataPath::Auto`].
    pub fn data_path(&self) -> DataPath {
        match self.shared.route() {
            Route { proven: false, .. } => DataPath::Auto,
            Route { socket: true, .. } => DataPath::Socket,
            Route { socket: false, .. } => DataPath::Stdio,
        }
    }
}

impl Shared {
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
            (label::REALM.to_owned(), self.instance.realm.clone()),
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
        let facts = &self.shared.engine.facts;
        let rootless = if facts.rootless { ", rootless" } else { "" };
        format!("{}{rootless}", facts.runtime)
    }

    fn kernel(&self) -> Kernel {
        if self.shared.engine.facts.gvisor { Kernel::Own } else { Kernel::Shared }
    }

    fn create<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Sandbox, SandboxError>> {
        Box::pin(async move {
            let (result_tx, result_rx) = oneshot::channel();
            let cancelled = CancellationToken::new();
            let _cancel_on_drop = cancelled.clone().drop_guard();
            let (shared, spec) = (self.shared.clone(), spec.clone());
            self.shared.reaper.tasks().spawn(async move {
                let result = creation::create(shared, spec, cancelled).await;
                // Nobody waits any more: the sandbox in the refused message is dropped, and ends.
                drop(result_tx.send(result));
            });
            result_rx.await.unwrap_or_else(|_| {
                Err(SandboxError::Unsupported("the gateway's runtime is shutting down".into()))
            })
        })
    }

    fn check_template<'a>(
        &'a self,
        template: &'a Template,
    ) -> BoxFuture<'a, Result<(), SandboxError>> {
        Box::pin(async move {
            self.shared.images.get(&self.shared.engine, template).await?;
            Ok(())
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        Box::pin(async move {
            let engine = &self.shared.engine;
            call("ping the docker engine", QUICK, engine.client.ping()).await?;
            self.shared.images.check(engine, &self.shared.config.images).await
        })
    }

    fn enforcement(&self) -> Vec<Enforcement> {
        let mut facts = self.shared.engine.facts.clone();
        let route = self.shared.route();
        if route.proven && !route.files {
            facts.buffers_hierarchy = None; // it is another machine's
        }
        enforcement::enforcement(&facts)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        Box::pin(sweep::sweep(&self.shared))
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.shared.reaper.drained().await;
            self.shared.volume.release(&self.shared.engine).await;
            self.shared.reaper.drained().await;
            sweep::own(&self.shared).await;
        })
    }
}

/// Runs what waits for the file system aside from the tasks that must not wait.
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

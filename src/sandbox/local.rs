//! The `local` backend: sandboxes of Linux namespaces, made by ourselves.
//!
//! ```text
//!   LocalBackend ─ create ─► interpreter (which) ─► plan (what the sandbox sees)
//!        │                   cgroup (limits) ─► jailer ─exec─► driver: jail ─► supervisor
//!        ├ handle    one sandbox: ended by its handle, by the reaper, or by …
//!        └ instance  … the janitor, a process that outlives the gateway
//! ```
//! The jail itself is in the driver (`driver/src/jail.rs`): a gateway with many threads cannot
//! fork. It leaves no process outside the sandbox.
//!
//! Own code on system calls rather than youki's `libcontainer` 0.7, judged by cgroups v1 and v2,
//! root and unprivileged, no C dependency, and a start close to bare `bwrap`. It has the first
//! two. Its seccomp is the C library `libseccomp`, and without it there is none; it is made for
//! OCI runtimes and wants a bundle with a `config.json` and a state directory on disk for each
//! container, starts an intermediate process, and has 135 packages below it. Here a sandbox costs
//! one exec and one clone, and starts in the time `bwrap` takes. Landlock is three system calls
//! and made directly, so the driver needs `libc` alone; the seccomp program is compiled here too
//! (see [`crate::sandbox::common::policy`]).
//!
//! As root every sandbox gets a user id of its own; unprivileged, all have the gateway's, and what
//! the kernel then cannot enforce is named by [`Backend::enforcement`].

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};

use cellgate_driver::spec::{Cgroup, Spec};
use futures::future::BoxFuture;
use tokio::sync::OnceCell;

use super::common::cgroup::{Cgroups, Layout};
use super::common::policy;
use super::common::reaper::Reaper;
use super::common::setup::{self, Found};
use super::{
    Backend, BackendKind, EnforcementState, LanguageFound, Protection, Sandbox, SandboxError,
    SandboxSpec, Startable,
};
use crate::error::Chain;
use crate::template::{Limits, PoolSize, Template};

mod enforcement;
mod handle;
mod host;
mod instance;
mod interpreter;
mod jailer;
mod plan;

use handle::{LivePidfds, LocalHandle, UserId, UserIds};
use host::Privilege;
use instance::{IDS_EACH, INSTANCES, Instance, Program};
use interpreter::Interpreter;
use jailer::{JailStarted, Jailer};

/// The first user id for sandboxes of a root gateway. systemd's table of ids calls 1879048192 to
/// 2147352575 unused; 3,000 blocks of 65,536 from here fit into it.
const FIRST_ID: u32 = 1_900_000_000;

const _: () = assert!(FIRST_ID as u64 + INSTANCES as u64 * (IDS_EACH as u64) < 2_147_352_575);

/// Settings of the local backend.
#[derive(Clone, Debug)]
pub struct LocalConfig {
    /// Directory for the records of live gateways. A sweep considers the gateways recorded in it.
    pub runtime_dir: PathBuf,
}

/// Makes sandboxes of namespaces.
#[derive(Debug)]
pub struct LocalBackend {
    context: Arc<Context>,
    probed: Result<JailStarted, String>,
}

/// State that the backend shares with the creations under way.
#[derive(Debug)]
struct Context {
    jailer: Jailer,
    cgroups: Cgroups,
    privilege: Privilege,
    ids: Option<Arc<UserIds>>,
    filter: Vec<u8>,
    reaper: Reaper,
    prepared: Mutex<Vec<(PreparedKey, Arc<OnceCell<PreparedTemplate>>)>>,
}

/// What a [`PreparedTemplate`] depends on: all of a template but its name and how many of its sandboxes wait.
type PreparedKey = Template;

/// What is looked up once for a template: its interpreter and what its sandboxes see.
#[derive(Clone, Debug)]
struct PreparedTemplate {
    spec: Spec,
    interpreter: String,
    startable: Arc<Startable>,
}

impl LocalBackend {
    /// Registers this gateway on this machine and makes a sandbox to see what the machine allows.
    /// If it allows none, the backend exists all the same and its [`Backend::check`] says why; an
    /// error means that not even that could be found out.
    ///
    /// Must be called in a tokio runtime, on which the endings of sandboxes will run.
    pub async fn new(config: LocalConfig) -> Result<LocalBackend, SandboxError> {
        let step = |operation: &str| {
            let operation = operation.to_owned();
            move |cause: io::Error| SandboxError::Step { operation, cause: cause.into() }
        };
        let filter = policy::runner_filter()
            .map_err(|error| SandboxError::Unsupported(error.to_string()))?;
        let dir = config.runtime_dir;
        let program = Program::new().map_err(step("put the driver into memory"))?;
        let instance = Instance::new(&dir).map_err(|error| SandboxError::Setting {
            setting: "runtime_dir",
            what: format!(
                "cannot register this gateway in {}: {error}; choose another directory with \
                 --runtime-dir",
                dir.display()
            ),
        })?;
        // Without cgroups the backend limits less, and `enforcement` says so.
        let layout = Layout::of_this_process().unwrap_or_default();
        instance
            .record(&Cgroups::candidates(&layout, &instance.name()))
            .map_err(step("record this gateway's cgroups"))?;
        let janitor = instance.janitor(&program).map_err(step("start the janitor"))?;
        let cgroups = Cgroups::prepare(&layout, &instance.name());
        let privilege = Privilege::of_this_process();
        let ids = match privilege {
            Privilege::Root => {
                Some(Arc::new(UserIds::new(FIRST_ID + instance.number * IDS_EACH, IDS_EACH)))
            }
            Privilege::SharedId(id) => Some(Arc::new(UserIds::shared(id))),
            Privilege::User => None,
        };
        let pidfds = Arc::new(LivePidfds::default());
        let context = Arc::new(Context {
            jailer: Jailer { program, instance, janitor, pidfds },
            cgroups,
            privilege,
            ids,
            filter,
            reaper: Reaper::new(),
            prepared: Mutex::default(),
        });
        let mut backend = LocalBackend { context, probed: Err("no sandbox was tried yet".into()) };
        backend.probed = backend.context.probe().await.map_err(|error| Chain(&error).to_string());
        Ok(backend)
    }
}

impl Context {
    async fn prepared(&self, template: &Template) -> Result<PreparedTemplate, SandboxError> {
        let name = String::new();
        let key = Template { name, pool: PoolSize::OFF, ..template.clone() };
        let cell = {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            match prepared.iter().find(|(known, _)| *known == key) {
                Some((_, cell)) => Arc::clone(cell),
                None => {
                    let cell = Arc::default();
                    prepared.push((key, Arc::clone(&cell)));
                    cell
                }
            }
        };
        cell.get_or_try_init(|| PreparedTemplate::find(self, template)).await.cloned()
    }

    /// Builds a sandbox for a session.
    async fn create(&self, spec: &SandboxSpec) -> Result<Sandbox, SandboxError> {
        let template = &spec.template;
        let prepared = self.prepared(template).await?;
        let (link, theirs) = handle::link().map_err(|cause| SandboxError::Step {
            operation: "make a socket pair".into(),
            cause: cause.into(),
        })?;
        let (handle, _) =
            self.build(&prepared.spec, spec.session.as_str(), &template.limits, theirs).await?;
        Ok(Sandbox {
            link: Box::new(link),
            setup: setup::setup(template, self.found(&prepared.interpreter)),
            startable: prepared.startable,
            handle: Box::new(handle),
        })
    }

    /// Builds a sandbox around the far end of a link.
    async fn build(
        &self,
        plan: &Spec,
        name: &str,
        limits: &Limits,
        link: std::os::unix::net::UnixStream,
    ) -> Result<(LocalHandle, JailStarted), SandboxError> {
        let id: Option<UserId> = match &self.ids {
            None => None,
            Some(ids) => Some(ids.take().ok_or_else(|| {
                SandboxError::Unsupported(format!(
                    "all {IDS_EACH} user ids of this gateway are in use"
                ))
            })?),
        };
        let cgroup = self.cgroups.create(name, limits).map_err(|cause| SandboxError::Step {
            operation: format!("make the cgroup of sandbox {name}"),
            cause: cause.into(),
        })?;
        let mut plan = plan.clone();
        plan.outer_id = id.as_ref().map(UserId::value);
        plan.cgroups = cgroup
            .dirs()
            .map(|(path, unified)| Cgroup { path: path.to_string_lossy().into_owned(), unified })
            .collect();
        let mut handle = LocalHandle::new(cgroup, id, limits.memory_bytes, self.reaper.clone());
        match self.jailer.start(&plan, link, &mut handle).await {
            Ok(started) => Ok((handle, started)),
            Err(error) if error.is_refusal() => Err(host::explain(error.into())),
            Err(error) => Err(error.into()),
        }
    }

    /// Builds a sandbox that ends by itself, to learn whether one can be built and what is in
    /// force.
    async fn probe(&self) -> Result<JailStarted, SandboxError> {
        let spec = plan::probe().map_err(|cause| SandboxError::Step {
            operation: "look at the host's system directories".into(),
            cause: cause.into(),
        })?;
        let id = crate::id::SessionId::random().map_err(|cause| SandboxError::Step {
            operation: "get random bytes".into(),
            cause: cause.into(),
        })?;
        let (_near, far) = std::os::unix::net::UnixStream::pair().map_err(|cause| {
            SandboxError::Step { operation: "make a socket pair".into(), cause: cause.into() }
        })?;
        let name = format!("{id}-probe");
        let (handle, started) = self.build(&spec, &name, &Limits::default(), far).await?;
        super::SandboxHandle::end(Box::new(handle)).await;
        Ok(started)
    }

    /// What SETUP says of an interpreter.
    fn found(&self, interpreter: &str) -> Found {
        Found {
            interpreter: interpreter.to_owned(),
            variables: vec![("PATH".to_owned(), search_path(interpreter))],
            seccomp: self.filter.clone(),
            memory_is_limited: self.cgroups.controllers().memory,
        }
    }
}

impl PreparedTemplate {
    async fn find(
        context: &Context,
        template: &Template,
    ) -> Result<PreparedTemplate, SandboxError> {
        let mut languages =
            vec![(template.language, interpreter::find(template, template.language).await?)];
        let (others, named) = template.other_languages();
        for language in others {
            match interpreter::find(template, language).await {
                // One that nobody named shows nothing more of the machine.
                Ok(found) if named || found.directories.is_empty() => {
                    languages.push((language, found));
                }
                Err(error) if named => return Err(error),
                Ok(_) | Err(_) => {}
            }
        }
        let spec = plan::plan(template, &languages).map_err(|error| SandboxError::Template {
            template: template.name.clone(),
            setting: if template.root.is_some() { "root" } else { template.language.host.setting },
            what: format!("cannot look at what its sandboxes would see: {error}"),
        })?;
        let path = |found: &Interpreter| found.path.to_string_lossy().into_owned();
        let interpreter = path(&languages[0].1);
        let languages =
            languages.into_iter().map(|(language, found)| (language, path(&found), found.version));
        let startable = Startable::new(template, languages, |path| context.found(path));
        Ok(PreparedTemplate { spec, interpreter, startable: Arc::new(startable) })
    }
}

/// The value of PATH: the host's usual directories, and before them the interpreter's own.
fn search_path(interpreter: &str) -> String {
    const USUAL: &str = "/usr/local/bin:/usr/bin:/bin";
    let own = interpreter.rsplit_once('/').map_or("", |(directory, _)| directory);
    match USUAL.split(':').any(|usual| usual == own) {
        true => USUAL.to_owned(),
        false => format!("{own}:{USUAL}"),
    }
}

impl Backend for LocalBackend {
    fn kind(&self) -> BackendKind {
        BackendKind::Local
    }

    fn flavour(&self) -> String {
        match self.context.privilege {
            Privilege::Root => "as root".to_owned(),
            Privilege::SharedId(_) => "as root with few user ids".to_owned(),
            Privilege::User => "as an ordinary user".to_owned(),
        }
    }

    fn create<'a>(&'a self, spec: &'a SandboxSpec) -> BoxFuture<'a, Result<Sandbox, SandboxError>> {
        let (context, spec) = (self.context.clone(), spec.clone());
        // A task of its own: if the caller drops this future, the task still completes the sandbox,
        // and dropping the unused result ends it.
        let creation = self.context.reaper.run(async move { context.create(&spec).await });
        Box::pin(async move {
            creation.await.unwrap_or_else(|cause| {
                Err(SandboxError::Step { operation: "make a sandbox".into(), cause: cause.into() })
            })
        })
    }

    fn check_template<'a>(
        &'a self,
        template: &'a Template,
    ) -> BoxFuture<'a, Result<(), SandboxError>> {
        Box::pin(async move {
            self.context.prepared(template).await?;
            Ok(())
        })
    }

    fn languages<'a>(&'a self, template: &'a Template) -> BoxFuture<'a, Vec<LanguageFound>> {
        Box::pin(async move {
            let mut all = Vec::new();
            for language in template.possible_languages() {
                let found = interpreter::find(template, language).await;
                let interpreter = match found {
                    Ok(found) => Ok(format!("{} {}", found.path.display(), found.version)),
                    Err(SandboxError::Template { what, .. }) => Err(what),
                    Err(error) => Err(Chain(&error).to_string()),
                };
                all.push(LanguageFound { name: language.name, interpreter });
            }
            all
        })
    }

    fn check(&self) -> BoxFuture<'_, Result<(), SandboxError>> {
        let context = self.context.clone();
        let probe = self.context.reaper.run(async move { context.probe().await });
        Box::pin(async move {
            probe.await.unwrap_or_else(|cause| {
                Err(SandboxError::Step { operation: "try a sandbox".into(), cause: cause.into() })
            })?;
            Ok(())
        })
    }

    fn protection(&self, protection: Protection) -> Option<EnforcementState> {
        let context = &self.context;
        let groups = host::further_groups(context.privilege);
        enforcement::state(protection, context.privilege, groups, &context.cgroups, &self.probed)
    }

    fn sweep(&self) -> BoxFuture<'_, Result<usize, SandboxError>> {
        Box::pin(async {
            let jailer = &self.context.jailer;
            jailer.instance.sweep(&jailer.program).await.map_err(|cause| SandboxError::Step {
                operation: "remove what dead gateways left".into(),
                cause: cause.into(),
            })
        })
    }

    fn drained(&self) -> BoxFuture<'_, ()> {
        Box::pin(async {
            self.context.reaper.drained().await;
            self.context.jailer.ensure_janitor();
        })
    }
}

/// A template whose every choice is the default.
#[cfg(test)]
fn test_template() -> Template {
    Template::new("python", crate::language::DEFAULT)
}

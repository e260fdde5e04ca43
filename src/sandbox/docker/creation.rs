//! Making one sandbox.
//!
//! ```text
//! image ─► [socket] ─► create ─► [attach] ─► start ─► [the driver connects] ─► Sandbox
//! ```
//! The handle exists before the engine is asked for anything, so that every way out of here,
//! an error or a caller who gave up, removes what was made so far.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::buffers;
use super::container::{self, DriverSource, LinkSource, Placement};
use super::engine::{CallError, QUICK, SLOW, call};
use super::handle::DockerHandle;
use super::images::Image;
use super::reaper::Known;
use super::rendezvous::{Rendezvous, cgroup_names};
use super::{DataPath, Route, Shared, stdio};
use crate::sandbox::stream::LinkStream;
use crate::sandbox::{Duplex, EndCause, Sandbox, SandboxError, SandboxHandle, SandboxSpec};

/// How long a started driver may take to connect. It needs a millisecond; a host that swaps or
/// starts a hundred sandboxes at once needs seconds.
const CONNECT: Duration = Duration::from_secs(10);

/// What one attempt came to, if not to a sandbox.
enum Attempt {
    /// This way does not lead to a driver; that one may.
    Elsewhere(Route, String),
    /// The image was there a moment ago and is not any more.
    ImageGone,
    /// It cannot be made.
    Failed(SandboxError),
}

impl<E: Into<SandboxError>> From<E> for Attempt {
    fn from(error: E) -> Attempt {
        Attempt::Failed(error.into())
    }
}

/// Makes a sandbox, trying other ways to the driver as long as none is proven.
pub(super) async fn create(
    shared: Arc<Shared>,
    spec: SandboxSpec,
    cancelled: CancellationToken,
) -> Result<Sandbox, SandboxError> {
    let mut looked_again = false;
    loop {
        let route = shared.route();
        let image = shared.images.get(&shared.engine, &spec.template).await?;
        match attempt(&shared, &spec, route, &image, &cancelled).await {
            Ok(sandbox) => {
                if !route.proven {
                    shared.set_route(Route { proven: true, ..route });
                }
                return Ok(sandbox);
            }
            Err(Attempt::Elsewhere(next, why)) => {
                tracing::info!(
                    why,
                    socket = next.socket,
                    files = next.files,
                    "another way to sandboxes"
                );
                // Of several first sandboxes only one decides.
                if shared.route() == route {
                    shared.set_route(next);
                }
            }
            Err(Attempt::ImageGone) => {
                shared.images.forget(&spec.template.image);
                if looked_again {
                    return Err(SandboxError::Template {
                        template: spec.template.name.clone(),
                        setting: "image",
                        what: format!("image {} is being removed", spec.template.image),
                    });
                }
                looked_again = true;
            }
            Err(Attempt::Failed(error)) => return Err(error),
        }
    }
}

async fn attempt(
    shared: &Arc<Shared>,
    spec: &SandboxSpec,
    route: Route,
    image: &Image,
    cancelled: &CancellationToken,
) -> Result<Sandbox, Attempt> {
    let template = &spec.template;
    let facts = &shared.engine.facts;
    let name = format!("cellgate-{}-{}", shared.instance.id, spec.session);
    let memory_limit = template.limits.memory_bytes;
    let user = shared.users.take()?;
    let uid = user.id;
    let mut handle = DockerHandle::new(shared.clone(), name.clone(), memory_limit, user);

    let driver = if route.files {
        DriverSource::Bind(shared.instance.driver())
    } else {
        let (engine, reaper) = (&shared.engine, &shared.reaper);
        let (instance, labels) = (&shared.instance.id, shared.labels(None));
        let volume = shared.volume.get(engine, reaper, instance, &image.id, &labels).await?;
        let name = volume.name.clone();
        handle.volume = Some(volume);
        DriverSource::Volume(name)
    };
    let rendezvous = match route.socket {
        true => Some(Rendezvous::open(shared.instance.secret_directory()?)?),
        false => None,
    };
    let link = match &rendezvous {
        Some(rendezvous) => LinkSource::Directory(rendezvous.directory().to_owned()),
        None => LinkSource::Stdio,
    };
    let placement = Placement { driver, link };
    let labels = shared.labels(Some(spec.session.as_str()));
    let request = container::request(template, &image.id, uid, facts, &placement, labels);

    let client = &shared.engine.client;
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    handle.known = Some(Known::Perhaps);
    let creation = client.create_container(Some(options), request);
    let id = match call(format!("create container {name}"), SLOW, creation).await {
        Ok(created) => created.id,
        Err(error) => {
            if error.status().is_some() {
                handle.known = None; // refused: there is nothing to remove
            }
            return Err(refused(shared, route, error));
        }
    };
    handle.known = Some(Known::Made);

    let link: Box<dyn Duplex> = match rendezvous {
        Some(rendezvous) => {
            start(client, &name).await?;
            let met = tokio::select! {
                stream = connected(shared, rendezvous, &id) => Ok(stream),
                () = handle.fate.ended() => Err(ended_early(&mut handle, memory_limit).await),
                () = tokio::time::sleep(CONNECT) => Err(never_connected()),
                () = cancelled.cancelled() => return Err(given_up()),
            };
            match met {
                Ok(stream) => {
                    let registered = stream.into_std().and_then(LinkStream::new);
                    Box::new(registered.map_err(|cause| SandboxError::Step {
                        operation: format!("use the link of container {name}"),
                        cause: cause.into(),
                    })?)
                }
                // A driver that cannot connect ends, or a kernel in between lets it wait.
                Err(error) if shared.config.data_path == DataPath::Auto && !route.proven => {
                    // The next attempt has the same name, so this one has to be gone first.
                    Box::new(handle).end().await;
                    let next = Route { socket: false, ..route };
                    return Err(Attempt::Elsewhere(next, describe(&error)));
                }
                Err(error) => return Err(Attempt::Failed(error)),
            }
        }
        None => {
            let options =
                AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true);
            let attachment = client.attach_container(&name, Some(options.stream(true).build()));
            let attached = call(format!("attach to container {name}"), QUICK, attachment).await?;
            let (link, scissors) = stdio::link(attached, &name);
            handle.scissors = Some(scissors);
            start(client, &name).await?;
            Box::new(link)
        }
    };
    if let Some(hierarchy) = facts.buffers_hierarchy.as_ref().filter(|_| route.files) {
        limit_buffers(shared, hierarchy, &id, memory_limit).await?;
    }
    if cancelled.is_cancelled() {
        return Err(given_up());
    }
    let setup = container::setup(template, &image.env, facts)?;
    Ok(Sandbox { link, setup, handle: Box::new(handle) })
}

async fn start(client: &bollard::Docker, name: &str) -> Result<(), CallError> {
    call(format!("start container {name}"), SLOW, client.start_container(name, None)).await
}

/// Limits what the container's sockets hold; nothing of it runs user code yet.
async fn limit_buffers(
    shared: &Shared,
    hierarchy: &Path,
    id: &str,
    memory_limit: u64,
) -> Result<(), SandboxError> {
    let inspection = shared.engine.client.inspect_container(id, None);
    let found = call(format!("inspect container {id}"), QUICK, inspection).await?;
    let pid = found.state.and_then(|state| state.pid).unwrap_or(0);
    buffers::limit(hierarchy, pid, id, memory_limit).map_err(|cause| SandboxError::Step {
        operation: format!("limit the socket buffers of container {id}"),
        cause: cause.into(),
    })
}

/// Sorts out why the engine refused to create a container.
fn refused(shared: &Shared, route: Route, error: CallError) -> Attempt {
    let message = error.message();
    // Of a bind mount: the engine does not see our files, being in another machine or we in a
    // container. Older and newer engines differ in status and in letter case.
    let unseen = message.to_ascii_lowercase().contains("bind source path does not exist");
    if unseen && !route.proven {
        if shared.config.data_path == DataPath::Socket {
            return Attempt::Failed(SandboxError::Unsupported(format!(
                "the data path is set to \"socket\" and the engine does not see {}: use the same \
                 directory on both sides, or set the data path to \"auto\"",
                shared.config.runtime_dir.display()
            )));
        }
        let next = Route { files: false, socket: false, proven: false };
        return Attempt::Elsewhere(next, message.to_owned());
    }
    if error.status() == Some(404) {
        return Attempt::ImageGone;
    }
    error.into()
}

/// Waits until the driver of the container `id` is connected.
async fn connected(shared: &Shared, rendezvous: Rendezvous, id: &str) -> UnixStream {
    rendezvous
        .accept(|pid| async move {
            // Not visible: in a container beside ours. The secret name has to do.
            let Some(pid) = pid else { return true };
            if cgroup_names(pid, id) {
                return true;
            }
            // An engine without cgroups, or one that names them otherwise: ask.
            let inspection = shared.engine.client.inspect_container(id, None);
            let inspected = call(format!("inspect container {id}"), QUICK, inspection).await;
            let first = inspected.ok().and_then(|found| found.state).and_then(|state| state.pid);
            first == Some(i64::from(pid))
        })
        .await
}

async fn ended_early(handle: &mut DockerHandle, memory_limit: u64) -> SandboxError {
    let what = match handle.fate.cause(memory_limit).await {
        EndCause::Supervisor(code) if code < 0 => format!("signal {}", -code),
        EndCause::Supervisor(code) => format!("exit code {code}"),
        EndCause::OutOfMemory { limit_bytes } => format!("the memory limit of {limit_bytes} bytes"),
        EndCause::Removed(why) | EndCause::BackendGone(why) => why,
        EndCause::Unknown => "an unknown cause".to_owned(),
    };
    SandboxError::Step {
        operation: format!("start the driver in container {}", handle.name()),
        cause: format!("it ended before it connected: {what}").into(),
    }
}

fn never_connected() -> SandboxError {
    SandboxError::Deadline {
        operation: "waiting for the driver to connect".into(),
        limit_ms: CONNECT.as_millis() as u64,
    }
}

/// An error and its cause in one line, for the log.
fn describe(error: &SandboxError) -> String {
    match std::error::Error::source(error) {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}

fn given_up() -> Attempt {
    Attempt::Failed(SandboxError::Unsupported("whoever wanted the sandbox is gone".into()))
}

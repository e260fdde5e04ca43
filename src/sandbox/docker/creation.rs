//! Making one sandbox.
//!
//! ```text
//! image ─► [socket] ─► create ─► [attach] ─► start ─► [the driver connects] ─► Sandbox
//! ```
//! The handle exists before the first request to the engine, so that every early return, on an
//! error or because the caller gave up, drops the handle and thereby removes what was made so far.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::query_parameters::{AttachContainerOptionsBuilder, CreateContainerOptionsBuilder};
use tokio::net::UnixStream;
use tokio_util::sync::CancellationToken;

use super::buffers;
use super::container::{self, DriverSource, LinkSource, Placement};
use super::engine::{CallError, QUICK_TIMEOUT, SLOW_TIMEOUT, call};
use super::handle::DockerHandle;
use super::images::Image;
use super::link_listener::{LinkListener, cgroup_names};
use super::removal::Creation;
use super::{Context, DataPath, Route, stdio};
use crate::error::Chain;
use crate::sandbox::common::stream::LinkStream;
use crate::sandbox::{Duplex, EndCause, Sandbox, SandboxError, SandboxHandle, SandboxSpec};

/// How long a started driver may take to connect. It needs a millisecond; a host that swaps or
/// starts a hundred sandboxes at once needs seconds.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// Why one attempt did not give a sandbox.
enum AttemptError {
    /// The driver cannot be reached by this route; the named one may work. With the reason.
    OtherRoute(Route, String),
    /// The image was removed after it was looked up.
    ImageGone,
    /// It cannot be made.
    Failed(SandboxError),
}

impl<E: Into<SandboxError>> From<E> for AttemptError {
    fn from(error: E) -> AttemptError {
        AttemptError::Failed(error.into())
    }
}

/// Makes a sandbox, trying other ways to the driver as long as none is proven.
pub(super) async fn create(
    context: Arc<Context>,
    spec: SandboxSpec,
    cancelled: CancellationToken,
) -> Result<Sandbox, SandboxError> {
    let mut retried = false;
    loop {
        let route = context.route();
        let image = context.images.get(&context.engine, &spec.template).await?;
        match attempt(&context, &spec, route, &image, &cancelled).await {
            Ok(sandbox) => {
                if !route.proven {
                    context.set_route(Route { proven: true, ..route });
                }
                return Ok(sandbox);
            }
            Err(AttemptError::OtherRoute(next, why)) => {
                tracing::info!(
                    why,
                    socket = next.socket,
                    files = next.files,
                    "another way to sandboxes"
                );
                // Of several first sandboxes that run at once, only one changes the route.
                if context.route() == route {
                    context.set_route(next);
                }
            }
            Err(AttemptError::ImageGone) => {
                context.images.forget(&spec.template.image);
                if retried {
                    return Err(SandboxError::Template {
                        template: spec.template.name.clone(),
                        setting: "image",
                        what: format!("image {} is being removed", spec.template.image),
                    });
                }
                retried = true;
            }
            Err(AttemptError::Failed(error)) => return Err(error),
        }
    }
}

async fn attempt(
    context: &Arc<Context>,
    spec: &SandboxSpec,
    route: Route,
    image: &Image,
    cancelled: &CancellationToken,
) -> Result<Sandbox, AttemptError> {
    let template = &spec.template;
    let facts = &context.engine.facts;
    let name = format!("cellgate-{}-{}", context.instance.id, spec.session);
    let memory_limit = template.limits.memory_bytes;
    let user = context.users.take()?;
    let uid = user.id;
    let mut handle = DockerHandle::new(context.clone(), name.clone(), memory_limit, user);

    let driver = if route.files {
        DriverSource::Bind(context.instance.driver())
    } else {
        let (engine, remover) = (&context.engine, &context.remover);
        let (instance, labels) = (&context.instance.id, context.labels(None));
        let volume = context.volume.get(engine, remover, instance, &image.id, &labels).await?;
        let name = volume.name.clone();
        handle.volume = Some(volume);
        DriverSource::Volume(name)
    };
    let listener = match route.socket {
        true => Some(LinkListener::open(context.instance.secret_directory()?)?),
        false => None,
    };
    let link = match &listener {
        Some(listener) => LinkSource::Directory(listener.directory().to_owned()),
        None => LinkSource::Stdio,
    };
    let placement = Placement { driver, link };
    let labels = context.labels(Some(spec.session.as_str()));
    let request = container::request(template, &image.id, uid, facts, &placement, labels);

    let client = &context.engine.client;
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    handle.creation = Some(Creation::Unanswered);
    let request = client.create_container(Some(options), request);
    let id = match call(format!("create container {name}"), SLOW_TIMEOUT, request).await {
        Ok(created) => created.id,
        Err(error) => {
            if error.status().is_some() {
                handle.creation = None; // refused: there is nothing to remove
            }
            return Err(refused(context, route, error));
        }
    };
    handle.creation = Some(Creation::Confirmed);

    let link: Box<dyn Duplex> = match listener {
        Some(listener) => {
            start(client, &name).await?;
            let met = tokio::select! {
                stream = connected(context, listener, &id) => Ok(stream),
                () = handle.exit.ended() => Err(ended_early(&mut handle, memory_limit).await),
                () = tokio::time::sleep(CONNECT_TIMEOUT) => Err(never_connected()),
                () = cancelled.cancelled() => return Err(cancelled_error()),
            };
            match met {
                Ok(stream) => {
                    let registered = stream.into_std().and_then(LinkStream::new);
                    Box::new(registered.map_err(|cause| SandboxError::Step {
                        operation: format!("use the link of container {name}"),
                        cause: cause.into(),
                    })?)
                }
                // A driver that cannot connect ends; under gVisor it may wait until the timeout.
                Err(error) if context.config.data_path == DataPath::Auto && !route.proven => {
                    // The next attempt has the same name, so this one has to be gone first.
                    Box::new(handle).end().await;
                    let next = Route { socket: false, ..route };
                    return Err(AttemptError::OtherRoute(next, Chain(&error).to_string()));
                }
                Err(error) => return Err(AttemptError::Failed(error)),
            }
        }
        None => {
            let options =
                AttachContainerOptionsBuilder::default().stdin(true).stdout(true).stderr(true);
            let attachment = client.attach_container(&name, Some(options.stream(true).build()));
            let attached =
                call(format!("attach to container {name}"), QUICK_TIMEOUT, attachment).await?;
            let (link, closer) = stdio::link(attached, &name);
            handle.closer = Some(closer);
            start(client, &name).await?;
            Box::new(link)
        }
    };
    if let Some(hierarchy) = facts.buffers_hierarchy.as_ref().filter(|_| route.files) {
        limit_buffers(context, hierarchy, &id, memory_limit).await?;
    }
    if cancelled.is_cancelled() {
        return Err(cancelled_error());
    }
    let (setup, startable) = container::setup(template, &image.env, facts)?;
    Ok(Sandbox { link, setup, startable: Arc::new(startable), handle: Box::new(handle) })
}

async fn start(client: &bollard::Docker, name: &str) -> Result<(), CallError> {
    call(format!("start container {name}"), SLOW_TIMEOUT, client.start_container(name, None)).await
}

/// Limits the memory of the container's socket buffers, before any user code runs in it.
async fn limit_buffers(
    context: &Context,
    hierarchy: &Path,
    id: &str,
    memory_limit: u64,
) -> Result<(), SandboxError> {
    let inspection = context.engine.client.inspect_container(id, None);
    let found = call(format!("inspect container {id}"), QUICK_TIMEOUT, inspection).await?;
    let pid = found.state.and_then(|state| state.pid).unwrap_or(0);
    buffers::limit(hierarchy, pid, id, memory_limit).map_err(|cause| SandboxError::Step {
        operation: format!("limit the socket buffers of container {id}"),
        cause: cause.into(),
    })
}

/// Decides what follows from the engine's refusal to create a container.
fn refused(context: &Context, route: Route, error: CallError) -> AttemptError {
    let message = error.message();
    // The engine says this of a bind mount whose file it does not see, because it runs on another
    // machine or this gateway runs in a container. Status and letter case differ by engine version.
    let unseen = message.to_ascii_lowercase().contains("bind source path does not exist");
    if unseen && !route.proven {
        if context.config.data_path == DataPath::Socket {
            return AttemptError::Failed(SandboxError::Unsupported(format!(
                "the data path is set to \"socket\" and the engine does not see {}: use the same \
                 directory on both sides, or set the data path to \"auto\"",
                context.config.runtime_dir.display()
            )));
        }
        let next = Route { files: false, socket: false, proven: false };
        return AttemptError::OtherRoute(next, message.to_owned());
    }
    if error.status() == Some(404) {
        return AttemptError::ImageGone;
    }
    error.into()
}

/// Waits until the driver of the container `id` is connected.
async fn connected(context: &Context, listener: LinkListener, id: &str) -> UnixStream {
    listener
        .accept(|pid| async move {
            // The peer is not visible, as when the gateway runs in a container itself. The secret
            // name of the socket's directory is the only protection then.
            let Some(pid) = pid else { return true };
            if cgroup_names(pid, id) {
                return true;
            }
            // The engine has no cgroups or names them differently: compare with its own answer.
            let inspection = context.engine.client.inspect_container(id, None);
            let inspected =
                call(format!("inspect container {id}"), QUICK_TIMEOUT, inspection).await;
            let first = inspected.ok().and_then(|found| found.state).and_then(|state| state.pid);
            first == Some(i64::from(pid))
        })
        .await
}

async fn ended_early(handle: &mut DockerHandle, memory_limit: u64) -> SandboxError {
    let what = match handle.exit.cause(memory_limit).await {
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
        limit_ms: CONNECT_TIMEOUT.as_millis() as u64,
    }
}

fn cancelled_error() -> AttemptError {
    AttemptError::Failed(SandboxError::Unsupported(
        "the caller gave up before the sandbox was ready".into(),
    ))
}

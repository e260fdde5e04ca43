//! Helpers of the docker backend's tests.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::ContainerInspectResponse;
use bollard::query_parameters::{ListContainersOptionsBuilder, WaitContainerOptionsBuilder};
use cellgate::id::SessionId;
use cellgate::language;
use cellgate::sandbox::docker::{DockerBackend, DockerConfig};
use cellgate::sandbox::{Backend, Duplex, Sandbox, SandboxSpec};
use cellgate::template::{PoolSize, Template};
use cellgate_driver::wire::{HEADER_BYTES, Header, VERSION, append_message, kind};
use futures::StreamExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// Longest wait for anything of an engine on a loaded machine.
pub(crate) const DEADLINE: Duration = Duration::from_secs(60);
/// How soon after a gateway's sudden death nothing of it may be left.
pub(crate) const DEAD_MAN: Duration = Duration::from_secs(5);
pub(crate) const SOCKET: &str = "/var/run/docker.sock";
pub(crate) const IMAGE: &str = "debian:bookworm-slim";
/// The image of the template `python`.
pub(crate) const PYTHON_IMAGE: &str = "cellgate-python";

/// The engine. `None`: there is none, and the skip has been printed.
pub(crate) async fn engine() -> Option<Docker> {
    let reason = match Docker::connect_with_unix(SOCKET, 60, bollard::API_DEFAULT_VERSION) {
        Ok(docker) => match docker.negotiate_version().await {
            Ok(docker) => match docker.inspect_image(IMAGE).await {
                Ok(_) => return Some(docker),
                Err(error) => format!("no image {IMAGE}: {error}"),
            },
            Err(error) => format!("the engine does not answer: {error}"),
        },
        Err(error) => format!("no engine: {error}"),
    };
    skip(&reason);
    None
}

pub(crate) fn skip(reason: &str) {
    if std::env::var("CELLGATE_REQUIRE").is_ok_and(|required| required == "all") {
        panic!("CELLGATE_REQUIRE=all and this test cannot run: {reason}");
    }
    println!("skipped: {reason} (scripts/ci-engine start provides it)");
}

pub(crate) fn config(runtime_dir: &Path) -> DockerConfig {
    DockerConfig {
        host: Some(format!("unix://{SOCKET}")),
        ..DockerConfig::new(runtime_dir.to_owned())
    }
}

pub(crate) fn spec() -> SandboxSpec {
    let template = Template {
        image: IMAGE.into(),
        env: vec![("FROM_TEMPLATE".into(), "1".into())],
        pool: PoolSize::OFF,
        ..Template::new("python", language::DEFAULT)
    };
    SandboxSpec { session: SessionId::random().unwrap(), template: Arc::new(template) }
}

pub(crate) async fn create(backend: &DockerBackend, spec: &SandboxSpec) -> Sandbox {
    soon("create", backend.create(spec)).await.unwrap()
}

pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} takes longer than {DEADLINE:?}"),
    }
}

pub(crate) async fn read_frame(link: &mut dyn Duplex) -> (Header, Vec<u8>) {
    let mut head = [0; HEADER_BYTES];
    soon("a frame", link.read_exact(&mut head)).await.unwrap();
    let header = Header::decode(&head).unwrap();
    let mut payload = vec![0; header.length as usize];
    soon("a payload", link.read_exact(&mut payload)).await.unwrap();
    (header, payload)
}

/// Reads the driver's first frame, tells it what it needs to know, and sends a frame there and
/// back.
pub(crate) async fn greet(sandbox: &mut Sandbox) {
    let (header, payload) = read_frame(&mut *sandbox.link).await;
    assert_eq!(header.kind, kind::HELLO);
    assert_eq!(payload[..2], VERSION.to_le_bytes());
    let mut frames = Vec::new();
    append_message(&mut frames, kind::SETUP, 0, 0, &sandbox.setup.encode());
    sandbox.link.write_all(&frames).await.unwrap();
    ping(sandbox).await;
}

/// Sends a frame there and back; whatever else the driver says is skipped.
pub(crate) async fn ping(sandbox: &mut Sandbox) {
    let mut frames = Vec::new();
    append_message(&mut frames, kind::PING, 0, 0, b"are you there");
    sandbox.link.write_all(&frames).await.unwrap();
    sandbox.link.flush().await.unwrap();
    assert_eq!(frame(sandbox, kind::PONG).await, b"are you there");
}

/// The payload of the next frame of this kind.
pub(crate) async fn frame(sandbox: &mut Sandbox, wanted: u8) -> Vec<u8> {
    loop {
        let (header, payload) = read_frame(&mut *sandbox.link).await;
        if header.kind == wanted {
            return payload;
        }
    }
}

/// Containers with the label, running or not.
pub(crate) async fn containers(docker: &Docker, label: &str) -> Vec<String> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let list = docker.list_containers(Some(options)).await.unwrap();
    list.into_iter().filter_map(|container| container.id).collect()
}

pub(crate) async fn of_session(docker: &Docker, spec: &SandboxSpec) -> Vec<String> {
    containers(docker, &format!("cellgate.session={}", spec.session)).await
}

pub(crate) async fn of_instance(docker: &Docker, backend: &DockerBackend) -> Vec<String> {
    containers(docker, &format!("cellgate.instance={}", backend.instance())).await
}

/// The names in the directory that a backend keeps for itself below `root`, sorted.
pub(crate) fn files_of_instance(root: &Path, backend: &DockerBackend) -> Vec<String> {
    let entries = std::fs::read_dir(root.join(backend.instance())).unwrap();
    let mut names: Vec<String> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

pub(crate) async fn inspect(docker: &Docker, spec: &SandboxSpec) -> ContainerInspectResponse {
    let found = of_session(docker, spec).await;
    assert_eq!(found.len(), 1);
    docker.inspect_container(&found[0], None).await.unwrap()
}

/// Waits until the engine has removed the container.
pub(crate) async fn removed(docker: &Docker, id: &str) {
    let options = WaitContainerOptionsBuilder::default().condition("removed").build();
    // Every answer means that it is gone: an exit code, or "no such container".
    let _ = docker.wait_container(id, Some(options)).next().await;
}

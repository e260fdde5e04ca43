//! The docker backend against a real engine.
//!
//! Without an engine, or without the base image, every test says that it is skipped; with
//! `CELLGATE_REQUIRE=all` it fails instead. `scripts/ci-engine start` provides both.

use std::collections::HashMap;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;
use std::time::Duration;

use bollard::Docker;
use bollard::models::{ContainerCreateBody, ContainerInspectResponse};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListContainersOptionsBuilder,
    ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder, RemoveVolumeOptions,
    WaitContainerOptionsBuilder,
};
use cellgate::id::SessionId;
use cellgate::sandbox::docker::{DataPath, DockerBackend, DockerConfig};
use cellgate::sandbox::{
    Backend, BackendKind, Duplex, EndCause, EnforcementState, Sandbox, SandboxSpec,
};
use cellgate::template::{Language, Limits, Template};
use cellgate_driver::wire::{HEADER_BYTES, Header, VERSION, append_message, kind};
use futures::StreamExt;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};

#[path = "docker_backend/proxy.rs"]
mod proxy;
use proxy::Proxy;

/// Longest wait for anything of an engine on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);
/// How soon after a gateway's sudden death nothing of it may be left.
const DEAD_MAN: Duration = Duration::from_secs(5);
const SOCKET: &str = "/var/run/docker.sock";
const IMAGE: &str = "debian:bookworm-slim";

/// The engine, or a skip that is told.
async fn engine() -> Option<Docker> {
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

fn skip(reason: &str) {
    if std::env::var("CELLGATE_REQUIRE").is_ok_and(|required| required == "all") {
        panic!("CELLGATE_REQUIRE=all and this test cannot run: {reason}");
    }
    println!("skipped: {reason} (scripts/ci-engine start provides it)");
}

fn config(runtime_dir: &Path) -> DockerConfig {
    DockerConfig {
        host: Some(format!("unix://{SOCKET}")),
        runtime_dir: runtime_dir.to_owned(),
        ..DockerConfig::default()
    }
}

fn spec() -> SandboxSpec {
    let template = Template {
        name: "python".into(),
        language: Language::Python,
        python: None,
        root: None,
        image: IMAGE.into(),
        env: vec![("FROM_TEMPLATE".into(), "1".into())],
        limits: Limits::default(),
    };
    SandboxSpec { session: SessionId::random().unwrap(), template: Arc::new(template) }
}

async fn create(backend: &DockerBackend, spec: &SandboxSpec) -> Sandbox {
    soon("create", backend.create(spec)).await.unwrap()
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match tokio::time::timeout(DEADLINE, future).await {
        Ok(value) => value,
        Err(_) => panic!("{what} takes longer than {DEADLINE:?}"),
    }
}

async fn read_frame(link: &mut dyn Duplex) -> (Header, Vec<u8>) {
    let mut head = [0; HEADER_BYTES];
    soon("a frame", link.read_exact(&mut head)).await.unwrap();
    let header = Header::decode(&head).unwrap();
    let mut payload = vec![0; header.length as usize];
    soon("a payload", link.read_exact(&mut payload)).await.unwrap();
    (header, payload)
}

/// Reads the first frame of a driver and sends one there and back.
async fn greet(link: &mut dyn Duplex) {
    let (header, payload) = read_frame(link).await;
    assert_eq!(header.kind, kind::HELLO);
    assert_eq!(payload[..2], VERSION.to_le_bytes());
    let mut ping = Vec::new();
    append_message(&mut ping, kind::PING, 0, 0, b"are you there");
    link.write_all(&ping).await.unwrap();
    link.flush().await.unwrap();
    let (header, payload) = read_frame(link).await;
    assert_eq!((header.kind, &payload[..]), (kind::PONG, &b"are you there"[..]));
}

/// Containers with the label, running or not.
async fn containers(docker: &Docker, label: &str) -> Vec<String> {
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let list = docker.list_containers(Some(options)).await.unwrap();
    list.into_iter().filter_map(|container| container.id).collect()
}

async fn of_session(docker: &Docker, spec: &SandboxSpec) -> Vec<String> {
    containers(docker, &format!("cellgate.session={}", spec.session)).await
}

async fn of_instance(docker: &Docker, backend: &DockerBackend) -> Vec<String> {
    containers(docker, &format!("cellgate.instance={}", backend.instance())).await
}

async fn inspect(docker: &Docker, spec: &SandboxSpec) -> ContainerInspectResponse {
    let found = of_session(docker, spec).await;
    assert_eq!(found.len(), 1);
    docker.inspect_container(&found[0], None).await.unwrap()
}

/// Waits until the engine has removed the container.
async fn removed(docker: &Docker, id: &str) {
    let options = WaitContainerOptionsBuilder::default().condition("removed").build();
    // Every answer means that it is gone: an exit code, or "no such container".
    let _ = docker.wait_container(id, Some(options)).next().await;
}

#[tokio::test]
async fn a_sandbox_talks_over_its_socket_and_ends_without_a_trace() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    assert_eq!((backend.kind(), backend.data_path()), (BackendKind::Docker, DataPath::Auto));
    let spec = spec();
    let mut sandbox = create(&backend, &spec).await;
    greet(&mut *sandbox.link).await;
    assert_eq!(backend.data_path(), DataPath::Socket);

    // Once connected, nobody else can: the socket and its directory are gone.
    let left = std::fs::read_dir(root.path().join(backend.instance())).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(left, ["driver"]);

    let env: Vec<String> =
        sandbox.setup.env.iter().map(|entry| String::from_utf8_lossy(entry).into()).collect();
    assert!(env.contains(&"HOME=/work".into()) && env.contains(&"FROM_TEMPLATE=1".into()));
    assert!(env.iter().any(|entry| entry.starts_with("PATH=")));
    assert_eq!((&*sandbox.setup.workdir, sandbox.setup.watch_memory), ("/work", false));

    soon("end", sandbox.handle.end()).await;
    assert_eq!(of_session(&docker, &spec).await, Vec::<String>::new());
    let instance = root.path().join(backend.instance());
    drop(backend);
    assert!(!instance.exists());
}

#[tokio::test]
async fn a_sandbox_talks_over_attached_stdio_and_unread_output_does_not_delay_its_end() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let stdio = DockerConfig { data_path: DataPath::Stdio, ..config(root.path()) };
    let backend = DockerBackend::connect(stdio).await.unwrap();
    let spec = spec();
    let mut sandbox = create(&backend, &spec).await;
    greet(&mut *sandbox.link).await;
    assert_eq!(backend.data_path(), DataPath::Stdio);

    // Ask until nothing more is taken: the answers fill every buffer on the way.
    let mut pings = Vec::new();
    for _ in 0..64 {
        append_message(&mut pings, kind::PING, 0, 0, &[7; 64]);
    }
    let full = async { while sandbox.link.write_all(&pings).await.is_ok() {} };
    assert!(tokio::time::timeout(Duration::from_secs(2), full).await.is_err());
    let ending = sandbox.handle.end();
    tokio::time::timeout(Duration::from_secs(15), ending).await.expect("the end is not delayed");
    assert_eq!(of_session(&docker, &spec).await, Vec::<String>::new());
    let mut rest = Vec::new();
    soon("the link's end", sandbox.link.read_to_end(&mut rest)).await.unwrap();
}

#[tokio::test]
async fn gvisor_is_reached_over_stdio() {
    let Some(docker) = engine().await else { return };
    let runtimes = docker.info().await.unwrap().runtimes.unwrap_or_default();
    if !runtimes.contains_key("runsc") {
        return skip("the engine has no runtime runsc");
    }
    let root = tempfile::tempdir().unwrap();
    let runsc = DockerConfig { runtime: Some("runsc".into()), ..config(root.path()) };
    let backend = DockerBackend::connect(runsc).await.unwrap();
    let spec = spec();
    let mut sandbox = create(&backend, &spec).await;
    greet(&mut *sandbox.link).await;
    assert_eq!(backend.data_path(), DataPath::Stdio);
    let arguments = runtimes["runsc"].runtime_args.clone().unwrap_or_default();
    let ignored = arguments.iter().any(|argument| argument.contains("ignore-cgroups"));
    assert_eq!(sandbox.setup.watch_memory, ignored);
    let enforcement = backend.enforcement();
    let memory = enforcement.iter().find(|entry| entry.what == "memory limit").unwrap();
    assert_eq!(matches!(memory.state, EnforcementState::Partial { .. }), ignored);
    let id = of_session(&docker, &spec).await.remove(0);
    drop(sandbox.link);
    tokio::time::timeout(DEAD_MAN * 2, removed(&docker, &id)).await.expect("the dead-man switch");
    soon("end", sandbox.handle.end()).await;
}

#[tokio::test]
async fn a_remote_engine_gets_the_driver_in_a_volume() {
    let Some(docker) = engine().await else { return };
    let proxy = Proxy::open(SOCKET).await;
    let root = tempfile::tempdir().unwrap();
    let remote = DockerConfig { host: Some(proxy.address()), ..config(root.path()) };
    let backend = DockerBackend::connect(remote).await.unwrap();
    let specs = [spec(), spec()];
    let (first, second) = soon("create", async {
        tokio::join!(backend.create(&specs[0]), backend.create(&specs[1]))
    })
    .await;
    let (mut first, mut second) = (first.unwrap(), second.unwrap());
    greet(&mut *first.link).await;
    greet(&mut *second.link).await;
    let label = format!("cellgate.instance={}", backend.instance());
    let filters = HashMap::from([("label", vec![label.as_str()])]);
    let volumes = || async {
        let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
        docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default()
    };
    assert_eq!(volumes().await.len(), 1);
    let mounts = inspect(&docker, &specs[0]).await.mounts.unwrap();
    assert!(mounts.iter().all(|mount| mount.rw == Some(false)), "{mounts:?}");
    soon("end", first.handle.end()).await;
    drop(second);
    soon("drained", backend.drained()).await;
    assert_eq!(of_instance(&docker, &backend).await, Vec::<String>::new());
    assert_eq!(volumes().await, []);
}

#[tokio::test]
async fn an_engine_that_goes_away_is_named_as_the_cause() {
    let Some(docker) = engine().await else { return };
    let proxy = Proxy::open(SOCKET).await;
    let root = tempfile::tempdir().unwrap();
    let remote = DockerConfig { host: Some(proxy.address()), ..config(root.path()) };
    let backend = DockerBackend::connect(remote).await.unwrap();
    soon("check", backend.check()).await.unwrap();
    let spec = spec();
    let mut sandbox = create(&backend, &spec).await;
    greet(&mut *sandbox.link).await;
    let id = of_session(&docker, &spec).await.remove(0);
    proxy.cut();
    let mut rest = Vec::new();
    // Broken or ended: the bytes of a cut connection say no more.
    let _ = soon("the link's end", sandbox.link.read_to_end(&mut rest)).await;
    let cause = tokio::time::timeout(Duration::from_secs(3), sandbox.handle.cause()).await;
    assert!(matches!(cause, Ok(EndCause::BackendGone(_))), "{cause:?}");
    assert!(soon("check", backend.check()).await.is_err());
    // The driver saw its stdin close.
    tokio::time::timeout(DEAD_MAN, removed(&docker, &id)).await.expect("the dead-man switch");
    let filters = HashMap::from([("label", vec!["cellgate.instance"])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    for volume in docker.list_volumes(Some(options)).await.unwrap().volumes.unwrap_or_default() {
        if volume.name.contains(backend.instance()) {
            docker.remove_volume(&volume.name, None::<RemoveVolumeOptions>).await.unwrap();
        }
    }
}

#[tokio::test]
async fn the_engine_is_asked_for_everything_a_sandbox_must_not_do() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    let spec = spec();
    let sandbox = create(&backend, &spec).await;
    let found = inspect(&docker, &spec).await;
    let limits = &spec.template.limits;
    let memory = i64::try_from(limits.memory_bytes).unwrap();

    let host = found.host_config.unwrap();
    assert_eq!(host.cap_drop, Some(vec!["ALL".into()]));
    assert_eq!(host.cap_add.unwrap_or_default(), Vec::<String>::new());
    assert_eq!((host.privileged, host.readonly_rootfs), (Some(false), Some(true)));
    let options = host.security_opt.unwrap();
    assert!(options.contains(&"no-new-privileges:true".into()));
    assert!(options.iter().any(|option| option.starts_with("seccomp={")), "{options:?}");
    assert_eq!(host.network_mode.as_deref(), Some("none"));
    assert_eq!(host.ipc_mode.as_deref(), Some("none"));
    assert_eq!((host.memory, host.memory_swap), (Some(memory), Some(memory)));
    assert_eq!(host.nano_cpus, Some(1_000_000_000));
    assert_eq!(host.pids_limit, Some(i64::from(limits.processes)));
    assert_eq!((host.auto_remove, host.init), (Some(true), Some(false)));
    assert_eq!(host.log_config.unwrap().typ.as_deref(), Some("none"));
    let tmpfs = host.tmpfs.unwrap();
    for path in ["/work", "/tmp", "/dev/shm"] {
        let size = format!("size={}", limits.disk_bytes);
        assert!(tmpfs[path].contains(&size) && tmpfs[path].contains("nosuid,nodev"), "{tmpfs:?}");
    }
    let ulimits: Vec<_> = host.ulimits.unwrap().into_iter().map(|u| (u.name, u.hard)).collect();
    assert!(ulimits.contains(&(Some("nofile".into()), Some(i64::from(limits.open_files)))));
    assert!(ulimits.contains(&(Some("core".into()), Some(0))));
    let mounts = found.mounts.unwrap();
    assert!(mounts.iter().all(|mount| mount.rw == Some(false)), "{mounts:?}");

    let config = found.config.unwrap();
    assert_eq!(config.user.as_deref(), Some("1000:1000"));
    assert_eq!((config.tty, config.open_stdin), (Some(false), Some(false)));
    let labels = config.labels.unwrap();
    assert_eq!(labels["cellgate.instance"], backend.instance());
    assert_eq!(labels["cellgate.session"], spec.session.as_str());
    assert!(labels["cellgate.expires"].parse::<u64>().unwrap() > 1_700_000_000);
    let name = format!("/cellgate-{}-{}", backend.instance(), spec.session);
    assert_eq!(found.name, Some(name));
    soon("end", sandbox.handle.end()).await;
}

#[tokio::test]
async fn a_dropped_sandbox_is_removed_and_its_neighbour_stays() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    let specs = [spec(), spec()];
    let dropped = create(&backend, &specs[0]).await;
    let mut kept = create(&backend, &specs[1]).await;
    drop(dropped);
    soon("drained", backend.drained()).await;
    assert_eq!(of_session(&docker, &specs[0]).await, Vec::<String>::new());
    greet(&mut *kept.link).await;
    soon("end", kept.handle.end()).await;
}

#[tokio::test]
async fn an_end_from_outside_is_named_as_the_cause() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    let specs = [spec(), spec(), spec()];
    for (way, spec) in specs.iter().enumerate() {
        let mut sandbox = create(&backend, spec).await;
        greet(&mut *sandbox.link).await;
        let id = of_session(&docker, spec).await.remove(0);
        match way {
            0 => {
                let signal = KillContainerOptionsBuilder::default().signal("KILL").build();
                docker.kill_container(&id, Some(signal)).await.unwrap();
            }
            1 => docker.stop_container(&id, None).await.unwrap(),
            _ => {
                let force = RemoveContainerOptionsBuilder::default().force(true).build();
                docker.remove_container(&id, Some(force)).await.unwrap();
            }
        }
        let mut rest = Vec::new();
        let _ = soon("the link's end", sandbox.link.read_to_end(&mut rest)).await;
        let cause = soon("the cause", sandbox.handle.cause()).await;
        assert!(matches!(cause, EndCause::Removed(_)), "{way}: {cause:?}");
        soon("end", sandbox.handle.end()).await;
    }
}

#[tokio::test]
async fn a_creation_given_up_at_any_moment_leaves_nothing() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    for after_ms in [0, 1, 3, 8, 20, 60, 150, 250, 350] {
        let spec = spec();
        let patience = Duration::from_millis(after_ms);
        // Whether it was made in time does not matter: either way it is dropped here.
        drop(tokio::time::timeout(patience, backend.create(&spec)).await);
    }
    soon("drained", backend.drained()).await;
    assert_eq!(of_instance(&docker, &backend).await, Vec::<String>::new());
    let left = std::fs::read_dir(root.path().join(backend.instance())).unwrap();
    assert_eq!(left.count(), 1, "the driver alone");
}

#[tokio::test]
async fn a_sweep_removes_what_the_dead_left_and_nothing_else() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    let neighbour = DockerBackend::connect(config(root.path())).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let stranger = DockerBackend::connect(config(elsewhere.path())).await.unwrap();
    let specs = [spec(), spec()];
    let mut near = create(&neighbour, &specs[0]).await;
    let mut far = create(&stranger, &specs[1]).await;

    // What a gateway leaves that is killed between create and start, and its directory.
    let dead = SessionId::random().unwrap();
    std::fs::create_dir(root.path().join(dead.as_str())).unwrap();
    std::fs::write(root.path().join(format!("{dead}.lock")), "").unwrap();
    let realm = std::fs::read_to_string(root.path().join("realm")).unwrap();
    let name = format!("cellgate-{dead}-leftover");
    let body = ContainerCreateBody {
        image: Some(IMAGE.into()),
        entrypoint: Some(vec!["/nothing".into()]),
        labels: Some(HashMap::from([
            ("cellgate.instance".to_owned(), dead.to_string()),
            ("cellgate.session".to_owned(), "leftover".to_owned()),
            ("cellgate.realm".to_owned(), realm),
        ])),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    docker.create_container(Some(options), body).await.unwrap();

    assert_eq!(soon("sweep", backend.sweep()).await.unwrap(), 1);
    assert!(docker.inspect_container(&name, None).await.is_err());
    assert!(!root.path().join(dead.as_str()).exists());
    greet(&mut *near.link).await;
    greet(&mut *far.link).await;
    assert_eq!(soon("sweep", backend.sweep()).await.unwrap(), 0);
    soon("end", near.handle.end()).await;
    soon("end", far.handle.end()).await;
}

#[tokio::test]
async fn a_missing_image_is_named_with_what_to_do() {
    if engine().await.is_none() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let image = "cellgate-no-such-image".to_owned();
    let wants = DockerConfig { images: vec![image.clone()], ..config(root.path()) };
    let backend = DockerBackend::connect(wants).await.unwrap();
    let mut spec = spec();
    spec.template = Arc::new(Template { image, ..(*spec.template).clone() });
    let refused = soon("create", backend.create(&spec)).await;
    let message = refused.err().expect("an error").to_string();
    for part in ["template python", "cellgate-no-such-image", "docker build", "docker pull"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    let message = soon("check", backend.check()).await.unwrap_err().to_string();
    assert!(message.contains("docker build"), "{message}");
}

#[tokio::test]
async fn an_engine_that_is_absent_is_named_with_what_to_do() {
    let root = tempfile::tempdir().unwrap();
    let socket = root.path().join("docker.sock");
    let at = |host: String| DockerConfig { host: Some(host), ..config(&root.path().join("run")) };
    let refused = |host: String| async {
        soon("connect", DockerBackend::connect(at(host))).await.err().expect("an error").to_string()
    };
    let absent = refused(socket.display().to_string()).await;
    assert!(absent.contains("does not exist") && absent.contains("systemctl start"), "{absent}");

    // A socket file whose engine has died.
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let dead = refused(format!("unix://{}", socket.display())).await;
    assert!(dead.contains("does not run") && dead.contains("--backend local"), "{dead}");

    // An engine that takes connections and never answers.
    std::fs::remove_file(&socket).unwrap();
    let _silent = std::os::unix::net::UnixListener::bind(&socket).unwrap();
    let silent = refused(format!("unix://{}", socket.display())).await;
    assert!(silent.contains("no answer in 5000 ms"), "{silent}");

    let remote = refused("ssh://host".into()).await;
    assert!(remote.contains("ssh -L"), "{remote}");
    assert!(!root.path().join("run").exists(), "nothing is made before there is an engine");
}

#[tokio::test]
async fn an_unknown_runtime_is_named_with_the_known_ones() {
    if engine().await.is_none() {
        return;
    }
    let root = tempfile::tempdir().unwrap();
    let unknown = DockerConfig { runtime: Some("no-such".into()), ..config(root.path()) };
    let message = DockerBackend::connect(unknown).await.err().expect("an error").to_string();
    assert!(message.contains("\"no-such\"") && message.contains("runc"), "{message}");
}

/// Set for the test below when it runs as a process of its own: its runtime directory.
const CHILD: &str = "CELLGATE_TEST_GATEWAY";

/// Not a test of its own: a gateway for the tests that need one to kill or to put elsewhere.
#[tokio::test]
#[ignore = "a part of other tests"]
async fn gateway_process() {
    let Ok(runtime_dir) = std::env::var(CHILD) else { return };
    let path = match std::env::var("CELLGATE_TEST_PATH").as_deref() {
        Ok("stdio") => DataPath::Stdio,
        _ => DataPath::Auto,
    };
    let config = DockerConfig { data_path: path, ..config(Path::new(&runtime_dir)) };
    let backend = DockerBackend::connect(config).await.unwrap();
    let spec = spec();
    let mut sandbox = create(&backend, &spec).await;
    greet(&mut *sandbox.link).await;
    println!("\nready {} {} {:?}", backend.instance(), spec.session, backend.data_path());
    let mut line = String::new();
    BufReader::new(tokio::io::stdin()).read_line(&mut line).await.unwrap();
    soon("end", sandbox.handle.end()).await;
    soon("drained", backend.drained()).await;
}

struct Gateway {
    process: tokio::process::Child,
    instance: String,
    session: String,
    path: String,
}

/// Starts [`gateway_process`]; `before` is a command that starts the one given to it.
async fn gateway(runtime_dir: &Path, path: &str, before: &[&str]) -> Gateway {
    let this = std::env::current_exe().unwrap();
    let test = ["--exact", "gateway_process", "--ignored", "--nocapture"];
    let mut command = match before {
        [] => tokio::process::Command::new(&this),
        [program, arguments @ ..] => {
            let mut command = tokio::process::Command::new(program);
            command.args(arguments).arg(&this);
            command
        }
    };
    let mut process = command
        .args(test)
        .env(CHILD, runtime_dir)
        .env("CELLGATE_TEST_PATH", path)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
    let ready = soon("a gateway", async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the gateway says that it is ready");
            if let Some(ready) = line.strip_prefix("ready ") {
                return ready.to_owned();
            }
        }
    });
    let words: Vec<String> = ready.await.split(' ').map(str::to_owned).collect();
    let [instance, session, path] = words.try_into().unwrap();
    // The rest of its output is of no interest, but the pipe must stay open.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    Gateway { process, instance, session, path }
}

#[tokio::test]
async fn a_gateway_that_is_killed_leaves_nothing() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    for path in ["auto", "stdio"] {
        let mut gateway = gateway(root.path(), path, &[]).await;
        let found = containers(&docker, &format!("cellgate.session={}", gateway.session)).await;
        assert_eq!(found.len(), 1);
        gateway.process.start_kill().unwrap();
        tokio::time::timeout(DEAD_MAN, removed(&docker, &found[0])).await.expect("gone in time");
        soon("the process's end", gateway.process.wait()).await.unwrap();

        // Its directory stays, and goes with the next gateway's sweep.
        assert!(root.path().join(&gateway.instance).exists());
        let next = DockerBackend::connect(config(root.path())).await.unwrap();
        soon("sweep", next.sweep()).await.unwrap();
        assert!(!root.path().join(&gateway.instance).exists());
    }
}

#[tokio::test]
async fn a_gateway_whose_files_the_engine_does_not_see_finds_another_way() {
    if engine().await.is_none() {
        return;
    }
    if !rustix::process::geteuid().is_root() {
        return skip("a file system of its own takes root");
    }
    let root = tempfile::tempdir().unwrap();
    // As in a container: the same path, another file system.
    let hide =
        format!("mount -t tmpfs -o mode=0700 tmpfs {} && exec \"$@\"", root.path().display());
    let before = ["unshare", "--mount", "sh", "-c", &hide, "sh"];
    let mut gateway = gateway(root.path(), "auto", &before).await;
    assert_eq!(gateway.path, "Stdio");
    gateway.process.stdin.take().unwrap().write_all(b"end\n").await.unwrap();
    let status = soon("the gateway's end", gateway.process.wait()).await.unwrap();
    assert!(status.success(), "{status}");
}

/// A measurement: how long from `create` to HELLO, against `docker run` with the same options.
#[tokio::test]
#[ignore = "a measurement; wants an otherwise idle machine"]
async fn a_sandbox_starts_as_fast_as_docker_run() {
    let Some(_docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    for path in [DataPath::Socket, DataPath::Stdio] {
        let config = DockerConfig { data_path: path, ..config(root.path()) };
        let backend = DockerBackend::connect(config).await.unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let spec = spec();
            let began = std::time::Instant::now();
            let mut sandbox = create(&backend, &spec).await;
            read_frame(&mut *sandbox.link).await;
            ours.push(began.elapsed());
            soon("end", sandbox.handle.end()).await;
            theirs.push(docker_run().await);
        }
        ours.sort();
        theirs.sort();
        let (ours, theirs) = (ours[5], theirs[5]);
        println!("{path:?}: create to HELLO {ours:?}, docker run {theirs:?}, medians of 10");
        assert!(ours.as_secs_f64() <= theirs.as_secs_f64() * 1.1);
    }
}

async fn docker_run() -> Duration {
    let tmpfs = "rw,nosuid,nodev,exec,size=268435456,nr_inodes=16384,mode=0700,uid=1000,gid=1000";
    let began = std::time::Instant::now();
    let status = tokio::process::Command::new("docker")
        .args(["run", "--rm", "--network=none", "--ipc=none", "--read-only", "--cap-drop=ALL"])
        .args(["--security-opt=no-new-privileges", "--user=1000:1000", "--log-driver=none"])
        .args(["--memory=512m", "--memory-swap=512m", "--cpus=1", "--pids-limit=128"])
        .args(["--ulimit=nofile=1024", "--ulimit=core=0", "--hostname=sandbox"])
        .args(["--tmpfs", &format!("/work:{tmpfs}"), "--tmpfs", &format!("/tmp:{tmpfs}")])
        .args(["--tmpfs", &format!("/dev/shm:{tmpfs}"), "--workdir=/work"])
        .args([IMAGE, "python3", "-c", "pass"])
        .env("DOCKER_HOST", format!("unix://{SOCKET}"))
        .status()
        .await
        .unwrap();
    assert!(status.success());
    began.elapsed()
}

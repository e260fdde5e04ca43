//! The docker backend against a real engine.
//!
//! Without an engine, or without the base image, every test says that it is skipped; with
//! `CELLGATE_REQUIRE=all` it fails instead. `scripts/ci-engine start` provides both.

// Helpers of tests unwrap as tests do; clippy.toml's permission covers the tests alone.
#![allow(clippy::unwrap_used)]

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bollard::models::ContainerCreateBody;
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, KillContainerOptionsBuilder, ListVolumesOptionsBuilder,
    RemoveContainerOptionsBuilder, RemoveVolumeOptions,
};
use cellgate::id::SessionId;
use cellgate::sandbox::docker::{DataPath, DockerBackend, DockerConfig};
use cellgate::sandbox::{Backend, BackendKind, EndCause, EnforcementState, Protection};
use cellgate::template::Template;
use cellgate_driver::wire::{append_message, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

#[path = "docker_backend/process.rs"]
mod process;
#[path = "docker_backend/proxy.rs"]
mod proxy;
#[path = "docker_backend/speed.rs"]
mod speed;
#[path = "docker_backend/support.rs"]
mod support;

use proxy::Proxy;
use support::*;

#[tokio::test]
async fn a_sandbox_talks_over_its_socket_and_ends_without_a_trace() {
    let Some(docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    let backend = DockerBackend::connect(config(root.path())).await.unwrap();
    assert_eq!((backend.kind(), backend.data_path()), (BackendKind::Docker, DataPath::Auto));
    let spec = spec();
    let mut sandbox = create(&backend, &spec).await;
    greet(&mut sandbox).await;
    assert_eq!(backend.data_path(), DataPath::Socket);

    // After the one connection no other is possible: the socket and its directory are removed.
    assert_eq!(files_of_instance(root.path(), &backend), ["driver", "hosts"]);

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
    greet(&mut sandbox).await;
    assert_eq!(backend.data_path(), DataPath::Stdio);

    // Send until no more is taken: the unread answers fill every buffer on the way.
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
    greet(&mut sandbox).await;
    assert_eq!(backend.data_path(), DataPath::Stdio);
    let arguments = runtimes["runsc"].runtime_args.clone().unwrap_or_default();
    let ignored = arguments.iter().any(|argument| argument.contains("ignore-cgroups"));
    assert_eq!(sandbox.setup.watch_memory, ignored);
    let memory = backend.protection(Protection::MemoryLimit).unwrap();
    assert_eq!(matches!(memory, EnforcementState::Missing { .. }), ignored);
    let id = of_session(&docker, &spec).await.remove(0);
    drop(sandbox.link);
    tokio::time::timeout(DEAD_MAN * 2, removed(&docker, &id)).await.expect("the dead-man switch");
    soon("end", sandbox.handle.end()).await;
}

#[tokio::test]
async fn the_images_interpreter_becomes_ready_however_it_is_reached() {
    let Some(docker) = engine().await else { return };
    if docker.inspect_image(PYTHON_IMAGE).await.is_err() {
        return skip("no image cellgate-python");
    }
    let runtimes = docker.info().await.unwrap().runtimes.unwrap_or_default();
    for (data_path, runtime) in
        [(DataPath::Socket, "runc"), (DataPath::Stdio, "runc"), (DataPath::Auto, "runsc")]
    {
        if !runtimes.contains_key(runtime) {
            skip(&format!("the engine has no runtime {runtime}"));
            continue;
        }
        let root = tempfile::tempdir().unwrap();
        let runtime = Some(runtime.to_owned());
        let config = DockerConfig { data_path, runtime, ..config(root.path()) };
        let backend = DockerBackend::connect(config).await.unwrap();
        let mut spec = spec();
        let image = PYTHON_IMAGE.to_owned();
        spec.template = Arc::new(Template { image, ..(*spec.template).clone() });
        let mut sandbox = create(&backend, &spec).await;
        greet(&mut sandbox).await;
        let mut execute = Vec::new();
        let code = br#"{"code": "print(6 * 7, flush=True)", "silent": true, "allow_input": false}"#;
        append_message(&mut execute, kind::EXECUTE, 0, 1, code);
        sandbox.link.write_all(&execute).await.unwrap();
        sandbox.link.flush().await.unwrap();
        assert_eq!(frame(&mut sandbox, kind::OUTPUT).await, b"42\n", "{data_path:?}");
        frame(&mut sandbox, kind::DONE).await;
        soon("end", sandbox.handle.end()).await;
    }
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
    greet(&mut first).await;
    greet(&mut second).await;
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
    greet(&mut sandbox).await;
    let id = of_session(&docker, &spec).await.remove(0);
    proxy.cut();
    let mut rest = Vec::new();
    // Whether it is a broken or an ended stream cannot be told from the bytes of a cut connection.
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
    let user = config.user.unwrap();
    let (uid, gid) = user.split_once(':').unwrap();
    assert_eq!(uid, gid);
    assert!(uid.parse::<u32>().unwrap() >= 10_000, "nobody's on the machine: {user}");
    for options in tmpfs.values() {
        assert!(options.contains(&format!("uid={uid},gid={uid}")), "{options}");
    }
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
    greet(&mut kept).await;
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
        greet(&mut sandbox).await;
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
async fn a_creation_that_is_dropped_at_any_moment_leaves_nothing() {
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
    assert_eq!(files_of_instance(root.path(), &backend), ["driver", "hosts"]);
}

#[tokio::test]
async fn a_sweep_removes_what_ended_gateways_left_and_nothing_else() {
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
    let directory_id = std::fs::read_to_string(root.path().join("runtime-dir-id")).unwrap();
    let name = format!("cellgate-{dead}-leftover");
    let body = ContainerCreateBody {
        image: Some(IMAGE.into()),
        entrypoint: Some(vec!["/nothing".into()]),
        labels: Some(HashMap::from([
            ("cellgate.instance".to_owned(), dead.to_string()),
            ("cellgate.session".to_owned(), "leftover".to_owned()),
            ("cellgate.runtime-dir".to_owned(), directory_id),
        ])),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name(&name).build();
    docker.create_container(Some(options), body).await.unwrap();

    assert_eq!(soon("sweep", backend.sweep()).await.unwrap(), 1);
    assert!(docker.inspect_container(&name, None).await.is_err());
    assert!(!root.path().join(dead.as_str()).exists());
    greet(&mut near).await;
    greet(&mut far).await;
    assert_eq!(soon("sweep", backend.sweep()).await.unwrap(), 0);
    ping(&mut near).await;
    ping(&mut far).await;
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

    // A socket file whose engine has ended.
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

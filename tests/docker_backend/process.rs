//! Gateways as processes of their own, which are killed or run where the engine does not see their
//! files.

use std::path::Path;
use std::process::Stdio;

use cellgate::sandbox::Backend;
use cellgate::sandbox::docker::{DataPath, DockerBackend, DockerConfig};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};

use crate::support::*;

/// Set for the test below when it runs as a process of its own: its runtime directory.
const CHILD: &str = "CELLGATE_TEST_GATEWAY";

/// Not a test of its own: the gateway that the tests below start as a process.
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
    greet(&mut sandbox).await;
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
    let test = ["--exact", "process::gateway_process", "--ignored", "--nocapture"];
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
    // The rest of its output is discarded, but the pipe must stay open.
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

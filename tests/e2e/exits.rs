//! Interpreters that end by themselves: the cell is told why, the next one gets a fresh one.

use std::time::Duration;

use crate::closes;
use crate::common::backend::{Backend, DOCKER_SOCKET};
use crate::common::client::{self, Client};
use crate::common::http;
use crate::common::suite::{Stage, cases};
use crate::common::traces::{self, GONE, until_empty};
use crate::proxy::Proxy;

cases![
    an_exit_code_is_told,
    a_crash_is_told_by_its_signal,
    a_killed_interpreter_is_replaced,
    an_interpreter_that_ends_while_idle_is_replaced,
    children_of_a_dead_interpreter_die_with_it,
    a_container_removed_from_outside_is_told,
    a_sandbox_killed_from_outside_is_told,
    a_sandbox_killed_while_nobody_takes_its_output_is_told,
    a_container_killed_by_its_engine_is_told,
    an_engine_that_dies_is_told,
    a_cell_outlives_an_engine_that_is_not_on_its_way,
];

// What no backend changes.
cases![
    ONCE:
    cells_behind_an_exit_are_cancelled,
];

/// The session works, with fresh state.
async fn works_afresh(client: &mut Client) {
    client.until("restarted").await;
    assert_eq!(client.run("before").await.error(), "NameError");
    assert_eq!(client.run("6 * 7").await.result(), "42");
}

async fn an_exit_code_is_told(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("before = 1").await;
    let cell = client.run("import os\nprint('last words')\nos._exit(7)").await;
    cell.expect("exited", false);
    assert_eq!(cell.stdout(), "last words\n");
    assert!(cell.detail().contains("exit code 7"), "{}", cell.detail());
    works_afresh(&mut client).await;
    client.end().await;
}

async fn a_crash_is_told_by_its_signal(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("before = 1").await;
    let cell = client.run("import ctypes\nctypes.string_at(0)").await;
    cell.expect("exited", false);
    assert!(cell.detail().contains("SIGSEGV"), "{}", cell.detail());
    // Where it happened.
    assert!(cell.stderr().contains("Segmentation fault"), "{}", cell.stderr());
    works_afresh(&mut client).await;
    let cell = client.run("import os\nos.abort()").await;
    cell.expect("exited", false);
    assert!(cell.detail().contains("SIGABRT"), "{}", cell.detail());
    works_afresh(&mut client).await;
    client.end().await;
}

async fn a_killed_interpreter_is_replaced(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("before = 1").await;
    let cell = client.run("import os, signal\nos.kill(os.getpid(), signal.SIGKILL)").await;
    cell.expect("exited", false);
    assert!(cell.detail().contains("SIGKILL"), "{}", cell.detail());
    works_afresh(&mut client).await;
    client.end().await;
}

async fn cells_behind_an_exit_are_cancelled(stage: &Stage) {
    let mut client = stage.session().await;
    let first = client.execute("import os, sys\nsys.stdin.readline()\nos._exit(0)").await;
    let second = client.execute("2").await;
    client.until_of("input_request", &first).await;
    client.send(serde_json::json!({"type": "input", "id": first, "text": ""})).await;
    let cell = client.finish(&first).await;
    cell.expect("exited", false);
    assert!(cell.detail().contains("exit code 0"), "{}", cell.detail());
    client.finish(&second).await.expect("cancelled", true);
    client.until("restarted").await;
    assert_eq!(client.run("3").await.result(), "3");
    client.end().await;
}

async fn an_interpreter_that_ends_while_idle_is_replaced(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("before = 1").await;
    let code = "import os, threading\nthreading.Timer(1.0, os._exit, (9,)).start()";
    client.print(code).await;
    works_afresh(&mut client).await;
    client.end().await;
}

async fn children_of_a_dead_interpreter_die_with_it(stage: &Stage) {
    let mut client = stage.session().await;
    let code = "import os, subprocess\nsubprocess.Popen(['sleep', '4242'], start_new_session=True)\nos._exit(1)";
    client.run(code).await.expect("exited", false);
    client.until("restarted").await;
    let code = "import glob\n[p for p in glob.glob('/proc/[0-9]*/cmdline') if b'4242' in open(p, 'rb').read()]";
    assert_eq!(client.run(code).await.result(), "[]");
    client.end().await;
}

/// A cell runs and another waits; what ends them is the test's business.
async fn busy(client: &mut Client) -> [String; 2] {
    let running = client.execute("import time\nprint('up')\ntime.sleep(600)").await;
    let waiting = client.execute("'never'").await;
    client.until_text(&running, "up\n").await;
    // Whatever was not accepted before the end is not told of.
    client.until_of("queued", &waiting).await;
    [running, waiting]
}

/// Everything ends, and says that the sandbox is lost.
async fn is_lost(client: &mut Client, [running, waiting]: [String; 2], why: &str) {
    let cell = client.finish(&running).await;
    cell.expect("lost", false);
    assert!(cell.detail().contains(why), "{why}: {}", cell.detail());
    client.finish(&waiting).await.expect("cancelled", true);
    let ended = client.until("ended").await;
    assert_eq!(ended["reason"], "sandbox_lost", "{ended}");
    assert_eq!(client.closed().await.code, 1011);
}

async fn a_container_removed_from_outside_is_told(stage: &Stage) {
    if !stage.backend.is_docker() {
        return; // the next case has what is removed there
    }
    let mut client = stage.session().await;
    let cells = busy(&mut client).await;
    traces::remove_container_of(client.session()).await;
    is_lost(&mut client, cells, "gone").await;
}

async fn a_sandbox_killed_from_outside_is_told(stage: &Stage) {
    let mut client = stage.session().await;
    let processes = client.processes().await;
    let Some(first) = processes.first() else {
        assert!(stage.backend.is_gvisor(), "{processes:?}");
        return client.end().await; // its processes are not the host's
    };
    let cells = busy(&mut client).await;
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    is_lost(&mut client, cells, "").await;
    let left = until_empty(GONE, || async { processes.alive() }).await;
    assert!(left.is_empty(), "{left:#?}");
    // The gateway goes on.
    let mut other = stage.session().await;
    assert_eq!(other.run("6 * 7").await.result(), "42");
    other.end().await;
}

async fn a_sandbox_killed_while_nobody_takes_its_output_is_told(stage: &Stage) {
    if stage.backend == Backend::DockerStdio {
        return; // the engine tells of no end while what it carries is not read
    }
    let mut owner = stage.session().await;
    let processes = owner.processes().await;
    let Some(first) = processes.first() else {
        assert!(stage.backend.is_gvisor(), "{processes:?}");
        return owner.end().await; // its processes are not the host's
    };
    let mut viewer = closes::shared(stage.gateway(), &owner, "viewer").await;
    // More than sockets and log take of it.
    let flood = owner.execute("while True: print('x' * 1000)").await;
    viewer.until_of("stdout", &flood).await;
    owner.close().await;
    // For a viewer nothing waits: when it is told nothing more, the cell's output is held.
    while let Ok(read) = tokio::time::timeout(Duration::from_secs(3), viewer.read()).await {
        read.unwrap();
    }
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    let ended = viewer.until("ended").await;
    assert_eq!(ended["reason"], "sandbox_lost", "{ended}");
    assert_eq!(viewer.closed().await.code, 1011);
}

async fn a_container_killed_by_its_engine_is_told(stage: &Stage) {
    if !stage.backend.is_docker() {
        return; // the next case kills what there is
    }
    let mut client = stage.session().await;
    let cells = busy(&mut client).await;
    traces::kill_container_of(client.session()).await;
    is_lost(&mut client, cells, "through the engine (signal 9)").await;
    let mut other = stage.session().await;
    assert_eq!(other.run("6 * 7").await.result(), "42");
    other.end().await;
}

async fn an_engine_that_dies_is_told(stage: &Stage) {
    if stage.backend != Backend::DockerStdio {
        return; // nothing of an engine is on the others' way
    }
    let engine = Proxy::apart(DOCKER_SOCKET);
    let gateway = stage.own(&["--docker-host", &engine.address(), "--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    let cells = busy(&mut client).await;
    engine.cut();
    is_lost(&mut client, cells, "the backend is gone").await;
    assert_eq!(http::get(&gateway, "/readyz", &[]).await.status, 503);
    assert_eq!(http::get(&gateway, "/healthz", &[]).await.status, 200);
    let path = format!("/ws?token={}", gateway.token);
    let (mut stream, _) = client::open(&gateway, client::request(&gateway, &path)).await.unwrap();
    let closed = client::next_frame(&mut stream).await.unwrap_err();
    assert!([1011, 1013].contains(&closed.code), "{closed:?}");
    gateway.kill().await;
    // What it could no longer remove itself, the next one does.
    gateway.successor(&[]).stop().await;
}

async fn a_cell_outlives_an_engine_that_is_not_on_its_way(stage: &Stage) {
    if stage.backend != Backend::Docker {
        return; // elsewhere there is no engine, or it carries the link
    }
    let engine = Proxy::apart_here(DOCKER_SOCKET);
    let gateway = stage.own(&["--docker-host", &engine.address(), "--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    let processes = client.processes().await;
    let id = client.execute("print('up')\ninput()\nprint('still here')").await;
    client.until_of("input_request", &id).await;
    engine.cut();
    client.send(serde_json::json!({"type": "input", "id": id, "text": ""})).await;
    let cell = client.finish(&id).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout(), "up\nstill here\n");
    assert_eq!(http::get(&gateway, "/readyz", &[]).await.status, 503);
    // Then the sandbox dies too, and nobody is there to say of what.
    let cells = busy(&mut client).await;
    let first = processes.first().unwrap();
    rustix::process::kill_process(first, rustix::process::Signal::KILL).unwrap();
    is_lost(&mut client, cells, "the backend is gone").await;
    gateway.kill().await;
    gateway.successor(&[]).stop().await;
}

//! A gateway that dies without warning, and what finds its leftovers.
//!
//! The dying gateway is this program again, with only [`gateway_that_waits_to_be_killed`].

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use super::*;

/// Set for the program that plays the gateway: its runtime directory.
const ROLE: &str = "CELLGATE_TEST_GATEWAY";

/// Started by the tests below; alone it does nothing.
#[tokio::test]
async fn gateway_that_waits_to_be_killed() {
    let Some(dir) = std::env::var_os(ROLE) else { return };
    let backend = LocalBackend::new(LocalConfig { runtime_dir: dir.into() }).await.unwrap();
    let mut client = open(&backend).await;
    client.execute("import os,time\nif os.fork() == 0:\n  os.setsid(); os.close(1); os.close(2); time.sleep(600)").await;
    println!("GATEWAY {} {} {}", client.session, client.first_process(), janitor());
    std::future::pending::<()>().await;
}

/// The pid of our janitor.
fn janitor() -> i32 {
    let own = std::process::id().to_string();
    let children = std::fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| {
        let pid: i32 = entry.file_name().to_string_lossy().parse().ok()?;
        let stat = std::fs::read_to_string(entry.path().join("stat")).ok()?;
        let parent = stat.rsplit_once(") ")?.1.split(' ').nth(1)?;
        let line = std::fs::read(entry.path().join("cmdline")).ok()?;
        (parent == own && line.windows(7).any(|part| part == b"janitor")).then_some(pid)
    });
    children.last().expect("a gateway has a janitor")
}

struct Gateway {
    process: Child,
    session: String,
    first: i32,
    janitor: i32,
}

fn gateway(runtime_dir: &Path) -> Gateway {
    let mut process = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "death::gateway_that_waits_to_be_killed", "--nocapture"])
        .env(ROLE, runtime_dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(process.stdout.take().unwrap()).lines();
    for line in lines.map_while(Result::ok) {
        // The test harness may have written before it on the same line.
        if let Some((_, rest)) = line.split_once("GATEWAY ") {
            let words: Vec<&str> = rest.split(' ').collect();
            return Gateway {
                process,
                session: words[0].into(),
                first: words[1].parse().unwrap(),
                janitor: words[2].parse().unwrap(),
            };
        }
    }
    let _ = process.wait();
    panic!("the gateway did not start");
}

/// Whether a process runs; a zombie does not.
fn runs(pid: i32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with('Z'))
}

fn records(dir: &Path) -> usize {
    std::fs::read_dir(dir).into_iter().flatten().count()
}

#[tokio::test]
async fn a_killed_gateway_leaves_nothing_even_with_a_stopped_supervisor() {
    let Some((_backend, dir)) = backend().await else { return };
    let runtime_dir = dir.path().join("other");
    let mut gateway = gateway(&runtime_dir);
    // A stopped supervisor cannot see that its link has closed.
    client::signal(gateway.first, rustix::process::Signal::STOP);
    client::kill(gateway.process.id() as i32);
    gateway.process.wait().unwrap();
    eventually("the sandbox", || !runs(gateway.first)).await;
    eventually("its cgroup", || cgroups_named(&gateway.session).is_empty()).await;
    eventually("the record", || records(&runtime_dir) == 0).await;
    eventually("the janitor", || !runs(gateway.janitor)).await;
}

#[tokio::test]
async fn a_sweep_removes_what_a_gateway_and_its_janitor_left() {
    let Some((_backend, dir)) = backend().await else { return };
    let runtime_dir = dir.path().join("other");
    let mut gateway = gateway(&runtime_dir);
    client::signal(gateway.first, rustix::process::Signal::STOP);
    client::kill(gateway.janitor);
    // Until it has really ended it holds the record's lock, and would be left to its work.
    eventually("the janitor", || !runs(gateway.janitor)).await;
    client::kill(gateway.process.id() as i32);
    gateway.process.wait().unwrap();
    let had_cgroups = !cgroups_named(&gateway.session).is_empty();
    if !had_cgroups {
        // Nothing but the record names it then; its own end of the link does the rest.
        client::signal(gateway.first, rustix::process::Signal::CONT);
    }
    let config = LocalConfig { runtime_dir: runtime_dir.clone() };
    let next = LocalBackend::new(config).await.unwrap();
    let swept = next.sweep().await.unwrap();
    assert_eq!(swept, usize::from(had_cgroups));
    eventually("the sandbox", || !runs(gateway.first)).await;
    eventually("its cgroup", || cgroups_named(&gateway.session).is_empty()).await;
    assert_eq!(records(&runtime_dir), 1, "the record of the living gateway alone");
    assert_eq!(next.sweep().await.unwrap(), 0, "and nothing the second time");
}

#[tokio::test]
async fn a_killed_janitor_is_replaced_with_the_next_sandbox() {
    let Some((_backend, dir)) = backend().await else { return };
    let runtime_dir = dir.path().join("other");
    let mut gateway = gateway(&runtime_dir);
    // A sweep by another gateway leaves a living one alone.
    let config = LocalConfig { runtime_dir: runtime_dir.clone() };
    let other = LocalBackend::new(config).await.unwrap();
    assert_eq!(other.sweep().await.unwrap(), 0);
    assert!(runs(gateway.first));
    let mut own = open(&other).await;
    let before = janitor_of(&runtime_dir);
    drop(other);
    assert!(runs(gateway.first), "another gateway's end changes nothing either");
    assert!(!before.is_empty());
    own.close_link();
    own.end().await;
    client::kill(gateway.process.id() as i32);
    gateway.process.wait().unwrap();
    eventually("the sandbox", || !runs(gateway.first)).await;
    eventually("its cgroup", || cgroups_named(&gateway.session).is_empty()).await;
}

fn janitor_of(dir: &Path) -> Vec<std::path::PathBuf> {
    std::fs::read_dir(dir).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

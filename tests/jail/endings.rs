//! How sandboxes end, and that nothing is left of them.

use super::*;

/// All cgroup directories with a given part in their path.
pub(crate) fn cgroups_named(part: &str) -> Vec<std::path::PathBuf> {
    fn walk(dir: &Path, part: &str, found: &mut Vec<std::path::PathBuf>) {
        for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                if entry.file_name().to_string_lossy().contains(part) {
                    found.push(entry.path());
                }
                walk(&entry.path(), part, found);
            }
        }
    }
    let mut found = Vec::new();
    walk(Path::new("/sys/fs/cgroup"), part, &mut found);
    found
}

/// Waits until `gone` says so, for as long as is guaranteed.
pub(crate) async fn eventually(what: &str, gone: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + GONE_WITHIN;
    let mut ticks = tokio::time::interval(Duration::from_millis(20));
    while !gone() {
        assert!(tokio::time::Instant::now() < deadline, "{what} is still there");
        ticks.tick().await;
    }
}

#[tokio::test]
async fn everything_is_gone_when_a_handle_is_dropped_or_ended() {
    let Some((backend, _dir)) = backend().await else { return };
    let client = open(&backend).await;
    let (name, pid) = (client.session.clone(), client.first_process());
    client.end().await;
    assert_eq!(cgroups_named(&name), Vec::<std::path::PathBuf>::new());
    assert!(!client::is_alive(pid), "ended");

    let mut client = open(&backend).await;
    // With children that ignore everything that can be ignored.
    client
        .execute("import os,signal,time\nfor n in range(3):\n  if os.fork() == 0:\n    signal.pthread_sigmask(signal.SIG_BLOCK, range(1, 64)); os.setsid(); os.close(1); os.close(2); time.sleep(600)")
        .await;
    let (name, pid) = (client.session.clone(), client.first_process());
    drop(client);
    tokio::time::timeout(PATIENCE, backend.drained()).await.unwrap();
    assert_eq!(cgroups_named(&name), Vec::<std::path::PathBuf>::new());
    assert!(!client::is_alive(pid), "dropped");
}

#[tokio::test]
async fn a_creation_dropped_half_way_leaves_nothing() {
    let Some((backend, _dir)) = backend().await else { return };
    let spec = client::spec(template());
    let name = spec.session.to_string();
    for polls in 1..6 {
        let mut creation = backend.create(&spec);
        for _ in 0..polls {
            let once = std::future::poll_fn(|context| {
                let _ = creation.as_mut().poll(context);
                std::task::Poll::Ready(())
            });
            once.await;
            tokio::task::yield_now().await;
        }
        drop(creation);
        tokio::time::timeout(PATIENCE, backend.drained()).await.unwrap();
        assert_eq!(cgroups_named(&name), Vec::<std::path::PathBuf>::new());
    }
}

#[tokio::test]
async fn the_cause_of_an_end_is_told() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    assert_eq!(client.handle().cause().await, EndCause::Unknown, "it has not ended");
    client::kill(client.first_process());
    let EndCause::Removed(why) = client.handle().cause().await else {
        panic!("killed from outside")
    };
    assert!(why.contains("outside"), "{why}");
    client.end().await;
}

#[tokio::test]
async fn the_end_of_the_link_ends_the_sandbox() {
    let Some((backend, _dir)) = backend().await else { return };
    let mut client = open(&backend).await;
    let pid = client.first_process();
    client.close_link();
    assert!(matches!(client.handle().cause().await, EndCause::Supervisor(_)));
    assert!(!client::is_alive(pid));
    client.end().await;
}

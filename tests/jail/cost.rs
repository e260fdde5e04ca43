//! What a sandbox costs, in time and in memory.

use super::*;

/// The middle of what was measured.
fn median(mut all: Vec<Duration>) -> Duration {
    all.sort_unstable();
    all[all.len() / 2]
}

#[tokio::test]
async fn a_start_is_close_to_bare_bubblewrap() {
    const ROUNDS: usize = 21;
    // Ours does more (cgroups, /etc, masks, limits, a link), and the machine may be busy.
    const ALLOWED: f64 = 4.0;
    let Some((backend, _dir)) = backend().await else { return };
    let bare = || {
        let started = std::time::Instant::now();
        let arguments = "--unshare-all --ro-bind /usr /usr --symlink usr/bin /bin --symlink usr/lib /lib \
                         --symlink usr/lib64 /lib64 --proc /proc --dev /dev --tmpfs /tmp /usr/bin/true";
        let run = Command::new("bwrap").args(arguments.split_whitespace()).status();
        run.is_ok_and(|status| status.success()).then(|| started.elapsed())
    };
    if bare().is_none() {
        return skip("bubblewrap does not work here");
    }
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        theirs.push(bare().unwrap());
        let client = open(&backend).await;
        ours.push(client.to_hello);
        client.end().await;
    }
    let (ours, theirs) = (median(ours), median(theirs));
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("to HELLO {ours:?}, bwrap /usr/bin/true {theirs:?}, ratio {ratio:.2}");
    assert!(ratio < ALLOWED, "{ours:?} is {ratio:.2} times the {theirs:?} of bubblewrap");
}

#[tokio::test]
async fn an_idle_session_outside_the_interpreter_is_small() {
    let Some((backend, _dir)) = backend().await else { return };
    let client = open(&backend).await;
    let first = client.first_process();
    let Ok(rollup) = std::fs::read_to_string(format!("/proc/{first}/smaps_rollup")) else {
        return skip("only root may read how much memory a first process has");
    };
    // The program itself is one file in memory that all sandboxes of a gateway map, counted once and
    // bounded by `tests/program.rs`: what grows with each session is its anonymous memory.
    let anonymous = rollup.lines().find_map(|line| line.strip_prefix("Anonymous:"));
    let kib: u64 = anonymous.unwrap().trim().trim_end_matches(" kB").parse().unwrap();
    println!("anonymous memory of the first process {kib} KiB");
    assert!(kib < 512, "{kib} KiB");
    client.end().await;
}

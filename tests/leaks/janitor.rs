//! The janitor of the local backend, which cleans up behind a killed gateway.

use rustix::process::{Pid, Signal};

use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, rows};
use crate::common::traces::Processes;
use crate::scene::{Scene, signal};

rows![ends:
    sigterm "nothing: it stays until its gateway has ended; nothing" => Signal::TERM,
    sigkill "nothing: the next sandbox comes with another one; nothing" => Signal::KILL,
    sigstop "nothing; nothing but itself until SIGCONT" => Signal::STOP,
];

async fn ends(stage: &Stage, what: Signal) {
    let mut scene = Scene::set(stage, &[]).await;
    let janitor = of(&scene.gateway);
    signal(janitor, what).await;
    scene.goes_on().await;
    scene.busy_ends().await;
    if what == Signal::STOP {
        // The gateway does its own cleaning; what a stopped process cannot do is end.
        signal(janitor, Signal::CONT).await;
    }
    scene.idle_works_and_all_ends().await;
}

fn of(gateway: &Gateway) -> Pid {
    let parent = gateway.pid.as_raw_nonzero().get();
    let below = Processes::below(parent);
    let named = Processes::commanded(|line| line.split(' ').nth(1) == Some("janitor"));
    let found: Vec<Pid> = below.all().filter(|pid| named.all().any(|one| one == *pid)).collect();
    assert_eq!(found.len(), 1, "a gateway has one janitor");
    found[0]
}

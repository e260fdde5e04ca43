//! containerd's shim: the process that Docker keeps beside each container.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::backend::Backend;
use crate::common::suite::{Stage, rows};
use crate::common::traces::{Processes, containers, engine, until_empty};
use crate::scene::{LEFT, Scene, signal};

/// For the engine to take back what it could not do meanwhile.
const CATCH_UP: Duration = Duration::from_secs(45);

rows![ends:
    sigterm "the engine gives up the container: the cell is `lost`, the session ends with `sandbox_lost`; nothing"
        => Signal::TERM,
    sigkill "the same; nothing" => Signal::KILL,
    sigstop "`docker`: nothing until the session's end, then no process. Otherwise the cell is `lost` after `session.silence_timeout`. What goes through the shim waits for its SIGCONT: the engine's entry, and with `docker_stdio` and `docker_runsc` the sandbox itself; then nothing"
        => Signal::STOP,
];

async fn ends(stage: &Stage, what: Signal) {
    let mut scene = Scene::set(stage, &[]).await;
    let shim = of(scene.busy.session()).await;
    signal(shim, what).await;
    if what != Signal::STOP {
        return scene.be_lost().await;
    }
    let _goes_on = GoesOn(shim);
    let session = scene.busy.session().to_owned();
    if stage.backend == Backend::Docker {
        scene.goes_on().await;
        scene.busy.send(json!({"type": "end"})).await;
        // The link's end is the sandbox's end, whatever else is stuck.
        let alive = until_empty(LEFT, || async { scene.processes.alive() }).await;
        assert!(alive.is_empty(), "{alive:#?}");
    } else {
        scene.busy.leave().await;
    }
    signal(shim, Signal::CONT).await;
    let left = until_empty(CATCH_UP, || scene.traces.left_of(&session, &scene.processes)).await;
    assert!(left.is_empty(), "{left:#?}");
    scene.idle_works_and_all_ends().await;
}

/// Lets a stopped process go on, however the test ends.
struct GoesOn(Pid);

impl Drop for GoesOn {
    fn drop(&mut self) {
        // It may have ended meanwhile, as it should.
        kill_process(self.0, Signal::CONT).ok();
    }
}

async fn of(session: &str) -> Pid {
    let found = containers(&engine(), &format!("cellgate.session={session}")).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let id = found[0].trim_start_matches("container ").to_owned();
    let is_it = |line: &str| line.contains("containerd-shim") && line.contains(&id);
    let shims: Vec<Pid> = Processes::commanded(is_it).all().collect();
    assert_eq!(shims.len(), 1, "a container has one shim");
    shims[0]
}

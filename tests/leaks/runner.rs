//! The runner: the interpreter that executes cells.

use rustix::process::Signal;
use serde_json::json;

use crate::common::suite::{Stage, rows};
use crate::scene::{Scene, signal};

rows![ends:
    sigterm "the cell is `exited`, a fresh interpreter takes the next one; nothing after the session's end"
        => Signal::TERM,
    sigkill "the same; nothing after the session's end" => Signal::KILL,
    sigstop "the cell does not end by itself; an interrupt ends it as `killed`, a fresh interpreter takes the next one; nothing after the session's end"
        => Signal::STOP,
];

async fn ends(stage: &Stage, what: Signal) {
    let mut scene = Scene::set(stage, &[]).await;
    signal(scene.runner(), what).await;
    if what == Signal::STOP {
        scene.busy.send(json!({"type": "interrupt"})).await;
    }
    let status = if what == Signal::STOP { "killed" } else { "exited" };
    scene.busy.finish(&scene.cell).await.expect(status, false);
    scene.busy.until("restarted").await;
    assert_eq!(scene.busy.run("6 * 7").await.result(), "42");
    scene.busy_ends().await;
    scene.idle_works_and_all_ends().await;
}

//! The supervisor: PID 1 of a sandbox.

use rustix::process::Signal;

use crate::common::suite::{Stage, rows};
use crate::scene::{Scene, signal};

rows![ends:
    sigterm "the cell is `lost`, the session ends with `sandbox_lost`, 1011; nothing" => Signal::TERM,
    sigkill "the same; nothing" => Signal::KILL,
    sigstop "the same after `session.silence_timeout`; nothing" => Signal::STOP,
];

async fn ends(stage: &Stage, what: Signal) {
    let scene = Scene::set(stage, &[]).await;
    signal(scene.supervisor(), what).await;
    scene.be_lost().await;
}

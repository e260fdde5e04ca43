//! The gateway's own process.

use rustix::process::Signal;

use crate::common::suite::{Stage, rows};
use crate::common::traces::until_empty;
use crate::scene::{LEFT, Scene, signal};

#[derive(Clone, Copy)]
enum Way {
    AskedToEnd,
    Killed,
    Stopped,
    StoppedAndKilled,
}

rows![ends:
    sigterm "cells are interrupted, sessions end with `draining`, 1001; nothing" => Way::AskedToEnd,
    sigkill "connections break; nothing but files in the runtime directory, which the next start sweeps"
        => Way::Killed,
    sigstop "nobody is answered until SIGCONT, then cells and sessions go on where they were; nothing after their end"
        => Way::Stopped,
    sigstop_then_sigkill "as SIGKILL" => Way::StoppedAndKilled,
];

async fn ends(stage: &Stage, way: Way) {
    let mut scene = Scene::set(stage, &[]).await;
    let pid = scene.gateway.pid;
    match way {
        Way::AskedToEnd => {
            signal(pid, Signal::TERM).await;
            scene.busy.finish(&scene.cell).await.expect("interrupted", false);
            assert_eq!(scene.busy.until("ended").await["reason"], "draining");
            assert_eq!(scene.busy.closed().await.code, 1001);
            assert_eq!(scene.gateway.exited().await.code(), Some(0));
            let left = until_empty(LEFT, || scene.traces.left()).await;
            assert!(left.is_empty(), "{left:#?}");
        }
        Way::Killed => {
            scene.gateway.kill().await;
            assert_eq!(scene.busy.closed().await.code, 1006);
            scene.gateway_is_gone().await;
        }
        Way::Stopped => {
            signal(pid, Signal::STOP).await;
            signal(pid, Signal::CONT).await;
            scene.goes_on().await;
            scene.busy_ends().await;
            scene.idle_works_and_all_ends().await;
        }
        Way::StoppedAndKilled => {
            signal(pid, Signal::STOP).await;
            scene.gateway.kill().await;
            scene.gateway_is_gone().await;
        }
    }
}

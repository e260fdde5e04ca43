//! What every row begins with: a gateway of its own, one session with a running cell and one that
//! is idle, both with all that a cell can leave behind.

use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;

use crate::common::client::Client;
use crate::common::gateway::Gateway;
use crate::common::suite::Stage;
use crate::common::traces::{Processes, ROOTS, Traces, until_empty};

/// How long after a signal anything may be left.
pub(crate) const LEFT: Duration = Duration::from_secs(10);

/// Short, so that ten seconds are enough for a session to be given up and removed.
const FLAGS: [&str; 8] = [
    "--pool-max",
    "0",
    "--silence-timeout",
    "3s",
    "--interrupt-grace",
    "2s",
    "--drain-timeout",
    "1s",
];

/// Before the signal.
pub(crate) struct Scene {
    pub(crate) gateway: Gateway,
    pub(crate) traces: Traces,
    pub(crate) busy: Client,
    pub(crate) idle: Client,
    /// The busy session's running cell.
    pub(crate) cell: String,
    /// The interpreter's number in its sandbox.
    interpreter: String,
    /// What the busy session has; empty under gVisor.
    pub(crate) processes: Processes,
    /// What the idle one has.
    others: Processes,
}

impl Scene {
    /// On a gateway with these flags besides.
    pub(crate) async fn set(stage: &Stage, flags: &[&str]) -> Scene {
        let gateway = stage.own(&[&FLAGS, flags].concat());
        let mut busy = Client::create(&gateway, "python").await;
        let mut idle = Client::create(&gateway, "python").await;
        busy.print(ROOTS).await;
        idle.print(ROOTS).await;
        let (processes, others) = (busy.processes().await, idle.processes().await);
        let cell = busy.execute("print(os.getpid())\ntime.sleep(600)").await;
        let interpreter = busy.until_text(&cell, "\n").await.trim().to_owned();
        let traces = gateway.traces().await;
        Scene { gateway, traces, busy, idle, cell, interpreter, processes, others }
    }

    /// PID 1 of the busy session's sandbox.
    pub(crate) fn supervisor(&self) -> Pid {
        self.processes.first().expect("a sandbox has a first process")
    }

    /// The interpreter of the busy session.
    pub(crate) fn runner(&self) -> Pid {
        self.processes.numbered(&self.interpreter).expect("a sandbox has an interpreter")
    }

    /// Asserts that the sandbox of the busy session is lost and leaves nothing, and that nobody
    /// else notices.
    pub(crate) async fn be_lost(mut self) {
        self.busy.finish(&self.cell).await.expect("lost", false);
        assert_eq!(self.busy.until("ended").await["reason"], "sandbox_lost");
        assert_eq!(self.busy.closed().await.code, 1011);
        self.nothing_is_left_of_busy().await;
        self.idle_works_and_all_ends().await;
    }

    /// Asserts that the busy session goes on in the same interpreter.
    pub(crate) async fn goes_on(&mut self) {
        self.busy.send(json!({"type": "interrupt"})).await;
        self.busy.finish(&self.cell).await.expect("interrupted", true);
        assert_eq!(self.busy.print("print(os.getpid())").await.trim(), self.interpreter);
    }

    /// Ends the busy session and asserts that nothing of it is left.
    pub(crate) async fn busy_ends(&mut self) {
        self.busy.send(json!({"type": "end"})).await;
        self.busy.until("ended").await;
        assert_eq!(self.busy.closed().await.code, 1000);
        self.nothing_is_left_of_busy().await;
    }

    /// Asserts that nothing of the busy session is left.
    pub(crate) async fn nothing_is_left_of_busy(&self) {
        let session = self.busy.session();
        let left = until_empty(LEFT, || self.traces.left_of(session, &self.processes)).await;
        assert!(left.is_empty(), "{left:#?}\n{}", self.gateway.log());
    }

    /// Asserts that the idle session works still and that the gateway leaves nothing.
    pub(crate) async fn idle_works_and_all_ends(mut self) {
        assert_eq!(self.idle.run("6 * 7").await.result(), "42");
        self.gateway.stop().await;
    }

    /// Asserts that nothing of a gateway that is no more is left but files, and that the next one
    /// in the same directory sweeps those.
    pub(crate) async fn gateway_is_gone(self) {
        let left = self.traces.gone_but_files().await;
        assert!(left.is_empty(), "{left:#?}");
        for processes in [&self.processes, &self.others] {
            let alive = until_empty(LEFT, || async { processes.alive() }).await;
            assert!(alive.is_empty(), "{alive:#?}");
        }
        self.gateway.successor(&[]).stop().await;
    }
}

/// Sends a signal, and waits until it has stopped the process if it is one that does.
pub(crate) async fn signal(pid: Pid, signal: Signal) {
    kill_process(pid, signal).unwrap();
    if signal == Signal::STOP {
        let running = || async {
            let path = format!("/proc/{}/stat", pid.as_raw_nonzero());
            let stat = std::fs::read_to_string(path).unwrap_or_default();
            let stopped = stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'));
            if stopped { Vec::new() } else { vec![stat] }
        };
        let left = until_empty(LEFT, running).await;
        assert!(left.is_empty(), "not stopped: {left:?}");
    }
}

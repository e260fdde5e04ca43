//! The container engine: one of the test's own, so that nobody else's ends with it.
//!
//! ```text
//!   Engine ── dockerd (its directories, its socket) ── its own containerd ── shims
//!     image: the interpreter of this machine and the libraries it is linked to
//! ```

use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use bollard::Docker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open};
use tempfile::TempDir;

use crate::common::backend::{Backend, is_root};
use crate::common::require::Missing;
use crate::common::suite::{Stage, rows};
use crate::common::traces::{self, Processes, until_empty};
use crate::scene::{LEFT, Scene, signal};

/// For an engine to answer on a busy machine, or to end.
const PATIENCE: Duration = Duration::from_secs(60);

const IMAGE: &str = "cellgate-leaks";

/// The interpreter, its library, `sleep`, and whatever they are linked to, as an archive.
const ARCHIVE: &str = r#"
set -e
python=/usr/bin/python3
library=$($python -c 'import sysconfig; print(sysconfig.get_path("stdlib"))')
linked=$(ldd $(readlink -f $python) "$library"/lib-dynload/*.so | grep -o '/[^ ]*\.so[^ ]*' | grep -v lib-dynload | sort -u)
exec tar --create --dereference --directory / --exclude __pycache__ --exclude test \
    --exclude dist-packages ${python#/} ${library#/} usr/bin/sleep $(echo "$linked" | sed 's,^/,,') 2>/dev/null
"#;

rows![ends:
    sigterm "it ends its containers: cells are `lost`, sessions end with `sandbox_lost`; nothing"
        => Signal::TERM,
    sigkill "`docker`: sessions go on; nothing of an ended one but the engine's entry until it is back. `docker_stdio`: sessions are lost, their sandboxes stay until it is back; then nothing"
        => Signal::KILL,
    sigstop "the same until SIGCONT"
        => Signal::STOP,
];

async fn ends(stage: &Stage, what: Signal) -> Result<(), Missing> {
    let mut engine = Engine::start().await?;
    let host = engine.host();
    let mut scene = Scene::set(stage, &["--docker-host", &host, "--image", IMAGE]).await;
    let session = scene.busy.session().to_owned();
    engine.signal(what).await;
    // Whether the session is lost already or goes on, this is its end.
    scene.busy.leave().await;
    // Over stdio even the link's end has to pass the engine.
    if stage.backend == Backend::Docker || what == Signal::TERM {
        let alive = until_empty(LEFT, || async { scene.processes.alive() }).await;
        assert!(alive.is_empty(), "{alive:#?}");
    }
    match what {
        Signal::STOP => engine.signal(Signal::CONT).await,
        _ => engine.restart().await,
    }
    let alive = until_empty(PATIENCE, || async { scene.processes.alive() }).await;
    assert!(alive.is_empty(), "{alive:#?}");
    let docker = engine.client();
    let label = format!("cellgate.session={session}");
    let left = until_empty(PATIENCE, || traces::containers(&docker, &label)).await;
    assert!(left.is_empty(), "{left:#?}\n{}\n{}", scene.gateway.log(), engine.log());
    // The others may have been lost with the engine; the gateway has not.
    scene.gateway.signal(Signal::TERM);
    assert_eq!(scene.gateway.exited().await.code(), Some(0), "{}", scene.gateway.log());
    let left = until_empty(PATIENCE, || traces::containers(&docker, "cellgate.session")).await;
    assert!(left.is_empty(), "{left:#?}\n{}\n{}", scene.gateway.log(), engine.log());
    let left = until_empty(LEFT, || async { engine.mounts() }).await;
    assert!(left.is_empty(), "{left:#?}");
    Ok(())
}

/// Ended when dropped, and what it mounted with it.
struct Engine {
    directory: TempDir,
    dockerd: Child,
}

impl Engine {
    async fn start() -> Result<Engine, Missing> {
        if !is_root() {
            return Err(Missing::new("root", "an engine of the test's own needs root"));
        }
        if Command::new("dockerd").arg("--version").output().is_err() {
            return Err(Missing::new(
                "docker",
                "there is no dockerd for an engine of the test's own",
            ));
        }
        let directory = tempfile::Builder::new().prefix("cellgate-engine-").tempdir().unwrap();
        let dockerd = dockerd(directory.path());
        let engine = Engine { directory, dockerd };
        engine.answers().await;
        let fill = format!("({ARCHIVE}) | docker --host {} import - {IMAGE}", engine.host());
        let filled = Command::new("sh").args(["-c", &fill]).output().unwrap();
        assert!(filled.status.success(), "{}", String::from_utf8_lossy(&filled.stderr));
        Ok(engine)
    }

    fn host(&self) -> String {
        format!("unix://{}", self.directory.path().join("sock").display())
    }

    fn client(&self) -> Docker {
        Docker::connect_with_unix(&self.host(), 60, bollard::API_DEFAULT_VERSION).unwrap()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    async fn answers(&self) {
        let end = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(100));
        while !self.is_up().await {
            assert!(Instant::now() < end, "the engine does not start:\n{}", self.log());
            ticks.tick().await;
        }
    }

    async fn is_up(&self) -> bool {
        // No socket yet, or one that nobody listens on.
        let client = Docker::connect_with_unix(&self.host(), 60, bollard::API_DEFAULT_VERSION);
        match client {
            Ok(client) => client.ping().await.is_ok(),
            Err(_) => false,
        }
    }

    /// Signals dockerd; waits for its end if it is one that it ends of.
    async fn signal(&mut self, what: Signal) {
        signal(Pid::from_child(&self.dockerd), what).await;
        if [Signal::TERM, Signal::KILL].contains(&what) {
            self.has_ended().await;
        }
    }

    async fn has_ended(&mut self) {
        let end = Instant::now() + PATIENCE;
        let mut ticks = tokio::time::interval(Duration::from_millis(20));
        while self.dockerd.try_wait().unwrap().is_none() {
            assert!(Instant::now() < end, "the engine does not end:\n{}", self.log());
            ticks.tick().await;
        }
    }

    async fn restart(&mut self) {
        // The kernel ends its containerd with it. Until init has buried that one, its number is
        // taken, and the next engine would wait for it.
        let own = format!("{}/", self.directory.path().display());
        let is_containerd = |line: &str| line.starts_with("containerd ") && line.contains(&own);
        let lives = || async {
            let found = Processes::commanded(is_containerd);
            found.all().map(|pid| format!("containerd {pid:?}")).collect()
        };
        if until_empty(LEFT, lives).await.is_empty() {
            let number = self.directory.path().join("exec/containerd/containerd.pid");
            std::fs::remove_file(number).ok();
        }
        self.dockerd = dockerd(self.directory.path());
        self.answers().await;
    }

    /// What containers have mounted below its directory.
    fn mounts(&self) -> Vec<String> {
        let below = format!("{}/", self.directory.path().display());
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap();
        let mut mounts: Vec<String> = mounts.lines().map(str::to_owned).collect();
        mounts.retain(|line| line.contains(&below) && line.contains("merged"));
        mounts
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        let pid = Pid::from_child(&self.dockerd);
        for last in [Signal::CONT, Signal::TERM] {
            // It may have ended by itself, as a test that failed may have had it.
            rustix::process::kill_process(pid, last).ok();
        }
        if let Ok(ended) = pidfd_open(pid, PidfdFlags::empty()) {
            let patience = Timespec { tv_sec: PATIENCE.as_secs() as i64, tv_nsec: 0 };
            poll(&mut [PollFd::new(&ended, PollFlags::IN)], Some(&patience)).ok();
        }
        self.dockerd.kill().ok();
        self.dockerd.wait().ok();
        // What a killed one has left: its containerd, shims, mounts.
        let own = self.directory.path().display().to_string();
        for pid in Processes::commanded(|line| line.contains(&own)).all() {
            rustix::process::kill_process(pid, Signal::KILL).ok();
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let mut points: Vec<&str> = mounts.lines().filter_map(|l| l.split(' ').nth(4)).collect();
        points.retain(|point| point.starts_with(&own));
        for point in points.into_iter().rev() {
            Command::new("umount").args(["--lazy", point]).status().ok();
        }
    }
}

fn dockerd(directory: &Path) -> Child {
    let log = std::fs::File::options().create(true).append(true).open(directory.join("log"));
    let at = |name: &str| directory.join(name).display().to_string();
    // Nothing of /etc/docker, and a live-restore of nothing: its containers end with it.
    std::fs::write(directory.join("daemon.json"), "{}").unwrap();
    // One that was killed has left its number.
    std::fs::remove_file(directory.join("pid")).ok();
    let mut command = Command::new("dockerd");
    command.args(["--config-file", &at("daemon.json"), "--data-root", &at("data")]);
    command.args(["--exec-root", &at("exec"), "--pidfile", &at("pid")]);
    command.args(["--host", &format!("unix://{}", at("sock")), "--bridge", "none"]);
    command.args(["--iptables=false", "--ip6tables=false", "--shutdown-timeout", "5"]);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log.unwrap()).spawn().unwrap()
}

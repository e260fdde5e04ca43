//! How long a sandbox takes to start.

use std::time::Duration;

use cellgate::sandbox::docker::{DataPath, DockerBackend, DockerConfig};

use crate::support::*;

/// A measurement: how long from `create` to HELLO, against `docker run` with the same options.
#[tokio::test]
#[ignore = "a measurement; wants an otherwise idle machine"]
async fn a_sandbox_starts_as_fast_as_docker_run() {
    let Some(_docker) = engine().await else { return };
    let root = tempfile::tempdir().unwrap();
    for path in [DataPath::Socket, DataPath::Stdio] {
        let config = DockerConfig { data_path: path, ..config(root.path()) };
        let backend = DockerBackend::connect(config).await.unwrap();
        let (mut ours, mut theirs) = (Vec::new(), Vec::new());
        for _ in 0..10 {
            let spec = spec();
            let began = std::time::Instant::now();
            let mut sandbox = create(&backend, &spec).await;
            read_frame(&mut *sandbox.link).await;
            ours.push(began.elapsed());
            soon("end", sandbox.handle.end()).await;
            theirs.push(docker_run().await);
        }
        ours.sort();
        theirs.sort();
        let (ours, theirs) = (ours[5], theirs[5]);
        println!("{path:?}: create to HELLO {ours:?}, docker run {theirs:?}, medians of 10");
        assert!(ours.as_secs_f64() <= theirs.as_secs_f64() * 1.1);
    }
}

async fn docker_run() -> Duration {
    let tmpfs = "rw,nosuid,nodev,exec,size=268435456,nr_inodes=16384,mode=0700,uid=1000,gid=1000";
    let began = std::time::Instant::now();
    let status = tokio::process::Command::new("docker")
        .args(["run", "--rm", "--network=none", "--ipc=none", "--read-only", "--cap-drop=ALL"])
        .args(["--security-opt=no-new-privileges", "--user=1000:1000", "--log-driver=none"])
        .args(["--memory=512m", "--memory-swap=512m", "--cpus=1", "--pids-limit=128"])
        .args(["--ulimit=nofile=1024", "--ulimit=core=0", "--hostname=sandbox"])
        .args(["--tmpfs", &format!("/work:{tmpfs}"), "--tmpfs", &format!("/tmp:{tmpfs}")])
        .args(["--tmpfs", &format!("/dev/shm:{tmpfs}"), "--workdir=/work"])
        .args([IMAGE, "python3", "-c", "pass"])
        .env("DOCKER_HOST", format!("unix://{SOCKET}"))
        .status()
        .await
        .unwrap();
    assert!(status.success());
    began.elapsed()
}

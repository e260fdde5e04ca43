//! What a gateway could leave behind: processes, cgroups, containers, volumes, mounts, files.
//!
//! Taken while the gateway lives, from the outside: what the kernel and the engine say, and the
//! names of instances in its runtime directory.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bollard::Docker;
use bollard::errors::Error;
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListVolumesOptionsBuilder, RemoveContainerOptionsBuilder,
};
use rustix::process::Pid;

use super::backend::{Backend, DOCKER_SOCKET};

/// What stays in a runtime directory on purpose: it is shared by all gateways that ever use it.
const SHARED_FILES: [&str; 4] = ["docker", "local", "runtime-dir-id", "directory.lock"];

/// Leaves as much behind as a cell can: a daemon, a thread, children in sessions of their own.
pub(crate) const ROOTS: &str = r#"
import os, subprocess, threading, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        time.sleep(600)
    os._exit(0)
subprocess.Popen(['sleep', '600'], start_new_session=True)
threading.Thread(target=time.sleep, args=(600,), daemon=True).start()
open('/tmp/left', 'w').write('behind')
print('rooted')
"#;

/// How soon after the end of a session or a gateway, however sudden, nothing of it may be left.
pub(crate) const GONE: Duration = Duration::from_secs(10);

/// How often what has no event is looked at.
const LOOK: Duration = Duration::from_millis(20);

/// Seconds the engine may take for an answer on a busy machine.
const ENGINE_SECONDS: u64 = 60;

/// Everything that belongs to one gateway.
#[derive(Debug)]
pub(crate) struct Traces {
    backend: Backend,
    runtime: PathBuf,
    processes: Processes,
    /// Directories of cgroups.
    cgroups: Vec<PathBuf>,
    /// Names of instances, as in labels.
    instances: Vec<String>,
}

impl Traces {
    /// What `gateway` has now.
    pub(crate) async fn of(backend: Backend, gateway: Pid, runtime: &Path) -> Traces {
        let mut cgroups = Vec::new();
        let mut instances = Vec::new();
        for path in files_below(runtime) {
            let stem = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            match path.extension().and_then(|extension| extension.to_str()) {
                Some("instance") => {
                    let record = fs::read_to_string(&path).unwrap_or_default();
                    let named = record.lines().filter_map(|line| line.strip_prefix("cgroup "));
                    cgroups.extend(named.map(PathBuf::from));
                }
                Some("lock") if stem != "directory" => instances.push(stem),
                _ => {}
            }
        }
        let processes = Processes::below(gateway.as_raw_nonzero().get());
        Traces { backend, runtime: runtime.to_owned(), processes, cgroups, instances }
    }

    /// What of it is there now.
    pub(crate) async fn left(&self) -> Vec<String> {
        let mut left = Vec::new();
        left.extend(self.processes.alive());
        let cgroups = self.cgroups.iter().filter(|path| path.exists());
        left.extend(cgroups.map(|path| format!("cgroup {}", path.display())));
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let below = self.runtime.to_string_lossy().into_owned();
        let mounts = mounts.lines().filter(|line| line.contains(&below));
        left.extend(mounts.map(|line| format!("mount {line}")));
        let files = entries_below(&self.runtime).into_iter();
        let files = files.filter(|path| {
            !path.file_name().is_some_and(|name| SHARED_FILES.iter().any(|shared| name == *shared))
        });
        left.extend(files.map(|path| format!("file {}", path.display())));
        if self.backend.is_docker() {
            let engine = engine();
            for instance in &self.instances {
                let label = format!("cellgate.instance={instance}");
                left.extend(containers(&engine, &label).await);
                left.extend(volumes(&engine, &label).await);
            }
        }
        left
    }

    /// What is there now of one session, whose gateway goes on: its cgroups, its container, and the
    /// processes it had.
    pub(crate) async fn left_of(&self, session: &str, processes: &Processes) -> Vec<String> {
        let cgroups = self.cgroups.iter().map(|path| path.join(session));
        let cgroups = cgroups.filter(|path| path.exists());
        let mut left: Vec<String> =
            cgroups.map(|path| format!("cgroup {}", path.display())).collect();
        left.extend(processes.alive());
        if self.backend.is_docker() {
            left.extend(containers(&engine(), &format!("cellgate.session={session}")).await);
        }
        left
    }

    /// Waits until nothing is left but files (which the next start sweeps), not for long; answers
    /// what is left then.
    pub(crate) async fn gone_but_files(&self) -> Vec<String> {
        let left = || async {
            let mut left = self.left().await;
            left.retain(|one| !one.starts_with("file "));
            left
        };
        until_empty(GONE, left).await
    }
}

/// Looks again and again until there is nothing, or the time is over; answers what there is then.
pub(crate) async fn until_empty<F: Future<Output = Vec<String>>>(
    patience: Duration,
    look: impl Fn() -> F,
) -> Vec<String> {
    let end = tokio::time::Instant::now() + patience;
    let mut ticks = tokio::time::interval(LOOK);
    loop {
        let found = look().await;
        if found.is_empty() || tokio::time::Instant::now() >= end {
            return found;
        }
        ticks.tick().await;
    }
}

/// Processes of this machine: number and start time, which together are unique.
#[derive(Debug, Default)]
pub(crate) struct Processes(Vec<(i32, u64)>);

impl Processes {
    /// Those of the pid namespace `name`, such as `pid:[4026532301]`. The kernel soon gives that
    /// name to another namespace, so it says nothing of what is left later.
    pub(crate) fn of_namespace(name: &str) -> Processes {
        let member = |pid: &i32| {
            fs::read_link(format!("/proc/{pid}/ns/pid")).is_ok_and(|link| link.as_os_str() == name)
        };
        Processes(pids().filter(member).filter_map(|pid| Some((pid, start_of(pid)?))).collect())
    }

    /// Those below `root`, itself not counted.
    pub(crate) fn below(root: i32) -> Processes {
        Processes(descendants(root))
    }

    /// The one that the others end with: PID 1 of their namespace.
    pub(crate) fn first(&self) -> Option<Pid> {
        self.numbered("1")
    }

    /// The one that has this number in its own namespace (proc_pid_status(5), `NSpid`).
    pub(crate) fn numbered(&self, number: &str) -> Option<Pid> {
        let is_it = |pid: &i32| {
            let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let own = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
            own.and_then(|own| own.split_whitespace().last()) == Some(number)
        };
        self.0.iter().map(|(pid, _)| *pid).find(is_it).and_then(Pid::from_raw)
    }

    /// Those of this machine whose command line fits.
    pub(crate) fn commanded(fits: impl Fn(&str) -> bool) -> Processes {
        let found = pids().filter(|pid| fits(&whole_command_line(*pid)));
        Processes(found.filter_map(|pid| Some((pid, start_of(pid)?))).collect())
    }

    /// Each of them.
    pub(crate) fn all(&self) -> impl Iterator<Item = Pid> {
        self.0.iter().filter_map(|(pid, _)| Pid::from_raw(*pid))
    }

    /// How many there were.
    pub(crate) fn count(&self) -> usize {
        self.0.len()
    }

    /// Those that live still.
    pub(crate) fn alive(&self) -> Vec<String> {
        let alive = self.0.iter().filter(|(pid, start)| start_of(*pid) == Some(*start));
        alive.map(|(pid, _)| format!("process {pid} ({})", command_line(*pid))).collect()
    }
}

/// The engine the tests use.
pub(crate) fn engine() -> Docker {
    let version = bollard::API_DEFAULT_VERSION;
    Docker::connect_with_unix(DOCKER_SOCKET, ENGINE_SECONDS, version).unwrap()
}

/// Containers with a label, running or not.
pub(crate) async fn containers(engine: &Docker, label: &str) -> Vec<String> {
    let engine = engine.clone().negotiate_version().await.unwrap();
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListContainersOptionsBuilder::default().all(true).filters(&filters).build();
    let list = engine.list_containers(Some(options)).await.unwrap();
    let mut found = Vec::new();
    for id in list.into_iter().filter_map(|one| one.id) {
        // An engine that removes a container while it starts may list it until it ends, and answers
        // every question about it with "no such container" (seen with Docker 20.10).
        match engine.inspect_container(&id, None).await {
            Err(Error::DockerResponseServerError { status_code: 404, .. }) => {}
            _ => found.push(format!("container {id}")),
        }
    }
    found
}

async fn volumes(engine: &Docker, label: &str) -> Vec<String> {
    let engine = engine.clone().negotiate_version().await.unwrap();
    let filters = HashMap::from([("label", vec![label])]);
    let options = ListVolumesOptionsBuilder::default().filters(&filters).build();
    let list = engine.list_volumes(Some(options)).await.unwrap();
    list.volumes.into_iter().flatten().map(|one| format!("volume {}", one.name)).collect()
}

/// Removes the container of a session behind its gateway's back, as an operator might.
pub(crate) async fn remove_container_of(session: &str) {
    let (engine, id) = container_of(session).await;
    let options = RemoveContainerOptionsBuilder::default().force(true).build();
    engine.remove_container(&id, Some(options)).await.unwrap();
}

/// Lets the engine kill the container of a session, as `docker kill` does.
pub(crate) async fn kill_container_of(session: &str) {
    let (engine, id) = container_of(session).await;
    engine.kill_container(&id, None).await.unwrap();
}

async fn container_of(session: &str) -> (Docker, String) {
    let engine = engine().negotiate_version().await.unwrap();
    let found = containers(&engine, &format!("cellgate.session={session}")).await;
    assert_eq!(found.len(), 1, "{found:?}");
    let id = found[0].trim_start_matches("container ").to_owned();
    (engine, id)
}

fn pids() -> impl Iterator<Item = i32> {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok())
}

fn descendants(root: i32) -> Vec<(i32, u64)> {
    let all: Vec<(i32, i32, u64)> = pids()
        .filter_map(|pid| {
            let fields = stat(pid)?;
            Some((pid, fields.first()?.parse().ok()?, fields.get(18)?.parse().ok()?))
        })
        .collect();
    let mut family = HashSet::from([root]);
    loop {
        let before = family.len();
        let children = all.iter().filter(|(_, parent, _)| family.contains(parent));
        let children: Vec<i32> = children.map(|(pid, ..)| *pid).collect();
        family.extend(children);
        if family.len() == before {
            break;
        }
    }
    family.remove(&root);
    all.into_iter().filter(|(pid, ..)| family.contains(pid)).map(|(p, _, s)| (p, s)).collect()
}

/// Fields of `/proc/PID/stat` from the parent on (proc_pid_stat(5)); `None` for a dead one.
fn stat(pid: i32) -> Option<Vec<String>> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let (_, rest) = text.rsplit_once(") ")?;
    let mut fields = rest.split(' ');
    let alive = !matches!(fields.next()?, "Z" | "X");
    alive.then(|| fields.map(str::to_owned).collect())
}

fn start_of(pid: i32) -> Option<u64> {
    stat(pid)?.get(18)?.parse().ok()
}

fn command_line(pid: i32) -> String {
    whole_command_line(pid).chars().take(80).collect()
}

fn whole_command_line(pid: i32) -> String {
    let bytes = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
    String::from_utf8_lossy(&bytes).replace('\0', " ")
}

fn entries_below(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(entries_below(&path));
        }
        found.push(path);
    }
    found
}

fn files_below(directory: &Path) -> Vec<PathBuf> {
    entries_below(directory).into_iter().filter(|path| path.is_file()).collect()
}

//! The probe's checks can fail: put to a Python that nothing confines, they come out open.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "common/mod.rs"]
mod common;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use cellgate::doctor::probe::{self, Place, Room, Setting, Told, Verdict};
use cellgate::template::Limits;
use futures::future::BoxFuture;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{Child, Command};

use common::backend::{Backend, NOBODY, is_root};

/// Longest time of an area's checks.
const AREA: Duration = Duration::from_secs(60);

/// The line after which a room's interpreter waits to be ended.
const THE_END: &str = "\u{1f}the end";

/// What can't come out open here: it takes root of the machine, whom a test must not be, or what
/// holds everywhere.
const NEEDS_MORE: [&str; 29] = [
    "a tunnel",
    "addresses of the kernel",
    "another kernel, or modules",
    "another session's or the host's root by descriptor",
    "arguments of the supervisor",
    "cgroups",
    "changing system files",
    "fanotify and the log",
    "forged signals to PID 1",
    "kernel log",
    "killing PID 1",
    "layers below the image, and the engine's store",
    "locked memory",
    "making device files",
    "netlink that changes the network",
    "passwords and keys",
    "physical addresses",
    "pivot_root and chroot",
    "priorities",
    "process ids beyond those",
    "quotas, accounting, swap",
    "reboot and the console",
    "setgroups",
    "setuid programs of the system",
    "sockets of the machine's services",
    "switches in /sys",
    "the clock",
    "the machine's load",
    "the machine's memory and disks",
];

/// What comes out open or not by the machine: its network, its kernel's settings and age, its
/// files and its speed.
const BY_THE_MACHINE: [&str; 34] = [
    "DNS",
    "TCP to the outside",
    "UDP to the outside",
    "another session's shared memory and queues",
    "boot parameters",
    "bpf",
    "broadcast and multicast",
    "calls of another architecture",
    "calls of the past and of the future",
    "cgroup path",
    "core dumps",
    "device files",
    "disks",
    "files by handle",
    "home directories",
    "io_uring",
    "kernel keyrings",
    "machine id",
    "metadata service of a cloud",
    "mount propagation",
    "mount table",
    "mounts",
    "odd address families",
    "only the loopback interface, no routes",
    "perf_event_open",
    "placing memory",
    "places of other programs",
    "ports and segments of the processor",
    "processor time",
    "serial numbers of the hardware",
    "typing into terminals",
    "userfaultfd",
    "vsock to the hypervisor",
    "writable places",
];

/// What comes out open where the kernel has a hole that is mended in those that are maintained.
const HOLES: [&str; 2] =
    ["writing to what may only be read: Dirty COW", "writing to what may only be read: Dirty Pipe"];

/// Ordinary processes, started by a command.
struct Plain {
    /// What stands before `python3 FILE`.
    before: Vec<String>,
    directory: PathBuf,
}

impl Plain {
    /// Of an ordinary user: root's would harm the machine.
    fn user(directory: PathBuf) -> Plain {
        let id = NOBODY.to_string();
        // In a group without other members, which an ordinary user may not leave.
        let user = ["setpriv", "--reuid", &id, "--regid", &id, "--groups", "65533", "--"];
        let before = if is_root() { user.map(str::to_owned).to_vec() } else { Vec::new() };
        Plain { before, directory }
    }

    /// As root in namespaces of its own, which protect the machine.
    fn root_within(directory: PathBuf) -> Plain {
        let mut plain = Plain::user(directory);
        let within = "unshare --user --map-root-user --mount --pid --fork --kill-child --mount-proc \
                      --uts --ipc --net --cgroup --";
        plain.before.extend(within.split_whitespace().map(str::to_owned));
        plain
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut words = self.before.clone();
        words.extend(arguments.iter().map(|&word| word.to_owned()));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).current_dir(&self.directory).process_group(0);
        command
    }
}

impl Place for Plain {
    fn enter(&self) -> BoxFuture<'_, Result<Box<dyn Room>>> {
        Box::pin(async {
            let file = tempfile::Builder::new().suffix(".py").tempfile_in(&self.directory)?;
            std::fs::set_permissions(file.path(), PermissionsExt::from_mode(0o644))?;
            let mut command = self.command(&["/usr/bin/python3", file.path().to_str().unwrap()]);
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
            Ok(Box::new(Process { file, command, child: None }) as Box<dyn Room>)
        })
    }
}

struct Process {
    file: tempfile::NamedTempFile,
    command: Command,
    child: Option<Child>,
}

impl Room for Process {
    fn run<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Told>> {
        Box::pin(async move {
            let wait = format!("\nprint({THE_END:?}, flush=True)\nimport sys; sys.stdin.read()\n");
            let code = code.to_owned() + &wait.replace("\\u{1f}", "\\x1f");
            std::fs::write(self.file.path(), code)?;
            let child = self.child.insert(self.command.spawn()?);
            let stdout = child.stdout.take().context("stdout")?;
            let mut told = Told { status: "exited".to_owned(), ..Told::default() };
            let mut lines = BufReader::new(stdout).lines();
            let read = async {
                while let Some(line) = lines.next_line().await? {
                    if line == THE_END {
                        told.status = "ok".to_owned();
                        break;
                    }
                    told.stdout += &(line + "\n");
                }
                anyhow::Ok(())
            };
            // One that hangs is ended, and what it did not do is not done.
            match tokio::time::timeout(AREA, read).await {
                Ok(read) => read?,
                Err(_) => told.status = "timeout".to_owned(),
            }
            if told.status == "exited" {
                let stderr = child.stderr.as_mut().context("stderr")?;
                stderr.read_to_string(&mut told.error).await?;
            }
            Ok(told)
        })
    }

    fn leave(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move { self.end() })
    }
}

impl Process {
    fn end(&mut self) {
        let id = self.child.take().and_then(|child| child.id());
        if let Some(group) = id.and_then(|id| Pid::from_raw(id as i32)) {
            // Ends every process that is still in the group.
            kill_process_group(group, Signal::KILL).ok();
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.end();
    }
}

async fn verdicts(place: &Plain) -> BTreeMap<String, (Verdict, String)> {
    let limits = Limits {
        memory_bytes: 64 << 20, // 64 MiB: twice that is taken
        cpu_millis: 500,
        processes: 16,
        programs: 32,
        open_files: 128,
        disk_bytes: 4 << 20, // 4 MiB
        disk_inodes: 100,
        timeout: None,
        output_bytes: None,
        output_kept_bytes: 0,
        interrupt_grace: Duration::ZERO,
    };
    let setting = Setting {
        backend: "local",
        gvisor: false,
        workdir: place.directory.clone(),
        runtime_dir: place.directory.clone(),
        apart: true,
        limits,
    };
    let findings = probe::carry_out(place, &setting, &[]).await.unwrap();
    findings.into_iter().map(|finding| (finding.name, (finding.verdict, finding.detail))).collect()
}

#[test]
fn what_people_read_names_as_many_checks_as_there_are() {
    let count = probe::names().len();
    for (file, words) in [
        ("README.md", format!("{count} things an attacker would try")),
        ("SECURITY.md", format!("{count} checks in real sessions")),
    ] {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
        let text = std::fs::read_to_string(path).unwrap();
        assert!(text.contains(&words), "{file} does not say \"{words}\"");
    }
    let report = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/security.md");
    let report = std::fs::read_to_string(report).unwrap();
    for name in probe::names() {
        let row = format!("| {name} |");
        assert!(
            report.contains(&row),
            "docs/security.md has no row {row}: scripts/security-report"
        );
    }
}

#[tokio::test]
async fn checks_come_out_open_where_nothing_is_confined() {
    let test = "checks_come_out_open_where_nothing_is_confined";
    if let Some(missing) = Backend::LocalUser.missing() {
        return missing.skip(test).unwrap();
    }
    let home = tempfile::Builder::new().prefix("cellgate-test-").tempdir().unwrap();
    std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o777)).unwrap();
    let (user, root) =
        (Plain::user(home.path().to_owned()), Plain::root_within(home.path().to_owned()));
    // Most of the time goes into waiting for hosts that do not answer.
    let (as_user, as_root) = tokio::join!(verdicts(&user), verdicts(&root));
    let lists = [&NEEDS_MORE[..], &BY_THE_MACHINE, &HOLES];
    let mut excused: Vec<&str> = lists.concat();
    if !is_root() {
        excused.push("supplementary groups"); // those of the user who runs the tests, if any
    }
    for name in &excused {
        assert!(as_user.contains_key(*name), "there is no check {name}");
    }
    let open = |found: &(Verdict, String)| found.0 == Verdict::Open;
    let wrong: Vec<_> = as_user
        .iter()
        .filter(|(name, user)| {
            !open(user) && !open(&as_root[*name]) && !excused.contains(&name.as_str())
        })
        .map(|(name, user)| (name, user, &as_root[name]))
        .collect();
    assert!(wrong.is_empty(), "not open in a process that nothing confines: {wrong:#?}");
    let count = as_user.keys().filter(|&name| open(&as_user[name]) || open(&as_root[name])).count();
    eprintln!("{count} of {} checks are open in plain processes", as_user.len());
}

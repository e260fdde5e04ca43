//! A gateway as people run it: the built program in a process of its own.
//!
//! ```text
//!   Gateway::start ─► serving ─┬─ stop      SIGTERM; it ends well and leaves nothing
//!                              ├─ kill      SIGKILL; what it leaves is the test's business
//!                              └─ Drop      SIGKILL: a test that panics leaves no process
//! ```
//! Its environment is bare, its runtime directory and its settings are its own, so neither the
//! machine's settings nor other gateways matter.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::mpsc::sync_channel;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::watch;

use super::backend::{self, Backend};
use super::traces::{GONE, Traces, until_empty};

/// From the start of the program to the line that says where it serves. An engine that does its
/// first work takes seconds.
const START: Duration = Duration::from_secs(60);

/// From the signal to the end of a gateway that has no cell to wait for.
const END: Duration = Duration::from_secs(20);

/// PATH of a gateway: system directories, whatever the developer's shell has.
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A running gateway.
pub(crate) struct Gateway {
    /// How it makes sandboxes.
    pub(crate) backend: Backend,
    /// Where it serves.
    pub(crate) address: SocketAddr,
    /// Opens sessions.
    pub(crate) token: String,
    /// Its process.
    pub(crate) pid: Pid,
    exited: watch::Receiver<Option<ExitStatus>>,
    home: Home,
}

/// The directory of one gateway: settings, runtime directory, log.
struct Home {
    directory: TempDir,
}

impl Home {
    fn new(backend: Backend, settings: &str) -> Home {
        let directory = tempfile::Builder::new().prefix("cellgate-test-").tempdir().unwrap();
        let home = Home { directory };
        // Another user passes through it.
        std::fs::set_permissions(home.path(), PermissionsExt::from_mode(0o755)).unwrap();
        std::fs::write(home.settings(), settings).unwrap();
        std::fs::create_dir(home.runtime()).unwrap();
        if backend == Backend::LocalUser && backend::is_root() {
            let nobody = Some(backend::NOBODY);
            std::os::unix::fs::chown(home.runtime(), nobody, nobody).unwrap();
        }
        home
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn settings(&self) -> PathBuf {
        self.path().join("cellgate.toml")
    }

    fn runtime(&self) -> PathBuf {
        self.path().join("run")
    }

    fn log(&self) -> PathBuf {
        self.path().join("log")
    }
}

/// How a gateway is started.
pub(crate) struct Launch<'a> {
    pub(crate) backend: Backend,
    /// Its file of settings.
    pub(crate) settings: &'a str,
    /// Flags beside the backend's; a `--backend` among them stands for all of the backend's.
    pub(crate) flags: &'a [&'a str],
    /// A program that becomes the gateway, such as `prlimit`, and its arguments.
    pub(crate) wrapper: &'a [&'a str],
}

/// A program started with a gateway's bare environment, not yet serving.
pub(crate) fn command(backend: Backend, program: &Path, directory: &Path) -> std::process::Command {
    let mut command = backend.command(program);
    command.env_clear().env("PATH", PATH).env("HOME", "/nonexistent");
    // Where instrumented programs (coverage) leave what they counted.
    if let Some(profile) = std::env::var_os("LLVM_PROFILE_FILE") {
        command.env("LLVM_PROFILE_FILE", profile);
    }
    command.current_dir(directory).stdin(Stdio::null());
    command
}

impl Gateway {
    /// Starts one with these flags beside the backend's.
    pub(crate) fn start(backend: Backend, flags: &[&str]) -> Gateway {
        Gateway::with_settings(backend, "", flags)
    }

    /// Starts one with a file of settings too.
    pub(crate) fn with_settings(backend: Backend, settings: &str, flags: &[&str]) -> Gateway {
        Gateway::launch(&Launch { backend, settings, flags, wrapper: &[] })
    }

    /// Starts one in any way.
    pub(crate) fn launch(launch: &Launch<'_>) -> Gateway {
        let home = Home::new(launch.backend, launch.settings);
        Gateway::in_home(launch.backend, home, launch.flags, launch.wrapper)
    }

    /// Starts another one in the directory of one that is no more.
    pub(crate) fn successor(mut self, flags: &[&str]) -> Gateway {
        assert!(self.exited.borrow().is_some(), "the gateway lives still");
        let empty = TempDir::new().unwrap();
        let home = std::mem::replace(&mut self.home, Home { directory: empty });
        Gateway::in_home(self.backend, home, flags, &[])
    }

    /// Starts one beside this one that has the same runtime directory.
    pub(crate) fn neighbour(&self) -> Gateway {
        let runtime = self.home.runtime();
        let flags = ["--runtime-dir", runtime.to_str().unwrap()];
        Gateway::start(self.backend, &flags)
    }

    fn in_home(backend: Backend, home: Home, flags: &[&str], wrapper: &[&str]) -> Gateway {
        let program = backend::program_for(backend, home.path());
        let mut command = match wrapper {
            [] => command(backend, &program, home.path()),
            [first, rest @ ..] => {
                let mut command = command(backend, Path::new(first), home.path());
                command.args(rest).arg(&program);
                command
            }
        };
        command.args(["serve", "--listen", "127.0.0.1:0", "--config"]).arg(home.settings());
        if !flags.contains(&"--runtime-dir") {
            command.arg("--runtime-dir").arg(home.runtime());
        }
        // A flag of the test's takes the place of the backend's, another backend that of them all.
        let other = flags.contains(&"--backend");
        let replaced = |flag: &[String]| other || flags.contains(&flag[0].as_str());
        for flag in backend.flags().chunks(2).filter(|flag| !replaced(flag)) {
            command.args(flag);
        }
        command.args(flags);
        let log = std::fs::File::options().create(true).append(true).open(home.log()).unwrap();
        command.stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let pid = Pid::from_child(&child);
        let stdout = child.stdout.take().unwrap();

        let (told, address) = sync_channel(1);
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines() {
                let Ok(line) = line else { return };
                if let Some(found) = parse_url(&line) {
                    // A test that has given up no longer listens.
                    told.try_send(found).ok();
                }
            }
        });
        let (exit, exited) = watch::channel(None);
        std::thread::spawn(move || {
            // Nobody may be left who wants to know.
            exit.send(Some(child.wait().unwrap())).ok();
        });
        let found = address.recv_timeout(START);
        let nowhere = SocketAddr::from(([127, 0, 0, 1], 0));
        let (address, token) = found.clone().unwrap_or((nowhere, String::new()));
        let gateway = Gateway { backend, address, token, pid, exited, home };
        assert!(found.is_ok(), "the gateway does not start:\n{}", gateway.log());
        gateway
    }

    /// What it has logged so far.
    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.home.log()).unwrap_or_default()
    }

    /// Its runtime directory.
    pub(crate) fn runtime_dir(&self) -> PathBuf {
        self.home.runtime()
    }

    /// Resident memory of its process, in bytes.
    pub(crate) fn resident_bytes(&self) -> u64 {
        let path = format!("/proc/{}/status", self.pid.as_raw_nonzero());
        let status = std::fs::read_to_string(path).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
    }

    /// Sends its process a signal.
    pub(crate) fn signal(&self, signal: Signal) {
        if self.exited.borrow().is_none() {
            kill_process(self.pid, signal).unwrap();
        }
    }

    /// Waits until its process has ended.
    pub(crate) async fn exited(&self) -> ExitStatus {
        let mut exited = self.exited.clone();
        let ended = tokio::time::timeout(END, exited.wait_for(Option::is_some)).await;
        match ended {
            Ok(status) => status.unwrap().unwrap(),
            Err(_) => panic!("the gateway does not end in {END:?}:\n{}", self.log()),
        }
    }

    /// What of it could be left: to be taken while it runs.
    pub(crate) async fn traces(&self) -> Traces {
        Traces::of(self.backend, self.pid, &self.home.runtime()).await
    }

    /// Asks it to end and checks that it ends well and leaves nothing.
    pub(crate) async fn stop(self) {
        let traces = self.traces().await;
        self.signal(Signal::TERM);
        let status = self.exited().await;
        assert_eq!(status.code(), Some(0), "{status}:\n{}", self.log());
        // The janitor of the local backend ends when it has seen its gateway end.
        let left = until_empty(GONE, || traces.left()).await;
        assert!(left.is_empty(), "the gateway leaves {left:#?}\n{}", self.log());
    }

    /// Ends it without a word.
    pub(crate) async fn kill(&self) {
        self.signal(Signal::KILL);
        assert_eq!(self.exited().await.signal(), Some(9));
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if self.exited.borrow().is_none() {
            // It may have ended this moment.
            kill_process(self.pid, Signal::KILL).ok();
        }
    }
}

/// Address and token of a line such as `… http://127.0.0.1:4242/#token=abc`.
fn parse_url(line: &str) -> Option<(SocketAddr, String)> {
    let rest = &line[line.find("http://")? + "http://".len()..];
    let (address, rest) = rest.split_once('/')?;
    let token = rest.trim().strip_prefix("#token=").unwrap_or_default();
    Some((address.parse().ok()?, token.to_owned()))
}

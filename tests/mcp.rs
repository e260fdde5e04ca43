//! The door for agents, used by programs of others: the Python SDK's client over HTTP and over standard input
//! and output, each in the newest revision and in an older one, and the protocol's conformance suite.
//! `scripts/ci-packages` installs both.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

mod common;

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use common::backend::Backend;
use common::gateway::{self, Gateway};
use common::require::Missing;

/// The whole of one program's checks; they take twenty seconds.
const PATIENCE: Duration = Duration::from_secs(150);

/// A file that `scripts/ci-packages` has installed.
fn installed(path: &str) -> Result<PathBuf, Missing> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    let file = target.join(path);
    match file.exists() {
        true => Ok(file),
        false => {
            Err(Missing::new("mcp", format!("no {}; try scripts/ci-packages", file.display())))
        }
    }
}

fn checks() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mcp")
}

/// The backend, if this machine has it and what was installed is there.
fn prepared<const N: usize>(paths: [&str; N]) -> Result<(Backend, [PathBuf; N]), Missing> {
    let backend = Backend::any()[0];
    if let Some(missing) = backend.missing() {
        return Err(missing);
    }
    let files: Result<Vec<PathBuf>, Missing> = paths.into_iter().map(installed).collect();
    Ok((backend, files?.try_into().unwrap()))
}

/// Runs a program to its end, at most as long as it may take.
fn finish(mut command: Command) -> Output {
    let mut child =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let id = rustix::process::Pid::from_child(&child);
    let (ended, waited) = std::sync::mpsc::channel::<()>();
    let guard = std::thread::spawn(move || {
        if waited
            .recv_timeout(PATIENCE)
            .is_err_and(|e| e == std::sync::mpsc::RecvTimeoutError::Timeout)
        {
            // It may have ended this moment.
            rustix::process::kill_process(id, rustix::process::Signal::KILL).ok();
        }
    });
    let mut stderr = child.stderr.take().unwrap();
    let errors = std::thread::spawn(move || {
        let mut text = Vec::new();
        std::io::Read::read_to_end(&mut stderr, &mut text).unwrap();
        text
    });
    let mut output = child.wait_with_output().unwrap();
    output.stderr = errors.join().unwrap();
    drop(ended);
    guard.join().unwrap();
    output
}

/// What a program printed, which ended well.
#[track_caller]
fn printed(command: Command) -> String {
    let output = finish(command);
    let (out, err) = (output.stdout, output.stderr);
    let (out, err) = (String::from_utf8_lossy(&out), String::from_utf8_lossy(&err));
    assert!(output.status.success(), "{}\n{out}\n{err}", output.status);
    out.into_owned()
}

fn over_http(mode: &str) {
    let (backend, [python]) = match prepared(["mcp/bin/python"]) {
        Ok(found) => found,
        Err(missing) => return missing.skip("the MCP client over HTTP").unwrap(),
    };
    let gateway = Gateway::start(backend, &["--allow-weak-limits"]);
    let mut command = Command::new(python);
    command.arg(checks().join("client.py"));
    command.args(["http", &format!("http://{}/mcp", gateway.address), &gateway.token, mode]);
    let passed = printed(command);
    assert_eq!(passed.lines().last(), Some("sessions_are_listed_and_ended"));
}

fn over_stdio(mode: &str) {
    let (backend, [python]) = match prepared(["mcp/bin/python"]) {
        Ok(found) => found,
        Err(missing) => return missing.skip("the MCP client over standard input").unwrap(),
    };
    let home = tempfile::tempdir().unwrap();
    let program = common::backend::program_for(backend, home.path());
    // As the backend's user, with nothing of the environment that would be taken for a setting.
    let server = gateway::command(backend, &program, home.path());
    let mut command = Command::new(python);
    command.arg(checks().join("client.py")).args(["stdio", mode]);
    command.arg(server.get_program()).args(server.get_args()).arg("mcp").args(backend.flags());
    let passed = printed(command);
    assert_eq!(passed.lines().last(), Some("sessions_are_listed_and_ended"));
}

#[test]
fn a_client_uses_it_over_http() {
    over_http("auto");
}

#[test]
fn a_client_of_an_older_revision_uses_it_over_http() {
    over_http("legacy");
}

#[test]
fn a_client_uses_it_over_standard_input() {
    over_stdio("auto");
}

#[test]
fn a_client_of_an_older_revision_uses_it_over_standard_input() {
    over_stdio("legacy");
}

#[test]
fn a_client_that_leaves_at_once_is_no_error() {
    let (backend, []) = match prepared([]) {
        Ok(found) => found,
        Err(missing) => return missing.skip("standard input that ends at once").unwrap(),
    };
    let home = tempfile::tempdir().unwrap();
    let program = common::backend::program_for(backend, home.path());
    let mut command = gateway::command(backend, &program, home.path());
    command.arg("mcp").args(backend.flags());
    assert_eq!(printed(command), "");
}

/// Scenarios that do not ask for the suite's own tools; see expected-failures.yml for the others.
const PASSED: [&str; 6] = [
    "server-initialize",
    "ping",
    "tools-list",
    "server-sse-multiple-streams",
    "resources-list",
    "dns-rebinding-protection",
];

#[test]
fn the_conformance_suite_passes() {
    let suite = "mcp-conformance/node_modules/@modelcontextprotocol/conformance/dist/index.js";
    let (backend, [node, suite]) =
        match prepared(["mcp-conformance/node_modules/node/bin/node", suite]) {
            Ok(found) => found,
            Err(missing) => return missing.skip("the conformance suite of MCP").unwrap(),
        };
    let gateway = Gateway::start(backend, &["--allow-weak-limits"]);
    let url = format!("http://{}/mcp?token={}", gateway.address, gateway.token);
    let mut command = Command::new(node);
    command.arg(suite).args(["server", "--suite", "all", "--url", &url, "--expected-failures"]);
    command.arg(checks().join("expected-failures.yml"));
    let out = printed(command);
    for scenario in PASSED {
        assert!(out.contains(&format!("✓ {scenario}: ")), "{scenario}\n{out}");
    }
}

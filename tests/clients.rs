//! Runs the tests of the client libraries, so that one `cargo test` covers them, against gateways that
//! they start themselves from the built program.
//!
//! `clients/python`: its style, its types and its tests, on the system's interpreter, and on the oldest
//! one that is promised to work, where that is found. `web/client`: its types and its tests, under Node;
//! `tests/page.rs` runs more of them, with the page's own.
//! `examples/agents`: each library of agents with a scripted model.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

mod common;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use common::backend::{self, Backend};
use common::require::Missing;

/// As pyproject.toml says in `requires-python`.
const OLDEST: &str = "python3.9";

/// A command with nothing in its environment that a gateway would take for a setting.
fn command(program: &str) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("CELLGATE_") {
            command.env_remove(name);
        }
    }
    command
}

/// `clients/python/test.sh`.
fn script(arguments: &[&Path]) -> Command {
    let mut command = command(concat!(env!("CARGO_MANIFEST_DIR"), "/clients/python/test.sh"));
    // Environments outlive the build beside what else is made from PyPI.
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    command.args(arguments).env("CARGO_TARGET_DIR", target);
    command
}

/// The system's interpreter.
fn system() -> PathBuf {
    let usual = Path::new("/usr/bin/python3");
    if usual.exists() { usual.to_owned() } else { PathBuf::from("python3") }
}

/// The oldest interpreter: on the path, or one of pyenv's. A shim of pyenv may have none behind it.
fn oldest() -> Option<PathBuf> {
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    let versions = std::fs::read_dir(home.join(".pyenv/versions")).into_iter().flatten().flatten();
    let candidates = versions.map(|entry| entry.path().join("bin").join(OLDEST));
    candidates.chain([PathBuf::from(OLDEST)]).find(|python| {
        let version = Command::new(python).arg("--version").output();
        version.is_ok_and(|output| output.status.success())
    })
}

/// The backend of the gateways that the clients start.
fn local() -> Backend {
    if backend::is_root() { Backend::LocalRoot } else { Backend::LocalUser }
}

/// Runs the tests on an interpreter.
fn run(python: &Path) {
    let backend = local();
    if let Some(missing) = backend.missing() {
        return missing.skip("the Python client against the gateway").unwrap();
    }
    let prepared = script(&[Path::new("--prepare"), python]).status();
    if !prepared.is_ok_and(|status| status.success()) {
        let reason = "clients/python/test.sh --prepare does not succeed; it needs venv and PyPI";
        return Missing::new("python-packages", reason).skip("the Python client").unwrap();
    }
    // Its output is not captured: what was skipped, and why, belongs in front of everybody.
    let status = script(&[python])
        .env("CELLGATE_BINARY", env!("CARGO_BIN_EXE_cellgate"))
        .env("CELLGATE_TEST_ARGUMENTS", backend.flags().join(" "))
        .status()
        .unwrap();
    assert!(status.success(), "the Python client's tests failed; what they printed stands above");
}

#[test]
fn the_python_client_passes_its_tests() {
    run(&system());
}

/// No system has an interpreter of every version, so that its absence is no failure.
#[test]
fn it_passes_them_on_the_oldest_python() {
    match oldest() {
        Some(python) => run(&python),
        None => eprintln!("skipped: the Python client's tests on {OLDEST}: not found"),
    }
}

/// npm in `web/`.
fn npm(arguments: &[&str]) -> Command {
    let mut command = command("npm");
    command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/web")).args(arguments);
    command
}

/// Installs what the npm client is built with, and builds it, once for all tests.
fn npm_client() -> Result<(), Missing> {
    static BUILT: OnceLock<Result<(), &str>> = OnceLock::new();
    let built = BUILT.get_or_init(|| {
        let typescript = concat!(env!("CARGO_MANIFEST_DIR"), "/web/node_modules/typescript");
        let installed = Path::new(typescript).exists()
            || npm(&["ci", "--silent"]).status().is_ok_and(|status| status.success());
        if !installed {
            return Err("`npm ci` in web/ does not succeed");
        }
        let status = npm(&["run", "--silent", "build:client"]).status().unwrap();
        assert!(status.success(), "the npm client cannot be built; what was printed stands above");
        Ok(())
    });
    built.map_err(|reason| Missing::new("node", reason))
}

/// Over WebSockets and by requests, under Node and in Chromium.
#[test]
fn the_npm_client_passes_its_tests() {
    let backend = local();
    if let Some(missing) = backend.missing() {
        return missing.skip("the npm client against the gateway").unwrap();
    }
    if let Err(missing) = npm_client() {
        return missing.skip("the npm client").unwrap();
    }
    // Not captured, as with Python.
    let status = npm(&["run", "--silent", "test:client"])
        .env("CELLGATE_BINARY", env!("CARGO_BIN_EXE_cellgate"))
        .env("CELLGATE_TEST_ARGUMENTS", backend.flags().join(" "))
        .status()
        .unwrap();
    assert!(status.success(), "the npm client's tests failed; what they printed stands above");
    if !Path::new("/usr/bin/chromium").exists() {
        let missing = Missing::new("chromium", "install the package chromium");
        missing.skip("the npm client in a browser").unwrap();
    }
}

/// The libraries of agents in `examples/agents`, each with a scripted model. They take 300 MB and half a minute to
/// install, so that a first `cargo test` does not do it.
#[test]
fn the_examples_of_agents_pass_their_tests() {
    let backend = local();
    if let Some(missing) = backend.missing() {
        return missing.skip("the examples of agents").unwrap();
    }
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().unwrap();
    if !target.join("clients/agents/complete").exists() {
        let missing = Missing::new("agents", "run examples/agents/test.sh --prepare");
        return missing.skip("the examples of agents").unwrap();
    }
    if let Err(missing) = npm_client() {
        return missing.skip("the examples of agents").unwrap();
    }
    let mut test = command(concat!(env!("CARGO_MANIFEST_DIR"), "/examples/agents/test.sh"));
    let status = test
        .env("CARGO_TARGET_DIR", target)
        .env("CELLGATE_BINARY", env!("CARGO_BIN_EXE_cellgate"))
        .env("CELLGATE_TEST_ARGUMENTS", backend.flags().join(" "))
        .status()
        .unwrap();
    assert!(status.success(), "the examples of agents failed; what they printed stands above");
}

//! Runs the runner's own tests (`tests/runner`), which play the supervisor in Python, so that one
//! `cargo test` covers both languages: all of them on the system's interpreter, and on one of every
//! other version that is promised to work, where it is found. They say themselves what they skip;
//! CELLGATE_REQUIRE=all makes that a failure, CELLGATE_TEST_PYTHON names the interpreter that is
//! tested first. All tests run in the plain shell; on the first interpreter, and on the one of
//! CELLGATE_TEST_NOTEBOOK_PYTHON, which has IPython and widgets as the image does, in IPython's shell too.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Versions of Python 3 that the runner works on; the oldest is what the README promises.
const MINORS: std::ops::RangeInclusive<u32> = 9..=13;

/// The interpreter that runs the tests, and is tested unless another is named.
fn system() -> PathBuf {
    let usual = Path::new("/usr/bin/python3");
    if usual.exists() { usual.to_owned() } else { PathBuf::from("python3") }
}

/// The minor version of an interpreter, if it is one of Python 3.
fn minor(python: &Path) -> Option<u32> {
    let output = Command::new(python)
        .args(["-c", "import sys; print(sys.version_info[0], sys.version_info[1])"])
        .output()
        .ok()?;
    let said = String::from_utf8(output.stdout).ok()?;
    said.trim().strip_prefix("3 ")?.parse().ok()
}

/// An interpreter of this version: on the path, or one of pyenv's or uv's.
fn found(version: u32) -> Option<PathBuf> {
    let name = format!("python3.{version}");
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut candidates: Vec<PathBuf> =
        std::env::split_paths(&path).map(|directory| directory.join(&name)).collect();
    let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
    for store in [".pyenv/versions", ".local/share/uv/python"] {
        let Ok(entries) = std::fs::read_dir(home.join(store)) else { continue };
        candidates.extend(entries.flatten().map(|entry| entry.path().join("bin").join(&name)));
    }
    // A shim of pyenv has the name and none of the version.
    candidates.into_iter().find(|python| python.exists() && minor(python) == Some(version))
}

/// The command that runs all tests.
fn tests() -> Command {
    let mut command = Command::new(system());
    command.current_dir(env!("CARGO_MANIFEST_DIR"));
    command.args(["-m", "unittest", "discover", "-s", "tests/runner"]);
    command.env("PYTHONDONTWRITEBYTECODE", "1");
    command
}

#[test]
fn the_python_runner_passes_its_tests() {
    // Its output is not captured: what was skipped, and why, belongs in front of everybody.
    let status = tests().status();
    let status = status.unwrap_or_else(|error| panic!("{}: {error}", system().display()));
    assert!(status.success(), "the runner's tests failed; what they printed stands above");
}

/// No system has an interpreter of every version, so what is missing is no failure under
/// CELLGATE_REQUIRE=all; it fails where it is asked for by its name, such as `python3.9`.
#[test]
fn it_passes_them_on_every_version_there_is() {
    let required = std::env::var("CELLGATE_REQUIRE").unwrap_or_default();
    let usual = std::env::var_os("CELLGATE_TEST_PYTHON").map_or_else(system, PathBuf::from);
    let tested = minor(&usual);
    let mut failed = Vec::new();
    let mut running = Vec::new();
    for version in MINORS.filter(|version| Some(*version) != tested) {
        let name = format!("python3.{version}");
        let Some(python) = found(version) else {
            eprintln!("skipped: the runner's tests on {name}: not on the path, in pyenv or in uv");
            if required.split(',').any(|one| one.trim() == name) {
                failed.push(name);
            }
            continue;
        };
        let mut command = tests();
        // Libraries of others are tested on the first interpreter alone.
        command.env("CELLGATE_TEST_PYTHON", &python).env_remove("CELLGATE_REQUIRE");
        // All at once: a run mostly waits.
        running.push((name, python, std::thread::spawn(move || command.output().unwrap())));
    }
    for (name, python, run) in running {
        let output = run.join().unwrap();
        // Past the harness's capture, as above, and each by itself.
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "the runner's tests on {}", python.display()).unwrap();
        stderr.write_all(&output.stdout).unwrap();
        stderr.write_all(&output.stderr).unwrap();
        if !output.status.success() {
            failed.push(name);
        }
    }
    assert!(failed.is_empty(), "the runner's tests failed on {failed:?}; see above");
}

/// All of them with the IPython that the sandbox's image has, and what is IPython's own on the
/// version that the system has.
#[test]
fn it_passes_them_in_the_shell_of_ipython() {
    let usual = std::env::var_os("CELLGATE_TEST_PYTHON").map_or_else(system, PathBuf::from);
    let notebook = std::env::var_os("CELLGATE_TEST_NOTEBOOK_PYTHON").map(PathBuf::from);
    let required = std::env::var("CELLGATE_REQUIRE").is_ok_and(|value| value == "all");
    let mut running = Vec::new();
    for (python, variable, files) in [
        (Some(usual), "CELLGATE_TEST_PYTHON", "test_ipython.py"),
        (notebook, "CELLGATE_TEST_NOTEBOOK_PYTHON", "test*.py"),
    ] {
        let with_ipython = python.filter(|python| has_ipython(python));
        let Some(python) = with_ipython else {
            eprintln!("skipped: the runner's tests in IPython's shell: {variable} has no IPython");
            assert!(!required, "{variable} has no IPython, and CELLGATE_REQUIRE=all asks for it");
            continue;
        };
        let mut command = tests();
        command.args(["-p", files]);
        command.env("CELLGATE_TEST_PYTHON", &python).env("CELLGATE_TEST_SHELL", "ipython");
        if files == "test_ipython.py" {
            command.env_remove("CELLGATE_REQUIRE"); // the system has no widgets
        }
        running.push((python, std::thread::spawn(move || command.output().unwrap())));
    }
    let mut failed = Vec::new();
    for (python, run) in running {
        let output = run.join().unwrap();
        let mut stderr = std::io::stderr().lock();
        writeln!(stderr, "the runner's tests in IPython's shell on {}", python.display()).unwrap();
        stderr.write_all(&output.stdout).unwrap();
        stderr.write_all(&output.stderr).unwrap();
        if !output.status.success() {
            failed.push(python);
        }
    }
    assert!(failed.is_empty(), "the runner's tests failed on {failed:?}; see above");
}

fn has_ipython(python: &Path) -> bool {
    let output = Command::new(python).args(["-c", "import IPython"]).output();
    output.is_ok_and(|output| output.status.success())
}

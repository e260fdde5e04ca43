//! Runs the runner's own tests (`tests/runner`), which play the supervisor in Python, so that one
//! `cargo test` covers both languages. They say themselves what they skip; CELLGATE_REQUIRE=all
//! makes that a failure, CELLGATE_TEST_PYTHON names the interpreter that is tested.

use std::path::Path;
use std::process::Command;

#[test]
fn the_python_runner_passes_its_tests() {
    let system = "/usr/bin/python3";
    let python = if Path::new(system).exists() { system } else { "python3" };
    // Its output is not captured: what was skipped, and why, belongs in front of everybody.
    let status = Command::new(python)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-m", "unittest", "discover", "-s", "tests/runner"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status()
        .unwrap_or_else(|error| panic!("{python} cannot be started: {error}"));
    assert!(status.success(), "the runner's tests failed; what they printed stands above");
}

//! Runs the JavaScript runner's own tests (`tests/runner_javascript`), which play the supervisor in Python as those of
//! the Python runner do, on the Node that is first on the path, or that of CELLGATE_TEST_NODE.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

use std::process::Command;

/// The oldest major version that the runner works on.
const OLDEST: u32 = 20;

/// The major version of the Node that is tested.
fn major() -> Option<u32> {
    let node = std::env::var_os("CELLGATE_TEST_NODE").unwrap_or_else(|| "node".into());
    let output = Command::new(node).args(["-p", "process.versions.node"]).output().ok()?;
    String::from_utf8(output.stdout).ok()?.split('.').next()?.parse().ok()
}

#[test]
fn the_javascript_runner_passes_its_tests() {
    let found = major();
    if found.is_none_or(|major| major < OLDEST) {
        eprintln!(
            "skipped: the JavaScript runner's tests: no Node {OLDEST} or newer, but {found:?}"
        );
        let required = std::env::var("CELLGATE_REQUIRE").unwrap_or_default();
        let asked = required.split(',').any(|one| ["all", "node"].contains(&one.trim()));
        assert!(!asked, "CELLGATE_REQUIRE asks for Node {OLDEST} or newer");
        return;
    }
    // Its output is not captured: the figures of interrupts belong in front of everybody.
    let status = Command::new("python3")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-m", "unittest", "discover", "-s", "tests/runner_javascript"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status();
    assert!(status.unwrap().success(), "the runner's tests failed; what they printed stands above");
}

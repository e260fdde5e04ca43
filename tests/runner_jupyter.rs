//! Runs the tests of the bridge to kernels of Jupyter (`tests/runner_jupyter`), which play the supervisor in Python as
//! those of the Python runner do, with kernels of the environment that `scripts/ci-packages` makes, or of the
//! interpreter of CELLGATE_TEST_NOTEBOOK_PYTHON. They say themselves what they skip; CELLGATE_REQUIRE=all makes that
//! a failure.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

use std::process::Command;

#[test]
fn the_bridge_to_kernels_passes_its_tests() {
    // Its output is not captured: what was skipped, and why, belongs in front of everybody.
    let status = Command::new("python3")
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args(["-m", "unittest", "discover", "-s", "tests/runner_jupyter"])
        .env("PYTHONDONTWRITEBYTECODE", "1")
        .status();
    assert!(status.unwrap().success(), "the bridge's tests failed; what they printed stands above");
}

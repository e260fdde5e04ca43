//! Builds the driver as a static executable and leaves it in `OUT_DIR/cellgate-driver`.
//!
//! Static, so that it runs in every image of this architecture, whatever libc that has, and
//! without one. It is built by a second cargo with a target directory of its own: the outer one
//! holds the lock of the usual directory while it waits for us.

use std::path::PathBuf;
use std::process::Command;
use std::{env, fs};

const PROFILE: &str = "driver";

/// Builds the driver, or ends the build with what cargo said.
pub(crate) fn build() {
    for input in [
        "driver/src",
        "driver/runner",
        "driver/build.rs",
        "driver/Cargo.toml",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={input}");
    }
    let variable = |name: &str| env::var(name).unwrap_or_else(|_| panic!("cargo sets {name}"));
    let out = PathBuf::from(variable("OUT_DIR"));
    let target = variable("TARGET");
    let target_dir = out.join("driver-target");

    let mut cargo = Command::new(variable("CARGO"));
    cargo
        .current_dir(variable("CARGO_MANIFEST_DIR"))
        .args(["build", "--package", "cellgate-driver", "--bin", "cellgate-driver"])
        .args(["--profile", PROFILE, "--target", &target, "--target-dir"])
        .arg(&target_dir)
        // A fixed address saves the relocations that every start would pay for in private pages.
        .env("RUSTFLAGS", "-Ctarget-feature=+crt-static -Crelocation-model=static")
        // Whatever the outer build is (clippy, coverage, other flags), the driver is the same.
        .env_remove("CARGO_ENCODED_RUSTFLAGS")
        .env_remove("CARGO_BUILD_RUSTFLAGS")
        .env_remove("RUSTC_WRAPPER")
        .env_remove("RUSTC_WORKSPACE_WRAPPER");
    let output = cargo.output().expect("cargo can be started");
    if !output.status.success() {
        panic!("the driver does not build:\n{}", String::from_utf8_lossy(&output.stderr));
    }
    let built = target_dir.join(&target).join(PROFILE).join("cellgate-driver");
    fs::copy(&built, out.join("cellgate-driver"))
        .unwrap_or_else(|error| panic!("{} is not where cargo puts it: {error}", built.display()));
}

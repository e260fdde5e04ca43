//! What code in a sandbox can reach, do and use up: probes that run as cells of a real session of
//! each backend. The same verdicts everywhere; where a backend differs, the case says why.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;

mod checks;
mod devices;
mod exhaustion;
mod files;
mod neighbours;
mod network;
mod privileges;
mod probe;

fn main() -> std::process::ExitCode {
    common::suite::run(&[
        checks::CASES,
        network::CASES,
        files::CASES,
        devices::CASES,
        privileges::CASES,
        neighbours::CASES,
        exhaustion::CASES,
    ])
}

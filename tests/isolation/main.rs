//! What code in a sandbox can reach, do and use up, on each backend: the table of checks that
//! `cellgate doctor --probe` has too, and what only a look from outside shows: that other sessions
//! go on, and that what has to work inside does. Where a backend differs, the case says why.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;

mod checks;
mod devices;
mod exhaustion;
mod languages;
mod neighbours;
mod network;

use common::backend::Backend;

fn main() -> std::process::ExitCode {
    const ALL: &[Backend] = &Backend::ALL;
    common::suite::run(&[
        (checks::CASES, ALL),
        (network::CASES, ALL),
        (devices::CASES, ALL),
        (neighbours::CASES, ALL),
        (exhaustion::CASES, ALL),
        (languages::CASES, Backend::PLAIN),
    ])
}

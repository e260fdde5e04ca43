//! The adversarial suite: hostile and broken input at every boundary of the gateway. A row says what
//! comes and what a user sees of it; afterwards a fresh session works, and one that was there before
//! has noticed nothing.
//!
//! ```text
//!   client ── upgrade, frames, json ──► gateway ── driver ──► sandbox ── code
//!                                          ├── engine
//!                                          └── host
//! ```
//! docs/adversarial.md lists the rows; `CELLGATE_TEST_UPDATE=1 cargo test --test adversarial` writes
//! it anew.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;

mod autobahn;
mod code;
mod driver;
mod engine;
mod faulty;
mod frames;
mod halfway;
mod host;
mod json;
mod memory;
mod paths;
mod table;
mod upgrade;

use common::backend::Backend;
use common::suite::{Case, Group, run_groups};

/// Kernels and users as different as two backends can be.
const CODE: &[Backend] = &[Backend::LocalUser, Backend::Docker];

/// Both ways to a container.
const ENGINE: &[Backend] = &[Backend::Docker, Backend::DockerStdio];

/// By whoever the gateway is run.
const HOST: &[Backend] = &[Backend::LocalRoot, Backend::LocalUser];

/// Where it comes in, what, against which backends.
const MATRIX: &[(&str, &[Case], &[Backend])] = &[
    ("upgrade", upgrade::CASES, Backend::PLAIN),
    ("frames", frames::CASES, Backend::PLAIN),
    ("halfway", halfway::CASES, Backend::PLAIN),
    ("json", json::CASES, Backend::PLAIN),
    ("json", json::floods::CASES, Backend::PLAIN),
    ("memory", memory::CASES, Backend::PLAIN),
    ("code", code::CASES, CODE),
    ("files", paths::CASES, CODE),
    ("driver", driver::CASES, Backend::PLAIN),
    ("driver", driver::borne::CASES, Backend::PLAIN),
    ("driver", driver::told::CASES, Backend::PLAIN),
    ("engine: newcomers", engine::refused::CASES, ENGINE),
    ("engine: newcomers", engine::slow::CASES, ENGINE),
    ("engine: removal", engine::removal::CASES, ENGINE),
    ("engine: all calls", engine::away::CASES, ENGINE),
    ("host", host::CASES, HOST),
    ("host", host::root::CASES, &[Backend::LocalRoot]),
    ("host", host::user::CASES, &[Backend::LocalUser]),
    ("frames: Autobahn", autobahn::CASES, Backend::PLAIN),
];

fn main() -> std::process::ExitCode {
    let group = |&(_, cases, backends): &_| Group { cases, backends, then_lives: true };
    run_groups(&MATRIX.iter().map(group).collect::<Vec<_>>(), vec![table::trial()])
}

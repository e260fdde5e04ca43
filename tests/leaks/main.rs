//! The leak matrix: whoever takes part in a session is asked to end, killed, stopped; ten seconds
//! later nothing may be left of it in containers, processes, cgroups, mounts, sockets and files.
//!
//! ```text
//!   gateway ─ supervisor ─ runner      signalled from outside, as an operator or the kernel would
//!      └ keepers: janitor (local), shim (docker)
//!      └ engine: one of the test's own
//! ```
//! docs/leaks.md lists the rows; `CELLGATE_TEST_UPDATE=1 cargo test --test leaks` writes it anew.
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;

mod engine;
mod gateway;
mod janitor;
mod programs;
mod runner;
mod scene;
mod shim;
mod supervisor;
mod table;

use common::backend::Backend;
use common::suite::{Case, Group, run_groups};

/// Backends whose processes are the host's. gVisor has a kernel of its own.
const SEEN: &[Backend] =
    &[Backend::LocalRoot, Backend::LocalUser, Backend::Docker, Backend::DockerStdio];
const LOCAL: &[Backend] = &[Backend::LocalRoot, Backend::LocalUser];
const DOCKER: &[Backend] = &[Backend::Docker, Backend::DockerStdio, Backend::DockerRunsc];
const ENGINE: &[Backend] = &[Backend::Docker, Backend::DockerStdio];

/// Who is signalled, in what sandboxes.
const MATRIX: [(&str, &[Case], &[Backend]); 7] = [
    ("gateway", gateway::CASES, &Backend::ALL),
    ("supervisor", supervisor::CASES, SEEN),
    ("runner", runner::CASES, SEEN),
    ("program", programs::CASES, Backend::PLAIN),
    ("janitor", janitor::CASES, LOCAL),
    ("shim", shim::CASES, DOCKER),
    ("engine", engine::CASES, ENGINE),
];

fn main() -> std::process::ExitCode {
    let groups = MATRIX.map(|(_, cases, backends)| Group { cases, backends, then_lives: false });
    run_groups(&groups, vec![table::trial()])
}

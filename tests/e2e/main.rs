//! The whole program, end to end: the built gateway, real sandboxes, real WebSockets. Cases run
//! against the backends that they depend on, and every message is checked against the protocol's
//! promises.
//!
//! ```text
//!   cargo test --test e2e                        all that this machine can run
//!   cargo test --test e2e docker::               one backend
//!   CELLGATE_REQUIRE=all cargo test --test e2e   fail where something is missing
//! ```
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;
#[path = "../docker_backend/proxy.rs"]
mod proxy;

mod access;
mod bash;
mod cells;
mod clients;
mod closes;
mod command;
mod exits;
mod flood;
mod input;
mod ipython;
mod javascript;
mod kernel;
mod lifecycle;
mod limits;
mod output;
mod programs;
mod protocol;
mod queries;
mod resume;
mod rich;
mod spoil;
mod stop;
mod watching;

use common::backend::Backend;

/// Where each table runs: what a backend can change runs on the backends that can change it, what
/// happens above them on one. Only the data path differs between the two ways to reach a container,
/// and only rights differ between the two kinds of local sandboxes.
fn main() -> std::process::ExitCode {
    use Backend::{Docker, DockerRunsc, DockerStdio, LocalRoot, LocalUser};
    const ALL: &[Backend] = &Backend::ALL;
    const BUT_STDIO: &[Backend] = &[LocalRoot, LocalUser, Docker, DockerRunsc];
    const BUT_ROOT: &[Backend] = &[LocalUser, Docker, DockerStdio, DockerRunsc];
    let one = Backend::any();
    common::suite::run(&[
        (cells::CASES, BUT_STDIO),
        (output::CASES, &[LocalUser, Docker, DockerRunsc]),
        (stop::CASES, BUT_ROOT),
        (exits::CASES, ALL),
        (javascript::CASES, &[LocalUser]),
        (bash::CASES, &[LocalUser]),
        (programs::CASES, BUT_STDIO),
        (kernel::CASES, &[LocalUser]),
        (spoil::CASES, BUT_STDIO),
        (limits::CASES, BUT_STDIO),
        (flood::CASES, BUT_ROOT),
        (lifecycle::CASES, ALL),
        (cells::ONCE, one),
        (output::ONCE, one),
        (stop::ONCE, one),
        (exits::ONCE, one),
        (limits::ONCE, one),
        (rich::CASES, one),
        (input::CASES, one),
        // Its image has IPython and widgets.
        (ipython::CASES, &[Docker]),
        (queries::CASES, one),
        (protocol::CASES, one),
        (access::CASES, one),
        (clients::CASES, one),
        (resume::CASES, one),
        (closes::CASES, one),
        (watching::CASES, one),
        (command::CASES, one),
    ])
}

//! The whole program, end to end: the built gateway, real sandboxes, real WebSockets. Every case
//! runs against every backend, and every message is checked against the protocol's promises.
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
mod cells;
mod clients;
mod closes;
mod command;
mod exits;
mod flood;
mod input;
mod lifecycle;
mod limits;
mod output;
mod protocol;
mod queries;
mod resume;
mod rich;
mod spoil;
mod stop;
mod watching;

fn main() -> std::process::ExitCode {
    common::suite::run(&[
        cells::CASES,
        output::CASES,
        rich::CASES,
        input::CASES,
        stop::CASES,
        exits::CASES,
        spoil::CASES,
        limits::CASES,
        flood::CASES,
        queries::CASES,
        protocol::CASES,
        access::CASES,
        clients::CASES,
        resume::CASES,
        closes::CASES,
        lifecycle::CASES,
        watching::CASES,
        command::CASES,
    ])
}

//! The HTTP interface, end to end: the built gateway, real sandboxes, requests as any client sends
//! them. Every case runs against every backend.
//!
//! ```text
//!   cargo test --test http_api                    all that this machine can run
//!   cargo test --test http_api local_root::       one backend
//! ```
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;

mod description;
mod files;
mod hidden;
mod output;
mod refusals;
mod requests;
mod run;
mod sessions;

fn main() -> std::process::ExitCode {
    common::suite::run(&[
        run::CASES,
        refusals::CASES,
        sessions::CASES,
        files::CASES,
        hidden::CASES,
        output::CASES,
        description::CASES,
    ])
}

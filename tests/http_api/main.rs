//! The HTTP interface, end to end: the built gateway, real sandboxes, requests as any client sends
//! them. What a backend can change runs against every backend.
//!
//! ```text
//!   cargo test --test http_api                    all that this machine can run
//!   cargo test --test http_api local_root::       one backend
//! ```
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

#[path = "../common/mod.rs"]
mod common;

mod cells;
mod description;
mod documents;
mod files;
mod hidden;
mod keys;
mod mcp;
mod output;
mod refusals;
mod requests;
mod run;
mod sessions;
mod watching;

use common::backend::Backend;

/// What moves files, and what tries to lead out with them, runs on all backends, the rest on one.
fn main() -> std::process::ExitCode {
    let (all, one) = (&Backend::ALL, Backend::any());
    common::suite::run(&[
        (files::CASES, all),
        (hidden::CASES, all),
        (watching::CASES, all),
        (files::ONCE, one),
        (watching::ONCE, one),
        (keys::CASES, one),
        (run::CASES, one),
        (refusals::CASES, one),
        (sessions::CASES, one),
        (output::CASES, one),
        (description::CASES, one),
        (documents::CASES, one),
        (cells::CASES, one),
        (mcp::CASES, one),
    ])
}

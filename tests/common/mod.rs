//! What several test programs share.
#![allow(dead_code, unused_macros, unused_imports)] // each program uses its own part
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

pub(crate) mod backend;
pub(crate) mod checker;
pub(crate) mod client;
pub(crate) mod gateway;
pub(crate) mod http;
pub(crate) mod property;
pub(crate) mod require;
pub(crate) mod scripted;
pub(crate) mod suite;
pub(crate) mod switch;
pub(crate) mod traces;

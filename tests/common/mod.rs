//! What several test programs share.
#![allow(dead_code)] // each program uses its own part
#![allow(clippy::unwrap_used)] // a test that cannot go on panics

pub(crate) mod scripted;

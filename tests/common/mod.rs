//! What several test programs share.
#![allow(dead_code)] // each program uses its own part

pub(crate) mod scripted;

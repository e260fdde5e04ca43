//! The supervisor as a process of its own, with a scripted runner on one side and a test as the
//! gateway on the other. Every wait is for an event and has a deadline.

// Helpers of tests stop a test by panicking, as the tests do.
#![allow(clippy::unwrap_used)]

mod bash;
mod changed_files;
mod endings;
mod files;
mod harness;
mod hostile;
mod hygiene;
mod interrupts;
mod output;
mod pressure;
mod processes;
mod programs;
mod questions;
mod watches;

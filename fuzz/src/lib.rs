//! What the fuzz targets stand on.
//!
//! The modules under test are the product's own files: symbolic links in this directory mount them
//! at the places they have there, so that a target builds in seconds, without the gateway around
//! them. Beside each stands a door (`link.rs`, `session.rs`, …) that opens what is private there.

pub mod config;
pub mod document;
pub mod id;
pub mod language;
pub mod link;
pub mod memory;
pub mod pieces;
pub mod protocol;
pub mod session;
pub mod template;

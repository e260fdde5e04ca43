//! cellgate: a WebSocket streaming gateway for code.

pub mod cli;
pub mod config;
pub mod id;
pub mod sandbox;
pub mod template;

//! cellgate: a WebSocket streaming gateway for code.

pub mod admission;
pub mod backends;
pub mod cli;
pub mod config;
pub mod disk;
pub mod doctor;
pub mod document;
pub mod error;
pub mod gateway;
pub mod http;
pub mod id;
pub mod keys;
pub mod language;
pub mod link;
pub mod memory;
pub mod metrics;
pub mod pool;
pub mod protocol;
pub mod registry;
pub mod run;
pub mod sandbox;
pub mod session;
pub mod socket;
pub mod startup;
pub mod tally;
pub mod template;

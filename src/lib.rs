//! cellgate: a WebSocket streaming gateway for code.

pub mod id;
pub mod sandbox;
pub mod template;

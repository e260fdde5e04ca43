//! The client protocol, version 1: what travels over `/ws`.
//!
//! ```text
//! client ─► gateway   ClientMessage            (client.rs)
//! client ◄─ gateway   Event, with seq and ts   (event.rs)   to every participant, in the log
//!                     Reply, without           (reply.rs)   to one participant
//!                     CloseCode                (close.rs)   why the socket closes
//! ```
//! One JSON text frame is one message. `tests/golden/protocol` holds an example of each.

use serde::Serialize;

pub mod client;
pub mod close;
pub mod comm;
mod escape;
pub mod event;
pub mod refusal;
pub mod reply;
pub mod scrub;
pub(crate) mod shorten;

pub use client::{ClientMessage, Execute};
pub use close::{Close, CloseCode};
pub use comm::Comm;
pub use event::Event;
pub use refusal::{ErrorCode, Refusal};
pub use reply::Reply;

/// The protocol's number, carried by `ready`.
pub const VERSION: u32 = 1;

/// The WebSocket subprotocol answered when a client offers it.
pub const SUBPROTOCOL: &str = "cellgate.v1";

/// Offered beside [`SUBPROTOCOL`]: this prefix and the base64url (RFC 4648 §5) of a token.
pub const BEARER_SUBPROTOCOL: &str = "cellgate.bearer.";

/// The name on the wire of a value without fields, such as a status or an error code.
pub fn wire_name(value: &impl Serialize) -> String {
    match serde_json::to_value(value) {
        Ok(serde_json::Value::String(name)) => name,
        // No value that is given here is anything else.
        _ => "other".to_owned(),
    }
}

//! The program inside a cellgate sandbox, and the wire it speaks with the gateway.
//!
//! The gateway uses [`wire`] and [`spec`] from this library; the binary beside it is PID 1 of
//! every sandbox.

pub mod spec;
pub mod wire;

//! The driver's executable, built by `build.rs` and carried in this one.

/// A static ELF executable for this machine's architecture; runs in any Linux image.
pub const DRIVER: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/cellgate-driver"));

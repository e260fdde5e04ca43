//! The floor, and others who run Python for a client.

pub(crate) mod jupyter;
pub(crate) mod pipe;
pub(crate) mod websocketd;

use std::ffi::OsStr;

/// The least a Python driver can be; see the file.
pub(crate) const DRIVER: &str = include_str!("rivals/driver.py");

/// What the driver says after a cell whose output it did not collect.
const END: &[u8] = b"\x04\n";

/// Name of the floor in tables.
pub(crate) const FLOOR: &str = "bare driver on a pipe";

/// Whether a program can be found.
pub(crate) fn is_installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(OsStr::new(program)).is_file())
}

/// The driver's request for a cell, a line of JSON.
fn request(code: &str, collect: bool) -> String {
    format!("{}\n", serde_json::json!({"code": code, "collect": collect}))
}

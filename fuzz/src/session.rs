//! Opens what a session does with bytes.

mod text;

pub use text::TextDecoder;

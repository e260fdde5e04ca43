//! Why a socket closes: the one table of close codes.

use std::fmt;

use super::shorten::shorten;

/// A close code of the protocol. RFC 6455 gives the 1xxx, the 4xxx are ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u16)]
#[cfg_attr(test, derive(ts_rs::TS), ts(repr(enum)))]
pub enum CloseCode {
    /// The session ended because its owner asked for it, or because no participant was left.
    Ended = 1000,
    /// The gateway shuts down.
    Draining = 1001,
    /// The peer broke RFC 6455.
    Protocol = 1002,
    /// A text frame that is not UTF-8.
    Payload = 1007,
    /// A message longer than `limits.message_bytes`.
    TooLarge = 1009,
    /// The gateway failed; the reason carries an id that its log has too.
    Internal = 1011,
    /// No capacity; to be tried again later.
    NoCapacity = 1013,
    /// No token, a wrong one, or one that has expired.
    Unauthorised = 4401,
    /// A publishable key is good for less: for other templates, or for pages of other origins. What
    /// a token does not open is [`CloseCode::Unauthorised`].
    Forbidden = 4403,
    /// No session or template of that name.
    NoSuchSession = 4404,
    /// An idle or lifetime limit was reached.
    Expired = 4408,
    /// The same participant connected anew.
    Replaced = 4409,
    /// The client did not take its messages, or answer a ping, in time.
    TooSlow = 4413,
    /// Too many connections or messages.
    TooMany = 4429,
    /// The document would be larger than it may be.
    DocumentFull = 4431,
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        self as u16
    }
}

/// A close code and a sentence for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Close {
    /// The code.
    pub code: CloseCode,
    reason: String,
}

impl Close {
    /// RFC 6455 §5.5: a control frame's payload is at most 125 bytes, two of them the code.
    pub const REASON_BYTES: usize = 123;

    /// A close; a reason that is too long is cut at a character, with `…` in its place.
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Close {
        let reason = shorten(reason.into(), Close::REASON_BYTES);
        Close { code, reason }
    }

    /// At most [`Close::REASON_BYTES`] bytes.
    pub fn reason(&self) -> &str {
        &self.reason
    }
}

impl fmt::Display for Close {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code.number(), self.reason)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_fits_a_control_frame_and_is_cut_at_a_character() {
        let close = Close::new(CloseCode::Internal, "é".repeat(100));
        assert!(close.reason().len() <= Close::REASON_BYTES);
        assert!(close.reason().ends_with("é…"));
        let exact = "x".repeat(Close::REASON_BYTES);
        assert_eq!(Close::new(CloseCode::Ended, exact.clone()).reason(), exact);
    }
}

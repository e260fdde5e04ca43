//! Bytes of an open WebSocket that RFC 6455 forbids, or allows and nobody expects.

use crate::common::http::{RawSocket, frame};
use crate::common::suite::{Stage, rows};

/// The last frame of a message.
const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const PING: u8 = 9;

rows![closes:
    an_unmasked_frame "closes 1002" => (vec![FIN | TEXT, 2, b'{', b'}'], 1002, "masked"),
    a_reserved_bit "closes 1002" => (frame(FIN | 0x40 | TEXT, b"{}"), 1002, "Reserved bits"),
    a_ping_in_fragments "closes 1002" => (frame(PING, b""), 1002, "ragmented control frame"),
];

/// Sends bytes; the connection has to close with this code and a reason that has these words.
async fn closes(stage: &Stage, (bytes, code, words): (Vec<u8>, u16, &str)) {
    let mut socket = RawSocket::open(stage.gateway()).await;
    socket.send(&bytes).await;
    let closed = socket.closed().await;
    assert_eq!(closed.code, code, "{closed:?}");
    assert!(closed.reason.contains(words), "{closed:?}");
}

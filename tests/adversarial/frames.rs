//! Bytes of an open WebSocket that RFC 6455 forbids, or allows and nobody expects.

use serde_json::Value;

use crate::common::client::{Client, text};
use crate::common::http::{RawSocket, frame};
use crate::common::suite::{Stage, rows};

/// The last frame of a message.
const FIN: u8 = 0x80;
const TEXT: u8 = 1;
const BINARY: u8 = 2;
const CLOSE: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

/// What the gateway answers, up to a ping of the protocol's that comes after the input.
enum Hears {
    /// A close with this code, and a reason that has these words.
    Closed(u16, &'static str),
    /// Refusals with these codes; the connection lives.
    Refused(&'static [&'static str]),
}
use Hears::{Closed, Refused};

rows![hears:
    an_unmasked_frame "closes 1002"
        => (vec![FIN | TEXT, 2, b'{', b'}'], Closed(1002, "masked")),
    a_reserved_bit "closes 1002"
        => (frame(FIN | 0x40 | TEXT, b"{}"), Closed(1002, "Reserved bits")),
    reserved_bits_on_a_close "closes 1002"
        => (frame(FIN | 0x70 | CLOSE, &[3, 232]), Closed(1002, "Reserved bits")),
    a_reserved_opcode "closes 1002" => (frame(FIN | 3, b"{}"), Closed(1002, "invalid opcode: 3")),
    a_reserved_control_opcode "closes 1002"
        => (frame(FIN | 11, b""), Closed(1002, "invalid opcode: 11")),
    a_continuation_of_nothing "closes 1002"
        => (frame(FIN, b"{}"), Closed(1002, "nothing to continue")),
    a_message_within_a_message "closes 1002"
        => ([frame(TEXT, b"{"), frame(FIN | TEXT, b"}")].concat(), Closed(1002, "fragment")),
    a_ping_in_fragments "closes 1002"
        => (frame(PING, b""), Closed(1002, "ragmented control frame")),
    a_close_in_fragments "closes 1002"
        => (frame(CLOSE, &[3, 232]), Closed(1002, "ragmented control frame")),
    a_ping_of_126_bytes "closes 1002"
        => (frame(FIN | PING, &[b'x'; 126]), Closed(1002, "too big")),
    a_close_with_half_a_code "closes 1002" => (frame(FIN | CLOSE, &[3]), Closed(1002, "")),
    a_close_with_code_0 "closes 1002" => (close(0), Closed(1002, "")),
    a_close_with_code_1005 "closes 1002, as nobody may send it" => (close(1005), Closed(1002, "")),
    a_close_with_code_1006 "closes 1002, as nobody may send it" => (close(1006), Closed(1002, "")),
    a_close_with_code_1015 "closes 1002, as nobody may send it" => (close(1015), Closed(1002, "")),
    a_close_with_code_65535 "closes 1002" => (close(65535), Closed(1002, "")),
    a_close_with_a_reason_that_is_not_utf_8 "closes 1007"
        => (frame(FIN | CLOSE, b"\x03\xe8\xff"), Closed(1007, "utf-8")),
    bytes_after_a_close "the close is answered, what follows is not read"
        => ([close(4000), frame(FIN | TEXT, b"{}"), vec![0xff; 100]].concat(), Closed(4000, "")),
    text_that_is_not_utf_8 "closes 1007" => (frame(FIN | TEXT, b"\"\xff\""), Closed(1007, "utf-8")),
    text_that_ends_within_a_character "closes 1007"
        => (frame(FIN | TEXT, b"\"\xe2\x82"), Closed(1007, "UTF-8")),
    a_surrogate_in_utf_8 "closes 1007"
        => (frame(FIN | TEXT, b"\"\xed\xa0\x80\""), Closed(1007, "utf-8")),
    a_slash_in_two_bytes "closes 1007: an overlong form is not UTF-8"
        => (frame(FIN | TEXT, b"\"\xc0\xaf\""), Closed(1007, "utf-8")),
    a_length_of_8_EiB "closes 1009" => (announced(TEXT, 1 << 63), Closed(1009, "too long")),
    a_length_of_4_GiB "closes 1009 before any of it is there"
        => (announced(TEXT, 1 << 32), Closed(1009, "too long")),
    fragments_without_end "closes 1009 at four times the longest message"
        => (fragments_without_end(), Closed(1009, "too long")),
    a_request_of_http "closes 1002"
        => (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n".to_vec(), Closed(1002, "")),
    a_greeting_of_tls "closes 1002"
        => (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec(), Closed(1002, "")),
    ones "closes 1002" => (vec![0xff; 64 << 10], Closed(1002, "invalid opcode")),
    zeros "closes 1002" => (vec![0; 64 << 10], Closed(1002, "")),
    a_binary_message "`bad_message`"
        => (frame(FIN | BINARY, br#"{"code": "1"}"#), Refused(&["bad_message"])),
    an_empty_message "`bad_json`" => (frame(FIN | TEXT, b""), Refused(&["bad_json"])),
    a_message_of_10000_empty_fragments "`bad_json`, once"
        => ([frame(TEXT, b""), frame(0, b"").repeat(10_000), frame(FIN, b"")].concat(),
            Refused(&["bad_json"])),
    a_message_a_byte_a_frame "it is one message"
        => (a_byte_a_frame(br#"{"type": "fly"}"#), Refused(&["unknown_type"])),
    a_length_in_more_bytes_than_it_needs "it is taken as it is meant"
        => ([vec![FIN | TEXT, 0xff, 0, 0, 0, 0, 0, 0, 0, 1], vec![0; 4], vec![b'x']].concat(),
            Refused(&["bad_json"])),
    pongs_that_nobody_asked_for "nothing" => (frame(FIN | PONG, b"why").repeat(1000), Refused(&[])),
    ten_thousand_pings_at_once "nothing is lost but pongs"
        => (frame(FIN | PING, &[b'x'; 125]).repeat(10_000), Refused(&[])),
];

/// A close frame with this code.
fn close(code: u16) -> Vec<u8> {
    frame(FIN | CLOSE, &code.to_be_bytes())
}

/// The head of a frame that says it is so long.
fn announced(opcode: u8, length: u64) -> Vec<u8> {
    [&[FIN | opcode, 0xff][..], &length.to_be_bytes(), &[0; 4]].concat()
}

/// More than the shared gateway takes in one message, four times 256 KiB, and never a last frame.
fn fragments_without_end() -> Vec<u8> {
    let chunk = vec![b'x'; 64 << 10];
    [frame(TEXT, &chunk), frame(0, &chunk).repeat(16)].concat()
}

fn a_byte_a_frame(message: &[u8]) -> Vec<u8> {
    let frames = message.iter().enumerate().map(|(at, byte)| {
        let opcode = if at == 0 { TEXT } else { 0 };
        let fin = if at + 1 == message.len() { FIN } else { 0 };
        frame(fin | opcode, &[*byte])
    });
    frames.collect::<Vec<_>>().concat()
}

async fn hears(stage: &Stage, (bytes, wanted): (Vec<u8>, Hears)) {
    let mut socket = RawSocket::open(stage.gateway()).await;
    let (ready, _) = refusals(&mut socket, "ready").await;
    socket.send(&bytes).await;
    match wanted {
        Closed(code, words) => {
            let closed = socket.closed().await;
            assert_eq!(closed.code, code, "{closed:?}");
            assert!(closed.reason.contains(words), "{closed:?}");
            // Whatever became of the connection, the session waits for another one.
            Client::join(stage.gateway(), &ready, None).await.end().await;
        }
        Refused(codes) => {
            socket.send_frame(FIN | TEXT, br#"{"type": "ping"}"#).await;
            assert_eq!(refusals(&mut socket, "pong").await.1, codes);
            socket.send_frame(FIN | TEXT, br#"{"type": "end"}"#).await;
            assert_eq!(socket.close_code().await, Some(1000));
        }
    }
}

/// Reads up to a message of this type; answers it, and the codes of refusals before it.
async fn refusals(socket: &mut RawSocket, last: &str) -> (Value, Vec<String>) {
    let mut codes = Vec::new();
    loop {
        let (first, payload) = socket.read_frame().await.unwrap();
        match first & 0x0f {
            TEXT => {
                let message: Value = serde_json::from_slice(&payload).unwrap();
                if message["type"] == last {
                    return (message, codes);
                }
                if message["type"] == "protocol_error" {
                    codes.push(text(&message, "code").to_owned());
                }
            }
            CLOSE => panic!("closed instead of {last}: {}", String::from_utf8_lossy(&payload)),
            _ => {}
        }
    }
}

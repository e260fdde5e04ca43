//! From a message to the frames it is sent as.

use bytes::Bytes;
use bytestring::ByteString;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error as WsError, Message};

/// Longest frame, in bytes. A longer message becomes several (RFC 6455 §5.4): the WebSocket copies
/// a frame into its write buffer, and a peer that does not read should not hold a copy of 32 MiB.
/// An event of 64 KiB of output, the most that a driver sends at once, goes as one.
pub(super) const FRAGMENT_BYTES: usize = 128 << 10; // 128 KiB

/// The frames of a text message. Each ends at the end of a character, for readers that decode frame
/// by frame; they share the message's memory.
pub(super) fn frames(message: ByteString) -> impl Iterator<Item = Result<Message, WsError>> {
    let mut rest = Some(message);
    let mut opcode = Data::Text;
    std::iter::from_fn(move || {
        let text = rest.take()?;
        let (fragment, more) = if text.len() > FRAGMENT_BYTES {
            let mut end = FRAGMENT_BYTES;
            while !text.is_char_boundary(end) {
                end -= 1;
            }
            let (fragment, more) = text.split_at(end);
            (fragment, Some(more))
        } else {
            (text, None)
        };
        let bytes: Bytes = fragment.into_bytes();
        let frame = Frame::message(bytes, OpCode::Data(opcode), more.is_none());
        opcode = Data::Continue;
        rest = more;
        Some(Ok(Message::Frame(frame)))
    })
}

/// The frames of a binary message; they share its memory.
pub(super) fn binary_frames(message: Bytes) -> impl Iterator<Item = Result<Message, WsError>> {
    let mut rest = Some(message);
    let mut opcode = Data::Binary;
    std::iter::from_fn(move || {
        let mut fragment = rest.take()?;
        if fragment.len() > FRAGMENT_BYTES {
            rest = Some(fragment.split_off(FRAGMENT_BYTES));
        }
        let frame = Frame::message(fragment, OpCode::Data(opcode), rest.is_none());
        opcode = Data::Continue;
        Some(Ok(Message::Frame(frame)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(text: &str) -> Vec<(Vec<u8>, OpCode, bool)> {
        frames(ByteString::from(text.to_owned()))
            .map(|frame| match frame.unwrap() {
                Message::Frame(frame) => {
                    let header = frame.header();
                    let (opcode, is_final) = (header.opcode, header.is_final);
                    (frame.payload().to_vec(), opcode, is_final)
                }
                other => panic!("{other:?}"),
            })
            .collect()
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        let first = OpCode::Data(Data::Text);
        let next = OpCode::Data(Data::Continue);
        assert_eq!(sent("é"), [("é".as_bytes().to_vec(), first, true)]);
        let text = format!("x{}", "é".repeat(FRAGMENT_BYTES));
        let frames = sent(&text);
        let shape: Vec<_> = frames.iter().map(|(_, opcode, last)| (*opcode, *last)).collect();
        assert_eq!(shape, [(first, false), (next, false), (next, true)]);
        for (bytes, ..) in &frames {
            assert!(bytes.len() <= FRAGMENT_BYTES && std::str::from_utf8(bytes).is_ok());
        }
        let joined: Vec<u8> = frames.into_iter().flat_map(|(bytes, ..)| bytes).collect();
        assert_eq!(joined, text.as_bytes());
    }

    #[test]
    fn a_long_binary_message_goes_in_pieces() {
        let message = Bytes::from(vec![7; 2 * FRAGMENT_BYTES + 1]);
        let pieces: Vec<(usize, OpCode, bool)> = binary_frames(message)
            .map(|frame| match frame.unwrap() {
                Message::Frame(frame) => {
                    (frame.payload().len(), frame.header().opcode, frame.header().is_final)
                }
                other => panic!("{other:?}"),
            })
            .collect();
        let (first, more) = (OpCode::Data(Data::Binary), OpCode::Data(Data::Continue));
        let wanted =
            [(FRAGMENT_BYTES, first, false), (FRAGMENT_BYTES, more, false), (1, more, true)];
        assert_eq!(pieces, wanted);
        let short: Vec<_> = binary_frames(Bytes::from_static(b"x")).collect();
        assert_eq!(short.len(), 1);
    }
}

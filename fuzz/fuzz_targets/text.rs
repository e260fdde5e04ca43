//! Output as text: however a stream is cut, its text is that of the whole, with U+FFFD for what is
//! no UTF-8; no text that is passed on ends within a character; at most three bytes are held back.

#![no_main]

use bytes::Bytes;
use cellgate_fuzz::pieces;
use cellgate_fuzz::protocol::{Close, CloseCode};
use cellgate_fuzz::session::TextDecoder;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let (lengths, bytes) = pieces::split(data);
    let whole = String::from_utf8_lossy(bytes);
    let mut decoder = TextDecoder::default();
    let (mut text, mut taken) = (String::new(), 0);
    for piece in pieces::cut(lengths, bytes) {
        text.push_str(&decoder.push(Bytes::copy_from_slice(piece)));
        taken += piece.len();
        assert!(whole.starts_with(&text), "what was passed on stays");
        assert!(
            !text.ends_with('\u{fffd}') || !decoder.holds_any() || !whole[..text.len()].is_empty()
        );
        // What is held back is the beginning of one character.
        let said = String::from_utf8_lossy(&bytes[..taken]);
        let held = said.len() - text.len();
        assert_eq!(held > 0, decoder.holds_any());
        assert!(held == 0 || said.ends_with('\u{fffd}') && held == '\u{fffd}'.len_utf8());
    }
    text.push_str(&decoder.finish());
    assert_eq!(text, whole);
    assert!(!decoder.holds_any());

    let close = Close::new(CloseCode::Internal, &*whole);
    assert!(close.reason().len() <= Close::REASON_BYTES);
    let cut = close.reason().strip_suffix('…').unwrap_or(close.reason());
    assert!(whole.starts_with(cut));
    assert!(whole.len() > Close::REASON_BYTES || close.reason() == whole);
});

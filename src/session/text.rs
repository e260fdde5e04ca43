//! Bytes to text: output is cut anywhere, events carry valid UTF-8. Pure.

use bytes::{Bytes, BytesMut};
use bytestring::ByteString;

/// One stream's decoder. What it answers, joined, is what [`String::from_utf8_lossy`] makes of
/// all the bytes, however they were cut.
#[derive(Debug, Default)]
pub struct TextDecoder {
    /// The beginning of a character whose end has not come: at most three bytes.
    held: BytesMut,
}

impl TextDecoder {
    /// Decodes the next chunk; holds back a character that is not whole.
    pub fn push(&mut self, chunk: Bytes) -> ByteString {
        let bytes = if self.held.is_empty() {
            chunk
        } else {
            self.held.extend_from_slice(&chunk);
            self.held.split().freeze()
        };
        // Copies a reference; checks once.
        ByteString::try_from(bytes.clone()).unwrap_or_else(|_| self.mend(&bytes))
    }

    /// What is held back, as U+FFFD: the stream is over.
    pub fn finish(&mut self) -> ByteString {
        let rest = self.held.split();
        ByteString::from(String::from_utf8_lossy(&rest).into_owned())
    }

    /// Forgets what is held back; answers how many bytes that were.
    pub fn forget(&mut self) -> usize {
        self.held.split().len()
    }

    /// Whether a part of a character is held back.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    fn mend(&mut self, bytes: &[u8]) -> ByteString {
        let mut text = String::with_capacity(bytes.len());
        let mut rest = bytes;
        loop {
            match std::str::from_utf8(rest) {
                Ok(valid) => {
                    text.push_str(valid);
                    break;
                }
                Err(error) => {
                    let (valid, bad) = rest.split_at(error.valid_up_to());
                    text.push_str(&String::from_utf8_lossy(valid));
                    let Some(length) = error.error_len() else {
                        self.held.extend_from_slice(bad);
                        break;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    rest = &bad[length..];
                }
            }
        }
        ByteString::from(text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_character_cut_in_two_comes_whole() {
        let mut decoder = TextDecoder::default();
        let euro = "a€b".as_bytes();
        assert_eq!(&*decoder.push(Bytes::copy_from_slice(&euro[..2])), "a");
        assert_eq!(&*decoder.push(Bytes::copy_from_slice(&euro[2..])), "€b");
        assert_eq!(&*decoder.push(Bytes::from_static(b"\xe2\x82")), "");
        assert_eq!(&*decoder.finish(), "\u{fffd}");
        assert_eq!(&*decoder.finish(), "");
    }

    proptest! {
        #[test]
        fn any_cutting_decodes_as_the_whole(
            pieces in prop::collection::vec(
                prop_oneof![
                    any::<Vec<u8>>(),
                    any::<String>().prop_map(String::into_bytes),
                ],
                0..12,
            ),
            cuts in prop::collection::vec(1usize..7, 1..8),
        ) {
            let all = pieces.concat();
            let mut decoder = TextDecoder::default();
            let mut text = String::new();
            let mut rest = &all[..];
            for cut in cuts.iter().cycle() {
                if rest.is_empty() {
                    break;
                }
                let (chunk, tail) = rest.split_at((*cut).min(rest.len()));
                text.push_str(&decoder.push(Bytes::copy_from_slice(chunk)));
                rest = tail;
            }
            text.push_str(&decoder.finish());
            prop_assert_eq!(text, String::from_utf8_lossy(&all));
        }
    }
}

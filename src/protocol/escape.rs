//! JSON strings of long texts. Output is nearly all that a gateway encodes, and most of it has
//! nothing to escape, so clean stretches are found many bytes at a time and copied whole.

/// Bytes judged at once: enough for a compiler to use its widest registers.
const BLOCK: usize = 32;

/// Appends `text` as a JSON string, quotes included; byte for byte what serde_json writes.
pub(super) fn push_json_string(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_to_escape(rest.as_bytes()) {
        // What is escaped is ASCII, so both sides of it are whole characters.
        let (clean, dirty) = rest.split_at(at);
        out.push_str(clean);
        let (first, tail) = dirty.split_at(1);
        push_escape(out, first.as_bytes()[0]);
        rest = tail;
    }
    out.push_str(rest);
    out.push('"');
}

fn must_escape(byte: u8) -> bool {
    (byte < 0x20) | (byte == b'"') | (byte == b'\\')
}

fn first_to_escape(bytes: &[u8]) -> Option<usize> {
    let (blocks, _) = bytes.as_chunks::<BLOCK>();
    // Without a branch for each byte, so that all of a block are judged at once.
    let is_dirty = |block: &[u8; BLOCK]| block.iter().fold(false, |any, b| any | must_escape(*b));
    let clean = blocks.iter().take_while(|block| !is_dirty(block)).count() * BLOCK;
    let (words, tail) = bytes[clean..].as_chunks::<8>();
    for (at, word) in words.iter().enumerate() {
        let dirty = to_escape(u64::from_le_bytes(*word));
        if dirty != 0 {
            return Some(clean + at * 8 + dirty.trailing_zeros() as usize / 8);
        }
    }
    let tail_at = bytes.len() - tail.len();
    tail.iter().position(|byte| must_escape(*byte)).map(|at| tail_at + at)
}

/// Has the top bit set of the lowest byte that must be escaped, and none if there is no such
/// byte. Bits above the lowest mean nothing: subtraction borrows from the bytes above.
fn to_escape(word: u64) -> u64 {
    const ONES: u64 = u64::from_ne_bytes([1; 8]);
    const TOPS: u64 = ONES << 7;
    // x - n has a byte's top bit set that x had not: that byte is below n.
    let below = |x: u64, n: u8| x.wrapping_sub(ONES * u64::from(n)) & !x & TOPS;
    let equal = |n: u8| below(word ^ (ONES * u64::from(n)), 1);
    below(word, 0x20) | equal(b'"') | equal(b'\\')
}

fn push_escape(out: &mut String, byte: u8) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let short = match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        0x08 => "\\b",
        0x0c => "\\f",
        _ => {
            out.push_str("\\u00");
            out.push(char::from(HEX[usize::from(byte >> 4)]));
            out.push(char::from(HEX[usize::from(byte & 15)]));
            return;
        }
    };
    out.push_str(short);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn json(text: &str) -> String {
        let mut out = String::new();
        push_json_string(&mut out, text);
        out
    }

    #[test]
    fn every_character_below_256_is_written_as_serde_json_writes_it() {
        for code in 0..=255u8 {
            // Before, in and behind the blocks that are judged at once.
            for length in [0, 1, BLOCK - 1, BLOCK, 3 * BLOCK + 7] {
                let text = format!("{}{}é€", "x".repeat(length), char::from(code));
                assert_eq!(json(&text), serde_json::to_string(&text).unwrap());
            }
        }
    }

    proptest! {
        #[test]
        fn any_text_is_written_as_serde_json_writes_it(
            pieces in prop::collection::vec(
                prop_oneof![any::<String>(), "[a-z\"\\\\\n\t]{0,80}", "\\PC{0,80}"],
                0..8,
            ),
        ) {
            let text = pieces.concat();
            prop_assert_eq!(json(&text), serde_json::to_string(&text).unwrap());
        }
    }
}

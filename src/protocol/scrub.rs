//! JSON that a sandbox wrote, made fit to be passed on as it is.
//!
//! A result may be megabytes of JSON that the gateway need not understand. It is passed on as text,
//! so whatever its reader could stumble over has to be found in the text:
//!
//! - **Line breaks** between tokens would end a line of NDJSON or a server-sent event early, and
//!   what follows would read as an event of ours. They become spaces.
//! - **Halves of surrogate pairs**, escaped, are no characters; strict readers refuse the whole
//!   message. They become U+FFFD, as broken bytes of output do.
//! - **Nesting** exhausts the stack of readers that recurse. Beyond [`DEEPEST`] it is refused.
//! - **Numbers** beyond what a double holds are an error to strict readers, and are refused too.

use std::borrow::Cow;

/// Deepest nesting that is passed on: far above what plots and tables need, and with the levels of
/// the event around it below the 128 at which serde_json, the strictest reader we know, gives up.
pub const DEEPEST: usize = 100;

/// Longest number that needs no look: without an exponent it takes more digits to leave a double.
const SHORT_NUMBER: usize = 300;

/// Why text cannot be passed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unfit {
    /// Beyond [`DEEPEST`].
    #[error("it is nested deeper than {DEEPEST} levels")]
    TooDeep,
    /// Beyond the range of a double.
    #[error("it has a number beyond the range of a double")]
    TooLarge,
}

/// Mends JSON text. What is not JSON comes back as something that is not JSON either.
pub fn scrub(json: &[u8]) -> Result<Cow<'_, [u8]>, Unfit> {
    let mut mended: Option<Vec<u8>> = None;
    let (mut depth, mut in_string, mut at) = (0usize, false, 0);
    while let Some(&byte) = json.get(at) {
        match (in_string, byte) {
            (_, b'"') => in_string = !in_string,
            (true, b'\\') => {
                let (length, whole) = escape(&json[at..]);
                if !whole {
                    let mended = mended.get_or_insert_with(|| json.to_vec());
                    // As long as what it takes the place of: nothing behind it moves.
                    mended[at..at + length].copy_from_slice(b"\\ufffd");
                }
                at += length;
                continue;
            }
            (false, b'[' | b'{') => {
                depth += 1;
                if depth > DEEPEST {
                    return Err(Unfit::TooDeep);
                }
            }
            (false, b']' | b'}') => depth = depth.saturating_sub(1),
            (false, b'\n' | b'\r') => {
                mended.get_or_insert_with(|| json.to_vec())[at] = b' ';
            }
            (false, b'0'..=b'9') => {
                let length = number(&json[at..])?;
                at += length;
                continue;
            }
            _ => {}
        }
        at += 1;
    }
    Ok(mended.map_or(Cow::Borrowed(json), Cow::Owned))
}

/// Length of the escape at the beginning of `text`, a pair of surrogates counting as one, and
/// whether it stands for a character.
fn escape(text: &[u8]) -> (usize, bool) {
    match (unit(text), unit(text.get(6..).unwrap_or_default())) {
        (Some(0xd800..0xdc00), Some(0xdc00..0xe000)) => (12, true),
        (Some(0xd800..0xe000), _) => (6, false),
        (Some(_), _) => (6, true),
        (None, _) => (text.len().min(2), true),
    }
}

/// Length of the number at the beginning of `text`, which a double has to hold.
fn number(text: &[u8]) -> Result<usize, Unfit> {
    let in_number = |byte: &u8| matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-');
    let length = text.iter().position(|byte| !in_number(byte)).unwrap_or(text.len());
    let number = &text[..length];
    if length > SHORT_NUMBER || number.iter().any(|byte| matches!(byte, b'e' | b'E')) {
        let value = std::str::from_utf8(number).ok().and_then(|text| text.parse::<f64>().ok());
        // What does not parse is not JSON, which its reader will say.
        if value.is_some_and(f64::is_infinite) {
            return Err(Unfit::TooLarge);
        }
    }
    Ok(length)
}

/// The UTF-16 unit of a `\uXXXX` at the beginning of `text`.
fn unit(text: &[u8]) -> Option<u16> {
    let digits = text.strip_prefix(b"\\u")?.first_chunk::<4>()?;
    if !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    u16::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::Value;
    use serde_json::value::RawValue;

    fn scrubbed(json: &str) -> String {
        String::from_utf8(scrub(json.as_bytes()).unwrap().into_owned()).unwrap()
    }

    #[test]
    fn clean_text_is_not_copied() {
        let clean = r#"{"a": ["\n", "\\", "\"", "é", "\ud83e\udd80", "\u00e9"]}"#;
        assert!(matches!(scrub(clean.as_bytes()), Ok(Cow::Borrowed(_))));
    }

    #[test]
    fn line_breaks_between_tokens_become_spaces_and_escaped_ones_stay() {
        let forged = "{\"a\":\n{\"type\":\"done\"}\r\n,\"b\":\"x\\ny\"}";
        assert_eq!(scrubbed(forged), "{\"a\": {\"type\":\"done\"}  ,\"b\":\"x\\ny\"}");
    }

    #[test]
    fn halves_of_pairs_become_replacement_characters() {
        for (text, expected) in [
            (r#""\ud83e\udd80""#, r#""\ud83e\udd80""#),
            (r#""\uD800""#, r#""\ufffd""#),
            (r#""\udc00\ud800""#, r#""\ufffd\ufffd""#),
            (r#""\ud800\ud83e\udd80""#, r#""\ufffd\ud83e\udd80""#),
            (r#""\ud800\\udc00""#, r#""\ufffd\\udc00""#),
            (r#""\\ud800""#, r#""\\ud800""#),
            (r#""\ud800\u+c00""#, r#""\ufffd\u+c00""#),
            (r#""\ud800"#, r#""\ufffd"#),
            (r#""\ud8"#, r#""\ud8"#),
            ("\"\\", "\"\\"),
        ] {
            assert_eq!(scrubbed(text), expected, "{text}");
        }
    }

    #[test]
    fn nesting_is_counted_outside_of_strings() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(scrub(nested(DEEPEST).as_bytes()).is_ok());
        assert_eq!(scrub(nested(DEEPEST + 1).as_bytes()), Err(Unfit::TooDeep));
        assert_eq!(scrub("[".repeat(1 << 20).as_bytes()), Err(Unfit::TooDeep));
        let text = serde_json::to_string(&nested(999)).unwrap();
        assert!(scrub(text.as_bytes()).is_ok());
    }

    #[test]
    fn numbers_stay_within_a_double() {
        let long = format!("[{}]", "9".repeat(400));
        for json in ["[1e999]", "{\"a\":-1E+400}", "[0.1e400]", &long] {
            assert_eq!(scrub(json.as_bytes()), Err(Unfit::TooLarge), "{json}");
        }
        let tiny = format!("[0.{}1]", "0".repeat(400));
        for json in ["[1e308, -1e-999, 0e999]", "[\"1e999\"]", "[1e]", &tiny] {
            assert_eq!(scrubbed(json), *json);
        }
    }

    proptest! {
        #[test]
        fn what_is_raw_json_before_is_readable_json_after(
            pieces in prop::collection::vec(
                prop_oneof![
                    "\\\\u[dD][89a-fA-F][0-9a-f]{2}",
                    "\\\\u[0-9a-f]{4}",
                    Just("\\\\".to_owned()),
                    Just("\\\"".to_owned()),
                    "[ a-z€]{1,3}",
                ],
                0..12,
            ),
            space in "[ \n\r\t]{0,3}",
            number in "-?[1-9][0-9]{0,3}(\\.[0-9]{1,3})?([eE][+-]?[0-9]{1,2})?",
        ) {
            let text = pieces.concat();
            let json = format!("{space}[{space}\"{text}\"{space},{space}{number}]{space}");
            prop_assert!(serde_json::from_str::<&RawValue>(&json).is_ok());
            let scrubbed = scrubbed(&json);
            prop_assert!(serde_json::from_str::<Value>(&scrubbed).is_ok(), "{}", scrubbed);
            prop_assert!(!scrubbed.contains(['\n', '\r']));
            // What could be read before says the same.
            if let Ok(before) = serde_json::from_str::<Value>(&json) {
                prop_assert_eq!(before, serde_json::from_str::<Value>(&scrubbed).unwrap());
            }
        }
    }
}

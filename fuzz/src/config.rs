//! Opens the codecs of settings.

use std::fmt::Debug;
use std::path::Path;
use std::time::Duration;

use toml::Value;

mod codec;

use codec::{Address, Codec, Count, Cpus, List, Location, Maybe, Raw, Size, Switch, Text, Time};

/// Reads `text` with every codec, as text and as a number, and checks that what is read is written
/// so that it reads as the same.
pub fn check(text: &str) {
    let any = |text: &str| Ok(text.to_owned());
    for raw in [Raw::Text(text.into()), Raw::Number(text.into()), list(text)] {
        survives(&Size { min: 0_u64, max: u64::MAX }, &raw);
        survives(&Size { min: 1_u32 << 10, max: 1 << 30 }, &raw);
        survives(&Count { min: 0_u64, max: u64::MAX >> 1 }, &raw);
        survives(&Maybe { word: "none", some: Count { min: 1, max: 100_000_u32 } }, &raw);
        survives(&Time { min: Duration::ZERO, max: Duration::from_millis(u64::MAX) }, &raw);
        survives(&Cpus { min: 0, max: u32::MAX }, &raw);
        survives(&Address, &raw);
        survives(&Switch, &raw);
        survives(&Location { metavar: "" }, &raw);
        survives(&Text { metavar: "", check: any }, &raw);
        survives(&List { metavar: "", check: any }, &raw);
    }
    if let Ok(token) = codec::token(text) {
        assert_eq!(token.reveal(), text);
        assert!(text.bytes().all(|byte| (0x21..0x7f).contains(&byte)));
    }
}

fn list(text: &str) -> Raw {
    Raw::List(text.split('\n').map(str::to_owned).collect())
}

fn survives<C: Codec<Value: Debug + PartialEq>>(codec: &C, raw: &Raw) {
    let base = Path::new("/base");
    match codec.read(raw, base) {
        Ok(value) => {
            let shown = codec.show(&value);
            let again = codec.read(&raw_of(&shown), base);
            assert_eq!(again.as_ref(), Ok(&value), "{shown:?}");
        }
        Err(sentence) => assert!(!sentence.is_empty()),
    }
}

/// As a file's values are read.
fn raw_of(value: &Value) -> Raw {
    match value {
        Value::String(text) => Raw::Text(text.clone()),
        Value::Integer(number) => Raw::Number(number.to_string()),
        Value::Float(number) => Raw::Number(number.to_string()),
        Value::Boolean(value) => Raw::Boolean(*value),
        Value::Array(items) => {
            Raw::List(items.iter().filter_map(|item| item.as_str().map(str::to_owned)).collect())
        }
        other => panic!("no codec here writes {other:?}"),
    }
}

//! Events of output, whose JSON we write ourselves: a reader gets back the text and the id.

#![no_main]

use cellgate_fuzz::protocol::Event;
use cellgate_fuzz::protocol::event::{Output, Sequenced};
use libfuzzer_sys::fuzz_target;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Told {
    r#type: String,
    id: String,
    text: String,
    #[serde(default)]
    late: bool,
    seq: u64,
    ts: u64,
}

fuzz_target!(|input: (&str, &str, u64, bool)| {
    let (id, text, seq, late) = input;
    let output = Output { id: id.into(), text: text.into(), late };
    let event = if seq % 2 == 0 { Event::Stdout(output) } else { Event::Stderr(output) };
    let encoded = Sequenced::encode(&event, seq, !seq).expect("output has nothing to fail on");
    assert!(!encoded.json.contains(['\n', '\r']), "an event is a line");
    let told: Told = serde_json::from_str(&encoded.json).expect("JSON");
    let kind = if seq % 2 == 0 { "stdout" } else { "stderr" };
    assert_eq!((&*told.r#type, &*told.id, &*told.text), (kind, id, text));
    assert_eq!((told.late, told.seq, told.ts), (late, seq, !seq));
    // Not one byte more than what serde_json writes for the text.
    let quoted = serde_json::to_string(text).expect("text");
    assert!(encoded.json.contains(&quoted));
});

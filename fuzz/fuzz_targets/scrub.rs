//! JSON that a sandbox wrote: what is passed on is readable by the strictest reader, on one line,
//! and says what it said before.

#![no_main]

use std::borrow::Cow;

use cellgate_fuzz::protocol::scrub::scrub;
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use serde_json::value::RawValue;

fuzz_target!(|json: &[u8]| {
    let Ok(mended) = scrub(json) else { return };
    assert_eq!(mended.len(), json.len(), "nothing moves");
    assert_eq!(matches!(mended, Cow::Borrowed(_)), *mended == *json, "a copy only for a change");
    let again = scrub(&mended).expect("what is fit stays fit");
    assert_eq!(again, mended);
    let is_raw = serde_json::from_slice::<&RawValue>(json).is_ok();
    let raw = serde_json::from_slice::<&RawValue>(&mended);
    assert_eq!(is_raw, raw.is_ok(), "JSON stays JSON, and nothing else becomes it");
    if let Ok(raw) = raw {
        assert!(!raw.get().contains(['\n', '\r']));
        let after: Value = serde_json::from_str(raw.get()).expect("readable by all");
        if let Ok(before) = serde_json::from_slice::<Value>(json) {
            assert_eq!(before, after);
        }
    }
});

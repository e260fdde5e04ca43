//! Messages of clients: each is read or refused with the code the protocol has for it, and what is
//! read is within the bounds the session relies on.

#![no_main]

use cellgate_fuzz::memory;
use cellgate_fuzz::protocol::client::MAX_ID_BYTES;
use cellgate_fuzz::protocol::{ClientMessage, ErrorCode, Execute, Refusal};
use libfuzzer_sys::fuzz_target;
use serde::de::IgnoredAny;

fuzz_target!(|text: &str| {
    let (parsed, peak) = memory::peak(|| ClientMessage::parse(text));
    // A map's or a value's node for each `[` or `0,` is the dearest.
    assert!(peak <= 16384 + 256 * text.len(), "{peak} bytes for {}", text.len());
    let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
    match parsed {
        Ok(message) => {
            assert!(is_json);
            checked(&message);
        }
        Err(refusal) => {
            assert_eq!(refusal.code == ErrorCode::BadJson, !is_json, "{refusal:?}");
            assert!(!refusal.message.is_empty());
            assert!(refusal.message.len() <= Refusal::MESSAGE_BYTES);
            assert!(refusal.id.is_none_or(|id| id.len() <= MAX_ID_BYTES));
        }
    }
});

fn checked(message: &ClientMessage) {
    let id = match message {
        ClientMessage::Execute(execute) => {
            assert_ne!(execute.timeout_ms, Some(0));
            for (name, value) in &execute.env {
                assert!(!name.is_empty() && !name.contains(['=', '\0']) && !value.contains('\0'));
            }
            assert_eq!(ClientMessage::parse(&written(execute)).as_ref(), Ok(message));
            execute.id.as_deref()
        }
        ClientMessage::Interrupt { id, .. } => id.as_deref(),
        ClientMessage::Input { id, .. } | ClientMessage::Program { id, .. } => Some(&**id),
        ClientMessage::Open(open) => Some(&*open.id),
        ClientMessage::Query(query) => Some(&*query.id),
        ClientMessage::Ping { fields } => {
            assert!(!fields.contains_key("type"));
            None
        }
        ClientMessage::Restart { .. } | ClientMessage::Ack { .. } | ClientMessage::End => None,
    };
    assert!(id.is_none_or(|id| !id.is_empty() && id.len() <= MAX_ID_BYTES));
}

/// The cell as a client would send it.
fn written(cell: &Execute) -> String {
    if let Some(comm) = &cell.comm {
        // Its data is written as it was read, so that it is the same text again.
        let mut text = serde_json::to_string(comm).unwrap_or_default();
        text.pop();
        let id = serde_json::to_string(&cell.id).unwrap_or_default();
        return format!("{text},\"id\":{id}}}");
    }
    serde_json::json!({
        "type": "execute",
        "code": cell.code,
        "id": cell.id,
        "cell": cell.cell,
        "interpreter": cell.interpreter,
        "timeout_ms": cell.timeout_ms,
        "stop_on_error": cell.stop_on_error,
        "silent": cell.silent,
        "store_history": cell.store_history,
        "user_expressions": cell.user_expressions,
        "env": cell.env,
        "allow_input": cell.allow_input,
    })
    .to_string()
}

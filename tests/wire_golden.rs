//! Checks the Rust side of the link's wire against the golden file that the runner is checked
//! against too (`tests/runner/test_wire.py`), so that two languages cannot drift apart.

#![allow(clippy::unwrap_used)] // a test that cannot go on panics

use std::collections::BTreeSet;

use cellgate_driver::wire::files::{FileAnswer, FileCommand};
use cellgate_driver::wire::{
    Done, Exited, HEADER_BYTES, Header, Setup, Usage, append_message_of, flag, kind,
};

#[derive(serde::Deserialize)]
struct Case {
    name: String,
    kind: u8,
    flags: u8,
    /// Program 0 is left out.
    #[serde(default)]
    program: u16,
    cell: u32,
    payload_hex: String,
    frame_hex: String,
}

fn golden() -> Vec<Case> {
    serde_json::from_str(include_str!("golden/wire.json")).unwrap()
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits = hex.as_bytes().chunks(2);
    digits.map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn frames_are_written_and_read_as_the_golden_file_says() {
    for case in golden() {
        let (payload, frame) = (bytes(&case.payload_hex), bytes(&case.frame_hex));
        let header = Header::new(case.kind, case.flags, case.cell, &payload).of(case.program);
        let mut written = header.encode().to_vec();
        written.extend_from_slice(&payload);
        assert_eq!(written, frame, "{}", case.name);
        let head = frame.first_chunk::<HEADER_BYTES>().unwrap();
        assert_eq!(Header::decode(head), Ok(header), "{}", case.name);
        let mut message = Vec::new();
        append_message_of(&mut message, case.program, case.kind, case.flags, case.cell, &payload);
        assert_eq!(message, frame, "{}", case.name);
    }
}

#[test]
fn payloads_with_a_layout_are_read_and_written_back_the_same() {
    let mut checked = BTreeSet::new();
    for case in golden() {
        let payload = bytes(&case.payload_hex);
        let again = match case.kind {
            kind::SETUP | kind::OPEN => Setup::decode(&payload).unwrap().encode(),
            kind::EXITED => Exited::decode(&payload).unwrap().encode(),
            kind::USAGE => Usage::decode(&payload).unwrap().encode(),
            kind::DONE if payload.len() > 1 => Done::decode(&payload).unwrap().encode(),
            kind::DONE => {
                // From the runner: the outcome alone, which opens the supervisor's longer form.
                let mut whole = payload.clone();
                whole.resize(40, 0);
                Done::decode(&whole).unwrap().encode()[..1].to_vec()
            }
            kind::FILE => FileCommand::decode(&payload).unwrap().encode(),
            kind::FILE_ANSWER => FileAnswer::decode(&payload).unwrap().encode(),
            kind::EXECUTE | kind::INPUT | kind::REQUEST | kind::READY | kind::REPLY
                if case.flags & (flag::MORE | flag::BUSY) == 0 && case.cell != u32::MAX =>
            {
                serde_json::from_slice::<serde_json::Value>(&payload).unwrap();
                continue;
            }
            _ => continue,
        };
        assert_eq!(again, payload, "{}", case.name);
        checked.insert(case.kind);
    }
    let layouts = BTreeSet::from([
        kind::SETUP,
        kind::OPEN,
        kind::EXITED,
        kind::USAGE,
        kind::DONE,
        kind::FILE,
        kind::FILE_ANSWER,
    ]);
    assert_eq!(checked, layouts);
}

#[test]
fn every_kind_and_every_flag_is_in_the_golden_file() {
    let kinds: BTreeSet<u8> = golden().iter().map(|case| case.kind).collect();
    let known = BTreeSet::from([
        kind::SETUP,
        kind::EXECUTE,
        kind::INTERRUPT,
        kind::INPUT,
        kind::RESTART,
        kind::REQUEST,
        kind::PING,
        kind::FILE,
        kind::OPEN,
        kind::CLOSE,
        kind::PIPES,
        kind::ACK,
        kind::HELLO,
        kind::READY,
        kind::OUTPUT,
        kind::MESSAGE,
        kind::DONE,
        kind::EXITED,
        kind::USAGE,
        kind::REPLY,
        kind::PONG,
        kind::LOG,
        kind::FILE_ANSWER,
        kind::SYNC,
    ]);
    assert_eq!(kinds, known);
    assert_eq!(golden().iter().fold(0, |all, case| all | case.flags), flag::ALL);
}

//! Payloads of a fixed shape, in both directions: what is read is written as the same again, and
//! no length in it makes its reader reserve more than what is there.

#![no_main]

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use cellgate_driver::spec::{Report, Spec};
use cellgate_driver::wire::file_events::FileEvent;
use cellgate_driver::wire::files::{
    Entry, FileAnswer, FileCommand, NAME_BYTES, PATH_BYTES, check_path,
};
use cellgate_driver::wire::{Done, Exited, MAX_PAYLOAD, Setup, Usage};
use cellgate_fuzz::memory;
use libfuzzer_sys::fuzz_target;

/// What a list of empty fields may cost: a vector of strings that doubles as it grows.
const COST: usize = 32;

/// What a writer reserves beforehand.
const FIXED: usize = 16 << 10; // 16 KiB

fuzz_target!(|data: &[u8]| {
    let Some((&which, payload)) = data.split_first() else { return };
    let payload = &payload[..payload.len().min(MAX_PAYLOAD)];
    let ((), peak) = memory::peak(|| match which % 9 {
        0 => {
            if let Ok(setup) = Setup::decode(payload) {
                assert_eq!(Setup::decode(&setup.encode()), Ok(setup));
            }
        }
        1 => {
            if let Ok(done) = Done::decode(payload) {
                assert_eq!(Done::decode(&done.encode()), Ok(done));
            }
        }
        2 => {
            if let Ok(exited) = Exited::decode(payload) {
                let encoded = exited.encode();
                assert!(encoded.len() <= MAX_PAYLOAD);
                let again = Exited::decode(&encoded).expect("what was written");
                assert!(exited.detail.starts_with(&again.detail));
                assert_eq!(
                    Exited { detail: String::new(), ..again },
                    Exited { detail: String::new(), ..exited }
                );
            }
        }
        3 => {
            if let Ok(usage) = Usage::decode(payload) {
                assert_eq!(usage.encode(), payload);
            }
        }
        4 => {
            if let Ok(command) = FileCommand::decode(payload) {
                assert_eq!(command.encode(), payload);
            }
        }
        5 => {
            if let Ok(answer) = FileAnswer::decode(payload) {
                assert_eq!(answer.encode(), payload);
            }
        }
        6 => {
            entries(payload);
            file_events(payload);
        }
        7 => assert_eq!(check_path(payload).is_ok(), is_path(payload)),
        _ => {
            if let Ok(spec) = Spec::decode(payload) {
                assert_eq!(Spec::decode(&spec.encode()), Ok(spec));
            }
            if let Ok(line) = std::str::from_utf8(payload)
                && let Some(report) = Report::parse(line)
            {
                let line = report.line();
                assert_eq!(line.strip_suffix('\n').and_then(Report::parse), Some(report));
            }
        }
    });
    assert!(peak <= FIXED + COST * payload.len(), "{peak} bytes for {}", payload.len());
});

fn file_events(chunk: &[u8]) {
    let mut rest = chunk;
    let mut again = Vec::new();
    while let Ok(Some(event)) = FileEvent::take(&mut rest) {
        event.append(&mut again);
    }
    assert_eq!(again, chunk[..chunk.len() - rest.len()]);
}

fn entries(chunk: &[u8]) {
    let mut rest = chunk;
    let mut again = Vec::new();
    while let Ok(Some(entry)) = Entry::take(&mut rest) {
        entry.append(&mut again);
    }
    assert_eq!(again, chunk[..chunk.len() - rest.len()]);
}

/// The same as `check_path` says, by what the standard library thinks of paths.
fn is_path(path: &[u8]) -> bool {
    let names: Option<Vec<&[u8]>> = Path::new(OsStr::from_bytes(path))
        .components()
        .map(|part| match part {
            Component::Normal(name) => Some(name.as_bytes()),
            _ => None,
        })
        .collect();
    let Some(names) = names.filter(|names| !names.is_empty()) else { return false };
    names.join(&b'/') == path
        && path.len() <= PATH_BYTES
        && !path.contains(&0)
        && names.iter().all(|name| name.len() <= NAME_BYTES)
}

//! What a hostile driver sends to the gateway: however it is cut, it says the same, and it makes
//! the gateway hold no more than it sent.

#![no_main]

use cellgate_fuzz::{link, memory, pieces};
use libfuzzer_sys::fuzz_target;

/// Rooms for reads and what a decoder keeps of them.
const FIXED: usize = 1 << 20; // 1 MiB

fuzz_target!(|data: &[u8]| {
    let (lengths, bytes) = pieces::split(data);
    let read = |lengths: &[u8]| {
        let mut events = Vec::new();
        let end = link::read(pieces::cut(lengths, bytes), |event| events.push(event));
        (events, end.map_err(|error| format!("{error:?}")))
    };
    assert_eq!(read(lengths), read(&[]));
    assert_eq!(read(&[0]), read(&[]));

    let (_, peak) = memory::peak(|| link::read(pieces::cut(lengths, bytes), drop));
    assert!(peak <= FIXED + 4 * bytes.len(), "{peak} bytes for {}", bytes.len());
});

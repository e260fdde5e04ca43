//! What an honest end writes, the other one reads: messages of any length and in any order come
//! out as they went in, however the stream is cut.

#![no_main]

use bytes::Bytes;
use cellgate_driver::wire::{self, MAX_PAYLOAD, flag, kind};
use cellgate_fuzz::link::{self, DriverEvent};
use cellgate_fuzz::pieces;
use cellgate_fuzz::protocol::event::Stream;
use libfuzzer_sys::fuzz_target;

/// Most bytes of one message: three frames and a bit.
const LONGEST: usize = 3 * MAX_PAYLOAD + 7;

fuzz_target!(|data: &[u8]| {
    let (lengths, script) = pieces::split(data);
    let (mut stream, mut expected) = (Vec::new(), Vec::new());
    for step in script.chunks_exact(6).take(8) {
        let &[what, flags, cell, low, high, fill] = step else { continue };
        // Quadratic, so that short ones are as many as long ones.
        let length = usize::from(u16::from_le_bytes([low, high]));
        let length = length * length % (LONGEST + 1);
        let payload = vec![fill; length];
        let (cell, late) = (u32::from(cell), flags & flag::LATE != 0);
        let late_flag = if late { flag::LATE } else { 0 };
        match what % 5 {
            0 => {
                let payload = &payload[..length.min(MAX_PAYLOAD)];
                let side = flags & flag::STDERR;
                wire::append_message(&mut stream, kind::OUTPUT, side | late_flag, cell, payload);
                let stream = if side == 0 { Stream::Stdout } else { Stream::Stderr };
                let bytes = Bytes::copy_from_slice(payload);
                expected.push(DriverEvent::Output { cell, stream, bytes });
            }
            1 => {
                let sync = flags & flag::SYNC;
                wire::append_message(&mut stream, kind::MESSAGE, sync | late_flag, cell, &payload);
                expected.push(DriverEvent::Message { cell, json: payload.into() });
            }
            2 => {
                // The longest READY that is read is as long as a frame's payload.
                let payload = Bytes::copy_from_slice(&payload[..length.min(MAX_PAYLOAD)]);
                wire::append_message(&mut stream, kind::READY, 0, cell, &payload);
                expected.push(DriverEvent::Ready(payload));
            }
            3 => {
                wire::append_message(&mut stream, kind::REPLY, 0, cell, &payload);
                expected.push(DriverEvent::Reply { number: cell, json: Some(payload.into()) });
            }
            _ => {
                wire::append_message(&mut stream, kind::REPLY, flag::BUSY, cell, &[]);
                expected.push(DriverEvent::Reply { number: cell, json: None });
            }
        }
    }
    let mut heard = Vec::new();
    let end = link::read(pieces::cut(lengths, &stream), |event| heard.push(event));
    assert!(end.is_ok(), "{end:?}");
    assert!(heard == expected, "{} of {} events", heard.len(), expected.len());
});

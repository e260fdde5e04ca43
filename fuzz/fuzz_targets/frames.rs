//! The two ends that cut a stream into frames: the supervisor's and the gateway's see the same
//! frames and the same breaches, and the supervisor's never holds more than one frame.

#![no_main]

use cellgate_driver::wire::{FrameReader, HEADER_BYTES, Header, MAX_PAYLOAD, WireError};
use cellgate_fuzz::{link, memory, pieces};
use libfuzzer_sys::fuzz_target;

type Frames = Vec<(Header, Vec<u8>)>;

fn by_the_supervisor(lengths: &[u8], bytes: &[u8]) -> (Frames, Result<(), WireError>) {
    let mut reader = FrameReader::default();
    let mut frames = Vec::new();
    for mut piece in pieces::cut(lengths, bytes) {
        while !piece.is_empty() {
            let room = reader.room();
            let taken = room.len().min(piece.len());
            room[..taken].copy_from_slice(&piece[..taken]);
            reader.filled(taken);
            piece = &piece[taken..];
            loop {
                match reader.peek() {
                    Ok(Some(header)) => {
                        assert_eq!(reader.frame(&header)[..HEADER_BYTES], header.encode());
                        frames.push((header, reader.payload(&header).to_vec()));
                        reader.consume(&header);
                    }
                    Ok(None) => break,
                    Err(error) => return (frames, Err(error)),
                }
            }
            assert!(reader.has_room(), "a frame is never longer than the reader");
        }
    }
    (frames, Ok(()))
}

fuzz_target!(|data: &[u8]| {
    let (lengths, bytes) = pieces::split(data);
    let (frames, end) = by_the_supervisor(lengths, bytes);

    let mut theirs = Frames::new();
    let their_end = link::frames(pieces::cut(&[], bytes), |header, payload| {
        theirs.push((header, payload.to_vec()));
    });
    assert_eq!(frames, theirs);
    match (end, their_end) {
        (Ok(()), Ok(())) => {}
        (Err(ours), Err(link::LinkError::Wire(theirs))) => assert_eq!(ours, theirs),
        (ours, theirs) => panic!("{ours:?} is not {theirs:?}"),
    }

    let (_, peak) = memory::peak(|| {
        let mut reader = FrameReader::default();
        let room = reader.room();
        let taken = room.len().min(bytes.len());
        room[..taken].copy_from_slice(&bytes[..taken]);
        reader.filled(taken);
        reader.peek().is_ok()
    });
    assert_eq!(peak, HEADER_BYTES + MAX_PAYLOAD, "whatever length a header declares");
});

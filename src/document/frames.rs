//! The frames of the y-websocket protocol: what a client sends and what it is sent.
//!
//! ```text
//!   0 0 state vector    what I know; send me the rest        0 1 update   the rest
//!   0 2 update          a change                             1 states     awareness: the client's name and cursor
//!   2 0 reason          you may not write                    3            send me all awareness states
//! ```
//! Source: the JavaScript packages y-protocols 1 and y-websocket 3.

use super::lib0::{Broken, Reader, write_bytes, write_number};

const SYNC: u64 = 0;
const AWARENESS: u64 = 1;
const AUTH: u64 = 2;
const QUERY_AWARENESS: u64 = 3;

const STEP_1: u64 = 0;
const STEP_2: u64 = 1;
const UPDATE: u64 = 2;

/// A frame of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Frame<'a> {
    /// The state vector of the client, who wants what it lacks.
    Step1(&'a [u8]),
    /// An update with everything that the gateway lacked when it asked.
    Step2(&'a [u8]),
    /// An update with a change that has just been made.
    Update(&'a [u8]),
    /// Awareness states.
    Awareness(&'a [u8]),
    /// The client asks for the awareness states of all clients.
    QueryAwareness,
    /// What only a server has to say.
    Auth,
}

/// Reads a frame. As in the JavaScript packages, what follows a message in its frame is ignored.
pub(super) fn read(bytes: &[u8]) -> Result<Frame<'_>, Broken> {
    let mut reader = Reader::new(bytes);
    match reader.number()? {
        SYNC => match reader.number()? {
            STEP_1 => Ok(Frame::Step1(reader.bytes()?)),
            STEP_2 => Ok(Frame::Step2(reader.bytes()?)),
            UPDATE => Ok(Frame::Update(reader.bytes()?)),
            _ => Err(Broken("it is an unknown kind of sync message")),
        },
        AWARENESS => Ok(Frame::Awareness(reader.bytes()?)),
        AUTH => Ok(Frame::Auth),
        QUERY_AWARENESS => Ok(Frame::QueryAwareness),
        _ => Err(Broken("it is an unknown kind of message")),
    }
}

fn with(kinds: &[u64], bytes: &[u8]) -> Vec<u8> {
    let mut frame = Vec::with_capacity(bytes.len() + 8);
    for kind in kinds {
        write_number(&mut frame, *kind);
    }
    write_bytes(&mut frame, bytes);
    frame
}

/// Asks for what the gateway lacks.
pub(super) fn step_1(state_vector: &[u8]) -> Vec<u8> {
    with(&[SYNC, STEP_1], state_vector)
}

/// Everything that a client lacks.
pub(super) fn step_2(update: &[u8]) -> Vec<u8> {
    with(&[SYNC, STEP_2], update)
}

/// A change.
pub(super) fn update(update: &[u8]) -> Vec<u8> {
    with(&[SYNC, UPDATE], update)
}

/// Awareness states.
pub(super) fn awareness(states: &[u8]) -> Vec<u8> {
    with(&[AWARENESS], states)
}

/// The client may not write.
pub(super) fn denied(reason: &str) -> Vec<u8> {
    with(&[AUTH, 0], reason.as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_read_as_they_were_written() {
        for (frame, wanted) in [
            (step_1(&[0]), Frame::Step1(&[0])),
            (step_2(&[0, 0]), Frame::Step2(&[0, 0])),
            (update(&[1; 300]), Frame::Update(&[1; 300])),
            (awareness(&[0]), Frame::Awareness(&[0])),
            (denied("why"), Frame::Auth),
            (vec![3], Frame::QueryAwareness),
        ] {
            assert_eq!(read(&frame), Ok(wanted));
        }
        for broken in [&[][..], &[0], &[0, 3, 0], &[0, 2, 9, 1], &[7, 0], &[1]] {
            assert!(read(broken).is_err(), "{broken:?}");
        }
    }
}

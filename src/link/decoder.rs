//! Bytes of a link to events: frames are cut out, fragments joined, payloads read.

use bytes::{Buf, Bytes, BytesMut};
use cellgate_driver::wire::{
    Done, Exited, HEADER_BYTES, Header, MAX_PAYLOAD, MOST_PROGRAMS, Usage, WireError, flag, kind,
};

use super::{DriverEvent, LinkError, TransferAnswer};
use crate::protocol::event::Stream;

/// Longest message from a driver, fragments joined. 32 MiB: a large plot with room, and the most
/// one hostile sandbox can make the gateway hold.
pub const MAX_MESSAGE: usize = 32 << 20;

/// Room asked for when little comes: an idle session should not hold more.
const QUIET_BYTES: usize = 4 << 10; // 4 KiB

/// Room asked for while reads come back full: two frames, so that a flood takes few system calls.
const FLOOD_BYTES: usize = 2 * (MAX_PAYLOAD + HEADER_BYTES);

/// Longest introduction of an interpreter, which comes before its session has any bounds.
const MAX_READY: usize = 64 << 10; // 64 KiB

/// Whether memory may be held for a message that is not whole.
pub(super) trait Allowance: std::fmt::Debug + Send {
    /// From now on `bytes` are held, 0 when the message is whole or given up. False: there is no
    /// room for so many, and as much as before is held.
    fn hold(&mut self, bytes: usize) -> bool;
}

/// Most files that a cell may be said to have changed.
const MOST_FILES_CHANGED: usize = 100;

/// A message that is not whole.
#[derive(Debug)]
struct Partial {
    program: u16,
    kind: u8,
    cell: u32,
    /// `None`: there was no memory for it, and its rest is not kept either.
    bytes: Option<BytesMut>,
}

/// What became of a frame that is a message or a part of one.
enum Joined {
    /// More is to come.
    Part,
    /// All of it.
    Whole(Bytes),
    /// It is whole and was not kept.
    Refused,
}

/// What was read and is not yet an event. Whatever is in it is hostile.
#[derive(Debug, Default)]
pub(super) struct Decoder {
    incoming: BytesMut,
    /// The beginnings of messages: one at most of each program, and together at most [`MAX_MESSAGE`] long.
    partial: Vec<Partial>,
    /// Asked before `partial` grows; `None`: it may.
    allowance: Option<Box<dyn Allowance>>,
    /// The last read filled its room.
    flood: bool,
    /// PONG frames so far.
    pub(super) pongs: u64,
}

impl Decoder {
    /// Where to read to, and how much room there is.
    pub(super) fn room(&mut self) -> (&mut BytesMut, usize) {
        if self.incoming.capacity() - self.incoming.len() < HEADER_BYTES + 1 || self.flood {
            self.incoming.reserve(if self.flood { FLOOD_BYTES } else { QUIET_BYTES });
        }
        let room = self.incoming.capacity() - self.incoming.len();
        (&mut self.incoming, room)
    }

    /// Takes note of how much of the room a read filled.
    pub(super) fn filled(&mut self, count: usize, room: usize) {
        self.flood = count == room || count >= MAX_PAYLOAD / 2;
    }

    /// The next whole frame.
    pub(super) fn take_frame(&mut self) -> Result<Option<(Header, Bytes)>, LinkError> {
        let Some(head) = self.incoming.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(head)?;
        let whole = HEADER_BYTES + header.length as usize;
        if self.incoming.len() < whole {
            let missing = whole - self.incoming.len();
            if self.incoming.capacity() - self.incoming.len() < missing {
                self.incoming.reserve(missing);
            }
            return Ok(None);
        }
        self.incoming.advance(HEADER_BYTES);
        Ok(Some((header, self.incoming.split_to(header.length as usize).freeze())))
    }

    /// Lets `allowance` decide about the memory of messages that are not whole.
    pub(super) fn ask(&mut self, allowance: Box<dyn Allowance>) {
        self.allowance = Some(allowance);
    }

    /// Joins fragments.
    fn join(&mut self, header: Header, payload: Bytes) -> Result<Joined, LinkError> {
        let Header { kind, flags, program, cell, .. } = header;
        let begun = self.partial.iter().position(|partial| partial.program == program);
        let begun = begun.map(|at| self.partial.swap_remove(at));
        if begun.as_ref().is_some_and(|begun| (begun.kind, begun.cell) != (kind, cell)) {
            return Err(LinkError::Interleaved);
        }
        let whole = flags & flag::MORE == 0;
        let kept = match begun {
            None if whole => return Ok(Joined::Whole(payload)),
            None if self.partial.len() >= MOST_PROGRAMS => return Err(LinkError::Interleaved),
            None => Some(BytesMut::new()),
            Some(partial) => partial.bytes,
        };
        let others: usize = self.held();
        let kept = match kept {
            None => None,
            Some(mut bytes) => {
                let length = bytes.len() + payload.len();
                if length > if kind == kind::READY { MAX_READY } else { MAX_MESSAGE } {
                    return Err(LinkError::TooLong);
                }
                (others + length <= MAX_MESSAGE && self.hold(others + length)).then(|| {
                    bytes.extend_from_slice(&payload);
                    bytes
                })
            }
        };
        if whole || kept.is_none() {
            self.hold(others);
        }
        if whole {
            return Ok(kept.map_or(Joined::Refused, |bytes| Joined::Whole(bytes.freeze())));
        }
        self.partial.push(Partial { program, kind, cell, bytes: kept });
        Ok(Joined::Part)
    }

    /// Bytes of messages that are not whole.
    fn held(&self) -> usize {
        self.partial.iter().filter_map(|partial| partial.bytes.as_ref()).map(BytesMut::len).sum()
    }

    fn hold(&mut self, bytes: usize) -> bool {
        self.allowance.as_mut().is_none_or(|allowance| allowance.hold(bytes))
    }

    /// The next event that has been read to its end.
    pub(super) fn take_event(&mut self) -> Result<Option<DriverEvent>, LinkError> {
        while let Some((header, payload)) = self.take_frame()? {
            let program = header.program;
            let cell = header.cell;
            let event = match header.kind {
                kind::OUTPUT => {
                    let stderr = header.flags & flag::STDERR != 0;
                    let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
                    DriverEvent::Output { cell, stream, bytes: payload }
                }
                kind::MESSAGE => match self.join(header, payload)? {
                    Joined::Whole(json) => DriverEvent::Message { cell, json },
                    Joined::Refused => DriverEvent::Refused { cell },
                    Joined::Part => continue,
                },
                kind::READY => match self.join(header, payload)? {
                    Joined::Whole(json) => DriverEvent::Ready(json),
                    Joined::Refused | Joined::Part => continue,
                },
                kind::REPLY if header.flags & flag::BUSY != 0 => {
                    DriverEvent::Reply { number: cell, json: None }
                }
                kind::REPLY => match self.join(header, payload)? {
                    Joined::Whole(json) => DriverEvent::Reply { number: cell, json: Some(json) },
                    Joined::Refused => DriverEvent::Reply { number: cell, json: None },
                    Joined::Part => continue,
                },
                kind::DONE => DriverEvent::Done { cell, done: Done::decode(&payload)? },
                kind::EXITED => {
                    // What the dead runner had begun to say will never be whole.
                    self.partial.retain(|partial| partial.program != program);
                    let others = self.held();
                    self.hold(others);
                    DriverEvent::Exited { cell, exited: Exited::decode(&payload)? }
                }
                kind::STARTED => DriverEvent::Started { pid: word(&payload)? },
                kind::WROTE => DriverEvent::Wrote { bytes: word(&payload)? },
                kind::FILES_CHANGED => files_changed(cell, &payload)?,
                // These are of the sandbox, whatever program they name.
                kind::USAGE | kind::LOG | kind::FILE_ANSWER | kind::PONG if program != 0 => {
                    return Err(LinkError::Program(program));
                }
                kind::USAGE => DriverEvent::Usage(Usage::decode(&payload)?),
                kind::LOG => DriverEvent::Log(String::from_utf8_lossy(&payload).into_owned()),
                kind::FILE_ANSWER => {
                    DriverEvent::File { number: cell, answer: TransferAnswer::read(&payload)? }
                }
                kind::PONG => {
                    self.pongs += 1;
                    continue;
                }
                other => return Err(LinkError::Unexpected(other)),
            };
            return Ok(Some(match program {
                0 => event,
                program => DriverEvent::OfProgram { program, event: Box::new(event) },
            }));
        }
        Ok(None)
    }
}

/// A payload of one u32.
fn word(payload: &[u8]) -> Result<u32, WireError> {
    let word = payload.try_into().map_err(|_| WireError::Payload("a number of 4 bytes"))?;
    Ok(u32::from_le_bytes(word))
}

/// Reads the payload of FILES_CHANGED.
fn files_changed(cell: u32, payload: &[u8]) -> Result<DriverEvent, WireError> {
    let Some((&more, paths)) = payload.split_first() else {
        return Err(WireError::Payload("a list of files"));
    };
    let paths = paths.split(|&byte| byte == 0).filter(|path| !path.is_empty());
    let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let files: Vec<String> = paths.clone().take(MOST_FILES_CHANGED).map(text).collect();
    let more = more != 0 || paths.count() > files.len();
    Ok(DriverEvent::FilesChanged { cell, files, more })
}

//! The supervisor's end of the wire: bytes in any pieces, frames out.

use super::{HEADER_BYTES, Header, MAX_PAYLOAD, WireError};

/// Cuts a byte stream into frames. Holds one frame of the greatest length and no more: while it is
/// full it has no room, and its owner reads nothing.
#[derive(Default)]
pub struct FrameReader {
    /// Empty until the first byte arrives.
    buffer: Vec<u8>,
    start: usize,
    end: usize,
}

impl FrameReader {
    const CAPACITY: usize = HEADER_BYTES + MAX_PAYLOAD;

    /// Where the next bytes go; empty while the reader is full.
    pub fn room(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; FrameReader::CAPACITY];
        }
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were put into the room.
    pub fn filled(&mut self, count: usize) {
        self.end += count;
        debug_assert!(self.end <= self.buffer.len());
    }

    /// Whether [`FrameReader::room`] has room for a byte.
    pub fn has_room(&self) -> bool {
        self.end - self.start < FrameReader::CAPACITY
    }

    /// The next frame's header, once the whole frame is here.
    pub fn peek(&self) -> Result<Option<Header>, WireError> {
        let here = &self.buffer[self.start..self.end];
        let Some(head) = here.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(head)?;
        let whole = here.len() >= HEADER_BYTES + header.length as usize;
        Ok(whole.then_some(header))
    }

    /// Header and payload, as they came, of the frame [`FrameReader::peek`] answered.
    pub fn frame(&self, header: &Header) -> &[u8] {
        &self.buffer[self.start..self.start + HEADER_BYTES + header.length as usize]
    }

    /// The payload of the frame [`FrameReader::peek`] answered.
    pub fn payload(&self, header: &Header) -> &[u8] {
        &self.frame(header)[HEADER_BYTES..]
    }

    /// Goes on to the frame after the one [`FrameReader::peek`] answered.
    pub fn consume(&mut self, header: &Header) {
        self.start += HEADER_BYTES + header.length as usize;
    }
}

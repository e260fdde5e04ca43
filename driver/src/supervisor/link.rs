//! The link: the byte stream to the gateway.
//!
//! Frames to the gateway are put into one buffer and written at the end of each turn of the loop,
//! or when the buffer has no room for the next. If the kernel does not take all of it the link is
//! *blocked*: nothing is put but the few small answers that have a reserve of their own,
//! until the rest is gone. So this buffer is all the output the supervisor ever holds.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use cellgate_driver::wire::{FrameReader, HEADER_BYTES, Header, MAX_PAYLOAD};

use crate::sys;

/// Where the link comes from.
#[derive(Debug)]
pub(crate) enum LinkSource {
    /// A connected descriptor that was inherited.
    Descriptor(RawFd),
    /// A Unix socket to connect to.
    Socket(PathBuf),
    /// Standard input and output.
    Stdio,
}

/// What became of reading a pipe into a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Pull {
    /// An OUTPUT frame with this many bytes is in the buffer.
    Took {
        /// Bytes of output.
        bytes: usize,
        /// Whether the pipe holds nothing more.
        emptied: bool,
    },
    /// The pipe is empty and a process can still write to it.
    Empty,
    /// The pipe is empty and no process can write to it; or no process has the terminal open.
    Closed,
    /// The link takes nothing now.
    Blocked,
}

/// The byte stream to the gateway.
pub(crate) struct Link {
    input: OwnedFd,
    output: OwnedFd,
    /// Frames from the gateway.
    pub(crate) reader: FrameReader,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    blocked: bool,
}

impl Link {
    /// Kept for the supervisor's own small frames while the link is blocked.
    const RESERVE: usize = 8 << 10; // 8 KiB: a hundred PONGs
    const CAPACITY: usize = HEADER_BYTES + MAX_PAYLOAD + Link::RESERVE;
    /// Room for output below which the buffer is written first: shorter frames cost more turns.
    const LEAST_OUTPUT: usize = 16 << 10; // 16 KiB

    /// Opens the link. Its descriptors move to high numbers; what they leave behind is occupied.
    pub(crate) fn open(source: &LinkSource) -> io::Result<Link> {
        let high = |fd: BorrowedFd<'_>| sys::duplicate_high(fd);
        match source {
            LinkSource::Descriptor(number) => Link::on(&sys::adopt(*number)?),
            LinkSource::Socket(path) => Link::on(&UnixStream::connect(path)?.into()),
            LinkSource::Stdio => {
                let link = Link::new(high(io::stdin().as_fd())?, high(io::stdout().as_fd())?)?;
                let nothing = File::options().read(true).write(true).open("/dev/null")?;
                sys::replace(nothing.as_fd(), 0)?;
                sys::replace(nothing.as_fd(), 1)?;
                Ok(link)
            }
        }
    }

    /// A link on one connected stream socket.
    pub(crate) fn on(stream: &OwnedFd) -> io::Result<Link> {
        Link::new(sys::duplicate_high(stream.as_fd())?, sys::duplicate_high(stream.as_fd())?)
    }

    fn new(input: OwnedFd, output: OwnedFd) -> io::Result<Link> {
        sys::set_nonblocking(input.as_fd())?;
        sys::set_nonblocking(output.as_fd())?;
        Ok(Link {
            input,
            output,
            reader: FrameReader::default(),
            buffer: vec![0; Link::CAPACITY].into_boxed_slice(),
            start: 0,
            end: 0,
            blocked: false,
        })
    }

    /// Where frames from the gateway arrive.
    pub(crate) fn input(&self) -> BorrowedFd<'_> {
        self.input.as_fd()
    }

    /// Where frames to the gateway leave.
    pub(crate) fn output(&self) -> BorrowedFd<'_> {
        self.output.as_fd()
    }

    /// Whether the kernel takes nothing now: [`Link::flush`] when it does again.
    pub(crate) fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether an answer of `length` bytes finds room even now.
    pub(crate) fn has_reserve(&self, length: usize) -> bool {
        Link::CAPACITY - (self.end - self.start) >= HEADER_BYTES + length
    }

    /// Makes room for a frame with `length` bytes of payload, writing the buffer if need be.
    /// False: the link is blocked.
    pub(crate) fn make_room(&mut self, length: usize) -> io::Result<bool> {
        if !self.blocked && self.room() < length {
            self.flush()?;
        }
        Ok(!self.blocked && self.room() >= length)
    }

    /// Payload that fits into the buffer with the reserve kept.
    fn room(&self) -> usize {
        (Link::CAPACITY - Link::RESERVE - HEADER_BYTES).saturating_sub(self.end)
    }

    /// Puts a frame into the buffer. The caller has asked for room, or for reserve.
    pub(crate) fn put(&mut self, kind: u8, flags: u8, cell: u32, payload: &[u8]) {
        self.put_of(0, kind, flags, cell, payload);
    }

    /// The same for a frame of a program.
    pub(crate) fn put_of(&mut self, program: u16, kind: u8, flags: u8, cell: u32, payload: &[u8]) {
        if self.end + HEADER_BYTES + payload.len() > Link::CAPACITY {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        let header = Header::new(kind, flags, cell, payload).of(program).encode();
        let body = self.end + HEADER_BYTES;
        self.buffer[self.end..body].copy_from_slice(&header);
        self.end = body + payload.len();
        self.buffer[body..self.end].copy_from_slice(payload);
    }

    /// Puts a frame whose payload `fill` writes into `most` bytes of room; it answers how many it
    /// used. False: the link is blocked, and `fill` was not called.
    pub(crate) fn compose(
        &mut self,
        kind: u8,
        cell: u32,
        most: usize,
        fill: impl FnOnce(&mut [u8]) -> usize,
    ) -> io::Result<bool> {
        if !self.make_room(most)? {
            return Ok(false);
        }
        let body = self.end + HEADER_BYTES;
        let length = fill(&mut self.buffer[body..body + most]).min(most);
        let header = Header { length: length as u32, kind, flags: 0, program: 0, cell };
        self.buffer[self.end..body].copy_from_slice(&header.encode());
        self.end = body + length;
        Ok(true)
    }

    /// Reads at most `most` bytes of a pipe straight into a frame of kind `kind`.
    pub(crate) fn pull(
        &mut self,
        pipe: BorrowedFd<'_>,
        most: usize,
        header: Header,
    ) -> io::Result<Pull> {
        if !self.make_room(Link::LEAST_OUTPUT)? {
            return Ok(Pull::Blocked);
        }
        let body = self.end + HEADER_BYTES;
        let asked = self.room().min(most);
        match sys::read(pipe, &mut self.buffer[body..body + asked]) {
            Ok(0) => Ok(Pull::Closed),
            Ok(bytes) => {
                let header = Header { length: bytes as u32, ..header };
                self.buffer[self.end..body].copy_from_slice(&header.encode());
                self.end = body + bytes;
                Ok(Pull::Took { bytes, emptied: bytes < asked })
            }
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Pull::Empty),
            // The end of a terminal, pty(7).
            Err(error) if error.raw_os_error() == Some(libc::EIO) => Ok(Pull::Closed),
            Err(error) => Err(error),
        }
    }

    /// Writes the buffer, as far as the kernel takes it.
    pub(crate) fn flush(&mut self) -> io::Result<()> {
        while self.start < self.end {
            match sys::write(self.output.as_fd(), &self.buffer[self.start..self.end]) {
                Ok(taken) => self.start += taken,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.blocked = true;
                    return Ok(());
                }
                Err(error) => return Err(error),
            }
        }
        (self.start, self.end, self.blocked) = (0, 0, false);
        Ok(())
    }
}

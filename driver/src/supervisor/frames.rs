//! Frames on a descriptor: [`fill`] reads them, [`Channel`] is a socket to the runner.
//!
//! Both are bounded. A reader holds one frame of the greatest length and is not read on while it
//! is full; a channel's queue has a level, [`Channel::FULL`], above which its owner stops adding.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cellgate_driver::wire::FrameReader;

use crate::sys;

/// What a read brought.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fill {
    /// Bytes; perhaps not yet a whole frame.
    Bytes,
    /// Nothing for now.
    Nothing,
    /// The other end closed.
    Closed,
}

/// Reads once into a reader; nothing if it is full.
pub(crate) fn fill(reader: &mut FrameReader, fd: BorrowedFd<'_>) -> io::Result<Fill> {
    let room = reader.room();
    if room.is_empty() {
        return Ok(Fill::Nothing);
    }
    match sys::read(fd, room) {
        Ok(0) => Ok(Fill::Closed),
        Ok(count) => {
            reader.filled(count);
            Ok(Fill::Bytes)
        }
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(Fill::Nothing),
        Err(error) if error.kind() == io::ErrorKind::ConnectionReset => Ok(Fill::Closed),
        Err(error) => Err(error),
    }
}

/// One of the two sockets to the runner: frames both ways.
pub(crate) struct Channel {
    socket: OwnedFd,
    /// Frames from the runner.
    pub(crate) reader: FrameReader,
    /// Whether the runner closed its end.
    pub(crate) closed: bool,
    /// What the socket has not taken yet, from `sent` on.
    queue: Vec<u8>,
    sent: usize,
}

impl Channel {
    /// Level of the queue above which nothing is to be added: 256 KiB. With what the kernel
    /// holds a cell of usual size fits even if the runner does not read at all.
    pub(crate) const FULL: usize = 256 << 10;

    /// A channel on the supervisor's end of a pair.
    pub(crate) fn new(socket: OwnedFd) -> Channel {
        Channel {
            socket,
            reader: FrameReader::default(),
            closed: false,
            queue: Vec::new(),
            sent: 0,
        }
    }

    /// The supervisor's end.
    pub(crate) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Reads once from the runner.
    pub(crate) fn fill(&mut self) -> io::Result<Fill> {
        fill(&mut self.reader, self.socket.as_fd())
    }

    /// Bytes waiting for the socket.
    pub(crate) fn queued(&self) -> usize {
        self.queue.len() - self.sent
    }

    /// Sends `bytes`, queueing what the socket does not take. A runner that closed its end is
    /// dead or about to be killed: what is meant for it is dropped.
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        let taken = if self.queued() > 0 { 0 } else { self.write(bytes) };
        if !self.closed {
            self.queue.extend_from_slice(&bytes[taken..]);
        }
    }

    /// Sends what is queued, as far as the socket takes it. Answers whether it took any.
    pub(crate) fn flush(&mut self) -> bool {
        let queue = std::mem::take(&mut self.queue);
        let taken = self.write(&queue[self.sent..]);
        self.sent += taken;
        if self.closed || self.sent == queue.len() {
            self.sent = 0; // the queue's memory goes back: it is needed once in a long while
        } else {
            self.queue = queue;
        }
        taken > 0
    }

    fn write(&mut self, bytes: &[u8]) -> usize {
        match sys::write(self.socket.as_fd(), bytes) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => 0,
            Err(_) => {
                self.closed = true;
                bytes.len()
            }
        }
    }

    /// Sends a frame with two descriptors and another one behind it, of which the socket may
    /// leave a part to the queue. Fails if it takes nothing now.
    pub(crate) fn send_with_fds(
        &mut self,
        first: &[u8],
        fds: [BorrowedFd<'_>; 2],
        second: &[u8],
    ) -> io::Result<()> {
        if self.queued() > 0 {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let taken = match sys::send_with_fds(self.socket.as_fd(), [first, second], fds) {
            Ok(taken) => taken,
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {
                self.closed = true; // as in `send`
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        let rest = &second[taken.saturating_sub(first.len())..];
        if !rest.is_empty() {
            self.send(rest);
        }
        Ok(())
    }

    /// Whether the runner has received all that was sent.
    pub(crate) fn all_taken(&self) -> bool {
        self.queued() == 0 && !matches!(sys::untaken_bytes(self.socket.as_fd()), Ok(1..))
    }
}

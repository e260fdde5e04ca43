//! What a process is to read: bytes of WRITE on their way to its standard input or its terminal.
//!
//! Bytes wait here while the process does not read, at most [`MOST_UNWRITTEN`] of them; nothing waits for it. What
//! it can never read, as it has closed its input, counts as taken.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use cellgate_driver::wire::MOST_UNWRITTEN;

use crate::sys;
use crate::sys::terminal::EndOfInput;

/// The way to a process's input.
pub(super) struct Input {
    /// A pipe's write end or a terminal; `None` once nothing can be taken any more.
    to: Option<OwnedFd>,
    is_terminal: bool,
    /// Bytes that were not taken yet.
    queue: VecDeque<u8>,
    /// Where input ends: numbers of bytes that stand before an end, counted from the first ever. A pipe has one end.
    ends: VecDeque<u64>,
    /// Bytes that were taken, of all.
    taken: u64,
    /// Of these, those that no WROTE has told of.
    untold: usize,
    /// Whether the last byte that was taken left a line open.
    is_in_line: bool,
}

/// More bytes were sent than may wait.
#[derive(Debug)]
pub(super) struct TooMany;

impl Input {
    fn new(to: Option<OwnedFd>, is_terminal: bool) -> Input {
        Input {
            to,
            is_terminal,
            queue: VecDeque::new(),
            ends: VecDeque::new(),
            taken: 0,
            untold: 0,
            is_in_line: false,
        }
    }

    /// Of a process whose input is empty.
    pub(super) fn none() -> Input {
        Input::new(None, false)
    }

    /// To a pipe's write end, which never blocks.
    pub(super) fn to_pipe(pipe: OwnedFd) -> Input {
        Input::new(Some(pipe), false)
    }

    /// To a terminal, which never blocks.
    pub(super) fn to_terminal(master: OwnedFd) -> Input {
        Input::new(Some(master), true)
    }

    /// Takes the bytes of a WRITE, or the end of input if there are none, and writes what can be written now.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<(), TooMany> {
        if self.queue.len() + self.untold + bytes.len() > MOST_UNWRITTEN {
            return Err(TooMany);
        }
        let has_ended = !self.is_terminal && !self.ends.is_empty();
        if self.to.is_none() || has_ended {
            self.untold += bytes.len();
            return Ok(());
        }
        self.queue.extend(bytes);
        let end = self.taken + self.queue.len() as u64;
        // Two ends with nothing between them are one.
        if bytes.is_empty() && self.ends.back() != Some(&end) {
            self.ends.push_back(end);
        }
        self.flush();
        Ok(())
    }

    /// Counts bytes as taken that the process is not to read.
    pub(super) fn pass_over(&mut self, count: usize) {
        self.untold += count;
    }

    /// Where bytes or an end wait to be written, if any do.
    pub(super) fn waits_for(&self) -> Option<BorrowedFd<'_>> {
        let is_idle = self.queue.is_empty() && self.ends.is_empty();
        self.to.as_ref().filter(|_| !is_idle).map(AsFd::as_fd)
    }

    /// Writes what the process takes now.
    pub(super) fn flush(&mut self) {
        while let Some(to) = &self.to
            && (!self.queue.is_empty() || !self.ends.is_empty())
        {
            let until_end = self.ends.front().map(|end| (end - self.taken) as usize);
            let written = match until_end {
                Some(0) if !self.is_terminal => return self.close(),
                Some(0) => end_input(to.as_fd(), self.is_in_line).map(|is_whole| {
                    self.is_in_line = false;
                    if is_whole {
                        self.ends.pop_front();
                    }
                }),
                until_end => {
                    let (next, _) = self.queue.as_slices();
                    let next = &next[..next.len().min(until_end.unwrap_or(usize::MAX))];
                    let written = sys::write(to.as_fd(), next).and_then(|count| {
                        let last = count.checked_sub(1).map(|at| next[at]);
                        Ok((count, last.ok_or(io::ErrorKind::WouldBlock)?))
                    });
                    written.map(|(count, last)| {
                        self.is_in_line = last != b'\n';
                        self.queue.drain(..count);
                        self.taken += count as u64;
                        self.untold += count;
                    })
                }
            };
            match written {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                Err(_) => return self.close(), // it has closed its end
            }
        }
        if self.queue.is_empty() {
            self.queue = VecDeque::new(); // the queue's memory goes back: it is needed once in a long while
        }
    }

    /// The bytes that were taken since the last call, for WROTE.
    pub(super) fn take_untold(&mut self) -> usize {
        std::mem::take(&mut self.untold)
    }

    /// Whether there are such bytes.
    pub(super) fn has_untold(&self) -> bool {
        self.untold > 0
    }

    /// Closes the process's input; what waits is dropped and counts as taken.
    fn close(&mut self) {
        self.to = None;
        self.untold += self.queue.len();
        self.queue = VecDeque::new();
        self.ends = VecDeque::new();
    }
}

/// Writes to a terminal what ends its input. False: it has only ended the line that was begun.
fn end_input(master: BorrowedFd<'_>, is_in_line: bool) -> io::Result<bool> {
    let EndOfInput { character, by_line } = EndOfInput::of(master)?;
    sys::write(master, &[character])?;
    Ok(!(by_line && is_in_line))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(from: &OwnedFd) -> Vec<u8> {
        sys::set_nonblocking(from.as_fd()).unwrap();
        let mut bytes = vec![0; 1 << 20];
        let count = sys::read(from.as_fd(), &mut bytes).unwrap_or(0);
        bytes.truncate(count);
        bytes
    }

    #[test]
    fn what_is_not_read_waits_up_to_the_bound() {
        let (read_end, write_end) = sys::input_pipe().unwrap();
        let mut input = Input::to_pipe(write_end);
        input.write(&vec![7; MOST_UNWRITTEN]).unwrap();
        let held = sys::pipe_capacity(read_end.as_fd()).unwrap();
        assert_eq!(input.take_untold(), held);
        assert!(input.waits_for().is_some());
        assert!(input.write(&vec![7; held + 1]).is_err(), "more than the bound");
        input.write(&vec![7; held]).unwrap();
        input.write(b"").unwrap();
        let mut total = 0;
        loop {
            match read(&read_end).len() {
                0 => break,
                count => total += count,
            }
            input.flush();
        }
        assert_eq!(total, MOST_UNWRITTEN + held);
        assert_eq!(input.take_untold(), MOST_UNWRITTEN);
        assert!(input.waits_for().is_none());
    }

    #[test]
    fn what_can_never_be_read_counts_as_taken() {
        let (read_end, write_end) = sys::input_pipe().unwrap();
        let mut input = Input::to_pipe(write_end);
        drop(read_end);
        // The tests ignore SIGPIPE, as the supervisor does.
        input.write(b"abc").unwrap();
        assert_eq!((input.take_untold(), input.has_untold()), (3, false));
        input.write(b"de").unwrap();
        assert_eq!(input.take_untold(), 2);
        input.pass_over(1);
        assert_eq!(input.take_untold(), 1);
        let mut none = Input::none();
        none.write(b"f").unwrap();
        none.write(b"").unwrap();
        assert_eq!((none.take_untold(), none.waits_for().is_none()), (1, true));
    }

    #[test]
    fn a_pipe_ends_once_behind_all_that_came_before() {
        let (read_end, write_end) = sys::input_pipe().unwrap();
        let mut input = Input::to_pipe(write_end);
        input.write(b"abc").unwrap();
        input.write(b"").unwrap();
        input.write(b"late").unwrap();
        assert_eq!(input.take_untold(), 7);
        assert_eq!(read(&read_end), b"abc");
        let mut more = [0; 8];
        assert_eq!(sys::read(read_end.as_fd(), &mut more).unwrap(), 0, "the end");
    }
}

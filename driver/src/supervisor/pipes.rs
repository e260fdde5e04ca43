//! The pipes user code writes to: one pair a cell, so that output carries its cell from the
//! source on.
//!
//! ```text
//!   made ahead ──EXECUTE──► running ──DONE──► late ──EOF──► gone
//!                (PIPES)    (OUTPUT)  ▲       (OUTPUT|LATE)
//!                                     └──EXECUTE──┘
//! ```
//! A pair that nothing of its cell is left to write to serves the next cell too. That saves a small
//! cell a third of its way: two pipes to make, to send, to place and to close.
//!
//! A runner that cannot receive descriptors is started with [`FIXED_PAIRS`] pairs, of which each cell is given one
//! that is empty: the one whose cell ended longest ago. What children of that cell write later counts as output of
//! the new one.
//!
//! Pair 0 is what an interpreter has before its first cell. A pair that every process has closed is
//! freed; of ended cells whose children still hold theirs, at most [`Pipes::MOST_LATE`] are kept.
//!
//! A process has one pair of cell 0, or a terminal in its place.
//!
//! A pipe that was read rests for [`REST`] unless it was at least half full, so a loop of small
//! prints costs one wake-up for many. Its first byte after a silence is read at once.

use std::collections::VecDeque;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};

use cellgate_driver::wire::{Header, MAX_PAYLOAD, flag, kind};

use super::link::{Link, Pull};
use crate::sys;

/// How long a pipe that was read is left alone: short enough that no reader notices, long enough
/// that a tight loop of prints is carried in some two thousand frames a second.
const REST: Duration = Duration::from_micros(500);

/// How old a cell is when its output is first looked at, unless it has ended before: most cells
/// have, and then output and end travel together, with one wake-up of each process on the way.
const YOUNG: Duration = Duration::from_micros(200);

/// What a pipe that runs full is grown to: what the kernel lets every user have by default,
/// /proc/sys/fs/pipe-max-size.
const GROWN: usize = 1 << 20; // 1 MiB

/// Output carried of one pipe before the loop looks at its other inputs again.
const TURN: usize = 1 << 20; // 1 MiB: well below a millisecond

/// Smallest read after which a pipe's capacity is asked for.
const WORTH_ASKING: usize = 4 << 10; // 4 KiB: half of the smallest pipe in practice

/// What is read of a terminal at once, at most: what the kernel holds ready for its reader.
const TERMINAL_READ: usize = 4 << 10; // 4 KiB: N_TTY_BUF_SIZE

/// What a terminal holds at most that was written to it: more than any kernel lets it.
const TERMINAL_HELD: usize = 64 << 10; // 64 KiB

/// Pairs that an interpreter is started with whose runner cannot receive descriptors.
pub(crate) const FIXED_PAIRS: usize = 8;

/// One of the two streams of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stream {
    Stdout = 0,
    Stderr = 1,
}

impl Stream {
    /// Both.
    pub(crate) const ALL: [Stream; 2] = [Stream::Stdout, Stream::Stderr];
}

/// How far a pipe still has to be read before a control frame may pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Due {
    /// It was not looked at yet.
    All,
    /// This many bytes were in it when it was looked at, and are still to be read.
    Bytes(usize),
    /// Nothing.
    Nothing,
}

/// The read end of a pipe, or the supervisor's end of a terminal.
struct End {
    fd: OwnedFd,
    is_terminal: bool,
    /// Until when it is left alone.
    rest_until: Option<Instant>,
    /// In bytes; 0 until it was worth asking.
    capacity: usize,
    /// Whether growing was tried.
    grown: bool,
}

/// The pipes of one cell.
pub(crate) struct Pair {
    /// The cell; 0 for none.
    pub(crate) cell: u32,
    late: bool,
    /// Which of the pairs it is that the interpreter was started with; `None`: one cell's own.
    fixed: Option<u8>,
    ends: [Option<End>; 2],
}

/// The write ends of a pair.
pub(crate) struct WriteEnds(pub(crate) [OwnedFd; 2]);

impl Pair {
    /// Makes the two pipes of no cell yet.
    pub(crate) fn new() -> io::Result<(Pair, WriteEnds)> {
        let (out, out_write) = sys::pipe()?;
        let (err, err_write) = sys::pipe()?;
        let end =
            |fd| Some(End { fd, is_terminal: false, rest_until: None, capacity: 0, grown: false });
        let pair = Pair { cell: 0, late: false, fixed: None, ends: [end(out), end(err)] };
        Ok((pair, WriteEnds([out_write, err_write])))
    }

    /// What is read of a terminal in the place of two pipes; `master` never blocks.
    pub(crate) fn of_terminal(master: OwnedFd) -> Pair {
        let end = End {
            fd: master,
            is_terminal: true,
            rest_until: None,
            capacity: TERMINAL_READ,
            grown: true, // it cannot be
        };
        Pair { cell: 0, late: false, fixed: None, ends: [Some(end), None] }
    }

    fn rest(&mut self, until: Instant) {
        self.ends.iter_mut().flatten().for_each(|end| end.rest_until = Some(until));
    }

    fn is_open(&self) -> bool {
        self.ends.iter().any(Option::is_some)
    }

    /// Whether it is the pair of this cell. A fixed pair that no cell had yet is none's.
    fn is_of(&self, cell: u32) -> bool {
        self.cell == cell && (cell != 0 || self.fixed.is_none())
    }
}

/// All pipes of one runner.
pub(crate) struct Pipes {
    /// The program whose runner it is.
    program: u16,
    /// Oldest first.
    pairs: Vec<Pair>,
    /// Once the runner is dead: what of which pipe is still to be carried.
    last_output: Option<VecDeque<(u32, Stream, Due)>>,
}

impl Pipes {
    /// Those of a runner that has none yet.
    pub(crate) fn of(program: u16) -> Pipes {
        Pipes { program, pairs: Vec::new(), last_output: None }
    }

    /// Ended cells whose pipes are kept open for children that outlive them.
    pub(crate) const MOST_LATE: usize = 32;

    /// Takes in the pair of `cell`. The pair before it rests: at this moment the runner closes
    /// it, which is nothing to wake up for; see [`Pipes::sweep`].
    pub(crate) fn begin(&mut self, cell: u32, mut pair: Pair, now: Instant) {
        if let Some(before) = self.pairs.last_mut() {
            before.rest(now + REST);
        }
        pair.cell = cell;
        pair.rest(now + YOUNG);
        self.pairs.push(pair);
    }

    /// Takes in a pair that the interpreter is started with.
    pub(crate) fn add_fixed(&mut self, number: u8, mut pair: Pair) {
        pair.fixed = Some(number);
        // Before the pair of cell 0 and those in use: the oldest.
        self.pairs.insert(0, pair);
    }

    /// Gives one of the interpreter's fixed pairs to a cell, and answers which. Prefers one that is empty; what is
    /// in it is carried as what it is, late output of the cell that had it. `None`: the interpreter has closed all.
    pub(crate) fn begin_in_fixed(
        &mut self,
        cell: u32,
        link: &mut Link,
        now: Instant,
    ) -> io::Result<Option<u8>> {
        let free: Vec<(u8, u32)> = self
            .pairs
            .iter()
            .filter(|pair| pair.ends.iter().all(Option::is_some) && (pair.late || pair.cell == 0))
            .filter_map(|pair| Some((pair.fixed?, pair.cell)))
            .collect();
        let is_empty = |&(_, of): &(u8, u32)| {
            of == 0 || Stream::ALL.iter().all(|&stream| self.readable(of, stream) == 0)
        };
        let Some(&(number, of)) = free.iter().find(|pair| is_empty(pair)).or(free.first()) else {
            return Ok(None);
        };
        for stream in Stream::ALL.iter().filter(|_| of != 0) {
            self.drain(of, *stream, &mut Due::All, link)?;
        }
        let Some(at) = self.pairs.iter().position(|pair| pair.fixed == Some(number)) else {
            return Ok(None);
        };
        let mut pair = self.pairs.remove(at);
        (pair.cell, pair.late) = (cell, false);
        pair.rest(now + YOUNG);
        self.pairs.push(pair);
        Ok(Some(number))
    }

    /// Gives the pair of the ended cell `from` to the cell `to`, with all that was in it carried as
    /// what it is: late output of `from`. False: it cannot be had.
    pub(crate) fn pass_on(
        &mut self,
        from: u32,
        to: u32,
        link: &mut Link,
        now: Instant,
    ) -> io::Result<bool> {
        for stream in Stream::ALL {
            let mut due = Due::All;
            self.drain(from, stream, &mut due, link)?;
            if due != Due::Nothing {
                return Ok(false);
            }
        }
        let whole = |pair: &&mut Pair| pair.cell == from && pair.ends.iter().all(Option::is_some);
        let Some(pair) = self.pairs.last_mut().filter(whole) else { return Ok(false) };
        (pair.cell, pair.late) = (to, false);
        pair.rest(now + YOUNG);
        Ok(true)
    }

    /// Marks the output of `cell` late from now on. Answers the cell whose pipes were closed
    /// because too many ended ones are open.
    pub(crate) fn end(&mut self, cell: u32, link: &mut Link) -> io::Result<Option<u32>> {
        self.pairs.iter_mut().filter(|pair| pair.cell == cell).for_each(|pair| pair.late = true);
        let late: Vec<u32> =
            self.pairs.iter().filter(|pair| pair.late).map(|pair| pair.cell).collect();
        if late.len() <= Pipes::MOST_LATE {
            return Ok(None);
        }
        // Some of them may have no writer any more, and what is in the others must not be lost.
        for (of, stream) in late.iter().flat_map(|&of| Stream::ALL.map(|stream| (of, stream))) {
            let mut due = Due::All;
            self.drain(of, stream, &mut due, link)?;
            if due != Due::Nothing || self.pull(of, stream, MAX_PAYLOAD, link)? == Pull::Blocked {
                return Ok(None); // the link is full: when the next cell ends
            }
        }
        let late = self.pairs.iter().filter(|pair| pair.late).count();
        Ok((late > Pipes::MOST_LATE).then(|| self.drop_oldest_late()).flatten())
    }

    /// Looks at the pair before the newest, which its runner closed when the newest began and
    /// which was not waited for since. Nearly always no other process has it, and it goes.
    pub(crate) fn sweep(&mut self, link: &mut Link) -> io::Result<()> {
        let before = self.pairs.len().checked_sub(2).and_then(|at| self.pairs.get(at));
        let Some(cell) = before.map(|pair| pair.cell) else { return Ok(()) };
        for stream in Stream::ALL {
            self.pull(cell, stream, MAX_PAYLOAD, link)?;
        }
        Ok(())
    }

    /// Closes the pipes of the cell that ended longest ago and answers which it was.
    pub(crate) fn drop_oldest_late(&mut self) -> Option<u32> {
        let oldest = self.pairs.iter().position(|pair| pair.late)?;
        Some(self.pairs.remove(oldest).cell)
    }

    /// The ends to wait for, and when the earliest resting one is to be waited for again.
    pub(crate) fn waiting(
        &self,
        now: Instant,
        mut wait_for: impl FnMut(u32, Stream, BorrowedFd<'_>),
    ) -> Option<Instant> {
        let mut earliest: Option<Instant> = None;
        for pair in self.pairs.iter().filter(|pair| pair.is_of(pair.cell)) {
            for (end, stream) in pair.ends.iter().zip(Stream::ALL) {
                let Some(end) = end else { continue };
                match end.rest_until.filter(|&until| until > now) {
                    Some(until) => earliest = Some(earliest.map_or(until, |e| e.min(until))),
                    None => wait_for(pair.cell, stream, end.fd.as_fd()),
                }
            }
        }
        earliest
    }

    /// Carries what a ready pipe holds to the link, up to [`TURN`]. Answers the bytes.
    pub(crate) fn carry(
        &mut self,
        cell: u32,
        stream: Stream,
        link: &mut Link,
        now: Instant,
    ) -> io::Result<usize> {
        let mut total = 0;
        while total < TURN {
            match self.pull(cell, stream, MAX_PAYLOAD, link)? {
                Pull::Took { bytes, emptied } => {
                    total += bytes;
                    if emptied {
                        break;
                    }
                }
                Pull::Empty | Pull::Closed | Pull::Blocked => break,
            }
        }
        if let Some(end) = self.end_mut(cell, stream) {
            end.grow_if_full(total);
            let capacity = if end.capacity == 0 { MAX_PAYLOAD } else { end.capacity };
            end.rest_until = (total < capacity / 2).then(|| now + REST);
        }
        Ok(total)
    }

    /// Carries what `due` says of a cell's pipe to the link. Answers the bytes; what is still
    /// due then, if anything, waits for the link.
    pub(crate) fn drain(
        &mut self,
        cell: u32,
        stream: Stream,
        due: &mut Due,
        link: &mut Link,
    ) -> io::Result<usize> {
        let mut total = 0;
        loop {
            let most = match *due {
                Due::Nothing => return Ok(total),
                Due::All => MAX_PAYLOAD,
                Due::Bytes(left) => left.min(MAX_PAYLOAD),
            };
            match self.pull(cell, stream, most, link)? {
                Pull::Blocked => return Ok(total),
                Pull::Empty | Pull::Closed => *due = Due::Nothing,
                Pull::Took { bytes, emptied } => {
                    total += bytes;
                    let left = match *due {
                        _ if emptied => 0,
                        Due::Bytes(left) => left - bytes,
                        // A child may write without end: what is there by now is all that counts.
                        _ => self.readable(cell, stream),
                    };
                    *due = if left == 0 { Due::Nothing } else { Due::Bytes(left) };
                }
            }
        }
    }

    /// Carries to the link what is in the pipes when it is first called: everything, if all writers are dead. One that
    /// has left its program may write on and holds nothing back. Answers the bytes of `cell`, and whether the link took
    /// all there was; else this is called again.
    pub(crate) fn drain_all(&mut self, cell: u32, link: &mut Link) -> io::Result<(usize, bool)> {
        let mut total = 0;
        let mut left = self.last_output.take().unwrap_or_else(|| {
            let each = |pair: &Pair| Stream::ALL.map(|stream| (pair.cell, stream, Due::All));
            self.pairs.iter().flat_map(each).collect()
        });
        while let Some((of, stream, due)) = left.front_mut() {
            let bytes = self.drain(*of, *stream, due, link)?;
            total += if *of == cell { bytes } else { 0 };
            if *due != Due::Nothing {
                self.last_output = Some(left);
                return Ok((total, false));
            }
            left.pop_front();
        }
        self.last_output = Some(left);
        Ok((total, true))
    }

    fn end_mut(&mut self, cell: u32, stream: Stream) -> Option<&mut End> {
        let pair = self.pairs.iter_mut().find(|pair| pair.is_of(cell))?;
        pair.ends[stream as usize].as_mut()
    }

    fn readable(&self, cell: u32, stream: Stream) -> usize {
        let pair = self.pairs.iter().find(|pair| pair.is_of(cell));
        let end = pair.and_then(|pair| pair.ends[stream as usize].as_ref());
        end.map_or(0, |end| match end.is_terminal {
            // It tells only a part of what it holds.
            true => TERMINAL_HELD,
            false => sys::readable_bytes(end.fd.as_fd()).unwrap_or(0),
        })
    }

    /// One read of one pipe. A pipe that is closed is freed, a pair with both closed too.
    fn pull(
        &mut self,
        cell: u32,
        stream: Stream,
        most: usize,
        link: &mut Link,
    ) -> io::Result<Pull> {
        let Some(at) = self.pairs.iter().position(|pair| pair.is_of(cell)) else {
            return Ok(Pull::Closed);
        };
        let pair = &mut self.pairs[at];
        let Some(end) = &pair.ends[stream as usize] else { return Ok(Pull::Closed) };
        let mut flags = if stream == Stream::Stderr { flag::STDERR } else { 0 };
        if pair.late {
            flags |= flag::LATE;
        }
        let header = Header { length: 0, kind: kind::OUTPUT, flags, program: self.program, cell };
        let mut pull = link.pull(end.fd.as_fd(), most, header)?;
        if let Pull::Took { emptied, .. } = &mut pull
            && end.is_terminal
        {
            *emptied = false; // it gives what it holds piece by piece
        }
        if pull == Pull::Closed {
            pair.ends[stream as usize] = None;
            if !pair.is_open() {
                self.pairs.remove(at);
            }
        }
        Ok(pull)
    }
}

impl End {
    /// Gives a pipe that `bytes` (nearly) filled more room, once.
    fn grow_if_full(&mut self, bytes: usize) {
        if self.grown || bytes < WORTH_ASKING {
            return;
        }
        if self.capacity == 0 {
            self.capacity = sys::pipe_capacity(self.fd.as_fd()).unwrap_or(MAX_PAYLOAD);
        }
        if bytes >= self.capacity / 4 * 3 {
            self.grown = true;
            // Refused where the user's share of pipe memory is spent: the pipe works as it is.
            self.capacity = sys::set_pipe_capacity(self.fd.as_fd(), GROWN).unwrap_or(self.capacity);
        }
    }
}

//! The link's wire: the frames between gateway and supervisor, and between supervisor and runner.
//!
//! One definition for both ends. The runner, being in another language, checks itself against the
//! same golden file as the tests here (`tests/golden/wire.json`).
//!
//! ```text
//! frame   = header payload
//! header  = length u32 · kind u8 · flags u8 · program u16 · cell u32     (12 bytes, little endian)
//! payload = `length` bytes, at most MAX_PAYLOAD
//! message = frame{MORE}* frame          same kind, program and cell; payloads are joined
//! ```
//!
//! A *program* is an interpreter or a process that the supervisor runs; its number is the gateway's. Program 0 is
//! the interpreter started with SETUP, others are started with OPEN. Between supervisor and runner the program is 0:
//! a runner serves one.
//!
//! Between two fragments of a message may stand what the supervisor says by itself in one frame (OUTPUT, USAGE,
//! PONG, LOG, FILE_ANSWER, a busy REPLY), and frames of other programs. Two messages of one program in fragments
//! never interleave.
//! A process may end while a WRITE, SIGNAL, RESIZE or CLOSE for it is under way. These frames are ignored for a number
//! that a process had, until it is opened again. Other frames of a number that no program has, and frames of processes
//! to an interpreter or the other way round, break the rules.
//! EXITED voids the message it cuts off. A frame that breaks a rule of this file ends the link:
//! its sender is either broken or hostile.
//!
//! ```text
//! gateway ─► supervisor   SETUP EXECUTE INTERRUPT INPUT RESTART REQUEST PING FILE
//!                         OPEN CLOSE WRITE SIGNAL RESIZE
//! gateway ◄─ supervisor   HELLO READY OUTPUT MESSAGE DONE EXITED USAGE REPLY PONG LOG FILE_ANSWER
//!                         STARTED WROTE FILES_CHANGED
//! supervisor ─► runner    EXECUTE INPUT REQUEST PIPES ACK
//! supervisor ◄─ runner    READY MESSAGE DONE REPLY SYNC
//! ```

pub mod file_events;
pub mod files;
mod payload;
mod reader;
mod setup;

pub use payload::{CellUsage, Done, ExitCause, Exited, Outcome, Usage};
pub use reader::FrameReader;
pub use setup::{Process, Rlimit, Setup, TerminalSize};

/// Version of everything in this file; carried by [`kind::HELLO`] and [`kind::SETUP`].
pub const VERSION: u16 = 2;

/// Length of every header.
pub const HEADER_BYTES: usize = 12;

/// Longest payload of one frame. 64 KiB: a default pipe's capacity, so one read of a full pipe is
/// one frame, and the supervisor needs one such buffer a direction.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// Most programs in a sandbox, the first among them.
pub const MOST_PROGRAMS: usize = 32;

/// Longest payload of SETUP and OPEN: 1 MiB, far more than any environment and filter need.
pub const MOST_SETUP: usize = 1 << 20;

/// Most bytes of WRITE that may be under way to one process: 256 KiB, which the supervisor has room for.
pub const MOST_UNWRITTEN: usize = 256 << 10;

/// What a frame is. Gateway to driver below `0x80`, driver to gateway from `0x80`.
pub mod kind {
    /// First frame of the gateway: a [`super::Setup`].
    pub const SETUP: u8 = 0x01;
    /// Run a cell. JSON: `{"id", "code", "execution_count"?, "silent", "allow_input", "env"?,
    /// "user_expressions"?}`; without `execution_count` the cell does not count. With `comm` a client's message on a comm in the place of code: `{"type": "comm_open" |
    /// "comm_msg" | "comm_close", "comm_id", "target_name"?, "data", "metadata", "buffers"}`.
    pub const EXECUTE: u8 = 0x02;
    /// Stop the cell if it runs: SIGINT now, SIGKILL after the payload's u32 of milliseconds.
    pub const INTERRUPT: u8 = 0x03;
    /// Answer to an `input_request`. JSON: `{"text"}` or `{"eof": true}`.
    pub const INPUT: u8 = 0x04;
    /// Kill the program's processes, all in the sandbox if it is the only program, and start a fresh runner.
    pub const RESTART: u8 = 0x05;
    /// A question to the runner; `cell` is the number of the request, not of a cell. JSON:
    /// `{"op": "complete" | "inspect" | "is_complete", "code", "cursor"?}`, or without code
    /// `{"op": "variables"}` or `{"op": "table"}` with the fields of the client's question.
    pub const REQUEST: u8 = 0x06;
    /// Answered by PONG with the same payload (at most 64 bytes).
    pub const PING: u8 = 0x07;
    /// A step of a file's transfer, whose number is in `cell`: [`super::files::FileCommand`].
    pub const FILE: u8 = 0x08;
    /// Start a program of this number, which is not in use: a [`super::Setup`], of which `env`, `workdir` and, for an
    /// interpreter, `language` and `interpreter` count, for a process `process`. READY, STARTED or EXITED says what
    /// came of it.
    pub const OPEN: u8 = 0x09;
    /// Kill the program's processes and forget it; not program 0. EXITED says when that is done. Of a process these
    /// are it, its descendants, and what is in its session.
    pub const CLOSE: u8 = 0x0A;
    /// Bytes for the standard input of a process, or for its terminal; none: its end. WROTE says when they were
    /// taken, and no more than [`super::MOST_UNWRITTEN`] may be under way to one process: those that no WROTE told of.
    /// On a terminal the end is the character that its process has set for it, mostly Ctrl-D, and more may follow.
    pub const WRITE: u8 = 0x0B;
    /// Send the signal of this number, a u8 from 1 to 64, to a process and all of its process group; with a terminal, to the
    /// group in its foreground.
    pub const SIGNAL: u8 = 0x0C;
    /// The size of a process's terminal: u16 of columns, u16 of rows.
    pub const RESIZE: u8 = 0x0D;

    /// Supervisor to runner: no payload, two descriptors as ancillary data: the write ends that
    /// become fd 1 and fd 2 of the next cell. Stands before that cell's EXECUTE, mostly in the
    /// same write; left out if the cell has the pipes of the one before it. To a runner that cannot receive
    /// descriptors, before each EXECUTE: u8, which of the pairs that it was started with (descriptors 8 and 9
    /// are pair 0, 10 and 11 are pair 1, …) the next cell writes to.
    pub const PIPES: u8 = 0x10;
    /// Supervisor to runner: u32, how many frames with [`super::flag::SYNC`] were taken so far.
    pub const ACK: u8 = 0x11;

    /// First frame of the driver: u16 [`super::VERSION`], then lines of text, each naming a
    /// protection the supervisor could not establish.
    pub const HELLO: u8 = 0x81;
    /// A runner is ready for cells. JSON: `{"language": {"name", "version", "shell"?}, …}`.
    pub const READY: u8 = 0x82;
    /// Bytes of a cell's stdout, or stderr with [`super::flag::STDERR`]. Cell 0: of no cell (an
    /// interpreter that fails to start, or a process, whose terminal writes to stdout alone).
    pub const OUTPUT: u8 = 0x83;
    /// A rich event of a cell. JSON with `type` `result`, `display`, `clear_output`,
    /// `input_request`, `error`, `comm_open`, `comm_msg` or `comm_close` and that event's fields,
    /// without `id`, `seq` and `ts`; or, before the DONE of its cell, `user_expressions` with `values` (one that ends
    /// ok), and `detail` with `text`, what there is to say of its end. Cell 0: of code that runs in the background while no cell
    /// does; only messages on comms are so.
    pub const MESSAGE: u8 = 0x84;
    /// The cell ended and the runner lives: [`super::Done`]. From the runner: the outcome, and a 1
    /// if nothing is left that could write to the cell's pipes, so that they may serve the next.
    pub const DONE: u8 = 0x85;
    /// The runner ended: [`super::Exited`]. Stands for DONE if `cell` is not 0. A fresh READY
    /// follows, unless this runner never was ready. Or a process ended and what it had written is told, or it could
    /// not be started (exit code 127: its file was not found, 126: anything else): its number is free, and WRITEs
    /// that no WROTE told of are lost.
    pub const EXITED: u8 = 0x86;
    /// About once a second while cells run, of whichever program: [`super::Usage`] of the sandbox. Always of program 0.
    pub const USAGE: u8 = 0x87;
    /// Answer to REQUEST, with its number in `cell`. JSON: the reply's fields without `type`, `id`.
    pub const REPLY: u8 = 0x88;
    /// Answer to PING.
    pub const PONG: u8 = 0x89;
    /// One line of text for the operator's log. Never user output.
    pub const LOG: u8 = 0x8A;
    /// Answer to FILE, with the transfer's number in `cell`: [`super::files::FileAnswer`].
    pub const FILE_ANSWER: u8 = 0x8B;
    /// A process was started: u32, its number in the sandbox. Its first frame.
    pub const STARTED: u8 = 0x8C;
    /// A process, or its terminal, took this many bytes of WRITE since the last WROTE, a u32. What can never be
    /// taken, as the process has closed its input, counts as taken.
    pub const WROTE: u8 = 0x8D;
    /// Before a cell's DONE: files below the working directory of SETUP that were made or changed while it ran. u8, 1
    /// if there may be more, then the paths, each ended by a zero: 1 to 100 of them, in one frame.
    pub const FILES_CHANGED: u8 = 0x8E;
    /// Runner to supervisor: no payload, always with [`super::flag::SYNC`]: "acknowledge when
    /// all output written before this is on the link".
    pub const SYNC: u8 = 0x90;
}

/// Bits of a header's flags; all others are zero.
pub mod flag {
    /// The message goes on in the next frame of this kind and cell.
    pub const MORE: u8 = 1;
    /// OUTPUT came from fd 2.
    pub const STDERR: u8 = 2;
    /// The cell had already ended when this was produced.
    pub const LATE: u8 = 4;
    /// The runner waits for an ACK. Set on the last fragment only.
    pub const SYNC: u8 = 8;
    /// REPLY: the runner was busy and the question was not put to it; the payload is empty.
    pub const BUSY: u8 = 16;

    /// Every bit that means something.
    pub const ALL: u8 = MORE | STDERR | LATE | SYNC | BUSY;
}

/// The 12 bytes before every payload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of payload that follow, at most [`MAX_PAYLOAD`].
    pub length: u32,
    /// One of [`kind`].
    pub kind: u8,
    /// Bits of [`flag`].
    pub flags: u8,
    /// The program that it is of.
    pub program: u16,
    /// The cell's number (never 0 for a cell), or a request's.
    pub cell: u32,
}

impl Header {
    /// A header for `payload`, which is at most [`MAX_PAYLOAD`] long.
    pub fn new(kind: u8, flags: u8, cell: u32, payload: &[u8]) -> Header {
        debug_assert!(payload.len() <= MAX_PAYLOAD);
        Header { length: payload.len() as u32, kind, flags, program: 0, cell }
    }

    /// The same of a program.
    pub fn of(self, program: u16) -> Header {
        Header { program, ..self }
    }

    /// The header as it travels.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[6..8].copy_from_slice(&self.program.to_le_bytes());
        bytes[8..12].copy_from_slice(&self.cell.to_le_bytes());
        bytes
    }

    /// Reads a header, refusing lengths and flags that no honest end writes.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, WireError> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let program = u16::from_le_bytes([bytes[6], bytes[7]]);
        let header =
            Header { length: word(0), kind: bytes[4], flags: bytes[5], program, cell: word(8) };
        if header.length as usize > MAX_PAYLOAD {
            return Err(WireError::Length(header.length));
        }
        if header.flags & !flag::ALL != 0 {
            return Err(WireError::Flags(header.flags));
        }
        Ok(header)
    }
}

/// Appends `payload` as a message: as many frames as it needs, the last one without MORE.
pub fn append_message(out: &mut Vec<u8>, kind: u8, flags: u8, cell: u32, payload: &[u8]) {
    append_message_of(out, 0, kind, flags, cell, payload);
}

/// The same for a message of a program.
pub fn append_message_of(
    out: &mut Vec<u8>,
    program: u16,
    kind: u8,
    flags: u8,
    cell: u32,
    payload: &[u8],
) {
    let mut rest = payload;
    while rest.len() > MAX_PAYLOAD {
        let (head, tail) = rest.split_at(MAX_PAYLOAD);
        let more = (flags & !flag::SYNC) | flag::MORE;
        out.extend_from_slice(&Header::new(kind, more, cell, head).of(program).encode());
        out.extend_from_slice(head);
        rest = tail;
    }
    out.extend_from_slice(&Header::new(kind, flags, cell, rest).of(program).encode());
    out.extend_from_slice(rest);
}

/// What breaks the wire's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// A payload longer than [`MAX_PAYLOAD`].
    Length(u32),
    /// A flag that has no meaning.
    Flags(u8),
    /// A payload that is not what its kind says.
    Payload(&'static str),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            WireError::Length(length) => {
                write!(f, "a frame of {length} bytes is longer than the {MAX_PAYLOAD} allowed")
            }
            WireError::Flags(flags) => write!(f, "a frame has the unknown flags {flags:#04x}"),
            WireError::Payload(what) => write!(f, "the payload of a frame is not {what}"),
        }
    }
}

impl std::error::Error for WireError {}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire_and_odd_ones_are_refused() {
        let header =
            Header { length: 5, kind: kind::OUTPUT, flags: flag::STDERR, program: 258, cell: 7 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        let mut long = bytes;
        long[2] = 2;
        assert_eq!(Header::decode(&long), Err(WireError::Length(0x2_0005)));
        let mut odd = bytes;
        odd[5] = 0x80;
        assert_eq!(Header::decode(&odd), Err(WireError::Flags(0x80)));
    }

    #[test]
    fn a_long_message_is_cut_and_only_its_last_frame_asks_for_an_ack() {
        let payload = vec![9; MAX_PAYLOAD * 2 + 1];
        let mut out = Vec::new();
        append_message(&mut out, kind::MESSAGE, flag::SYNC, 3, &payload);
        let mut seen = Vec::new();
        let mut at = 0;
        while at < out.len() {
            let head = out[at..].first_chunk::<HEADER_BYTES>().unwrap();
            let header = Header::decode(head).unwrap();
            seen.push((header.length as usize, header.flags));
            at += HEADER_BYTES + header.length as usize;
        }
        let full = (MAX_PAYLOAD, flag::MORE);
        assert_eq!(seen, [full, full, (1, flag::SYNC)]);
    }
}

//! The link's wire: the frames between gateway and supervisor, and between supervisor and runner.
//!
//! One definition for both ends. The runner, being in another language, checks itself against the
//! same golden file as the tests here (`tests/golden/wire.json`).
//!
//! ```text
//! frame   = header payload
//! header  = length u32 · kind u8 · flags u8 · zero u16 · cell u32        (12 bytes, little endian)
//! payload = `length` bytes, at most MAX_PAYLOAD
//! message = frame{MORE}* frame          same kind and cell; payloads are joined
//! ```
//!
//! Between two fragments of a message may stand what the supervisor says by itself in one frame:
//! OUTPUT, USAGE, PONG, LOG, FILE_ANSWER, a busy REPLY. Two messages in fragments never interleave. EXITED voids
//! the message it cuts off. A frame that breaks a rule of this file ends the link: whoever sent it is either
//! broken or hostile.
//!
//! ```text
//! gateway ─► supervisor   SETUP EXECUTE INTERRUPT INPUT RESTART REQUEST PING FILE
//! gateway ◄─ supervisor   HELLO READY OUTPUT MESSAGE DONE EXITED USAGE REPLY PONG LOG FILE_ANSWER
//! supervisor ─► runner    EXECUTE INPUT REQUEST PIPES ACK
//! supervisor ◄─ runner    READY MESSAGE DONE REPLY SYNC
//! ```

pub mod files;

/// Version of everything in this file; carried by [`kind::HELLO`] and [`kind::SETUP`].
pub const VERSION: u16 = 1;

/// Length of every header.
pub const HEADER_BYTES: usize = 12;

/// Longest payload of one frame. 64 KiB: a default pipe's capacity, so one read of a full pipe is
/// one frame, and the supervisor needs one such buffer a direction.
pub const MAX_PAYLOAD: usize = 64 << 10;

/// What a frame is. Gateway to driver below `0x80`, driver to gateway from `0x80`.
pub mod kind {
    /// First frame of the gateway: a [`super::Setup`].
    pub const SETUP: u8 = 0x01;
    /// Run a cell. JSON: `{"code", "execution_count"?, "silent", "allow_input", "env"?}`.
    pub const EXECUTE: u8 = 0x02;
    /// Stop the cell if it runs: SIGINT now, SIGKILL after the payload's u32 of milliseconds.
    pub const INTERRUPT: u8 = 0x03;
    /// Answer to an `input_request`. JSON: `{"text"}` or `{"eof": true}`.
    pub const INPUT: u8 = 0x04;
    /// Kill everything in the sandbox but the supervisor, start a fresh runner.
    pub const RESTART: u8 = 0x05;
    /// A question to the runner; `cell` is the number of the request, not of a cell. JSON:
    /// `{"op": "complete" | "inspect" | "is_complete", "code", "cursor"?}`.
    pub const REQUEST: u8 = 0x06;
    /// Answered by PONG with the same payload (at most 64 bytes).
    pub const PING: u8 = 0x07;
    /// A step of a file's transfer, whose number is in `cell`: [`super::files::FileCommand`].
    pub const FILE: u8 = 0x08;

    /// Supervisor to runner: no payload, two descriptors as ancillary data: the write ends that
    /// become fd 1 and fd 2 of the next cell. Stands before that cell's EXECUTE, mostly in the
    /// same write.
    pub const PIPES: u8 = 0x10;
    /// Supervisor to runner: u32, how many frames with [`super::flag::SYNC`] were taken so far.
    pub const ACK: u8 = 0x11;

    /// First frame of the driver: u16 [`super::VERSION`], then lines of text, each naming a
    /// protection the supervisor could not establish.
    pub const HELLO: u8 = 0x81;
    /// A runner is ready for cells. JSON: `{"language": {"name", "version"}, …}`.
    pub const READY: u8 = 0x82;
    /// Bytes of a cell's stdout, or stderr with [`super::flag::STDERR`]. Cell 0: of no cell (an
    /// interpreter that fails to start).
    pub const OUTPUT: u8 = 0x83;
    /// A rich event of a cell. JSON with `type` `result`, `display`, `clear_output`,
    /// `input_request` or `error` and that event's fields, without `id`, `seq` and `ts`.
    pub const MESSAGE: u8 = 0x84;
    /// The cell ended and the runner lives: [`super::Done`]. From the runner: the outcome alone.
    pub const DONE: u8 = 0x85;
    /// The runner ended: [`super::Exited`]. Stands for DONE if `cell` is not 0. A fresh READY
    /// follows, unless this runner never was ready.
    pub const EXITED: u8 = 0x86;
    /// About once a second while a cell runs: [`super::Usage`].
    pub const USAGE: u8 = 0x87;
    /// Answer to REQUEST, with its number in `cell`. JSON: the reply's fields without `type`, `id`.
    pub const REPLY: u8 = 0x88;
    /// Answer to PING.
    pub const PONG: u8 = 0x89;
    /// One line of text for the operator's log. Never user output.
    pub const LOG: u8 = 0x8A;
    /// Answer to FILE, with the transfer's number in `cell`: [`super::files::FileAnswer`].
    pub const FILE_ANSWER: u8 = 0x8B;
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
    /// The cell's number (never 0 for a cell), or a request's.
    pub cell: u32,
}

impl Header {
    /// A header for `payload`, which is at most [`MAX_PAYLOAD`] long.
    pub fn new(kind: u8, flags: u8, cell: u32, payload: &[u8]) -> Header {
        debug_assert!(payload.len() <= MAX_PAYLOAD);
        Header { length: payload.len() as u32, kind, flags, cell }
    }

    /// The header as it travels.
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[0..4].copy_from_slice(&self.length.to_le_bytes());
        bytes[4] = self.kind;
        bytes[5] = self.flags;
        bytes[8..12].copy_from_slice(&self.cell.to_le_bytes());
        bytes
    }

    /// Reads a header, refusing lengths, flags and padding that no honest end writes.
    pub fn decode(bytes: &[u8; HEADER_BYTES]) -> Result<Header, WireError> {
        let word = |at: usize| {
            u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
        };
        let header = Header { length: word(0), kind: bytes[4], flags: bytes[5], cell: word(8) };
        if header.length as usize > MAX_PAYLOAD {
            return Err(WireError::Length(header.length));
        }
        if header.flags & !flag::ALL != 0 {
            return Err(WireError::Flags(header.flags));
        }
        if bytes[6] != 0 || bytes[7] != 0 {
            return Err(WireError::Padding);
        }
        Ok(header)
    }
}

/// Appends `payload` as a message: as many frames as it needs, the last one without MORE.
pub fn append_message(out: &mut Vec<u8>, kind: u8, flags: u8, cell: u32, payload: &[u8]) {
    let mut rest = payload;
    while rest.len() > MAX_PAYLOAD {
        let (head, tail) = rest.split_at(MAX_PAYLOAD);
        let more = (flags & !flag::SYNC) | flag::MORE;
        out.extend_from_slice(&Header::new(kind, more, cell, head).encode());
        out.extend_from_slice(head);
        rest = tail;
    }
    out.extend_from_slice(&Header::new(kind, flags, cell, rest).encode());
    out.extend_from_slice(rest);
}

/// What breaks the wire's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WireError {
    /// A payload longer than [`MAX_PAYLOAD`].
    Length(u32),
    /// A flag that has no meaning.
    Flags(u8),
    /// Padding that is not zero.
    Padding,
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
            WireError::Padding => write!(f, "a frame's padding is not zero"),
            WireError::Payload(what) => write!(f, "the payload of a frame is not {what}"),
        }
    }
}

impl std::error::Error for WireError {}

/// How a cell ended that left the runner alive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Outcome {
    /// The code ran to its end.
    Ok = 0,
    /// The code raised; an `error` message came before.
    Error = 1,
    /// The code yielded to SIGINT.
    Interrupted = 2,
}

impl Outcome {
    /// Reads an outcome's byte.
    pub fn decode(byte: u8) -> Result<Outcome, WireError> {
        match byte {
            0 => Ok(Outcome::Ok),
            1 => Ok(Outcome::Error),
            2 => Ok(Outcome::Interrupted),
            _ => Err(WireError::Payload("an outcome")),
        }
    }
}

/// What a cell used, as far as the supervisor can tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CellUsage {
    /// From the EXECUTE's arrival to the end, in microseconds.
    pub duration_us: u64,
    /// CPU time of the runner and its children, in microseconds.
    pub cpu_us: u64,
    /// Highest memory seen in the sandbox while the cell ran, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes the cell wrote to stdout and stderr before its end.
    pub output_bytes: u64,
}

/// Payload of DONE from the supervisor: `outcome u8 · zero [7] · usage 4 × u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How the cell ended.
    pub outcome: Outcome,
    /// What it used.
    pub usage: CellUsage,
}

impl Done {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.outcome as u8, 0, 0, 0, 0, 0, 0, 0];
        self.usage.append(&mut out);
        out
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Done, WireError> {
        if payload.len() != 8 + CellUsage::BYTES {
            return Err(WireError::Payload("a DONE"));
        }
        Ok(Done { outcome: Outcome::decode(payload[0])?, usage: CellUsage::read(&payload[8..]) })
    }
}

impl CellUsage {
    const BYTES: usize = 32; // 4 × u64

    fn append(&self, out: &mut Vec<u8>) {
        for value in [self.duration_us, self.cpu_us, self.peak_memory_bytes, self.output_bytes] {
            out.extend_from_slice(&value.to_le_bytes());
        }
    }

    fn read(bytes: &[u8]) -> CellUsage {
        CellUsage {
            duration_us: u64_at(bytes, 0),
            cpu_us: u64_at(bytes, 8),
            peak_memory_bytes: u64_at(bytes, 16),
            output_bytes: u64_at(bytes, 24),
        }
    }
}

/// Why a runner is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitCause {
    /// It ended without our doing: `os._exit`, a crash, a signal sent from inside.
    Own = 0,
    /// It did not yield to an interrupt in time and was killed.
    Stubborn = 1,
    /// RESTART asked for it.
    Restart = 2,
    /// The kernel, or the supervisor's own watch, ended it at the memory limit.
    Memory = 3,
    /// It broke the wire's rules and was killed.
    Protocol = 4,
}

/// Payload of EXITED: `cause u8 · signalled u8 · zero [2] · status i32 · memory_limit u64 ·
/// usage 4 × u64 · detail (UTF-8, the rest)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exited {
    /// Why it ended.
    pub cause: ExitCause,
    /// Whether `status` is a signal number rather than an exit code.
    pub signalled: bool,
    /// Exit code, or number of the signal.
    pub status: i32,
    /// The memory limit in force, 0 if none is known.
    pub memory_limit_bytes: u64,
    /// What the running cell used; zeros if none ran.
    pub usage: CellUsage,
    /// What else is known, for people: where a stubborn cell hung, what the interpreter said.
    pub detail: String,
}

impl Exited {
    const FIXED: usize = 16 + CellUsage::BYTES;

    /// The payload; a detail that does not fit one frame is cut at a character.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.cause as u8, self.signalled as u8, 0, 0];
        out.extend_from_slice(&self.status.to_le_bytes());
        out.extend_from_slice(&self.memory_limit_bytes.to_le_bytes());
        self.usage.append(&mut out);
        let mut end = self.detail.len().min(MAX_PAYLOAD - Exited::FIXED);
        while !self.detail.is_char_boundary(end) {
            end -= 1;
        }
        out.extend_from_slice(&self.detail.as_bytes()[..end]);
        out
    }

    /// Reads the payload. A detail that is not UTF-8 is mended, not refused.
    pub fn decode(payload: &[u8]) -> Result<Exited, WireError> {
        if payload.len() < Exited::FIXED || payload[1] > 1 {
            return Err(WireError::Payload("an EXITED"));
        }
        let cause = match payload[0] {
            0 => ExitCause::Own,
            1 => ExitCause::Stubborn,
            2 => ExitCause::Restart,
            3 => ExitCause::Memory,
            4 => ExitCause::Protocol,
            _ => return Err(WireError::Payload("an exit cause")),
        };
        Ok(Exited {
            cause,
            signalled: payload[1] == 1,
            status: i32::from_le_bytes([payload[4], payload[5], payload[6], payload[7]]),
            memory_limit_bytes: u64_at(payload, 8),
            usage: CellUsage::read(&payload[16..]),
            detail: String::from_utf8_lossy(&payload[Exited::FIXED..]).into_owned(),
        })
    }
}

/// Payload of USAGE: `memory u64 · memory_limit u64 · cpu_us u64 · processes u32`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Memory charged to the sandbox now, in bytes.
    pub memory_bytes: u64,
    /// Its limit, 0 if none is known.
    pub memory_limit_bytes: u64,
    /// CPU time since the sandbox began, in microseconds.
    pub cpu_us: u64,
    /// Processes in the sandbox, the supervisor not counted.
    pub processes: u32,
}

impl Usage {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(28);
        for value in [self.memory_bytes, self.memory_limit_bytes, self.cpu_us] {
            out.extend_from_slice(&value.to_le_bytes());
        }
        out.extend_from_slice(&self.processes.to_le_bytes());
        out
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Usage, WireError> {
        if payload.len() != 28 {
            return Err(WireError::Payload("a USAGE"));
        }
        Ok(Usage {
            memory_bytes: u64_at(payload, 0),
            memory_limit_bytes: u64_at(payload, 8),
            cpu_us: u64_at(payload, 16),
            processes: u32::from_le_bytes([payload[24], payload[25], payload[26], payload[27]]),
        })
    }
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut word = [0; 8];
    word.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(word)
}

/// What the supervisor needs to know before it starts a runner.
///
/// Encoded as `version u16` and then fields `tag u8 · length u32 · bytes`, lists by repeating the
/// tag. An unknown tag is refused: gateway and driver are one file and never differ.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Setup {
    /// Which embedded runner to start: `python`.
    pub language: String,
    /// The interpreter: a path in the sandbox, or a name to look up in PATH.
    pub interpreter: String,
    /// The runner's whole environment, `NAME=value` each.
    pub env: Vec<Vec<u8>>,
    /// Where the runner starts; it must exist and be writable.
    pub workdir: String,
    /// Limits the supervisor sets on the runner.
    pub rlimits: Vec<Rlimit>,
    /// A classic BPF program for seccomp (`struct sock_filter` in native layout), installed
    /// in the runner just before its exec. Empty: none.
    pub seccomp: Vec<u8>,
    /// Memory limit of the sandbox in bytes, to name it in messages and, with `watch_memory`,
    /// to enforce it. 0: none.
    pub memory_limit_bytes: u64,
    /// Whether no cgroup enforces the memory limit, so that the supervisor has to watch it.
    pub watch_memory: bool,
    /// How often USAGE is sent while a cell runs, in milliseconds. 0: never.
    pub usage_interval_ms: u32,
}

/// One `setrlimit` call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rlimit {
    /// The kernel's RLIMIT_* number.
    pub resource: u32,
    /// Soft and hard value.
    pub value: u64,
}

mod tag {
    pub(super) const LANGUAGE: u8 = 1;
    pub(super) const INTERPRETER: u8 = 2;
    pub(super) const ENV: u8 = 3;
    pub(super) const WORKDIR: u8 = 4;
    pub(super) const RLIMIT: u8 = 5;
    pub(super) const SECCOMP: u8 = 6;
    pub(super) const MEMORY_LIMIT: u8 = 7;
    pub(super) const WATCH_MEMORY: u8 = 8;
    pub(super) const USAGE_INTERVAL: u8 = 9;
}

impl Setup {
    /// The payload of SETUP; may need several frames.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = VERSION.to_le_bytes().to_vec();
        let mut field = |tag: u8, bytes: &[u8]| {
            out.push(tag);
            out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
            out.extend_from_slice(bytes);
        };
        field(tag::LANGUAGE, self.language.as_bytes());
        field(tag::INTERPRETER, self.interpreter.as_bytes());
        for entry in &self.env {
            field(tag::ENV, entry);
        }
        field(tag::WORKDIR, self.workdir.as_bytes());
        for limit in &self.rlimits {
            let mut bytes = limit.resource.to_le_bytes().to_vec();
            bytes.extend_from_slice(&limit.value.to_le_bytes());
            field(tag::RLIMIT, &bytes);
        }
        field(tag::SECCOMP, &self.seccomp);
        field(tag::MEMORY_LIMIT, &self.memory_limit_bytes.to_le_bytes());
        field(tag::WATCH_MEMORY, &[self.watch_memory as u8]);
        field(tag::USAGE_INTERVAL, &self.usage_interval_ms.to_le_bytes());
        out
    }

    /// Reads the payload of SETUP.
    pub fn decode(payload: &[u8]) -> Result<Setup, WireError> {
        const WRONG: WireError = WireError::Payload("a SETUP");
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| WRONG);
        let mut setup = Setup::default();
        let version = payload.first_chunk::<2>().ok_or(WRONG)?;
        if u16::from_le_bytes(*version) != VERSION {
            return Err(WireError::Payload("of this version of the wire"));
        }
        let mut rest = &payload[2..];
        while let Some((&tag, tail)) = rest.split_first() {
            let length = tail.first_chunk::<4>().ok_or(WRONG)?;
            let length = u32::from_le_bytes(*length) as usize;
            let bytes = tail[4..].get(..length).ok_or(WRONG)?;
            rest = &tail[4 + length..];
            match (tag, length) {
                (tag::LANGUAGE, _) => setup.language = text(bytes)?,
                (tag::INTERPRETER, _) => setup.interpreter = text(bytes)?,
                (tag::ENV, _) => setup.env.push(bytes.to_vec()),
                (tag::WORKDIR, _) => setup.workdir = text(bytes)?,
                (tag::RLIMIT, 12) => setup.rlimits.push(Rlimit {
                    resource: u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]),
                    value: u64_at(bytes, 4),
                }),
                (tag::SECCOMP, _) if length.is_multiple_of(8) => setup.seccomp = bytes.to_vec(),
                (tag::MEMORY_LIMIT, 8) => setup.memory_limit_bytes = u64_at(bytes, 0),
                (tag::WATCH_MEMORY, 1) => setup.watch_memory = bytes[0] == 1,
                (tag::USAGE_INTERVAL, 4) => {
                    setup.usage_interval_ms =
                        u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]);
                }
                _ => return Err(WRONG),
            }
        }
        Ok(setup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_survives_the_wire_and_odd_ones_are_refused() {
        let header = Header { length: 5, kind: kind::OUTPUT, flags: flag::STDERR, cell: 7 };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Ok(header));
        let mut long = bytes;
        long[2] = 2;
        assert_eq!(Header::decode(&long), Err(WireError::Length(0x2_0005)));
        let mut odd = bytes;
        odd[5] = 0x80;
        assert_eq!(Header::decode(&odd), Err(WireError::Flags(0x80)));
        let mut padded = bytes;
        padded[7] = 1;
        assert_eq!(Header::decode(&padded), Err(WireError::Padding));
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

    #[test]
    fn payloads_survive_the_wire() {
        let usage =
            CellUsage { duration_us: 1, cpu_us: 2, peak_memory_bytes: u64::MAX, output_bytes: 4 };
        let done = Done { outcome: Outcome::Interrupted, usage };
        assert_eq!(Done::decode(&done.encode()), Ok(done));
        let exited = Exited {
            cause: ExitCause::Memory,
            signalled: true,
            status: 9,
            memory_limit_bytes: 1 << 28,
            usage,
            detail: "killed at the limit".into(),
        };
        assert_eq!(Exited::decode(&exited.encode()), Ok(exited));
        let usage = Usage { memory_bytes: 1, memory_limit_bytes: 2, cpu_us: 3, processes: 4 };
        assert_eq!(Usage::decode(&usage.encode()), Ok(usage));
        let setup = Setup {
            language: "python".into(),
            interpreter: "python3".into(),
            env: vec![b"A=1".to_vec(), b"B=\xff".to_vec()],
            workdir: "/work".into(),
            rlimits: vec![Rlimit { resource: 7, value: 64 }],
            seccomp: vec![0; 16],
            memory_limit_bytes: 1 << 30,
            watch_memory: true,
            usage_interval_ms: 1000,
        };
        assert_eq!(Setup::decode(&setup.encode()), Ok(setup));
    }

    #[test]
    fn a_detail_too_long_is_cut_at_a_character() {
        let exited = Exited {
            cause: ExitCause::Stubborn,
            signalled: true,
            status: 9,
            memory_limit_bytes: 0,
            usage: CellUsage::default(),
            detail: "é".repeat(MAX_PAYLOAD),
        };
        let payload = exited.encode();
        assert!(payload.len() <= MAX_PAYLOAD);
        assert!(Exited::decode(&payload).unwrap().detail.chars().all(|c| c == 'é'));
    }

    #[test]
    fn broken_payloads_are_refused() {
        assert!(Done::decode(&[0; 39]).is_err());
        assert!(Done::decode(&[3; 40]).is_err());
        assert!(Exited::decode(&[0; 47]).is_err());
        assert!(Usage::decode(&[0; 27]).is_err());
        assert!(Setup::decode(&[]).is_err());
        assert!(Setup::decode(&[1, 0, 99, 0, 0, 0, 0]).is_err());
        assert!(Setup::decode(&[1, 0, tag::ENV, 255, 255, 255, 255]).is_err());
    }
}

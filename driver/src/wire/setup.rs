//! SETUP: the gateway's first frame. OPEN has the same shape, for one more program.

use super::{VERSION, WireError, u64_at};

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
    /// Of OPEN: the process to start, in the place of an interpreter.
    pub process: Option<Process>,
}

/// A process to start.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// Its file, a path in the sandbox or a name to look up in PATH, and its arguments. At least one.
    pub argv: Vec<Vec<u8>>,
    /// Whether WRITE reaches its standard input; otherwise that is empty. With a terminal it always does.
    pub stdin: bool,
    /// Its terminal, which is its standard input, output and error. `None`: it has pipes.
    pub terminal: Option<TerminalSize>,
}

/// How many characters fit a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TerminalSize {
    /// In a line.
    pub columns: u16,
    /// Lines.
    pub rows: u16,
}

impl TerminalSize {
    /// The payload of RESIZE.
    pub fn encode(self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.columns.to_le_bytes(), self.rows.to_le_bytes());
        [a, b, c, d]
    }

    /// Reads the payload of RESIZE.
    pub fn decode(payload: &[u8]) -> Result<TerminalSize, WireError> {
        match *payload {
            [a, b, c, d] => Ok(TerminalSize {
                columns: u16::from_le_bytes([a, b]),
                rows: u16::from_le_bytes([c, d]),
            }),
            _ => Err(WireError::Payload("a size of a terminal")),
        }
    }
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
    pub(super) const ARGUMENT: u8 = 10;
    pub(super) const STDIN: u8 = 11;
    pub(super) const TERMINAL: u8 = 12;
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
        if let Some(process) = &self.process {
            process.argv.iter().for_each(|argument| field(tag::ARGUMENT, argument));
            field(tag::STDIN, &[process.stdin as u8]);
            if let Some(size) = process.terminal {
                field(tag::TERMINAL, &size.encode());
            }
        }
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
                (tag::ARGUMENT, _) => {
                    setup.process.get_or_insert_default().argv.push(bytes.to_vec());
                }
                (tag::STDIN, 1) => setup.process.get_or_insert_default().stdin = bytes[0] == 1,
                (tag::TERMINAL, 4) => {
                    let size = TerminalSize::decode(bytes)?;
                    setup.process.get_or_insert_default().terminal = Some(size);
                }
                _ => return Err(WRONG),
            }
        }
        if setup.process.as_ref().is_some_and(|process| process.argv.is_empty()) {
            return Err(WRONG);
        }
        Ok(setup)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_setup_survives_the_wire() {
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
            process: None,
        };
        assert_eq!(Setup::decode(&setup.encode()), Ok(setup.clone()));
        let argv = vec![b"cat".to_vec(), b"\xff".to_vec()];
        let terminal = Some(TerminalSize { columns: 80, rows: 24 });
        let process = Some(Process { argv, stdin: true, terminal });
        let setup = Setup { process, ..setup };
        assert_eq!(Setup::decode(&setup.encode()), Ok(setup));
    }

    #[test]
    fn broken_setups_are_refused() {
        assert!(Setup::decode(&[]).is_err());
        assert!(Setup::decode(&[1, 0, 99, 0, 0, 0, 0]).is_err());
        assert!(Setup::decode(&[2, 0, tag::ENV, 255, 255, 255, 255]).is_err());
        assert!(Setup::decode(&[2, 0, tag::STDIN, 1, 0, 0, 0, 1]).is_err(), "no argument");
    }
}

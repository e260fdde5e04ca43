//! What frames of a fixed shape carry: how a cell or a runner ended, and what was used.

use super::{MAX_PAYLOAD, WireError, u64_at};

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
    /// Highest memory of the sandbox while the cell ran, in bytes: as the kernel counted it where
    /// it does, else as it was seen.
    pub peak_memory_bytes: u64,
    /// Bytes the cell wrote to stdout and stderr before its end.
    pub output_bytes: u64,
}

/// Payload of DONE from the supervisor: `outcome u8 · memory_kills u8 · zero [6] · usage 4 × u64`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// How the cell ended.
    pub outcome: Outcome,
    /// Processes of the sandbox that the kernel ended at the memory limit while the cell ran; 255
    /// stands for as many or more.
    pub memory_kills: u8,
    /// What it used.
    pub usage: CellUsage,
}

impl Done {
    /// The payload.
    pub fn encode(&self) -> Vec<u8> {
        let mut out = vec![self.outcome as u8, self.memory_kills, 0, 0, 0, 0, 0, 0];
        self.usage.append(&mut out);
        out
    }

    /// Reads the payload.
    pub fn decode(payload: &[u8]) -> Result<Done, WireError> {
        if payload.len() != 8 + CellUsage::BYTES {
            return Err(WireError::Payload("a DONE"));
        }
        Ok(Done {
            outcome: Outcome::decode(payload[0])?,
            memory_kills: payload[1],
            usage: CellUsage::read(&payload[8..]),
        })
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
    /// RESTART or CLOSE asked for it.
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
    /// What the running cell used; zeros if none ran. Of a process what it used from its start on, without memory.
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn payloads_survive_the_wire() {
        let usage =
            CellUsage { duration_us: 1, cpu_us: 2, peak_memory_bytes: u64::MAX, output_bytes: 4 };
        let done = Done { outcome: Outcome::Interrupted, memory_kills: 2, usage };
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
    }
}

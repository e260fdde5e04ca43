//! From the gateway: the start of a process, what it is to read, signals, and its end.

use std::time::Instant;

use cellgate_driver::wire::{
    CellUsage, ExitCause, Exited, Header, MOST_UNWRITTEN, Setup, TerminalSize, flag, kind,
};

use super::{NotStarted, Process};
use crate::supervisor::{End, Supervisor};

/// Highest number of a signal.
const LAST_SIGNAL: u8 = 64;

impl Supervisor {
    /// Whether a frame of this kind may have crossed the end of its process on the way.
    pub(in crate::supervisor) fn has_crossed_an_end(&self, header: &Header) -> bool {
        let of_processes = [kind::WRITE, kind::SIGNAL, kind::RESIZE, kind::CLOSE];
        of_processes.contains(&header.kind) && self.ended_processes.contains(&header.program)
    }

    /// Starts a process as the program of this number.
    pub(in crate::supervisor) fn start_process(&mut self, number: u16, setup: Setup, now: Instant) {
        let Some(process) = &setup.process else { return };
        self.ended_processes.remove(&number);
        match self.start_first_to_die(|| Process::start(number, &setup, process, now)) {
            Ok(process) => {
                let pid = (process.pid as u32).to_le_bytes().to_vec();
                self.owed.push_back((number, kind::STARTED, 0, 0, pid));
                self.processes.push(process);
                self.watch_closely(now);
            }
            Err(NotStarted { status, detail }) => {
                let exited = Exited {
                    cause: ExitCause::Own,
                    signalled: false,
                    status,
                    memory_limit_bytes: self.setup.memory_limit_bytes,
                    usage: CellUsage::default(),
                    detail,
                };
                self.owed.push_back((number, kind::EXITED, 0, 0, exited.encode()));
                self.ended_processes.insert(number);
            }
        }
    }

    /// Obeys a command for the process at this place of the list.
    pub(in crate::supervisor) fn command_process(
        &mut self,
        at: usize,
        header: &Header,
        payload: &[u8],
        now: Instant,
    ) -> Result<(), End> {
        let scope = self.scope;
        let process = &mut self.processes[at];
        let lives = process.ending.is_none();
        let more = header.flags & flag::MORE != 0;
        match (header.kind, payload) {
            (kind::WRITE, _)
                if header.flags & !flag::MORE == 0 && !(more && payload.is_empty()) =>
            {
                process.write(payload, scope).map_err(|_| {
                    let most = MOST_UNWRITTEN;
                    End::Breach(format!("more than {most} bytes under way to a process"))
                })?;
            }
            (kind::SIGNAL, &[signal @ 1..=LAST_SIGNAL]) if header.flags == 0 => {
                // After its end its number may be another's.
                if lives {
                    process.signal(signal.into(), scope);
                }
            }
            (kind::RESIZE, _) if header.flags == 0 => {
                process.resize(TerminalSize::decode(payload).map_err(End::link_breach)?);
            }
            (kind::CLOSE, []) if header.flags == 0 => {
                self.end_process(at, ExitCause::Restart, String::new(), now);
            }
            (other, _) => {
                let flags = header.flags;
                return Err(End::Breach(format!(
                    "frame {other:#04x} with flags {flags:#04x} of a process"
                )));
            }
        }
        Ok(())
    }
}

//! From the gateway: its commands, and what they do to the runner. Those to processes are in `process/commands`.
//!
//! The link is read whatever else is stuck, so that INTERRUPT and RESTART always arrive. It is
//! left unread only while something of a bounded size is full: the queue to a runner that does not
//! read, or the answers the gateway does not take.

use std::borrow::Cow;
use std::time::Instant;

use cellgate_driver::wire::{
    CellUsage, ExitCause, FrameReader, Header, MOST_PROGRAMS, MOST_SETUP, Setup, flag, kind,
};

use super::cell::Cell;
use super::frames::{Fill, fill};
use super::program::Program;
use super::runner::{MOST_QUESTIONS, Questions, Runner, Socket};
use super::stage::Stage;
use super::{End, Supervisor};

/// Answers to the gateway that may wait for the link before its commands do.
const MOST_OWED: usize = 32; // a few restarts and every open question

/// Where a frame's program stands.
const PROGRAM: std::ops::Range<usize> = 6..8;

/// Longest payload of PING.
const PING_BYTES: usize = 64;

/// Collects SETUP, which may come in several frames.
#[derive(Default)]
pub(super) struct SetupReader {
    payload: Vec<u8>,
}

impl SetupReader {
    /// Takes in the frames read so far; SETUP once it is complete.
    pub(super) fn take(&mut self, reader: &mut FrameReader) -> Result<Option<Setup>, End> {
        while let Some(header) = reader.peek().map_err(End::link_breach)? {
            if header.kind != kind::SETUP || header.flags & !flag::MORE != 0 {
                return Err(End::Breach(format!("frame {:#04x} before SETUP", header.kind)));
            }
            self.payload.extend_from_slice(reader.payload(&header));
            reader.consume(&header);
            if self.payload.len() > MOST_SETUP {
                return Err(End::Breach("a SETUP without end".into()));
            }
            if header.flags & flag::MORE == 0 {
                return Setup::decode(&self.payload).map(Some).map_err(End::link_breach);
            }
        }
        Ok(None)
    }
}

impl Supervisor {
    /// Whether commands have to wait.
    pub(super) fn is_paused(&self) -> bool {
        self.owed.len() >= MOST_OWED
            || !self.link.has_reserve(PING_BYTES * 2)
            || self
                .programs
                .iter()
                .any(|program| program.runner.as_ref().is_some_and(Runner::is_full))
    }

    /// Reads the link once.
    pub(super) fn read_link(&mut self) -> Result<(), End> {
        let mut reader = std::mem::take(&mut self.link.reader);
        let filled = fill(&mut reader, self.link.input());
        self.link.reader = reader;
        match filled? {
            Fill::Closed => Err(End::LinkClosed),
            Fill::Bytes | Fill::Nothing => Ok(()),
        }
    }

    /// Obeys the commands read so far.
    pub(super) fn handle_commands(&mut self, now: Instant) -> Result<(), End> {
        let mut reader = std::mem::take(&mut self.link.reader);
        while !self.is_paused()
            && let Some(header) = reader.peek().map_err(End::link_breach)?
        {
            self.command(header, reader.frame(&header), reader.payload(&header), now)?;
            reader.consume(&header);
        }
        self.link.reader = reader;
        Ok(())
    }

    fn command(
        &mut self,
        header: Header,
        frame: &[u8],
        payload: &[u8],
        now: Instant,
    ) -> Result<(), End> {
        let plain = header.flags & !flag::MORE == 0;
        if header.kind == kind::OPEN && plain {
            return self.open(header, payload, now);
        }
        let number = header.program;
        if let Some(at) = self.processes.iter().position(|process| process.number == number) {
            return self.command_process(at, &header, payload, now);
        }
        if self.has_crossed_an_end(&header) {
            return Ok(());
        }
        // What concerns the sandbox is said as of program 0, which is always there.
        let Some(at) = self.programs.iter().position(|program| program.number == number) else {
            return Err(End::Breach(format!("frame {:#04x} of no program {number}", header.kind)));
        };
        match header.kind {
            kind::EXECUTE if plain => return self.execute(at, header, frame, now),
            kind::INPUT if plain => self.input(at, header.cell, frame),
            kind::CLOSE if header.flags == 0 && payload.is_empty() && number != 0 => {
                self.close(at, now);
            }
            kind::FILE if header.flags == 0 => return self.transfer(header.cell, payload),
            kind::REQUEST if plain => self.ask(at, header, frame),
            kind::INTERRUPT if header.flags == 0 => match *payload {
                [a, b, c, d] => {
                    self.interrupt(at, header.cell, u32::from_le_bytes([a, b, c, d]), now)
                }
                _ => return Err(End::Breach("an INTERRUPT without its grace".into())),
            },
            kind::RESTART if header.flags == 0 && payload.is_empty() => self.restart(at, now),
            kind::PING if header.flags == 0 && payload.len() <= PING_BYTES => {
                self.link.put(kind::PONG, 0, header.cell, payload);
            }
            other => {
                let flags = header.flags;
                return Err(End::Breach(format!("frame {other:#04x} with flags {flags:#04x}")));
            }
        }
        Ok(())
    }

    /// Starts one more program.
    fn open(&mut self, header: Header, payload: &[u8], now: Instant) -> Result<(), End> {
        let number = header.program;
        let interpreters = self.programs.iter().map(|program| program.number);
        let processes = self.processes.iter().map(|process| process.number);
        if interpreters.chain(processes).any(|taken| taken == number) {
            return Err(End::Breach(format!("OPEN of program {number}, which is there")));
        }
        if self.opening.is_some_and(|opening| opening != number)
            || self.open_payload.len() + payload.len() > MOST_SETUP
        {
            return Err(End::Breach(format!("an odd OPEN of program {number}")));
        }
        self.open_payload.extend_from_slice(payload);
        self.opening = (header.flags & flag::MORE != 0).then_some(number);
        if self.opening.is_some() {
            return Ok(());
        }
        let opened = Setup::decode(&std::mem::take(&mut self.open_payload));
        let Setup { language, interpreter, env, workdir, process, .. } =
            opened.map_err(End::link_breach)?;
        if self.programs.len() + self.processes.len() >= MOST_PROGRAMS {
            return Err(End::Breach(format!("OPEN of more than {MOST_PROGRAMS} programs")));
        }
        let of_sandbox = self.programs[0].setup.clone();
        let setup = Setup { language, interpreter, env, workdir, process, ..of_sandbox };
        if setup.process.is_some() {
            self.start_process(number, setup, now);
            return Ok(());
        }
        self.programs.push(Program::new(number, setup));
        self.start_runner(self.programs.len() - 1, now);
        Ok(())
    }

    /// Ends a program for good.
    fn close(&mut self, at: usize, now: Instant) {
        self.programs[at].closing = true;
        if self.programs[at].runner.is_some() {
            self.end_runner(at, ExitCause::Restart, String::new(), now);
        } else {
            let detail = "there was no interpreter to end".to_owned();
            self.owe_exit(at, 0, ExitCause::Restart, None, CellUsage::default(), detail);
            self.programs.remove(at);
        }
    }

    /// Starts a cell with its first fragment and passes each on.
    fn execute(
        &mut self,
        at: usize,
        header: Header,
        frame: &[u8],
        now: Instant,
    ) -> Result<(), End> {
        let number = header.cell;
        let more = header.flags & flag::MORE != 0;
        if self.programs[at].incoming.discarding == Some(number) {
            self.programs[at].incoming.discarding = more.then_some(number);
            return Ok(());
        }
        if self.programs[at].incoming.receiving != Some(number) {
            if let Some(cell) = &self.programs[at].cell {
                let running = cell.number;
                return Err(End::Breach(format!("EXECUTE {number} while cell {running} runs")));
            }
            if number <= self.programs[at].last_cell {
                return Err(End::Breach(format!(
                    "EXECUTE {number} after {}",
                    self.programs[at].last_cell
                )));
            }
            self.note_transferred_files(now);
            let Program { runner, cell, incoming, .. } = &mut self.programs[at];
            let Some(runner) = runner else {
                incoming.discarding = more.then_some(number);
                self.refuse_cell(at, number);
                return Ok(());
            };
            *cell = Some(Cell::begin(number, runner.pid, now));
            incoming.receiving = more.then_some(number);
            // To a runner that is dying the cell is lost: its EXITED will name it.
            if !runner.is_ending()
                && let Err(error) = runner.send_cell(number, &to_runner(frame), &mut self.link, now)
            {
                let detail = format!("cannot hand the cell to the runner: {error}");
                self.end_runner(at, ExitCause::Own, detail, now);
            }
            return Ok(());
        }
        self.programs[at].incoming.receiving = more.then_some(number);
        if let Some(runner) = self.programs[at].runner.as_mut().filter(|runner| !runner.is_ending())
        {
            runner.control.send(&to_runner(frame));
        }
        Ok(())
    }

    fn input(&mut self, at: usize, cell: u32, frame: &[u8]) {
        let runs = self.programs[at].cell.as_ref().is_some_and(|running| running.number == cell);
        if let Some(runner) =
            self.programs[at].runner.as_mut().filter(|runner| runs && !runner.is_ending())
        {
            runner.control.send(&to_runner(frame));
        }
    }

    /// Puts a question to the runner, or answers that it is busy.
    fn ask(&mut self, at: usize, header: Header, frame: &[u8]) {
        let number = header.cell;
        let more = header.flags & flag::MORE != 0;
        let socket = match self.programs[at].incoming.asking {
            Some((asking, socket)) if asking == number => socket,
            _ => self.socket_for_question(at, number),
        };
        self.programs[at].incoming.asking = more.then_some((number, socket));
        match (socket, &mut self.programs[at].runner) {
            (Some(socket), Some(runner)) => runner.channel(socket).send(&to_runner(frame)),
            _ if !more => self.link.put_of(header.program, kind::REPLY, flag::BUSY, number, &[]),
            _ => {}
        }
    }

    fn socket_for_question(&mut self, at: usize, number: u32) -> Option<Socket> {
        let idle = self.programs[at].cell.is_none();
        let runner = self.programs[at]
            .runner
            .as_mut()
            .filter(|runner| matches!(runner.stage, Stage::Ready))?;
        let socket = match runner.questions {
            Questions::Answered => Socket::Side,
            Questions::Untried if idle => Socket::Control,
            Questions::Untried => return None,
        };
        if runner.channel(socket).queued() > 0
            || runner.asked.len() >= MOST_QUESTIONS
            || runner.asked.contains(&number)
        {
            return None;
        }
        runner.asked.push(number);
        Some(socket)
    }

    fn interrupt(&mut self, at: usize, number: u32, grace_ms: u32, now: Instant) {
        let Some(cell) = self.programs[at].cell.as_mut().filter(|cell| cell.number == number)
        else {
            return;
        };
        cell.interrupt(grace_ms, now);
        self.send_late_interrupt(at, now);
    }

    /// Sends SIGINT as soon as the runner has taken the cell it is meant for.
    pub(super) fn send_late_interrupt(&mut self, at: usize, now: Instant) {
        let Program { cell, runner, .. } = &mut self.programs[at];
        let (Some(cell), Some(runner)) = (cell, runner) else { return };
        let Some(interrupt) = &mut cell.interrupt else { return };
        let Some(until) = interrupt.owed_until else { return };
        let taken = match runner.stage {
            Stage::Starting => false,
            _ => runner.control.all_taken() || now >= until,
        };
        if taken {
            interrupt.owed_until = None;
            runner.interrupt(cell.number);
        }
    }

    /// Sends SIGINT once more to a cell that has little of its grace left.
    pub(super) fn repeat_interrupt(&mut self, at: usize, now: Instant) {
        let Program { cell, runner, .. } = &mut self.programs[at];
        let (Some(cell), Some(runner)) = (cell, runner) else { return };
        let Some(interrupt) = &mut cell.interrupt else { return };
        if interrupt.owed_until.is_none() && interrupt.again_at.is_some_and(|at| at <= now) {
            interrupt.repeated(now);
            runner.interrupt(cell.number);
        }
    }
}

/// A frame as its runner is sent it: a runner serves one program and is told no number.
fn to_runner(frame: &[u8]) -> Cow<'_, [u8]> {
    match frame.get(PROGRAM) {
        None | Some([0, 0]) => Cow::Borrowed(frame),
        Some(_) => {
            let mut frame = frame.to_vec();
            frame[PROGRAM].fill(0);
            Cow::Owned(frame)
        }
    }
}

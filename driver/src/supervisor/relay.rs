//! From the runner to the gateway.
//!
//! Everything the runner says is hostile input: user code shares its process. A frame passes if
//! an honest runner could have sent it at this moment; the first that could not ends the runner.
//! A frame about a cell passes behind all output the cell had written before it.

use std::time::Instant;

use cellgate_driver::wire::{Done, ExitCause, HEADER_BYTES, Header, Outcome, flag, kind};

use super::frames::Fill;
use super::pipes::{Due, Stream};
use super::program::Program;
use super::runner::{Questions, Runner, Socket};
use super::stage::Stage;
use super::{End, Supervisor};

/// Payload of the DONE we send, which is longer than the runner's.
const DONE_BYTES: usize = 40;

impl Supervisor {
    /// Reads what the runner wrote to one of its sockets, once.
    pub(super) fn read_socket(&mut self, at: usize, socket: Socket) {
        let Some(runner) = &mut self.programs[at].runner else { return };
        let channel = runner.channel(socket);
        match channel.fill() {
            Ok(Fill::Bytes | Fill::Nothing) => {}
            // An exit closes the sockets just before it is told, so this alone says little.
            Ok(Fill::Closed) | Err(_) => channel.closed = true,
        }
    }

    /// Passes on the whole frames that were read from a socket, until the link is blocked.
    pub(super) fn relay(&mut self, at: usize, socket: Socket, now: Instant) -> Result<(), End> {
        loop {
            let Program { runner, cell, last_cell, .. } = &mut self.programs[at];
            let Some(runner) = runner else { return Ok(()) };
            let others = runner.open_message.is_some_and(|(from, ..)| from != socket);
            if self.link.is_blocked() || others {
                return Ok(());
            }
            let header = match runner.channel(socket).reader.peek() {
                Ok(Some(header)) => header,
                Ok(None) => return Ok(()),
                Err(error) => return self.breach(at, &error.to_string(), now),
            };
            let running = cell.as_ref().map(|cell| cell.number);
            if (socket == Socket::Side || runner.gate.is_none())
                && let Err(what) = check(runner, socket, &header, running, *last_cell)
            {
                return self.breach(at, &what, now);
            }
            if socket == Socket::Control && !self.drain_before(at, header.cell)? {
                return Ok(());
            }
            let room = match header.kind {
                kind::DONE => DONE_BYTES + HEADER_BYTES + self.find_changed_files(at),
                _ => header.length as usize,
            };
            if !self.link.make_room(room)? {
                return Ok(());
            }
            self.pass(at, socket, header, now)?;
        }
    }

    /// Carries the output of a cell that was written before the frame at the head of the control
    /// socket. False: the link is blocked, and the rest is still due.
    fn drain_before(&mut self, at: usize, cell: u32) -> Result<bool, End> {
        let Program { runner, cell: running, ready_pipes, .. } = &mut self.programs[at];
        let Some(runner) = runner else { return Ok(true) };
        ready_pipes.retain(|&(of, _)| of != cell);
        let due = runner.gate.get_or_insert([Due::All; 2]);
        for stream in Stream::ALL {
            let bytes =
                runner.pipes.drain(cell, stream, &mut due[stream as usize], &mut self.link)?;
            if let Some(running) = running.as_mut().filter(|running| running.number == cell) {
                running.output_bytes += bytes as u64;
            }
        }
        Ok(due.iter().all(|due| *due == Due::Nothing))
    }

    /// Passes the frame at the head of a socket.
    fn pass(&mut self, at: usize, socket: Socket, header: Header, now: Instant) -> Result<(), End> {
        let Program { number, runner, cell: running, .. } = &mut self.programs[at];
        let number = *number;
        let Some(runner) = runner else { return Ok(()) };
        let Header { kind, flags, cell, .. } = header;
        let running = running.as_ref().is_some_and(|running| running.number == cell);
        let reader = &mut runner.channel(socket).reader;
        let payload = reader.payload(&header);
        let mut outcome = None;
        match kind {
            kind::SYNC => {}
            kind::DONE => outcome = ended(payload),
            // A message of no cell belongs to none that could have ended.
            kind::MESSAGE if !running && cell != 0 => {
                self.link.put_of(number, kind, (flags & flag::MORE) | flag::LATE, cell, payload);
            }
            _ => self.link.put_of(number, kind, flags & !flag::SYNC, cell, payload),
        }
        reader.consume(&header);
        if socket == Socket::Control {
            runner.gate = None;
        }
        let more = flags & flag::MORE != 0;
        runner.open_message = more.then_some((socket, kind, cell));
        if flags & flag::SYNC != 0 {
            runner.acknowledge();
        }
        match kind {
            kind::READY if !more => self.runner_ready(at, now),
            kind::REPLY if !more => {
                runner.asked.retain(|&asked| asked != cell);
                runner.questions = Questions::Answered;
                Ok(())
            }
            kind::DONE => match outcome {
                Some((outcome, alone)) => self.end_cell(at, outcome, alone, now),
                None => Ok(()), // checked before
            },
            _ => Ok(()),
        }
    }

    fn runner_ready(&mut self, at: usize, now: Instant) -> Result<(), End> {
        self.link.flush()?;
        if let Some(interrupt) =
            self.programs[at].cell.as_mut().and_then(|cell| cell.interrupt.as_mut())
        {
            interrupt.owe(now);
        }
        if let Some(runner) = &mut self.programs[at].runner {
            runner.was_ready = true;
            if matches!(runner.stage, Stage::Starting) {
                runner.stage = Stage::Ready;
            }
        }
        let now = self.watch.meter.sample(); // what a first short cell is said to use
        if let Some(runner) = &self.programs[at].runner {
            // What starting took is no cell's.
            self.watch.meter.peak_bytes(runner.pid, now.memory_bytes);
        }
        Ok(())
    }

    /// Ends the running cell, and only then makes the pipes of the next, if it needs others.
    fn end_cell(
        &mut self,
        at: usize,
        outcome: Outcome,
        alone: bool,
        now: Instant,
    ) -> Result<(), End> {
        let Program { number, runner, cell, last_cell, incoming, .. } = &mut self.programs[at];
        let (Some(runner), Some(mut cell)) = (runner, cell.take()) else { return Ok(()) };
        let usage = cell.usage(&mut self.watch.meter, runner.pid, None, now);
        let memory_kills = cell.memory_kills(&self.watch.meter);
        let done = Done { outcome, memory_kills, usage };
        if let Some(files) = cell.files_changed.filter(|files| !files.is_empty()) {
            self.link.put_of(*number, kind::FILES_CHANGED, 0, cell.number, &files);
        }
        self.link.put_of(*number, kind::DONE, 0, cell.number, &done.encode());
        self.link.flush()?;
        *last_cell = cell.number;
        incoming.discarding = incoming.receiving.take();
        runner.pipes.sweep(&mut self.link)?;
        let dropped = runner.pipes.end(cell.number, &mut self.link)?;
        if let Stage::Dumping(_) = runner.stage {
            runner.stage = Stage::Ready; // it yielded at the last moment
        }
        if runner.is_ending() {
            return Ok(());
        }
        runner.cell_ended(cell.number, alone);
        if let Some(dropped) = dropped {
            self.log(&format!(
                "closed the pipes of cell {dropped}: too many ended cells hold theirs"
            ));
        }
        Ok(())
    }

    /// Ends a runner that broke the wire's rules.
    fn breach(&mut self, at: usize, what: &str, now: Instant) -> Result<(), End> {
        if let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.programs[at].runner {
            ending.mute = true; // dead already: nothing it said counts from here
            return Ok(());
        }
        self.end_runner(
            at,
            ExitCause::Protocol,
            format!("the runner broke the protocol: {what}"),
            now,
        );
        if let Some(Runner { stage: Stage::Ending(ending), .. }) = &mut self.programs[at].runner {
            ending.mute = true;
        }
        Ok(())
    }
}

/// What a runner's DONE says: how the cell ended, and whether nothing is left that could write.
fn ended(payload: &[u8]) -> Option<(Outcome, bool)> {
    let (&outcome, left) = payload.split_first()?;
    let alone = match left {
        [] => false,
        [1] => true,
        _ => return None,
    };
    Some((Outcome::decode(outcome).ok()?, alone))
}

/// Whether an honest runner could send this frame now; else what is wrong with it.
fn check(
    runner: &mut Runner,
    socket: Socket,
    header: &Header,
    running: Option<u32>,
    last_cell: u32,
) -> Result<(), String> {
    let Header { length, kind, flags, program, cell } = *header;
    let only = |allowed: u8| flags & !allowed == 0;
    let wrong =
        |what: &str| Err(format!("{what} (kind {kind:#04x}, flags {flags:#04x}, cell {cell})"));
    if program != 0 {
        return wrong("a frame of a program");
    }
    if let Some((_, open_kind, open_cell)) = runner.open_message
        && (open_kind, open_cell) != (kind, cell)
    {
        return wrong("a frame inside another message");
    }
    if !runner.was_ready && kind != kind::READY {
        return wrong("a frame before READY");
    }
    let known = cell != 0 && (running == Some(cell) || cell <= last_cell);
    match (socket, kind) {
        (Socket::Control, kind::READY) => match runner.was_ready {
            true => wrong("a second READY"),
            false if cell == 0 && only(flag::MORE) => Ok(()),
            false => wrong("an odd READY"),
        },
        (Socket::Control, kind::MESSAGE) => {
            let both = flag::MORE | flag::SYNC;
            match () {
                () if !known && cell != 0 => wrong("a message of a cell that has not begun"),
                () if !only(both) || flags & both == both => wrong("odd flags on a message"),
                () => Ok(()),
            }
        }
        (Socket::Control, kind::DONE) => {
            let payload = runner.control.reader.payload(header);
            match payload {
                _ if running != Some(cell) => wrong("the end of a cell that does not run"),
                _ if flags == 0 && ended(payload).is_some() => Ok(()),
                _ => wrong("an odd DONE"),
            }
        }
        (Socket::Control, kind::SYNC) => match flags == flag::SYNC && length == 0 {
            true if known || cell == 0 => Ok(()),
            _ => wrong("an odd SYNC"),
        },
        (_, kind::REPLY) => match runner.asked.contains(&cell) {
            true if only(flag::MORE | flag::BUSY) => Ok(()),
            true => wrong("odd flags on a reply"),
            false => wrong("a reply to no question"),
        },
        _ => wrong("a frame that does not belong on this socket"),
    }
}

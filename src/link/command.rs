//! What a session tells its driver, and how it travels.

use std::time::Duration;

use bytes::BytesMut;
use cellgate_driver::wire::{self, HEADER_BYTES, TerminalSize, kind};

/// What a session tells its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverCommand {
    /// Run a cell; the JSON of [`kind::EXECUTE`].
    Execute {
        /// Number of the cell, never 0.
        cell: u32,
        /// Encoded fields.
        json: Vec<u8>,
    },
    /// Stop a cell.
    Interrupt {
        /// Number of the cell.
        cell: u32,
        /// From SIGINT to SIGKILL.
        grace: Duration,
    },
    /// Answer an input request; the JSON of [`kind::INPUT`].
    Input {
        /// Number of the cell.
        cell: u32,
        /// Encoded fields.
        json: Vec<u8>,
    },
    /// Start afresh.
    Restart,
    /// Ask something; the JSON of [`kind::REQUEST`].
    Request {
        /// Number of the question.
        number: u32,
        /// Encoded fields.
        json: Vec<u8>,
    },
    /// Start a program; the payload of [`kind::OPEN`].
    Open(Vec<u8>),
    /// End a program for good.
    Close,
    /// Write to a process: one frame of [`kind::WRITE`], empty for the end of its input.
    Write(bytes::Bytes),
    /// Send a process a signal.
    Signal(u8),
    /// Give the terminal of a process another size.
    Resize(TerminalSize),
    /// The same of another program than the session's first.
    OfProgram {
        /// Its number, which is not 0.
        program: u16,
        /// What.
        command: Box<DriverCommand>,
    },
    /// A step of a file's transfer.
    File {
        /// Number of the transfer.
        number: u32,
        /// The payload of [`kind::FILE`]: one frame.
        payload: Vec<u8>,
    },
}

impl DriverCommand {
    /// The command for the program of this number.
    pub fn of(self, program: u16) -> DriverCommand {
        match program {
            0 => self,
            program => DriverCommand::OfProgram { program, command: Box::new(self) },
        }
    }

    /// Appends the command's frames.
    pub(super) fn append_to(&self, out: &mut BytesMut) {
        self.append_of(0, out);
    }

    fn append_of(&self, program: u16, out: &mut BytesMut) {
        let append = |out: &mut BytesMut, kind, cell, payload: &[u8]| {
            append_of(out, program, kind, cell, payload);
        };
        match self {
            DriverCommand::OfProgram { program, command } => command.append_of(*program, out),
            DriverCommand::Open(setup) => append(out, kind::OPEN, 0, setup),
            DriverCommand::Close => append(out, kind::CLOSE, 0, &[]),
            DriverCommand::Write(bytes) => append(out, kind::WRITE, 0, bytes),
            DriverCommand::Signal(number) => append(out, kind::SIGNAL, 0, &[*number]),
            DriverCommand::Resize(size) => append(out, kind::RESIZE, 0, &size.encode()),
            DriverCommand::Execute { cell, json } => append(out, kind::EXECUTE, *cell, json),
            DriverCommand::Interrupt { cell, grace } => {
                let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
                append(out, kind::INTERRUPT, *cell, &grace.to_le_bytes());
            }
            DriverCommand::Input { cell, json } => append(out, kind::INPUT, *cell, json),
            DriverCommand::Restart => append(out, kind::RESTART, 0, &[]),
            DriverCommand::Request { number, json } => append(out, kind::REQUEST, *number, json),
            DriverCommand::File { number, payload } => append(out, kind::FILE, *number, payload),
        }
    }
}

/// Appends a message.
pub(super) fn append(out: &mut BytesMut, kind: u8, cell: u32, payload: &[u8]) {
    append_of(out, 0, kind, cell, payload);
}

/// The same of a program.
fn append_of(out: &mut BytesMut, program: u16, kind: u8, cell: u32, payload: &[u8]) {
    let mut frames = Vec::with_capacity(payload.len() + HEADER_BYTES);
    wire::append_message_of(&mut frames, program, kind, 0, cell, payload);
    out.extend_from_slice(&frames);
}

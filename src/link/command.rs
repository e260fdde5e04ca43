//! What a session tells its driver, and how it travels.

use std::time::Duration;

use bytes::BytesMut;
use cellgate_driver::wire::{self, HEADER_BYTES, kind};

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
    /// A step of a file's transfer.
    File {
        /// Number of the transfer.
        number: u32,
        /// The payload of [`kind::FILE`]: one frame.
        payload: Vec<u8>,
    },
}

impl DriverCommand {
    /// Appends the command's frames.
    pub(super) fn append_to(&self, out: &mut BytesMut) {
        match self {
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
    let mut frames = Vec::with_capacity(payload.len() + HEADER_BYTES);
    wire::append_message(&mut frames, kind, 0, cell, payload);
    out.extend_from_slice(&frames);
}

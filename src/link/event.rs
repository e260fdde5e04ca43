//! What a driver tells its session.

use bytes::Bytes;
use cellgate_driver::wire::{Done, Exited, Usage};

use super::TransferAnswer;
use crate::protocol::event::Stream;

/// What a driver tells its session.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverEvent {
    /// A runner is ready; the JSON of [`kind::READY`].
    Ready(Bytes),
    /// Bytes a cell wrote.
    Output {
        /// Number of the cell, 0 for none.
        cell: u32,
        /// Which stream.
        stream: Stream,
        /// At most [`MAX_PAYLOAD`].
        bytes: Bytes,
    },
    /// A rich event; the JSON of [`kind::MESSAGE`].
    Message {
        /// Number of the cell.
        cell: u32,
        /// Encoded fields.
        json: Bytes,
    },
    /// A message of a cell that was not kept: there was no memory for it.
    Refused {
        /// Number of the cell.
        cell: u32,
    },
    /// A cell ended, the runner lives.
    Done {
        /// Number of the cell.
        cell: u32,
        /// How, and what it used.
        done: Done,
    },
    /// The runner ended.
    Exited {
        /// Number of the running cell, 0 for none.
        cell: u32,
        /// How, and what the cell used.
        exited: Exited,
    },
    /// A process was started.
    Started {
        /// Its number in the sandbox.
        pid: u32,
    },
    /// A process took this many bytes of what was written to it.
    Wrote {
        /// Bytes, since the last time.
        bytes: u32,
    },
    /// Files that a cell has made or changed.
    FilesChanged {
        /// Number of the cell.
        cell: u32,
        /// Paths below the working directory.
        files: Vec<String>,
        /// There are more.
        more: bool,
    },
    /// The same of another program than the session's first.
    OfProgram {
        /// Its number, which is not 0.
        program: u16,
        /// What.
        event: Box<DriverEvent>,
    },
    /// What the sandbox uses.
    Usage(Usage),
    /// Answer to a [`DriverCommand::Request`].
    Reply {
        /// Number of the question.
        number: u32,
        /// The encoded answer; `None`: the runner was busy.
        json: Option<Bytes>,
    },
    /// Answer to a [`DriverCommand::File`].
    File {
        /// Number of the transfer.
        number: u32,
        /// The answer.
        answer: TransferAnswer,
    },
    /// For the operator's log.
    Log(String),
}

impl DriverEvent {
    /// Whether a healthy driver may say this while no cell was ever sent.
    pub fn is_of_no_cell(&self) -> bool {
        matches!(
            self,
            DriverEvent::Output { cell: 0, .. } | DriverEvent::Usage(_) | DriverEvent::Log(_)
        )
    }
}

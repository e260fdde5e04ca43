//! Which event it is, without its fields: one byte, kept beside each encoded event.

use super::Event;

/// The variants of [`Event`]. The numbers stand in the files of logs, which live no longer than the
/// process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum EventKind {
    /// A cell was accepted.
    Queued,
    /// A cell began to run.
    Started,
    /// Text of stdout.
    Stdout,
    /// Text of stderr.
    Stderr,
    /// Value of the last expression.
    Result,
    /// Something was shown.
    Display,
    /// Output of the cell is to be removed.
    ClearOutput,
    /// The code opened a comm.
    CommOpen,
    /// The code said something on a comm.
    CommMsg,
    /// The code closed a comm.
    CommClose,
    /// The code asks for input.
    InputRequest,
    /// The code raised.
    Error,
    /// Output was left out.
    Truncated,
    /// A cell ended.
    Done,
    /// What the sandbox uses.
    Usage,
    /// The session does something else.
    Status,
    /// A fresh interpreter took over.
    Restarted,
    /// Something people should know.
    Notice,
    /// A program was started.
    Opened,
    /// A program is no more.
    Exited,
    /// A process wrote to its stdout.
    ProcessStdout,
    /// A process wrote to its stderr.
    ProcessStderr,
    /// A process wrote to its terminal.
    ProcessTerminal,
    /// The session is over.
    Ended,
}

impl EventKind {
    /// All, each at the place of its number.
    pub const ALL: [EventKind; 24] = [
        EventKind::Queued,
        EventKind::Started,
        EventKind::Stdout,
        EventKind::Stderr,
        EventKind::Result,
        EventKind::Display,
        EventKind::ClearOutput,
        EventKind::CommOpen,
        EventKind::CommMsg,
        EventKind::CommClose,
        EventKind::InputRequest,
        EventKind::Error,
        EventKind::Truncated,
        EventKind::Done,
        EventKind::Usage,
        EventKind::Status,
        EventKind::Restarted,
        EventKind::Notice,
        EventKind::Opened,
        EventKind::Exited,
        EventKind::ProcessStdout,
        EventKind::ProcessStderr,
        EventKind::ProcessTerminal,
        EventKind::Ended,
    ];

    /// Whether it is text of stdout or stderr.
    pub fn is_output(self) -> bool {
        use EventKind::{ProcessStderr, ProcessStdout, ProcessTerminal, Stderr, Stdout};
        matches!(self, Stdout | Stderr | ProcessStdout | ProcessStderr | ProcessTerminal)
    }

    /// Whether it changes nothing that is shown of a cell's output.
    pub fn shows_nothing(self) -> bool {
        use EventKind::{CommClose, CommMsg, CommOpen, Exited, Opened, Queued, Status, Usage};
        use EventKind::{ProcessStderr, ProcessStdout, ProcessTerminal};
        matches!(self, Usage | Status | Queued | CommOpen | CommMsg | CommClose | Opened | Exited)
            || matches!(self, ProcessStdout | ProcessStderr | ProcessTerminal)
    }
}

impl Event {
    /// Which event it is.
    pub fn kind(&self) -> EventKind {
        match self {
            Event::Queued { .. } => EventKind::Queued,
            Event::Started { .. } => EventKind::Started,
            Event::Stdout(_) => EventKind::Stdout,
            Event::Stderr(_) => EventKind::Stderr,
            Event::Result { .. } => EventKind::Result,
            Event::Display { .. } => EventKind::Display,
            Event::ClearOutput { .. } => EventKind::ClearOutput,
            Event::CommOpen(_) => EventKind::CommOpen,
            Event::CommMsg(_) => EventKind::CommMsg,
            Event::CommClose(_) => EventKind::CommClose,
            Event::InputRequest { .. } => EventKind::InputRequest,
            Event::Error { .. } => EventKind::Error,
            Event::Truncated { .. } => EventKind::Truncated,
            Event::Done { .. } => EventKind::Done,
            Event::Usage { .. } => EventKind::Usage,
            Event::Status { .. } => EventKind::Status,
            Event::Restarted { .. } => EventKind::Restarted,
            Event::Notice { .. } => EventKind::Notice,
            Event::Opened(_) => EventKind::Opened,
            Event::Exited { .. } => EventKind::Exited,
            Event::ProcessStdout(_) => EventKind::ProcessStdout,
            Event::ProcessStderr(_) => EventKind::ProcessStderr,
            Event::ProcessTerminal(_) => EventKind::ProcessTerminal,
            Event::Ended { .. } => EventKind::Ended,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_stands_at_the_place_of_its_number() {
        for (number, kind) in EventKind::ALL.into_iter().enumerate() {
            assert_eq!(kind as usize, number);
        }
    }
}

//! The cell that runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use crate::protocol::event::Stream;
use crate::session::text::TextDecoder;

/// Why a cell was told to stop. The first reason counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stop {
    /// A participant asked.
    Interrupt { by: Arc<str> },
    /// Its wall clock ran out.
    Timeout,
    /// It wrote more than it may.
    OutputLimit,
    /// The interpreter is to be started afresh.
    Restart,
}

/// A cell from its start to its end.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) number: u32,
    pub(super) id: Arc<str>,
    pub(super) execution_count: Option<u32>,
    pub(super) timeout: Option<Duration>,
    pub(super) stop_on_error: bool,
    pub(super) stop: Option<Stop>,
    streams: [StreamSide; 2],
    output_bytes: u64,
    /// The budget and that it is spent.
    over_budget: Option<u64>,
}

#[derive(Debug, Default)]
struct StreamSide {
    decoder: TextDecoder,
    omitted: u64,
}

impl Running {
    pub(super) fn new(
        number: u32,
        id: Arc<str>,
        execution_count: Option<u32>,
        timeout: Option<Duration>,
        stop_on_error: bool,
    ) -> Running {
        Running {
            number,
            id,
            execution_count,
            timeout,
            stop_on_error,
            stop: None,
            streams: Default::default(),
            output_bytes: 0,
            over_budget: None,
        }
    }

    /// Takes a chunk within the budget and answers its text; `None` if nothing of it fits.
    pub(super) fn take_output(
        &mut self,
        stream: Stream,
        mut bytes: Bytes,
        budget: Option<u64>,
    ) -> Option<ByteString> {
        let room = budget.map_or(u64::MAX, |budget| budget.saturating_sub(self.output_bytes));
        self.output_bytes += bytes.len() as u64;
        let side = &mut self.streams[stream as usize];
        if bytes.len() as u64 > room {
            self.over_budget = budget;
            side.omitted += bytes.len() as u64 - room;
            bytes.truncate(room as usize);
            if bytes.is_empty() {
                return None;
            }
        }
        Some(side.decoder.push(bytes))
    }

    pub(super) fn is_over_budget(&self) -> bool {
        self.over_budget.is_some()
    }

    /// The budget that was spent.
    pub(super) fn spent_budget(&self) -> Option<u64> {
        self.over_budget
    }

    pub(super) fn decoder(&mut self, stream: Stream) -> &mut TextDecoder {
        &mut self.streams[stream as usize].decoder
    }

    pub(super) fn omitted(&self, stream: Stream) -> Option<u64> {
        Some(self.streams[stream as usize].omitted).filter(|omitted| *omitted > 0)
    }
}

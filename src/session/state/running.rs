//! The cell that runs.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use bytestring::ByteString;

use super::budget::Budget;
use crate::memory::Charge;
use crate::protocol::comm::JsonObject;
use crate::protocol::event::Stream;
use crate::session::text::TextDecoder;
use crate::tally::QuotaShare;

/// Why a cell was told to stop. The first reason counts.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Stop {
    /// A participant asked.
    Interrupt { by: Arc<str> },
    /// Its wall clock ran out.
    Timeout,
    /// It wrote more than is kept of its output.
    OutputLimit { most: u64 },
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
    /// The values of its expressions, if they have come, and their memory.
    pub(super) user_expressions: Option<(JsonObject, Charge)>,
    /// What its runner has to say of its end.
    pub(super) detail: Option<String>,
    /// The document's cell that it is from.
    pub(super) cell: Option<Arc<str>>,
    /// Files that it has made or changed, and whether there are more of them.
    pub(super) files_changed: Vec<String>,
    pub(super) more_files_changed: bool,
    /// Its place among the cells of a publishable key, given back when it has ended.
    pub(super) place: Option<QuotaShare>,
    decoders: [TextDecoder; 2],
    /// `None`: all of its output is shown.
    budget: Option<Budget>,
    written: u64,
    told_of_budget: bool,
}

impl Running {
    pub(super) fn new(
        number: u32,
        id: Arc<str>,
        execution_count: Option<u32>,
        timeout: Option<Duration>,
        stop_on_error: bool,
        budget: Option<u64>,
    ) -> Running {
        Running {
            number,
            id,
            execution_count,
            timeout,
            stop_on_error,
            stop: None,
            user_expressions: None,
            detail: None,
            cell: None,
            files_changed: Vec::new(),
            more_files_changed: false,
            place: None,
            decoders: Default::default(),
            budget: budget.map(Budget::new),
            written: 0,
            told_of_budget: false,
        }
    }

    /// Takes a chunk; answers the text that is shown of it now.
    pub(super) fn take_output(&mut self, stream: Stream, bytes: Bytes) -> ByteString {
        self.written += bytes.len() as u64;
        let bytes = match &mut self.budget {
            Some(budget) => budget.take(stream, bytes),
            None => bytes,
        };
        self.decoders[stream as usize].push(bytes)
    }

    /// Bytes it has written so far.
    pub(super) fn written(&self) -> u64 {
        self.written
    }

    /// Whether people are to be told, this once, that its output is not shown any more as it comes.
    pub(super) fn begins_to_hold_back(&mut self) -> bool {
        let holds_back = self.budget.as_ref().is_some_and(Budget::holds_back);
        holds_back && !std::mem::replace(&mut self.told_of_budget, true)
    }

    /// What is left to be said of its output: how much of each stream was omitted, and then what
    /// is still to be shown.
    pub(super) fn take_rest(&mut self) -> ([u64; 2], Vec<(Stream, ByteString)>) {
        let tail = self.budget.as_mut().map(Budget::take_tail).unwrap_or_default();
        let mut omitted = [0; 2];
        for stream in [Stream::Stdout, Stream::Stderr] {
            let Some(budget) = self.budget.as_mut() else { continue };
            if budget.omitted(stream) > 0 {
                budget.omit_held(stream, self.decoders[stream as usize].forget());
            }
            omitted[stream as usize] = budget.omitted(stream);
        }
        let mut rest: Vec<(Stream, ByteString)> = tail
            .into_iter()
            .map(|(stream, bytes)| (stream, self.decoders[stream as usize].push(bytes)))
            .collect();
        for stream in [Stream::Stdout, Stream::Stderr] {
            rest.push((stream, self.decoders[stream as usize].finish()));
        }
        (omitted, rest)
    }
}

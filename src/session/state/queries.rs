//! Questions about code, tables and variables that are with the runner.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{Effect, ParticipantId};
use crate::link::DriverCommand;
use crate::memory::{Account, Charge};
use crate::protocol::client::{Query, QueryKind, TableQuestion};
use crate::protocol::event::SessionState;
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::reply::{
    CompleteAnswer, Completeness, InspectAnswer, IsCompleteAnswer, Reply, TableAnswer,
    VariablesAnswer,
};
use crate::protocol::scrub::scrub;

/// Questions that may be open at once: a page asks a few a second, and each is held here.
const OPEN: usize = 64;

/// Longest answer that is passed on, in bytes: some thousand completions. With [`OPEN`] it bounds
/// what waits for a participant who asks and does not read.
const ANSWER_BYTES: usize = 1 << 20; // 1 MiB

/// Most bytes of code and other texts that open questions may have together; one may be open whatever its size.
const OPEN_BYTES: usize = 8 << 20; // 8 MiB

/// A question that is open.
#[derive(Debug)]
struct Open {
    from: ParticipantId,
    query: Query,
    /// The memory of `query`.
    charge: Charge,
}

/// The open questions, by their number on the wire.
#[derive(Debug, Default)]
pub(super) struct Queries {
    open: BTreeMap<u32, Open>,
    last: u32,
}

impl Queries {
    /// Whether none is open.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Passes a question on, or answers at once that it cannot be.
    pub(super) fn ask(
        &mut self,
        from: ParticipantId,
        query: Query,
        program: u16,
        phase: SessionState,
        memory: &Account,
        effects: &mut Vec<Effect>,
    ) -> Result<(), Refusal> {
        if self.open.len() >= OPEN {
            let message = format!("{OPEN} questions are open already; wait for their replies");
            return Err(Refusal::new(ErrorCode::RateLimited, message).of(query.id));
        }
        let bytes: usize = self.open.values().map(|open| open.charge.bytes()).sum();
        if bytes + query.bytes() > OPEN_BYTES && bytes > 0 {
            let message = "the questions that are open have too much code; wait for their replies";
            return Err(Refusal::new(ErrorCode::RateLimited, message).of(query.id));
        }
        let charge = match memory.try_charge(query.bytes()) {
            Ok(charge) => charge,
            Err(exhausted) => {
                let message = exhausted.to_string();
                return Err(Refusal::new(ErrorCode::RateLimited, message).of(query.id));
            }
        };
        if phase == SessionState::Restarting {
            effects.push(Effect::Reply(from, busy(query)));
            return Ok(());
        }
        self.last = self.last.wrapping_add(1).max(1);
        effects.extend(request(program, self.last, &query));
        self.open.insert(self.last, Open { from, query, charge });
        Ok(())
    }

    /// The runner answered, or (`None`) was busy.
    pub(super) fn on_reply(&mut self, number: u32, json: Option<&[u8]>, effects: &mut Vec<Effect>) {
        let Some(Open { from, query, charge: _ }) = self.open.remove(&number) else { return };
        let reply = match json {
            None => busy(query),
            Some(json) if json.len() > ANSWER_BYTES => {
                effects.push(Effect::Log(format!("a runner's reply of {} bytes", json.len())));
                busy(query)
            }
            Some(json) => answer(query, json).unwrap_or_else(|(query, error)| {
                effects.push(Effect::Log(format!("a runner's reply: {error}")));
                busy(query)
            }),
        };
        effects.push(Effect::Reply(from, reply));
    }

    /// The runner is no more.
    pub(super) fn give_up(&mut self, effects: &mut Vec<Effect>) {
        for (_, Open { from, query, .. }) in std::mem::take(&mut self.open) {
            effects.push(Effect::Reply(from, busy(query)));
        }
    }
}

fn request(program: u16, number: u32, query: &Query) -> Option<Effect> {
    #[derive(Serialize)]
    struct AboutCode<'a> {
        op: &'static str,
        code: &'a str,
        cursor: u64,
    }
    #[derive(Serialize)]
    struct AboutValues<'a> {
        op: &'static str,
        #[serde(flatten)]
        table: Option<&'a TableQuestion>,
    }
    let op = query.kind.name();
    let json = match &query.kind {
        QueryKind::Table(question) => {
            serde_json::to_vec(&AboutValues { op, table: Some(question) })
        }
        QueryKind::Variables => serde_json::to_vec(&AboutValues { op, table: None }),
        QueryKind::Complete | QueryKind::Inspect | QueryKind::IsComplete => {
            serde_json::to_vec(&AboutCode { op, code: &query.code, cursor: query.cursor })
        }
    };
    let json = json.ok()?;
    Some(Effect::Send(DriverCommand::Request { number, json }.of(program)))
}

fn answer(query: Query, json: &[u8]) -> Result<Reply, (Query, String)> {
    let json = match scrub(json) {
        Ok(json) => json,
        Err(unfit) => return Err((query, unfit.to_string())),
    };
    let json = &*json;
    let read = match &query.kind {
        QueryKind::Complete => serde_json::from_slice(json)
            .map(|answer| Reply::CompleteReply { id: query.id.clone(), answer }),
        QueryKind::Inspect => serde_json::from_slice(json).map(|mut answer: InspectAnswer| {
            if !answer.data.get().starts_with('{') {
                answer.data = InspectAnswer::default().data;
            }
            Reply::InspectReply { id: query.id.clone(), answer }
        }),
        QueryKind::IsComplete => serde_json::from_slice(json)
            .map(|answer| Reply::IsCompleteReply { id: query.id.clone(), answer }),
        QueryKind::Table(_) => serde_json::from_slice(json)
            .map(|answer| Reply::TableReply { id: query.id.clone(), answer }),
        QueryKind::Variables => serde_json::from_slice(json)
            .map(|answer| Reply::VariablesReply { id: query.id.clone(), answer }),
    };
    read.map_err(|error| (query, error.to_string()))
}

fn busy(query: Query) -> Reply {
    let id = query.id;
    match query.kind {
        QueryKind::Complete => {
            let answer = CompleteAnswer {
                start: query.cursor,
                end: query.cursor,
                busy: true,
                ..CompleteAnswer::default()
            };
            Reply::CompleteReply { id, answer }
        }
        QueryKind::Inspect => {
            Reply::InspectReply { id, answer: InspectAnswer { busy: true, ..Default::default() } }
        }
        QueryKind::IsComplete => {
            let status = Completeness::Unknown;
            let answer = IsCompleteAnswer { status, indent: None, busy: true };
            Reply::IsCompleteReply { id, answer }
        }
        QueryKind::Table(_) => {
            let answer = Box::new(TableAnswer { busy: true, ..TableAnswer::default() });
            Reply::TableReply { id, answer }
        }
        QueryKind::Variables => {
            let answer = VariablesAnswer { busy: true, ..VariablesAnswer::default() };
            Reply::VariablesReply { id, answer }
        }
    }
}

//! The protocol's promises, checked over every message a connection gets.
//!
//! ```text
//!   ready ─► (queued ─► [started ─► output…] ─► done ─► late output…)* ─► [ended]
//! ```
//! `seq` rises by one; each accepted cell is done exactly once; an interpreter runs one cell at a time; nothing
//! of a cell follows its `done` but what is marked `late`; nothing follows `ended`.

use std::collections::HashMap;

use serde_json::Value;

/// Messages that are for one participant and carry no seq.
const REPLIES: [&str; 10] = [
    "ready",
    "participants",
    "gap",
    "pong",
    "complete_reply",
    "inspect_reply",
    "is_complete_reply",
    "table_reply",
    "variables_reply",
    "protocol_error",
];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Queued,
    Running,
    Done,
}

/// One connection as its messages tell it.
#[derive(Debug, Default)]
pub(crate) struct Checker {
    greeted: bool,
    /// The newest seq; `None` until the first event says where the replay begins.
    seq: Option<u64>,
    /// The connection saw the session's first event, so no cell is unknown to it.
    whole: bool,
    cells: HashMap<String, Stage>,
    /// Which interpreter each cell is of, the session's first for all others.
    interpreters: HashMap<String, String>,
    state: Option<String>,
    over: bool,
}

impl Checker {
    /// A connection that asked for what came after `seq`.
    pub(crate) fn resuming(seq: u64) -> Checker {
        Checker { seq: Some(seq), ..Checker::default() }
    }

    /// Newest seq seen.
    pub(crate) fn seq(&self) -> u64 {
        self.seq.unwrap_or(0)
    }

    /// Cells that were accepted and are not done.
    pub(crate) fn open(&self) -> Vec<&str> {
        let open = self.cells.iter().filter(|(_, stage)| **stage != Stage::Done);
        open.map(|(id, _)| id.as_str()).collect()
    }

    /// Judges the next message; panics where it breaks a promise.
    pub(crate) fn take(&mut self, message: &Value) {
        let kind = message["type"].as_str().unwrap_or_else(|| panic!("no type in {message}"));
        assert_eq!(self.greeted, kind != "ready", "`ready` comes first and once: {message}");
        assert!(!self.over, "after `ended`: {message}");
        self.greeted = true;
        if REPLIES.contains(&kind) {
            // The one of `ready` is the log's, not its own.
            assert!(kind == "ready" || message.get("seq").is_none(), "a reply's seq: {message}");
            if kind == "gap" {
                self.take_gap(message);
            }
            return;
        }
        self.take_seq(message);
        assert!(message["ts"].is_u64(), "ts is an integer: {message}");
        match kind {
            "status" => self.take_status(message),
            "ended" => {
                assert!(self.open().is_empty(), "ended before the done of {:?}", self.open());
                self.over = true;
            }
            "usage" | "restarted" | "notice" | "opened" | "exited" => {}
            _ if message.get("program").is_some() => {
                assert_ne!(message["text"], "", "no text: {message}");
                assert!(message.get("id").is_none(), "of a process and of a cell: {message}");
            }
            // Of user code that goes on between cells.
            "comm_open" | "comm_msg" | "comm_close" if message.get("id").is_none() => {}
            _ => self.take_of_cell(kind, message),
        }
    }

    fn take_gap(&mut self, message: &Value) {
        let (from, to) = (message["from"].as_u64().unwrap(), message["to"].as_u64().unwrap());
        assert!(from <= to, "{message}");
        assert!(self.seq.is_none_or(|seq| from == seq + 1), "{:?} before {message}", self.seq);
        self.seq = Some(to);
        self.whole = false;
        // What the gap swallowed is not known.
        self.cells.clear();
        self.state = None;
    }

    fn take_seq(&mut self, message: &Value) {
        let seq = message["seq"].as_u64().unwrap_or_else(|| panic!("no seq in {message}"));
        match self.seq {
            Some(before) => assert_eq!(seq, before + 1, "seqs rise by one: {message}"),
            None => self.whole = seq == 1,
        }
        self.seq = Some(seq);
    }

    fn take_status(&mut self, message: &Value) {
        let state = message["state"].as_str().unwrap().to_owned();
        assert_ne!(self.state.as_ref(), Some(&state), "the same status twice: {message}");
        self.state = Some(state);
    }

    fn take_of_cell(&mut self, kind: &str, message: &Value) {
        let id = message["id"].as_str().unwrap_or_else(|| panic!("no id in {message}")).to_owned();
        let late = message["late"].as_bool().unwrap_or(false);
        let stage = self.cells.get(&id).copied();
        let stage = match stage {
            None if !self.whole && kind != "queued" => {
                // It began before this connection did.
                if late {
                    return;
                }
                let guessed = if kind == "started" { Stage::Queued } else { Stage::Running };
                Some(guessed)
            }
            known => known,
        };
        if let Some(interpreter) = message["interpreter"].as_str() {
            self.interpreters.insert(id.clone(), interpreter.to_owned());
        }
        let interpreter = self.interpreters.get(&id);
        let next = match (kind, stage) {
            ("queued", None) => Stage::Queued,
            // A comm's message runs like a cell, and is not told of when it is queued.
            ("started", None) if message.get("comm_id").is_some() => Stage::Running,
            ("done", None) if message["status"] == "cancelled" => Stage::Done,
            ("started", Some(Stage::Queued)) => {
                let other = self.cells.iter().find(|(other, stage)| {
                    **stage == Stage::Running && self.interpreters.get(*other) == interpreter
                });
                assert!(other.is_none(), "{other:?} runs already: {message}");
                Stage::Running
            }
            ("done", Some(Stage::Queued | Stage::Running)) => {
                if stage == Some(Stage::Queued) && self.whole {
                    assert_eq!(message["status"], "cancelled", "it never started: {message}");
                }
                Stage::Done
            }
            ("stdout" | "stderr", Some(Stage::Running)) => {
                assert!(!late, "late while the cell runs: {message}");
                assert_ne!(message["text"], "", "no text: {message}");
                Stage::Running
            }
            ("stdout" | "stderr" | "display", Some(Stage::Done)) => {
                assert!(late, "after `done` and not marked late: {message}");
                Stage::Done
            }
            (
                "result" | "display" | "clear_output" | "input_request" | "error" | "truncated"
                | "comm_open" | "comm_msg" | "comm_close",
                Some(Stage::Running),
            ) => Stage::Running,
            _ => panic!("not at this time ({stage:?}): {message}"),
        };
        self.cells.insert(id, next);
    }
}

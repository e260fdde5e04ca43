//! What clients say.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::comm::{self, Buffers, Comm, CommKind, JsonObject};
use super::refusal::{ErrorCode, Refusal};

mod programs;
mod table;
#[cfg(test)]
pub(crate) mod typescript;

#[cfg(test)]
pub(crate) use programs::RawSize;
pub use programs::{Open, OpenWhat, ProgramAction, signal_name};
use programs::{RawClose, RawOpen, RawResize, RawSignal, RawWrite};
use table::RawTable;
pub use table::{SortKey, TableFormat, TableQuestion, WhichTable};

/// Longest id of a cell, of a request or of a document's cell, in bytes: they are repeated in events.
pub const MAX_ID_BYTES: usize = 128;

/// Most expressions that may be evaluated after a cell, and the longest name of one, in bytes.
pub const MOST_EXPRESSIONS: usize = 64;
/// See [`MOST_EXPRESSIONS`].
pub const EXPRESSION_NAME_BYTES: usize = 1 << 10; // 1 KiB

/// One message of a client, checked.
#[derive(Clone, Debug, PartialEq)]
pub enum ClientMessage {
    /// Queue a cell, or a message on a comm, which runs like a cell without code.
    Execute(Execute),
    /// Stop a cell, or the running one.
    Interrupt {
        /// The cell; `None`: the running one.
        id: Option<String>,
        /// Of which interpreter the running one; `None`: of the session's first.
        interpreter: Option<String>,
    },
    /// Answer an `input_request`.
    Input {
        /// The cell that asked.
        id: String,
        /// A line without its end; `None` is the end of input.
        text: Option<String>,
    },
    /// Kill the interpreter and start a fresh one in the same sandbox.
    Restart {
        /// Which one; `None`: the session's first.
        interpreter: Option<String>,
    },
    /// Start a program.
    Open(Box<Open>),
    /// Do something with a program.
    Program {
        /// Which one.
        id: String,
        /// What.
        action: ProgramAction,
    },
    /// A question about code, a table, or the variables.
    Query(Query),
    /// Flow control: everything up to this seq has been taken.
    Ack {
        /// Newest seq taken.
        seq: u64,
    },
    /// To be echoed.
    Ping {
        /// The fields of the message without `type`, as JSON text of an object.
        fields: serde_json::Map<String, serde_json::Value>,
    },
    /// End the session.
    End,
}

/// A cell to run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Execute {
    /// The code.
    pub code: String,
    /// The client's name for the cell; `None`: the gateway gives one.
    pub id: Option<String>,
    /// The document's cell that the code is from, repeated in the cell's events.
    pub cell: Option<String>,
    /// The interpreter that executes it; `None`: the session's first.
    pub interpreter: Option<String>,
    /// Wall clock bound in milliseconds, at most the template's.
    pub timeout_ms: Option<u64>,
    /// If this cell does not end `ok`, cells queued behind it are cancelled.
    pub stop_on_error: bool,
    /// No result event.
    pub silent: bool,
    /// Whether it gets an execution count; `None`: unless it is silent.
    pub store_history: Option<bool>,
    /// Expressions that are evaluated after the cell, if it ends `ok`, by their names.
    pub user_expressions: BTreeMap<String, String>,
    /// Environment variables set while the cell runs.
    pub env: BTreeMap<String, String>,
    /// Whether `input()` may ask.
    pub allow_input: bool,
    /// The code is a program that runs once; no client can say so for a cell of a session.
    pub program: Option<Program>,
    /// A message on a comm, which is given to the interpreter instead of code.
    pub comm: Option<Box<Comm>>,
}

impl Execute {
    /// A message on a comm: it runs like a silent cell that has no code.
    pub fn of_comm(id: Option<String>, comm: Comm) -> Execute {
        let comm = Some(Box::new(comm));
        Execute { id, silent: true, allow_input: true, comm, ..Execute::default() }
    }

    /// Whether it gets an execution count.
    pub fn is_counted(&self) -> bool {
        self.store_history.unwrap_or(!self.silent)
    }

    /// Bytes that it holds in memory while it waits. A field more or less: what counts is the text.
    pub fn bytes(&self) -> usize {
        let pair = |(name, value): (&String, &String)| name.len() + value.len();
        let comm = self.comm.as_ref().map_or(0, |comm| comm.bytes());
        let pairs = self.env.iter().chain(&self.user_expressions);
        // `cell` is bounded, as the id is.
        self.code.len() + pairs.map(pair).sum::<usize>() + comm
    }
}

/// Code that runs once: it ends as a program does, when its threads have and its handlers for the
/// exit have run, and `sys.exit(0)` is its success.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize)]
pub struct Program {
    /// Its file, a path in the working directory; `None`: it has none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// `sys.argv`.
    pub argv: Vec<String>,
    /// Whether the value of the last expression is a result.
    pub show_value: bool,
    /// Whether who reads its output shows colours.
    pub colours: bool,
}

/// A question that runs no cell.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// The client's name for the question, repeated in the reply.
    pub id: String,
    /// Which question.
    pub kind: QueryKind,
    /// The code it is about; empty for `table` and `variables`.
    pub code: String,
    /// Position in `code`, in characters (Unicode scalar values); 0 for all but `complete` and
    /// `inspect`.
    pub cursor: u64,
    /// The interpreter that is asked; `None`: the session's first.
    pub interpreter: Option<String>,
}

impl Query {
    /// A question that is not about code.
    fn without_code(id: String, kind: QueryKind, interpreter: Option<String>) -> Query {
        Query { id, kind, code: String::new(), cursor: 0, interpreter }
    }

    /// Bytes that it holds in memory while it is open. A field more or less: what counts is the
    /// text.
    pub fn bytes(&self) -> usize {
        let table = match &self.kind {
            QueryKind::Table(question) => question.bytes(),
            _ => 0,
        };
        self.code.len() + table
    }
}

/// The kinds of [`Query`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum QueryKind {
    /// Completions at the cursor.
    Complete,
    /// Signature and documentation at the cursor.
    Inspect,
    /// Whether the code is a whole cell.
    IsComplete,
    /// Rows of a table, or all of them as CSV.
    Table(Box<TableQuestion>),
    /// The variables that user code has defined.
    Variables,
}

impl QueryKind {
    /// The word for it, on both wires.
    pub fn name(&self) -> &'static str {
        match self {
            QueryKind::Complete => "complete",
            QueryKind::Inspect => "inspect",
            QueryKind::IsComplete => "is_complete",
            QueryKind::Table(_) => "table",
            QueryKind::Variables => "variables",
        }
    }
}

/// Just enough of a message to know which one it is; unknown fields are allowed everywhere.
#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(default, borrow, rename = "type")]
    kind: Option<&'a RawValue>,
    #[serde(default, borrow)]
    id: Option<&'a RawValue>,
    #[serde(default, borrow)]
    code: Option<&'a RawValue>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawExecute {
    /// What to run.
    code: String,
    /// The client's name for the cell, unique in the session; the gateway gives one if it is
    /// absent.
    id: Option<String>,
    /// The id of the document's cell that the code is from, at most 128 bytes; it is repeated in
    /// `queued`, `started` and `done`.
    cell: Option<String>,
    /// The interpreter that executes it: the id of one that was opened, or one of `ready.languages`, which is opened
    /// under that id if it is not; the session's first if it is absent.
    interpreter: Option<String>,
    /// Wall clock for the cell, in milliseconds.
    timeout_ms: Option<u64>,
    /// Whether cells queued behind this one are cancelled if it fails; they are not unless told.
    stop_on_error: Option<bool>,
    /// No result event and, unless `store_history` says otherwise, no execution count.
    silent: Option<bool>,
    /// Whether the cell gets an execution count; if it is absent, it does unless it is silent.
    store_history: Option<bool>,
    /// Expressions, by names of one's own, that are evaluated after the cell if it ends `ok`: at
    /// most 64. Their values are in `done`.
    user_expressions: Option<BTreeMap<String, String>>,
    /// Variables of the environment while the cell runs.
    env: Option<BTreeMap<String, String>>,
    /// Whether `input()` may ask; it may unless told otherwise.
    allow_input: Option<bool>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawCommOpen {
    /// The comm, named by who opens it.
    comm_id: String,
    /// What answers in the interpreter, such as `jupyter.widget`.
    target_name: String,
    /// What is said; nothing if it is absent.
    #[cfg_attr(test, ts(optional, type = "Record<string, unknown>"))]
    data: Option<JsonObject>,
    /// What is said about it.
    #[cfg_attr(test, ts(optional, type = "Metadata"))]
    metadata: Option<JsonObject>,
    /// Bytes that belong to the data, in base64.
    #[cfg_attr(test, ts(optional, type = "Array<string>"))]
    buffers: Option<Buffers>,
    /// The client's name for this message, unique among cells; the gateway gives one if it is
    /// absent.
    id: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawComm {
    /// The comm.
    comm_id: String,
    /// What is said; nothing if it is absent.
    #[cfg_attr(test, ts(optional, type = "Record<string, unknown>"))]
    data: Option<JsonObject>,
    /// What is said about it.
    #[cfg_attr(test, ts(optional, type = "Metadata"))]
    metadata: Option<JsonObject>,
    /// Bytes that belong to the data, in base64.
    #[cfg_attr(test, ts(optional, type = "Array<string>"))]
    buffers: Option<Buffers>,
    /// The client's name for this message, unique among cells; the gateway gives one if it is
    /// absent.
    id: Option<String>,
}

impl RawComm {
    fn checked(self, kind: CommKind, target_name: Option<String>) -> Result<Execute, String> {
        let RawComm { comm_id, data, metadata, buffers, id } = self;
        comm::check_name("comm_id", &comm_id)?;
        if let Some(name) = &target_name {
            comm::check_name("target_name", name)?;
        }
        let object = |field: &str, object: Option<JsonObject>| {
            object.unwrap_or_default().scrubbed().map_err(|why| format!("`{field}`: {why}"))
        };
        let (data, metadata) = (object("data", data)?, object("metadata", metadata)?);
        let buffers = buffers.unwrap_or_default();
        Ok(Execute::of_comm(id, Comm { kind, comm_id, target_name, data, metadata, buffers }))
    }
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawInterrupt {
    /// The cell; the one that runs if it is absent.
    id: Option<String>,
    /// Of which interpreter the one that runs; of the session's first if it is absent.
    interpreter: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawRestart {
    /// Which interpreter; the session's first if it is absent.
    interpreter: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawInput {
    /// The cell that asked.
    id: String,
    /// A line without its end.
    text: Option<String>,
    /// In the place of a line: the end of the input.
    eof: Option<bool>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawQuery {
    /// Repeated in the reply.
    id: String,
    /// What it is about.
    code: String,
    /// Position in the code, in Unicode characters.
    cursor: u64,
    /// The interpreter that is asked; the session's first if it is absent.
    interpreter: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawIsComplete {
    /// Repeated in the reply.
    id: String,
    /// What it is about.
    code: String,
    /// The interpreter that is asked; the session's first if it is absent.
    interpreter: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
struct RawVariables {
    /// Repeated in the reply.
    id: String,
    /// The interpreter that is asked; the session's first if it is absent.
    interpreter: Option<String>,
}

#[derive(Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
struct RawAck {
    /// Everything up to it was taken in.
    seq: u64,
}

impl ClientMessage {
    /// The id that the message carries, which a refusal repeats.
    pub fn id(&self) -> Option<&str> {
        match self {
            ClientMessage::Execute(execute) => execute.id.as_deref(),
            ClientMessage::Interrupt { id, .. } => id.as_deref(),
            ClientMessage::Input { id, .. } | ClientMessage::Program { id, .. } => Some(id),
            ClientMessage::Open(open) => Some(&open.id),
            ClientMessage::Query(query) => Some(&query.id),
            ClientMessage::Restart { .. }
            | ClientMessage::Ack { .. }
            | ClientMessage::Ping { .. }
            | ClientMessage::End => None,
        }
    }

    /// Reads one text frame.
    pub fn parse(text: &str) -> Result<ClientMessage, Refusal> {
        let trimmed = text.trim_start_matches([' ', '\t', '\r', '\n']);
        let is_object = trimmed.starts_with('{');
        let probe: Probe<'_> = match serde_json::from_str(text) {
            Ok(probe) if is_object => probe,
            read => {
                // Whatever is wrong first: text that is not JSON as a whole is told so.
                if let Err(error) = serde_json::from_str::<IgnoredAny>(text) {
                    let message = format!("the message is not JSON: {error}");
                    return Err(Refusal::new(ErrorCode::BadJson, message));
                }
                let message = match read {
                    Err(error) if is_object => format!("the fields of the message: {error}"),
                    _ => "a message is a JSON object such as {\"code\": \"1 + 1\"}".to_owned(),
                };
                return Err(Refusal::new(ErrorCode::BadMessage, message));
            }
        };
        let id = probe.id.and_then(|raw| serde_json::from_str::<String>(raw.get()).ok());
        let named = |refusal: Refusal| match &id {
            Some(id) if id.len() <= MAX_ID_BYTES => refusal.of(id.clone()),
            _ => refusal,
        };
        let kind = match (probe.kind, probe.code) {
            (Some(raw), _) => serde_json::from_str::<String>(raw.get()).map_err(|_| {
                named(Refusal::new(ErrorCode::BadMessage, "the field `type` must be a string"))
            })?,
            (None, Some(_)) => "execute".to_owned(),
            (None, None) => {
                let message = "a message needs a `type`, or `code` to be an execute";
                return Err(named(Refusal::new(ErrorCode::BadMessage, message)));
            }
        };
        let message = read(&kind, text).map_err(named)?;
        if id.as_ref().is_some_and(|id| id.is_empty() || id.len() > MAX_ID_BYTES)
            && !matches!(message, ClientMessage::Ping { .. })
        {
            let message = format!("an `id` has 1 to {MAX_ID_BYTES} bytes");
            return Err(Refusal::new(ErrorCode::BadMessage, message));
        }
        Ok(message)
    }
}

/// Whether these can be environment variables; says what is wrong with them.
pub fn check_env(env: &BTreeMap<String, String>) -> Result<(), String> {
    for (name, value) in env {
        if name.is_empty() || name.contains(['=', '\0']) || value.contains('\0') {
            return Err(format!("`env` has {name:?}: a name is not empty and has no `=` or NUL"));
        }
    }
    Ok(())
}

/// Whether these can be evaluated after a cell; says what is wrong with them.
fn check_expressions(expressions: &BTreeMap<String, String>) -> Result<(), String> {
    if expressions.len() > MOST_EXPRESSIONS {
        let count = expressions.len();
        return Err(format!(
            "`user_expressions` has {count} fields, of at most {MOST_EXPRESSIONS}"
        ));
    }
    match expressions.keys().map(String::len).find(|bytes| *bytes > EXPRESSION_NAME_BYTES) {
        None => Ok(()),
        Some(bytes) => Err(format!(
            "a name in `user_expressions` has {bytes} bytes, of at most {EXPRESSION_NAME_BYTES}"
        )),
    }
}

fn read(kind: &str, text: &str) -> Result<ClientMessage, Refusal> {
    fn fields<'a, T: Deserialize<'a>>(kind: &str, text: &'a str) -> Result<T, Refusal> {
        serde_json::from_str(text).map_err(|error| {
            Refusal::new(ErrorCode::BadMessage, format!("the fields of `{kind}`: {error}"))
        })
    }
    let bad = |message: String| Refusal::new(ErrorCode::BadMessage, message);
    Ok(match kind {
        "execute" => {
            let raw: RawExecute = fields(kind, text)?;
            if raw.timeout_ms == Some(0) {
                let message = "`timeout_ms` must be at least 1; leave it out for no timeout";
                return Err(Refusal::new(ErrorCode::BadMessage, message));
            }
            if raw.cell.as_ref().is_some_and(|cell| cell.is_empty() || cell.len() > MAX_ID_BYTES) {
                let message =
                    format!("`cell`, an id of the document's, has 1 to {MAX_ID_BYTES} bytes");
                return Err(Refusal::new(ErrorCode::BadMessage, message));
            }
            let env = raw.env.unwrap_or_default();
            let user_expressions = raw.user_expressions.unwrap_or_default();
            check_env(&env)
                .and_then(|()| check_expressions(&user_expressions))
                .map_err(|message| Refusal::new(ErrorCode::BadMessage, message))?;
            ClientMessage::Execute(Execute {
                code: raw.code,
                id: raw.id,
                cell: raw.cell,
                interpreter: raw.interpreter,
                timeout_ms: raw.timeout_ms,
                stop_on_error: raw.stop_on_error.unwrap_or(false),
                silent: raw.silent.unwrap_or(false),
                store_history: raw.store_history,
                user_expressions,
                env,
                allow_input: raw.allow_input.unwrap_or(true),
                program: None,
                comm: None,
            })
        }
        "comm_open" => {
            let RawCommOpen { comm_id, target_name, data, metadata, buffers, id } =
                fields(kind, text)?;
            let raw = RawComm { comm_id, data, metadata, buffers, id };
            comm_message(raw, CommKind::CommOpen, Some(target_name))?
        }
        "comm_msg" => comm_message(fields(kind, text)?, CommKind::CommMsg, None)?,
        "comm_close" => comm_message(fields(kind, text)?, CommKind::CommClose, None)?,
        "interrupt" => {
            let RawInterrupt { id, interpreter } = fields(kind, text)?;
            ClientMessage::Interrupt { id, interpreter }
        }
        "input" => {
            let raw: RawInput = fields(kind, text)?;
            let text = match (raw.text, raw.eof.unwrap_or(false)) {
                (Some(text), false) => Some(text),
                (None, true) => None,
                _ => {
                    let message = "`input` has either `text` or `eof: true`";
                    return Err(Refusal::new(ErrorCode::BadMessage, message));
                }
            };
            ClientMessage::Input { id: raw.id, text }
        }
        "restart" => {
            let RawRestart { interpreter } = fields(kind, text)?;
            ClientMessage::Restart { interpreter }
        }
        "open" => {
            let raw: RawOpen = fields(kind, text)?;
            ClientMessage::Open(Box::new(raw.checked().map_err(bad)?))
        }
        "close" => {
            let RawClose { id } = fields(kind, text)?;
            ClientMessage::Program { id, action: ProgramAction::Close }
        }
        "signal" => {
            let raw: RawSignal = fields(kind, text)?;
            let action = raw.checked().map_err(bad)?;
            ClientMessage::Program { id: raw.id, action }
        }
        "resize" => {
            let raw: RawResize = fields(kind, text)?;
            let action = raw.checked().map_err(bad)?;
            ClientMessage::Program { id: raw.id, action }
        }
        "write" => {
            let (id, action) = fields::<RawWrite>(kind, text)?.checked().map_err(bad)?;
            ClientMessage::Program { id, action }
        }
        "complete" | "inspect" => {
            let raw: RawQuery = fields(kind, text)?;
            let kind = if kind == "complete" { QueryKind::Complete } else { QueryKind::Inspect };
            let RawQuery { id, code, cursor, interpreter } = raw;
            ClientMessage::Query(Query { id, kind, code, cursor, interpreter })
        }
        "is_complete" => {
            let raw: RawIsComplete = fields(kind, text)?;
            let kind = QueryKind::IsComplete;
            let RawIsComplete { id, code, interpreter } = raw;
            ClientMessage::Query(Query { id, kind, code, cursor: 0, interpreter })
        }
        "table" => {
            let (id, interpreter, question) =
                fields::<RawTable>(kind, text)?.checked().map_err(bad)?;
            let kind = QueryKind::Table(Box::new(question));
            ClientMessage::Query(Query::without_code(id, kind, interpreter))
        }
        "variables" => {
            let raw: RawVariables = fields(kind, text)?;
            ClientMessage::Query(Query::without_code(raw.id, QueryKind::Variables, raw.interpreter))
        }
        "ack" => ClientMessage::Ack { seq: fields::<RawAck>(kind, text)?.seq },
        "ping" => {
            let mut all: serde_json::Map<String, serde_json::Value> = fields(kind, text)?;
            all.remove("type");
            ClientMessage::Ping { fields: all }
        }
        "end" => ClientMessage::End,
        _ => {
            let known = "execute, comm_open, comm_msg, comm_close, interrupt, input, restart, \
                         open, close, signal, resize, write, complete, inspect, is_complete, table, variables, \
                         ack, ping, end";
            let shown: String = kind.chars().take(40).collect();
            let message = format!("there is no message type {shown:?}; there are: {known}");
            return Err(Refusal::new(ErrorCode::UnknownType, message));
        }
    })
}

fn comm_message(
    raw: RawComm,
    kind: CommKind,
    target_name: Option<String>,
) -> Result<ClientMessage, Refusal> {
    let checked = raw.checked(kind, target_name);
    checked
        .map(ClientMessage::Execute)
        .map_err(|message| Refusal::new(ErrorCode::BadMessage, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn code_of(text: &str) -> ErrorCode {
        ClientMessage::parse(text).unwrap_err().code
    }

    #[test]
    fn code_alone_is_an_execute_with_the_defaults() {
        let expected = Execute { code: "1+1".into(), allow_input: true, ..Execute::default() };
        assert_eq!(ClientMessage::parse(r#"{"code":"1+1"}"#), Ok(ClientMessage::Execute(expected)));
    }

    #[test]
    fn a_message_on_a_comm_is_a_silent_cell_without_code() {
        let text = r#"{"type":"comm_msg","comm_id":"c","data":{"x": [1.0]},"id":"a","code":"no"}"#;
        let ClientMessage::Execute(cell) = ClientMessage::parse(text).unwrap() else { panic!() };
        assert_eq!((&*cell.code, cell.id.as_deref(), cell.silent), ("", Some("a"), true));
        let comm = cell.comm.as_ref().unwrap();
        assert_eq!((comm.kind, comm.data.get()), (CommKind::CommMsg, r#"{"x": [1.0]}"#));
        assert_eq!(cell.bytes(), "c".len() + r#"{"x": [1.0]}"#.len() + "{}".len());
        let long = |bytes| format!(r#"{{"type":"comm_msg","comm_id":"{}"}}"#, "c".repeat(bytes));
        assert!(ClientMessage::parse(&long(comm::NAME_BYTES)).is_ok());
        assert_eq!(code_of(&long(comm::NAME_BYTES + 1)), ErrorCode::BadMessage);
    }

    #[test]
    fn every_kind_of_bad_message_has_its_code() {
        for (text, code) in [
            ("", ErrorCode::BadJson),
            ("{", ErrorCode::BadJson),
            ("{\"code\":\"1\"} x", ErrorCode::BadJson),
            ("41 }", ErrorCode::BadJson),
            ("[1] x", ErrorCode::BadJson),
            ("[]", ErrorCode::BadMessage),
            ("[null,null,null]", ErrorCode::BadMessage),
            ("3", ErrorCode::BadMessage),
            ("null", ErrorCode::BadMessage),
            ("{}", ErrorCode::BadMessage),
            (r#"{"code":1}"#, ErrorCode::BadMessage),
            (r#"{"type":1}"#, ErrorCode::BadMessage),
            (r#"{"type":"execute"}"#, ErrorCode::BadMessage),
            (r#"{"code":"1","timeout_ms":0}"#, ErrorCode::BadMessage),
            (r#"{"code":"1","timeout_ms":-5}"#, ErrorCode::BadMessage),
            (r#"{"code":"1","env":{"A=B":"1"}}"#, ErrorCode::BadMessage),
            (r#"{"code":"1","id":""}"#, ErrorCode::BadMessage),
            (r#"{"code":"1","cell":""}"#, ErrorCode::BadMessage),
            (r#"{"code":"1","cell":1}"#, ErrorCode::BadMessage),
            (r#"{"type":"input","id":"a"}"#, ErrorCode::BadMessage),
            (r#"{"type":"input","id":"a","text":"x","eof":true}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_msg"}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_msg","comm_id":""}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_open","comm_id":"c"}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_open","comm_id":"c","target_name":""}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_msg","comm_id":"c","data":[]}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_msg","comm_id":"c","data":{"a":1e999}}"#, ErrorCode::BadMessage),
            (r#"{"type":"comm_msg","comm_id":"c","buffers":["?"]}"#, ErrorCode::BadMessage),
            (r#"{"type":"variables"}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q"}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q","table":"t","variable":"v"}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q","table":"t","count":0}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q","table":"t","count":1001}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q","table":"t","from":-1}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q","table":"t","format":"xml"}"#, ErrorCode::BadMessage),
            (r#"{"type":"table","id":"q","table":"t","sort":[{}]}"#, ErrorCode::BadMessage),
            (r#"{"type":"fly"}"#, ErrorCode::UnknownType),
        ] {
            assert_eq!(code_of(text), code, "{text}");
        }
        for field in ["id", "cell"] {
            let of = |bytes| format!(r#"{{"code":"1","{field}":"{}"}}"#, "x".repeat(bytes));
            assert!(ClientMessage::parse(&of(MAX_ID_BYTES)).is_ok());
            assert_eq!(code_of(&of(MAX_ID_BYTES + 1)), ErrorCode::BadMessage, "{field}");
        }
    }

    #[test]
    fn a_refusal_names_the_id_it_could_read() {
        let refusal = ClientMessage::parse(r#"{"id":"a7","code":5}"#).unwrap_err();
        assert_eq!(refusal.id.as_deref(), Some("a7"));
        assert!(refusal.message.contains("execute"), "{}", refusal.message);
    }

    #[test]
    fn a_field_that_comes_twice_is_named() {
        for text in [r#"{"code":"1","code":"2"}"#, r#"{"type":"end","code":"2","code":""}"#] {
            let refusal = ClientMessage::parse(text).unwrap_err();
            assert_eq!(refusal.code, ErrorCode::BadMessage);
            assert!(refusal.message.contains("duplicate field `code`"), "{}", refusal.message);
        }
    }

    #[test]
    fn a_refusal_does_not_repeat_all_of_what_is_wrong() {
        let long = "é".repeat(100_000);
        for text in [
            format!(r#"{{"code":"1","timeout_ms":"{long}"}}"#),
            format!(r#"{{"code":"1","env":{{"{long}=":"1"}}}}"#),
            format!(r#"{{"type":"{long}"}}"#),
        ] {
            let refusal = ClientMessage::parse(&text).unwrap_err();
            assert!(refusal.message.len() <= Refusal::MESSAGE_BYTES, "{}", refusal.message.len());
        }
    }

    #[test]
    fn a_cell_counts_unless_it_is_silent_or_says_so() {
        for (fields, counts) in [
            ("", true),
            (r#","silent":true"#, false),
            (r#","silent":true,"store_history":true"#, true),
            (r#","store_history":false"#, false),
        ] {
            let parsed = ClientMessage::parse(&format!(r#"{{"code":"1"{fields}}}"#));
            let Ok(ClientMessage::Execute(cell)) = parsed else { panic!("{parsed:?}") };
            assert_eq!(cell.is_counted(), counts, "{fields}");
        }
    }

    #[test]
    fn expressions_are_bounded() {
        let parsed = |count: usize, name: usize| {
            let all: BTreeMap<_, _> = (0..count).map(|n| (format!("{n:0>name$}"), "1")).collect();
            let message = serde_json::json!({"code": "1", "user_expressions": all});
            ClientMessage::parse(&message.to_string())
        };
        let Ok(ClientMessage::Execute(cell)) = parsed(MOST_EXPRESSIONS, EXPRESSION_NAME_BYTES)
        else {
            panic!()
        };
        assert_eq!(cell.bytes(), 1 + MOST_EXPRESSIONS * (EXPRESSION_NAME_BYTES + 1));
        for (count, name) in [(MOST_EXPRESSIONS + 1, 2), (1, EXPRESSION_NAME_BYTES + 1)] {
            assert_eq!(parsed(count, name).unwrap_err().code, ErrorCode::BadMessage);
        }
    }

    #[test]
    fn a_ping_keeps_any_fields() {
        let ClientMessage::Ping { fields } =
            ClientMessage::parse(r#"{"type":"ping","t":1.5,"id":[1]}"#).unwrap()
        else {
            panic!("not a ping")
        };
        assert_eq!(serde_json::to_string(&fields).unwrap(), r#"{"id":[1],"t":1.5}"#);
    }
}

//! What every participant is told: the events of a session, in order, each with `seq` and `ts`.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;

use bytestring::ByteString;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::comm::{Buffers, JsonObject};
use super::escape::push_json_string;

mod decode;
mod kind;

pub use kind::EventKind;

/// MIME type to value, as the runner wrote it: base64 text for images, JSON for `…json` types.
pub type MimeBundle = BTreeMap<String, Box<RawValue>>;

/// The `text/plain` form of a value, if it has one.
pub fn plain_text(data: &MimeBundle) -> Option<String> {
    serde_json::from_str(data.get("text/plain")?.get()).ok()
}

/// An event of a session, before it has its place in the log.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub enum Event {
    /// A cell was accepted.
    Queued {
        /// The cell.
        id: Arc<str>,
        /// Cells ahead of it, the running one included.
        position: usize,
        /// Name of the participant.
        by: Arc<str>,
        /// The document's cell that the code is from, if `execute` named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        cell: Option<Arc<str>>,
        /// The interpreter that executes it, if it is not the session's first.
        #[serde(skip_serializing_if = "Option::is_none")]
        interpreter: Option<Arc<str>>,
    },
    /// A cell began to run.
    Started {
        /// The cell.
        id: Arc<str>,
        /// Its code.
        #[cfg_attr(test, ts(type = "string"))]
        code: ByteString,
        /// Rises by one with each cell that is not silent; starts again with the interpreter.
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_count: Option<u32>,
        /// Name of the participant.
        by: Arc<str>,
        /// It is no code but a message of a client on this comm.
        #[serde(skip_serializing_if = "Option::is_none")]
        comm_id: Option<String>,
        /// The document's cell that the code is from, if `execute` named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        cell: Option<Arc<str>>,
        /// The interpreter that executes it, if it is not the session's first.
        #[serde(skip_serializing_if = "Option::is_none")]
        interpreter: Option<Arc<str>>,
    },
    /// Text of stdout.
    Stdout(Output),
    /// Text of stderr.
    Stderr(Output),
    /// Value of the last expression.
    Result {
        /// The cell.
        id: Arc<str>,
        /// As in `started`.
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_count: Option<u32>,
        /// The value in all its forms.
        #[cfg_attr(test, ts(type = "MimeBundle"))]
        data: MimeBundle,
        /// What the value says about its forms.
        #[cfg_attr(test, ts(type = "Metadata"))]
        metadata: Box<RawValue>,
    },
    /// Something was shown.
    Display {
        /// The cell.
        id: Arc<str>,
        /// The thing in all its forms.
        #[cfg_attr(test, ts(type = "MimeBundle"))]
        data: MimeBundle,
        /// What it says about them.
        #[cfg_attr(test, ts(type = "Metadata"))]
        metadata: Box<RawValue>,
        /// Names it for later updates.
        #[serde(skip_serializing_if = "Option::is_none")]
        display_id: Option<String>,
        /// Replaces what was shown under `display_id`.
        #[serde(default, skip_serializing_if = "is_false")]
        #[cfg_attr(test, ts(optional, as = "Option<_>"))]
        update: bool,
        /// The cell had already ended.
        #[serde(default, skip_serializing_if = "is_false")]
        #[cfg_attr(test, ts(optional, as = "Option<_>"))]
        late: bool,
    },
    /// What the cell has shown so far is to be removed.
    ClearOutput {
        /// The cell.
        id: Arc<str>,
        /// Not before something new comes.
        wait: bool,
    },
    /// The code opened a comm.
    CommOpen(CommFields),
    /// The code said something on a comm.
    CommMsg(CommFields),
    /// The code closed a comm.
    CommClose(CommFields),
    /// The code asks for a line of input.
    InputRequest {
        /// The cell.
        id: Arc<str>,
        /// What to ask.
        prompt: String,
        /// Whether typing should not be shown.
        password: bool,
    },
    /// The code raised.
    Error {
        /// The cell.
        id: Arc<str>,
        /// Name of the exception's class.
        name: String,
        /// Its text.
        value: String,
        /// Lines for people; ANSI colours allowed.
        traceback: Vec<String>,
        /// The same for programs.
        frames: Vec<Frame>,
    },
    /// The output budget of a cell was spent.
    Truncated {
        /// The cell.
        id: Arc<str>,
        /// `stdout` or `stderr`.
        stream: Stream,
        /// Bytes left out.
        omitted_bytes: u64,
    },
    /// A cell ended; exactly once for each that was accepted.
    Done {
        /// The cell.
        id: Arc<str>,
        /// How.
        status: CellStatus,
        /// As in `started`.
        #[serde(skip_serializing_if = "Option::is_none")]
        execution_count: Option<u32>,
        /// From its start to its end; 0 if it never started.
        duration_ms: f64,
        /// Whether variables of earlier cells are still there.
        state_kept: bool,
        /// What it used.
        usage: DoneUsage,
        /// One sentence for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
        /// The values of the cell's `user_expressions`, by their names, if it ended `ok`.
        #[serde(skip_serializing_if = "Option::is_none")]
        #[cfg_attr(test, ts(optional, type = "Record<string, ExpressionValue>"))]
        user_expressions: Option<JsonObject>,
        /// The document's cell that the code is from, if `execute` named one.
        #[serde(skip_serializing_if = "Option::is_none")]
        cell: Option<Arc<str>>,
        /// Files below the working directory that were made or changed while it ran, at most 100.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        #[cfg_attr(test, ts(optional, as = "Option<_>"))]
        files_changed: Vec<String>,
        /// There are more of them.
        #[serde(default, skip_serializing_if = "is_false")]
        #[cfg_attr(test, ts(optional, as = "Option<_>"))]
        more: bool,
    },
    /// What the sandbox uses; about once a second while a cell runs.
    Usage {
        /// Memory charged to it, in bytes.
        memory_bytes: u64,
        /// Its limit, in bytes.
        memory_limit_bytes: u64,
        /// CPU since the last one, in percent of one core.
        cpu_percent: f64,
        /// Processes in it.
        processes: u32,
    },
    /// The session does something else now.
    Status {
        /// What.
        state: SessionState,
    },
    /// A fresh interpreter took the place of the old one; all state is gone.
    Restarted {
        /// Why: a sentence.
        reason: String,
        /// Name of the participant who asked.
        #[serde(skip_serializing_if = "Option::is_none")]
        requested_by: Option<Arc<str>>,
        /// Which interpreter, if it is not the session's first.
        #[serde(skip_serializing_if = "Option::is_none")]
        interpreter: Option<Arc<str>>,
    },
    /// A program was started.
    Opened(ProgramInfo),
    /// A program is no more: it ended, was closed, or could not be started.
    Exited {
        /// The program.
        id: Arc<str>,
        /// Its exit code, if it was a process that ended by itself.
        #[serde(skip_serializing_if = "Option::is_none")]
        code: Option<i32>,
        /// The signal that ended it, such as `SIGKILL`.
        #[serde(skip_serializing_if = "Option::is_none")]
        signal: Option<String>,
        /// One sentence for people.
        #[serde(skip_serializing_if = "Option::is_none")]
        detail: Option<String>,
    },
    /// Text that a process wrote to its stdout.
    #[serde(rename(serialize = "stdout"), skip_deserializing)]
    #[cfg_attr(test, ts(rename = "stdout"))]
    ProcessStdout(ProcessOutput),
    /// Text that a process wrote to its stderr.
    #[serde(rename(serialize = "stderr"), skip_deserializing)]
    #[cfg_attr(test, ts(rename = "stderr"))]
    ProcessStderr(ProcessOutput),
    /// Text that a process wrote to its terminal.
    #[serde(rename(serialize = "terminal"), skip_deserializing)]
    #[cfg_attr(test, ts(rename = "terminal"))]
    ProcessTerminal(ProcessOutput),
    /// Something people should know.
    Notice {
        /// How bad it is.
        level: NoticeLevel,
        /// For programs.
        code: Cow<'static, str>,
        /// For people.
        text: String,
    },
    /// The session is over; always the last event.
    Ended {
        /// For programs.
        reason: EndReason,
        /// For people.
        detail: String,
    },
}

/// Fields of `stdout` and `stderr`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "OutputFields"))]
pub struct Output {
    /// The cell.
    pub id: Arc<str>,
    /// The text.
    #[cfg_attr(test, ts(type = "string"))]
    pub text: ByteString,
    /// The cell had already ended.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub late: bool,
}

/// Fields of `stdout` and `stderr` that a process wrote, and of `terminal`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ProcessOutputFields"))]
pub struct ProcessOutput {
    /// The process.
    pub program: Arc<str>,
    /// The text.
    #[cfg_attr(test, ts(type = "string"))]
    pub text: ByteString,
}

/// A program that is open: the fields of `opened`, and an entry of `ready.programs`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ProgramInfo {
    /// Its id, by which clients name it.
    pub id: Arc<str>,
    /// What it is.
    pub kind: ProgramKind,
    /// Of an interpreter: what its cells are written in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
    /// Of an interpreter: its version, such as `20.11.1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Of a process: its number in the sandbox.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pid: Option<u32>,
    /// Of a process: its file and its arguments, cut after 1 KiB.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub argv: Vec<String>,
    /// Of a process: it has a terminal.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub terminal: bool,
    /// Name of the participant who opened it; absent if the session has it from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<Arc<str>>,
}

/// What a program is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ProgramKind {
    /// It executes cells.
    Interpreter,
    /// A command.
    Process,
}

/// Fields of `comm_open`, `comm_msg` and `comm_close`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct CommFields {
    /// The cell that runs, or the client's message on a comm that does; absent if none does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<Arc<str>>,
    /// The comm, named by who opened it.
    pub comm_id: String,
    /// What is to answer at the clients, such as `jupyter.widget`; of `comm_open` alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target_name: Option<String>,
    /// What is said.
    #[serde(default)]
    #[cfg_attr(test, ts(type = "Record<string, unknown>"))]
    pub data: JsonObject,
    /// What is said about it.
    #[serde(default, skip_serializing_if = "JsonObject::is_empty")]
    #[cfg_attr(test, ts(optional, type = "Metadata"))]
    pub metadata: JsonObject,
    /// Bytes that belong to the data, in base64.
    #[serde(default, skip_serializing_if = "Buffers::is_empty")]
    #[cfg_attr(test, ts(optional, type = "Array<string>"))]
    pub buffers: Buffers,
}

/// One frame of a traceback, outermost first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct Frame {
    /// The cell whose code it is in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cell: Option<String>,
    /// The file.
    #[serde(default)]
    pub file: String,
    /// The line, from 1.
    #[serde(default)]
    pub line: u64,
    /// The function.
    #[serde(default)]
    pub function: String,
    /// The line's text.
    #[serde(default)]
    pub source: String,
}

/// Which output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Stream {
    /// File descriptor 1.
    Stdout,
    /// File descriptor 2.
    Stderr,
}

/// How a cell ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum CellStatus {
    /// It ran to its end.
    Ok,
    /// The code raised.
    Error,
    /// A participant stopped it.
    Interrupted,
    /// Its wall clock ran out.
    Timeout,
    /// The sandbox's memory ran out.
    Oom,
    /// Its output budget was spent.
    OutputLimit,
    /// The interpreter ended.
    Exited,
    /// It did not yield to an interrupt.
    Killed,
    /// It left the queue without running.
    Cancelled,
    /// The sandbox or its backend went away.
    Lost,
}

/// The value of one of a cell's `user_expressions`, or the error that it raised.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct ExpressionValue {
    /// Whether it has a value.
    pub status: ExpressionStatus,
    /// The value in all its forms; if `ok`.
    #[cfg_attr(test, ts(optional, type = "MimeBundle"))]
    pub data: Option<MimeBundle>,
    /// What it says about them; if `ok`.
    #[cfg_attr(test, ts(optional, type = "Metadata"))]
    pub metadata: Option<JsonObject>,
    /// Name of the exception's class; if `error`.
    pub ename: Option<String>,
    /// Its text; if `error`.
    pub evalue: Option<String>,
    /// Lines for people; if `error`.
    pub traceback: Option<Vec<String>>,
}

/// What came of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ExpressionStatus {
    /// It has a value.
    Ok,
    /// It raised.
    Error,
}

/// What a cell used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct DoneUsage {
    /// CPU time, in milliseconds.
    pub cpu_ms: f64,
    /// Highest memory seen, in bytes.
    pub peak_memory_bytes: u64,
    /// Bytes written.
    pub output_bytes: u64,
}

/// What a session does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum SessionState {
    /// Waits for a cell.
    Idle,
    /// Runs one, or starts a further interpreter.
    Busy,
    /// A fresh interpreter is being started.
    Restarting,
    /// Over.
    Ended,
}

/// How bad a notice is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum NoticeLevel {
    /// Good to know.
    Info,
    /// Something is not as it should be.
    Warning,
}

/// Why a session is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum EndReason {
    /// Its owner ended it.
    Requested,
    /// No participant was attached for `detach_timeout`.
    Abandoned,
    /// Nothing happened for the idle timeout.
    IdleTimeout,
    /// It lived as long as a session may.
    Lifetime,
    /// The gateway shuts down.
    Draining,
    /// The sandbox or its backend went away.
    SandboxLost,
    /// The interpreter cannot be started.
    InterpreterFailed,
}

/// An event as it travels and as the log keeps it.
#[derive(Clone, Debug)]
pub struct Sequenced {
    /// Its place, strictly rising by one.
    pub seq: u64,
    /// Which event it is.
    pub kind: EventKind,
    /// The whole JSON message, encoded once for all participants.
    pub json: ByteString,
    /// Where its text stands in the message, if it is one of stdout or stderr.
    pub text: Option<TextSpan>,
}

/// The escaped text of a `stdout` or `stderr` message, without its quotes, as offsets in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TextSpan {
    /// Its first byte.
    pub start: u32,
    /// One past its last.
    pub end: u32,
}

impl Sequenced {
    /// Gives `event` its place and encodes it. `ts`: Unix milliseconds.
    pub fn encode(event: &Event, seq: u64, ts: u64) -> Result<Sequenced, serde_json::Error> {
        Sequenced::encode_into(event, seq, ts, ByteString::from)
    }

    /// The same; `hold` turns the encoded text into the shared buffer that is kept.
    pub fn encode_into(
        event: &Event,
        seq: u64,
        ts: u64,
        hold: impl FnOnce(String) -> ByteString,
    ) -> Result<Sequenced, serde_json::Error> {
        let (json, text) = match event {
            Event::Stdout(output) => encode_output(Stream::Stdout, output, seq, ts),
            Event::Stderr(output) => encode_output(Stream::Stderr, output, seq, ts),
            _ => (serde_json::to_string(&Placed { event, seq, ts })?, None),
        };
        Ok(Sequenced { seq, kind: event.kind(), json: hold(json), text })
    }

    /// The event, for consumers inside the process. Decoded where it is asked for: to keep it
    /// beside its encoding would double the memory of every log, and what comes back from a disk is
    /// encoded.
    pub fn event(&self) -> Result<Event, serde_json::Error> {
        decode::decode(self.kind, &self.json)
    }

    /// Its text as it stands in the message, if it is one of stdout or stderr.
    pub fn escaped_text(&self) -> Option<&str> {
        let span = self.text?;
        self.json.get(span.start as usize..span.end as usize)
    }

    /// Whether it is text of stdout or stderr, which a slow reader may skip.
    pub fn is_output(&self) -> bool {
        self.kind.is_output()
    }
}

/// Whatever happens in a session.
#[derive(Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "SessionEvent"))]
pub(crate) struct Placed<'a> {
    #[serde(flatten)]
    event: &'a Event,
    /// Rises by one with every event of the session.
    seq: u64,
    /// Unix time in milliseconds.
    ts: u64,
}

/// What serde would write, without looking at each byte of the text by itself.
fn encode_output(stream: Stream, output: &Output, seq: u64, ts: u64) -> (String, Option<TextSpan>) {
    let text = &output.text;
    // One allocation for a chunk of ordinary text: a sixteenth more for its escapes.
    let mut json = String::with_capacity(text.len() + text.len() / 16 + output.id.len() + 128);
    push_output_head(&mut json, stream, &output.id);
    let start = json.len();
    push_json_string(&mut json, text);
    let end = json.len();
    if output.late {
        json.push_str(",\"late\":true");
    }
    // A String takes whatever is written to it.
    write!(json, ",\"seq\":{seq},\"ts\":{ts}}}").ok();
    // A chunk of the link is 64 KiB, so what it becomes is far from the end of a u32.
    let span = |start: usize, end: usize| {
        Some(TextSpan { start: u32::try_from(start + 1).ok()?, end: u32::try_from(end - 1).ok()? })
    };
    let text = span(start, end);
    (json, text)
}

fn push_output_head(json: &mut String, stream: Stream, id: &str) {
    json.push_str("{\"type\":\"");
    json.push_str(match stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    });
    json.push_str("\",\"id\":");
    push_json_string(json, id);
    json.push_str(",\"text\":");
}

fn is_false(flag: &bool) -> bool {
    !flag
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn output_is_encoded_as_serde_would() {
        for late in [false, true] {
            let output = Output { id: "a\"7".into(), text: "1\n\u{1b}[0m€".into(), late };
            for event in [Event::Stdout(output.clone()), Event::Stderr(output)] {
                let expected = serde_json::to_string(&Placed { event: &event, seq: 7, ts: 8 });
                let encoded = Sequenced::encode(&event, 7, 8).unwrap();
                assert_eq!(&*encoded.json, expected.unwrap());
                assert_eq!(encoded.escaped_text(), Some("1\\n\\u001b[0m€"));
            }
        }
    }
}

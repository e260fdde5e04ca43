//! What one participant alone is told: no `seq`, not in the log.

use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use super::event::{ProgramInfo, SessionState};
use super::refusal::{ErrorCode, Refusal};

mod rights;
mod values;

pub use rights::{Rights, RightsChange, RightsError, Role};
pub use values::{Rows, TableAnswer, TableField, Variable, VariablesAnswer};

/// A message to one participant.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub enum Reply {
    /// Always the first message of a connection.
    Ready(Box<Ready>),
    /// These events cannot be replayed any more.
    Gap {
        /// First missing seq.
        from: u64,
        /// Last missing seq.
        to: u64,
        /// Nothing is lost: what follows has taken the place of what these events showed, as the
        /// newest frame of a progress bar does, a `clear_output`, or the newest update of a
        /// display.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        #[cfg_attr(test, ts(optional, as = "Option<_>"))]
        superseded: bool,
    },
    /// Who is attached: the whole list, after `ready` and whenever it has changed, at most four
    /// times a second. The newest list is the one that holds.
    Participants {
        /// All participants, in the order in which they joined.
        list: Vec<ParticipantInfo>,
        /// Whether the session has a document that its participants edit together: somebody has
        /// opened or filled it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        #[cfg_attr(test, ts(optional, as = "Option<bool>"))]
        document: bool,
    },
    /// What a `ping` carried.
    Pong(
        #[cfg_attr(test, ts(type = "Record<string, unknown>"))]
        serde_json::Map<String, serde_json::Value>,
    ),
    /// Answer to `complete`.
    CompleteReply {
        /// The question's id.
        id: String,
        /// The runner's answer; absent when it was busy.
        #[serde(flatten)]
        answer: CompleteAnswer,
    },
    /// Answer to `inspect`.
    InspectReply {
        /// The question's id.
        id: String,
        /// The runner's answer.
        #[serde(flatten)]
        answer: InspectAnswer,
    },
    /// Answer to `is_complete`.
    IsCompleteReply {
        /// The question's id.
        id: String,
        /// The runner's answer.
        #[serde(flatten)]
        answer: IsCompleteAnswer,
    },
    /// Answer to `table`.
    TableReply {
        /// The question's id.
        id: String,
        /// The runner's answer.
        #[serde(flatten)]
        answer: Box<TableAnswer>,
    },
    /// Answer to `variables`.
    VariablesReply {
        /// The question's id.
        id: String,
        /// The runner's answer.
        #[serde(flatten)]
        answer: VariablesAnswer,
    },
    /// A message was refused; the connection lives on.
    ProtocolError {
        /// For programs.
        code: ErrorCode,
        /// For people.
        message: String,
        /// The id the message carried.
        #[serde(skip_serializing_if = "Option::is_none")]
        id: Option<String>,
    },
}

impl From<Refusal> for Reply {
    fn from(refusal: Refusal) -> Reply {
        Reply::ProtocolError { code: refusal.code, message: refusal.message, id: refusal.id }
    }
}

/// What a connection needs to know.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "ReadyFields", optional_fields))]
pub struct Ready {
    /// The protocol's number.
    pub protocol: u32,
    /// The session's id.
    pub session: String,
    /// This participant's own token: a client that joins with it is this participant, and takes the
    /// place of its older connection.
    pub token: String,
    /// This participant's number, as in `participants`.
    pub participant: u32,
    /// What this participant may do.
    #[serde(flatten)]
    pub rights: Rights,
    /// Name of the template.
    pub template: String,
    /// What the interpreter is.
    pub language: LanguageInfo,
    /// What cells may be written in, the default first.
    pub languages: Vec<LanguageInfo>,
    /// The programs that are open, the session's first interpreter before all others.
    pub programs: Vec<ProgramInfo>,
    /// What the session does now.
    pub state: SessionState,
    /// Newest seq in the log; 0 if there is none yet.
    pub seq: u64,
    /// What the session may use.
    pub limits: ReadyLimits,
    /// `local` or `docker`.
    pub backend: &'static str,
    /// What may be done over HTTP in this session; only where something may not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed: Option<ReadyAllowed>,
}

/// What a session allows that was made with a publishable key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "Allowed"))]
pub struct ReadyAllowed {
    /// Reading and writing files of the working directory.
    pub files: bool,
    /// Making share links.
    pub sharing: bool,
}

/// The interpreter's language.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct LanguageInfo {
    /// `python`.
    pub name: String,
    /// Such as `3.11.2`; of a language that is not the session's first what is known before an interpreter of it was
    /// started, which may be nothing.
    pub version: String,
    /// What executes cells, where a language has several: `ipython` or `plain`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub shell: Option<String>,
}

/// Limits as told to clients. What is `null` has no limit.
#[derive(Clone, Debug, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(rename = "Limits"))]
pub struct ReadyLimits {
    /// Longest client message.
    pub message_bytes: u64,
    /// Cells that may wait.
    pub queue: u64,
    /// Output of one cell.
    pub output_bytes: Option<u64>,
    /// Wall clock of one cell.
    pub timeout_ms: Option<u64>,
    /// Memory of the sandbox.
    pub memory_bytes: u64,
    /// Unacknowledged output of one participant.
    pub window_bytes: u64,
    /// CPU, in thousandths of a core.
    pub cpu_millis: u64,
    /// Processes and threads.
    pub processes: u64,
    /// Working directory.
    pub disk_bytes: u64,
}

/// A participant as the others see it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct ParticipantInfo {
    /// Its number in the session.
    pub id: u32,
    /// Its name.
    pub name: Arc<str>,
    /// What it may do.
    #[serde(flatten)]
    pub rights: Rights,
}

/// Fields of `complete_reply`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct CompleteAnswer {
    /// Texts that fit.
    #[serde(default)]
    pub matches: Vec<String>,
    /// What each of them is, in the same order: `function`, `class`, `module`, `variable`,
    /// `attribute`, `argument`, `keyword`, `magic`, or nothing where that is not known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub types: Vec<String>,
    /// Where the text they replace begins, in characters.
    #[serde(default)]
    pub start: u64,
    /// Where it ends.
    #[serde(default)]
    pub end: u64,
    /// The interpreter could not be asked now.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub busy: bool,
}

/// Fields of `inspect_reply`.
#[derive(Clone, Debug, Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS))]
pub struct InspectAnswer {
    /// Whether there is anything to say.
    pub found: bool,
    /// MIME type to value.
    #[serde(default = "empty_object")]
    #[cfg_attr(test, ts(type = "MimeBundle"))]
    pub data: Box<RawValue>,
    /// The interpreter could not be asked now.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub busy: bool,
}

impl Default for InspectAnswer {
    fn default() -> InspectAnswer {
        InspectAnswer { found: false, data: empty_object(), busy: false }
    }
}

/// Fields of `is_complete_reply`.
#[derive(Clone, Debug, PartialEq, Serialize, serde::Deserialize)]
#[cfg_attr(test, derive(ts_rs::TS), ts(optional_fields))]
pub struct IsCompleteAnswer {
    /// The verdict.
    pub status: Completeness,
    /// What the next line should begin with, if `incomplete`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub indent: Option<String>,
    /// The interpreter could not be asked now; `status` is `unknown`.
    #[serde(default, skip_serializing_if = "is_false")]
    #[cfg_attr(test, ts(optional, as = "Option<_>"))]
    pub busy: bool,
}

/// Whether code is a whole cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum Completeness {
    /// It can run.
    Complete,
    /// More lines are needed.
    Incomplete,
    /// No further line can mend it.
    Invalid,
    /// The interpreter could not be asked now: running the cell will tell.
    Unknown,
}

/// `{}`.
pub(crate) fn empty_object() -> Box<RawValue> {
    serde_json::value::to_raw_value(&serde_json::Map::new()).unwrap_or_default()
}

fn is_false(flag: &bool) -> bool {
    !flag
}

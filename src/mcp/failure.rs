//! Why a tool did not do what it was asked for: a sentence for the model that called it.

use rmcp::model::{CallToolResult, ContentBlock};

use crate::admission::Refused;
use crate::memory::Exhausted;
use crate::session::files::FileError;
use crate::session::{AttachError, Departure, SessionOver};

/// What is wrong, and what to do about it.
#[derive(Debug)]
pub(super) struct Failure(String);

impl Failure {
    pub(super) fn new(sentence: impl Into<String>) -> Failure {
        Failure(sentence.into())
    }

    /// The cell's session ended.
    pub(super) fn over(why: &str) -> Failure {
        Failure(format!(
            "the session is over: {why}. Call run_code without session_id for a new one; variables and \
             files are gone"
        ))
    }

    pub(super) fn sentence(&self) -> &str {
        &self.0
    }

    /// A result that the model reads, which a protocol error would not be.
    pub(super) fn into_result(self) -> CallToolResult {
        CallToolResult::error(vec![ContentBlock::text(self.0)])
    }
}

impl From<Refused> for Failure {
    fn from(refused: Refused) -> Failure {
        match refused {
            Refused::NoSuchSession => Failure::over("there is none of this session_id"),
            other => Failure(other.sentence()),
        }
    }
}

impl From<AttachError> for Failure {
    fn from(error: AttachError) -> Failure {
        match error {
            AttachError::Over => Failure::over("it ended a moment ago"),
            other => Failure(other.to_string()),
        }
    }
}

impl From<Departure> for Failure {
    fn from(departure: Departure) -> Failure {
        Failure::over(&departure.to_string())
    }
}

impl From<SessionOver> for Failure {
    fn from(_: SessionOver) -> Failure {
        Failure::over("it ended a moment ago")
    }
}

impl From<FileError> for Failure {
    fn from(error: FileError) -> Failure {
        match error {
            FileError::Over => Failure::over("it ended a moment ago"),
            other => Failure(other.to_string()),
        }
    }
}

impl From<Exhausted> for Failure {
    fn from(exhausted: Exhausted) -> Failure {
        Failure(exhausted.to_string())
    }
}

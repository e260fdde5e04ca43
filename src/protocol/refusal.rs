//! Why a message of a client was refused.

use serde::Serialize;

use super::shorten::shorten;

/// Why a message was refused: becomes a `protocol_error`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// For programs.
    pub code: ErrorCode,
    /// For people: what is wrong and what would be right.
    pub message: String,
    /// The id the message carried, if it could be read.
    pub id: Option<String>,
}

impl Refusal {
    /// Longest message, in bytes. The client's own text, which may be a megabyte long, is not
    /// repeated in it.
    pub const MESSAGE_BYTES: usize = 500;

    /// A refusal that names no cell; a message that is too long is cut at a character.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Refusal {
        let message = shorten(message.into(), Refusal::MESSAGE_BYTES);
        Refusal { code, message, id: None }
    }

    /// The same, naming the cell or request it is about.
    pub fn of(mut self, id: impl Into<String>) -> Refusal {
        self.id = Some(id.into());
        self
    }
}

/// Why a message was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
#[cfg_attr(test, derive(ts_rs::TS))]
pub enum ErrorCode {
    /// Not JSON.
    BadJson,
    /// JSON, but not the fields this type has.
    BadMessage,
    /// A `type` that does not exist.
    UnknownType,
    /// A cell of this id was accepted before, or a program of this id is open.
    DuplicateId,
    /// `limits.queue` cells wait already, or all that a publishable key allows; as many programs are open as may be; or
    /// as much waits for a process's input.
    QueueFull,
    /// Longer than a limit of `ready.limits`, or than what a program may be opened with.
    TooLarge,
    /// The participant's role does not allow it.
    Forbidden,
    /// The cell, request or program that it is about is not there, or has ended.
    NotRunning,
    /// Too many messages in too short a time.
    RateLimited,
}

//! What the list of sessions says of each.

use std::time::SystemTime;

use crate::pool::Prepared;
use crate::protocol::event::SessionState;
use crate::protocol::reply::LanguageInfo;

/// What never changes of a session.
#[derive(Clone, Debug)]
pub struct About {
    /// Name of its template.
    pub template: String,
    /// Name of its backend.
    pub backend: &'static str,
    /// When it began.
    pub created: SystemTime,
    /// The language of its interpreter.
    pub language: LanguageInfo,
}

/// What changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Summary {
    /// What it does.
    pub state: SessionState,
    /// How many are attached.
    pub participants: usize,
    /// Cells that have ended.
    pub cells: u64,
    /// Memory of the sandbox in bytes, by its newest sample; `None` before the first.
    pub memory_bytes: Option<u64>,
}

impl About {
    pub(super) fn of(prepared: &Prepared) -> About {
        About {
            template: prepared.template.name.clone(),
            backend: prepared.backend.name(),
            created: SystemTime::now(),
            language: prepared.language.clone(),
        }
    }
}

impl Default for Summary {
    fn default() -> Summary {
        Summary { state: SessionState::Idle, participants: 0, cells: 0, memory_bytes: None }
    }
}

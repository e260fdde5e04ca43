//! An event from its encoding.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::Error;
use serde_json::value::RawValue;

use super::{CellStatus, DoneUsage, Event, EventKind, MimeBundle};
use crate::protocol::comm::JsonObject;

/// Decodes the message of an event of this kind.
pub(super) fn decode(kind: EventKind, json: &str) -> Result<Event, Error> {
    Ok(match kind {
        EventKind::Stdout => Event::Stdout(serde_json::from_str(json)?),
        EventKind::Stderr => Event::Stderr(serde_json::from_str(json)?),
        EventKind::Result => {
            let Shown { id, execution_count, data, metadata, .. } = serde_json::from_str(json)?;
            Event::Result { id, execution_count, data, metadata }
        }
        EventKind::Display => {
            let Shown { id, data, metadata, display_id, update, late, .. } =
                serde_json::from_str(json)?;
            Event::Display { id, data, metadata, display_id, update, late }
        }
        EventKind::Done => {
            let Done {
                id,
                status,
                execution_count,
                duration_ms,
                state_kept,
                usage,
                detail,
                user_expressions,
                cell,
                files_changed,
                more,
            } = serde_json::from_str(json)?;
            Event::Done {
                id,
                status,
                execution_count,
                duration_ms,
                state_kept,
                usage,
                detail,
                user_expressions,
                cell,
                files_changed,
                more,
            }
        }
        EventKind::ProcessStdout => Event::ProcessStdout(serde_json::from_str(json)?),
        EventKind::ProcessStderr => Event::ProcessStderr(serde_json::from_str(json)?),
        EventKind::ProcessTerminal => Event::ProcessTerminal(serde_json::from_str(json)?),
        EventKind::CommOpen => Event::CommOpen(serde_json::from_str(json)?),
        EventKind::CommMsg => Event::CommMsg(serde_json::from_str(json)?),
        EventKind::CommClose => Event::CommClose(serde_json::from_str(json)?),
        _ => serde_json::from_str(json)?,
    })
}

/// Fields of `done`, by themselves as those of [`Shown`] are.
#[derive(Deserialize)]
struct Done {
    id: Arc<str>,
    status: CellStatus,
    execution_count: Option<u32>,
    duration_ms: f64,
    state_kept: bool,
    usage: DoneUsage,
    detail: Option<String>,
    user_expressions: Option<JsonObject>,
    cell: Option<Arc<str>>,
    #[serde(default)]
    files_changed: Vec<String>,
    #[serde(default)]
    more: bool,
}

/// Fields of `result` and `display`. By themselves, because serde cannot read raw JSON in an
/// internally tagged enumeration.
#[derive(Deserialize)]
struct Shown {
    id: Arc<str>,
    execution_count: Option<u32>,
    data: MimeBundle,
    metadata: Box<RawValue>,
    display_id: Option<String>,
    #[serde(default)]
    update: bool,
    #[serde(default)]
    late: bool,
}

//! A runner's rich messages: hostile JSON in, events out.

use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::event::{Event, Frame, MimeBundle};
use crate::protocol::reply::empty_object;
use crate::protocol::scrub::{Unfit, scrub};

/// Why a message is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("there is no type {0:?}")]
    Type(String),
}

#[derive(Deserialize)]
struct Probe<'a> {
    #[serde(rename = "type", borrow)]
    kind: std::borrow::Cow<'a, str>,
}

#[derive(Deserialize)]
struct Bundle {
    data: MimeBundle,
    #[serde(default = "empty_object")]
    metadata: Box<RawValue>,
    display_id: Option<String>,
    #[serde(default)]
    update: bool,
}

#[derive(Deserialize)]
struct Clear {
    #[serde(default)]
    wait: bool,
}

#[derive(Deserialize)]
struct Ask {
    #[serde(default)]
    prompt: String,
    #[serde(default)]
    password: bool,
}

#[derive(Deserialize)]
struct Raised {
    name: String,
    #[serde(default)]
    value: String,
    #[serde(default)]
    traceback: Vec<String>,
    #[serde(default)]
    frames: Vec<Frame>,
}

/// Reads a message of the cell `id`. An error is a sentence for people.
pub(super) fn read(
    id: Arc<str>,
    execution_count: Option<u32>,
    late: bool,
    json: &[u8],
) -> Result<Event, Unreadable> {
    let json = &*scrub(json)?;
    let probe: Probe<'_> = serde_json::from_slice(json)?;
    Ok(match &*probe.kind {
        "result" => {
            let Bundle { data, metadata, .. } = Bundle::read(json)?;
            Event::Result { id, execution_count, data, metadata }
        }
        "display" => {
            let Bundle { data, metadata, display_id, update } = Bundle::read(json)?;
            Event::Display { id, data, metadata, display_id, update, late }
        }
        "clear_output" => {
            let Clear { wait } = serde_json::from_slice(json)?;
            Event::ClearOutput { id, wait }
        }
        "input_request" => {
            let Ask { prompt, password } = serde_json::from_slice(json)?;
            Event::InputRequest { id, prompt, password }
        }
        "error" => {
            let Raised { name, value, traceback, frames } = serde_json::from_slice(json)?;
            Event::Error { id, name, value, traceback, frames }
        }
        other => {
            let shown: String = other.chars().take(40).collect();
            return Err(Unreadable::Type(shown));
        }
    })
}

impl Bundle {
    /// Metadata is an object; whatever else was sent counts as none.
    fn read(json: &[u8]) -> Result<Bundle, serde_json::Error> {
        let mut bundle: Bundle = serde_json::from_slice(json)?;
        if !bundle.metadata.get().starts_with('{') {
            bundle.metadata = empty_object();
        }
        Ok(bundle)
    }
}

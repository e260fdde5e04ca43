//! All events of a cell in one object.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Problem;

/// Most that is collected: 16 MiB of output, results and tracebacks. What comes beyond is counted.
const COLLECTED_BYTES: usize = 16 << 20;

/// What came of a cell.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::http) struct RunAnswer {
    /// `done.status` of the protocol: `ok`, `error`, `timeout`, …
    status: String,
    /// What it wrote to stdout.
    stdout: String,
    /// What it wrote to stderr.
    stderr: String,
    /// What it showed: its displays, and the value of its last expression.
    results: Vec<Shown>,
    /// What it raised, if it did.
    error: Option<Raised>,
    /// How long it ran, in milliseconds.
    duration_ms: f64,
    /// A sentence about its end, where there is something to say.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
    /// Bytes of output that are not here, being too many.
    #[serde(skip_serializing_if = "is_zero")]
    omitted_bytes: u64,
}

/// Something that was shown.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Shown {
    /// `result`: the value of the last expression; `display`: shown on the way.
    r#type: &'static str,
    /// MIME type to value.
    #[schema(value_type = Object)]
    data: Box<RawValue>,
    /// What it says about its forms.
    #[schema(value_type = Object)]
    metadata: Box<RawValue>,
    #[serde(skip)]
    display_id: Option<String>,
}

/// An exception.
#[derive(Debug, Serialize, ToSchema)]
pub(in crate::http) struct Raised {
    /// Name of its class.
    name: String,
    /// Its text.
    value: String,
    /// Lines for people.
    traceback: Vec<String>,
    /// The same for programs: file, line, function and source of each frame.
    #[schema(value_type = Vec<Object>)]
    frames: Box<RawValue>,
}

/// The events that say something about the answer.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum Event {
    Stdout(Text),
    Stderr(Text),
    Result(Bundle),
    Display(Bundle),
    Error {
        name: String,
        value: String,
        traceback: Vec<String>,
        frames: Vec<serde_json::Value>,
    },
    Truncated {
        omitted_bytes: u64,
    },
    Done {
        status: String,
        duration_ms: f64,
        detail: Option<String>,
    },
    #[serde(other)]
    Other,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

#[derive(Deserialize)]
struct Bundle {
    data: serde_json::Map<String, serde_json::Value>,
    metadata: serde_json::Value,
    display_id: Option<String>,
    #[serde(default)]
    update: bool,
}

/// Makes one answer of many events.
#[derive(Debug, Default)]
pub(super) struct Collector {
    answer: RunAnswer,
    bytes: usize,
}

impl Collector {
    /// Takes an event in.
    pub(super) fn take(&mut self, json: &str) -> Result<(), Problem> {
        let unreadable = |error| Problem::internal("cannot read an event", &error);
        match serde_json::from_str(json).map_err(unreadable)? {
            Event::Stdout(Text { text }) if self.has_room(text.len()) => {
                self.answer.stdout.push_str(&text);
            }
            Event::Stderr(Text { text }) if self.has_room(text.len()) => {
                self.answer.stderr.push_str(&text);
            }
            Event::Stdout(Text { text }) | Event::Stderr(Text { text }) => {
                self.answer.omitted_bytes += text.len() as u64;
            }
            Event::Result(bundle) => self.show("result", bundle, json.len())?,
            Event::Display(bundle) => self.show("display", bundle, json.len())?,
            Event::Error { name, value, traceback, frames } => {
                let frames = serde_json::value::to_raw_value(&frames).map_err(unreadable)?;
                self.answer.error = Some(Raised { name, value, traceback, frames });
            }
            Event::Truncated { omitted_bytes } => self.answer.omitted_bytes += omitted_bytes,
            Event::Done { status, duration_ms, detail } => {
                self.answer.status = status;
                self.answer.duration_ms = duration_ms;
                self.answer.detail = detail;
            }
            Event::Other => {}
        }
        Ok(())
    }

    /// The answer, after the cell's end.
    pub(super) fn finish(self) -> RunAnswer {
        self.answer
    }

    fn show(&mut self, kind: &'static str, bundle: Bundle, length: usize) -> Result<(), Problem> {
        if !self.has_room(length) {
            self.answer.omitted_bytes += length as u64;
            return Ok(());
        }
        let raw = |value: &serde_json::Value| {
            serde_json::value::to_raw_value(value)
                .map_err(|error| Problem::internal("cannot write a result", &error))
        };
        let Bundle { data, metadata, display_id, update } = bundle;
        let (data, metadata) = (raw(&data.into())?, raw(&metadata)?);
        let shown = Shown { r#type: kind, data, metadata, display_id };
        if update {
            // It takes the place of what was shown under its name; of what was not, none.
            let results = self.answer.results.iter_mut();
            for earlier in results.filter(|earlier| earlier.display_id == shown.display_id) {
                earlier.data.clone_from(&shown.data);
                earlier.metadata.clone_from(&shown.metadata);
            }
        } else {
            self.answer.results.push(shown);
        }
        Ok(())
    }

    fn has_room(&mut self, bytes: usize) -> bool {
        let fits = self.bytes + bytes <= COLLECTED_BYTES;
        if fits {
            self.bytes += bytes;
        }
        fits
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn collected(events: &[serde_json::Value]) -> serde_json::Value {
        let mut collector = Collector::default();
        for event in events {
            collector.take(&event.to_string()).unwrap();
        }
        serde_json::to_value(collector.finish()).unwrap()
    }

    #[test]
    fn events_become_one_object() {
        let answer = collected(&[
            json!({"type": "queued", "id": "a", "position": 0, "by": "run", "seq": 1}),
            json!({"type": "stdout", "id": "a", "text": "1\n"}),
            json!({"type": "stderr", "id": "a", "text": "oh"}),
            json!({"type": "display", "id": "a", "data": {"text/plain": "old"}, "metadata": {},
                   "display_id": "x"}),
            json!({"type": "stdout", "id": "a", "text": "2\n"}),
            json!({"type": "display", "id": "a", "data": {"text/plain": "new"}, "metadata": {},
                   "display_id": "x", "update": true}),
            json!({"type": "result", "id": "a", "data": {"text/plain": "7"}, "metadata": {"k": 1}}),
            json!({"type": "done", "id": "a", "status": "ok", "duration_ms": 1.5}),
        ]);
        assert_eq!(
            answer,
            json!({
                "status": "ok", "stdout": "1\n2\n", "stderr": "oh", "error": null, "duration_ms": 1.5,
                "results": [
                    {"type": "display", "data": {"text/plain": "new"}, "metadata": {}},
                    {"type": "result", "data": {"text/plain": "7"}, "metadata": {"k": 1}},
                ],
            })
        );
    }

    #[test]
    fn an_exception_is_told_and_a_flood_is_counted() {
        let flood = "x".repeat(COLLECTED_BYTES - 1);
        let answer = collected(&[
            json!({"type": "stdout", "id": "a", "text": flood}),
            json!({"type": "stdout", "id": "a", "text": "yy"}),
            json!({"type": "stderr", "id": "a", "text": "z"}),
            json!({"type": "error", "id": "a", "name": "E", "value": "v", "traceback": ["t"],
                   "frames": [{"line": 3}]}),
            json!({"type": "done", "id": "a", "status": "error", "duration_ms": 0.0,
                   "detail": "because"}),
        ]);
        assert_eq!(answer["stdout"].as_str().unwrap().len(), COLLECTED_BYTES - 1);
        assert_eq!((&answer["stderr"], &answer["omitted_bytes"]), (&json!("z"), &json!(2)));
        assert_eq!(answer["error"]["frames"][0]["line"], 3);
        assert_eq!(answer["detail"], "because");
    }
}

//! All events of a cell in one object.
//!
//! What a cell shows is kept as the JSON text that came, never as a tree of values, which would take
//! thirty times as much; and what stands in several places of the answer is kept once. The answer's
//! length is bounded, and so is what it takes to make it: it is charged twice, for its parts and for
//! the text made of them.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Problem;
use crate::memory::{Account, Charge, charged};
use crate::protocol::shorten::shorten;

/// Longest answer: 16 MiB of output, results and tracebacks, as JSON. What comes beyond is counted.
const COLLECTED_BYTES: usize = 16 << 20;

/// What an exception may have on top, so that it is told in full after a flood of output.
const ERROR_BYTES: usize = 1 << 20; // 1 MiB

/// What is told of an exception's text in any case, in bytes.
const LEAST_VALUE_BYTES: usize = 1 << 10; // 1 KiB

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
    data: Arc<RawValue>,
    /// What it says about its forms.
    #[schema(value_type = Object)]
    metadata: Arc<RawValue>,
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
    #[schema(value_type = Vec<String>)]
    traceback: Box<RawValue>,
    /// The same for programs: file, line, function and source of each frame.
    #[schema(value_type = Vec<Object>)]
    frames: Box<RawValue>,
}

/// Which event it is.
#[derive(Deserialize)]
struct Head<'a> {
    r#type: &'a str,
}

/// `stdout` and `stderr`.
#[derive(Deserialize)]
struct Text<'a> {
    #[serde(borrow)]
    text: &'a RawValue,
}

/// `result` and `display`.
#[derive(Deserialize)]
struct Bundle {
    data: Box<RawValue>,
    metadata: Box<RawValue>,
    display_id: Option<String>,
    #[serde(default)]
    update: bool,
}

/// `truncated`.
#[derive(Deserialize)]
struct Truncated {
    omitted_bytes: u64,
}

/// `done`.
#[derive(Deserialize)]
struct Done {
    status: String,
    duration_ms: f64,
    detail: Option<String>,
}

/// `error`.
#[derive(Deserialize)]
struct Error {
    name: String,
    value: String,
    traceback: Box<RawValue>,
    frames: Box<RawValue>,
}

/// Makes one answer of many events.
#[derive(Debug)]
pub(super) struct Collector {
    answer: RunAnswer,
    /// Length of what was collected, as JSON.
    bytes: usize,
    /// Twice that.
    charge: Charge,
}

impl Collector {
    /// Nothing collected yet; what is will be charged to `memory`.
    pub(super) fn new(memory: &Account) -> Collector {
        Collector { answer: RunAnswer::default(), bytes: 0, charge: memory.request() }
    }

    /// Takes an event in.
    pub(super) fn take(&mut self, json: &str) -> Result<(), Problem> {
        let head: Head<'_> = read(json)?;
        match head.r#type {
            "stdout" | "stderr" => {
                let Text { text: raw } = read(json)?;
                let text: String = read(raw.get())?;
                if !self.make_room(raw.get().len() - "\"\"".len(), 0) {
                    self.answer.omitted_bytes += text.len() as u64;
                } else if head.r#type == "stdout" {
                    self.answer.stdout.push_str(&text);
                } else {
                    self.answer.stderr.push_str(&text);
                }
            }
            "result" => self.show("result", read(json)?),
            "display" => self.show("display", read(json)?),
            "error" => self.raise(read(json)?),
            "truncated" => {
                let Truncated { omitted_bytes } = read(json)?;
                self.answer.omitted_bytes += omitted_bytes;
            }
            "done" => {
                let Done { status, duration_ms, detail } = read(json)?;
                self.answer.status = status;
                self.answer.duration_ms = duration_ms;
                self.answer.detail = detail;
            }
            _ => {}
        }
        Ok(())
    }

    /// The answer, after the cell's end.
    pub(super) fn finish(self) -> Result<Response, Problem> {
        let Collector { answer, mut charge, .. } = self;
        let json = serde_json::to_vec(&answer)
            .map_err(|error| Problem::internal("cannot write the answer", &error))?;
        drop(answer);
        charge.set(json.len());
        let body = axum::body::Body::from(charged(json, charge));
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }

    fn show(&mut self, kind: &'static str, bundle: Bundle) {
        let Bundle { data, metadata, display_id, update } = bundle;
        let (data, metadata) = (Arc::<RawValue>::from(data), Arc::<RawValue>::from(metadata));
        let shown = Shown { r#type: kind, data, metadata, display_id };
        let length = shown.length();
        if !update {
            if self.make_room(length, 0) {
                self.answer.results.push(shown);
            } else {
                self.answer.omitted_bytes += length as u64;
            }
            return;
        }
        // It takes the place of what was shown under its name, wherever that was; of what was not
        // shown, it takes none.
        let is_older = |earlier: &Shown| earlier.display_id == shown.display_id;
        let older = self.answer.results.iter().filter(|earlier| is_older(earlier));
        let (count, replaced) =
            older.fold((0, 0), |(count, bytes), earlier| (count + 1, bytes + earlier.length()));
        if !self.make_room(count * length, replaced) {
            self.answer.omitted_bytes += length as u64;
            return;
        }
        for earlier in self.answer.results.iter_mut().filter(|earlier| is_older(earlier)) {
            earlier.data = Arc::clone(&shown.data);
            earlier.metadata = Arc::clone(&shown.metadata);
        }
    }

    /// Of an exception that does not fit, name and the beginning of its text are told.
    fn raise(&mut self, error: Error) {
        let Error { name, mut value, mut traceback, mut frames } = error;
        let lines = traceback.get().len() + frames.get().len();
        let most = COLLECTED_BYTES + ERROR_BYTES;
        if !self.make_room_of(most, name.len() + value.len() + lines, 0) {
            let whole = value.len();
            value = shorten(value, LEAST_VALUE_BYTES);
            self.answer.omitted_bytes += (whole - value.len() + lines) as u64;
            (traceback, frames) = (no_lines(), no_lines());
        }
        self.answer.error = Some(Raised { name, value, traceback, frames });
    }

    /// Makes room for `more` bytes in the place of `less`, if there is any.
    fn make_room(&mut self, more: usize, less: usize) -> bool {
        self.make_room_of(COLLECTED_BYTES, more, less)
    }

    /// The same in an answer of `most` bytes.
    fn make_room_of(&mut self, most: usize, more: usize, less: usize) -> bool {
        let bytes = (self.bytes - less).saturating_add(more);
        let fits = bytes <= most && self.charge.try_set(2 * bytes).is_ok();
        if fits {
            self.bytes = bytes;
        }
        fits
    }
}

impl Shown {
    /// Its length as JSON, but for its keys.
    fn length(&self) -> usize {
        self.data.get().len() + self.metadata.get().len()
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a str) -> Result<T, Problem> {
    serde_json::from_str(json).map_err(|error| Problem::internal("cannot read an event", &error))
}

/// `[]`.
fn no_lines() -> Box<RawValue> {
    serde_json::value::to_raw_value::<[(); 0]>(&[]).unwrap_or_default()
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;
    use serde_json::json;

    fn collected(events: &[serde_json::Value]) -> serde_json::Value {
        let mut collector = Collector::new(&Budget::new(1 << 30).account());
        for event in events {
            collector.take(&event.to_string()).unwrap();
        }
        serde_json::to_value(&collector.answer).unwrap()
    }

    fn display(value: &str, update: bool) -> String {
        let json = json!({"type": "display", "id": "a", "data": {"text/plain": value},
                          "metadata": {}, "display_id": "x", "update": update});
        json.to_string()
    }

    #[tokio::test]
    async fn an_update_of_many_displays_is_kept_once_and_counted_where_it_stands() {
        let memory = Budget::new(1 << 30).account();
        let mut collector = Collector::new(&memory);
        for _ in 0..150 {
            collector.take(&display("old", false)).unwrap();
        }
        let small = "y".repeat(64 << 10);
        collector.take(&display(&small, true)).unwrap();
        let shown = &collector.answer.results;
        assert!(Arc::ptr_eq(&shown[0].data, &shown[149].data), "one text for all");
        // 150 times 4 MiB are more than an answer may have: what was shown before stays.
        collector.take(&display(&"z".repeat(4 << 20), true)).unwrap();
        assert!(collector.answer.omitted_bytes > 4 << 20);
        assert!(memory.used() <= 2 * COLLECTED_BYTES, "{}", memory.used());
        let response = collector.finish().unwrap();
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        assert!(body.len() <= COLLECTED_BYTES && body.len() > 150 * small.len());
        assert_eq!(memory.used(), body.len());
        drop(body);
        assert_eq!(memory.used(), 0);
    }

    #[test]
    fn what_the_gateway_has_no_memory_for_is_omitted() {
        let memory = Budget::new(16 << 20).account();
        let mut collector = Collector::new(&memory);
        let flood = "x".repeat(1 << 20);
        for _ in 0..9 {
            collector
                .take(&json!({"type": "stdout", "id": "a", "text": flood}).to_string())
                .unwrap();
        }
        assert_eq!(collector.answer.stdout.len(), 2 << 20, "a quarter of the budget, twice");
        assert_eq!(collector.answer.omitted_bytes, 7 << 20);
        // An exception is told all the same.
        let error = json!({"type": "error", "id": "a", "name": "E", "value": flood,
                           "traceback": [flood], "frames": []});
        collector.take(&error.to_string()).unwrap();
        let raised = collector.answer.error.unwrap();
        assert_eq!((&*raised.name, raised.value.len()), ("E", LEAST_VALUE_BYTES));
    }

    #[test]
    fn characters_count_as_they_are_written() {
        let nul = "\0".repeat(COLLECTED_BYTES / 6 + 1);
        let answer = collected(&[json!({"type": "stdout", "id": "a", "text": nul})]);
        assert_eq!((&answer["stdout"], &answer["omitted_bytes"]), (&json!(""), &json!(nul.len())));
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

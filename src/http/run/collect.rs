//! All events of a cell in one object.
//!
//! What a cell shows is kept as the JSON text that came, never as a tree of values, which would
//! take thirty times as much; and what stands in several places of the answer is kept once. The
//! answer's length is bounded, and so is what it takes to make it: it is charged twice, for its
//! parts and for the text made of them.

use std::sync::Arc;

use axum::http::header;
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::Problem;
use crate::memory::{Account, Charge, charged};
use crate::protocol::event::{Event, EventKind, Frame, MimeBundle, Sequenced};
use crate::protocol::shorten::shorten;
use crate::protocol::wire_name;

/// Longest answer: 16 MiB of output, results and tracebacks, as JSON. What comes beyond is counted.
const COLLECTED_BYTES: usize = 16 << 20;

/// What an exception may have on top, so that it is told in full after a flood of output.
const ERROR_BYTES: usize = 1 << 20; // 1 MiB

/// What is told of an exception's text in any case, in bytes.
const LEAST_VALUE_BYTES: usize = 1 << 10; // 1 KiB

/// What came of a cell.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(in crate::http) struct RunAnswer {
    /// Of a cell of a session: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<String>,
    /// Of a cell of a session: `done`.
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<&'static str>,
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
    data: Arc<MimeBundle>,
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
    traceback: Vec<String>,
    /// The same for programs: file, line, function and source of each frame.
    #[schema(value_type = Vec<Object>)]
    frames: Vec<Frame>,
}

/// Makes one answer of many events.
#[derive(Debug)]
pub(in crate::http) struct Collector {
    answer: RunAnswer,
    /// Length of what was collected, as JSON.
    bytes: usize,
    /// Twice that.
    charge: Charge,
}

impl Collector {
    /// Nothing collected yet; what is will be charged to `memory`.
    pub(in crate::http) fn new(memory: &Account) -> Collector {
        Collector { answer: RunAnswer::default(), bytes: 0, charge: memory.request() }
    }

    /// The same for a cell of a session.
    pub(in crate::http) fn of_session(memory: &Account, id: String) -> Collector {
        let mut collector = Collector::new(memory);
        (collector.answer.id, collector.answer.state) = (Some(id), Some("done"));
        collector
    }

    /// Takes an event in.
    pub(in crate::http) fn take(&mut self, sequenced: &Sequenced) -> Result<(), Problem> {
        let event = sequenced.event();
        match event.map_err(|error| Problem::internal("cannot read an event", &error))? {
            Event::Stdout(output) | Event::Stderr(output) => {
                // As JSON: what is escaped takes more room.
                let length = sequenced.escaped_text().map_or(0, str::len);
                if !self.make_room(length, 0) {
                    self.answer.omitted_bytes += output.text.len() as u64;
                } else if sequenced.kind == EventKind::Stdout {
                    self.answer.stdout.push_str(&output.text);
                } else {
                    self.answer.stderr.push_str(&output.text);
                }
            }
            Event::Result { data, metadata, .. } => {
                self.show(Shown::new("result", data, metadata, None), false);
            }
            Event::Display { data, metadata, display_id, update, .. } => {
                self.show(Shown::new("display", data, metadata, display_id), update);
            }
            Event::Error { name, value, traceback, frames, .. } => {
                self.raise(Raised { name, value, traceback, frames }, sequenced.json.len());
            }
            Event::Truncated { omitted_bytes, .. } => self.answer.omitted_bytes += omitted_bytes,
            Event::Done { status, duration_ms, detail, .. } => {
                self.answer.status = wire_name(&status);
                self.answer.duration_ms = duration_ms;
                self.answer.detail = detail;
            }
            _ => {}
        }
        Ok(())
    }

    /// The answer, after the cell's end.
    pub(in crate::http) fn finish(self) -> Result<Response, Problem> {
        let Collector { answer, mut charge, .. } = self;
        let json = serde_json::to_vec(&answer)
            .map_err(|error| Problem::internal("cannot write the answer", &error))?;
        drop(answer);
        charge.set(json.len());
        let body = axum::body::Body::from(charged(json, charge));
        Ok(([(header::CONTENT_TYPE, "application/json")], body).into_response())
    }

    fn show(&mut self, shown: Shown, update: bool) {
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

    /// Of an exception that does not fit, name and the beginning of its text are told. `length`: of
    /// its event.
    fn raise(&mut self, mut raised: Raised, length: usize) {
        if !self.make_room_of(COLLECTED_BYTES + ERROR_BYTES, length, 0) {
            raised.value = shorten(raised.value, LEAST_VALUE_BYTES);
            self.answer.omitted_bytes += (length - raised.value.len()) as u64;
            (raised.traceback, raised.frames) = (Vec::new(), Vec::new());
        }
        self.answer.error = Some(raised);
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
    fn new(
        kind: &'static str,
        data: MimeBundle,
        metadata: Box<RawValue>,
        display_id: Option<String>,
    ) -> Shown {
        Shown { r#type: kind, data: Arc::new(data), metadata: metadata.into(), display_id }
    }

    /// Its length as JSON, but for the names of its fields.
    fn length(&self) -> usize {
        let punctuation = r#""":,"#.len();
        let forms = self.data.iter().map(|(mime, raw)| mime.len() + raw.get().len() + punctuation);
        forms.sum::<usize>() + self.metadata.get().len()
    }
}

fn is_zero(count: &u64) -> bool {
    *count == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::Budget;
    use serde_json::json;

    /// An event from the fields that a client is told.
    fn event(fields: serde_json::Value) -> Sequenced {
        let kind = EventKind::ALL.into_iter().find(|kind| {
            let name = format!("{kind:?}").to_lowercase();
            fields["type"] == name
        });
        let json = fields.to_string();
        let event = Sequenced { seq: 1, kind: kind.unwrap(), json: json.into(), text: None };
        Sequenced::encode(&event.event().unwrap(), 1, 1).unwrap()
    }

    fn collected(events: &[serde_json::Value]) -> serde_json::Value {
        let mut collector = Collector::new(&Budget::new(1 << 30).account());
        for fields in events {
            collector.take(&event(fields.clone())).unwrap();
        }
        serde_json::to_value(&collector.answer).unwrap()
    }

    fn display(value: &str, update: bool) -> Sequenced {
        event(json!({"type": "display", "id": "a", "data": {"text/plain": value},
                     "metadata": {}, "display_id": "x", "update": update}))
    }

    fn done(status: &str, detail: Option<&str>) -> serde_json::Value {
        let usage = json!({"cpu_ms": 0.0, "peak_memory_bytes": 0, "output_bytes": 0});
        json!({"type": "done", "id": "a", "status": status, "duration_ms": 1.5, "state_kept": true,
               "usage": usage, "detail": detail})
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
            let event = event(json!({"type": "stdout", "id": "a", "text": flood}));
            collector.take(&event).unwrap();
        }
        assert_eq!(collector.answer.stdout.len(), 2 << 20, "a quarter of the budget, twice");
        assert_eq!(collector.answer.omitted_bytes, 7 << 20);
        // An exception is told all the same.
        let error = json!({"type": "error", "id": "a", "name": "E", "value": flood,
                           "traceback": [flood], "frames": []});
        collector.take(&event(error)).unwrap();
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
            done("ok", None),
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
            done("error", Some("because")),
        ]);
        assert_eq!(answer["stdout"].as_str().unwrap().len(), COLLECTED_BYTES - 1);
        assert_eq!((&answer["stderr"], &answer["omitted_bytes"]), (&json!("z"), &json!(2)));
        assert_eq!(answer["error"]["frames"][0]["line"], 3);
        assert_eq!(answer["detail"], "because");
    }
}

//! A runner's rich messages: hostile JSON in, events out.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::protocol::client::{EXPRESSION_NAME_BYTES, MOST_EXPRESSIONS};
use crate::protocol::comm::{self, JsonObject};
use crate::protocol::event::{CommFields, Event, ExpressionValue, Frame, MimeBundle};
use crate::protocol::reply::empty_object;
use crate::protocol::scrub::{Unfit, scrub};
use crate::protocol::shorten::shorten;

/// Longest id of a display, in bytes: it names the display in each of its updates.
const DISPLAY_ID_BYTES: usize = 1 << 10; // 1 KiB

/// Most forms of one result, and the longest name of a form (RFC 6838 §4.2 has 127 characters on
/// each side of the slash, and parameters come on top).
const MIME_TYPES: usize = 64;
const MIME_TYPE_BYTES: usize = 512;

/// Longest prompt, in bytes: some pages.
const PROMPT_BYTES: usize = 64 << 10; // 64 KiB

/// Longest name of an exception's class, and its longest text, in bytes.
const ERROR_NAME_BYTES: usize = 1 << 10; // 1 KiB
const ERROR_VALUE_BYTES: usize = 1 << 20; // 1 MiB

/// Most bytes of a traceback's lines together: what our runner sends at most, in the longest
/// encoding of its characters.
const TRACEBACK_BYTES: usize = 1 << 20; // 1 MiB

/// Most frames of a traceback, and the longest text of each of their fields, in bytes.
const FRAMES: usize = 200;
const FRAME_TEXT_BYTES: usize = 16 << 10; // 16 KiB

/// Longest sentence about what is wrong with a message: it may quote the message.
const WHY_BYTES: usize = 300;

/// Most bytes of the values of a cell's expressions together: `done` has them, and each participant
/// is sent it.
const EXPRESSIONS_BYTES: usize = 1 << 20; // 1 MiB

/// What a message of a cell is.
#[derive(Debug)]
pub(super) enum Message {
    /// To be told as it is.
    Event(Event),
    /// The values of the cell's expressions, by their names: [`ExpressionValue`] each.
    UserExpressions(JsonObject),
    /// What there is to say of the cell's end, such as a command's exit status.
    Detail(String),
}

/// Why a message is no event.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unreadable {
    #[error("its display_id has {0} bytes, of at most {DISPLAY_ID_BYTES}")]
    DisplayId(usize),
    #[error("it has {0} forms, of at most {MIME_TYPES}")]
    Forms(usize),
    #[error("the name of one of its forms has {0} bytes, of at most {MIME_TYPE_BYTES}")]
    MimeType(usize),
    #[error(transparent)]
    Unfit(#[from] Unfit),
    #[error("{0}")]
    Json(#[from] serde_json::Error),
    #[error("there is no type {0:?}")]
    Type(String),
    #[error("{0}")]
    Comm(String),
    #[error("its values of expressions have {0} bytes, of at most {EXPRESSIONS_BYTES}")]
    Expressions(usize),
    #[error("it has {0} values of expressions, of at most {MOST_EXPRESSIONS}")]
    ManyExpressions(usize),
    #[error("the name of an expression has {0} bytes, of at most {EXPRESSION_NAME_BYTES}")]
    ExpressionName(usize),
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
struct Detail {
    text: String,
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

impl Unreadable {
    fn unknown(kind: &str) -> Unreadable {
        Unreadable::Type(kind.chars().take(40).collect())
    }

    /// The reason as a sentence of bounded length.
    pub(super) fn why(&self) -> String {
        shorten(self.to_string(), WHY_BYTES)
    }
}

/// Reads a message of the cell `id`. The message is hostile: every text of it that something in the
/// gateway keeps, sorts by or repeats is bounded here, whatever our own runner would send.
pub(super) fn read(
    id: Arc<str>,
    execution_count: Option<u32>,
    late: bool,
    json: &[u8],
) -> Result<Message, Unreadable> {
    let json = &*scrub(json)?;
    let probe: Probe<'_> = serde_json::from_slice(json)?;
    Ok(Message::Event(match &*probe.kind {
        "user_expressions" => return read_expressions(json).map(Message::UserExpressions),
        "detail" => {
            let Detail { text } = serde_json::from_slice(json)?;
            return Ok(Message::Detail(shorten(text, WHY_BYTES)));
        }
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
            Event::InputRequest { id, prompt: shorten(prompt, PROMPT_BYTES), password }
        }
        "error" => {
            let mut raised: Raised = serde_json::from_slice(json)?;
            raised.bound();
            let Raised { name, value, traceback, frames } = raised;
            Event::Error { id, name, value, traceback, frames }
        }
        // A cell that has ended says nothing more: this is of a thread, which may outlive it.
        kind => match read_comm(kind, (!late).then_some(id), json) {
            Some(event) => event?,
            None => return Err(Unreadable::unknown(kind)),
        },
    }))
}

/// Reads the values of expressions, of which the text is kept.
fn read_expressions(json: &[u8]) -> Result<JsonObject, Unreadable> {
    #[derive(Deserialize)]
    struct Evaluated {
        values: JsonObject,
    }
    let Evaluated { values } = serde_json::from_slice(json)?;
    let text = values.get();
    if text.len() > EXPRESSIONS_BYTES {
        return Err(Unreadable::Expressions(text.len()));
    }
    let all: BTreeMap<String, ExpressionValue> = serde_json::from_str(text)?;
    if all.len() > MOST_EXPRESSIONS {
        return Err(Unreadable::ManyExpressions(all.len()));
    }
    if let Some(name) = all.keys().find(|name| name.len() > EXPRESSION_NAME_BYTES) {
        return Err(Unreadable::ExpressionName(name.len()));
    }
    all.values().filter_map(|value| value.data.as_ref()).try_for_each(check_forms)?;
    Ok(values)
}

fn check_forms(data: &MimeBundle) -> Result<(), Unreadable> {
    if data.len() > MIME_TYPES {
        return Err(Unreadable::Forms(data.len()));
    }
    match data.keys().find(|name| name.len() > MIME_TYPE_BYTES) {
        Some(name) => Err(Unreadable::MimeType(name.len())),
        None => Ok(()),
    }
}

/// Reads a message of code that runs in the background while no cell does: only comms have such.
pub(super) fn read_of_no_cell(json: &[u8]) -> Result<Event, Unreadable> {
    let json = &*scrub(json)?;
    let probe: Probe<'_> = serde_json::from_slice(json)?;
    read_comm(&probe.kind, None, json).unwrap_or_else(|| Err(Unreadable::unknown(&probe.kind)))
}

/// Reads a message on a comm. `None`: `kind` is none of these.
fn read_comm(kind: &str, id: Option<Arc<str>>, json: &[u8]) -> Option<Result<Event, Unreadable>> {
    let event = match kind {
        "comm_open" => Event::CommOpen,
        "comm_msg" => Event::CommMsg,
        "comm_close" => Event::CommClose,
        _ => return None,
    };
    let read = || {
        let mut fields: CommFields = serde_json::from_slice(json)?;
        fields.id = id;
        let check = |field, name: &str| comm::check_name(field, name).map_err(Unreadable::Comm);
        check("comm_id", &fields.comm_id)?;
        match kind {
            "comm_open" => check("target_name", fields.target_name.as_deref().unwrap_or_default())?,
            _ => fields.target_name = None,
        }
        Ok(event(fields))
    };
    Some(read())
}

impl Bundle {
    /// Metadata is an object; whatever else was sent counts as none.
    fn read(json: &[u8]) -> Result<Bundle, Unreadable> {
        let mut bundle: Bundle = serde_json::from_slice(json)?;
        if let Some(id) = bundle.display_id.as_ref().filter(|id| id.len() > DISPLAY_ID_BYTES) {
            return Err(Unreadable::DisplayId(id.len()));
        }
        check_forms(&bundle.data)?;
        if !bundle.metadata.get().starts_with('{') {
            bundle.metadata = empty_object();
        }
        Ok(bundle)
    }
}

impl Raised {
    /// Cuts what is too long. The last lines of a traceback name the error, so the first ones go.
    fn bound(&mut self) {
        let text = |text: &mut String, most| *text = shorten(std::mem::take(text), most);
        text(&mut self.name, ERROR_NAME_BYTES);
        text(&mut self.value, ERROR_VALUE_BYTES);
        let mut room = TRACEBACK_BYTES;
        let fits = self.traceback.iter().rev().take_while(|line| {
            // A byte for the line's end, so that empty lines are bounded too.
            let fits = room > line.len();
            room = room.saturating_sub(line.len() + 1);
            fits
        });
        let left_out = self.traceback.len() - fits.count();
        if left_out > 0 {
            let told = format!("… {left_out} lines left out …");
            self.traceback.splice(..left_out, [told]);
        }
        self.frames.truncate(FRAMES);
        for frame in &mut self.frames {
            let Frame { cell, file, function, source, line: _ } = frame;
            for field in [file, function, source].into_iter().chain(cell) {
                text(field, FRAME_TEXT_BYTES);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read_value(message: &serde_json::Value) -> Result<Event, Unreadable> {
        match read("a".into(), None, false, message.to_string().as_bytes())? {
            Message::Event(event) => Ok(event),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn values_of_expressions_are_bounded_and_kept_as_text() {
        let read = |values: serde_json::Value| -> Result<JsonObject, Unreadable> {
            let json = json!({"type": "user_expressions", "values": values}).to_string();
            match read("a".into(), None, false, json.as_bytes())? {
                Message::UserExpressions(values) => Ok(values),
                other => panic!("{other:?}"),
            }
        };
        let ok = |data: serde_json::Value| json!({"status": "ok", "data": data, "metadata": {}});
        let error = json!({"status": "error", "ename": "E", "evalue": "", "traceback": ["E"]});
        let values = json!({"a": ok(json!({"text/plain": "1"})), "b": error});
        assert_eq!(read(values.clone()).unwrap().get(), values.to_string());
        let many = |count: usize, name: usize| {
            (0..count).map(|n| (format!("{n:0>name$}"), error.clone())).collect()
        };
        let of = |values: serde_json::Map<String, serde_json::Value>| read(values.into());
        assert!(of(many(MOST_EXPRESSIONS, EXPRESSION_NAME_BYTES)).is_ok());
        let forms = |count, name: usize| {
            let data: serde_json::Map<_, _> =
                (0..count).map(|n| (format!("{n:0>name$}"), json!(""))).collect();
            read(json!({"a": ok(data.into())}))
        };
        for (refused, why) in [
            (of(many(MOST_EXPRESSIONS + 1, 2)), "it has 65 values"),
            (of(many(1, EXPRESSION_NAME_BYTES + 1)), "the name of an expression has 1025 bytes"),
            (forms(MIME_TYPES + 1, 2), "it has 65 forms"),
            (forms(1, MIME_TYPE_BYTES + 1), "the name of one of its forms has 513 bytes"),
            (read(json!({"a": ok(json!({"t": "x".repeat(EXPRESSIONS_BYTES)}))})), "its values"),
            (read(json!({"a": {"status": "maybe"}})), "unknown variant"),
            (read(json!([])), "this field has to be an object"),
        ] {
            let told = refused.unwrap_err().why();
            assert!(told.starts_with(why), "{told}");
        }
    }

    #[test]
    fn ids_and_names_of_forms_are_bounded() {
        let display = |id: usize, forms: usize, name: usize| {
            let data: serde_json::Map<_, _> =
                (0..forms).map(|form| (format!("{form:0>name$}"), json!("x"))).collect();
            read_value(&json!({"type": "display", "display_id": "i".repeat(id), "data": data}))
        };
        assert!(display(DISPLAY_ID_BYTES, MIME_TYPES, MIME_TYPE_BYTES).is_ok());
        for (event, why) in [
            (display(DISPLAY_ID_BYTES + 1, 1, 1), "its display_id has 1025 bytes"),
            (display(1, MIME_TYPES + 1, 1), "it has 65 forms"),
            (display(1, 1, MIME_TYPE_BYTES + 1), "the name of one of its forms has 513 bytes"),
        ] {
            let told = event.unwrap_err().why();
            assert!(told.starts_with(why), "{told}");
        }
        let quoted = read_value(&json!({"type": "display", "data": "x".repeat(1 << 20)}));
        assert!(quoted.unwrap_err().why().len() <= WHY_BYTES);
        let unknown = read_value(&json!({"type": "x".repeat(1 << 20)}));
        assert!(unknown.unwrap_err().why().len() <= WHY_BYTES);
    }

    #[test]
    fn messages_on_comms_are_bounded_and_have_the_id_of_a_cell_that_runs() {
        let said = json!({
            "type": "comm_open", "comm_id": "c", "target_name": "t", "id": "forged",
            "data": {"a": 1}, "buffers": ["AAA="],
        });
        let fields = |event| match event {
            Event::CommOpen(fields) => fields,
            other => panic!("{other:?}"),
        };
        let of_cell = |late| match read("a".into(), None, late, said.to_string().as_bytes()) {
            Ok(Message::Event(event)) => fields(event),
            other => panic!("{other:?}"),
        };
        let bytes = said.to_string().into_bytes();
        let running = of_cell(false);
        assert_eq!((running.id.as_deref(), &*running.comm_id), (Some("a"), "c"));
        assert_eq!((running.target_name.as_deref(), running.data.get()), (Some("t"), r#"{"a":1}"#));
        assert_eq!(of_cell(true).id, None, "its cell has ended");
        assert_eq!(fields(read_of_no_cell(&bytes).unwrap()).id, None);
        let display = json!({"type": "display", "data": {}}).to_string();
        let told = read_of_no_cell(display.as_bytes()).unwrap_err().why();
        assert_eq!(told, "there is no type \"display\"");

        let changed = |field: &str, value: serde_json::Value| {
            let mut message = said.clone();
            message[field] = value;
            read_of_no_cell(message.to_string().as_bytes())
        };
        let long = |bytes| json!("n".repeat(bytes));
        for field in ["comm_id", "target_name"] {
            assert!(changed(field, long(comm::NAME_BYTES)).is_ok());
            for bytes in [0, comm::NAME_BYTES + 1] {
                let told = changed(field, long(bytes)).unwrap_err().why();
                assert!(told.contains("may have 1 to 1024"), "{told}");
            }
        }
        assert!(changed("buffers", json!(vec![""; comm::MOST_BUFFERS])).is_ok());
        for (field, value) in [
            ("buffers", json!(vec![""; comm::MOST_BUFFERS + 1])),
            ("buffers", json!(["no base64"])),
            ("data", json!([])),
            ("metadata", json!("x")),
        ] {
            assert!(changed(field, value).is_err(), "{field}");
        }
        // Only what opens a comm names what is to answer.
        let Ok(Event::CommMsg(fields)) = changed("type", json!("comm_msg")) else { panic!() };
        assert_eq!(fields.target_name, None);
    }

    #[test]
    fn prompts_and_errors_are_cut() {
        let long = "é".repeat(1 << 20);
        let asked = read_value(&json!({"type": "input_request", "prompt": long})).unwrap();
        let Event::InputRequest { prompt, .. } = asked else { panic!("{asked:?}") };
        assert!(prompt.len() <= PROMPT_BYTES && prompt.ends_with("é…"));
        let text = "é".repeat(FRAME_TEXT_BYTES);
        let frame = json!({"cell": text, "file": text, "function": text, "source": text});
        let raised = read_value(&json!({
            "type": "error", "name": long, "value": long,
            "traceback": [long, "first", "", "last"], "frames": vec![frame; FRAMES + 1],
        }));
        let Event::Error { name, value, traceback, frames, .. } = raised.unwrap() else { panic!() };
        assert!(name.len() <= ERROR_NAME_BYTES && value.len() <= ERROR_VALUE_BYTES);
        assert_eq!(traceback, ["… 1 lines left out …", "first", "", "last"]);
        assert_eq!(frames.len(), FRAMES);
        assert!(frames.iter().all(|frame| frame.source.len() <= FRAME_TEXT_BYTES
            && frame.cell.as_ref().is_some_and(|cell| cell.len() <= FRAME_TEXT_BYTES)));
        let empty = json!({"type": "error", "name": "E", "traceback": vec![""; 2 << 20]});
        let Event::Error { traceback, .. } = read_value(&empty).unwrap() else { panic!() };
        assert!(traceback.len() <= TRACEBACK_BYTES + 1);
    }
}

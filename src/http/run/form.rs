//! The forms an answer can have, and which one a client wants (RFC 9110 §12.5.1).

use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, StatusCode, header};
use futures::{Stream, TryStreamExt};
use tokio::sync::mpsc;

use super::{Batched, Problem, is_done};
use crate::session::Delivery;

/// How often a silent stream of events shows that it lives: proxies cut those that do not after
/// 30 s or 60 s.
const SIGN_OF_LIFE: Duration = Duration::from_secs(15);

/// Length from which on an event is sent as it is instead of being copied among others, in bytes.
const SHARED_BYTES: usize = 16 << 10; // 16 KiB

/// One way of writing the events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum Form {
    /// An event a line; what is taken if the client does not care.
    Lines,
    /// Server-sent events, as the HTML standard has them.
    Events,
    /// One object, at the end.
    Json,
}

impl Form {
    /// In the order of preference.
    const ALL: [Form; 3] = [Form::Lines, Form::Events, Form::Json];

    /// The media type without parameters.
    fn essence(self) -> &'static str {
        match self {
            Form::Lines => "application/x-ndjson",
            Form::Events => "text/event-stream",
            Form::Json => "application/json",
        }
    }

    /// The media type to send.
    pub(super) fn content_type(self) -> &'static str {
        match self {
            Form::Events => "text/event-stream; charset=utf-8",
            other => other.essence(),
        }
    }

    /// The form that `Accept` asks for most.
    pub(in crate::http) fn wanted(headers: &HeaderMap) -> Result<Form, Problem> {
        let lines = headers.get_all(header::ACCEPT).iter();
        let ranges: Vec<&str> = lines
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .map(str::trim)
            .filter(|range| !range.is_empty())
            .collect();
        if ranges.is_empty() {
            return Ok(Form::Lines);
        }
        // The most specific range that fits a form decides about it. Between forms that are
        // wanted alike the one that is named goes before one that merely fits `*/*`.
        let mut best: Option<((f32, u8), Form)> = None;
        for form in Form::ALL {
            let fitting = ranges.iter().filter_map(|range| fit(range, form.essence()));
            let Some((precision, quality)) = fitting.max_by_key(|(precision, _)| *precision) else {
                continue;
            };
            if quality > 0.0 && best.is_none_or(|(before, _)| (quality, precision) > before) {
                best = Some(((quality, precision), form));
            }
        }
        best.map(|(_, form)| form).ok_or_else(|| {
            let detail = "there are application/x-ndjson, text/event-stream and application/json";
            Problem::new(StatusCode::NOT_ACCEPTABLE, detail)
        })
    }

    /// The bytes of some events, in pieces. Long events are not copied: a reader who is slow holds
    /// no more than the session does.
    fn encode(self, events: Vec<Delivery>) -> Vec<Bytes> {
        let small = events.iter().map(|event| event.json().len());
        let length: usize = small.filter(|length| *length < SHARED_BYTES).map(|one| one + 40).sum();
        let (mut pieces, mut text) = (Vec::new(), String::with_capacity(length));
        for delivery in events {
            let seq = delivery.seq();
            let json = delivery.json().clone();
            if self == Form::Events {
                if let Some(seq) = seq {
                    text.push_str("id: ");
                    text.push_str(&seq.to_string());
                    text.push('\n');
                }
                // JSON has no line breaks but escaped ones.
                text.push_str("data: ");
            }
            if json.len() < SHARED_BYTES {
                text.push_str(&json);
            } else {
                pieces.push(std::mem::take(&mut text).into());
                pieces.push(json.into_bytes());
            }
            text.push_str(if self == Form::Events { "\n\n" } else { "\n" });
        }
        pieces.push(text.into());
        pieces
    }
}

/// How precisely a range names a type (2: exactly, 1: `type/*`, 0: `*/*`), and its quality.
fn fit(range: &str, essence: &str) -> Option<(u8, f32)> {
    let mut parts = range.split(';').map(str::trim);
    let name = parts.next()?.to_ascii_lowercase();
    let quality = parts.find_map(|part| part.strip_prefix("q=").or(part.strip_prefix("Q=")));
    let quality = quality.map_or(Some(1.0), |text| text.parse().ok())?;
    let precision = match name.as_str() {
        "*/*" => 0,
        name if name == essence => 2,
        name if essence.split('/').next() == name.strip_suffix("/*") => 1,
        _ => return None,
    };
    Some((precision, quality))
}

/// Where a stream of events ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http) enum End {
    /// With a cell's `done`; all else breaks the connection off.
    Done,
    /// With the session, or when the client's token is taken back.
    Session,
}

/// What the response's body is made of.
pub(super) fn stream(
    form: Form,
    end: End,
    first: Option<Vec<Delivery>>,
    told: mpsc::Receiver<Batched>,
) -> impl Stream<Item = Result<Bytes, axum::Error>> + Send + 'static {
    let batches = futures::stream::unfold((first, Some(told)), move |(first, told)| async move {
        let mut told = told?;
        let batch = match first {
            Some(first) => Some(Ok(first)),
            None if form == Form::Events => {
                match tokio::time::timeout(SIGN_OF_LIFE, told.recv()).await {
                    Ok(batch) => batch,
                    Err(_) => {
                        let sign = vec![Bytes::from_static(b":\n\n")];
                        return Some((Ok(sign), (None, Some(told))));
                    }
                }
            }
            None => told.recv().await,
        };
        match batch {
            Some(Ok(events)) => {
                let ends = end == End::Done && events.last().is_some_and(is_done);
                Some((Ok(form.encode(events)), (None, (!ends).then_some(told))))
            }
            None if end == End::Session => None,
            // The head is sent: all that is left is to break the connection off.
            Some(Err(_)) | None => {
                Some((Err(axum::Error::new("the session ended early")), (None, None)))
            }
        }
    });
    batches.map_ok(|pieces| futures::stream::iter(pieces.into_iter().map(Ok))).try_flatten()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::protocol::Reply;
    use crate::protocol::event::{EventKind, Sequenced};
    use crate::session::EncodedReply;
    use axum::http::HeaderValue;
    use bytestring::ByteString;

    fn wanted(accept: &str) -> Option<Form> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_str(accept).unwrap());
        Form::wanted(&headers).ok()
    }

    #[test]
    fn the_form_is_the_one_that_is_wanted_most() {
        assert_eq!(Form::wanted(&HeaderMap::new()).unwrap(), Form::Lines);
        for (accept, form) in [
            ("*/*", Some(Form::Lines)),
            ("", Some(Form::Lines)),
            ("application/*", Some(Form::Lines)),
            ("application/json", Some(Form::Json)),
            ("application/json, */*", Some(Form::Json)),
            ("application/json, text/plain, */*", Some(Form::Json)),
            ("Application/JSON; charset=utf-8", Some(Form::Json)),
            ("text/event-stream", Some(Form::Events)),
            ("text/*", Some(Form::Events)),
            ("text/event-stream;q=0.5, application/json;q=0.8", Some(Form::Json)),
            ("application/x-ndjson;q=0, application/*", Some(Form::Json)),
            ("*/*;q=0.1, application/json;q=0", Some(Form::Lines)),
            ("text/html", None),
            ("*/*;q=0", None),
        ] {
            assert_eq!(wanted(accept), form, "{accept}");
        }
    }

    fn event(seq: u64, json: ByteString) -> Delivery {
        Delivery::Event(Arc::new(Sequenced { seq, kind: EventKind::Stdout, json, text: None }))
    }

    fn gap() -> Delivery {
        let reply = Reply::Gap { from: 1, to: 2, superseded: false };
        Delivery::Reply(Arc::new(EncodedReply { reply, json: "{}".into() }))
    }

    #[test]
    fn events_are_written_as_each_form_has_them() {
        let events = || vec![event(7, "{\"a\":1}".into()), gap()];
        assert_eq!(Form::Lines.encode(events()).concat(), b"{\"a\":1}\n{}\n");
        let expected = b"id: 7\ndata: {\"a\":1}\n\ndata: {}\n\n";
        assert_eq!(Form::Events.encode(events()).concat(), expected);
    }

    #[test]
    fn a_long_event_is_not_copied() {
        let json = ByteString::from("x".repeat(SHARED_BYTES));
        let pieces = Form::Lines.encode(vec![gap(), event(7, json.clone()), gap()]);
        assert_eq!(pieces[1].as_ptr(), json.as_ptr());
        assert_eq!(pieces.concat(), format!("{{}}\n{json}\n{{}}\n").as_bytes());
    }
}

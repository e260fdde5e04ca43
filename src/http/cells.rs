//! `/v1/sessions/ID/cells` and `/events`: a session by requests, for clients that hold no WebSocket.
//!
//! ```text
//!   POST …/cells ─► observer ── execute ──► session      observer: reads the log, is no participant
//!        response ◄─ form ◄─ events of the cell ─┘       a client that leaves interrupts its cell
//! ```

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::{Body, Bytes};
use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;
use tracing::Instrument;
use utoipa::ToSchema;

use super::AppState;
use super::auth::Caller;
use super::body::read_whole;
use super::idempotency::KeyedCell;
use super::problem::{Document, Problem};
use super::run::{
    Batched, Collector, End, Form, RunAnswer, broken_off, collect, is_done, streamed,
};
use crate::id::SessionId;
use crate::memory::Charge;
use crate::protocol::Reply;
use crate::protocol::client::{ClientMessage, Execute};
use crate::protocol::event::EventKind;
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::reply::Role;
use crate::session::{
    AttachError, Attachment, Credential, Delivery, ObserveRequest, ReadFrom, SessionHandle,
};

/// Told as `by` of cells that come by a request.
const NAME: &str = "api";

/// A cell to run in a session: the fields of the message `execute`, and how the request is served.
#[derive(Deserialize, ToSchema)]
pub(super) struct CellRequest {
    /// Whether `input()` may ask; the answer is sent to `…/input`. Unlike over the WebSocket it may not
    /// unless told.
    #[serde(default)]
    allow_input: bool,
    /// The cell goes on if the client leaves.
    #[serde(default)]
    detach: bool,
    /// The code.
    #[serde(rename = "code")]
    _code: String,
    /// The cell's name, unique in the session; one is made if there is none.
    #[serde(rename = "id")]
    _id: Option<String>,
    /// The cell of the session's document that the code is from.
    #[serde(rename = "cell")]
    _cell: Option<String>,
    /// Longest time it may take, in milliseconds; at most the template's.
    #[schema(minimum = 1)]
    #[serde(rename = "timeout_ms")]
    _timeout_ms: Option<u64>,
    /// Environment variables while it runs.
    #[serde(rename = "env", default)]
    _env: BTreeMap<String, String>,
    /// If it does not end `ok`, cells queued behind it are cancelled.
    #[serde(rename = "stop_on_error", default)]
    _stop_on_error: bool,
    /// No result, and no execution count unless `store_history` says otherwise.
    #[serde(rename = "silent", default)]
    _silent: bool,
    /// Whether it gets an execution count.
    #[serde(rename = "store_history")]
    _store_history: Option<bool>,
    /// Expressions evaluated after it, by names; their values are in `done`.
    #[serde(rename = "user_expressions", default)]
    _user_expressions: BTreeMap<String, String>,
}

/// A cell as a request orders it.
struct Order {
    cell: Execute,
    id: String,
    detach: bool,
    /// The body as it came.
    bytes: Bytes,
    /// The memory of the request.
    charge: Charge,
}

impl Order {
    async fn read(body: Body, app: &AppState, session: &SessionHandle) -> Result<Order, Problem> {
        let most = app.socket.message_bytes;
        let charge = session.memory().try_charge(most).map_err(|exhausted| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, exhausted.to_string()).for_now()
        })?;
        let rule = format!("a cell has at most {most} bytes; --message-size says how many");
        let bytes = read_whole(body, most, &rule, app.socket.write_timeout).await?;
        let text = std::str::from_utf8(&bytes)
            .map_err(|error| Problem::bad_request(format!("the body is not UTF-8: {error}")))?;
        let request: CellRequest = serde_json::from_str(text).map_err(|error| {
            Problem::bad_request(format!(
                "the body is not such as {{\"code\": \"1 + 1\"}}: {error}"
            ))
        })?;
        let mut cell = match ClientMessage::parse(text) {
            Ok(ClientMessage::Execute(cell)) if cell.comm.is_none() => cell,
            Ok(_) => return Err(Problem::bad_request("the body has a `type` other than execute")),
            Err(refusal) => return Err(refused(&refusal)),
        };
        cell.allow_input = request.allow_input;
        let id = match &cell.id {
            Some(id) => id.clone(),
            None => SessionId::random()
                .map_err(|error| Problem::internal("cannot make an id", &error))?
                .to_string(),
        };
        cell.id = Some(id.clone());
        Ok(Order { cell, id, detach: request.detach, bytes, charge })
    }
}

/// Runs a cell in a session, and streams what happens to it.
///
/// A client that leaves interrupts the cell, unless `detach` is set.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/cells",
    operation_id = "runCellInSession",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("Idempotency-Key" = Option<String>, Header,
         description = "The same key and body run the cell once: again, its events are answered from the log"),
    ),
    request_body = CellRequest,
    responses(
        (status = 200, description = "The cell's events up to its `done`, one JSON object a line; as \
         server-sent events, `id` being the `seq`; or all in one object", content(
            (String = "application/x-ndjson"),
            (String = "text/event-stream"),
            (RunAnswer = "application/json"),
        )),
        (status = "4XX", description = "400: a body that cannot be read · 401: no token of this session · \
         403: the token does not give the right to run cells, or its key allows no environment · 404: no \
         such session · 406: no such form · 409: the session has had a cell of this id, or a request with \
         this Idempotency-Key is under way · 410: the log holds nothing more of the cell · 413: too long · \
         422: the Idempotency-Key came with another body · 429: too many cells wait",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 503, description = "The gateway shuts down, or has no memory for it",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    may_run(&session, &credential)?;
    let form = Form::wanted(&headers)?;
    let Order { cell, id, detach, bytes, charge } = Order::read(body, &app, &session).await?;
    let whose = caller.scope(&format!("/v1/sessions/{}/cells", session.id()));
    let keyed = app.idempotency.cell(&headers, &whose, &bytes)?;
    drop(bytes);
    let (reading, first_request) = match keyed {
        Some(KeyedCell::Again(cell)) => {
            let (seat, newest) = observe(&session, credential, ReadFrom::Beginning, false).await?;
            (Reading { seat, cell, held_up_to: Some(newest) }, None)
        }
        Some(KeyedCell::First(first)) => {
            (execute(&session, credential, cell, &id, charge).await?, Some(first))
        }
        None => (execute(&session, credential, cell, &id, charge).await?, None),
    };
    let id = reading.cell.clone();
    let (tell, mut told) = mpsc::channel(1);
    let driving = drive(reading, detach, tell, app.socket.write_timeout);
    app.connections.spawn(driving.instrument(session.span()));
    let first = told.recv().await.unwrap_or_else(|| Err(broken_off("its log says why")))?;
    if let Some(request) = first_request {
        request.accepted(&id);
    }
    if form == Form::Json {
        return collect(Collector::of_session(session.memory(), id), first, told).await;
    }
    Ok(streamed(form, End::Done, Some(first), told))
}

/// The reading of one cell's events.
struct Reading {
    seat: Attachment,
    cell: String,
    /// The log's newest seq when the reading of an older cell began: if none of the events up to there is of
    /// the cell, none will come.
    held_up_to: Option<u64>,
}

/// Gives the session a cell to run.
async fn execute(
    session: &SessionHandle,
    credential: Credential,
    cell: Execute,
    id: &str,
    charge: Charge,
) -> Result<Reading, Problem> {
    let (seat, _) = observe(session, credential, ReadFrom::Now, true).await?;
    let said = seat.send_charged(Ok(ClientMessage::Execute(cell)), charge).await;
    said.map_err(|error| broken_off(&error.to_string()))?;
    Ok(Reading { seat, cell: id.to_owned(), held_up_to: None })
}

fn may_run(session: &SessionHandle, credential: &Credential) -> Result<(), Problem> {
    if session.rights(credential).is_some_and(|rights| rights.may_run()) {
        return Ok(());
    }
    let text = "this needs the right to run cells; ask an owner for a link that gives it";
    Err(Problem::new(StatusCode::FORBIDDEN, text))
}

async fn observe(
    session: &SessionHandle,
    credential: Credential,
    from: ReadFrom,
    keeps_up: bool,
) -> Result<(Attachment, u64), Problem> {
    let request = ObserveRequest { credential, name: NAME.into(), from, keeps_up };
    session.observe(request).await.map_err(|error| match error {
        AttachError::Over => Problem::not_found(error.to_string()),
        other => Problem::new(StatusCode::UNAUTHORIZED, other.to_string()),
    })
}

/// Passes a cell's events on until its end, or until the client leaves.
async fn drive(reading: Reading, detach: bool, tell: mpsc::Sender<Batched>, patience: Duration) {
    match pass_on(&reading, &tell, patience).await {
        Ok(Ended::Done) => {}
        Ok(Ended::Left) => {
            if !detach {
                let interrupt =
                    ClientMessage::Interrupt { id: Some(reading.cell), interpreter: None };
                // A session that is over has stopped it.
                reading.seat.send(Ok(interrupt)).await.ok();
            }
        }
        // The client may be gone, or not be reading.
        Err(problem) => drop(tell.try_send(Err(problem))),
    }
}

/// Why no more events of a cell are passed on.
enum Ended {
    /// It has ended.
    Done,
    /// The client has left.
    Left,
}

async fn pass_on(
    reading: &Reading,
    tell: &mpsc::Sender<Batched>,
    patience: Duration,
) -> Result<Ended, Problem> {
    let (seat, cell) = (&reading.seat, &reading.cell);
    let mut held_up_to = reading.held_up_to;
    let (mut taken, mut events) = (Vec::new(), Vec::new());
    loop {
        let took = tokio::select! {
            () = tell.closed() => return Ok(Ended::Left),
            took = seat.outbox().take(&mut taken) => took,
        };
        took.map_err(|departure| broken_off(&departure.to_string()))?;
        let mut seen = 0;
        for delivery in taken.drain(..) {
            match &delivery {
                Delivery::Event(event) => {
                    seen = event.seq;
                    if names(&event.json, cell) {
                        held_up_to = None;
                        let ends = is_done(&delivery);
                        events.push(delivery);
                        if ends {
                            break;
                        }
                    }
                }
                Delivery::Reply(reply) => match &reply.reply {
                    Reply::Gap { to, .. } => {
                        seen = *to;
                        events.push(delivery);
                    }
                    Reply::ProtocolError { .. } => return Err(refusal_of(&reply.reply)),
                    _ => {}
                },
            }
        }
        if let Some(newest) = held_up_to {
            if seen >= newest {
                let text = "this request ran its cell before, and the session's log holds nothing of it any more";
                return Err(Problem::new(StatusCode::GONE, text));
            }
            continue;
        }
        if events.is_empty() {
            continue;
        }
        let ends = events.last().is_some_and(is_done);
        match tokio::time::timeout(patience, tell.send(Ok(std::mem::take(&mut events)))).await {
            Ok(Ok(())) if ends => return Ok(Ended::Done),
            Ok(Ok(())) => {}
            // The client is gone, or does not read any more.
            _ => return Ok(if ends { Ended::Done } else { Ended::Left }),
        }
    }
}

/// Whether an event is of this cell.
fn names(event: &str, cell: &str) -> bool {
    #[derive(Deserialize)]
    struct Named<'a> {
        #[serde(borrow)]
        id: Option<std::borrow::Cow<'a, str>>,
    }
    serde_json::from_str::<Named<'_>>(event).is_ok_and(|named| named.id.as_deref() == Some(cell))
}

/// What a refused message is answered with.
fn refused(refusal: &Refusal) -> Problem {
    problem_of(refusal.code, refusal.message.clone())
}

fn refusal_of(reply: &Reply) -> Problem {
    match reply {
        Reply::ProtocolError { code, message, .. } => problem_of(*code, message.clone()),
        _ => broken_off("an answer that fits no question"),
    }
}

fn problem_of(code: ErrorCode, message: String) -> Problem {
    let status = match code {
        ErrorCode::BadJson | ErrorCode::BadMessage | ErrorCode::UnknownType => {
            StatusCode::BAD_REQUEST
        }
        ErrorCode::DuplicateId | ErrorCode::NotRunning => StatusCode::CONFLICT,
        ErrorCode::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
        ErrorCode::Forbidden => StatusCode::FORBIDDEN,
        ErrorCode::QueueFull | ErrorCode::RateLimited => {
            return Problem::new(StatusCode::TOO_MANY_REQUESTS, message).for_now();
        }
    };
    Problem::new(status, message)
}

/// A cell that has not ended.
#[derive(Serialize, ToSchema)]
pub(super) struct CellState {
    /// The cell.
    id: String,
    /// `queued` or `running`.
    state: &'static str,
}

/// Tells whether a cell waits or runs, and once it has ended what came of it, as far as the log holds it.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/cells/{cell}",
    operation_id = "readCell",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("cell" = String, Path, description = "The cell"),
    ),
    responses(
        (status = 200, description = "What came of it; or its state while it has not ended", content(
            (RunAnswer = "application/json"),
        )),
        (status = "4XX", description = "401: no token of this session · 404: no such session, or the log \
         holds nothing of such a cell", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    let Path((id, cell)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    let (mut log, newest) = observe(&session, credential, ReadFrom::Beginning, false).await?;
    let mut collector = Collector::of_session(session.memory(), cell.clone());
    let (mut seen, mut state) = (0, None);
    while seen < newest {
        match log.next().await.map_err(|departure| broken_off(&departure.to_string()))? {
            Delivery::Event(event) => {
                seen = event.seq;
                if !names(&event.json, &cell) {
                    continue;
                }
                match event.kind {
                    EventKind::Queued => state = state.or(Some("queued")),
                    EventKind::Done => {
                        collector.take(&event)?;
                        return collector.finish();
                    }
                    _ => {
                        state = Some("running");
                        collector.take(&event)?;
                    }
                }
            }
            Delivery::Reply(reply) => {
                if let Reply::Gap { to, .. } = reply.reply {
                    seen = to;
                }
            }
        }
    }
    match state {
        Some(state) => Ok(Json(CellState { id: cell, state }).into_response()),
        None => Err(Problem::not_found("the session's log holds nothing of a cell of this id")),
    }
}

/// Where a stream of events begins.
#[derive(Default, Deserialize)]
pub(super) struct EventsQuery {
    after: Option<u64>,
}

/// Streams a session's events as server-sent events, `id` being the `seq`: those that the log holds, and
/// then those that come. A browser's `EventSource` that reconnects goes on where it was.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/events",
    operation_id = "streamEvents",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("after" = Option<u64>, Query, description = "Only what came after this seq"),
        ("Last-Event-ID" = Option<u64>, Header, description = "The same; it outweighs `after`"),
    ),
    responses(
        (status = 200, description = "The events; a `gap` in the place of those that are not kept. Ends \
         with the session", content_type = "text/event-stream", body = String),
        (status = "4XX", description = "400: not a number · 401: no token of this session · 404: no such \
         session", body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn events(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    query: Result<Query<EventsQuery>, QueryRejection>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let after = match headers.get("last-event-id").map(|value| value.to_str().map(str::parse)) {
        None => query.after,
        Some(Ok(Ok(seq))) => Some(seq),
        Some(_) => {
            let text = "Last-Event-ID is the `id` of an event that came before, a number";
            return Err(Problem::bad_request(text));
        }
    };
    let from = after.map_or(ReadFrom::Beginning, ReadFrom::After);
    let (seat, _) = observe(&session, credential.clone(), from, true).await?;
    let (tell, told) = mpsc::channel(1);
    let follow = follow(session.clone(), credential, seat, tell, app.socket.write_timeout);
    app.connections.spawn(follow.instrument(session.span()));
    Ok(streamed(Form::Events, End::Session, None, told))
}

/// Passes all events on until the session is over, the client leaves, or its token is taken back.
async fn follow(
    session: SessionHandle,
    credential: Credential,
    seat: Attachment,
    tell: mpsc::Sender<Batched>,
    patience: Duration,
) {
    let mut rights_changed = session.rights_changed();
    // They may have changed since the request was let in.
    if session.rights(&credential).is_none() {
        return;
    }
    let mut taken = Vec::new();
    loop {
        let took = tokio::select! {
            () = tell.closed() => return,
            changed = rights_changed.changed() => {
                if changed.is_ok() && session.rights(&credential).is_none() {
                    return;
                }
                continue;
            }
            took = seat.outbox().take(&mut taken) => took,
        };
        if took.is_err() {
            return; // `ended` has been told
        }
        let shown = |delivery: &Delivery| match delivery {
            Delivery::Event(_) => true,
            Delivery::Reply(reply) => matches!(reply.reply, Reply::Gap { .. }),
        };
        let events: Vec<Delivery> = taken.drain(..).filter(shown).collect();
        let sent = tokio::time::timeout(patience, tell.send(Ok(events))).await;
        if !matches!(sent, Ok(Ok(()))) {
            return;
        }
    }
}

/// Which cell is to stop.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InterruptRequest {
    /// The cell; without it the one that runs.
    id: Option<String>,
}

/// An answer to `input()`.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct InputRequest {
    /// The cell that asks.
    id: String,
    /// A line, without its end.
    text: Option<String>,
    /// There is no more input.
    #[serde(default)]
    eof: bool,
}

/// Longest body of what controls a session, besides a line of input.
const CONTROL_BYTES: usize = 4 << 10;

/// Stops a cell, or the one that runs.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/interrupt",
    operation_id = "interruptCell",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    request_body(content = InterruptRequest, description = "May be empty"),
    responses(
        (status = 202, description = "The cell is told to stop, and its `done` says when it has; or none was \
         named and none runs"),
        (status = "4XX", description = "400: a body that cannot be read · 401: no token of this session · \
         403: the token does not give the right to run cells · 404: no such session · 409: no such cell \
         waits or runs", body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn interrupt(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    may_run(&session, &credential)?;
    let request: InterruptRequest = control(body, &app, CONTROL_BYTES, "{\"id\": \"c1\"}").await?;
    tell(&session, credential, ClientMessage::Interrupt { id: request.id, interpreter: None }).await
}

/// Kills the interpreter and starts a fresh one in the same sandbox: variables are gone, files stay.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/restart",
    operation_id = "restartInterpreter",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 202, description = "It restarts; the event `restarted` says when it has"),
        (status = "4XX", description = "401: no token of this session · 403: the token does not give the \
         role `owner` · 404: no such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn restart(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<StatusCode, Problem> {
    let (session, credential) = caller.session_as(&app, &id, Role::Owner)?;
    tell(&session, credential, ClientMessage::Restart { interpreter: None }).await
}

/// Answers a cell that asks for input.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/input",
    operation_id = "answerInput",
    tag = "sessions",
    params(("id" = String, Path, description = "The session")),
    request_body = InputRequest,
    responses(
        (status = 202, description = "The cell is given the line"),
        (status = "4XX", description = "400: a body that cannot be read · 401: no token of this session · \
         403: the token does not give the right to run cells · 404: no such session · 409: the cell does \
         not ask", body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn input(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Result<StatusCode, Problem> {
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    may_run(&session, &credential)?;
    let example = "{\"id\": \"c1\", \"text\": \"yes\"}";
    let most = app.socket.message_bytes;
    let request: Option<InputRequest> = control(body, &app, most, example).await?;
    let Some(InputRequest { id, text, eof }) = request else {
        return Err(Problem::bad_request(format!("the body is not such as {example}")));
    };
    if text.is_some() == eof {
        let detail = "a line is `text`, the end of input is `eof`: true; one of them is needed";
        return Err(Problem::bad_request(detail));
    }
    tell(&session, credential, ClientMessage::Input { id, text }).await
}

/// Reads a body of JSON that may be empty.
async fn control<T: Default + serde::de::DeserializeOwned>(
    body: Body,
    app: &AppState,
    most: usize,
    example: &str,
) -> Result<T, Problem> {
    let rule = format!("this has at most {most} bytes");
    let bytes = read_whole(body, most, &rule, app.socket.write_timeout).await?;
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Ok(T::default());
    }
    serde_json::from_slice(&bytes).map_err(|error| {
        Problem::bad_request(format!("the body is not such as {example}: {error}"))
    })
}

/// Says something to a session, and waits until it has been heard or refused.
async fn tell(
    session: &SessionHandle,
    credential: Credential,
    message: ClientMessage,
) -> Result<StatusCode, Problem> {
    let over = |why: &str| Problem::not_found(format!("the session is over: {why}"));
    let (mut seat, _) = observe(session, credential, ReadFrom::Now, false).await?;
    for message in [message, ClientMessage::Ping { fields: serde_json::Map::default() }] {
        seat.send(Ok(message)).await.map_err(|error| over(&error.to_string()))?;
    }
    loop {
        match seat.next().await.map_err(|departure| over(&departure.to_string()))? {
            Delivery::Reply(reply) => match &reply.reply {
                Reply::ProtocolError { .. } => return Err(refusal_of(&reply.reply)),
                // Answers come in the order of what was said.
                Reply::Pong(_) => return Ok(StatusCode::ACCEPTED),
                _ => {}
            },
            Delivery::Event(_) => {}
        }
    }
}

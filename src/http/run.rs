//! `POST /v1/run`: a session for one cell.
//!
//! ```text
//!   request ─► create ─► drive (a task) ── batches ──► form ─► response
//!                          │ ends the session when the cell is done, when the
//!                          │ response is dropped, when its reader takes nothing
//!                          ▼
//!                       session
//! ```
//! The task alone ends the session, so however a connection goes away, its cell is interrupted
//! and its sandbox is gone. Between task and response waits one batch: a reader that is slow makes
//! the code wait, not the gateway hold more.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use tokio::sync::mpsc;
use tracing::Instrument;

use super::AppState;
use super::auth::Caller;
use super::clients::Client;
use super::problem::{Document, Problem};
use crate::admission::Refused;
use crate::memory::Charge;
use crate::protocol::Reply;
use crate::protocol::client::{ClientMessage, Execute};
use crate::protocol::event::{EndReason, EventKind};
use crate::registry::{CreateError, SessionOptions};
use crate::session::{Attachment, Delivery, JoinRequest, SessionHandle};

mod collect;
mod form;
mod request;

pub(super) use collect::{Collector, RunAnswer};
pub(super) use form::{End, Form};
use request::{Order, RunQuery, RunRequest};

/// Why a session ended that had no time to say so.
const UNSAID: &str = "the gateway's log says why";

/// What the task tells the response: events of the session, and gaps.
pub(super) type Batched = Result<Vec<Delivery>, Problem>;

/// Whether it is the cell's end, after which nothing is told.
pub(super) fn is_done(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Event(event) if event.kind == EventKind::Done)
}

fn is_queued(delivery: &Delivery) -> bool {
    matches!(delivery, Delivery::Event(event) if event.kind == EventKind::Queued)
}

/// Runs a cell in a fresh session and streams what happens.
///
/// Closing the connection interrupts the cell. `input()` raises, as no participant can answer it.
#[utoipa::path(
    post,
    path = "/v1/run",
    operation_id = "runCell",
    tag = "run",
    params(
        ("template" = Option<String>, Query, description = "For plain code: see the JSON field"),
        ("timeout_ms" = Option<u64>, Query, minimum = 1,
         description = "For plain code: see the JSON field"),
    ),
    request_body(content(
        (RunRequest = "application/json"),
        (String = "text/plain"),
        (String = "application/x-www-form-urlencoded"),
    ), description = "The code as it is, whatever curl calls it; or with more fields as JSON"),
    responses(
        (status = 200, description = "What happens: the events of the WebSocket's protocol up to \
         the cell's `done`, one JSON object a line; as server-sent events, `id` being the `seq`; \
         or all in one object", content(
            (String = "application/x-ndjson"),
            (String = "text/event-stream"),
            (RunAnswer = "application/json"),
        )),
        (status = "4XX", description = "400: a body that cannot be read · 401: not the gateway's \
         token and no publishable key · 403: the key allows no such template, origin or \
         environment · 404: no such template · 406, 415: no such form · 413: too long · 429: too \
         many sessions or cells",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 503, description = "All sessions are taken, or the gateway shuts down",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn run(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    Extension(client): Extension<Client>,
    query: Result<Query<RunQuery>, QueryRejection>,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    caller.may_make_sessions(&app)?;
    let form = Form::wanted(&headers)?;
    let Query(query) = query.map_err(|error| Problem::bad_request(error.body_text()))?;
    let order = Order::read(query, &headers, body, &app).await?;
    caller.may_set(&app, &order.cell.env)?;
    let session =
        caller.create(&app, client, order.template.as_deref(), SessionOptions::default()).await?;

    let (tell, mut told) = mpsc::channel(1);
    let patience = app.socket.write_timeout;
    let (span, memory) = (session.span(), session.memory().clone());
    let driving = drive(session, order.cell, order.charge, tell, patience);
    app.connections.spawn(driving.instrument(span));
    // The cell is queued at once, or will never be: then there is a status to say so.
    let first = told.recv().await.unwrap_or_else(|| Err(broken_off(UNSAID)));
    let first = first.map_err(|problem| match app.registry.is_draining() {
        // The session was made just before, and ended at once.
        true => Refused::Create(CreateError::Draining).into(),
        false => problem,
    })?;
    if form == Form::Json {
        return collect(Collector::new(&memory), first, told).await;
    }
    Ok(streamed(form, End::Done, Some(first), told))
}

/// A response of events, as they come.
pub(super) fn streamed(
    form: Form,
    end: End,
    first: Option<Vec<Delivery>>,
    told: mpsc::Receiver<Batched>,
) -> Response {
    let headers = [
        (header::CONTENT_TYPE, form.content_type()),
        (header::CACHE_CONTROL, "no-store"),
        // nginx would keep the stream until it has a page full.
        (header::HeaderName::from_static("x-accel-buffering"), "no"),
    ];
    (headers, Body::from_stream(form::stream(form, end, first, told))).into_response()
}

/// Runs the cell, passes on what the session says, and ends the session whatever came of it.
async fn drive(
    session: SessionHandle,
    cell: Execute,
    charge: Charge,
    tell: mpsc::Sender<Batched>,
    patience: Duration,
) {
    if let Err(problem) = pass_on(&session, cell, charge, &tell, patience).await {
        // The client may be gone, or not be reading.
        tell.try_send(Err(problem)).ok();
    }
    session.begin_end(EndReason::Requested).await;
}

async fn pass_on(
    session: &SessionHandle,
    cell: Execute,
    charge: Charge,
    tell: &mpsc::Sender<Batched>,
    patience: Duration,
) -> Result<(), Problem> {
    let join = JoinRequest::owner("run", session.owner_token());
    let seat = session.attach(join).await.map_err(|error| broken_off(&error.to_string()))?;
    let said = seat.send_charged(Ok(ClientMessage::Execute(cell)), charge).await;
    said.map_err(|error| broken_off(&error.to_string()))?;
    // The only cell of a fresh session is refused only where a publishable key has no place for it
    // or by a gateway that shuts down or has no memory for it.
    let status = match session.key() {
        Some(_) => StatusCode::TOO_MANY_REQUESTS,
        None => StatusCode::SERVICE_UNAVAILABLE,
    };
    let mut deliveries = Vec::new();
    // What the session says before it has accepted the cell: kept until then, for with the first
    // events the answer is a 200, and a refusal could no more be told.
    let mut before = Some(Vec::new());
    loop {
        let taken = tokio::select! {
            () = tell.closed() => return Ok(()),
            taken = next(&seat, &mut deliveries, status) => taken?,
        };
        let accepted = taken.iter().any(is_queued);
        let taken = match before.take() {
            Some(mut kept) => {
                kept.extend(taken);
                if !accepted {
                    before = Some(kept);
                    continue;
                }
                kept
            }
            None => taken,
        };
        if taken.is_empty() {
            continue;
        }
        let ends = taken.last().is_some_and(is_done);
        match tokio::time::timeout(patience, tell.send(Ok(taken))).await {
            Ok(Ok(())) if !ends => {}
            // The cell's end, or the client does not read any more.
            _ => return Ok(()),
        }
    }
}

/// The next events, up to the cell's end; perhaps none of those that were taken is one. A cell that
/// is refused is answered with this status.
async fn next(
    seat: &Attachment,
    taken: &mut Vec<Delivery>,
    refused: StatusCode,
) -> Result<Vec<Delivery>, Problem> {
    let took = seat.outbox().take(taken).await;
    took.map_err(|departure| broken_off(&departure.to_string()))?;
    let mut events = Vec::with_capacity(taken.len());
    for delivery in taken.drain(..) {
        if let Delivery::Reply(reply) = &delivery {
            match &reply.reply {
                Reply::Gap { .. } => {}
                Reply::ProtocolError { message, .. } => {
                    return Err(Problem::new(refused, message.clone()).for_now());
                }
                // For participants: a token of the session, and who else is there.
                _ => continue,
            }
        }
        let ends = is_done(&delivery);
        events.push(delivery);
        if ends {
            break;
        }
    }
    Ok(events)
}

/// A response of all events in one object, at the cell's end.
pub(super) async fn collect(
    mut collector: Collector,
    first: Vec<Delivery>,
    mut told: mpsc::Receiver<Batched>,
) -> Result<Response, Problem> {
    let mut batch = first;
    loop {
        for delivery in &batch {
            let Delivery::Event(event) = delivery else { continue };
            collector.take(event)?;
            if is_done(delivery) {
                return collector.finish();
            }
        }
        batch = told.recv().await.unwrap_or_else(|| Err(broken_off(UNSAID)))?;
    }
}

pub(super) fn broken_off(why: &str) -> Problem {
    let detail = format!("the session ended before its cell did: {why}; try again");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).for_now()
}

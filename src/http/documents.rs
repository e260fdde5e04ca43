//! `/v1/documents/ID` and `/v1/sessions/ID/document`: the document that a session's participants edit
//! together.

use std::sync::Arc;

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Query, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role as End;
use tracing::Instrument;
use utoipa::ToSchema;

use super::AppState;
use super::auth::{self, Caller};
use super::body::read_whole;
use super::clients::{Client, ConnectionSlot, Peer};
use super::problem::{Document, Problem};
use super::websocket;
use crate::document::{Contents, DOCUMENT_BYTES, JoinError, SeedError};
use crate::protocol::reply::Role;
use crate::protocol::{Close, CloseCode, Reply};
use crate::session::{Credential, Delivery, ObserveRequest, ReadFrom, SessionHandle};
use crate::socket::document::DocumentClient;
use crate::socket::{self, Incoming};

mod export;

use export::Outputs;

/// Longest request that fills a document: its text as JSON, where each byte may take two.
const SEED_BYTES: usize = 2 * DOCUMENT_BYTES;

#[derive(Debug, Default, Deserialize)]
pub(super) struct OpenQuery {
    token: Option<String>,
}

/// Opens a WebSocket to a session's document, of the y-websocket protocol: `new
/// WebsocketProvider("ws://HOST/v1/documents", session, ydoc, {params: {token}})`.
///
/// Answers 101 and serves the connection in a task of its own. docs/document.md says what stands in the
/// document and which bounds there are.
#[utoipa::path(
    get,
    path = "/v1/documents/{id}",
    operation_id = "openDocument",
    tag = "documents",
    params(
        ("id" = String, Path, description = "The session"),
        ("token" = Option<String>, Query, description = "A token of the session, or the gateway's"),
    ),
    responses(
        (status = 101, description = "A WebSocket; refusals come as its close code"),
        (status = "4XX", description = "Not the handshake of a WebSocket",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn open(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    query: Result<Query<OpenQuery>, axum::extract::rejection::QueryRejection>,
    mut request: Request,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => return Problem::bad_request(error.body_text()).into_response(),
    };
    let (response, on_upgrade) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(answer) => return *answer,
    };
    let token = auth::token_of_socket(query.token, request.headers()).unwrap_or_default();
    let client = *request.extensions().get::<Client>().unwrap_or(&Client::NOWHERE);
    let place = request.extensions_mut().remove::<Peer>().map(|peer| peer.place);
    app.connections.spawn(serve(Arc::clone(&app), on_upgrade, id, token, client, place));
    response
}

async fn serve(
    app: Arc<AppState>,
    on_upgrade: OnUpgrade,
    id: String,
    token: String,
    client: Client,
    _place: Option<ConnectionSlot>, // one of the connections there may be, to the end
) {
    let Ok(upgraded) = on_upgrade.await else {
        return; // it ended before its upgrade
    };
    let config = Some(socket::document::websocket(&app.socket));
    let io = Incoming::new(TokioIo::new(upgraded));
    let mut stream = WebSocketStream::from_raw_socket(io, End::Server, config).await;
    match join(&app, &id, &token, client).await {
        Ok(joined) => {
            let span = joined.session.span();
            socket::document::serve(stream, joined, &app.socket, &app.metrics)
                .instrument(span)
                .await;
        }
        Err(close) => {
            // What it goes on sending is read for a moment, for the sake of the close.
            stream.get_mut().charge_to(&app.requests);
            socket::refuse(stream, &close, &app.socket, &app.metrics).await;
        }
    }
}

async fn join(
    app: &AppState,
    id: &str,
    token: &str,
    client: Client,
) -> Result<DocumentClient, Close> {
    if app.clients.admit(client).is_err() {
        let text = "too many connections from this address in too short a time; try again later";
        return Err(Close::new(CloseCode::TooMany, text));
    }
    let found = app.admission.find(token, id, Role::Viewer);
    let (session, _, credential) = found.map_err(|refused| websocket::close_for(&refused))?;
    let seat = session.join_document(&credential).await.map_err(|error| {
        let code = match error {
            JoinError::Over => CloseCode::NoSuchSession,
            JoinError::Full => CloseCode::NoCapacity,
        };
        Close::new(code, error.to_string())
    })?;
    Ok(DocumentClient { seat, session, credential })
}

/// Whether a document was filled.
#[derive(Serialize, ToSchema)]
pub(super) struct Seeded {
    /// `false`: it has cells already, and nothing was changed.
    seeded: bool,
}

/// Fills a session's document with cells if it has none, so that of several clients who come with a text
/// one alone fills it.
#[utoipa::path(
    post,
    path = "/v1/sessions/{id}/document",
    operation_id = "fillDocument",
    tag = "documents",
    params(("id" = String, Path, description = "The session")),
    request_body(content = Contents, description = "The title and the cells, in their order"),
    responses(
        (status = 200, description = "The document has cells, and nothing was changed", body = Seeded),
        (status = 201, description = "The document was filled", body = Seeded),
        (status = 400, description = "Not JSON, not these fields, or cells without ids of their own",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 403, description = "The token does not give the right to edit",
         body = Document<'static>, content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 413, description = "More than a document holds", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 503, description = "There is no memory for it now", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn seed(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
    body: Body,
) -> Result<Response, Problem> {
    // Before the body is read: a client that may not edit costs no memory.
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    may_edit(&session, &credential)?;
    let _charge = session.memory().try_charge(SEED_BYTES).map_err(|error| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).for_now()
    })?;
    let text = "the cells of a document are at most 8 MiB of JSON";
    let body = read_whole(body, SEED_BYTES, text, app.socket.write_timeout).await?;
    let contents: Contents = serde_json::from_slice(&body).map_err(|error| {
        let example = "{\"cells\": [{\"id\": \"a\", \"source\": \"1 + 1\"}]}";
        Problem::bad_request(format!("the body is not such as {example}: {error}"))
    })?;
    contents.check().map_err(|wrong| Problem::bad_request(wrong.to_string()))?;
    let seeded = session.seed_document(contents).await.map_err(|error| match error {
        SeedError::Over => Problem::not_found(error.to_string()),
        SeedError::TooLarge(_) => Problem::new(StatusCode::PAYLOAD_TOO_LARGE, error.to_string()),
    })?;
    let status = if seeded { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Json(Seeded { seeded })).into_response())
}

fn may_edit(session: &SessionHandle, credential: &Credential) -> Result<(), Problem> {
    if session.rights(credential).is_some_and(|rights| rights.may_edit_document()) {
        return Ok(());
    }
    let text = "this needs the right to edit the document; ask an owner for a link that gives it";
    Err(Problem::new(StatusCode::FORBIDDEN, text))
}

/// Reads a session's document: its title and its cells, in their order.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/document",
    operation_id = "readDocument",
    tag = "documents",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "What it says now", body = Contents),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn read(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let session = caller.session(&app, &id, Role::Viewer)?;
    Ok(Json(contents(&session).await?).into_response())
}

/// A session's document as a Jupyter notebook, with the outputs that the session's log holds.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/document.ipynb",
    operation_id = "exportNotebook",
    tag = "documents",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "A notebook of format 4.5", content_type = "application/x-ipynb+json",
         body = Object),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 503, description = "There is no memory for all of it", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn as_notebook(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let (session, credential) = caller.session_as(&app, &id, Role::Viewer)?;
    let over = || Problem::not_found("the session is over");
    let contents = contents(&session).await?;
    let request = ObserveRequest {
        credential,
        name: "export".into(),
        from: ReadFrom::Beginning,
        keeps_up: false,
    };
    let (mut log, newest) = session.observe(request).await.map_err(|_| over())?;
    let mut outputs = Outputs::new(session.memory());
    let mut seen = 0;
    while seen < newest {
        let last = match log.next().await.map_err(|_| over())? {
            Delivery::Event(sequenced) => {
                let event = sequenced.event();
                let event =
                    event.map_err(|error| Problem::internal("cannot read an event", &error))?;
                outputs.take(event, sequenced.json.len()).map_err(|error| {
                    Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).for_now()
                })?;
                sequenced.seq
            }
            // What is not kept any more.
            Delivery::Reply(reply) => match reply.reply {
                Reply::Gap { to, .. } => to,
                _ => continue,
            },
        };
        seen = last;
    }
    drop(log);
    let text = outputs
        .notebook(contents, session.about())
        .map_err(|error| Problem::internal("cannot write a notebook", &error))?;
    Ok(file("application/x-ipynb+json", "ipynb", text))
}

/// A session's document as a Python file, in which `# %%` begins a cell.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/document.py",
    operation_id = "exportPython",
    tag = "documents",
    params(("id" = String, Path, description = "The session")),
    responses(
        (status = 200, description = "The file", content_type = "text/x-python", body = String),
        (status = 401, description = "No token of this session", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 404, description = "No such session", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn as_python(
    State(app): State<Arc<AppState>>,
    Path(id): Path<String>,
    caller: Caller,
) -> Result<Response, Problem> {
    let session = caller.session(&app, &id, Role::Viewer)?;
    Ok(file("text/x-python; charset=utf-8", "py", export::python(&contents(&session).await?)))
}

/// A response that a browser saves.
fn file(kind: &'static str, extension: &str, text: String) -> Response {
    let disposition = format!("attachment; filename=\"document.{extension}\"");
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static(kind)),
        // Written by others and served from the console's own origin: nothing may run it.
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_str(&disposition).unwrap_or(HeaderValue::from_static("attachment")),
        ),
    ];
    (headers, text).into_response()
}

async fn contents(session: &SessionHandle) -> Result<Contents, Problem> {
    session.read_document().await.ok_or_else(|| Problem::not_found("the session is over"))
}

//! `/mcp`: the way to the door for agents over HTTP. What is said there is [`crate::mcp`]'s.

use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::auth::Caller;
use super::body::read_whole;
use super::clients::Client;
use super::problem::{Document, Problem};
use crate::mcp;

/// What a message may have beside the longest code, in bytes: a file in base64, and names of fields.
const BESIDE_CODE: usize = 512 << 10; // 512 KiB

/// Answers a message of the Model Context Protocol.
///
/// Revision 2026-07-28 and the older ones: tools that run code in sessions. docs/agents.md says which.
#[utoipa::path(
    post,
    path = "/mcp",
    operation_id = "postMcpMessage",
    tag = "gateway",
    request_body(content_type = "application/json", description = "A message in JSON-RPC"),
    responses(
        (status = 200, description = "The answer, or a stream of it and what is told before it", content(
            (String = "application/json"),
            (String = "text/event-stream"),
        )),
        (status = 202, description = "A message that has no answer was taken"),
        (status = "4XX", description = "401: not the gateway's token · 403: a publishable key · 400, 404, \
         406, 415: as the protocol says · 413: too long", body = Document<'static>,
         content_type = "application/problem+json"),
        (status = 503, description = "Too many clients of older revisions are connected",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn post(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    client: Extension<Client>,
    request: Request,
) -> Response {
    serve(app, caller, client, request).await
}

/// Opens the stream of a client of an older revision, on which nothing is sent without a request.
#[utoipa::path(
    get,
    path = "/mcp",
    operation_id = "openMcpStream",
    tag = "gateway",
    responses(
        (status = 200, description = "The stream", content_type = "text/event-stream", body = String),
        (status = "4XX", description = "401: not the gateway's token · 403: a publishable key · 400, 404, \
         405, 406: as the protocol says", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn get(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    client: Extension<Client>,
    request: Request,
) -> Response {
    serve(app, caller, client, request).await
}

/// A client of an older revision has finished. Sessions in which its code runs stay.
#[utoipa::path(
    delete,
    path = "/mcp",
    operation_id = "leaveMcp",
    tag = "gateway",
    responses(
        (status = 202, description = "It is forgotten"),
        (status = "4XX", description = "401: not the gateway's token · 403: a publishable key · 400, 404, \
         405: as the protocol says", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn delete(
    State(app): State<Arc<AppState>>,
    caller: Caller,
    client: Extension<Client>,
    request: Request,
) -> Response {
    serve(app, caller, client, request).await
}

async fn serve(
    app: Arc<AppState>,
    caller: Caller,
    Extension(client): Extension<Client>,
    request: Request,
) -> Response {
    match checked(&app, &caller, client, request).await {
        Ok(request) => app.mcp.handle(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// The request with its whole body and who sends it, if it may be sent.
async fn checked(
    app: &AppState,
    caller: &Caller,
    client: Client,
    request: Request,
) -> Result<Request, Problem> {
    caller.may_see_gateway(app)?;
    let (mut parts, body) = request.into_parts();
    let version = parts.headers.get("mcp-protocol-version").map(HeaderValue::as_bytes);
    let begins = parts.method == Method::POST
        && !parts.headers.contains_key("mcp-session-id")
        && version.is_none_or(|version| version < mcp::STATELESS.as_bytes());
    if begins && app.mcp.door.is_full().await {
        let most = mcp::MOST_CONNECTED;
        let text = format!("{most} clients of older revisions are connected; try again later");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, text).for_now());
    }
    let most = body_bytes(app.socket.message_bytes);
    let rule = format!("a message has at most {most} bytes; --message-size says how many");
    let _charge = app.requests.try_charge(most).map_err(|exhausted| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, exhausted.to_string()).for_now()
    })?;
    let body = read_whole(body, most, &rule, app.socket.write_timeout).await?;
    parts.extensions.insert(caller.for_agents(client));
    Ok(Request::from_parts(parts, Body::from(body)))
}

/// Longest body where code has at most so many bytes.
pub(super) fn body_bytes(code_bytes: usize) -> usize {
    // Escaped, code takes at most twice its length, unless it is made of control characters.
    2 * code_bytes + BESIDE_CODE
}

/// The door, and what answers requests for it.
pub struct Mcp {
    door: mcp::Door,
    service: mcp::HttpService,
}

impl Mcp {
    /// Over HTTP, where code has at most so many bytes.
    pub fn new(door: mcp::Door, code_bytes: usize) -> Mcp {
        Mcp { service: door.http_service(body_bytes(code_bytes)), door }
    }

    /// Ends every stream.
    pub fn close(&self) {
        self.door.close();
    }

    async fn handle(&self, request: Request) -> Response {
        self.service.handle(request).await.map(Body::new)
    }
}

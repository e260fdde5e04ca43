//! The HTTP server: which request goes where, and what every response carries.
//!
//! ```text
//!   GET /                                  page      the console and its assets
//!   GET /ws                                upgrade   a WebSocket, then socket::serve
//!   GET /healthz, /readyz                  health    the process lives; a session could be made
//!   GET /metrics                           metrics   what is counted and measured
//!   POST /v1/run                           run       a session for one cell
//!   GET /v1/keys                           keys      which publishable keys there are
//!   GET, POST /v1/sessions                 sessions  which there are; makes one
//!   GET /v1/sessions/ID                    sessions  what one does
//!   DELETE /v1/sessions/ID                 sessions  ends one
//!   POST /v1/sessions/ID/cells             cells     runs a cell, streams its events
//!   GET /v1/sessions/ID/cells/CELL         cells     what came of one
//!   GET /v1/sessions/ID/events             cells     streams all events
//!   POST /v1/sessions/ID/interrupt         cells     stops one; …/restart and …/input too
//!   POST /v1/sessions/ID/tokens            tokens    makes a token to join one with
//!   GET, DELETE /v1/sessions/ID/tokens…    tokens    who may come in; takes that back
//!   PATCH /v1/sessions/ID/participants/N   participants  changes what one may do
//!   DELETE (the same)                      participants  removes one
//!   GET /v1/sessions/ID/cells/CELL/output  output    all that a cell wrote
//!   GET /v1/sessions/ID/files              files     lists a directory
//!   GET, PUT /v1/sessions/ID/files/PATH    files     reads, writes a file
//!   DELETE, POST (the same)                files     removes, moves a file or directory
//!   POST /v1/sessions/ID/directories/PATH  files     makes a directory
//!   GET /v1/documents/ID                   documents the WebSocket of a session's document
//!   GET, POST /v1/sessions/ID/document     documents reads it, fills it
//!   GET /v1/sessions/ID/document.ipynb     documents exports it; `.py` too
//!   POST, GET, DELETE /mcp                 mcp       the Model Context Protocol, for agents
//!   GET /v1/openapi.json                   openapi   all of this, for programs
//! ```
//! A route is added by the function that serves it and the description above that function, so
//! there is none that is not described. Every refusal is a problem document.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Router};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::admission::{Admission, PageOrigin, PageVerdict};
use crate::memory::Account;
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::socket::SocketConfig;

mod access;
mod auth;
mod body;
mod cells;
mod clients;
mod cross;
mod documents;
mod files;
mod health;
mod idempotency;
mod keys;
mod mcp;
mod metrics;
mod openapi;
mod output;
mod page;
mod participants;
mod problem;
mod run;
mod server;
mod sessions;
mod tokens;
#[cfg(test)]
mod typescript;
mod upgrade;
mod websocket;

pub use access::AccessConfig;
pub use clients::{Clients, ClientsConfig};
pub use idempotency::Idempotency;
pub use mcp::Mcp;
pub use page::Page;
pub use server::{ServerConfig, serve};

use clients::{Client, Peer};
use metrics::Pending;
use problem::Problem;

/// What the handlers share.
pub struct AppState {
    /// Who may make and join sessions.
    pub admission: Arc<Admission>,
    /// Where sessions are kept.
    pub registry: Arc<Registry>,
    /// Who may come from where.
    pub access: AccessConfig,
    /// The console.
    pub page: Page,
    /// Where everything is counted.
    pub metrics: Metrics,
    /// Whether they are shown to all clients, and not just to holders of the token.
    pub metrics_public: bool,
    /// Who has come, and how often.
    pub clients: Arc<Clients>,
    /// How sockets behave.
    pub socket: SocketConfig,
    /// Longest file that may be put into a session, in bytes.
    pub upload_bytes: u64,
    /// What requests outside of sessions hold in memory.
    pub requests: Account,
    /// Answers to requests that make something once.
    pub idempotency: Idempotency,
    /// The door for agents.
    pub mcp: Mcp,
    /// Connections that were upgraded; the server waits for them at its end.
    pub connections: tokio_util::task::TaskTracker,
}

/// Path of the WebSocket of sessions.
const WEBSOCKET: &str = "/ws";

/// Where the paths of the WebSockets of documents begin; the session's id follows.
const DOCUMENTS: &str = "/v1/documents/";

/// Whether a path is that of a WebSocket.
fn is_websocket(path: &str) -> bool {
    path == WEBSOCKET || path.starts_with(DOCUMENTS)
}

/// All routes. Fails only if their description cannot be encoded.
pub fn router(app: Arc<AppState>) -> Result<Router, serde_json::Error> {
    let (router, description) = OpenApiRouter::with_openapi(openapi::Base::openapi())
        .routes(routes!(upgrade::upgrade))
        .routes(routes!(health::live))
        .routes(routes!(health::ready))
        .routes(routes!(metrics::scrape))
        .routes(routes!(run::run))
        .routes(routes!(keys::list))
        .routes(routes!(sessions::list, sessions::create))
        .routes(routes!(sessions::read, sessions::end))
        .routes(routes!(cells::run))
        .routes(routes!(cells::read))
        .routes(routes!(cells::events))
        .routes(routes!(cells::interrupt))
        .routes(routes!(cells::restart))
        .routes(routes!(cells::input))
        .routes(routes!(tokens::grant, tokens::list))
        .routes(routes!(tokens::revoke))
        .routes(routes!(participants::change_rights, participants::show_out))
        .routes(routes!(output::download))
        .routes(routes!(files::list))
        .routes(routes!(files::download, files::upload, files::remove, files::move_to))
        .routes(routes!(files::make_directory))
        .routes(routes!(files::stat))
        .routes(routes!(files::watching::watch_all))
        .routes(routes!(files::watching::watch))
        .routes(routes!(documents::open))
        .routes(routes!(documents::read, documents::seed))
        .routes(routes!(documents::as_notebook))
        .routes(routes!(documents::as_python))
        .routes(routes!(mcp::post, mcp::get, mcp::delete))
        .routes(routes!(openapi::description))
        .split_for_parts();
    let served = openapi::Served::new(description)?;
    Ok(router
        .fallback(page::asset)
        .method_not_allowed_fallback(wrong_method)
        .layer(Extension(served))
        .layer(middleware::from_fn_with_state(Arc::clone(&app), guard))
        .with_state(app))
}

/// The router adds which methods there are.
async fn wrong_method() -> Problem {
    let detail = "this address has other methods; `Allow` says which";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, detail)
}

/// Refuses strangers' hosts and origins, and adds the headers every response has.
async fn guard(State(app): State<Arc<AppState>>, mut request: Request, next: Next) -> Response {
    let client = identify(&app, &request);
    request.extensions_mut().insert(client);
    let pending = Pending::of(&request);
    let path = request.uri().path();
    let api = path.starts_with("/v1/") || path == "/mcp";
    let (reader, admitted) = match admit(&app, &request) {
        Ok(reader) => (reader, Ok(())),
        Err(problem) => (None, Err(problem)),
    };
    let is_preflight = cross::is_preflight(&request);
    let mut response = match admitted {
        // A WebSocket's refusal has to be readable for a page, so it is upgraded before.
        Ok(()) if is_websocket(request.uri().path()) => next.run(request).await,
        Ok(()) => match app.clients.admit(client) {
            Ok(()) if reader.is_some() && is_preflight => cross::preflight(),
            Ok(()) => next.run(request).await,
            Err(wait) => Problem::too_many(wait).into_response(),
        },
        Err(problem) => problem.into_response(),
    };
    if let Some(origin) = &reader {
        cross::make_readable(&mut response, origin);
    }
    // Answers about sessions are for the client that asked, at this moment; some hold a secret.
    if api {
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().entry(header::CACHE_CONTROL).or_insert(no_store);
    }
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (header::HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (header::HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (
            header::HeaderName::from_static("permissions-policy"),
            "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
        ),
    ] {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
    pending.answered(&app, &response);
    response
}

/// Whether a request may come in; and the origin whose pages may read the answer, if they are not
/// the gateway's own.
fn admit(app: &AppState, request: &Request) -> Result<Option<HeaderValue>, Problem> {
    let (uri, headers) = (request.uri(), request.headers());
    let refused = match app.access.admit(request.version(), uri, headers) {
        Ok(()) => None,
        // What is there for every page is no use to a stranger's.
        Err(access::Refused::Origin(_)) if page::is_for_every_page(uri.path()) => return Ok(None),
        Err(refused @ access::Refused::Origin(_)) => Some(refused),
        Err(refused) => return Err(refused.into()),
    };
    let page = match (access::Page::of(uri, headers), &refused) {
        (access::Page::Absent, _) => PageOrigin::Absent,
        (access::Page::Own, _) => PageOrigin::Own,
        (access::Page::Other(origin), None) => PageOrigin::Listed(origin),
        (access::Page::Other(origin), Some(_)) => PageOrigin::Foreign(origin),
    };
    let reader = || headers.get(header::ORIGIN).cloned();
    if let PageOrigin::Listed(origin) | PageOrigin::Foreign(origin) = page
        && cross::is_preflight(request)
        && app.admission.some_key_allows(origin)
    {
        return Ok(reader());
    }
    let claim = auth::claim(uri, headers);
    match app.admission.judge_page(&claim, page, is_websocket(uri.path()))? {
        PageVerdict::Readable => Ok(reader()),
        PageVerdict::Served => Ok(None),
        PageVerdict::Refused => refused.map_or(Ok(None), |refused| Err(refused.into())),
    }
}

impl From<access::Refused> for Problem {
    fn from(refused: access::Refused) -> Problem {
        Problem::new(refused.status(), refused.to_string())
    }
}

/// Whom a request is from. One that came over no connection of ours is from nowhere.
fn identify(app: &AppState, request: &Request) -> Client {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    app.clients.identify(peer.unwrap_or(Client::NOWHERE.0), request.headers())
}

//! The doors: which request goes where, and what every response carries.
//!
//! ```text
//!   GET /          page     the console and its assets
//!   GET /ws        upgrade  a WebSocket, then socket::serve
//!   GET /healthz   health   the process lives
//!   GET /readyz    health   a session could be made
//! ```

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::get;

use crate::id::Token;
use crate::registry::Registry;
use crate::socket::SocketConfig;

mod access;
mod clients;
mod health;
mod page;
mod problem;
mod server;
mod upgrade;

pub use access::AccessConfig;
pub use clients::{Clients, ClientsConfig};
pub use server::{ServerConfig, serve};

use clients::{Client, Peer};

/// What the handlers share.
pub struct Doors {
    /// Where sessions are made and found.
    pub registry: Arc<Registry>,
    /// Opens new sessions; `None`: everybody may, which the settings allow on loopback only.
    pub token: Option<Token>,
    /// Who may come from where.
    pub access: AccessConfig,
    /// Who has come, and how often.
    pub clients: Arc<Clients>,
    /// How sockets behave.
    pub socket: SocketConfig,
    /// Template of a client that names none.
    pub default_template: String,
    /// Connections that were upgraded; the server waits for them at its end.
    pub connections: tokio_util::task::TaskTracker,
}

/// Path of the WebSocket endpoint.
const WEBSOCKET: &str = "/ws";

/// All routes.
pub fn router(doors: Arc<Doors>) -> Router {
    Router::new()
        .route(WEBSOCKET, get(upgrade::upgrade))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(page::asset)
        .layer(middleware::from_fn_with_state(Arc::clone(&doors), guard))
        .with_state(doors)
}

/// Refuses strangers' hosts and origins, and adds the headers every response has.
async fn guard(State(doors): State<Arc<Doors>>, mut request: Request, next: Next) -> Response {
    let client = identify(&doors, &request);
    request.extensions_mut().insert(client);
    let mut response = match doors.access.admit(request.headers()) {
        // A WebSocket's refusal has to be readable for a page, so it is upgraded before.
        Ok(()) if request.uri().path() == WEBSOCKET => next.run(request).await,
        Ok(()) => match doors.clients.admit(client) {
            Ok(()) => next.run(request).await,
            Err(wait) => problem::too_many(wait),
        },
        Err(refusal) => problem::forbidden(&refusal.to_string()),
    };
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
    response
}

/// Whom a request is from. One that came over no connection of ours is from nowhere.
fn identify(doors: &Doors, request: &Request) -> Client {
    let peer = request.extensions().get::<Peer>().map(|peer| peer.address);
    doors.clients.identify(peer.unwrap_or(Client::NOWHERE.0), request.headers())
}

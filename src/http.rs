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
mod health;
mod page;
mod problem;
mod upgrade;

pub use access::AccessConfig;

/// What the handlers share.
pub struct Doors {
    /// Where sessions are made and found.
    pub registry: Arc<Registry>,
    /// Opens new sessions; `None`: everybody may, which the settings allow on loopback only.
    pub token: Option<Token>,
    /// Who may come from where.
    pub access: AccessConfig,
    /// How sockets behave.
    pub socket: SocketConfig,
    /// Template of a client that names none.
    pub default_template: String,
    /// Connections that were upgraded; the server waits for them at its end.
    pub connections: tokio_util::task::TaskTracker,
}

/// All routes.
pub fn router(doors: Arc<Doors>) -> Router {
    Router::new()
        .route("/ws", get(upgrade::upgrade))
        .route("/healthz", get(health::live))
        .route("/readyz", get(health::ready))
        .fallback(page::asset)
        .layer(middleware::from_fn_with_state(Arc::clone(&doors), guard))
        .with_state(doors)
}

/// Refuses strangers' hosts and origins, and adds the headers every response has.
async fn guard(State(doors): State<Arc<Doors>>, request: Request, next: Next) -> Response {
    let mut response = match doors.access.admit(request.headers()) {
        Ok(()) => next.run(request).await,
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

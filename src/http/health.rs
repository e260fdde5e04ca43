//! Whether the process lives, and whether it can work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use tokio::time::Instant;

use super::AppState;
use super::auth::Caller;
use super::problem::{Document, Problem};
use crate::pool::TemplatePoolStatus;

/// `GET /healthz`: 200 as long as the process answers at all.
#[utoipa::path(
    get,
    path = "/healthz",
    operation_id = "isAlive",
    tag = "gateway",
    security(()),
    responses((status = 200, description = "The process lives", body = String))
)]
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when a session could be made, with a line for each template's pool, which on a
/// gateway with publishable keys only the gateway's token shows; 503 while draining, without a backend, or while attempts to make sandboxes of any template fail.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "gateway",
    security(()),
    responses(
        (status = 200, description = "A session could be made; a line for each template's pool",
         body = String),
        (status = 503, description = "Draining, or no sandbox can be made",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(app): State<Arc<AppState>>, caller: Caller) -> Response {
    match app.registry.check().await {
        Ok(()) => {
            let mut text = "ready\n".to_owned();
            // Where strangers come with keys, how much room there is is not for them to know.
            if app.admission.has_keys() && caller.may_see_gateway(&app).is_err() {
                return text.into_response();
            }
            for template_pool in app.registry.pool() {
                text += &describe(&template_pool);
            }
            text.into_response()
        }
        Err(error) => {
            // Strangers learn that something is wrong; what it is stands in the log.
            tracing::warn!(error = %crate::error::Chain(&error), "not ready");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
    }
}

/// One template's pool in a line. Strangers may read it: it says how many, and nothing of why.
fn describe(template_pool: &TemplatePoolStatus) -> String {
    let TemplatePoolStatus { template, parked, target, creating, waiting, failures, retry_at } =
        template_pool;
    let mut line = format!(
        "pool {}: {parked} parked of {target}, {creating} being made, {waiting} waiting",
        template.name
    );
    if let Some(at) = retry_at {
        let wait = at.saturating_duration_since(Instant::now()).as_secs_f64();
        line += &format!("; failed {failures} times, next attempt in {wait:.1} s");
    }
    line + "\n"
}

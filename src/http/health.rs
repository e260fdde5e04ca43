//! Whether the process lives, and whether it can work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::Doors;
use super::problem::{Document, Problem};

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

/// `GET /readyz`: 200 when a session could be made, 503 while draining or without a backend.
#[utoipa::path(
    get,
    path = "/readyz",
    operation_id = "isReady",
    tag = "gateway",
    security(()),
    responses(
        (status = 200, description = "A session could be made", body = String),
        (status = 503, description = "Draining, or no backend works", body = Document<'static>,
         content_type = "application/problem+json"),
    )
)]
pub(super) async fn ready(State(doors): State<Arc<Doors>>) -> Response {
    match doors.registry.check().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            // Strangers learn that something is wrong; what it is stands in the log.
            tracing::warn!(error = %crate::error::Chain(&error), "not ready");
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, error.to_string()).into_response()
        }
    }
}

//! Whether the process lives, and whether it can work.

use std::sync::Arc;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

use super::{Doors, problem};

/// `GET /healthz`: 200 as long as the process answers at all.
pub(super) async fn live() -> &'static str {
    "ok\n"
}

/// `GET /readyz`: 200 when a session could be made, 503 while draining or without a backend.
pub(super) async fn ready(State(doors): State<Arc<Doors>>) -> Response {
    match doors.registry.check().await {
        Ok(()) => "ready\n".into_response(),
        Err(error) => {
            // Strangers learn that something is wrong; what it is stands in the log.
            tracing::warn!(error = %crate::error::Chain(&error), "not ready");
            problem::problem(StatusCode::SERVICE_UNAVAILABLE, &error.to_string())
        }
    }
}

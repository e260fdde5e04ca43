//! `/v1/sessions/{id}/cells/{cell}/output`: everything a cell wrote, where not all of it was shown.
//!
//! A viewer may download it: it is what would have been shown.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::AppState;
use super::auth::Caller;
use super::problem::{Document, Problem};
use crate::protocol::reply::Role;
use crate::session::output_archive::OutputError;

/// What is read and sent at once.
const CHUNK_BYTES: usize = 256 << 10; // 256 KiB

/// Everything a cell wrote.
#[utoipa::path(
    get,
    path = "/v1/sessions/{id}/cells/{cell}/output",
    operation_id = "readOutput",
    tag = "sessions",
    params(
        ("id" = String, Path, description = "The session"),
        ("cell" = String, Path, description = "A cell that has ended"),
    ),
    responses(
        (status = 200, description = "What the cell wrote to stdout and stderr, in the order in \
         which it was read", content_type = "text/plain"),
        (status = "4XX", description = "401, 403: not allowed · 404: no such session, or all that \
         the cell wrote was shown, or it is too long ago, or the cell still runs · 410: it could \
         not be kept", body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn download(
    State(app): State<Arc<AppState>>,
    place: Result<Path<(String, String)>, PathRejection>,
    caller: Caller,
) -> Result<Response, Problem> {
    let Path((id, cell)) = place.map_err(|error| Problem::bad_request(error.body_text()))?;
    let session = caller.session(&app, &id, Role::Viewer)?;
    let output = session.output(&cell).await?;
    let headers = [
        (header::CONTENT_LENGTH, HeaderValue::from(output.length())),
        // Made by hostile code and served from the console's own origin: nothing may run it.
        (header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8")),
        (header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("default-src 'none'; sandbox")),
        (
            header::CONTENT_DISPOSITION,
            HeaderValue::from_static("attachment; filename=\"output.txt\""),
        ),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let chunks = futures::stream::try_unfold(0, move |at| {
        let output = output.clone();
        async move {
            // What cannot be read breaks the connection: its length was promised.
            let bytes = output.read(at, CHUNK_BYTES).await.inspect_err(|error| {
                tracing::warn!(%error, "a download breaks off");
            })?;
            let next = at + bytes.len() as u64;
            Ok::<_, std::io::Error>((!bytes.is_empty()).then_some((bytes, next)))
        }
    });
    Ok((headers, Body::from_stream(chunks)).into_response())
}

impl From<OutputError> for Problem {
    fn from(error: OutputError) -> Problem {
        let status = match error {
            OutputError::NotKept | OutputError::Over => StatusCode::NOT_FOUND,
            OutputError::Failed(_) => StatusCode::GONE,
        };
        Problem::new(status, error.to_string())
    }
}

//! Reading the bodies of requests: bounded in length and in time, and only after the request has
//! shown that it may be made.
//!
//! No handler takes a body as an argument that axum reads for it: that happens before the token is
//! looked at, which lets strangers fill memory. `tests/architecture.rs` sees to it.

use std::error::Error;
use std::time::Duration;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::StatusCode;
use http_body_util::LengthLimitError;

use super::problem::Problem;

/// Reads a body of at most `most` bytes that has to be there within `limit`. `rule` says to people
/// how long it may be.
pub(super) async fn read_whole(
    body: Body,
    most: usize,
    rule: &str,
    limit: Duration,
) -> Result<Bytes, Problem> {
    patiently(limit, to_bytes(body, most)).await?.map_err(|error| {
        if error.source().is_some_and(|source| source.is::<LengthLimitError>()) {
            return Problem::new(StatusCode::PAYLOAD_TOO_LARGE, rule);
        }
        Problem::bad_request(format!("the body broke off: {error}"))
    })
}

/// Waits for a body, or the next part of one, for at most `limit`.
pub(super) async fn patiently<T>(
    limit: Duration,
    next: impl Future<Output = T>,
) -> Result<T, Problem> {
    tokio::time::timeout(limit, next).await.map_err(|_| {
        let detail =
            format!("the body did not come within {limit:?}; send it again, without pauses");
        Problem::new(StatusCode::REQUEST_TIMEOUT, detail)
    })
}

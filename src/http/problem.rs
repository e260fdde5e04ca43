//! Errors as problem documents (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;

#[derive(Serialize)]
struct Problem<'a> {
    r#type: &'static str,
    title: &'a str,
    status: u16,
    detail: &'a str,
}

/// A response whose body says what is wrong and what to do about it.
pub(super) fn problem(status: StatusCode, detail: &str) -> Response {
    let problem = Problem {
        r#type: "about:blank",
        title: status.canonical_reason().unwrap_or("Error"),
        status: status.as_u16(),
        detail,
    };
    let body = serde_json::to_vec(&problem).unwrap_or_default();
    let json = HeaderValue::from_static("application/problem+json");
    (status, [(header::CONTENT_TYPE, json)], body).into_response()
}

/// 403.
pub(super) fn forbidden(detail: &str) -> Response {
    problem(StatusCode::FORBIDDEN, detail)
}

/// 429, with the whole seconds after which another request may come.
pub(super) fn too_many(wait: Duration) -> Response {
    let detail = "too many requests from this address; send fewer a second";
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, detail);
    let seconds = HeaderValue::from(wait.as_secs() + 1);
    response.headers_mut().insert(header::RETRY_AFTER, seconds);
    response
}

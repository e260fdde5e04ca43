//! Answers that pages of other origins may read (the CORS protocol of the Fetch standard): those to
//! requests with a publishable key, or with a token of its sessions, from the key's origins.
//!
//! [`crate::admission`] says which requests these are. A browser asks by a preflight what it may
//! send, without the key: it is answered for the origins of all keys, and opens nothing.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

/// Seconds for which a browser may keep what it was told: short, as settings change.
const PREFLIGHT_SECONDS: &str = "600";

/// Whether a browser asks what a page may send to a route for programs.
pub(super) fn is_preflight(request: &Request) -> bool {
    request.method() == Method::OPTIONS
        && request.uri().path().starts_with("/v1/")
        && request.headers().contains_key(header::ACCESS_CONTROL_REQUEST_METHOD)
}

/// The answer: all methods and headers that the routes know. What they do with them is decided
/// when the request itself comes.
pub(super) fn preflight() -> Response {
    let headers = [
        (header::ACCESS_CONTROL_ALLOW_METHODS, "GET, POST, PUT, PATCH, DELETE"),
        (
            header::ACCESS_CONTROL_ALLOW_HEADERS,
            "authorization, content-type, idempotency-key, last-event-id",
        ),
        (header::ACCESS_CONTROL_MAX_AGE, PREFLIGHT_SECONDS),
    ];
    (StatusCode::NO_CONTENT, headers, Body::empty()).into_response()
}

/// Lets pages of this origin read the answer, without cookies, of which there are none.
pub(super) fn make_readable(response: &mut Response, origin: &HeaderValue) {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
    let exposed = HeaderValue::from_static("content-disposition, retry-after");
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, exposed);
    headers.append(header::VARY, HeaderValue::from_static("origin"));
}

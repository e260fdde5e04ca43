//! Errors as problem documents (RFC 9457).

use std::time::Duration;

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

use crate::admission::{self, Refused, RefusedKind};
use crate::session::files::{FileError, Refusal};

/// Seconds after which to ask again a gateway that is full: about what a short session takes.
const RETRY_SECONDS: HeaderValue = HeaderValue::from_static("5");

/// A request that is refused: what is wrong and what to do about it.
#[derive(Debug)]
pub(super) struct Problem {
    status: StatusCode,
    detail: String,
    headers: Vec<(HeaderName, HeaderValue)>,
}

/// What is wrong with a request (RFC 9457).
#[derive(Serialize, ToSchema)]
#[schema(as = Problem)]
pub(super) struct Document<'a> {
    /// `about:blank`: the status says it all.
    r#type: &'static str,
    /// The status in words.
    title: &'a str,
    /// The status.
    status: u16,
    /// What is wrong with this request, and what to do about it.
    detail: &'a str,
}

impl Problem {
    /// A problem with a sentence for people.
    pub(super) fn new(status: StatusCode, detail: impl Into<String>) -> Problem {
        Problem { status, detail: detail.into(), headers: Vec::new() }
    }

    /// 400.
    pub(super) fn bad_request(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::BAD_REQUEST, detail)
    }

    /// 404.
    pub(super) fn not_found(detail: impl Into<String>) -> Problem {
        Problem::new(StatusCode::NOT_FOUND, detail)
    }

    /// 500 with a reference to the log, where the cause stands.
    pub(super) fn internal(what: &str, cause: &(dyn std::error::Error + 'static)) -> Problem {
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, admission::failed(what, cause))
    }

    /// 429, with the whole seconds after which another request may come.
    pub(super) fn too_many(wait: Duration) -> Problem {
        let detail = "too many requests from this address; send fewer a second";
        let seconds = HeaderValue::from(wait.as_secs() + 1);
        Problem::new(StatusCode::TOO_MANY_REQUESTS, detail).with(header::RETRY_AFTER, seconds)
    }

    /// The same with a header more.
    pub(super) fn with(mut self, name: HeaderName, value: HeaderValue) -> Problem {
        self.headers.push((name, value));
        self
    }

    /// The same, to be tried again.
    pub(super) fn for_now(self) -> Problem {
        self.with(header::RETRY_AFTER, RETRY_SECONDS)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let document = Document {
            r#type: "about:blank",
            title: self.status.canonical_reason().unwrap_or("Error"),
            status: self.status.as_u16(),
            detail: &self.detail,
        };
        let body = serde_json::to_vec(&document).unwrap_or_default();
        let json = HeaderValue::from_static("application/problem+json");
        let mut response = (self.status, [(header::CONTENT_TYPE, json)], body).into_response();
        response.headers_mut().extend(self.headers);
        response
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Problem {
        let sentence = refused.sentence();
        match refused.kind() {
            RefusedKind::Unauthorised | RefusedKind::NotFoundForToken => {
                let challenge = HeaderValue::from_static("Bearer realm=\"cellgate\"");
                let problem = Problem::new(StatusCode::UNAUTHORIZED, sentence);
                problem.with(header::WWW_AUTHENTICATE, challenge)
            }
            RefusedKind::Forbidden => Problem::new(StatusCode::FORBIDDEN, sentence),
            RefusedKind::NotFound => Problem::not_found(sentence),
            RefusedKind::TooMany => Problem::new(StatusCode::TOO_MANY_REQUESTS, sentence).for_now(),
            RefusedKind::NoCapacity | RefusedKind::Draining => {
                Problem::new(StatusCode::SERVICE_UNAVAILABLE, sentence).for_now()
            }
            RefusedKind::Failed => Problem::new(StatusCode::INTERNAL_SERVER_ERROR, sentence),
        }
    }
}

impl From<FileError> for Problem {
    fn from(error: FileError) -> Problem {
        let status = match error {
            FileError::Refused { why, .. } => match why {
                Refusal::BadPath => StatusCode::BAD_REQUEST,
                Refusal::NotFound => StatusCode::NOT_FOUND,
                Refusal::Link | Refusal::Denied => StatusCode::FORBIDDEN,
                Refusal::Directory
                | Refusal::NotADirectory
                | Refusal::Special
                | Refusal::Busy
                | Refusal::Exists
                | Refusal::NotEmpty
                | Refusal::TooLarge
                | Refusal::Mount => StatusCode::CONFLICT,
                Refusal::Full => StatusCode::INSUFFICIENT_STORAGE,
                Refusal::TooMany => StatusCode::TOO_MANY_REQUESTS,
                Refusal::NoWatch => StatusCode::SERVICE_UNAVAILABLE,
                Refusal::NotOpen | Refusal::Failed => StatusCode::INTERNAL_SERVER_ERROR,
            },
            FileError::Over => StatusCode::NOT_FOUND,
            FileError::Unending => StatusCode::CONFLICT,
            FileError::Silent => StatusCode::GATEWAY_TIMEOUT,
            FileError::Odd => StatusCode::BAD_GATEWAY,
        };
        let problem = Problem::new(status, error.to_string());
        if status == StatusCode::TOO_MANY_REQUESTS { problem.for_now() } else { problem }
    }
}

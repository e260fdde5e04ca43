//! What is to be run: read from the body, whatever its type, and the query.

use std::collections::BTreeMap;

use axum::body::Body;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use serde::Deserialize;
use utoipa::ToSchema;

use crate::http::AppState;
use crate::http::body::read_whole;
use crate::http::problem::Problem;
use crate::memory::Charge;
use crate::protocol::client::{Execute, Program, check_env};

/// A cell to run.
#[derive(Debug, Default, Deserialize, ToSchema)]
pub(in crate::http) struct RunRequest {
    /// The code.
    code: String,
    /// What the sandbox is made from; `python` if not given.
    template: Option<String>,
    /// Longest time the cell may take, in milliseconds; at most the template's.
    #[schema(minimum = 1)]
    timeout_ms: Option<u64>,
    /// Environment variables.
    #[serde(default)]
    env: BTreeMap<String, String>,
}

/// What may stand in the query, for bodies that are nothing but code.
#[derive(Debug, Default, Deserialize)]
pub(in crate::http) struct RunQuery {
    template: Option<String>,
    timeout_ms: Option<u64>,
}

/// A cell, checked, and where to run it.
#[derive(Debug)]
pub(super) struct Order {
    pub(super) template: Option<String>,
    pub(super) cell: Execute,
    /// The memory of the cell.
    pub(super) charge: Charge,
}

/// What a body's type says of it.
#[derive(Debug, PartialEq)]
enum BodyKind {
    Json,
    Code,
}

impl BodyKind {
    /// A body without a type is code, and so is the form that `curl --data-binary` claims to send.
    fn of(headers: &HeaderMap) -> Option<BodyKind> {
        let Some(value) = headers.get(header::CONTENT_TYPE) else { return Some(BodyKind::Code) };
        let essence = value.to_str().ok()?.split(';').next()?.trim().to_ascii_lowercase();
        match essence.as_str() {
            "application/json" => Some(BodyKind::Json),
            json if json.ends_with("+json") => Some(BodyKind::Json),
            "application/x-www-form-urlencoded" | "application/octet-stream" => {
                Some(BodyKind::Code)
            }
            "application/x-python" | "application/x-python-code" => Some(BodyKind::Code),
            text if text.starts_with("text/") => Some(BodyKind::Code),
            _ => None,
        }
    }
}

impl Order {
    /// Reads the body, at most as long as a message may be.
    pub(super) async fn read(
        query: RunQuery,
        headers: &HeaderMap,
        body: Body,
        app: &AppState,
    ) -> Result<Order, Problem> {
        let Some(kind) = BodyKind::of(headers) else {
            let accepted = HeaderValue::from_static("application/json, text/plain");
            let detail = "the body is code, as text/plain, or application/json with `code`";
            return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, detail)
                .with(HeaderName::from_static("accept-post"), accepted));
        };
        let config = &app.socket;
        let most = config.message_bytes;
        // As much as the body says it has, before any of it is read.
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(most);
        let charge = app.requests.try_charge(length.min(most)).map_err(|exhausted| {
            Problem::new(StatusCode::SERVICE_UNAVAILABLE, exhausted.to_string()).for_now()
        })?;
        let rule = format!("a cell has at most {most} bytes; --message-size says how many");
        let bytes = read_whole(body, most, &rule, config.write_timeout).await?;
        let request = match kind {
            BodyKind::Json => serde_json::from_slice(&bytes).map_err(|error| {
                Problem::bad_request(format!(
                    "the body is not such as {{\"code\": \"1 + 1\"}}: {error}"
                ))
            })?,
            BodyKind::Code => RunRequest { code: plain(bytes.into())?, ..RunRequest::default() },
        };
        let timeout_ms = request.timeout_ms.or(query.timeout_ms);
        if timeout_ms == Some(0) {
            let detail = "`timeout_ms` must be at least 1; leave it out for no timeout";
            return Err(Problem::bad_request(detail));
        }
        check_env(&request.env).map_err(Problem::bad_request)?;
        let cell = Execute {
            code: request.code,
            timeout_ms,
            env: request.env,
            allow_input: false,
            program: Some(Program { show_value: true, ..Program::default() }),
            ..Execute::default()
        };
        Ok(Order { template: request.template.or(query.template), cell, charge })
    }
}

fn plain(bytes: Vec<u8>) -> Result<String, Problem> {
    String::from_utf8(bytes)
        .map_err(|error| Problem::bad_request(format!("the code is not UTF-8: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_curl_sends_is_code() {
        let of = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_str(value).unwrap());
            BodyKind::of(&headers)
        };
        assert_eq!(BodyKind::of(&HeaderMap::new()), Some(BodyKind::Code));
        for code in
            ["application/x-www-form-urlencoded", "text/plain; charset=utf-8", "TEXT/x-python"]
        {
            assert_eq!(of(code), Some(BodyKind::Code), "{code}");
        }
        for json in ["application/json", "Application/JSON;charset=utf-8", "application/a+json"] {
            assert_eq!(of(json), Some(BodyKind::Json), "{json}");
        }
        for other in ["multipart/form-data; boundary=x", "image/png", "", "json"] {
            assert_eq!(of(other), None, "{other}");
        }
    }
}

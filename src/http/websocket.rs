//! The opening handshake of a WebSocket (RFC 6455 §4.2): what all WebSocket routes share.

use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::OnUpgrade;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::problem::Problem;
use crate::admission::{Refused, RefusedKind};
use crate::protocol::{Close, CloseCode};

/// Length of a handshake's key (RFC 6455 §4.1).
const NONCE_BYTES: usize = 16;

/// Answers a handshake: the answer, and what becomes the connection when that is sent. An error is the
/// answer to what is no handshake.
pub(super) fn accept(request: &mut Request) -> Result<(Response, OnUpgrade), Box<Response>> {
    let accept = handshake(request.method(), request.headers())
        .map_err(|wrong| Box::new(wrong.response()))?;
    let on_upgrade = request.extensions_mut().remove::<OnUpgrade>().ok_or_else(|| {
        let text = "this connection cannot be upgraded; use HTTP/1.1";
        Box::new(Problem::bad_request(text).into_response())
    })?;
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    Ok((response, on_upgrade))
}

/// The close for a client that is refused after its upgrade.
pub(super) fn close_for(refused: &Refused) -> Close {
    let code = match refused.kind() {
        RefusedKind::Unauthorised => CloseCode::Unauthorised,
        RefusedKind::Forbidden => CloseCode::Forbidden,
        RefusedKind::NotFound | RefusedKind::NotFoundForToken => CloseCode::NoSuchSession,
        RefusedKind::TooMany => CloseCode::TooMany,
        RefusedKind::NoCapacity => CloseCode::NoCapacity,
        RefusedKind::Draining => CloseCode::Draining,
        RefusedKind::Failed => CloseCode::Internal,
    };
    Close::new(code, refused.sentence())
}

/// What is wrong with an opening handshake.
#[derive(Debug, PartialEq, thiserror::Error)]
enum WrongHandshake {
    #[error("a handshake is a GET request")]
    Method,
    #[error("this is a WebSocket endpoint; connect with a WebSocket client")]
    NoUpgrade,
    #[error("the WebSocket version must be 13")]
    Version,
    #[error("a handshake has one Sec-WebSocket-Key, of 16 bytes in base64")]
    Key,
    #[error("a handshake has no body")]
    Body,
}

impl WrongHandshake {
    /// The answer RFC 6455 §4.2.2 and RFC 9110 §15.5.22 ask for.
    fn response(&self) -> Response {
        let (status, header) = match self {
            WrongHandshake::NoUpgrade => {
                (StatusCode::UPGRADE_REQUIRED, Some((header::UPGRADE, "websocket")))
            }
            WrongHandshake::Version => {
                (StatusCode::UPGRADE_REQUIRED, Some((header::SEC_WEBSOCKET_VERSION, "13")))
            }
            WrongHandshake::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, Some((header::ALLOW, "GET")))
            }
            WrongHandshake::Key | WrongHandshake::Body => (StatusCode::BAD_REQUEST, None),
        };
        let mut problem = Problem::new(status, self.to_string());
        if let Some((name, value)) = header {
            problem = problem.with(name, HeaderValue::from_static(value));
        }
        problem.into_response()
    }
}

/// Checks the opening handshake (RFC 6455 §4.2.1) and answers the accept key.
fn handshake(method: &Method, headers: &HeaderMap) -> Result<HeaderValue, WrongHandshake> {
    // The router gives us HEAD as well.
    if method != Method::GET {
        return Err(WrongHandshake::Method);
    }
    let has_token = |name, wanted: &str| {
        let mut lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
        lines.any(|value| value.split(',').any(|part| part.trim().eq_ignore_ascii_case(wanted)))
    };
    if !has_token(header::CONNECTION, "upgrade") || !has_token(header::UPGRADE, "websocket") {
        return Err(WrongHandshake::NoUpgrade);
    }
    let only = |name| {
        let mut values = headers.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    if only(header::SEC_WEBSOCKET_VERSION).is_none_or(|version| version != "13") {
        return Err(WrongHandshake::Version);
    }
    // Its bytes would not be read, and then be taken for frames.
    let empty = headers.get(header::CONTENT_LENGTH).is_none_or(|length| length == "0");
    if !empty || headers.contains_key(header::TRANSFER_ENCODING) {
        return Err(WrongHandshake::Body);
    }
    let key = only(header::SEC_WEBSOCKET_KEY).ok_or(WrongHandshake::Key)?;
    if STANDARD.decode(key).map_or(0, |nonce| nonce.len()) != NONCE_BYTES {
        return Err(WrongHandshake::Key);
    }
    HeaderValue::from_str(&derive_accept_key(key.as_bytes())).map_err(|_| WrongHandshake::Key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut map = HeaderMap::new();
        for (name, value) in pairs {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        map
    }

    #[test]
    fn the_handshake_is_answered_as_rfc_6455_says() {
        let good = [
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ];
        let accept = handshake(&Method::GET, &headers(&good)).unwrap();
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="); // the example of §1.3
        for (missing, wrong, status) in [
            (0, WrongHandshake::NoUpgrade, 426),
            (1, WrongHandshake::NoUpgrade, 426),
            (2, WrongHandshake::Version, 426),
            (3, WrongHandshake::Key, 400),
        ] {
            let mut some = good.to_vec();
            some.remove(missing);
            assert_eq!(handshake(&Method::GET, &headers(&some)), Err(wrong), "{missing}");
            assert_eq!(
                handshake(&Method::GET, &headers(&some)).unwrap_err().response().status(),
                status
            );
        }
        assert_eq!(handshake(&Method::HEAD, &headers(&good)), Err(WrongHandshake::Method));
        for (more, wrong) in [
            (("sec-websocket-version", "8"), WrongHandshake::Version),
            (("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="), WrongHandshake::Key),
            (("content-length", "1"), WrongHandshake::Body),
            (("transfer-encoding", "chunked"), WrongHandshake::Body),
        ] {
            let all = [&good[..], &[more]].concat();
            assert_eq!(handshake(&Method::GET, &headers(&all)), Err(wrong), "{more:?}");
        }
    }
}

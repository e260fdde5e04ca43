//! `GET /ws`: from an HTTP request to a participant of a session.
//!
//! A refusal that a program in a browser should be able to read comes as a close code after the
//! upgrade: a failed upgrade tells it nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Query, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role as End;
use tracing::{Instrument, Span};

use super::AppState;
use super::auth;
use super::clients::{Client, ConnectionSlot, Peer};
use super::problem::{Document, Problem};
use super::server::WriteDeadline;
use crate::admission::{OpenRequest, Refused, RefusedKind, Wanted};
use crate::error::Chain;
use crate::protocol::{Close, CloseCode, SUBPROTOCOL};
use crate::session::Attachment;
use crate::socket::{self, Incoming};

/// Length of a handshake's key (RFC 6455 §4.1).
const NONCE_BYTES: usize = 16;

/// The query of `/ws`.
#[derive(Debug, Default, Deserialize)]
pub(super) struct ConnectQuery {
    template: Option<String>,
    session: Option<String>,
    after: Option<u64>,
    name: Option<String>,
    token: Option<String>,
}

/// Opens a WebSocket to a session: the protocol that docs/protocol.md describes.
///
/// Answers 101 and serves the connection in a task of its own.
#[utoipa::path(
    get,
    path = "/ws",
    operation_id = "openSocket",
    tag = "gateway",
    params(
        ("template" = Option<String>, Query, description = "What a new session is made from"),
        ("session" = Option<String>, Query, description = "A session to join instead"),
        ("after" = Option<u64>, Query, description = "Replay what came after this seq"),
        ("name" = Option<String>, Query, description = "Shown to other participants"),
    ),
    responses(
        (status = 101, description = "A WebSocket; refusals come as its close code"),
        (status = "4XX", description = "Not the handshake of a WebSocket",
         body = Document<'static>, content_type = "application/problem+json"),
    )
)]
pub(super) async fn upgrade(
    State(app): State<Arc<AppState>>,
    query: Result<Query<ConnectQuery>, axum::extract::rejection::QueryRejection>,
    mut request: Request,
) -> Response {
    let Query(query) = match query {
        Ok(query) => query,
        Err(error) => return Problem::bad_request(error.body_text()).into_response(),
    };
    let accept = match handshake(request.method(), request.headers()) {
        Ok(accept) => accept,
        Err(wrong) => return wrong.response(),
    };
    let Some(on_upgrade) = request.extensions_mut().remove::<OnUpgrade>() else {
        let text = "this connection cannot be upgraded; use HTTP/1.1";
        return Problem::bad_request(text).into_response();
    };
    let token = auth::token_of_socket(query.token.clone(), request.headers());
    let speaks_ours =
        auth::offered_protocols(request.headers()).iter().any(|protocol| protocol == SUBPROTOCOL);

    let client = *request.extensions().get::<Client>().unwrap_or(&Client::NOWHERE);
    let place = request.extensions_mut().remove::<Peer>().map(|peer| peer.place);
    let connection = serve(Arc::clone(&app), on_upgrade, query, token, client, place);
    app.connections.spawn(connection);

    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    if speaks_ours {
        let ours = HeaderValue::from_static(SUBPROTOCOL);
        headers.insert(header::SEC_WEBSOCKET_PROTOCOL, ours);
    }
    response
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

async fn serve(
    app: Arc<AppState>,
    on_upgrade: OnUpgrade,
    query: ConnectQuery,
    token: Option<String>,
    client: Client,
    _place: Option<ConnectionSlot>, // one of the connections there may be, to the end
) {
    let upgraded = match on_upgrade.await {
        Ok(upgraded) => upgraded,
        Err(error) => {
            tracing::debug!(error = %Chain(&error), "a connection ended before its upgrade");
            return;
        }
    };
    let config = Some(app.socket.websocket());
    // Past hyper's wrapper there is one dynamic call less for every read and write; the socket has
    // deadlines of its own.
    match upgraded.downcast::<TokioIo<WriteDeadline>>() {
        Ok(Parts { io, read_buf, .. }) => {
            let read = read_buf.to_vec();
            drop(read_buf); // 8 KiB for as long as it lives
            let io = Incoming::new(io.into_inner().into_inner());
            let stream = WebSocketStream::from_partially_read(io, read, End::Server, config).await;
            let seat = tokio::select! {
                seat = take_seat(&app, query, token, client) => seat,
                // A client that is gone does not keep those behind it waiting for capacity.
                () = departure(stream.get_ref().get_ref()) => return,
            };
            serve_seat(&app, stream, seat).await;
        }
        Err(upgraded) => {
            let io = Incoming::new(TokioIo::new(upgraded));
            let stream = WebSocketStream::from_raw_socket(io, End::Server, config).await;
            let seat = take_seat(&app, query, token, client).await;
            serve_seat(&app, stream, seat).await;
        }
    }
}

/// Waits until the peer has closed its side, even if bytes that it sent before are not read yet.
async fn departure(stream: &TcpStream) {
    // The one interest that wakes for a closed side and not for bytes.
    match stream.ready(Interest::PRIORITY).await {
        // Urgent data, of which there is none in our protocols: no more can be told this way.
        Ok(ready) if !ready.is_read_closed() => std::future::pending().await,
        Ok(_) | Err(_) => {}
    }
}

async fn serve_seat<S: AsyncRead + AsyncWrite + Unpin>(
    app: &AppState,
    mut stream: WebSocketStream<Incoming<S>>,
    seat: Result<(Attachment, Span), Close>,
) {
    match seat {
        Ok((seat, span)) => {
            socket::serve(stream, seat, &app.socket, &app.metrics).instrument(span).await;
        }
        Err(close) => {
            // What it goes on sending is read for a moment, for the sake of the close.
            stream.get_mut().charge_to(&app.requests);
            socket::refuse(stream, &close, &app.socket, &app.metrics).await;
        }
    }
}

/// A seat in a new session, or in the one asked for.
async fn take_seat(
    app: &AppState,
    query: ConnectQuery,
    token: Option<String>,
    client: Client,
) -> Result<(Attachment, Span), Close> {
    if app.clients.admit(client).is_err() {
        let text = "too many connections from this address in too short a time; try again later";
        return Err(Close::new(CloseCode::TooMany, text));
    }
    let request = OpenRequest {
        token: token.as_deref().unwrap_or_default(),
        address: client.0,
        session: match &query.session {
            Some(id) => Wanted::Existing(id),
            None => Wanted::New(query.template.as_deref()),
        },
        name: query.name.as_deref(),
        after: query.after,
    };
    match app.admission.open(request).await {
        Ok((session, seat)) => Ok((seat, session.span())),
        Err(refused) => Err(close_for(&refused)),
    }
}

fn close_for(refused: &Refused) -> Close {
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

//! `GET /ws`: from an HTTP request to a participant of a session.
//!
//! A refusal that a program in a browser should be able to read comes as a close code after the
//! upgrade: a failed upgrade tells it nothing.

use std::sync::Arc;

use axum::extract::{Query, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use hyper::upgrade::{OnUpgrade, Parts};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncWrite, Interest};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role as End;
use tracing::{Instrument, Span};

use super::AppState;
use super::auth;
use super::clients::{Client, ConnectionSlot, Peer};
use super::problem::{Document, Problem};
use super::server::WriteDeadline;
use super::websocket;
use crate::admission::{OpenRequest, Wanted};
use crate::error::Chain;
use crate::protocol::{Close, CloseCode, SUBPROTOCOL};
use crate::session::Attachment;
use crate::socket::{self, Incoming};

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
    let (mut response, on_upgrade) = match websocket::accept(&mut request) {
        Ok(accepted) => accepted,
        Err(answer) => return *answer,
    };
    let token = auth::token_of_socket(query.token.clone(), request.headers());
    let speaks_ours =
        auth::offered_protocols(request.headers()).iter().any(|protocol| protocol == SUBPROTOCOL);

    let client = *request.extensions().get::<Client>().unwrap_or(&Client::NOWHERE);
    let place = request.extensions_mut().remove::<Peer>().map(|peer| peer.place);
    let connection = serve(Arc::clone(&app), on_upgrade, query, token, client, place);
    app.connections.spawn(connection);

    if speaks_ours {
        let ours = HeaderValue::from_static(SUBPROTOCOL);
        response.headers_mut().insert(header::SEC_WEBSOCKET_PROTOCOL, ours);
    }
    response
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
        Err(refused) => Err(websocket::close_for(&refused)),
    }
}

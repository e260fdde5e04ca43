//! One WebSocket of a document: carries the frames of the y-websocket protocol both ways.
//!
//! Reading never waits for writing, and everything the peer can hold up has a deadline, as in the
//! WebSocket of a session.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex, PoisonError};

use futures::StreamExt;
use futures::stream::SplitStream;
use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message};

use super::{
    Incoming, Partial, SocketConfig, Traffic, Writer, close_for, outgoing, send_all, wait_for_close,
};
use crate::document::{DocumentDeparture, DocumentSeat, FRAME_BYTES, Frame, Outgoing};
use crate::memory::Exhausted;
use crate::metrics::{self, Metrics};
use crate::protocol::{Close, CloseCode};
use crate::session::{Credential, SessionHandle};

/// Updates that a client may send a second, and in one moment.
const UPDATES: (u32, u32) = (50, 500); // who types quickly makes 15 a second; a paste or a move is one

/// The same of all frames, most of which tell where a cursor is.
const FRAMES: (u32, u32) = (200, 2_000); // a mouse that selects tells 60 to 120 a second

/// Buffers and bounds of a document's WebSocket.
pub fn websocket(config: &SocketConfig) -> WebSocketConfig {
    config.websocket().max_message_size(Some(FRAME_BYTES)).max_frame_size(Some(FRAME_BYTES))
}

/// A client that has joined a document.
pub struct DocumentClient {
    /// Its place.
    pub seat: DocumentSeat,
    /// The session of the document.
    pub session: SessionHandle,
    /// What it came with, which says what it may do.
    pub credential: Credential,
}

/// Serves one client until either side closes. `stream` is past the handshake.
pub async fn serve<S>(
    mut stream: WebSocketStream<Incoming<S>>,
    client: DocumentClient,
    config: &SocketConfig,
    metrics: &Metrics,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let partial = stream.get_mut().charge_to(client.session.memory());
    let (sink, mut stream) = stream.split();
    let heard = Mutex::new(Instant::now());
    let traffic = Traffic::new(metrics);
    let mut writer = Writer { sink, config };
    // Before the rights are looked at, so that no change is missed.
    let rights_changed = client.session.rights_changed();
    let close = tokio::select! {
        close = write_all(&mut writer, client.seat.outgoing(), &heard, &traffic) => close,
        close = read_all(&mut stream, &client, &partial, &heard, &traffic) => close,
        close = until_revoked(&client, rights_changed) => Some(close),
    };
    match close {
        Some(close) => {
            metrics.count(&metrics::SOCKET_CLOSES, &[&close.code.number().to_string()]);
            writer.close(&close).await;
            wait_for_close(&mut stream).await;
        }
        None => metrics.count(&metrics::SOCKET_CLOSES, &["none"]),
    }
}

/// Waits until what the client came with opens the session no more.
async fn until_revoked(client: &DocumentClient, mut rights_changed: watch::Receiver<u64>) -> Close {
    while client.session.rights(&client.credential).is_some() {
        if rights_changed.changed().await.is_err() {
            // The session is over, which its document is about to say.
            std::future::pending::<()>().await;
        }
    }
    let text = "the link to this document was revoked or has expired; ask for a new one";
    Close::new(CloseCode::Unauthorised, text)
}

async fn write_all<S: AsyncRead + AsyncWrite + Unpin>(
    writer: &mut Writer<'_, S>,
    waiting: &Outgoing,
    heard: &Mutex<Instant>,
    traffic: &Traffic,
) -> Option<Close> {
    let config = writer.config;
    let mut batch: Vec<Arc<Frame>> = Vec::new();
    let mut pings = interval_at(Instant::now() + config.ping_interval, config.ping_interval);
    pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        let sent = tokio::select! {
            taken = waiting.take(&mut batch) => match taken {
                Err(departure) => return Some(close_of(departure)),
                Ok(()) => {
                    let bytes: usize = batch.iter().map(|frame| frame.bytes.len()).sum();
                    let began = Instant::now();
                    let frames = batch.iter().flat_map(|frame| outgoing::binary_frames(frame.bytes.clone()));
                    let sent = timeout(config.write_timeout, send_all(&mut writer.sink, frames)).await;
                    batch.clear();
                    traffic.sent.increment(bytes as u64);
                    traffic.write.record(began.elapsed());
                    sent
                }
            },
            now = pings.tick() => {
                let heard = *heard.lock().unwrap_or_else(PoisonError::into_inner);
                let silent = now.saturating_duration_since(heard);
                if silent >= config.ping_interval + config.ping_timeout {
                    let text = format!("no answer to pings for {} s; connect again", silent.as_secs());
                    return Some(Close::new(CloseCode::NoCapacity, text));
                }
                let ping = [Ok(Message::Ping(Bytes::new()))].into_iter();
                timeout(config.write_timeout, send_all(&mut writer.sink, ping)).await
            }
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) => {
                tracing::debug!(%error, "a document's socket cannot be written");
                return None;
            }
            Err(_) => {
                let text = format!("took nothing for {:?}; connect again", config.write_timeout);
                return Some(Close::new(CloseCode::NoCapacity, text));
            }
        }
    }
}

fn limiter((per_second, burst): (u32, u32)) -> DefaultDirectRateLimiter {
    let nonzero = |value| NonZeroU32::new(value).unwrap_or(NonZeroU32::MIN);
    RateLimiter::direct(Quota::per_second(nonzero(per_second)).allow_burst(nonzero(burst)))
}

/// Reads until the peer closes or breaks a rule; answers what to close with.
async fn read_all<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut SplitStream<WebSocketStream<Incoming<S>>>,
    client: &DocumentClient,
    partial: &Partial,
    heard: &Mutex<Instant>,
    traffic: &Traffic,
) -> Option<Close> {
    let (updates, frames) = (limiter(UPDATES), limiter(FRAMES));
    while let Some(frame) = stream.next().await {
        *heard.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
        let bytes = match frame {
            Ok(Message::Binary(bytes)) => bytes,
            Ok(Message::Text(_)) => {
                let text = "a text frame; the y-websocket protocol has binary ones";
                return Some(Close::new(CloseCode::Payload, text));
            }
            Ok(Message::Ping(payload) | Message::Pong(payload)) => {
                partial.subtract_control(payload.len());
                continue;
            }
            // After a close the stream ends by itself, once it has sent the answer.
            Ok(Message::Frame(_) | Message::Close(_)) => continue,
            Err(WsError::Io(error)) if Incoming::<S>::is_refusal(&error) => {
                return Some(Close::new(CloseCode::NoCapacity, Exhausted.to_string()));
            }
            Err(error) => return close_for(&error),
        };
        traffic.received.increment(1);
        let is_sync = bytes.first() == Some(&0);
        if frames.check().is_err() || (is_sync && updates.check().is_err()) {
            let text = format!("more than {} updates a second; send fewer, together", UPDATES.0);
            return Some(Close::new(CloseCode::NoCapacity, text));
        }
        let rights = client.session.rights(&client.credential);
        let may_edit = rights.is_some_and(|rights| rights.may_edit_document());
        if client.seat.send(bytes, may_edit, partial.take()).await.is_err() {
            // The session is over; the write half is about to say so.
            return std::future::pending().await;
        }
    }
    None
}

/// What a departure from the document means for the connection. A client that is to come back gets a code
/// below 4400: from there to 4499 `y-websocket` takes every one for final.
fn close_of(departure: DocumentDeparture) -> Close {
    match departure {
        DocumentDeparture::Over => Close::new(CloseCode::NoSuchSession, "the session is over"),
        DocumentDeparture::Broken(why) => Close::new(CloseCode::Payload, why),
        DocumentDeparture::TooLarge(why) => Close::new(CloseCode::TooLarge, why),
        DocumentDeparture::Full(why) => Close::new(CloseCode::DocumentFull, why),
        DocumentDeparture::TooSlow => {
            let text = "more waits for this client than is kept for it; connect again";
            Close::new(CloseCode::NoCapacity, text)
        }
        DocumentDeparture::NoMemory(why) => Close::new(CloseCode::NoCapacity, why),
        DocumentDeparture::Failed => {
            Close::new(CloseCode::Internal, "the document failed; connect again with what you have")
        }
    }
}

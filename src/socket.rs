//! One WebSocket connection: the only reader and writer of its stream.
//!
//! ```text
//!   stream ─► read half ─► Attachment::say ─► session
//!   stream ◄─ write half ◄─ Outbox::take  ◄── session
//! ```
//! Both halves live in one task and end together. Reading never waits for writing, so that an
//! `interrupt` gets through while megabytes of output are stuck. Everything the peer can hold up
//! has a deadline.

use std::num::NonZeroU32;
use std::sync::Mutex;
use std::time::Duration;

use futures::stream::{SplitSink, SplitStream};
use futures::{SinkExt, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Bytes, Error as WsError, Message, Utf8Bytes};

mod budget;
pub mod document;
mod incoming;
mod outgoing;

pub use budget::BURST_SECONDS;
pub use incoming::{Incoming, Partial};

use budget::Budget;

use crate::memory::Exhausted;
use crate::metrics::{self, Counter, Histogram, Metrics, Present};
use crate::protocol::client::ClientMessage;
use crate::protocol::event::EndReason;
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::{Close, CloseCode};
use crate::session::outbox::{Outbox, ROOM_KEPT};
use crate::session::{Attachment, Delivery, Departure};

/// What the settings say about connections.
#[derive(Clone, Debug)]
pub struct SocketConfig {
    /// Longest message a client may send, in bytes.
    pub message_bytes: usize,
    /// Messages a client may send a second, and [`BURST_SECONDS`] times as many in one moment.
    /// `None`: any number.
    pub messages_per_second: Option<u32>,
    /// From one ping of ours to the next.
    pub ping_interval: Duration,
    /// How long a client may be silent after a ping.
    pub ping_timeout: Duration,
    /// How long the network may take a batch of ours.
    pub write_timeout: Duration,
}

/// Messages up to this many times the limit are refused one by one; a longer one closes the
/// connection, because it would have to be held to be refused.
const HARD_LIMIT_FACTOR: usize = 4;

/// Messages are gathered up to this many bytes for one write.
const WRITE_BUFFER: usize = 8 << 10;

/// For the peer's answer to our close.
const CLOSE_DEADLINE: Duration = Duration::from_secs(2);

impl Default for SocketConfig {
    fn default() -> SocketConfig {
        SocketConfig {
            message_bytes: 1 << 20, // 1 MiB: far beyond any cell that people write
            messages_per_second: Some(5_000), // a program that waits for each tiny cell sends fewer
            ping_interval: Duration::from_secs(20), // proxies cut silent connections at 30 s or 60 s
            ping_timeout: Duration::from_secs(20),
            write_timeout: Duration::from_secs(30),
        }
    }
}

impl SocketConfig {
    /// Buffers and bounds of the WebSocket itself.
    pub fn websocket(&self) -> WebSocketConfig {
        let hard = self.message_bytes.saturating_mul(HARD_LIMIT_FACTOR);
        WebSocketConfig::default()
            // Allocated for each connection, idle ones too; cells are typed, not streamed.
            .read_buffer_size(4 << 10)
            // A batch is flushed by us, so this only decides how few writes one of small messages
            // takes; and a socket keeps twice of it.
            .write_buffer_size(WRITE_BUFFER)
            // Larger messages go out as fragments, so that a peer that does not read has a copy of
            // one fragment waiting and not of a whole result.
            .max_write_buffer_size(WRITE_BUFFER + 2 * outgoing::FRAGMENT_BYTES)
            .max_message_size(Some(hard))
            .max_frame_size(Some(hard))
    }
}

/// Serves one participant until either side closes. `stream` is past the handshake.
pub async fn serve<S>(
    mut stream: WebSocketStream<Incoming<S>>,
    seat: Attachment,
    config: &SocketConfig,
    metrics: &Metrics,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let partial = stream.get_mut().charge_to(seat.memory());
    let (sink, mut stream) = stream.split();
    let heard = Mutex::new(Instant::now());
    let traffic = Traffic::new(metrics);
    let mut writer = Writer { sink, config };
    let ended = {
        let write = writer.run(seat.outbox(), &heard, &traffic);
        let read = read_all(&mut stream, &seat, &partial, &heard, config, &traffic);
        tokio::pin!(write, read);
        tokio::select! {
            ended = &mut write => ended,
            // A link that expires ends the connections that were opened with it, too.
            () = seat.expired() => {
                seat.outbox().close(Departure::Expired);
                write.await
            }
            close = &mut read => match close {
                // What is already in the outbox still goes out before the close.
                Some(close) => {
                    seat.outbox().close(Departure::Dismissed);
                    match write.await {
                        WriteEnd::Dismissed => WriteEnd::Close(close),
                        other => other,
                    }
                }
                None => WriteEnd::Gone,
            },
        }
    };
    match ended {
        WriteEnd::Close(close) => {
            metrics.count(&metrics::SOCKET_CLOSES, &[&close.code.number().to_string()]);
            writer.close(&close).await;
            wait_for_close(&mut stream).await;
        }
        // Nothing dismisses a client but what it sent, and that is answered above.
        WriteEnd::Dismissed | WriteEnd::Gone => metrics.count(&metrics::SOCKET_CLOSES, &["none"]),
    }
}

/// Closes a connection that never got a seat.
pub async fn refuse<S>(
    stream: WebSocketStream<S>,
    close: &Close,
    config: &SocketConfig,
    metrics: &Metrics,
) where
    S: AsyncRead + AsyncWrite + Unpin,
{
    metrics.count(&metrics::SOCKET_CLOSES, &[&close.code.number().to_string()]);
    let (sink, mut stream) = stream.split();
    Writer { sink, config }.close(close).await;
    wait_for_close(&mut stream).await;
}

/// The peer answers a close with a close; until then it may still be sending.
async fn wait_for_close<S>(stream: &mut SplitStream<WebSocketStream<S>>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let drain = async { while let Some(Ok(_)) = stream.next().await {} };
    // A peer that does not answer is cut off, which is all that is left to do.
    timeout(CLOSE_DEADLINE, drain).await.ok();
}

/// What one connection counts often.
struct Traffic {
    sent: Counter,
    write: Histogram,
    received: Counter,
    _open: Present,
}

impl Traffic {
    fn new(metrics: &Metrics) -> Traffic {
        Traffic {
            sent: metrics.counter(&metrics::SOCKET_SENT, &[]),
            write: metrics.histogram(&metrics::SOCKET_WRITE, &[]),
            received: metrics.counter(&metrics::SOCKET_RECEIVED, &[]),
            _open: metrics.present(&metrics::SOCKETS, &[]),
        }
    }
}

/// Why the write half ended.
enum WriteEnd {
    /// To be closed with this code and reason.
    Close(Close),
    /// To be closed for what the client sent.
    Dismissed,
    /// The connection is broken.
    Gone,
}

impl WriteEnd {
    /// What a departure from the session means for the connection.
    fn of(departure: &Departure) -> WriteEnd {
        let code = match departure {
            Departure::Ended { reason, .. } => match reason {
                EndReason::Requested | EndReason::Abandoned => CloseCode::Ended,
                EndReason::IdleTimeout | EndReason::Lifetime => CloseCode::Expired,
                EndReason::Draining => CloseCode::Draining,
                EndReason::SandboxLost | EndReason::InterpreterFailed => CloseCode::Internal,
            },
            Departure::Replaced => CloseCode::Replaced,
            Departure::Revoked | Departure::Expired | Departure::Removed => CloseCode::Unauthorised,
            Departure::Dismissed => return WriteEnd::Dismissed,
        };
        WriteEnd::Close(Close::new(code, departure.to_string()))
    }
}

struct Writer<'a, S> {
    sink: SplitSink<WebSocketStream<S>, Message>,
    config: &'a SocketConfig,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Writer<'_, S> {
    async fn run(
        &mut self,
        outbox: &Outbox,
        heard: &Mutex<Instant>,
        traffic: &Traffic,
    ) -> WriteEnd {
        let mut batch: Vec<Delivery> = Vec::new();
        let first = Instant::now() + self.config.ping_interval;
        let mut pings = interval_at(first, self.config.ping_interval);
        pings.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let sent = tokio::select! {
                taken = outbox.take(&mut batch) => match taken {
                    Err(departure) => return WriteEnd::of(&departure),
                    Ok(()) => {
                        let bytes: usize = batch.iter().map(|delivery| delivery.json().len()).sum();
                        let began = Instant::now();
                        let messages = batch.drain(..).map(|delivery| delivery.json().clone());
                        let frames = messages.flat_map(outgoing::frames);
                        let sending = send_all(&mut self.sink, frames);
                        let sent = timeout(self.config.write_timeout, sending).await;
                        traffic.sent.increment(bytes as u64);
                        traffic.write.record(began.elapsed());
                        batch.shrink_to(ROOM_KEPT);
                        sent
                    }
                },
                now = pings.tick() => {
                    if let Some(departure) = outbox.overdue(self.config.write_timeout) {
                        return WriteEnd::of(&departure);
                    }
                    let heard = *heard.lock().unwrap_or_else(|poison| poison.into_inner());
                    let silent = now.saturating_duration_since(heard);
                    if silent >= self.config.ping_interval + self.config.ping_timeout {
                        let text = format!("no answer to pings for {} s; connect again and resume by `after`", silent.as_secs());
                        return WriteEnd::Close(Close::new(CloseCode::TooSlow, text));
                    }
                    let ping = [Ok(Message::Ping(Bytes::new()))].into_iter();
                    timeout(self.config.write_timeout, send_all(&mut self.sink, ping)).await
                }
            };
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(error)) => {
                    tracing::debug!(%error, "a socket's write failed");
                    return WriteEnd::Gone;
                }
                Err(_) => {
                    let limit = self.config.write_timeout;
                    let text = format!("took nothing for {limit:?}; read on and resume by `after`");
                    return WriteEnd::Close(Close::new(CloseCode::TooSlow, text));
                }
            }
        }
    }

    async fn close(&mut self, close: &Close) {
        let frame = CloseFrame {
            code: close.code.number().into(),
            reason: Utf8Bytes::from(close.reason()),
        };
        let sending = self.sink.send(Message::Close(Some(frame)));
        // The peer may be gone already, or take nothing any more: then it is not told.
        timeout(CLOSE_DEADLINE, sending).await.ok();
    }
}

/// Feeds all, then flushes once.
async fn send_all<S: AsyncRead + AsyncWrite + Unpin>(
    sink: &mut SplitSink<WebSocketStream<S>, Message>,
    messages: impl Iterator<Item = Result<Message, WsError>>,
) -> Result<(), WsError> {
    for message in messages {
        sink.feed(message?).await?;
    }
    sink.flush().await
}

/// Reads until the peer closes or breaks a rule; answers what to close with.
async fn read_all<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut SplitStream<WebSocketStream<S>>,
    seat: &Attachment,
    partial: &Partial,
    heard: &Mutex<Instant>,
    config: &SocketConfig,
    traffic: &Traffic,
) -> Option<Close> {
    let mut budget = Budget::new(config.messages_per_second.and_then(NonZeroU32::new));
    while let Some(frame) = stream.next().await {
        *heard.lock().unwrap_or_else(|poison| poison.into_inner()) = Instant::now();
        let said = match frame {
            Ok(Message::Text(text)) if text.len() > config.message_bytes => Err(Refusal::new(
                ErrorCode::TooLarge,
                format!(
                    "a message of {} bytes is longer than the {} allowed",
                    text.len(),
                    config.message_bytes
                ),
            )),
            Ok(Message::Text(text)) => ClientMessage::parse(&text),
            Ok(Message::Binary(_)) => Err(Refusal::new(
                ErrorCode::BadMessage,
                "a message is a text frame with a JSON object, not a binary frame",
            )),
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
        let said = match budget.admit(said) {
            Ok(said) => said,
            Err(close) => return Some(close),
        };
        // Until the session has read it, the message stays charged as it was on its way in.
        if seat.send_charged(said, partial.take()).await.is_err() {
            // The session is over; the write half is about to say so.
            return std::future::pending().await;
        }
    }
    None
}

/// What a broken rule of RFC 6455 is answered with; `None`: the connection is gone anyway.
fn close_for(error: &WsError) -> Option<Close> {
    let code = match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => CloseCode::TooLarge,
        WsError::Utf8(_) => CloseCode::Payload,
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => return None,
        WsError::Protocol(_) => CloseCode::Protocol,
        _ => return None,
    };
    Some(Close::new(code, error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_departure_has_its_close_code() {
        let ended = |reason| Departure::Ended { reason, detail: "why".into() };
        for (departure, code) in [
            (ended(EndReason::Requested), 1000),
            (ended(EndReason::Abandoned), 1000),
            (ended(EndReason::Draining), 1001),
            (ended(EndReason::SandboxLost), 1011),
            (ended(EndReason::InterpreterFailed), 1011),
            (Departure::Revoked, 4401),
            (Departure::Expired, 4401),
            (Departure::Removed, 4401),
            (ended(EndReason::IdleTimeout), 4408),
            (ended(EndReason::Lifetime), 4408),
            (Departure::Replaced, 4409),
        ] {
            let WriteEnd::Close(close) = WriteEnd::of(&departure) else { panic!("{departure:?}") };
            assert_eq!((close.code.number(), close.reason()), (code, &*departure.to_string()));
        }
        assert!(matches!(WriteEnd::of(&Departure::Dismissed), WriteEnd::Dismissed));
    }
}

//! Plain HTTP requests, and WebSockets as bytes: for what no well-behaved client does.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::client::Closed;
use super::gateway::Gateway;

/// What a connection without a close frame is said to have closed with (RFC 6455 §7.1.5).
const NO_CLOSE: u16 = 1006;

/// Longest wait for an answer.
const DEADLINE: Duration = Duration::from_secs(45);

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    /// Such as 200.
    pub(crate) status: u16,
    /// Status line and headers.
    pub(crate) head: String,
    /// The body.
    pub(crate) body: String,
}

/// `GET path` with more headers, each `Name: value`.
pub(crate) async fn get(gateway: &Gateway, path: &str, headers: &[&str]) -> Answer {
    request(gateway, "GET", path, headers, "").await
}

/// `POST path` of a JSON body.
pub(crate) async fn post(gateway: &Gateway, path: &str, headers: &[&str], json: &str) -> Answer {
    let headers = [headers, &["Content-Type: application/json"]].concat();
    request(gateway, "POST", path, &headers, json).await
}

/// A request of any method, with a body unless that is empty.
pub(crate) async fn request(
    gateway: &Gateway,
    method: &str,
    path: &str,
    headers: &[&str],
    body: &str,
) -> Answer {
    let mut request = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if !headers.iter().any(|header| header.starts_with("Host:")) {
        request += &format!("Host: {}\r\n", gateway.address);
    }
    for header in headers {
        request += &format!("{header}\r\n");
    }
    if !body.is_empty() {
        request += &format!("Content-Length: {}\r\n", body.len());
    }
    request += "\r\n";
    request += body;
    let exchange = async {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let bytes = tokio::time::timeout(DEADLINE, exchange).await.expect("an answer takes too long");
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or((&text, ""));
    let status = head.split(' ').nth(1).and_then(|code| code.parse().ok());
    let status = status.unwrap_or_else(|| panic!("not a response: {text}"));
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

/// A frame with this first byte, masked as a client's frames are.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [1, 2, 3, 4];
    let mut frame = vec![first];
    match payload.len() {
        short @ 0..126 => frame.push(0x80 | short as u8),
        middle @ 126..0x1_0000 => {
            frame.push(0x80 | 126);
            frame.extend((middle as u16).to_be_bytes());
        }
        long => {
            frame.push(0x80 | 127);
            frame.extend((long as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A WebSocket of which every byte is the test's.
pub(crate) struct RawSocket {
    pub(crate) stream: TcpStream,
}

impl RawSocket {
    /// Opens a session and reads up to the end of the handshake.
    pub(crate) async fn open(gateway: &Gateway) -> RawSocket {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let request = format!(
            "GET /ws?token={} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            gateway.token, gateway.address
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await.unwrap());
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}"); // RFC 6455 §1.3
        RawSocket { stream }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).await.unwrap();
    }

    /// Sends a frame with this first byte, masked as a client's frames are.
    pub(crate) async fn send_frame(&mut self, first: u8, payload: &[u8]) {
        self.send(&frame(first, payload)).await;
    }

    /// Reads frames until a close; answers its code. `None`: the connection just ended.
    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        let Closed { code, .. } = self.closed().await;
        (code != NO_CLOSE).then_some(code)
    }

    /// Reads frames until a close, or the end of the connection.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            let Ok((first, payload)) = self.read_frame().await else {
                return Closed { code: NO_CLOSE, reason: "no close frame".into() };
            };
            if first & 0x0f == 8 {
                let [high, low, reason @ ..] = &payload[..] else {
                    return Closed { code: 1005, reason: "a close without a code".into() };
                };
                let reason = String::from_utf8(reason.to_vec()).unwrap();
                return Closed { code: u16::from_be_bytes([*high, *low]), reason };
            }
        }
    }

    /// The next frame: its first byte and its payload.
    pub(crate) async fn read_frame(&mut self) -> std::io::Result<(u8, Vec<u8>)> {
        let reading = async {
            let first = self.stream.read_u8().await?;
            let length = match self.stream.read_u8().await? {
                126 => u64::from(self.stream.read_u16().await?),
                127 => self.stream.read_u64().await?,
                short => u64::from(short),
            };
            let mut payload = vec![0; usize::try_from(length).unwrap()];
            self.stream.read_exact(&mut payload).await?;
            Ok((first, payload))
        };
        tokio::time::timeout(DEADLINE, reading).await.expect("a frame takes too long")
    }
}

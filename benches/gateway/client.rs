//! A raw client: one WebSocket, blocking reads and writes, nothing in between that costs time.

use std::io::ErrorKind;
use std::net::TcpStream;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde::Deserialize;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocket;
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes, client};

use crate::contender::{Chunk, Contender};

/// Longer than anything measured takes: a benchmark ends with an error rather than never.
const DEADLINE: Duration = Duration::from_secs(120);

/// Output events begin so. If they ever do not, they are told from others by being parsed,
/// which is slower and not wrong.
const OUTPUT_PREFIX: &str = "{\"type\":\"stdout\"";

/// Opens a WebSocket with TCP_NODELAY and a deadline for reads.
pub(crate) fn open(address: &str, path: &str, token: Option<&str>) -> Result<WebSocket<TcpStream>> {
    let stream =
        TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(DEADLINE))?;
    let mut request = format!("ws://{address}{path}").into_client_request()?;
    if let Some(token) = token {
        let value = HeaderValue::from_str(&format!("Bearer {token}"))?;
        request.headers_mut().insert("authorization", value);
    }
    let (socket, _) = client(request, stream)
        .map_err(|error| anyhow::anyhow!("cannot open a WebSocket to {address}: {error}"))?;
    Ok(socket)
}

/// The next text message.
pub(crate) fn next_text(socket: &mut WebSocket<TcpStream>) -> Result<Utf8Bytes> {
    loop {
        match socket.read().context("cannot read from the WebSocket")? {
            Message::Text(text) => return Ok(text),
            Message::Close(frame) => bail!("the server closed the WebSocket: {frame:?}"),
            _ => {}
        }
    }
}

/// What the benchmarks need of an event.
#[derive(Debug, Deserialize)]
pub(crate) struct Event {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    #[serde(default)]
    pub(crate) id: Option<String>,
    #[serde(default)]
    pub(crate) status: Option<String>,
}

/// A participant of a session.
pub(crate) struct Client {
    socket: WebSocket<TcpStream>,
    /// Id of its session.
    pub(crate) session: String,
    cells: u64,
}

impl Client {
    /// Opens a WebSocket at this path and waits for `ready`.
    pub(crate) fn connect(address: &str, path: &str, token: Option<&str>) -> Result<Client> {
        #[derive(Deserialize)]
        struct Ready {
            session: String,
        }
        let mut socket = open(address, path, token)?;
        let text = next_text(&mut socket)?;
        let ready: Ready = serde_json::from_str(&text)
            .with_context(|| format!("the first message is {text}, not `ready`"))?;
        Ok(Client { socket, session: ready.session, cells: 0 })
    }

    /// Reads and forgets what has arrived, without waiting for more than `quiet` of silence.
    pub(crate) fn forget_until(&mut self, quiet: Duration) -> Result<()> {
        self.socket.get_ref().set_read_timeout(Some(quiet))?;
        loop {
            match self.socket.read() {
                Ok(_) => {}
                Err(Error::Io(error)) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(error).context("cannot read what waits"),
            }
        }
        self.socket.get_ref().set_read_timeout(Some(DEADLINE))?;
        Ok(())
    }

    /// Sends a message.
    pub(crate) fn send(&mut self, message: &serde_json::Value) -> Result<()> {
        self.socket.send(Message::text(message.to_string())).context("cannot send a message")
    }

    /// Queues a cell; answers its id.
    pub(crate) fn execute(&mut self, code: &str) -> Result<String> {
        self.cells += 1;
        let id = format!("c{}", self.cells);
        self.send(&serde_json::json!({"type": "execute", "id": id, "code": code}))?;
        Ok(id)
    }

    /// The next message, as text.
    pub(crate) fn next_text(&mut self) -> Result<Utf8Bytes> {
        next_text(&mut self.socket)
    }

    /// The next message.
    pub(crate) fn next(&mut self) -> Result<Event> {
        let text = self.next_text()?;
        serde_json::from_str(&text).with_context(|| format!("cannot read the message {text}"))
    }

    /// Reads until an event of `kind`.
    pub(crate) fn wait_for(&mut self, kind: &str) -> Result<Event> {
        loop {
            let event = self.next()?;
            if event.kind == kind {
                return Ok(event);
            }
            if event.kind == "protocol_error" || event.kind == "ended" {
                bail!("{} came instead of {kind}", event.kind);
            }
        }
    }

    /// Reads until the cell's `done`, handing over output; answers its status.
    pub(crate) fn drain(
        &mut self,
        id: &str,
        take: &mut dyn FnMut(Chunk) -> Result<()>,
    ) -> Result<String> {
        loop {
            let text = self.next_text()?;
            if text.starts_with(OUTPUT_PREFIX) {
                take(Chunk::Event(text))?;
                continue;
            }
            let event: Event = serde_json::from_str(&text)?;
            match event.kind.as_str() {
                "stdout" => take(Chunk::Event(text))?,
                "done" if event.id.as_deref() == Some(id) => {
                    return event.status.context("a `done` has a status");
                }
                "error" | "stderr" | "protocol_error" | "ended" => bail!("the cell says {text}"),
                _ => {}
            }
        }
    }

    /// Ends the session and waits until the gateway has closed the WebSocket, which it does once
    /// nothing of the sandbox runs any more.
    pub(crate) fn end(mut self) -> Result<()> {
        self.send(&serde_json::json!({"type": "end"}))?;
        while self.socket.read().is_ok() {}
        Ok(())
    }
}

impl Contender for Client {
    fn cell(&mut self, code: &str) -> Result<()> {
        self.stream(code, &mut |_| Ok(()))
    }

    fn stream(&mut self, code: &str, take: &mut dyn FnMut(Chunk) -> Result<()>) -> Result<()> {
        let id = self.execute(code)?;
        match self.drain(&id, take)?.as_str() {
            "ok" => Ok(()),
            status => bail!("a cell ended with the status {status}"),
        }
    }

    fn leave(self: Box<Self>) -> Result<()> {
        self.end()
    }
}

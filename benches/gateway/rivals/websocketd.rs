//! The bare driver behind websocketd: a WebSocket around a program's stdin and stdout, which is
//! what many playgrounds are made of. <https://github.com/joewalnes/websocketd>

use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::WebSocket;

use super::pipe::{EndOfCell, check};
use super::{DRIVER, END, is_installed, request};
use crate::client;
use crate::contender::{Chunk, Contender, Host};

/// Its name in tables.
pub(crate) const WEBSOCKETD: &str = "websocketd";

/// For the server to listen.
const PATIENCE: Duration = Duration::from_secs(10);

/// How websocketd cuts its program's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mode {
    /// A message is a line; its default.
    Lines,
    /// A message is what one read of the pipe gave.
    Binary,
}

/// A server, killed when dropped. Each connection gets a driver of its own.
pub(crate) struct Websocketd {
    mode: Mode,
    server: Child,
    address: String,
}

/// A connection to it.
struct Connection {
    mode: Mode,
    socket: WebSocket<TcpStream>,
}

impl Websocketd {
    /// Starts a server and waits until it listens; `None` if it is not installed.
    pub(crate) fn start(python: &Path, mode: Mode) -> Result<Option<Websocketd>> {
        if !is_installed("websocketd") {
            return Ok(None);
        }
        // It cannot choose a port itself; between here and there nobody is likely to take it.
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let address = format!("127.0.0.1:{port}");
        let mut command = Command::new("websocketd");
        command.args(["--address=127.0.0.1", "--loglevel=fatal"]).arg(format!("--port={port}"));
        if mode == Mode::Binary {
            command.arg("--binary");
        }
        command.arg(python).args(["-c", DRIVER]).stdin(Stdio::null());
        let server = command.spawn().context("cannot start websocketd")?;
        let started = Websocketd { mode, server, address };
        let deadline = Instant::now() + PATIENCE;
        loop {
            match TcpStream::connect(&started.address) {
                Ok(_) => return Ok(Some(started)),
                Err(error) if Instant::now() > deadline => {
                    return Err(error).context("websocketd does not listen");
                }
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Host for Websocketd {
    fn name(&self) -> &str {
        match self.mode {
            Mode::Lines => WEBSOCKETD,
            Mode::Binary => "websocketd --binary",
        }
    }

    fn admit(&self) -> Result<Box<dyn Contender>> {
        let socket = client::open(&self.address, "/", None)?;
        Ok(Box::new(Connection { mode: self.mode, socket }))
    }
}

impl Connection {
    fn next(&mut self) -> Result<Message> {
        self.socket.read().context("cannot read from websocketd")
    }

    fn ask(&mut self, code: &str, collect: bool) -> Result<()> {
        // In the mode of lines it adds the end of the line itself.
        let request = request(code, collect);
        let message = match self.mode {
            Mode::Lines => Message::text(request.trim_end()),
            Mode::Binary => Message::binary(request.into_bytes()),
        };
        self.socket.send(message).context("cannot ask websocketd")
    }
}

impl Contender for Connection {
    fn cell(&mut self, code: &str) -> Result<()> {
        self.ask(code, true)?;
        match self.next()? {
            Message::Text(answer) => check(&answer),
            other => bail!("websocketd answered {other:?}"),
        }
    }

    fn stream(&mut self, code: &str, take: &mut dyn FnMut(Chunk) -> Result<()>) -> Result<()> {
        self.ask(code, false)?;
        let mut end = EndOfCell::default();
        loop {
            match self.next()? {
                Message::Text(line) if line.as_bytes() == &END[..1] => return Ok(()),
                Message::Text(line) => take(Chunk::Line(line))?,
                Message::Binary(bytes) => {
                    let mut bytes = Vec::from(bytes);
                    let over = end.cut(&mut bytes);
                    take(Chunk::Plain(bytes.into()))?;
                    if over {
                        return Ok(());
                    }
                }
                Message::Close(frame) => bail!("websocketd closed: {frame:?}"),
                _ => {}
            }
        }
    }

    fn leave(mut self: Box<Self>) -> Result<()> {
        // Ends the driver. The server may close first.
        self.socket.close(None).ok();
        while self.socket.read().is_ok() {}
        Ok(())
    }
}

impl Drop for Websocketd {
    fn drop(&mut self) {
        // It may have ended itself.
        self.server.kill().ok();
        self.server.wait().ok();
    }
}

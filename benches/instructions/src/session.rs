//! Whole sessions, in one thread and in memory.
//!
//! ```text
//!   client ─► socket ─► session ─► link ─► scripted driver
//!   client ◄─ socket ◄─ session ◄─ link ◄─ its answer to each cell
//! ```

use std::time::Duration;

use anyhow::{Context, Result, bail};
use bytes::{Buf, BytesMut};
use cellgate::id::Token;
use cellgate::metrics::Metrics;
use cellgate::protocol::client::ClientMessage;
use cellgate::sandbox::EndCause;
use cellgate::session::{
    Attachment, Credential, DetachedOutput, JoinRequest, SessionConfig, SessionHandle,
};
use cellgate::socket::{Incoming, SocketConfig};
use cellgate::template::Limits;
use cellgate_driver::wire::{Outcome, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::runtime::{Builder, Runtime};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::Role;

use crate::counted;
use crate::scripted::{self, ScriptedDriver};

/// A frame that the driver sends between EXECUTE and DONE: kind, flags, payload.
pub(crate) type Answer = (u8, u8, Vec<u8>);

const EXECUTE: &str = r#"{"type":"execute","code":"x"}"#;

/// Cells before the counting begins: they fill buffers and tables for the first time.
const WARM: u32 = 3;

/// Runs so many cells, from a client's socket and back, and counts them.
pub(crate) fn walk(times: u32, answer: Vec<Answer>) -> Result<()> {
    let (runtime, metrics, handle) = begin(answer)?;
    let mut client = runtime.block_on(async {
        let seat = handle.attach(JoinRequest::owner("ada", Token::new("t"))).await?;
        let (ours, theirs) = tokio::io::duplex(256 << 10);
        let config = socket_config();
        let websocket = Some(config.websocket());
        let theirs = Incoming::new(theirs);
        let stream = WebSocketStream::from_raw_socket(theirs, Role::Server, websocket).await;
        tokio::spawn(async move { cellgate::socket::serve(stream, seat, &config, &metrics).await });
        let mut client = Client { stream: ours, read: BytesMut::with_capacity(256 << 10) };
        client.run(WARM).await?;
        Ok::<_, anyhow::Error>(client)
    })?;
    counted(|| runtime.block_on(client.run(times)))
}

/// Runs so many cells before so many viewers, who have no sockets, and counts them.
pub(crate) fn fan_out(viewers: usize, times: u32, answer: Answer) -> Result<()> {
    let (runtime, _metrics, handle) = begin(vec![answer])?;
    let seats = runtime.block_on(async {
        let mut seats = Vec::new();
        let viewer = cellgate::protocol::reply::Role::Viewer;
        let link = handle.grant(&Credential::Gateway, viewer, None)?.token;
        let watching =
            JoinRequest { name: "vera".into(), credential: Credential::Token(link), after: None };
        for _ in 0..=viewers {
            let join = match seats.is_empty() {
                true => JoinRequest::owner("ada", Token::new("t")),
                false => watching.clone(),
            };
            seats.push(handle.attach(join).await?);
        }
        show(&seats, WARM).await?;
        Ok::<_, anyhow::Error>(seats)
    })?;
    counted(|| runtime.block_on(show(&seats, times)))
}

async fn show(seats: &[Attachment], times: u32) -> Result<()> {
    let mut batch = Vec::new();
    for _ in 0..times {
        seats[0].send(ClientMessage::parse(EXECUTE)).await?;
        for seat in seats {
            let mut ended = false;
            while !ended {
                if let Err(departure) = seat.outbox().take(&mut batch).await {
                    bail!("the session ended: {departure}");
                }
                ended = batch.drain(..).any(|delivery| is_done(delivery.json().as_bytes()));
            }
        }
    }
    Ok(())
}

/// A session whose driver answers every cell the same.
fn begin(answer: Vec<Answer>) -> Result<(Runtime, Metrics, SessionHandle)> {
    let runtime = Builder::new_current_thread().enable_time().build()?;
    let metrics = Metrics::recording()?;
    let handle = runtime.block_on(async {
        let prepared = scripted::prepared(Limits::default(), EndCause::Unknown, 64 << 10);
        let (prepared, driver, _) = prepared.await;
        let token = Token::new("t");
        let (handle, session) =
            cellgate::session::start(prepared, session_config(), token, &metrics);
        tokio::spawn(session);
        tokio::spawn(play(driver, answer));
        handle
    });
    Ok((runtime, metrics, handle))
}

async fn play(mut driver: ScriptedDriver, answer: Vec<Answer>) {
    loop {
        let cell = driver.expect(kind::EXECUTE).await;
        for (kind, flags, payload) in &answer {
            driver.send(*kind, *flags, cell, payload).await;
        }
        driver.done(cell, Outcome::Ok).await;
    }
}

fn is_done(message: &[u8]) -> bool {
    message.starts_with(br#"{"type":"done""#)
}

/// A client that does as little as possible, since it is counted too.
struct Client {
    stream: DuplexStream,
    read: BytesMut,
}

impl Client {
    async fn run(&mut self, times: u32) -> Result<()> {
        for _ in 0..times {
            self.execute().await?;
            self.until_done().await?;
        }
        Ok(())
    }

    async fn execute(&mut self) -> Result<()> {
        // FIN and text; masked, with a mask that changes nothing (RFC 6455, section 5.2).
        let mut frame = vec![0x81, 0x80 | EXECUTE.len() as u8, 0, 0, 0, 0];
        frame.extend_from_slice(EXECUTE.as_bytes());
        self.stream.write_all(&frame).await.context("send a cell")
    }

    async fn until_done(&mut self) -> Result<()> {
        loop {
            while let Some((header, payload)) = whole_frame(&self.read) {
                let ended = is_done(&self.read[header..header + payload]);
                self.read.advance(header + payload);
                if ended {
                    return Ok(());
                }
            }
            if self.stream.read_buf(&mut self.read).await? == 0 {
                bail!("the gateway closed the connection");
            }
        }
    }
}

/// Lengths of header and payload of an unmasked frame, if all of it is there.
fn whole_frame(bytes: &[u8]) -> Option<(usize, usize)> {
    let (header, payload) = match bytes.get(1)? & 0x7f {
        126 => (4, u16::from_be_bytes(bytes.get(2..4)?.try_into().ok()?).into()),
        127 => (10, u64::from_be_bytes(bytes.get(2..10)?.try_into().ok()?) as usize),
        length => (2, length.into()),
    };
    (bytes.len() >= header + payload).then_some((header, payload))
}

fn session_config() -> SessionConfig {
    SessionConfig {
        queue: 4,
        window_bytes: 2 << 20,
        log_bytes: 1 << 20,
        log_disk_bytes: 0,
        log_directory: std::env::temp_dir(),
        log_disk_reserve_bytes: 0,
        memory: cellgate::memory::Budget::new(1 << 30),
        message_bytes: 1 << 20,
        detached_output: DetachedOutput::Hold,
        participants: 256,
        detach_timeout: Duration::from_secs(60),
        silence_timeout: Duration::from_secs(300), // everything is slow under callgrind
        idle_timeout: None,
        lifetime: None,
        env: Default::default(),
        key_holder: None,
    }
}

fn socket_config() -> SocketConfig {
    SocketConfig {
        message_bytes: 1 << 20,
        messages_per_second: None,
        ping_interval: Duration::from_secs(3600),
        ping_timeout: Duration::from_secs(60),
        write_timeout: Duration::from_secs(60),
    }
}

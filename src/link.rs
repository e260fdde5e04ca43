//! The gateway's end of the link: frames in, typed events out; the only writer to a driver.
//!
//! ```text
//!   session ── send(DriverCommand) ─► outgoing buffer ─┐
//!                                                      ├─ turn() moves both ways ── stream
//!   session ◄─ turn() -> DriverEvent ◄─ incoming ──────┘
//! ```
//! [`Link::turn`] is the one future: it writes what is waiting and, if it may read, answers the
//! next event. Not being allowed to read is how back-pressure reaches the code in the sandbox:
//! the kernel's buffers fill and its `write` blocks.
//!
//! Whatever comes in is hostile. A frame that breaks the wire ends the link.

use std::future::poll_fn;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, BytesMut};
use cellgate_driver::wire::{self, Setup, WireError, kind};
use tokio_util::io::poll_read_buf;

use crate::memory::{Account, Charge};
use crate::sandbox::Duplex;

mod command;
mod decoder;
mod error;
mod event;
mod transfer;

pub use command::DriverCommand;
pub use decoder::MAX_MESSAGE;
use decoder::{Allowance, Decoder};
pub use error::LinkError;
pub use event::DriverEvent;
pub use transfer::TransferAnswer;

/// A link on which SETUP has been sent.
pub struct Link {
    stream: Box<dyn Duplex>,
    incoming: Decoder,
    outgoing: BytesMut,
    /// What the supervisor could not protect, from its HELLO.
    shortfalls: Vec<String>,
    ended: bool,
    /// Reads that brought something.
    heard: u64,
}

/// The memory of a message that is not whole.
#[derive(Debug)]
struct Held(Charge);

impl Allowance for Held {
    fn hold(&mut self, bytes: usize) -> bool {
        self.0.try_set(bytes).is_ok()
    }
}

impl Link {
    /// Waits for the supervisor's HELLO and answers with `setup`. The caller sets the deadline.
    pub async fn open(stream: Box<dyn Duplex>, setup: &Setup) -> Result<Link, LinkError> {
        let mut link = Link {
            stream,
            incoming: Decoder::default(),
            outgoing: BytesMut::new(),
            shortfalls: Vec::new(),
            ended: false,
            heard: 0,
        };
        let (header, payload) = loop {
            if let Some(frame) = link.incoming.take_frame()? {
                break frame;
            }
            poll_fn(|cx| link.poll_fill(cx)).await?;
        };
        if header.kind != kind::HELLO {
            return Err(LinkError::Unexpected(header.kind));
        }
        let version = payload.first_chunk::<2>().map(|two| u16::from_le_bytes(*two));
        if version != Some(wire::VERSION) {
            return Err(WireError::Payload("a HELLO of this version of the wire").into());
        }
        let lines = String::from_utf8_lossy(&payload[2..]);
        link.shortfalls = lines.lines().map(str::to_owned).collect();
        command::append(&mut link.outgoing, kind::SETUP, 0, &setup.encode());
        poll_fn(|cx| link.poll_write_all(cx)).await?;
        Ok(link)
    }

    /// What the supervisor could not protect, a sentence each.
    pub fn shortfalls(&self) -> &[String] {
        &self.shortfalls
    }

    /// Charges messages that are not whole to `memory`, which may have no room for them: then they
    /// are not kept.
    pub fn charge_to(&mut self, memory: &Account) {
        self.incoming.ask(Box::new(Held(memory.request())));
    }

    /// Puts a command into the outgoing buffer; [`Link::turn`] writes it. The buffer is bounded
    /// by its user: a session has one cell under way and refuses what its queue cannot hold.
    pub fn send(&mut self, command: &DriverCommand) {
        command.append_to(&mut self.outgoing);
    }

    /// Bytes that wait to be written.
    pub fn unsent(&self) -> usize {
        self.outgoing.len()
    }

    /// Writes what waits and answers the next event. With `may_read` false it never answers an
    /// event, only an error. Safe to drop and call again at any point.
    pub async fn turn(&mut self, may_read: bool) -> Result<DriverEvent, LinkError> {
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_write_all(cx) {
                return Poll::Ready(Err(error));
            }
            if !may_read {
                return Poll::Pending;
            }
            loop {
                if let Some(event) = self.incoming.take_event()? {
                    return Poll::Ready(Ok(event));
                }
                if let Err(error) = std::task::ready!(self.poll_fill(cx)) {
                    return Poll::Ready(Err(error));
                }
            }
        })
        .await
    }

    /// Asks for a sign of life, which [`Link::heard`] will count.
    pub fn send_ping(&mut self) {
        command::append(&mut self.outgoing, kind::PING, 0, &[]);
    }

    /// How many reads brought something: one that stands still is a silent driver.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Waits for a sign of life on a link on which no cell was sent; the caller sets the deadline.
    /// Fails if the driver says anything but what is of no cell.
    pub async fn ping(&mut self) -> Result<(), LinkError> {
        let before = self.incoming.pongs;
        self.send_ping();
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_write_all(cx) {
                return Poll::Ready(Err(error));
            }
            loop {
                match self.incoming.take_event()? {
                    Some(event) if event.is_of_no_cell() => continue,
                    // Of what may come at all, it is the interpreter's end that does.
                    Some(_) => return Poll::Ready(Err(LinkError::Unexpected(kind::EXITED))),
                    None if self.incoming.pongs > before => return Poll::Ready(Ok(())),
                    None => std::task::ready!(self.poll_fill(cx))?,
                }
            }
        })
        .await
    }

    /// The next event if it has already been read; never waits.
    pub fn ready_event(&mut self) -> Result<Option<DriverEvent>, LinkError> {
        self.incoming.take_event()
    }

    fn poll_write_all(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        while !self.outgoing.is_empty() {
            let written = Pin::new(&mut *self.stream).poll_write(cx, &self.outgoing);
            match std::task::ready!(written) {
                Ok(0) => return Poll::Ready(Err(LinkError::Closed)),
                Ok(count) => self.outgoing.advance(count),
                // A supervisor that has just ended; what it said last is still to be read.
                Err(error) if error.kind() == io::ErrorKind::BrokenPipe => self.outgoing.clear(),
                Err(error) => return Poll::Ready(Err(error.into())),
            }
        }
        Pin::new(&mut *self.stream).poll_flush(cx).map_err(LinkError::Io)
    }

    fn poll_fill(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), LinkError>> {
        if self.ended {
            return Poll::Ready(Err(LinkError::Closed));
        }
        let (incoming, room) = self.incoming.room();
        let read = poll_read_buf(Pin::new(&mut *self.stream), cx, incoming);
        let count = std::task::ready!(read)?;
        self.incoming.filled(count, room);
        if count == 0 {
            self.ended = true;
            return Poll::Ready(Err(LinkError::Closed));
        }
        self.heard += 1;
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::protocol::event::Stream;
    use bytes::Bytes;
    use cellgate_driver::wire::{Exited, HEADER_BYTES, Header, MAX_PAYLOAD, flag};
    use std::time::Duration;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

    fn frame(kind: u8, flags: u8, cell: u32, payload: &[u8]) -> Vec<u8> {
        let mut out = Header::new(kind, flags, cell, payload).encode().to_vec();
        out.extend_from_slice(payload);
        out
    }

    /// A link over a pipe of `room` bytes, and the driver's end of it after the handshake.
    async fn linked(room: usize) -> (Link, DuplexStream) {
        let (ours, mut theirs) = tokio::io::duplex(room);
        let setup = Setup { language: "python".into(), ..Setup::default() };
        let hello = [&wire::VERSION.to_le_bytes()[..], b"no seccomp\nno cgroup"].concat();
        let driver = async {
            theirs.write_all(&frame(kind::HELLO, 0, 0, &hello)).await.unwrap();
            let mut header = [0; HEADER_BYTES];
            theirs.read_exact(&mut header).await.unwrap();
            let header = Header::decode(&header).unwrap();
            assert_eq!(header.kind, kind::SETUP);
            let mut payload = vec![0; header.length as usize];
            theirs.read_exact(&mut payload).await.unwrap();
            assert_eq!(Setup::decode(&payload).unwrap().language, "python");
        };
        let (link, ()) = tokio::join!(Link::open(Box::new(ours), &setup), driver);
        (link.unwrap(), theirs)
    }

    #[tokio::test]
    async fn frames_survive_a_pipe_of_eight_bytes() {
        let (mut link, mut driver) = linked(8).await;
        assert_eq!(link.shortfalls(), ["no seccomp", "no cgroup"]);
        let say = async {
            driver.write_all(&frame(kind::OUTPUT, 0, 1, b"hello world")).await.unwrap();
            driver.write_all(&frame(kind::MESSAGE, flag::MORE, 1, b"{\"a\":")).await.unwrap();
            driver.write_all(&frame(kind::OUTPUT, flag::STDERR, 1, b"!")).await.unwrap();
            driver.write_all(&frame(kind::MESSAGE, flag::SYNC, 1, b"1}")).await.unwrap();
            driver.write_all(&frame(kind::REPLY, flag::BUSY, 9, b"")).await.unwrap();
        };
        let hear = async {
            let mut events = Vec::new();
            for _ in 0..4 {
                events.push(link.turn(true).await.unwrap());
            }
            events
        };
        let ((), events) = tokio::join!(say, hear);
        let output = |stream, bytes: &'static [u8]| DriverEvent::Output {
            cell: 1,
            stream,
            bytes: Bytes::from_static(bytes),
        };
        assert_eq!(
            events,
            [
                output(Stream::Stdout, b"hello world"),
                output(Stream::Stderr, b"!"),
                DriverEvent::Message { cell: 1, json: Bytes::from_static(b"{\"a\":1}") },
                DriverEvent::Reply { number: 9, json: None },
            ]
        );
    }

    #[tokio::test]
    async fn commands_are_written_while_reading_is_forbidden() {
        let (mut link, mut driver) = linked(64).await;
        driver.write_all(&frame(kind::OUTPUT, 0, 1, b"unread")).await.unwrap();
        link.send(&DriverCommand::Interrupt { cell: 1, grace: Duration::from_millis(250) });
        let mut seen = [0; HEADER_BYTES + 4];
        tokio::select! {
            event = link.turn(false) => panic!("read {event:?}"),
            read = driver.read_exact(&mut seen) => { read.unwrap(); }
        }
        assert_eq!(seen[..], frame(kind::INTERRUPT, 0, 1, &250u32.to_le_bytes())[..]);
        let event = link.turn(true).await.unwrap();
        assert!(matches!(event, DriverEvent::Output { .. }));
    }

    #[tokio::test]
    async fn a_ping_is_answered_or_says_that_the_interpreter_is_gone() {
        let (mut link, mut driver) = linked(1024).await;
        let answer = async {
            let mut seen = [0; HEADER_BYTES];
            driver.read_exact(&mut seen).await.unwrap();
            assert_eq!(seen[..], frame(kind::PING, 0, 0, b"")[..]);
            driver.write_all(&frame(kind::LOG, 0, 0, b"awake")).await.unwrap();
            driver.write_all(&frame(kind::PONG, 0, 0, b"")).await.unwrap();
        };
        let (pinged, ()) = tokio::join!(link.ping(), answer);
        pinged.unwrap();
        let gone = Exited {
            cause: wire::ExitCause::Own,
            signalled: false,
            status: 0,
            memory_limit_bytes: 0,
            usage: wire::CellUsage::default(),
            detail: String::new(),
        };
        driver.write_all(&frame(kind::EXITED, 0, 0, &gone.encode())).await.unwrap();
        assert!(matches!(link.ping().await, Err(LinkError::Unexpected(kind::EXITED))));
    }

    #[tokio::test]
    async fn a_hostile_driver_ends_its_link_and_nothing_else() {
        let whole = vec![b'x'; MAX_PAYLOAD];
        let mut flood = Vec::new();
        for _ in 0..=MAX_MESSAGE / MAX_PAYLOAD {
            flood.extend(frame(kind::MESSAGE, flag::MORE, 1, &whole));
        }
        // Empty, so that they cost their sender nothing, and each the beginning of another message.
        let begun = |cell| frame(kind::MESSAGE, flag::MORE, cell, b"");
        let beginnings: Vec<u8> = (1..=3).flat_map(begun).collect();
        for (name, bytes) in [
            ("a length of 4 GiB", vec![0xff; HEADER_BYTES]),
            ("a gateway's frame", frame(kind::EXECUTE, 0, 1, b"{}")),
            ("an unknown kind", frame(0xee, 0, 1, b"")),
            ("an odd FILE_ANSWER", frame(kind::FILE_ANSWER, 0, 1, b"\xff")),
            ("a short DONE", frame(kind::DONE, 0, 1, b"\0")),
            ("fragments without end", flood),
            ("messages within messages", beginnings),
        ] {
            let (mut link, mut driver) = linked(1 << 20).await;
            let writer = tokio::spawn(async move {
                // The link may close before all is written.
                driver.write_all(&bytes).await.ok();
                driver
            });
            let error = link.turn(true).await.expect_err(name);
            assert!(!matches!(error, LinkError::Closed), "{name}: {error}");
            drop(link);
            writer.await.unwrap();
        }
    }

    #[tokio::test]
    async fn what_came_before_the_close_is_still_heard() {
        let (mut link, mut driver) = linked(1024).await;
        driver.write_all(&frame(kind::OUTPUT, 0, 0, b"last words")).await.unwrap();
        drop(driver);
        link.send(&DriverCommand::Restart);
        assert!(matches!(link.turn(true).await, Ok(DriverEvent::Output { .. })));
        assert!(matches!(link.turn(true).await, Err(LinkError::Closed)));
    }
}

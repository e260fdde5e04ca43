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
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use cellgate_driver::wire::{
    self, Done, Exited, HEADER_BYTES, Header, MAX_PAYLOAD, Setup, Usage, WireError, flag, kind,
};
use tokio_util::io::poll_read_buf;

use crate::protocol::event::Stream;
use crate::sandbox::Duplex;

mod transfer;

pub use transfer::TransferAnswer;

/// Longest message from a driver, fragments joined. 32 MiB: a large plot with room, and the most
/// one hostile sandbox can make the gateway hold.
pub const MAX_MESSAGE: usize = 32 << 20;

/// Room asked for when little comes: an idle session should not hold more.
const QUIET_BYTES: usize = 4 << 10; // 4 KiB

/// Room asked for while reads come back full: two frames, so that a flood takes few system calls.
const FLOOD_BYTES: usize = 2 * (MAX_PAYLOAD + HEADER_BYTES);

/// What a session tells its driver.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverCommand {
    /// Run a cell; the JSON of [`kind::EXECUTE`].
    Execute {
        /// Number of the cell, never 0.
        cell: u32,
        /// Encoded fields.
        json: Vec<u8>,
    },
    /// Stop a cell.
    Interrupt {
        /// Number of the cell.
        cell: u32,
        /// From SIGINT to SIGKILL.
        grace: Duration,
    },
    /// Answer an input request; the JSON of [`kind::INPUT`].
    Input {
        /// Number of the cell.
        cell: u32,
        /// Encoded fields.
        json: Vec<u8>,
    },
    /// Start afresh.
    Restart,
    /// Ask something; the JSON of [`kind::REQUEST`].
    Request {
        /// Number of the question.
        number: u32,
        /// Encoded fields.
        json: Vec<u8>,
    },
    /// A step of a file's transfer.
    File {
        /// Number of the transfer.
        number: u32,
        /// The payload of [`kind::FILE`]: one frame.
        payload: Vec<u8>,
    },
}

/// What a driver tells its session.
#[derive(Clone, Debug, PartialEq)]
pub enum DriverEvent {
    /// A runner is ready; the JSON of [`kind::READY`].
    Ready(Bytes),
    /// Bytes a cell wrote.
    Output {
        /// Number of the cell, 0 for none.
        cell: u32,
        /// Which stream.
        stream: Stream,
        /// After the cell's end.
        late: bool,
        /// At most [`MAX_PAYLOAD`].
        bytes: Bytes,
    },
    /// A rich event; the JSON of [`kind::MESSAGE`].
    Message {
        /// Number of the cell.
        cell: u32,
        /// After the cell's end.
        late: bool,
        /// Encoded fields.
        json: Bytes,
    },
    /// A cell ended, the runner lives.
    Done {
        /// Number of the cell.
        cell: u32,
        /// How, and what it used.
        done: Done,
    },
    /// The runner ended.
    Exited {
        /// Number of the running cell, 0 for none.
        cell: u32,
        /// How, and what the cell used.
        exited: Exited,
    },
    /// What the sandbox uses.
    Usage(Usage),
    /// Answer to a [`DriverCommand::Request`].
    Reply {
        /// Number of the question.
        number: u32,
        /// The encoded answer; `None`: the runner was busy.
        json: Option<Bytes>,
    },
    /// Answer to a [`DriverCommand::File`].
    File {
        /// Number of the transfer.
        number: u32,
        /// The answer.
        answer: TransferAnswer,
    },
    /// For the operator's log.
    Log(String),
}

impl DriverEvent {
    /// Whether a healthy driver may say this while no cell was ever sent.
    pub fn is_of_no_cell(&self) -> bool {
        matches!(
            self,
            DriverEvent::Output { cell: 0, .. } | DriverEvent::Usage(_) | DriverEvent::Log(_)
        )
    }
}

/// Why a link is of no use any more.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// The driver closed it: the sandbox is gone.
    #[error("the driver closed the link")]
    Closed,
    /// The stream failed.
    #[error("the link's stream failed")]
    Io(#[from] io::Error),
    /// The driver broke the wire's rules.
    #[error("the driver broke the wire's rules")]
    Wire(#[from] WireError),
    /// A frame that has no place here.
    #[error("the driver sent a frame of kind {0:#04x}, which has no place here")]
    Unexpected(u8),
    /// A message in fragments has another one inside.
    #[error("the driver began a message before the one before it was whole")]
    Interleaved,
    /// A message beyond [`MAX_MESSAGE`].
    #[error("the driver sent a message of more than {MAX_MESSAGE} bytes")]
    TooLong,
}

/// A message that is not whole.
struct Partial {
    kind: u8,
    cell: u32,
    bytes: BytesMut,
}

/// A link on which SETUP has been sent.
pub struct Link {
    stream: Box<dyn Duplex>,
    incoming: BytesMut,
    outgoing: BytesMut,
    /// The beginning of a message: one at most, and at most [`MAX_MESSAGE`] long.
    partial: Option<Partial>,
    /// What the supervisor could not protect, from its HELLO.
    shortfalls: Vec<String>,
    /// The last read filled its room.
    flood: bool,
    ended: bool,
    /// PONG frames so far.
    pongs: u64,
    /// Reads that brought something.
    heard: u64,
}

impl Link {
    /// Waits for the supervisor's HELLO and answers with `setup`. The caller sets the deadline.
    pub async fn open(stream: Box<dyn Duplex>, setup: &Setup) -> Result<Link, LinkError> {
        let mut link = Link {
            stream,
            incoming: BytesMut::new(),
            outgoing: BytesMut::new(),
            partial: None,
            shortfalls: Vec::new(),
            flood: false,
            ended: false,
            pongs: 0,
            heard: 0,
        };
        let (header, payload) = loop {
            if let Some(frame) = link.take_frame()? {
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
        link.append(kind::SETUP, 0, &setup.encode());
        poll_fn(|cx| link.poll_write_all(cx)).await?;
        Ok(link)
    }

    /// What the supervisor could not protect, a sentence each.
    pub fn shortfalls(&self) -> &[String] {
        &self.shortfalls
    }

    /// Puts a command into the outgoing buffer; [`Link::turn`] writes it. The buffer is bounded
    /// by its user: a session has one cell under way and refuses what its queue cannot hold.
    pub fn send(&mut self, command: &DriverCommand) {
        match command {
            DriverCommand::Execute { cell, json } => self.append(kind::EXECUTE, *cell, json),
            DriverCommand::Interrupt { cell, grace } => {
                let grace = u32::try_from(grace.as_millis()).unwrap_or(u32::MAX);
                self.append(kind::INTERRUPT, *cell, &grace.to_le_bytes());
            }
            DriverCommand::Input { cell, json } => self.append(kind::INPUT, *cell, json),
            DriverCommand::Restart => self.append(kind::RESTART, 0, &[]),
            DriverCommand::Request { number, json } => self.append(kind::REQUEST, *number, json),
            DriverCommand::File { number, payload } => self.append(kind::FILE, *number, payload),
        }
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
                if let Some(event) = self.take_event()? {
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
        self.append(kind::PING, 0, &[]);
    }

    /// How many reads brought something: one that stands still is a silent driver.
    pub fn heard(&self) -> u64 {
        self.heard
    }

    /// Waits for a sign of life on a link on which no cell was sent; the caller sets the deadline.
    /// Fails if the driver says anything but what is of no cell.
    pub async fn ping(&mut self) -> Result<(), LinkError> {
        let before = self.pongs;
        self.send_ping();
        poll_fn(|cx| {
            if let Poll::Ready(Err(error)) = self.poll_write_all(cx) {
                return Poll::Ready(Err(error));
            }
            loop {
                match self.take_event()? {
                    Some(event) if event.is_of_no_cell() => continue,
                    // Of what may come at all, it is the interpreter's end that does.
                    Some(_) => return Poll::Ready(Err(LinkError::Unexpected(kind::EXITED))),
                    None if self.pongs > before => return Poll::Ready(Ok(())),
                    None => std::task::ready!(self.poll_fill(cx))?,
                }
            }
        })
        .await
    }

    /// The next event if it has already been read; never waits.
    pub fn ready_event(&mut self) -> Result<Option<DriverEvent>, LinkError> {
        self.take_event()
    }

    fn append(&mut self, kind: u8, cell: u32, payload: &[u8]) {
        let mut frames = Vec::with_capacity(payload.len() + HEADER_BYTES);
        wire::append_message(&mut frames, kind, 0, cell, payload);
        self.outgoing.extend_from_slice(&frames);
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
        if self.incoming.capacity() - self.incoming.len() < HEADER_BYTES + 1 || self.flood {
            self.incoming.reserve(if self.flood { FLOOD_BYTES } else { QUIET_BYTES });
        }
        let room = self.incoming.capacity() - self.incoming.len();
        let read = poll_read_buf(Pin::new(&mut *self.stream), cx, &mut self.incoming);
        let count = std::task::ready!(read)?;
        self.flood = count == room || count >= MAX_PAYLOAD / 2;
        if count == 0 {
            self.ended = true;
            return Poll::Ready(Err(LinkError::Closed));
        }
        self.heard += 1;
        Poll::Ready(Ok(()))
    }

    fn take_frame(&mut self) -> Result<Option<(Header, Bytes)>, LinkError> {
        let Some(head) = self.incoming.first_chunk::<HEADER_BYTES>() else { return Ok(None) };
        let header = Header::decode(head)?;
        let whole = HEADER_BYTES + header.length as usize;
        if self.incoming.len() < whole {
            let missing = whole - self.incoming.len();
            if self.incoming.capacity() - self.incoming.len() < missing {
                self.incoming.reserve(missing);
            }
            return Ok(None);
        }
        self.incoming.advance(HEADER_BYTES);
        Ok(Some((header, self.incoming.split_to(header.length as usize).freeze())))
    }

    /// Joins fragments; `None` while the message is not whole.
    fn join(&mut self, header: Header, payload: Bytes) -> Result<Option<Bytes>, LinkError> {
        let Header { kind, flags, cell, .. } = header;
        let begun = match self.partial.take() {
            Some(partial) if (partial.kind, partial.cell) != (kind, cell) => {
                return Err(LinkError::Interleaved);
            }
            begun => begun,
        };
        let whole = flags & flag::MORE == 0;
        let mut bytes = match begun {
            None if whole => return Ok(Some(payload)),
            None => BytesMut::new(),
            Some(partial) => partial.bytes,
        };
        if bytes.len() + payload.len() > MAX_MESSAGE {
            return Err(LinkError::TooLong);
        }
        bytes.extend_from_slice(&payload);
        if whole {
            return Ok(Some(bytes.freeze()));
        }
        self.partial = Some(Partial { kind, cell, bytes });
        Ok(None)
    }

    fn take_event(&mut self) -> Result<Option<DriverEvent>, LinkError> {
        while let Some((header, payload)) = self.take_frame()? {
            let cell = header.cell;
            let late = header.flags & flag::LATE != 0;
            let event = match header.kind {
                kind::OUTPUT => {
                    let stderr = header.flags & flag::STDERR != 0;
                    let stream = if stderr { Stream::Stderr } else { Stream::Stdout };
                    DriverEvent::Output { cell, stream, late, bytes: payload }
                }
                kind::MESSAGE => match self.join(header, payload)? {
                    Some(json) => DriverEvent::Message { cell, late, json },
                    None => continue,
                },
                kind::READY => match self.join(header, payload)? {
                    Some(json) => DriverEvent::Ready(json),
                    None => continue,
                },
                kind::REPLY if header.flags & flag::BUSY != 0 => {
                    DriverEvent::Reply { number: cell, json: None }
                }
                kind::REPLY => match self.join(header, payload)? {
                    Some(json) => DriverEvent::Reply { number: cell, json: Some(json) },
                    None => continue,
                },
                kind::DONE => DriverEvent::Done { cell, done: Done::decode(&payload)? },
                kind::EXITED => {
                    // What the dead runner had begun to say will never be whole.
                    self.partial = None;
                    DriverEvent::Exited { cell, exited: Exited::decode(&payload)? }
                }
                kind::USAGE => DriverEvent::Usage(Usage::decode(&payload)?),
                kind::LOG => DriverEvent::Log(String::from_utf8_lossy(&payload).into_owned()),
                kind::FILE_ANSWER => {
                    DriverEvent::File { number: cell, answer: TransferAnswer::read(&payload)? }
                }
                kind::PONG => {
                    self.pongs += 1;
                    continue;
                }
                other => return Err(LinkError::Unexpected(other)),
            };
            return Ok(Some(event));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
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
            late: false,
            bytes: Bytes::from_static(bytes),
        };
        assert_eq!(
            events,
            [
                output(Stream::Stdout, b"hello world"),
                output(Stream::Stderr, b"!"),
                DriverEvent::Message {
                    cell: 1,
                    late: false,
                    json: Bytes::from_static(b"{\"a\":1}")
                },
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

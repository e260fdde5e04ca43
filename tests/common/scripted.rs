//! A driver that says what a test tells it to, at the far end of a real link.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use super::switch::{KillSwitch, Switched};
use cellgate::id::SessionId;
use cellgate::language;
use cellgate::link::Link;
use cellgate::pool::Prepared;
use cellgate::protocol::reply::LanguageInfo;
use cellgate::sandbox::{BackendKind, EndCause, SandboxHandle};
use cellgate::template::{Limits, PoolSize, Template};
use cellgate_driver::wire::{self, HEADER_BYTES, Header, Setup, kind};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

/// The driver's end of the link.
pub(crate) struct ScriptedDriver {
    pub(crate) stream: DuplexStream,
}

/// Whether the sandbox was ended.
pub(crate) type Ended = Arc<AtomicBool>;

/// Power over a sandbox that is none.
pub(crate) struct FakeHandle {
    pub(crate) cause: EndCause,
    pub(crate) ended: Ended,
}

impl SandboxHandle for FakeHandle {
    fn ended(&mut self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        std::future::ready(self.cause.clone()).boxed()
    }

    fn end(self: Box<Self>) -> BoxFuture<'static, ()> {
        async move { drop(self) }.boxed()
    }
}

impl Drop for FakeHandle {
    fn drop(&mut self) {
        self.ended.store(true, Ordering::SeqCst);
    }
}

/// A template with these limits.
pub(crate) fn template(limits: Limits) -> Template {
    Template {
        image: "none".into(),
        limits,
        pool: PoolSize::OFF,
        ..Template::new("python", language::DEFAULT)
    }
}

/// A prepared sandbox whose driver is the test. The pipe between them holds `room` bytes.
pub(crate) async fn prepared(
    limits: Limits,
    cause: EndCause,
    room: usize,
) -> (Prepared, ScriptedDriver, Ended) {
    let (prepared, driver, ended, _) = breakable(limits, cause, room).await;
    (prepared, driver, ended)
}

/// The same, with what breaks the link.
pub(crate) async fn breakable(
    limits: Limits,
    cause: EndCause,
    room: usize,
) -> (Prepared, ScriptedDriver, Ended, KillSwitch) {
    let (ours, theirs) = tokio::io::duplex(room);
    let (ours, switch) = Switched::new(ours);
    let mut driver = ScriptedDriver { stream: theirs };
    let greet = async {
        driver.send(kind::HELLO, 0, 0, &wire::VERSION.to_le_bytes()).await;
        let (header, _) = driver.receive().await;
        assert_eq!(header.kind, kind::SETUP);
    };
    let setup = Setup::default();
    let (link, ()) = tokio::join!(Link::open(Box::new(ours), &setup), greet);
    let ended = Ended::default();
    let prepared = Prepared {
        id: SessionId::random().unwrap(),
        template: Arc::new(template(limits)),
        backend: BackendKind::Local,
        link: link.unwrap(),
        handle: Box::new(FakeHandle { cause, ended: Arc::clone(&ended) }),
        language: LanguageInfo { name: "python".into(), version: "3.11.2".into(), shell: None },
        startable: Arc::default(),
    };
    (prepared, driver, ended, switch)
}

/// A frame's bytes.
pub(crate) fn frame(kind: u8, flags: u8, cell: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = Header::new(kind, flags, cell, payload).encode().to_vec();
    frame.extend_from_slice(payload);
    frame
}

/// The payload of a DONE.
pub(crate) fn done(outcome: wire::Outcome) -> Vec<u8> {
    let usage = wire::CellUsage { duration_us: 1500, ..Default::default() };
    wire::Done { outcome, memory_kills: 0, usage }.encode().to_vec()
}

impl ScriptedDriver {
    /// Writes one frame.
    pub(crate) async fn send(&mut self, kind: u8, flags: u8, cell: u32, payload: &[u8]) {
        self.stream.write_all(&frame(kind, flags, cell, payload)).await.unwrap();
    }

    /// Reads one frame.
    pub(crate) async fn receive(&mut self) -> (Header, Vec<u8>) {
        let mut header = [0; HEADER_BYTES];
        self.stream.read_exact(&mut header).await.unwrap();
        let header = Header::decode(&header).unwrap();
        let mut payload = vec![0; header.length as usize];
        self.stream.read_exact(&mut payload).await.unwrap();
        (header, payload)
    }

    /// Reads a frame of this kind and answers its cell.
    pub(crate) async fn expect(&mut self, kind: u8) -> u32 {
        let (header, _) = self.receive().await;
        assert_eq!(header.kind, kind, "a frame of kind {kind:#04x}");
        header.cell
    }

    /// Ends a cell.
    pub(crate) async fn done(&mut self, cell: u32, outcome: wire::Outcome) {
        self.send(kind::DONE, 0, cell, &done(outcome)).await;
    }
}

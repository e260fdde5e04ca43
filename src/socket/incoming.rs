//! Counts what a client has sent of a message that is not whole yet.
//!
//! The WebSocket keeps the fragments until the last one has come, for which a client may take as
//! long as it likes. So they are charged as they come in, and a client for whom there is no room is
//! disconnected.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::memory::{Account, Charge, Exhausted};

/// Header of a client's control frame: two bytes and the mask (RFC 6455 §5.2).
const CONTROL_HEADER_BYTES: usize = 6;

/// A byte stream of a WebSocket.
#[derive(Debug)]
pub struct Incoming<S> {
    stream: S,
    /// `None`: the client has joined no session yet, and the handshake is bounded otherwise.
    partial: Option<Arc<Partial>>,
}

/// What has been read since the last message was whole.
#[derive(Debug)]
pub struct Partial {
    memory: Account,
    charge: Mutex<Charge>,
}

impl<S> Incoming<S> {
    /// Nothing is charged yet.
    pub fn new(stream: S) -> Incoming<S> {
        Incoming { stream, partial: None }
    }

    /// The byte stream itself.
    pub fn get_ref(&self) -> &S {
        &self.stream
    }

    /// Charges what is read from now on.
    pub fn charge_to(&mut self, memory: &Account) -> Arc<Partial> {
        let charge = Mutex::new(memory.request());
        let partial = Arc::new(Partial { memory: memory.clone(), charge });
        self.partial = Some(Arc::clone(&partial));
        partial
    }

    /// Whether reading failed because there was no room.
    pub(super) fn is_refusal(error: &io::Error) -> bool {
        error.get_ref().is_some_and(|cause| cause.is::<Exhausted>())
    }
}

impl Partial {
    /// The message is whole: what is charged for it goes with it.
    pub(super) fn take(&self) -> Charge {
        let mut charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        std::mem::replace(&mut *charge, self.memory.request())
    }

    /// A control frame with a payload of `bytes` was among what was read, and is no part of a
    /// message.
    pub(super) fn subtract_control(&self, bytes: usize) {
        let mut charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        let rest = charge.bytes().saturating_sub(CONTROL_HEADER_BYTES + bytes);
        charge.set(rest);
    }

    fn add(&self, bytes: usize) -> Result<(), Exhausted> {
        let mut charge = self.charge.lock().unwrap_or_else(PoisonError::into_inner);
        let all = charge.bytes() + bytes;
        charge.try_receive(all)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Incoming<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        std::task::ready!(Pin::new(&mut self.stream).poll_read(cx, buffer))?;
        let count = buffer.filled().len() - before;
        Poll::Ready(match &self.partial {
            Some(partial) if count > 0 => partial.add(count).map_err(io::Error::other),
            _ => Ok(()),
        })
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Incoming<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buffer)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

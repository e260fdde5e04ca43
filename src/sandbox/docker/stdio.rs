//! The link over a container's attached stdin and stdout.
//!
//! For sandboxes that share no file system or no kernel with the gateway. The engine frames the two
//! output streams (stream u8 · zero [3] · length u32 big endian · bytes); stdout is the link,
//! stderr goes to the operator's log. Nothing is read ahead: bytes that the gateway does not read
//! stay in the engine, whose pipes fill until the driver waits.
//!
//! An attachment that is open and not read makes the engine wait when the container is ended. So
//! the sandbox's handle shares the attachment and closes it before it ends the container.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};

use bollard::container::{AttachContainerResults, LogOutput};
use bytes::{Buf, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Bytes of a driver's stderr that reach the log; the rest is dropped. A driver that fails writes a
/// line or two; more would let a sandbox fill the disk with log.
const STDERR_BYTES: usize = 16 << 10;

/// Shared between the link and the handle. The lock is held for one poll and never across an await.
type SharedState = Arc<Mutex<State>>;

struct State {
    /// `None` once closed.
    attached: Option<AttachContainerResults>,
    /// Bytes received from the engine that the link's reader has not taken yet.
    rest: Bytes,
    /// Bytes of stderr that may still be logged.
    stderr_left: usize,
    /// The tasks that wait, to be woken when the attachment is closed.
    reader: Option<Waker>,
    writer: Option<Waker>,
}

/// The link's end in the gateway.
pub(super) struct StdioLink {
    shared: SharedState,
    container: String,
}

/// Closes the link's attachment; does nothing if it is closed already.
#[derive(Clone)]
pub(super) struct AttachCloser(SharedState);

/// Makes a link of an attachment made before the container was started.
pub(super) fn link(attached: AttachContainerResults, container: &str) -> (StdioLink, AttachCloser) {
    let shared = Arc::new(Mutex::new(State {
        attached: Some(attached),
        rest: Bytes::new(),
        stderr_left: STDERR_BYTES,
        reader: None,
        writer: None,
    }));
    let link = StdioLink { shared: shared.clone(), container: container.to_owned() };
    (link, AttachCloser(shared))
}

impl AttachCloser {
    /// Closes the attachment. The link then reads as ended.
    pub(super) fn close(&self) {
        let mut state = lock(&self.0);
        let attached = state.attached.take();
        let wakers = [state.reader.take(), state.writer.take()];
        drop(state);
        drop(attached);
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Drop for StdioLink {
    /// The engine then closes the driver's stdin, and the driver ends with it (dead-man switch).
    fn drop(&mut self) {
        AttachCloser(self.shared.clone()).close();
    }
}

/// A poisoned lock is taken all the same: no state here is half changed when a poll panics.
fn lock(shared: &SharedState) -> MutexGuard<'_, State> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl AsyncRead for StdioLink {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut state = lock(&self.shared);
        loop {
            if !state.rest.is_empty() {
                let length = state.rest.len().min(buffer.remaining());
                buffer.put_slice(&state.rest[..length]);
                state.rest.advance(length);
                return Poll::Ready(Ok(()));
            }
            let Some(attached) = state.attached.as_mut() else { return Poll::Ready(Ok(())) };
            let Poll::Ready(next) = attached.output.as_mut().poll_next(context) else {
                state.reader = Some(context.waker().clone());
                return Poll::Pending;
            };
            match next {
                Some(Ok(LogOutput::StdOut { message })) => state.rest = message,
                Some(Ok(LogOutput::StdErr { message })) => state.log(&message, &self.container),
                // Only a terminal or a broken engine sends these; they cannot be the link's bytes.
                Some(Ok(LogOutput::Console { .. } | LogOutput::StdIn { .. })) => {
                    return Poll::Ready(Err(io::Error::new(
                        io::ErrorKind::InvalidData,
                        "the engine's attach stream is not framed",
                    )));
                }
                Some(Err(error)) => return Poll::Ready(Err(io::Error::other(error))),
                None => return Poll::Ready(Ok(())),
            }
        }
    }
}

impl State {
    fn log(&mut self, message: &[u8], container: &str) {
        let shown = &message[..message.len().min(self.stderr_left)];
        self.stderr_left -= shown.len();
        for line in String::from_utf8_lossy(shown).lines().filter(|line| !line.is_empty()) {
            tracing::warn!(container, "the driver says on stderr: {line:?}");
        }
    }

    /// Polls the attachment's input; a closed one gives a broken pipe.
    fn write<T>(
        &mut self,
        context: &mut Context<'_>,
        poll: impl FnOnce(Pin<&mut (dyn AsyncWrite + Send)>, &mut Context<'_>) -> Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        let Some(attached) = self.attached.as_mut() else {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        };
        let polled = poll(attached.input.as_mut(), context);
        if polled.is_pending() {
            self.writer = Some(context.waker().clone());
        }
        polled
    }
}

impl AsyncWrite for StdioLink {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        lock(&self.shared).write(context, |input, context| input.poll_write(context, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        lock(&self.shared).write(context, |input, context| input.poll_flush(context))
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let closed = ready!(
            lock(&self.shared).write(context, |input, context| input.poll_shutdown(context))
        );
        Poll::Ready(match closed {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()), // closed already
            other => other,
        })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::StreamExt;
    use futures::stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    fn attachment(output: Vec<LogOutput>) -> (AttachContainerResults, tokio::io::DuplexStream) {
        let (near, far) = tokio::io::duplex(8);
        let output = stream::iter(output.into_iter().map(Ok)).chain(stream::pending());
        (AttachContainerResults { output: Box::pin(output), input: Box::pin(near) }, far)
    }

    fn out(text: &'static str) -> LogOutput {
        LogOutput::StdOut { message: Bytes::from_static(text.as_bytes()) }
    }

    #[tokio::test]
    async fn stdout_is_the_link_and_stderr_is_not() {
        let noise = LogOutput::StdErr { message: Bytes::from(vec![b'x'; STDERR_BYTES * 2]) };
        let (attached, mut far) = attachment(vec![out("he"), noise, out("llo")]);
        let (mut link, _closer) = link(attached, "c");
        let mut text = [0; 5];
        link.read_exact(&mut text).await.unwrap();
        assert_eq!(&text, b"hello");
        link.write_all(b"ping").await.unwrap();
        let mut there = [0; 4];
        far.read_exact(&mut there).await.unwrap();
        assert_eq!(&there, b"ping");
    }

    #[tokio::test(start_paused = true)]
    async fn closing_wakes_a_reader_and_a_writer_that_wait() {
        let (attached, _far) = attachment(vec![]);
        let (link, closer) = link(attached, "c");
        let (mut reading, mut writing) = tokio::io::split(link);
        let reader = tokio::spawn(async move { reading.read(&mut [0; 1]).await });
        let writer = tokio::spawn(async move { writing.write_all(&[0; 64]).await });
        tokio::task::yield_now().await;
        closer.close();
        let limit = Duration::from_secs(5);
        assert_eq!(tokio::time::timeout(limit, reader).await.unwrap().unwrap().unwrap(), 0);
        let error = tokio::time::timeout(limit, writer).await.unwrap().unwrap().unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }

    #[tokio::test]
    async fn a_stream_that_is_not_framed_is_an_error() {
        let console = LogOutput::Console { message: Bytes::from_static(b"?") };
        let (attached, _far) = attachment(vec![console]);
        let (mut link, _closer) = link(attached, "c");
        let error = link.read(&mut [0; 1]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}

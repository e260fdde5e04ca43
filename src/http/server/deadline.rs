//! A connection whose peer has to take what it is sent.
//!
//! hyper waits for ever for a peer that does not read. Such a connection holds its place among the
//! `connections` there may be, and what waits for it holds memory; neither needs a token.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::{Instant, Sleep, sleep_until};

/// What a peer has to take within the deadline, in bytes. Without this least step a peer could hold
/// a connection for hours by taking a byte every few seconds.
const STEP_BYTES: usize = 64 << 10; // 64 KiB: 2 KiB/s at the default deadline of 30 s

/// A TCP connection that fails with [`io::ErrorKind::TimedOut`] once its peer has taken less than
/// [`STEP_BYTES`] of waiting data for `limit`.
pub(in crate::http) struct WriteDeadline {
    stream: TcpStream,
    limit: Duration,
    /// Set while written data waits for the peer.
    stalled: Option<Stalled>,
}

/// What is known of a peer that data waits for.
struct Stalled {
    deadline: Pin<Box<Sleep>>,
    /// Bytes it has taken since the deadline was set.
    taken: usize,
}

impl WriteDeadline {
    pub(super) fn new(stream: TcpStream, limit: Duration) -> WriteDeadline {
        WriteDeadline { stream, limit, stalled: None }
    }

    /// The bare connection, for an upgraded protocol that has deadlines of its own.
    pub(in crate::http) fn into_inner(self) -> TcpStream {
        self.stream
    }

    /// Counts what one write brought about.
    fn judge(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<usize>>,
    ) -> Poll<io::Result<usize>> {
        match written {
            Poll::Ready(Ok(count)) => {
                if let Some(stalled) = &mut self.stalled {
                    stalled.taken += count;
                    if stalled.taken >= STEP_BYTES {
                        self.stalled = None;
                    }
                }
                Poll::Ready(Ok(count))
            }
            Poll::Ready(Err(error)) => Poll::Ready(Err(error)),
            Poll::Pending => {
                let limit = self.limit;
                let stalled = self.stalled.get_or_insert_with(|| Stalled {
                    deadline: Box::pin(sleep_until(Instant::now() + limit)),
                    taken: 0,
                });
                stalled.deadline.as_mut().poll(cx).map(|()| {
                    // What the kernel still has of it is dropped with the connection: a peer that
                    // does not read would not take it. If it cannot be, the kernel's time-out does.
                    self.stream.set_zero_linger().ok();
                    Err(io::Error::new(
                        io::ErrorKind::TimedOut,
                        format!("the peer took less than {STEP_BYTES} bytes in {limit:?}"),
                    ))
                })
            }
        }
    }
}

impl AsyncRead for WriteDeadline {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl AsyncWrite for WriteDeadline {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, buffer);
        self.judge(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, buffers);
        self.judge(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The server flushes when nothing is left to be written: nothing waits for the peer.
        self.stalled = None;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    async fn pair(limit: Duration) -> (WriteDeadline, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        (WriteDeadline::new(listener.accept().await.unwrap().0, limit), peer)
    }

    async fn send_all(mut connection: WriteDeadline, bytes: usize) -> io::Result<()> {
        connection.write_all(&vec![0; bytes]).await?;
        connection.flush().await
    }

    #[tokio::test]
    async fn a_peer_that_takes_nothing_or_crumbs_is_cut_off() {
        for crumbs in [0, 1] {
            let (connection, mut peer) = pair(Duration::from_millis(300)).await;
            let reading = tokio::spawn(async move {
                let mut buffer = [0; 1];
                while crumbs > 0 && peer.read(&mut buffer).await.is_ok_and(|count| count > 0) {
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                std::future::pending::<()>().await;
                drop(peer);
            });
            // More than the kernel buffers on both sides.
            let error = send_all(connection, 64 << 20).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut, "{crumbs} bytes at a time: {error}");
            reading.abort();
        }
    }

    #[tokio::test]
    async fn a_peer_that_reads_on_may_take_longer_than_the_limit_in_all() {
        let limit = Duration::from_millis(400);
        let (connection, mut peer) = pair(limit).await;
        let reading = tokio::spawn(async move {
            let mut buffer = vec![0; 512 << 10];
            let (mut total, began) = (0, Instant::now());
            while total < 32 << 20 {
                tokio::time::sleep(Duration::from_millis(20)).await;
                total += peer.read(&mut buffer).await.unwrap();
            }
            began.elapsed()
        });
        send_all(connection, 32 << 20).await.unwrap();
        assert!(reading.await.unwrap() > limit);
    }
}

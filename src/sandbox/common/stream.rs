//! The stream to a supervisor over a Unix socket, without needless wake-ups.
//!
//! The kernel reports a Unix socket as writable whenever its other end has read. A socket
//! registered for both directions, as tokio's is, therefore wakes its task for every command that
//! the supervisor reads. This one is registered for writing only while the kernel has no room.

use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use rustix::net::SendFlags;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::unix::pipe;

/// The gateway's end of a link.
#[derive(Debug)]
pub(in crate::sandbox) struct LinkStream {
    /// Registered for reading only. That it is no pipe makes no difference to what is read.
    receiver: pipe::Receiver,
    /// Registered for writing, while the kernel takes nothing.
    blocked: Option<pipe::Sender>,
}

impl LinkStream {
    /// Takes a connected socket over. Fails outside of a runtime, and when descriptors run out.
    pub(in crate::sandbox) fn new(socket: UnixStream) -> io::Result<LinkStream> {
        socket.set_nonblocking(true)?;
        let receiver = pipe::Receiver::from_owned_fd_unchecked(OwnedFd::from(socket))?;
        Ok(LinkStream { receiver, blocked: None })
    }
}

impl AsyncRead for LinkStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.receiver).poll_read(cx, buffer)
    }
}

impl AsyncWrite for LinkStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.blocked.is_none() {
            match rustix::net::send(&self.receiver, bytes, SendFlags::NOSIGNAL) {
                Err(rustix::io::Errno::AGAIN) => {
                    let copy = self.receiver.as_fd().try_clone_to_owned()?;
                    self.blocked = Some(pipe::Sender::from_owned_fd_unchecked(copy)?);
                }
                sent => return Poll::Ready(sent.map_err(io::Error::from)),
            }
        }
        let Some(sender) = &mut self.blocked else { return Poll::Ready(Ok(0)) };
        let written = ready!(Pin::new(sender).poll_write(cx, bytes));
        self.blocked = None;
        Poll::Ready(written)
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(())) // nothing is held here
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(
            rustix::net::shutdown(&self.receiver, rustix::net::Shutdown::Write)
                .map_err(io::Error::from),
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    #[tokio::test]
    async fn it_carries_more_than_the_kernel_holds_both_ways() {
        const LENGTH: usize = 4 << 20; // 4 MiB
        let (near, far) = UnixStream::pair().unwrap();
        let mut link = LinkStream::new(near).unwrap();
        far.set_nonblocking(true).unwrap();
        let mut far = tokio::net::UnixStream::from_std(far).unwrap();
        let echo = tokio::spawn(async move {
            let mut seen = vec![0; LENGTH];
            far.read_exact(&mut seen).await.unwrap();
            far.write_all(&seen).await.unwrap();
        });
        let sent: Vec<u8> = (0..LENGTH).map(|at| (at % 251) as u8).collect();
        link.write_all(&sent).await.unwrap();
        assert!(link.blocked.is_none());
        let mut back = vec![0; LENGTH];
        link.read_exact(&mut back).await.unwrap();
        assert!(back == sent);
        echo.await.unwrap();
        assert_eq!(link.read(&mut back).await.unwrap(), 0, "the other end is closed");
        let error = link.write(b"x").await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::BrokenPipe);
    }
}

//! A link that can be broken in every way a real one breaks: it goes dead without a close, takes no
//! more bytes, ends in the middle of a frame, fails.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, DuplexStream, ReadBuf};

/// What becomes of what the gateway writes.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Writing {
    /// It arrives.
    Open,
    /// It is taken and goes nowhere, as by the buffers of a network that is gone.
    Swallowed,
    /// None of it is taken.
    Stuck,
}

/// What the gateway gets to read.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Reading {
    /// What the driver writes.
    Open,
    /// Nothing, and no end.
    Silent,
    /// So many bytes more, and then the end.
    Ends(usize),
    /// So many bytes more, and then nothing, and no end.
    FallsSilent(usize),
    /// An error.
    Fails,
}

#[derive(Debug)]
struct State {
    writing: Writing,
    reading: Reading,
    /// Of whoever found nothing to do; woken by every change.
    wakers: Vec<Waker>,
}

/// Breaks a link.
#[derive(Clone, Debug)]
pub(crate) struct KillSwitch(Arc<Mutex<State>>);

/// The gateway's end of a pipe that can be broken.
#[derive(Debug)]
pub(crate) struct Switched {
    pipe: DuplexStream,
    switch: KillSwitch,
}

impl Switched {
    /// A link that works, and what breaks it.
    pub(crate) fn new(pipe: DuplexStream) -> (Switched, KillSwitch) {
        let (writing, reading) = (Writing::Open, Reading::Open);
        let state = State { writing, reading, wakers: Vec::new() };
        let switch = KillSwitch(Arc::new(Mutex::new(state)));
        (Switched { pipe, switch: switch.clone() }, switch)
    }
}

impl KillSwitch {
    /// Half open: nothing comes, what is sent goes nowhere, and nobody is told.
    pub(crate) fn go_dead(&self) {
        self.set(Writing::Swallowed, Reading::Silent);
    }

    /// No more bytes are taken; what the driver says still comes.
    pub(crate) fn take_nothing(&self) {
        self.set(Writing::Stuck, Reading::Open);
    }

    /// Ends when so many more bytes have come, wherever in a frame that is.
    pub(crate) fn end_after(&self, bytes: usize) {
        self.set(Writing::Open, Reading::Ends(bytes));
    }

    /// Falls silent when so many more bytes have come, wherever in a frame that is.
    pub(crate) fn fall_silent_after(&self, bytes: usize) {
        self.set(Writing::Open, Reading::FallsSilent(bytes));
    }

    /// Fails, as a connection does that is reset.
    pub(crate) fn fail(&self) {
        self.set(Writing::Open, Reading::Fails);
    }

    fn set(&self, writing: Writing, reading: Reading) {
        let mut state = self.0.lock().unwrap();
        (state.writing, state.reading) = (writing, reading);
        state.wakers.drain(..).for_each(Waker::wake);
    }

    fn wait<T>(&self, cx: &Context<'_>) -> Poll<T> {
        self.0.lock().unwrap().wakers.push(cx.waker().clone());
        Poll::Pending
    }

    /// Lets a reader be told of a change, as well as of what its pipe tells.
    fn watch(&self, cx: &Context<'_>) {
        let wakers = &mut self.0.lock().unwrap().wakers;
        if !wakers.iter().any(|waker| waker.will_wake(cx.waker())) {
            wakers.push(cx.waker().clone());
        }
    }
}

impl AsyncRead for Switched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.switch.watch(cx);
        let reading = self.switch.0.lock().unwrap().reading;
        let most = match reading {
            Reading::Open => return Pin::new(&mut self.pipe).poll_read(cx, buffer),
            Reading::Silent | Reading::FallsSilent(0) => return self.switch.wait(cx),
            Reading::Ends(0) => return Poll::Ready(Ok(())),
            Reading::Fails => return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into())),
            Reading::Ends(left) | Reading::FallsSilent(left) => left,
        };
        let mut bytes = vec![0; most.min(buffer.remaining())];
        let mut part = ReadBuf::new(&mut bytes);
        std::task::ready!(Pin::new(&mut self.pipe).poll_read(cx, &mut part))?;
        buffer.put_slice(part.filled());
        let left = most - part.filled().len();
        self.switch.0.lock().unwrap().reading = match reading {
            Reading::Ends(_) => Reading::Ends(left),
            _ => Reading::FallsSilent(left),
        };
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Switched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let writing = self.switch.0.lock().unwrap().writing;
        match writing {
            Writing::Open => Pin::new(&mut self.pipe).poll_write(cx, bytes),
            Writing::Swallowed => Poll::Ready(Ok(bytes.len())),
            Writing::Stuck => self.switch.wait(cx),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.pipe).poll_shutdown(cx)
    }
}

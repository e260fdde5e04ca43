//! The body of a request that is answered before all of it was read.
//!
//! Many clients send all of a request before they look at the answer. If the connection is closed
//! meanwhile they see an error of the connection and never the answer, such as that the file is too
//! large. So a body that the handler does not read is read and thrown away, for a while.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

/// Most that is thrown away of one body, in bytes: some times the largest upload by default.
const DISCARDED_BYTES: usize = 256 << 20; // 256 MiB

/// A request's body, whose rest is discarded when it is dropped.
pub(super) struct Unread {
    /// `None` once it has been given away.
    body: Option<Incoming>,
    /// The client waits for leave to send it (RFC 9110 §10.1.1), which reading it would give.
    waits: bool,
    /// Owns the task that discards.
    tasks: TaskTracker,
    /// How long it may take.
    limit: Duration,
}

impl Unread {
    pub(super) fn new(body: Incoming, waits: bool, tasks: TaskTracker, limit: Duration) -> Unread {
        Unread { body: Some(body), waits, tasks, limit }
    }
}

impl Body for Unread {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        self.waits = false;
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Unread {
    fn drop(&mut self) {
        let Some(body) = self.body.take().filter(|body| !body.is_end_stream()) else { return };
        if self.waits {
            return;
        }
        let limit = self.limit;
        self.tasks.spawn(async move {
            let mut rest = Limited::new(body, DISCARDED_BYTES);
            // However it ends, the connection does with it what is right.
            timeout(limit, async { while let Some(Ok(_)) = rest.frame().await {} }).await.ok();
        });
    }
}

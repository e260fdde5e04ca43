//! The front door itself: accepts connections, at most so many, and gives each to hyper in a task
//! of its own. Who does not send the head of its request in time, or does not take the response, is
//! disconnected.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt;

use super::clients::{Clients, ConnectionSlot, Peer};
use crate::metrics::{self, Metrics};

mod deadline;
mod unread;

pub(super) use deadline::WriteDeadline;
use unread::Unread;

/// What the settings say about the server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Connections at one time, WebSockets included. Who comes then waits in the kernel's queue.
    pub connections: usize,
    /// For a request's head to come whole, also for the first after connecting: an idle connection
    /// ends after it too.
    pub header_timeout: Duration,
}

impl Default for ServerConfig {
    fn default() -> ServerConfig {
        ServerConfig { connections: 10_000, header_timeout: Duration::from_secs(10) }
    }
}

/// How much longer than `write_timeout` the kernel waits for a peer that takes nothing: for the
/// words that a WebSocket is closed with.
const KERNEL_PATIENCE: Duration = Duration::from_secs(10);

/// What a connection reads ahead at most, and the longest head of a request, in bytes. hyper's own
/// bound is six times as much, which a crowd that uploads would hold.
const BUFFER_BYTES: usize = 64 << 10; // 64 KiB

/// Until connections are accepted again after the process ran out of descriptors or memory.
const RESPITE: Duration = Duration::from_secs(1);

/// Serves until `closed` is cancelled and every request that was begun is answered.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    clients: Arc<Clients>,
    config: ServerConfig,
    write_timeout: Duration,
    metrics: Metrics,
    closed: CancellationToken,
) {
    let places = Arc::new(Semaphore::new(config.connections));
    let connections = TaskTracker::new();
    let patience = write_timeout + KERNEL_PATIENCE;
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(config.header_timeout);
    http.max_buf_size(BUFFER_BYTES);
    loop {
        let accepted = tokio::select! {
            () = closed.cancelled() => break,
            accepted = accept(&listener, &places, &clients, &metrics, patience) => accepted,
        };
        let Some((stream, peer)) = accepted else { continue };
        let stream = TokioIo::new(WriteDeadline::new(stream, write_timeout));
        let answer = service(&router, peer, &connections, write_timeout);
        let connection = http.serve_connection(stream, answer);
        let closed = closed.clone();
        connections.spawn(async move {
            let mut connection = pin!(connection.with_upgrades());
            let ended = tokio::select! {
                ended = connection.as_mut() => ended,
                () = closed.cancelled() => {
                    connection.as_mut().graceful_shutdown();
                    connection.await
                }
            };
            if let Err(error) = ended {
                // The peer's doing: it left half-way, was too slow, or does not speak HTTP.
                tracing::debug!(error = %crate::error::Chain(&error), "a connection failed");
            }
        });
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

/// The next connection; `None`: it came to nothing.
async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
    clients: &Clients,
    metrics: &Metrics,
    patience: Duration,
) -> Option<(TcpStream, Peer)> {
    // Never closed, so there is always a permit to come.
    let permit = Arc::clone(places).acquire_owned().await.ok()?;
    let (stream, address) = match listener.accept().await {
        Ok(accepted) => accepted,
        Err(error) if is_of_the_peer(&error) => return None,
        Err(error) => {
            tracing::error!(%error, "cannot accept connections for a second");
            tokio::time::sleep(RESPITE).await;
            return None;
        }
    };
    let address = address.ip();
    let Ok(share) = clients.connect(address) else {
        metrics.count(&metrics::CONNECTIONS_REFUSED, &[]);
        tracing::debug!(%address, "too many connections of one address");
        return None;
    };
    // A cell's output is many small frames that people wait for. If it cannot be set, they come
    // a little later.
    stream.set_nodelay(true).ok();
    // A peer that takes nothing costs the kernel's send buffer too, also after we have closed.
    // Where it cannot be set, the kernel's own time-outs free it, some minutes later.
    let patience = u32::try_from(patience.as_millis()).unwrap_or(u32::MAX);
    rustix::net::sockopt::set_tcp_user_timeout(&stream, patience).ok();
    let place = ConnectionSlot { _share: share, _permit: Arc::new(permit) };
    Some((stream, Peer { address, place }))
}

/// Errors of `accept` that are one connection's and no reason to stop (accept(2)).
fn is_of_the_peer(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// The routes, told who is at the other end.
fn service(
    router: &Router,
    peer: Peer,
    tasks: &TaskTracker,
    limit: Duration,
) -> impl hyper::service::Service<
    hyper::Request<Incoming>,
    Response = axum::response::Response,
    Error = std::convert::Infallible,
    Future: Send,
> + Send
+ 'static {
    let (router, tasks) = (router.clone(), tasks.clone());
    service_fn(move |mut request: hyper::Request<Incoming>| {
        request.extensions_mut().insert(peer.clone());
        let waits = request.headers().contains_key(http::header::EXPECT);
        let body = |body| Body::new(Unread::new(body, waits, tasks.clone(), limit));
        router.clone().oneshot(request.map(body))
    })
}

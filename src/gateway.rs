//! The composition: settings in, a serving gateway out. Knows every part; no part knows it.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::admission::Admission;
use crate::config::{Config, DEFAULT_TEMPLATE};
use crate::http::{self, AppState, Clients, Idempotency, Mcp, Page, ServerConfig};
use crate::id::Token;
use crate::mcp::Door;
use crate::memory;
use crate::metrics::{BuildError, Metrics};
use crate::registry::Registry;
use crate::sandbox::Backend;

mod descriptors;
mod warnings;

/// For sockets to say goodbye once their sessions are over.
const FAREWELL: Duration = Duration::from_secs(5);

/// From one tidying of what grows with time to the next.
const UPKEEP: Duration = Duration::from_secs(5);

/// A gateway that holds its address and is about to serve.
pub struct Gateway {
    listener: TcpListener,
    app: Arc<AppState>,
    server: ServerConfig,
    drain_timeout: Duration,
    random_token: bool,
}

/// Why a gateway cannot serve.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The address is taken, not ours, or not allowed.
    #[error("cannot listen on {address}; choose another with --listen")]
    Listen {
        /// What was tried.
        address: SocketAddr,
        /// What the system said.
        #[source]
        cause: io::Error,
    },
    /// The kernel gives no randomness for the token.
    #[error("cannot make a token")]
    Random(#[from] getrandom::Error),
    /// The metrics' buckets are not as they have to be.
    #[error("cannot set up the metrics")]
    Metrics(#[from] BuildError),
    /// The description of the routes cannot be encoded.
    #[error("cannot describe the routes")]
    Describe(#[from] serde_json::Error),
}

impl Gateway {
    /// Takes the address; nothing is served yet.
    pub async fn bind(config: Config, backend: Arc<dyn Backend>) -> Result<Gateway, GatewayError> {
        let address = config.listen.address;
        let listener = TcpListener::bind(address)
            .await
            .map_err(|cause| GatewayError::Listen { address, cause })?;
        let registry_config = config.registry();
        let offer = config.offer(&*backend);
        for warning in
            warnings::of_tokens(&config.access).into_iter().chain(warnings::of_keys(&config.keys))
        {
            tracing::warn!("{warning}");
        }
        let random_token = config.makes_token();
        let mut tokens = Vec::from_iter(config.access.token);
        tokens.extend(config.access.more_tokens);
        if random_token {
            tokens.push(Token::random()?);
        }
        let templates = config.templates.iter();
        let parked: usize = templates.map(|template| template.pool.max).sum();
        let mut server = config.server;
        let sandboxes = config.registry.sessions + parked;
        server.connections = descriptors::connections(server.connections, sandboxes);
        let metrics = Metrics::recording()?;
        let requests = registry_config.session.memory.account();
        let registry = Registry::new(backend, config.templates, registry_config, metrics.clone());
        let default_template = DEFAULT_TEMPLATE.to_owned();
        let page = Page::new(&config.access.allow_embed, &config.keys);
        let admission =
            Admission::new(Arc::clone(&registry), tokens, config.keys, default_template);
        let admission = Arc::new(admission);
        let door = Door::new(Arc::clone(&admission), offer);
        let app = AppState {
            mcp: Mcp::new(door, config.socket.message_bytes),
            requests,
            clients: Arc::new(Clients::new(config.clients)),
            admission,
            registry,
            metrics,
            metrics_public: config.access.metrics_public,
            access: config.access.names,
            page,
            socket: config.socket,
            upload_bytes: config.listen.upload_bytes,
            idempotency: Idempotency::default(),
            connections: TaskTracker::new(),
        };
        let drain_timeout = config.listen.drain_timeout;
        Ok(Gateway { listener, app: Arc::new(app), server, drain_timeout, random_token })
    }

    /// The address it holds; with port 0 in the settings, the port the kernel chose.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where to point a browser. Carries the token only if it is a random one: one that the
    /// operator chose is not for the terminal's scroll-back.
    pub fn url(&self) -> io::Result<String> {
        let mut address = self.address()?;
        if address.ip().is_unspecified() {
            // Not an address a browser can go to; this machine is.
            address.set_ip(match address {
                SocketAddr::V4(_) => std::net::Ipv4Addr::LOCALHOST.into(),
                SocketAddr::V6(_) => std::net::Ipv6Addr::LOCALHOST.into(),
            });
        }
        Ok(match self.app.admission.first_token() {
            // After `#`, so that it stays out of requests, proxies' logs and referrers.
            Some(token) if self.random_token => {
                format!("http://{address}/#token={}", token.reveal())
            }
            _ => format!("http://{address}/"),
        })
    }

    /// Serves until `stop` is cancelled, then lets running cells finish until the drain timeout,
    /// and returns when nothing is left.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), GatewayError> {
        let closed = CancellationToken::new();
        let router = http::router(Arc::clone(&self.app))?;
        let clients = Arc::clone(&self.app.clients);
        let metrics = self.app.metrics.clone();
        let write_timeout = self.app.socket.write_timeout;
        let server = http::serve(
            self.listener,
            router,
            clients,
            self.server,
            write_timeout,
            metrics,
            closed.clone(),
        );
        let upkeep = closed.run_until_cancelled(upkeep(&self.app));
        let drain = async {
            stop.cancelled().await;
            tracing::info!("shutting down");
            // Requests are still served meanwhile: /readyz has to say that the gateway drains.
            self.app.registry.shutdown(self.drain_timeout).await;
            self.app.mcp.close();
            self.app.connections.close();
            // A socket that does not take its farewell is dropped with the process.
            tokio::time::timeout(FAREWELL, self.app.connections.wait()).await.ok();
            closed.cancel();
        };
        let all = async { tokio::join!(server, upkeep) };
        tokio::pin!(all);
        tokio::select! {
            // The server goes on until it is told to close, which is after the drain.
            _ = &mut all => {}
            () = drain => {
                // Nor is a client waited for that asked for a long answer and does not read it.
                tokio::time::timeout(FAREWELL, all).await.ok();
            }
        }
        Ok(())
    }
}

/// Every five seconds, forgets what is not needed any more and gives free memory back. Never ends.
async fn upkeep(app: &AppState) {
    let mut most = 0;
    let mut halved = false;
    loop {
        tokio::time::sleep(UPKEEP).await;
        app.clients.forget_idle();
        app.metrics.tidy();
        // Free pages are given back when half of the sessions and sockets have left, not each time:
        // the next ones use them again, which costs less than to ask the system. And once more the
        // time after, as the last to leave may still have been ending.
        let present = app.registry.len() + app.connections.len();
        most = most.max(present);
        let again = halved;
        halved = present < most && present <= most / 2;
        if halved {
            most = present;
        }
        if halved || again {
            let began = Instant::now();
            tokio::task::spawn_blocking(memory::give_back).await.ok();
            tracing::debug!(took = ?began.elapsed(), "gave free memory back to the system");
        }
    }
}

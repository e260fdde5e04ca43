#![allow(dead_code)] // each program uses its own part
//! Another way to the local engine, with a cable to cut: a TCP port of the loopback, which makes it
//! a remote engine, or a Unix socket, which leaves it an engine of this machine.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Closes everything when it is dropped.
pub(crate) struct Proxy {
    address: String,
    cable: CancellationToken,
    /// Where the socket is.
    _directory: Option<TempDir>,
}

impl Proxy {
    /// Carries connections of a TCP port to the socket `to`.
    pub(crate) async fn open(to: &str) -> Proxy {
        let listener = Arc::new(TcpListener::bind("127.0.0.1:0").await.unwrap());
        let address = format!("tcp://{}", listener.local_addr().unwrap());
        let accept = move || {
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.map(|(stream, _)| stream) }
        };
        Proxy { address, cable: carry(accept, to), _directory: None }
    }

    /// Carries connections of a Unix socket to the socket `to`.
    async fn open_here(to: &str) -> Proxy {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("engine.sock");
        let listener = Arc::new(UnixListener::bind(&path).unwrap());
        let address = format!("unix://{}", path.display());
        let accept = move || {
            let listener = Arc::clone(&listener);
            async move { listener.accept().await.map(|(stream, _)| stream) }
        };
        Proxy { address, cable: carry(accept, to), _directory: Some(directory) }
    }

    /// A remote engine in a thread of its own, for tests that block theirs.
    pub(crate) fn apart(to: &'static str) -> Proxy {
        Proxy::in_thread(async || Proxy::open(to).await)
    }

    /// The same for an engine of this machine.
    pub(crate) fn apart_here(to: &'static str) -> Proxy {
        Proxy::in_thread(async || Proxy::open_here(to).await)
    }

    fn in_thread(open: impl AsyncFnOnce() -> Proxy + Send + 'static) -> Proxy {
        let (tell, opened) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let proxy = open().await;
                let cable = proxy.cable.clone();
                tell.send(proxy).unwrap();
                cable.cancelled().await;
            });
        });
        opened.recv().unwrap()
    }

    /// For `DOCKER_HOST`.
    pub(crate) fn address(&self) -> String {
        self.address.clone()
    }

    /// Closes every connection and accepts no more.
    pub(crate) fn cut(&self) {
        self.cable.cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Carries what is accepted to the socket `to`, in tasks that end when the cable is cut.
fn carry<F, S>(accept: impl Fn() -> F + Send + Sync + 'static, to: &str) -> CancellationToken
where
    F: Future<Output = io::Result<S>> + Send,
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (cable, to) = (CancellationToken::new(), PathBuf::from(to));
    let inner = cable.clone();
    tokio::spawn(cable.clone().run_until_cancelled_owned(async move {
        while let Ok(mut near) = accept().await {
            let (to, cable) = (to.clone(), inner.clone());
            tokio::spawn(cable.run_until_cancelled_owned(async move {
                let Ok(mut far) = UnixStream::connect(to).await else { return };
                // Either side may end it at any time.
                let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
            }));
        }
    }));
    cable
}

#![allow(dead_code)] // each program uses its own part
//! A remote engine: the local one behind a TCP port of the loopback, with a cable to cut.

use std::path::PathBuf;

use tokio::net::{TcpListener, UnixStream};
use tokio_util::sync::CancellationToken;

/// Closes everything when it is dropped.
pub(crate) struct Proxy {
    port: u16,
    cable: CancellationToken,
}

impl Proxy {
    /// Carries connections to the socket `to`.
    pub(crate) async fn open(to: &str) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (cable, to) = (CancellationToken::new(), PathBuf::from(to));
        let inner = cable.clone();
        tokio::spawn(cable.clone().run_until_cancelled_owned(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (to, cable) = (to.clone(), inner.clone());
                tokio::spawn(cable.run_until_cancelled_owned(async move {
                    let Ok(mut far) = UnixStream::connect(to).await else { return };
                    // Either side may end it at any time.
                    let _ = tokio::io::copy_bidirectional(&mut near, &mut far).await;
                }));
            }
        }));
        Proxy { port, cable }
    }

    /// The same in a thread of its own, for tests that block theirs.
    pub(crate) fn apart(to: &'static str) -> Proxy {
        let (tell, opened) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
            runtime.unwrap().block_on(async {
                let proxy = Proxy::open(to).await;
                let cable = proxy.cable.clone();
                tell.send(proxy).unwrap();
                cable.cancelled().await;
            });
        });
        opened.recv().unwrap()
    }

    /// For `DOCKER_HOST`.
    pub(crate) fn address(&self) -> String {
        format!("tcp://127.0.0.1:{}", self.port)
    }

    /// Cuts every connection and takes no more.
    pub(crate) fn cut(&self) {
        self.cable.cancel();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.cut();
    }
}

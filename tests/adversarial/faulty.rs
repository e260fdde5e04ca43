//! A proxy in front of the engine's socket that has faults.
//!
//! ```text
//!   gateway ── connection for each request ──► Faulty ──► the engine
//!                                                └── a fault for the calls it is meant for
//! ```
//! It works in a thread of its own: a test that starts a gateway blocks its runtime until that
//! serves, and the gateway asks the engine before.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::timeout;

use crate::common::backend::DOCKER_SOCKET;

/// What a call meets.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Fault {
    /// This status, with a message as the engine's.
    Answers(u16, &'static str),
    /// These bytes, and then the end.
    Says(&'static str),
    /// What the engine answers, up to so many bytes of it.
    Cut(usize),
    /// Nothing, ever.
    Hangs,
    /// The end of the connection.
    Closes,
    /// What the engine answers, after this time.
    Slow(Duration),
}

/// Which calls meet it: method, what their path has, and how many of them; 0 for all.
pub(crate) type Trouble = (&'static str, &'static str, u32, Fault);

/// A running proxy. Dropping it ends it and its socket.
pub(crate) struct Faulty {
    directory: TempDir,
    trouble: Arc<Mutex<Option<Trouble>>>,
    /// Ends the thread's runtime when it is dropped.
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Faulty {
    /// Passes everything on, until [`Faulty::meet`].
    pub(crate) fn start() -> Faulty {
        let directory = tempfile::Builder::new().prefix("cellgate-faulty-").tempdir().unwrap();
        let trouble = Arc::new(Mutex::new(None));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let (path, shared) = (directory.path().join("sock"), Arc::clone(&trouble));
        let (ready, begun) = std::sync::mpsc::sync_channel(1);
        std::thread::spawn(move || {
            crate::common::suite::runtime().block_on(async {
                let listener = UnixListener::bind(path).unwrap();
                ready.send(()).unwrap();
                tokio::select! {
                    _ = stopped => {} // the test is over
                    () = serve(listener, shared) => {}
                }
            });
        });
        begun.recv().unwrap();
        Faulty { directory, trouble, _stop: stop }
    }

    /// What `--docker-host` takes.
    pub(crate) fn host(&self) -> String {
        format!("unix://{}", self.socket().display())
    }

    /// From now on, such calls meet this; others are passed on.
    pub(crate) fn meet(&self, trouble: Trouble) {
        *self.trouble.lock().unwrap() = Some(trouble);
    }

    /// From now on, all is well.
    pub(crate) fn mend(&self) {
        *self.trouble.lock().unwrap() = None;
    }

    fn socket(&self) -> PathBuf {
        self.directory.path().join("sock")
    }
}

async fn serve(listener: UnixListener, trouble: Arc<Mutex<Option<Trouble>>>) {
    loop {
        let (client, _) = listener.accept().await.unwrap();
        let trouble = Arc::clone(&trouble);
        // Its errors are those of whoever is at its ends.
        tokio::spawn(async move { pass_on(client, &trouble).await.ok() });
    }
}

async fn pass_on(mut client: UnixStream, trouble: &Mutex<Option<Trouble>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await?);
    }
    let mut head = String::from_utf8_lossy(&head).into_owned();
    let fault = fault_of(&head, trouble);
    // One request a connection, so that each is looked at; what is attached stays.
    if !head.to_ascii_lowercase().contains("\nupgrade:") {
        let end = head.len() - "\r\n".len();
        head.insert_str(end, "Connection: close\r\n");
    }
    match fault {
        Some(Fault::Answers(status, message)) => {
            let body = format!(r#"{{"message":"{message}"}}"#);
            let answer = format!(
                "HTTP/1.1 {status} Trouble\r\nContent-Type: application/json\r\nContent-Length: \
                 {}\r\nConnection: close\r\n\r\n{body}",
                body.len()
            );
            return client.write_all(answer.as_bytes()).await;
        }
        Some(Fault::Says(text)) => return client.write_all(text.as_bytes()).await,
        Some(Fault::Closes) => return Ok(()),
        Some(Fault::Hangs) => {
            // Until the gateway gives up.
            let mut rest = Vec::new();
            client.read_to_end(&mut rest).await?;
            return Ok(());
        }
        Some(Fault::Slow(time)) => drop(timeout(time, std::future::pending::<()>()).await),
        Some(Fault::Cut(_)) | None => {}
    }
    let mut engine = UnixStream::connect(DOCKER_SOCKET).await?;
    engine.write_all(head.as_bytes()).await?;
    if let Some(Fault::Cut(most)) = fault {
        let (mut from, mut to) = engine.into_split();
        let (mut asking, mut answering) = client.into_split();
        let request = tokio::spawn(async move { tokio::io::copy(&mut asking, &mut to).await });
        let mut answer = Vec::new();
        (&mut from).take(most as u64).read_to_end(&mut answer).await?;
        answering.write_all(&answer).await?;
        request.abort();
        return Ok(());
    }
    copy_bidirectional(&mut client, &mut engine).await?;
    Ok(())
}

/// The fault that a request meets.
fn fault_of(head: &str, trouble: &Mutex<Option<Trouble>>) -> Option<Fault> {
    let mut trouble = trouble.lock().unwrap();
    let (method, part, left, fault) = trouble.as_mut()?;
    let line = head.lines().next()?;
    if !line.starts_with(*method) || !line.contains(*part) {
        return None;
    }
    let fault = *fault;
    match left {
        0 => {}
        1 => *trouble = None,
        more => *more -= 1,
    }
    Some(fault)
}

//! The gateway's side of a link, as little of it as these tests need.

use std::sync::Arc;
use std::time::Duration;

use cellgate::id::SessionId;
use cellgate::language;
use cellgate::sandbox::local::LocalBackend;
use cellgate::sandbox::{Backend, Duplex, Sandbox, SandboxHandle, SandboxSpec};
use cellgate::template::{PoolSize, Template};
use cellgate_driver::wire::{self, Exited, HEADER_BYTES, Header, kind};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

/// A template whose every choice is the default.
pub(crate) fn template() -> Template {
    Template {
        image: String::new(),
        env: vec![("GIVEN".into(), "1".into())],
        pool: PoolSize::OFF,
        shell: Some("plain"), // whatever the interpreter has
        ..Template::new("python", language::DEFAULT)
    }
}

pub(crate) fn spec(template: Template) -> SandboxSpec {
    SandboxSpec { session: SessionId::random().unwrap(), template: Arc::new(template) }
}

/// A session with a sandbox of its own.
pub(crate) struct Client {
    pub(crate) session: String,
    pub(crate) to_ready: Duration,
    pub(crate) to_hello: Duration,
    link: Option<Box<dyn Duplex>>,
    handle: Option<Box<dyn SandboxHandle>>,
    cells: u32,
}

/// How one cell went.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) output: String,
    pub(crate) signal: Option<i32>,
}

pub(crate) async fn open(backend: &LocalBackend) -> Client {
    open_with(backend, template()).await
}

pub(crate) async fn open_with(backend: &LocalBackend, template: Template) -> Client {
    let spec = spec(template);
    let started = std::time::Instant::now();
    let Sandbox { link, setup, handle, .. } = backend.create(&spec).await.unwrap_or_else(|error| {
        panic!("{error}: {:?}", std::error::Error::source(&error).map(ToString::to_string))
    });
    let mut client = Client {
        session: spec.session.to_string(),
        to_ready: Duration::ZERO,
        to_hello: Duration::ZERO,
        link: Some(link),
        handle: Some(handle),
        cells: 0,
    };
    let (hello, payload) = client.frame().await;
    client.to_hello = started.elapsed();
    assert_eq!((hello.kind, &payload[..2]), (kind::HELLO, &wire::VERSION.to_le_bytes()[..]));
    client.send(kind::SETUP, 0, &setup.encode()).await;
    loop {
        let (header, payload) = client.frame().await;
        match header.kind {
            kind::READY => break,
            kind::LOG | kind::OUTPUT => eprintln!("{}", String::from_utf8_lossy(&payload)),
            other => panic!("{other:#x} before READY: {}", String::from_utf8_lossy(&payload)),
        }
    }
    client.to_ready = started.elapsed();
    client
}

impl Client {
    async fn frame(&mut self) -> (Header, Vec<u8>) {
        let link = self.link.as_mut().expect("the link is open");
        let reading = async {
            let mut head = [0; HEADER_BYTES];
            link.read_exact(&mut head).await.expect("the link has another frame");
            let header = Header::decode(&head).unwrap();
            let mut payload = vec![0; header.length as usize];
            link.read_exact(&mut payload).await.unwrap();
            (header, payload)
        };
        tokio::time::timeout(super::PATIENCE, reading).await.expect("a frame in time")
    }

    async fn send(&mut self, kind: u8, cell: u32, payload: &[u8]) {
        let mut bytes = Vec::new();
        wire::append_message(&mut bytes, kind, 0, cell, payload);
        self.link.as_mut().expect("the link is open").write_all(&bytes).await.unwrap();
    }

    /// Runs a cell to its end.
    pub(crate) async fn execute(&mut self, code: &str) -> Run {
        self.cells += 1;
        let cell = self.cells;
        let body = serde_json::json!({
            "code": code, "execution_count": cell, "silent": false, "allow_input": false
        });
        self.send(kind::EXECUTE, cell, body.to_string().as_bytes()).await;
        let (mut output, mut signal) = (Vec::new(), None);
        loop {
            let (header, payload) = self.frame().await;
            match header.kind {
                kind::OUTPUT | kind::MESSAGE => output.extend_from_slice(&payload),
                kind::DONE => break,
                kind::EXITED => {
                    let exited = Exited::decode(&payload).unwrap();
                    signal = exited.signalled.then_some(exited.status);
                    break;
                }
                kind::LOG => eprintln!("{}", String::from_utf8_lossy(&payload)),
                _ => {}
            }
        }
        Run { output: String::from_utf8_lossy(&output).into_owned(), signal }
    }

    /// Runs a cell that prints one line of JSON.
    pub(crate) async fn json(&mut self, code: &str) -> serde_json::Value {
        let run = self.execute(code).await;
        let line = run.output.lines().last().unwrap_or_default();
        serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {run:?}"))
    }

    pub(crate) fn handle(&mut self) -> &mut dyn SandboxHandle {
        self.handle.as_mut().expect("the handle is held").as_mut()
    }

    pub(crate) fn close_link(&mut self) {
        self.link = None;
    }

    /// The pid outside of the sandbox's first process: the child of ours that is in another pid
    /// namespace and has our end's peer; found by its cgroup or, without one, as the newest.
    pub(crate) fn first_process(&self) -> i32 {
        let own = std::process::id().to_string();
        let mut found = Vec::new();
        for entry in std::fs::read_dir("/proc").unwrap().flatten() {
            let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
            let Ok(status) = std::fs::read_to_string(entry.path().join("status")) else { continue };
            let field = |name: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(name));
                line.map(|rest| rest.split_whitespace().map(str::to_owned).collect::<Vec<_>>())
            };
            let first =
                field("NSpid:").is_some_and(|all| all.len() > 1 && all.last().unwrap() == "1");
            if first && field("PPid:").is_some_and(|all| all[0] == own) {
                let cgroup =
                    std::fs::read_to_string(entry.path().join("cgroup")).unwrap_or_default();
                found.push((cgroup.contains(&self.session), pid));
            }
        }
        found.sort_unstable();
        found.last().expect("the sandbox has a first process").1
    }

    pub(crate) async fn end(mut self) {
        let handle = self.handle.take().expect("the handle is held");
        tokio::time::timeout(super::PATIENCE, handle.end()).await.expect("an end in time");
    }
}

/// Whether a process exists, be it a zombie.
pub(crate) fn is_alive(pid: i32) -> bool {
    std::path::Path::new(&format!("/proc/{pid}")).exists()
}

/// Sends SIGKILL.
pub(crate) fn kill(pid: i32) {
    signal(pid, rustix::process::Signal::KILL);
}

pub(crate) fn signal(pid: i32, signal: rustix::process::Signal) {
    let pid = rustix::process::Pid::from_raw(pid).unwrap();
    rustix::process::kill_process(pid, signal).unwrap();
}

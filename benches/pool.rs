//! From a visitor's first packet to `ready`: from the pool, without one, and a hundred at once.
//!
//! ```text
//!   cargo bench --bench pool
//! ```
//! Starts the gateway built beside it with local sandboxes on this machine. Each visitor opens a
//! TCP connection, a WebSocket, and reads the first message; the clock runs over all of that. As a
//! floor the same is measured for `GET /healthz`: a connection and an answer without a sandbox.
#![allow(clippy::unwrap_used)] // a figure that cannot be taken is no figure

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use futures::StreamExt;
use futures::future::join_all;
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

/// Visitors who come one after the other.
const SEQUENTIAL: usize = 300;

/// Visitors who come in one moment.
const CROWD: usize = 100;

/// An interpreter that sandboxes can see: not a shim below somebody's home.
const PYTHON: &str = "/usr/bin/python3";

struct Gateway {
    child: Child,
    address: SocketAddr,
    _runtime: tempfile::TempDir,
}

impl Gateway {
    fn start(flags: &[&str]) -> Gateway {
        let runtime = tempfile::tempdir().unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_cellgate"));
        command
            .args(["serve", "--listen", "127.0.0.1:0", "--backend", "local", "--log", "warn"])
            .args(["--python", PYTHON, "--insecure-no-token", "--sessions", "1000"])
            .arg("--runtime-dir")
            .arg(runtime.path())
            .args(flags)
            .stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let at = line.find("http://").unwrap() + "http://".len();
        let address = line[at..].split('/').next().unwrap().parse().unwrap();
        Gateway { child, address, _runtime: runtime }
    }

    async fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).await.unwrap();
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }

    /// Waits until the pool is as full as it wants to be.
    async fn is_stocked(&self) {
        loop {
            let answer = self.get("/readyz").await;
            let line = answer.lines().find(|line| line.starts_with("pool python")).unwrap();
            let words: Vec<&str> = line.split([' ', ',']).collect();
            if words[2] == words[5] && line.contains(" 0 being made") {
                return;
            }
            tokio::task::yield_now().await;
        }
    }

    async fn visit(&self) -> (Duration, WebSocketStream<TcpStream>) {
        let began = Instant::now();
        let stream = TcpStream::connect(self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let url = format!("ws://{}/ws", self.address);
        let (mut socket, _) = client_async(url, stream).await.unwrap();
        let message = socket.next().await.unwrap().unwrap();
        let took = began.elapsed();
        let Message::Text(text) = message else { panic!("{message:?} instead of `ready`") };
        let ready: Value = serde_json::from_str(&text).unwrap();
        assert_eq!(ready["type"], "ready", "{text}");
        (took, socket)
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        // It may have ended already; then there is nothing to end.
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).ok();
        self.child.wait().ok();
    }
}

async fn end(mut socket: WebSocketStream<TcpStream>) {
    use futures::SinkExt;
    // The gateway closes once the session is over.
    socket.send(Message::text(r#"{"type":"end"}"#)).await.ok();
    while let Some(Ok(_)) = socket.next().await {}
}

struct Figures(Vec<Duration>);

impl Figures {
    fn quantile(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort();
        let at = ((sorted.len() as f64 * share).ceil() as usize).clamp(1, sorted.len()) - 1;
        sorted[at].as_secs_f64() * 1000.0
    }

    fn print(&self, what: &str, floor: &Figures) {
        println!(
            "{what:<44} n={:<4} p50 {:>8.2} ms  p99 {:>8.2} ms  most {:>8.2} ms  p50/floor {:>6.1}",
            self.0.len(),
            self.quantile(0.5),
            self.quantile(0.99),
            self.quantile(1.0),
            self.quantile(0.5) / floor.quantile(0.5),
        );
    }
}

async fn floor(gateway: &Gateway) -> Figures {
    let mut figures = Vec::new();
    for _ in 0..SEQUENTIAL {
        let began = Instant::now();
        gateway.get("/healthz").await;
        figures.push(began.elapsed());
    }
    Figures(figures)
}

async fn sequential(gateway: &Gateway, visitors: usize, stocked: bool) -> Figures {
    let mut figures = Vec::new();
    for _ in 0..visitors {
        if stocked {
            gateway.is_stocked().await;
        }
        let (took, socket) = gateway.visit().await;
        figures.push(took);
        end(socket).await;
    }
    Figures(figures)
}

async fn crowd(gateway: &Gateway) -> (Figures, Duration) {
    let began = Instant::now();
    let seats = join_all((0..CROWD).map(|_| gateway.visit())).await;
    let all = began.elapsed();
    let (figures, sockets): (Vec<_>, Vec<_>) = seats.into_iter().unzip();
    join_all(sockets.into_iter().map(end)).await;
    (Figures(figures), all)
}

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let pooled = Gateway::start(&["--pool-min", "8", "--pool-max", "8"]);
    let floor = floor(&pooled).await;
    floor.print("connection and answer (the floor)", &floor);
    let from_pool = sequential(&pooled, SEQUENTIAL, true).await;
    from_pool.print("connection to ready, from the pool", &floor);
    drop(pooled);
    let bare = Gateway::start(&["--pool-max", "0"]);
    let made = sequential(&bare, 100, false).await;
    made.print("connection to ready, made when wanted", &floor);
    let (figures, all) = crowd(&bare).await;
    figures.print("a hundred at once, none parked", &floor);
    println!("  all {CROWD} ready after {:.2} s", all.as_secs_f64());
    drop(bare);
    for parked in ["8", "100"] {
        let gateway = Gateway::start(&["--pool-min", parked, "--pool-max", parked]);
        gateway.is_stocked().await;
        let (figures, all) = crowd(&gateway).await;
        figures.print(&format!("a hundred at once, {parked} parked"), &floor);
        println!("  all {CROWD} ready after {:.2} s", all.as_secs_f64());
    }
}

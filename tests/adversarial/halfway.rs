//! Clients that stop half-way and are gone: what they began is undone.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::client::{Client, DEADLINE};
use crate::common::gateway::Gateway;
use crate::common::http::{self, RawSocket, frame};
use crate::common::suite::{Stage, rows};

/// How far a client gets.
enum Says {
    /// Part of a request; `{host}`, `{token}` and `{session}` stand for the gateway's.
    Request(&'static str),
    /// A request, and it waits for the first of the answer.
    Asks(&'static str),
    /// Part of what follows a WebSocket's handshake and `ready`.
    Frames(Vec<u8>),
}
use Says::{Asks, Frames, Request};

/// How it goes away.
#[derive(Clone, Copy)]
enum Parting {
    /// Its side is closed, the other is still read (FIN).
    Closes,
    /// Neither sends nor reads any more (RST).
    Vanishes,
}
use Parting::{Closes, Vanishes};

const HEAD: &str = "HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token}\r\n";

rows![leaves:
    half_a_request_line "nothing" => (Request("GET /ws?tok"), Vanishes),
    a_head_without_its_end "nothing" => (Request("GET /healthz HTTP/1.1\r\nHost: {host}\r\n"), Closes),
    gone_right_behind_its_handshake "the session waits for it, then ends"
        => (Request("GET /ws?token={token} HTTP/1.1\r\nHost: {host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
            Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"), Vanishes),
    reset_within_a_frame "the session waits for it, then ends"
        => (Frames(frame(0x81, br#"{"code": "x = 2"}"#)[..9].to_vec()), Vanishes),
    closed_within_a_frame "the session waits for it, then ends"
        => (Frames(frame(0x81, br#"{"code": "x = 2"}"#)[..9].to_vec()), Closes),
    reset_between_two_fragments "the session waits for it, then ends; nothing runs"
        => (Frames(frame(1, br#"{"code": "x = 2"}"#)), Vanishes),
    half_a_close "the session waits for it, then ends" => (Frames(vec![0x88, 0x82, 1, 2]), Closes),
    reset_while_its_cell_writes_without_end "the session waits for it, then ends with its cell"
        => (Frames(frame(0x81, br#"{"code": "while True: print('x' * 1000)"}"#)), Vanishes),
    half_the_code_of_a_run "nothing runs"
        => (Request("POST /v1/run {head}Content-Length: 100\r\n\r\nprint("), Closes),
    half_a_chunk_of_a_run "nothing runs"
        => (Request("POST /v1/run {head}Transfer-Encoding: chunked\r\n\r\n40\r\nprint("), Vanishes),
    a_run_that_nobody_reads "its cell is interrupted, its session ends"
        => (Asks("POST /v1/run {head}Content-Length: 31\r\n\r\nwhile True: print('x' * 1000)\n\n"), Vanishes),
    half_a_file "it is not there"
        => (Request("PUT /v1/sessions/{session}/files/half {head}Content-Length: 100\r\n\r\nabc"), Closes),
    half_a_chunk_of_a_file "it is not there"
        => (Request("PUT /v1/sessions/{session}/files/half {head}Transfer-Encoding: chunked\r\n\r\n40\r\nabc"), Vanishes),
];

async fn leaves(stage: &Stage, (says, parting): (Says, Parting)) {
    let flags = ["--pool-max", "0", "--detach-timeout", "500ms", "--metrics-public"];
    let gateway = stage.own(&flags);
    let mut neighbour = Client::create(&gateway, "python").await;
    neighbour.print("x = 1").await;
    let mut stream = match &says {
        Request(text) | Asks(text) => {
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            let text = text
                .replace("{head}", HEAD)
                .replace("{host}", &gateway.address.to_string())
                .replace("{token}", &gateway.token)
                .replace("{session}", neighbour.session());
            stream.write_all(text.as_bytes()).await.unwrap();
            stream
        }
        Frames(bytes) => {
            let mut socket = RawSocket::open(&gateway).await;
            socket.read_frame().await.unwrap();
            socket.send(bytes).await;
            socket.stream
        }
    };
    if let Asks(_) = says {
        let first = tokio::time::timeout(DEADLINE, stream.read_u8()).await;
        first.expect("no answer").unwrap();
    }
    match parting {
        Vanishes => {
            stream.set_zero_linger().unwrap();
            drop(stream);
        }
        Closes => {
            stream.shutdown().await.unwrap();
            // Whatever it is told; the gateway closes its side too.
            let mut rest = Vec::new();
            let end = stream.read_to_end(&mut rest);
            tokio::time::timeout(DEADLINE, end).await.expect("it is kept open").ok();
        }
    }
    only_the_neighbour_is_left(&gateway).await;
    // What has come of a file is there under another name until the sandbox is told of the end.
    let undone = async {
        while neighbour.run("import os; (x, os.listdir())").await.result() != "(1, [])" {}
    };
    tokio::time::timeout(DEADLINE, undone).await.expect("something is left in its directory");
    neighbour.end().await;
    gateway.stop().await;
}

/// Waits until there are one session and one socket.
async fn only_the_neighbour_is_left(gateway: &Gateway) {
    let left = async || {
        let told = http::get(gateway, "/metrics", &[]).await.body;
        let of = |name: &str| {
            let lines = told.lines().filter(|line| line.starts_with(name));
            lines.filter_map(|line| line.rsplit_once(' ')?.1.parse::<u64>().ok()).sum::<u64>()
        };
        (of("cellgate_sessions{"), of("cellgate_sockets "))
    };
    let mut last = (0, 0);
    let reached = async {
        let mut ticks = tokio::time::interval(std::time::Duration::from_millis(50));
        loop {
            ticks.tick().await;
            last = left().await;
            if last == (1, 1) {
                return;
            }
        }
    };
    let reached = tokio::time::timeout(DEADLINE, reached).await;
    assert!(reached.is_ok(), "sessions and sockets: {last:?}");
}

//! What one client may ask for, and what it is told when it asks for more.

use std::time::{Duration, Instant};

use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::checker::Checker;
use crate::common::client::{self, Client, text};
use crate::common::gateway::Gateway;
use crate::common::http;
use crate::common::suite::{Stage, cases};

cases![
    a_request_that_comes_by_drops_is_cut_off,
    a_connection_that_asks_nothing_more_is_closed,
    a_body_that_stops_coming_is_told_so,
    an_address_that_asks_too_often_is_told_when_to_come_back,
    a_proxys_clients_are_told_apart,
    an_address_has_so_many_connections,
    an_address_has_so_many_sessions,
    each_of_many_tokens_has_so_many_sessions,
    a_flood_of_messages_is_refused_and_then_ended,
    who_leaves_the_line_does_not_come_back_as_a_session,
];

/// Far more than a limit of a second needs, even here.
const SOON: Duration = Duration::from_secs(20);

async fn closed_with(gateway: &Gateway, path: &str) -> client::Closed {
    let (mut stream, _) = client::open(gateway, client::request(gateway, path)).await.unwrap();
    client::next_frame(&mut stream).await.unwrap_err()
}

/// Waits until so many newcomers are in line.
async fn in_line(gateway: &Gateway, count: usize) {
    let wanted = format!("cellgate_sessions_waiting {count}");
    let reached = async {
        while !http::get(gateway, "/metrics", &[]).await.body.lines().any(|line| line == wanted) {}
    };
    tokio::time::timeout(SOON, reached).await.unwrap();
}

async fn a_request_that_comes_by_drops_is_cut_off(stage: &Stage) {
    let gateway = stage.own(&["--header-timeout", "500ms"]);
    let began = Instant::now();
    let mut slow = TcpStream::connect(gateway.address).await.unwrap();
    slow.write_all(b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n").await.unwrap();
    let mut silent = TcpStream::connect(gateway.address).await.unwrap();
    for stream in [&mut slow, &mut silent] {
        let mut answer = Vec::new();
        // A reset is as good an end as any.
        tokio::time::timeout(SOON, stream.read_to_end(&mut answer)).await.unwrap().ok();
        assert!(!answer.starts_with(b"HTTP/1.1 200"));
    }
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
    // A WebSocket that says nothing is none of the slow.
    let mut quiet = Client::create(&gateway, "python").await;
    assert_eq!(quiet.run("import time; time.sleep(1); 1").await.result(), "1");
    quiet.end().await;
    gateway.stop().await;
}

/// Reads until an answer is whole, which says how long it is.
async fn answer(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let reading = async {
        loop {
            bytes.push(stream.read_u8().await.unwrap());
            if bytes.ends_with(b"\r\n\r\n") {
                break;
            }
        }
        let head = String::from_utf8(bytes).unwrap().to_ascii_lowercase();
        let length = head.split("content-length: ").nth(1).unwrap().split("\r\n").next().unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await.unwrap();
        head + &String::from_utf8(body).unwrap()
    };
    tokio::time::timeout(SOON, reading).await.unwrap()
}

async fn a_connection_that_asks_nothing_more_is_closed(stage: &Stage) {
    let gateway = stage.own(&["--header-timeout", "500ms"]);
    let mut kept = TcpStream::connect(gateway.address).await.unwrap();
    let ask = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", gateway.address);
    // It is kept open for the next request, and no longer than for the first.
    for _ in 0..2 {
        kept.write_all(ask.as_bytes()).await.unwrap();
        let answer = answer(&mut kept).await;
        assert!(answer.starts_with("http/1.1 200"), "{answer}");
    }
    let began = Instant::now();
    let mut more = Vec::new();
    tokio::time::timeout(SOON, kept.read_to_end(&mut more)).await.unwrap().ok();
    assert!(began.elapsed() >= Duration::from_millis(450), "{:?}", began.elapsed());
    gateway.stop().await;
}

async fn a_body_that_stops_coming_is_told_so(stage: &Stage) {
    let gateway = stage.own(&["--write-timeout", "500ms"]);
    let mut owner = Client::create(&gateway, "python").await;
    let file = format!("PUT /v1/sessions/{}/files/half", owner.session());
    for line in ["POST /v1/run", &file] {
        let mut stream = TcpStream::connect(gateway.address).await.unwrap();
        let head = format!(
            "{line} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
             content-type: text/plain\r\ncontent-length: 100\r\n\r\nprint(",
            gateway.address, gateway.token
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        let answer = answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 408"), "{answer}");
        assert!(answer.contains("the body did not come within 500ms"), "{answer}");
    }
    // Half a file is none.
    assert_eq!(owner.run("import os; os.listdir()").await.result(), "[]");
    owner.end().await;
    gateway.stop().await;
}

async fn an_address_that_asks_too_often_is_told_when_to_come_back(stage: &Stage) {
    let gateway = stage.own(&["--client-requests", "1"]);
    let refused = loop {
        let answer = http::get(&gateway, "/healthz", &[]).await;
        if answer.status != 200 {
            break answer;
        }
    };
    assert_eq!(refused.status, 429);
    assert!(refused.head.to_lowercase().contains("retry-after: 1"), "{}", refused.head);
    let closed = closed_with(&gateway, &format!("/ws?token={}", gateway.token)).await;
    assert_eq!(closed.code, 4429, "{closed:?}");
    gateway.stop().await;
}

async fn a_proxys_clients_are_told_apart(stage: &Stage) {
    let gateway = stage.own(&["--client-requests", "1", "--trusted-proxy", "127.0.0.0/8"]);
    let ask = |client: &'static str| {
        let gateway = &gateway;
        let header = format!("x-forwarded-for: {client}");
        async move { http::get(gateway, "/healthz", &[&header]).await.status }
    };
    while ask("203.0.113.1").await != 429 {}
    assert_eq!(ask("203.0.113.2").await, 200);
    // What a client writes before its own address is nobody's.
    assert_eq!(ask("203.0.113.3, 203.0.113.1").await, 429);
    gateway.stop().await;
}

async fn an_address_has_so_many_connections(stage: &Stage) {
    let gateway = stage.own(&["--client-connections", "2"]);
    let first = Client::create(&gateway, "python").await;
    let mut second = TcpStream::connect(gateway.address).await.unwrap();
    let mut third = TcpStream::connect(gateway.address).await.unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    second.write_all(request).await.unwrap();
    let mut answer = [0; 12];
    second.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 200");
    // One too many is closed without a word, however far its request got.
    third.write_all(request).await.ok();
    let mut nothing = Vec::new();
    tokio::time::timeout(SOON, third.read_to_end(&mut nothing)).await.unwrap().ok();
    assert_eq!(nothing, b"");
    // A WebSocket holds its place until it is gone, and not for longer.
    first.end().await;
    let again = async {
        loop {
            let mut stream = TcpStream::connect(gateway.address).await.unwrap();
            stream.write_all(request).await.ok();
            if stream.read_exact(&mut [0; 12]).await.is_ok() {
                break;
            }
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
    drop(second);
    gateway.stop().await;
}

async fn an_address_has_so_many_sessions(stage: &Stage) {
    let gateway = stage.own(&["--client-sessions", "1"]);
    let client = Client::create(&gateway, "python").await;
    let closed = closed_with(&gateway, &format!("/ws?token={}", gateway.token)).await;
    assert_eq!(closed.code, 4429, "{closed:?}");
    // Joining one is not making one.
    let second = Client::beside(&gateway, &client).await;
    drop(second);
    client.end().await;
    gateway.stop().await;
}

async fn each_of_many_tokens_has_so_many_sessions(stage: &Stage) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    std::fs::write(&file, "red\n\nblue\n").unwrap();
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).unwrap();
    let file = file.to_str().unwrap();
    let flags = [
        "--allow-weak-limits",
        "--token-file",
        file,
        "--client-token-sessions",
        "1",
        "--client-requests",
        "none",
    ];
    let gateway = stage.own(&flags);
    let path = |token: &str| format!("/ws?token={token}");
    let create = async |token: &str| {
        let request = client::request(&gateway, &path(token));
        Client::with_request(&gateway, request, Checker::default()).await
    };
    let red = create("red").await;
    assert_eq!(closed_with(&gateway, &path("red")).await.code, 4429);
    let answer = http::post(&gateway, "/v1/run?token=red", &[], r#"{"code": "1"}"#).await;
    assert_eq!(answer.status, 429, "{answer:?}");
    let blue = create("blue").await;
    assert_eq!(closed_with(&gateway, &path("green")).await.code, 4401);
    // A new token of the session's own is none of the gateway's.
    assert_eq!(closed_with(&gateway, &path(text(&red.ready, "token"))).await.code, 4401);
    red.end().await;
    // There is room again when nothing is left of the first one.
    let again = async {
        loop {
            let request = client::request(&gateway, &path("red"));
            let (mut stream, _) = client::open(&gateway, request).await.unwrap();
            match client::next_frame(&mut stream).await {
                Ok(_) => break,
                Err(closed) => assert_eq!(closed.code, 4429),
            }
        }
    };
    tokio::time::timeout(SOON, again).await.unwrap();
    blue.end().await;
    gateway.stop().await;
}

async fn a_flood_of_messages_is_refused_and_then_ended(stage: &Stage) {
    let gateway = stage.own(&["--client-messages", "5"]);
    let mut client = Client::create(&gateway, "python").await;
    for _ in 0..60 {
        client.send(json!({"type": "interrupt"})).await;
    }
    let refused = client.until("protocol_error").await;
    assert_eq!(text(&refused, "code"), "rate_limited");
    // Who says less is heard again.
    let mut pace = tokio::time::interval(Duration::from_millis(250));
    let id = loop {
        pace.tick().await;
        let id = client.execute("6 * 7").await;
        let told = client
            .next_where(|event| {
                event["id"] == id
                    && (event["type"] == "queued" || event["type"] == "protocol_error")
            })
            .await;
        if told["type"] == "queued" {
            break id;
        }
    };
    assert_eq!(client.finish(&id).await.result(), "42");
    for _ in 0..500 {
        client.send(json!({"type": "interrupt"})).await;
    }
    assert_eq!(client.closed().await.code, 4429);
    gateway.stop().await;
}

async fn who_leaves_the_line_does_not_come_back_as_a_session(stage: &Stage) {
    let gateway = stage.own(&[
        "--sessions",
        "1",
        "--waiting",
        "1",
        "--waiting-timeout",
        "60s",
        "--metrics-public",
        "--client-requests",
        "none",
    ]);
    let client = Client::create(&gateway, "python").await;
    let path = format!("/ws?token={}", gateway.token);
    let request = || client::request(&gateway, &path);
    let (impatient, _) = client::open(&gateway, request()).await.unwrap();
    in_line(&gateway, 1).await;
    // There is one place in the line: who comes now is told at once.
    assert_eq!(closed_with(&gateway, &path).await.code, 1013);
    drop(impatient);
    in_line(&gateway, 0).await;
    let (mut waiting, _) = client::open(&gateway, request()).await.unwrap();
    in_line(&gateway, 1).await;
    client.end().await;
    let ready = client::next_frame(&mut waiting).await.unwrap();
    assert!(ready.contains("\"ready\""), "{ready}");
    drop(waiting);
    gateway.stop().await;
}

//! Clients and cells that want the gateway's memory. Each row has a gateway of its own, attacks it,
//! and asks how much its process has grown.

use std::time::Duration;

use futures::future::BoxFuture;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::common::client::{Client, DEADLINE};
use crate::common::gateway::Gateway;
use crate::common::http;
use crate::common::suite::{Stage, rows};

/// An attack, what the gateway is started with, and what its process may grow by, in MiB.
type Row = (Attack, &'static [&'static str], u64);

type Attack = for<'a> fn(&'a Gateway) -> BoxFuture<'a, Held>;

/// What keeps the attack up while memory is measured.
type Held = Vec<Box<dyn std::any::Any + Send>>;

const TIGHT: &[&str] = &["--memory-budget", "64MiB", "--drain-timeout", "1s"];
const SHORT: &[&str] = &["--write-timeout", "1s"];

rows![resists:
    an_update_of_150_displays "an answer of at most 16 MiB, `omitted_bytes` counts the rest"
        => (|gateway| Box::pin(an_update_of_many_displays(gateway)), &[], 128),
    fifteen_mebibytes_of_zeros "all of it" => (|gateway| Box::pin(zeros(gateway)), &[], 128),
    eighty_bodies_without_a_token "401 before the body is read"
        => (|gateway| Box::pin(bodies(gateway)), &[], 24),
    sixty_clients_that_read_nothing "after `write_timeout` each is disconnected"
        => (|gateway| Box::pin(deaf_clients(gateway)), SHORT, 32),
    four_sessions_of_cells_that_wait "`queue_full` beyond `memory_budget`"
        => (|gateway| Box::pin(queues(gateway)), TIGHT, 160),
    twenty_viewers_that_read_nothing "a result of 8 MiB is held once"
        => (|gateway| Box::pin(deaf_viewers(gateway)), &[], 96),
    messages_that_never_end "1013 once there is no room for more"
        => (|gateway| Box::pin(endless_messages(gateway)), TIGHT, 128),
];

async fn resists(stage: &Stage, (attack, flags, most): Row) {
    let gateway = stage.own(flags);
    // What a gateway takes once, for whoever comes first.
    let mut first = Client::create(&gateway, "python").await;
    first.print("1").await;
    first.end().await;
    let before = gateway.resident_bytes();
    let held = attack(&gateway).await;
    let grown = gateway.resident_bytes().saturating_sub(before) >> 20;
    println!("the gateway grew by {grown} MiB of at most {most}");
    assert!(grown <= most, "the gateway grew by {grown} MiB of at most {most}");
    drop(held);
    gateway.stop().await;
}

async fn run(gateway: &Gateway, code: &str) -> Value {
    let authorization = format!("Authorization: Bearer {}", gateway.token);
    let headers = ["Accept: application/json", &*authorization];
    let body = json!({"code": code}).to_string();
    let answer = http::post(gateway, "/v1/run", &headers, &body).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let (head, _) = answer.body.split_at(answer.body.len().min(4 << 20));
    assert!(answer.body.len() < 18 << 20, "{} bytes: {}", answer.body.len(), &head[..200]);
    serde_json::from_str(&answer.body).unwrap()
}

async fn an_update_of_many_displays(gateway: &Gateway) -> Held {
    let code = "from IPython.display import display\n\
                for _ in range(150): display({'text/plain': 'old'}, raw=True, display_id='x')\n\
                display({'text/plain': 'y' * (4 << 20)}, raw=True, display_id='x', update=True)\nNone";
    let answer = run(gateway, code).await;
    assert_eq!(answer["status"], "ok", "{answer}");
    assert_eq!(answer["results"].as_array().unwrap().len(), 150);
    assert!(answer["omitted_bytes"].as_u64().unwrap() >= 4 << 20);
    Vec::new()
}

async fn zeros(gateway: &Gateway) -> Held {
    let code = "from IPython.display import display\n\
                display({'application/json': [0] * (5 << 20)}, raw=True)";
    let answer = run(gateway, code).await;
    assert_eq!(answer["status"], "ok");
    let shown = answer["results"][0]["data"]["application/json"].as_array();
    assert_eq!(shown.map(Vec::len), Some(5 << 20), "{}", answer["omitted_bytes"]);
    Vec::new()
}

async fn connect(gateway: &Gateway, request: &str) -> TcpStream {
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

async fn bodies(gateway: &Gateway) -> Held {
    let mut client = Client::create(gateway, "python").await;
    let mut held: Held = Vec::new();
    for _ in 0..80 {
        let request = format!(
            "POST /v1/sessions/{}/tokens HTTP/1.1\r\nHost: {}\r\nContent-Length: 2000000\r\n\r\n",
            client.session(),
            gateway.address
        );
        let mut stream = connect(gateway, &request).await;
        // It may be refused and closed before all of it is sent.
        stream.write_all(&[b' '; 1_900_000]).await.ok();
        let mut status = [0; 12];
        let read = tokio::time::timeout(DEADLINE, stream.read_exact(&mut status));
        if read.await.expect("no answer before the body's end").is_ok() {
            assert_eq!(&status, b"HTTP/1.1 401");
        }
        held.push(Box::new(stream));
    }
    client.print("2").await;
    client.end().await;
    held
}

async fn deaf_clients(gateway: &Gateway) -> Held {
    let page = http::get(gateway, "/", &[]).await.body;
    // The largest part of the page: what the kernel's buffers hold of it is little of all answers.
    let mut largest = (0, String::new());
    for script in page.split('"').filter(|part| part.ends_with(".js")) {
        let path = format!("/{}", script.trim_start_matches("./").trim_start_matches('/'));
        let length = http::get(gateway, &path, &[]).await.body.len();
        largest = largest.max((length, path));
    }
    let (length, path) = largest;
    let times = (16 << 20) / length + 1; // beyond what Linux buffers for a connection
    let ask = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n\r\n", gateway.address);
    let mut deaf = Vec::new();
    for _ in 0..60 {
        deaf.push(connect(gateway, &ask.repeat(times)).await);
    }
    // Each is disconnected, with most of what it asked for unsent.
    for stream in &mut deaf {
        let mut rest = Vec::new();
        let end = async {
            // The end of the connection, told without taking what waits.
            stream.ready(tokio::io::Interest::PRIORITY).await.unwrap();
        };
        tokio::time::timeout(DEADLINE, end).await.expect("it is kept for ever");
        stream.read_to_end(&mut rest).await.ok();
    }
    Vec::new()
}

async fn queues(gateway: &Gateway) -> Held {
    let mut held: Held = Vec::new();
    let code = format!("# {}", "x".repeat(900 << 10));
    for _ in 0..4 {
        let mut client = Client::create(gateway, "python").await;
        let id = client.execute("import time\nwhile True: time.sleep(1)").await;
        client.until_of("started", &id).await;
        for _ in 0..40 {
            client.execute(&code).await;
        }
        let refused = client.until("protocol_error").await;
        assert_eq!(refused["code"], "queue_full");
        assert!(refused["message"].as_str().unwrap().contains("memory_budget"), "{refused}");
        held.push(Box::new(client));
    }
    held
}

async fn deaf_viewers(gateway: &Gateway) -> Held {
    let mut client = Client::create(gateway, "python").await;
    let link = format!("/v1/sessions/{}/tokens", client.session());
    let bearer = format!("Authorization: Bearer {}", gateway.token);
    let link = http::post(gateway, &link, &[&bearer], r#"{"role": "viewer"}"#).await;
    let link: Value = serde_json::from_str(&link.body).unwrap();
    let mut held: Held = Vec::new();
    for _ in 0..20 {
        let request = format!(
            "GET /ws?session={}&token={} HTTP/1.1\r\nHost: {}\r\nConnection: Upgrade\r\n\
             Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
            client.session(),
            link["token"].as_str().unwrap(),
            gateway.address
        );
        held.push(Box::new(connect(gateway, &request).await));
    }
    let code = "from IPython.display import display\n\
                display({'text/plain': 'z' * (8 << 20)}, raw=True)";
    client.run(code).await.expect("ok", true);
    // Time for whatever is written to them to be written.
    client.print("import time\ntime.sleep(1)").await;
    held.push(Box::new(client));
    held
}

async fn endless_messages(gateway: &Gateway) -> Held {
    let mut client = Client::create(gateway, "python").await;
    let mut held: Held = Vec::new();
    let mut refused = 0;
    for _ in 0..24 {
        let mut socket = http::RawSocket::open(gateway).await;
        socket.read_frame().await.unwrap();
        let fragment = http::frame(0, &[b'x'; 256 << 10]);
        let sending = async {
            socket.send(&http::frame(1, b"{")).await;
            for _ in 0..15 {
                if socket.stream.write_all(&fragment).await.is_err() {
                    return;
                }
            }
        };
        tokio::time::timeout(DEADLINE, sending).await.expect("nobody takes it");
        let close = tokio::time::timeout(Duration::from_millis(300), socket.close_code()).await;
        if let Ok(code) = close {
            // A reset may overtake the close.
            assert!(code.is_none_or(|code| code == 1013), "{code:?}");
            refused += 1;
        }
        held.push(Box::new(socket));
    }
    assert!(refused >= 8, "{refused} of 24 were refused");
    client.print("2").await;
    held.push(Box::new(client));
    held
}

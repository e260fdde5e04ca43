//! Who comes in, and how: tokens, hosts, origins, templates.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::client::Request;

use crate::common::checker::Checker;
use crate::common::client::{self, Client, Closed};
use crate::common::gateway::Gateway;
use crate::common::http;
use crate::common::suite::{Stage, cases};

cases![
    without_the_token_nobody_comes_in,
    the_token_travels_in_three_ways,
    a_session_opens_to_its_own_token_alone,
    strangers_hosts_and_origins_are_refused,
    a_template_that_does_not_exist_is_told,
    a_gateway_that_is_full_says_so,
    health_is_told_to_everybody,
];

async fn closed_with(gateway: &Gateway, request: Request) -> Closed {
    let (mut stream, _) = client::open(gateway, request).await.unwrap();
    client::next_frame(&mut stream).await.expect_err("a message")
}

fn with_header(gateway: &Gateway, name: &'static str, value: &str) -> Request {
    let mut request = client::request(gateway, "/ws");
    request.headers_mut().append(name, value.parse().unwrap());
    request
}

async fn without_the_token_nobody_comes_in(stage: &Stage) {
    let gateway = stage.gateway();
    for path in ["/ws", "/ws?token=", "/ws?token=wrong", "/ws?session=aaaaaaaaaaaa"] {
        let closed = closed_with(gateway, client::request(gateway, path)).await;
        let expected = if path.contains("session") { 4404 } else { 4401 };
        assert_eq!(closed.code, expected, "{path}: {}", closed.reason);
        assert!(!closed.reason.is_empty() && closed.reason.len() <= 123);
    }
    let closed = closed_with(gateway, with_header(gateway, "authorization", "Bearer wrong")).await;
    assert_eq!(closed.code, 4401);
}

async fn the_token_travels_in_three_ways(stage: &Stage) {
    let gateway = stage.gateway();
    let bearer = format!("Bearer {}", gateway.token);
    let encoded = URL_SAFE_NO_PAD.encode(&gateway.token);
    let offer = format!("cellgate.v1, cellgate.bearer.{encoded}");
    for request in [
        client::request(gateway, &format!("/ws?token={}", gateway.token)),
        with_header(gateway, "authorization", &bearer),
        with_header(gateway, "sec-websocket-protocol", &offer),
    ] {
        Client::with_request(gateway, request, Checker::default()).await.end().await;
    }
}

async fn a_session_opens_to_its_own_token_alone(stage: &Stage) {
    let gateway = stage.gateway();
    let one = stage.session().await;
    let other = stage.session().await;
    let token_of = |client: &Client| client::text(&client.ready, "token").to_owned();
    assert_ne!(token_of(&one), token_of(&other));
    for token in [token_of(&other), String::new()] {
        let path = format!("/ws?session={}&token={token}", one.session());
        let closed = closed_with(gateway, client::request(gateway, &path)).await;
        assert_eq!(closed.code, 4401, "{}", closed.reason);
    }
    // Nor does a session's token make new sessions.
    let path = format!("/ws?token={}", token_of(&one));
    assert_eq!(closed_with(gateway, client::request(gateway, &path)).await.code, 4401);
    one.end().await;
    other.end().await;
}

async fn strangers_hosts_and_origins_are_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let path = format!("/ws?token={}", gateway.token);
    let port = gateway.address.port();
    for (name, value, status) in [
        ("host", "evil.example".to_owned(), 403),
        ("host", format!("localhost.evil.example:{port}"), 403),
        ("origin", "https://evil.example".to_owned(), 403),
        ("origin", "null".to_owned(), 403),
        ("origin", format!("http://127.0.0.1:{}", port.wrapping_add(1)), 403),
    ] {
        let mut request = client::request(gateway, &path);
        request.headers_mut().insert(name, value.parse().unwrap());
        match client::open(gateway, request).await {
            Err(Error::Http(response)) => assert_eq!(response.status(), status, "{name}: {value}"),
            other => panic!("{name}: {value}: {:?}", other.map(|(_, response)| response)),
        }
    }
    for path in ["/", "/healthz", "/readyz"] {
        assert_eq!(http::get(gateway, path, &["Host: evil.example"]).await.status, 403, "{path}");
    }
    let mut request = client::request(gateway, &path);
    let own = format!("http://{}", gateway.address);
    request.headers_mut().insert("origin", own.parse().unwrap());
    Client::with_request(gateway, request, Checker::default()).await.end().await;
}

async fn a_template_that_does_not_exist_is_told(stage: &Stage) {
    let gateway = stage.gateway();
    let path = format!("/ws?token={}&template=cobol", gateway.token);
    let closed = closed_with(gateway, client::request(gateway, &path)).await;
    assert_eq!(closed.code, 4404);
    assert!(closed.reason.contains("cobol") && closed.reason.contains("python"), "{closed:?}");
}

async fn a_gateway_that_is_full_says_so(stage: &Stage) {
    let gateway = stage.own(&[
        "--sessions",
        "1",
        "--participants",
        "1",
        "--waiting-timeout",
        "0s",
        "--client-requests",
        "none", // it is asked again and again below
    ]);
    let client = Client::create(&gateway, "python").await;
    let path = format!("/ws?token={}", gateway.token);
    let closed = closed_with(&gateway, client::request(&gateway, &path)).await;
    assert_eq!(closed.code, 1013, "{closed:?}");
    let path = format!("/ws?session={}&token={}", client.session(), gateway.token);
    let closed = closed_with(&gateway, client::request(&gateway, &path)).await;
    assert_eq!(closed.code, 1013, "{closed:?}");
    // What is ended makes room, at the latest when nothing of it is left.
    let session = client.session().to_owned();
    client.end().await;
    let again = loop {
        let path = format!("/ws?token={}", gateway.token);
        let (mut stream, _) =
            client::open(&gateway, client::request(&gateway, &path)).await.unwrap();
        match client::next_frame(&mut stream).await {
            Ok(ready) => break ready,
            Err(closed) => assert_eq!(closed.code, 1013),
        }
    };
    assert!(again.contains("\"ready\"") && !again.contains(&session), "{again}");
    gateway.stop().await;
}

async fn health_is_told_to_everybody(stage: &Stage) {
    let gateway = stage.gateway();
    for path in ["/healthz", "/readyz"] {
        let answer = http::get(gateway, path, &[]).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
    }
    let answer = http::get(gateway, "/nowhere", &[]).await;
    assert_eq!(answer.status, 404);
    assert!(answer.head.contains("application/problem+json"), "{}", answer.head);
    let problem: serde_json::Value = serde_json::from_str(&answer.body).unwrap();
    assert_eq!(problem["status"], 404);
    // Not a WebSocket.
    let answer = http::get(gateway, &format!("/ws?token={}", gateway.token), &[]).await;
    assert_eq!(answer.status, 426);
}

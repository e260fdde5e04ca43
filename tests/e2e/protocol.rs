//! Messages and frames that are not what they should be.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::common::client::{self, Client, text};
use crate::common::http::RawSocket;
use crate::common::suite::{Stage, cases};

cases![
    bad_messages_are_refused_one_by_one,
    a_message_too_long_is_refused,
    a_message_far_too_long_closes,
    frames_that_break_rfc_6455_close,
    a_ping_comes_back_with_its_fields,
    a_websocket_ping_is_answered,
    the_subprotocol_is_answered,
];

async fn refusal(client: &mut Client, frame: Message) -> String {
    client.send_frame(frame).await;
    text(&client.until("protocol_error").await, "code").to_owned()
}

async fn bad_messages_are_refused_one_by_one(stage: &Stage) {
    let mut client = stage.session().await;
    for (message, code) in [
        ("", "bad_json"),
        ("{", "bad_json"),
        ("hello", "bad_json"),
        ("[1, 2]", "bad_message"),
        ("{}", "bad_message"),
        (r#"{"code": 5}"#, "bad_message"),
        (r#"{"type": "execute"}"#, "bad_message"),
        (r#"{"type": "fly"}"#, "unknown_type"),
    ] {
        assert_eq!(refusal(&mut client, Message::text(message)).await, code, "{message}");
    }
    let nested = "[".repeat(50_000);
    assert_eq!(refusal(&mut client, Message::text(nested)).await, "bad_json");
    let binary = Message::binary(br#"{"code": "1"}"#.to_vec());
    assert_eq!(refusal(&mut client, binary).await, "bad_message");
    // The connection lives on.
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}

async fn a_message_too_long_is_refused(stage: &Stage) {
    let mut client = stage.session().await;
    let limit = client.ready["limits"]["message_bytes"].as_u64().unwrap() as usize;
    let code = |length: usize| " ".repeat(length) + "'fits'";
    let message = |code: &str| json!({"code": code, "id": "long"}).to_string();
    let frame = message("'fits'").len();
    let longest = message(&code(limit - frame));
    assert_eq!(longest.len(), limit);
    client.send_frame(Message::text(longest)).await;
    assert_eq!(client.finish("long").await.result(), "'fits'");
    let longer = message(&code(limit - frame + 1));
    assert_eq!(refusal(&mut client, Message::text(longer)).await, "too_large");
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
}

async fn a_message_far_too_long_closes(stage: &Stage) {
    let mut client = stage.session().await;
    let limit = client.ready["limits"]["message_bytes"].as_u64().unwrap() as usize;
    client.send_frame(Message::text("x".repeat(limit * 5))).await;
    assert_eq!(client.closed().await.code, 1009);
    // The session lives: another connection finds it.
    let mut back = Client::join(stage.gateway(), &client.ready, None).await;
    assert_eq!(back.run("6 * 7").await.result(), "42");
    back.end().await;
}

async fn frames_that_break_rfc_6455_close(stage: &Stage) {
    const FIN: u8 = 0x80;
    let gateway = stage.gateway();
    // §5.1: a client's frames are masked.
    let mut socket = RawSocket::open(gateway).await;
    socket.send(&[FIN | 1, 2, b'{', b'}']).await;
    assert_eq!(socket.close_code().await, Some(1002));
    for (first, payload, code, what) in [
        (FIN | 0x40 | 1, &b"{}"[..], 1002, "a reserved bit"),
        (FIN | 3, b"{}", 1002, "an opcode that does not exist"),
        (FIN, b"{}", 1002, "a continuation of nothing"),
        (9, b"", 1002, "a ping in fragments"),
        (FIN | 1, b"\xff\xfe", 1007, "text that is not UTF-8"),
        (FIN | 8, &[3], 1002, "a close with half a code"),
    ] {
        let mut socket = RawSocket::open(gateway).await;
        socket.send_frame(first, payload).await;
        assert_eq!(socket.close_code().await, Some(code), "{what}");
    }
    // A message in fragments is a message, with a ping between them.
    let mut socket = RawSocket::open(gateway).await;
    for (first, payload) in
        [(1, &br#"{"type""#[..]), (FIN | 9, b"now"), (0, br#":"e"#), (FIN, br#"nd"}"#)]
    {
        socket.send_frame(first, payload).await;
    }
    assert_eq!(socket.close_code().await, Some(1000));
}

async fn a_ping_comes_back_with_its_fields(stage: &Stage) {
    let mut client = stage.session().await;
    client.send(json!({"type": "ping", "t": 1.5, "id": ["any"], "nested": {"x": null}})).await;
    let pong = client.until("pong").await;
    assert_eq!(pong, json!({"type": "pong", "t": 1.5, "id": ["any"], "nested": {"x": null}}));
    // Also while a cell runs and does nothing for anybody.
    let id = client.execute("input()").await;
    client.until_of("input_request", &id).await;
    client.send(json!({"type": "ping", "n": 2})).await;
    assert_eq!(client.until("pong").await["n"], 2);
    client.end().await;
}

async fn a_websocket_ping_is_answered(stage: &Stage) {
    let request = client::request(stage.gateway(), &format!("/ws?token={}", stage.gateway().token));
    let (mut stream, _) = client::open(stage.gateway(), request).await.unwrap();
    use futures::{SinkExt, StreamExt};
    stream.send(Message::Ping(b"echo".to_vec().into())).await.unwrap();
    loop {
        let next = tokio::time::timeout(client::DEADLINE, stream.next()).await.unwrap();
        if let Message::Pong(payload) = next.unwrap().unwrap() {
            assert_eq!(&payload[..], b"echo");
            break;
        }
    }
    stream.send(Message::text(r#"{"type":"end"}"#)).await.unwrap();
    while client::next_frame(&mut stream).await.is_ok() {}
}

async fn the_subprotocol_is_answered(stage: &Stage) {
    let gateway = stage.gateway();
    for (offered, answered) in [
        (None, None),
        (Some("cellgate.v1"), Some("cellgate.v1")),
        (Some("other, cellgate.v1"), Some("cellgate.v1")),
    ] {
        let mut request = client::request(gateway, &format!("/ws?token={}", gateway.token));
        if let Some(offered) = offered {
            let value = offered.parse().unwrap();
            request.headers_mut().insert("sec-websocket-protocol", value);
        }
        let (mut stream, response) = client::open(gateway, request).await.unwrap();
        let found = response.headers().get("sec-websocket-protocol");
        assert_eq!(found.map(|value| value.to_str().unwrap()), answered);
        use futures::SinkExt;
        stream.send(Message::text(r#"{"type":"end"}"#)).await.unwrap();
        while client::next_frame(&mut stream).await.is_ok() {}
    }
}

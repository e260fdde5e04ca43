//! Connections that the gateway ends, each with the code of its real cause; what the other suites
//! close on their way (1000, 1001, 1002, 1007, 1009, 1011, 1013, 4401, 4404, 4429) is theirs.

use std::time::Duration;

use serde_json::json;

use crate::common::checker::Checker;
use crate::common::client::{self, Client, text};
use crate::common::gateway::Gateway;
use crate::common::http::{self, RawSocket};
use crate::common::suite::{Stage, cases};

cases![
    a_session_that_does_nothing_expires,
    a_session_has_a_lifetime_whatever_it_does,
    a_newer_connection_takes_the_place_of_the_older,
    who_does_not_answer_pings_is_cut_off,
    who_takes_nothing_is_cut_off_and_may_come_back,
    the_gateways_token_joins_a_session_as_an_owner,
    a_shared_token_allows_what_its_role_may,
    who_came_by_a_link_leaves_when_it_expires,
];

/// Far more than a limit of a second needs, even here.
const SOON: Duration = Duration::from_secs(30);

async fn a_session_that_does_nothing_expires(stage: &Stage) {
    let gateway = stage.own(&["--idle-timeout", "1s", "--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    // Who works is not idle.
    client.print("import time\ntime.sleep(2)").await;
    assert_eq!(client.until("ended").await["reason"], "idle_timeout");
    assert_eq!(client.closed().await.code, 4408);
    gateway.stop().await;
}

async fn a_session_has_a_lifetime_whatever_it_does(stage: &Stage) {
    let gateway = stage.own(&["--lifetime", "3s", "--pool-max", "0"]);
    let mut client = Client::create(&gateway, "python").await;
    let id = client.execute("while True: pass").await;
    client.finish(&id).await.expect("interrupted", false);
    assert_eq!(client.until("ended").await["reason"], "lifetime");
    assert_eq!(client.closed().await.code, 4408);
    gateway.stop().await;
}

async fn a_newer_connection_takes_the_place_of_the_older(stage: &Stage) {
    let gateway = stage.gateway();
    let mut owner = stage.session().await;
    // Two people by one link and with one name are two.
    let link = granted(gateway, &owner, "editor", None).await;
    let mut older = Client::join(gateway, &link, None).await;
    let mut other = Client::join(gateway, &link, None).await;
    assert_ne!(text(&older.ready, "token"), text(&other.ready, "token"));
    // One who comes back with the token of its `ready` takes its own place, and keeps its token.
    let mut newer = Client::join(gateway, &older.ready, None).await;
    assert_eq!(older.closed().await.code, 4409);
    assert_eq!(text(&newer.ready, "token"), text(&older.ready, "token"));
    assert_eq!(owner.run("6 * 7").await.result(), "42");
    for one in [&mut newer, &mut other] {
        assert_eq!(one.finish("c1").await.result(), "42");
    }
    // So does the session's creator.
    let again = Client::join(gateway, &owner.ready, None).await;
    assert_eq!(owner.closed().await.code, 4409);
    newer.close().await;
    other.close().await;
    again.end().await;
}

async fn who_does_not_answer_pings_is_cut_off(stage: &Stage) {
    let gateway = stage.own(&["--ping-interval", "200ms", "--ping-timeout", "300ms"]);
    let mut silent = RawSocket::open(&gateway).await;
    assert_eq!(silent.close_code().await, Some(4413));
    // Who answers them may be silent otherwise.
    let mut quiet = Client::create(&gateway, "python").await;
    let id = quiet.execute("import time\ntime.sleep(2)").await;
    quiet.finish(&id).await.expect("ok", true);
    quiet.end().await;
    gateway.stop().await;
}

/// Waits until a connection was closed with this code.
async fn until_closed_with(gateway: &Gateway, code: u16) {
    let series = format!("cellgate_socket_closes_total{{code=\"{code}\"}} 1");
    let reached = async {
        while !http::get(gateway, "/metrics", &[]).await.body.lines().any(|line| line == series) {}
    };
    tokio::time::timeout(SOON, reached).await.expect("the connection is not closed");
}

async fn who_takes_nothing_is_cut_off_and_may_come_back(stage: &Stage) {
    let flags = ["--write-timeout", "500ms", "--metrics-public", "--client-requests", "none"];
    let gateway = stage.own(&flags);
    let mut client = Client::create(&gateway, "python").await;
    let id = client.execute("for i in range(64): print('x' * (1 << 20))\n'whole'").await;
    client.until_of("started", &id).await;
    let (ready, seq) = (client.ready.clone(), client.seq());
    // It reads nothing from here on, and the kernel's buffers are not as large as that.
    until_closed_with(&gateway, 4413).await;
    let mut back = Client::join(&gateway, &ready, Some(seq)).await;
    let cell = back.finish(&id).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout().len(), 64 * ((1 << 20) + 1));
    assert_eq!(cell.result(), "'whole'");
    back.end().await;
    drop(client);
    gateway.stop().await;
}

async fn the_gateways_token_joins_a_session_as_an_owner(stage: &Stage) {
    let gateway = stage.gateway();
    let mut one = stage.session().await;
    let path = format!("/ws?session={}&token={}", one.session(), gateway.token);
    let request = client::request(gateway, &path);
    let mut other = Client::with_request(gateway, request, Checker::default()).await;
    assert_eq!(text(&other.ready, "role"), "owner");
    assert_ne!(text(&other.ready, "token"), gateway.token, "it is not told to others");
    other.send(json!({"type": "restart"})).await;
    one.until("restarted").await;
    other.end().await;
    assert_eq!(one.closed().await.code, 1000);
}

/// A participant with a token that the session's owner has made for it.
pub(crate) async fn shared(gateway: &Gateway, owner: &Client, role: &str) -> Client {
    shared_for(gateway, owner, role, None).await
}

/// The same with a token that expires after so many milliseconds.
async fn shared_for(gateway: &Gateway, owner: &Client, role: &str, ms: Option<u64>) -> Client {
    let granted = granted(gateway, owner, role, ms).await;
    let link = text(&granted, "token");
    let path = format!("/ws?session={}&token={link}&name={role}", owner.session());
    let request = client::request(gateway, &path);
    let client = Client::with_request(gateway, request, Checker::default()).await;
    assert_eq!(text(&client.ready, "role"), role);
    assert_ne!(text(&client.ready, "token"), link, "its own");
    client
}

/// A token that the session's owner makes.
async fn granted(
    gateway: &Gateway,
    owner: &Client,
    role: &str,
    ms: Option<u64>,
) -> serde_json::Value {
    let body = json!({"role": role, "expires_in_ms": ms}).to_string();
    let path = format!("/v1/sessions/{}/tokens", owner.session());
    let bearer = format!("Authorization: Bearer {}", text(&owner.ready, "token"));
    let answer = http::post(gateway, &path, &[&bearer], &body).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    serde_json::from_str(&answer.body).unwrap()
}

async fn who_came_by_a_link_leaves_when_it_expires(stage: &Stage) {
    let gateway = stage.gateway();
    let mut owner = stage.session().await;
    let mut join = shared_for(gateway, &owner, "editor", Some(4000)).await;
    // Busy or not: what it began goes on without it.
    let code = "import time\nfor n in range(1000): print(n); time.sleep(0.1)";
    let id = join.execute(code).await;
    join.until_of("stdout", &id).await;
    let closed = join.closed().await;
    assert_eq!((closed.code, closed.reason.contains("expired")), (4401, true), "{}", closed.reason);
    let path = format!("/ws?session={}&token={}", owner.session(), text(&join.ready, "token"));
    let (mut stream, _) = client::open(gateway, client::request(gateway, &path)).await.unwrap();
    assert_eq!(client::next_frame(&mut stream).await.expect_err("a message").code, 4401);
    // The owner stays, sees who left, and has the session to itself.
    owner.next_where(|event| event["list"].as_array().is_some_and(|list| list.len() == 2)).await;
    owner.next_where(|event| event["list"].as_array().is_some_and(|list| list.len() == 1)).await;
    owner.send(json!({"type": "interrupt", "id": id})).await;
    owner.finish(&id).await.expect("interrupted", true);
    owner.end().await;
}

async fn a_shared_token_allows_what_its_role_may(stage: &Stage) {
    let gateway = stage.gateway();
    let mut owner = stage.session().await;
    let mut viewer = shared(gateway, &owner, "viewer").await;
    let mut editor = shared(gateway, &owner, "editor").await;
    for message in [
        json!({"code": "1", "id": "v"}),
        json!({"type": "interrupt"}),
        json!({"type": "input", "id": "x", "text": ""}),
        json!({"type": "restart"}),
        json!({"type": "complete", "id": "q", "code": "a", "cursor": 1}),
        json!({"type": "end"}),
    ] {
        viewer.send(message.clone()).await;
        assert_eq!(text(&viewer.until("protocol_error").await, "code"), "forbidden", "{message}");
    }
    viewer.send(json!({"type": "ping", "n": 1})).await;
    assert_eq!(viewer.until("pong").await["n"], 1);
    for kind in ["end", "restart"] {
        editor.send(json!({"type": kind})).await;
        let refusal = editor.until("protocol_error").await;
        assert_eq!(text(&refusal, "code"), "forbidden", "{kind}");
        assert!(text(&refusal, "message").contains("needs the role owner"), "{refusal}");
    }

    // An editor runs, is asked, answers and interrupts; everybody sees by whom, and the viewer all.
    editor.send(json!({"code": "input('who? ')", "id": "e1"})).await;
    owner.until_of("input_request", "e1").await;
    editor.send(json!({"type": "input", "id": "e1", "text": "me"})).await;
    editor.send(json!({"code": "while True: pass", "id": "e2"})).await;
    owner.until_of("started", "e2").await;
    editor.send(json!({"type": "interrupt", "id": "e2"})).await;
    for client in [&mut owner, &mut editor, &mut viewer] {
        let cell = client.finish("e1").await;
        assert_eq!(cell.result(), "'me'");
        assert_eq!(
            (text(cell.one("queued"), "by"), text(cell.one("started"), "by")),
            ("editor", "editor")
        );
        assert_eq!(client.finish("e2").await.detail(), "interrupted by editor");
    }
    owner.end().await;
    assert_eq!(viewer.closed().await.code, 1000);
    assert_eq!(editor.closed().await.code, 1000);
}

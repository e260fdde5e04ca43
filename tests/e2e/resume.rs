//! Connections come and go; the session stays, and nothing of it is missed.

use serde_json::{Value, json};

use crate::common::client::{self, Client, text};
use crate::common::suite::{Stage, cases};

cases![
    a_dropped_connection_resumes_without_a_seam,
    a_late_comer_sees_what_was,
    what_the_log_forgot_is_named,
    what_memory_cannot_hold_comes_from_the_disk,
    two_participants_see_the_same,
    a_session_nobody_needs_ends,
    an_ended_session_is_not_found,
];

async fn a_dropped_connection_resumes_without_a_seam(stage: &Stage) {
    let mut first = stage.session().await;
    let code = "for i in range(200):\n    print(i)\n    if i == 50: input()\n'end'";
    let id = first.execute(code).await;
    let mut seen = String::new();
    while !seen.contains("20\n") {
        seen += text(&first.until_of("stdout", &id).await, "text");
    }
    let (ready, seq) = (first.ready.clone(), first.seq());
    drop(first); // without a close: as when the network goes
    let mut second = Client::join(stage.gateway(), &ready, Some(seq)).await;
    assert_eq!(second.ready["session"], ready["session"]);
    second.until_of("input_request", &id).await;
    second.send(json!({"type": "input", "id": id, "text": ""})).await;
    let cell = second.finish(&id).await;
    cell.expect("ok", true);
    let numbers: String = (0..200).map(|i| format!("{i}\n")).collect();
    assert_eq!(seen + &cell.stdout(), numbers);
    assert_eq!(cell.result(), "'end'");
    second.end().await;
}

async fn a_late_comer_sees_what_was(stage: &Stage) {
    let mut first = stage.session().await;
    first.print("print('before')").await;
    let mut second = Client::beside(stage.gateway(), &first).await;
    assert_eq!(second.finish("c1").await.stdout(), "before\n");
    drop(second);
    first.end().await;
}

async fn what_the_log_forgot_is_named(stage: &Stage) {
    let gateway = stage.own(&["--event-log", "64KiB", "--log-disk", "0", "--window", "64KiB"]);
    let mut first = Client::create(&gateway, "python").await;
    first.print("print('x' * 1000)").await;
    let seq = first.seq();
    let flood = "for i in range(1000): print(str(i) * 200)";
    assert!(first.print(flood).await.len() > 256 << 10);
    let mut second = Client::join(&gateway, &first.ready, Some(seq)).await;
    let gap = second.until("gap").await;
    assert_eq!(gap["from"], seq + 1);
    let to = gap["to"].as_u64().unwrap();
    // The checker sees to it that the next seq is the one after the gap.
    while second.seq() < first.seq() {
        second.read().await.unwrap();
    }
    assert!(to > seq && to < second.seq());
    second.send(json!({"code": "1 + 1", "id": "s1"})).await;
    assert_eq!(second.finish("s1").await.result(), "2");
    second.end().await;
    gateway.stop().await;
}

async fn what_memory_cannot_hold_comes_from_the_disk(stage: &Stage) {
    let gateway = stage.own(&["--event-log", "64KiB", "--window", "64KiB"]);
    let mut first = Client::create(&gateway, "python").await;
    first.print("print('x' * 1000)").await;
    let seq = first.seq();
    let printed = first.print("for i in range(20_000): print(str(i) * 50)").await;
    assert!(printed.len() > 4 << 20);
    let mut second = Client::join(&gateway, &first.ready, Some(seq)).await;
    // The checker sees to it that every seq comes, or is named by a gap, of which there is none.
    let mut replayed = String::new();
    while second.seq() < first.seq() {
        let event = second.read().await.unwrap();
        assert_ne!(event["type"], "gap");
        if event["type"] == "stdout" {
            replayed += text(&event, "text");
        }
    }
    assert!(replayed == printed);
    second.end().await;
    gateway.stop().await;
}

/// How many are attached, if the message tells.
fn seats(message: &Value) -> Option<usize> {
    (message["type"] == "participants").then(|| message["list"].as_array().unwrap().len())
}

async fn two_participants_see_the_same(stage: &Stage) {
    let mut ada = stage.session().await;
    let mut bob = Client::beside(stage.gateway(), &ada).await;
    let list = ada.next_where(|event| seats(event) == Some(2)).await;
    let names: Vec<_> = list["list"].as_array().unwrap().iter().map(|p| text(p, "name")).collect();
    assert_eq!(names, ["owner", "second"]);
    assert_ne!(ada.ready["participant"], bob.ready["participant"]);
    bob.send(json!({"code": "x = 1\nprint('shared')", "id": "b1"})).await;
    for client in [&mut ada, &mut bob] {
        let cell = client.finish("b1").await;
        assert_eq!(cell.stdout(), "shared\n");
        assert_eq!(text(cell.one("queued"), "by"), "second");
    }
    assert_eq!(ada.run("x").await.result(), "1");
    // One interrupts what the other runs; the other answers what the one is asked.
    bob.send(json!({"code": "input()", "id": "b2"})).await;
    ada.until_of("input_request", "b2").await;
    ada.send(json!({"type": "input", "id": "b2", "text": "from ada"})).await;
    assert_eq!(bob.finish("b2").await.result(), "'from ada'");
    bob.send(json!({"code": "while True: pass", "id": "b3"})).await;
    ada.until_of("started", "b3").await;
    ada.send(json!({"type": "interrupt", "id": "b3"})).await;
    assert_eq!(bob.finish("b3").await.detail(), "interrupted by owner");
    // A refusal is for the one who caused it.
    bob.send(json!({"type": "fly"})).await;
    bob.until("protocol_error").await;
    bob.close().await;
    ada.next_where(|event| seats(event) == Some(1)).await;
    assert_eq!(ada.run("x").await.result(), "1");
    ada.end().await;
}

async fn a_session_nobody_needs_ends(stage: &Stage) {
    let gateway = stage.own(&["--detach-timeout", "0s", "--client-requests", "none"]);
    let mut client = Client::create(&gateway, "python").await;
    client.print("x = 1").await;
    let ready = client.ready.clone();
    client.close().await;
    let path = format!("/ws?session={}&token={}", text(&ready, "session"), text(&ready, "token"));
    // The session hears of the empty seat at once; its end takes as long as its sandbox's.
    let closed = loop {
        let (mut stream, _) =
            client::open(&gateway, client::request(&gateway, &path)).await.unwrap();
        if let Err(closed) = client::next_frame(&mut stream).await {
            break closed;
        }
    };
    assert_eq!(closed.code, 4404);
    gateway.stop().await;
}

async fn an_ended_session_is_not_found(stage: &Stage) {
    let client = stage.session().await;
    let ready = client.ready.clone();
    client.end().await;
    let path = format!("/ws?session={}&token={}", text(&ready, "session"), text(&ready, "token"));
    let gateway = stage.gateway();
    let (mut stream, _) = client::open(gateway, client::request(gateway, &path)).await.unwrap();
    assert_eq!(client::next_frame(&mut stream).await.unwrap_err().code, 4404);
}

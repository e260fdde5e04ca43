//! The document of a session: a Yjs client edits it with others, is bounded, and loses what its token does
//! not give.

use futures::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;
use yrs::updates::decoder::Decode;
use yrs::updates::encoder::Encode;
use yrs::{
    Array, Doc, GetString, Map, OffsetKind, Options, Out, ReadTxn, StateVector, Text, TextRef,
    Transact, Update,
};

use crate::common::client::{self, Client, Closed, DEADLINE};
use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{Ask, anonymous, ask, eventually};

cases![
    several_edit_one_document,
    a_document_is_filled_once,
    who_may_not_edit_is_told_so_and_sees_all,
    a_breach_ends_one_connection_alone,
    a_document_that_is_full_says_so,
    a_token_that_is_taken_back_closes_the_document,
    a_newcomer_is_sent_no_change_before_what_it_lacks,
    random_edits_with_broken_connections_converge,
    states_are_shown_until_their_client_leaves,
    a_document_is_exported_with_the_newest_outputs,
];

/// A client of the y-websocket protocol.
struct Editor {
    doc: Doc,
    stream: WebSocketStream<TcpStream>,
    path: String,
    /// The gateway said that it may not write.
    denied: Option<String>,
    /// States of others as they were last told.
    states: Vec<Value>,
}

fn frame(kinds: &[u8], bytes: &[u8]) -> Message {
    let mut frame = kinds.to_vec();
    let mut length = bytes.len();
    while length > 0x7f {
        frame.push(0x80 | (length & 0x7f) as u8);
        length >>= 7;
    }
    frame.push(length as u8);
    frame.extend_from_slice(bytes);
    Message::binary(frame)
}

/// A number in front of the bytes, and the rest.
fn number(bytes: &[u8]) -> (usize, &[u8]) {
    let end = bytes.iter().position(|byte| byte & 0x80 == 0).unwrap();
    let value =
        bytes[..=end].iter().rev().fold(0, |value, byte| value << 7 | usize::from(byte & 0x7f));
    (value, &bytes[end + 1..])
}

fn address(session: &str, token: &str) -> String {
    format!("/v1/documents/{session}?token={token}")
}

impl Editor {
    /// Joins, and has what the gateway has.
    async fn join(gateway: &Gateway, session: &str, token: &str) -> Editor {
        let path = address(session, token);
        let (stream, _) = client::open(gateway, client::request(gateway, &path)).await.unwrap();
        let doc =
            Doc::with_options(Options { offset_kind: OffsetKind::Utf16, ..Options::default() });
        let mut editor = Editor { doc, stream, path, denied: None, states: Vec::new() };
        editor.sync().await;
        editor
    }

    /// Breaks the connection off, and comes back with what was edited meanwhile.
    async fn reconnect(&mut self, gateway: &Gateway) {
        let (stream, _) =
            client::open(gateway, client::request(gateway, &self.path)).await.unwrap();
        self.stream = stream;
        self.sync().await;
    }

    async fn sync(&mut self) {
        let known = self.doc.transact().state_vector().encode_v1();
        self.send(frame(&[0, 0], &known)).await;
        while self.receive().await.unwrap() != "step 2" {}
    }

    async fn send(&mut self, message: Message) {
        self.stream.send(message).await.unwrap();
    }

    /// Takes the next frame; answers which it was.
    async fn receive(&mut self) -> Result<&'static str, Closed> {
        loop {
            let next = tokio::time::timeout(DEADLINE, self.stream.next());
            let bytes = match next.await.expect("no frame in time") {
                Some(Ok(Message::Binary(bytes))) => bytes,
                Some(Ok(Message::Close(Some(close)))) => {
                    return Err(Closed {
                        code: close.code.into(),
                        reason: close.reason.to_string(),
                    });
                }
                Some(Ok(_)) => continue,
                other => panic!("{other:?}"),
            };
            return Ok(match (bytes[0], bytes[1]) {
                (0, 0) => {
                    let known = StateVector::decode_v1(number(&bytes[2..]).1).unwrap();
                    let update = self.doc.transact().encode_state_as_update_v1(&known);
                    self.send(frame(&[0, 1], &update)).await;
                    "step 1"
                }
                (0, kind) => {
                    let update = Update::decode_v1(number(&bytes[2..]).1).unwrap();
                    self.doc.transact_mut().apply_update(update).unwrap();
                    if kind == 1 { "step 2" } else { "update" }
                }
                (1, _) => {
                    let (_, rest) = number(&bytes[1..]);
                    self.states = states(rest);
                    "states"
                }
                (2, _) => {
                    self.denied = Some(String::from_utf8(number(&bytes[2..]).1.to_vec()).unwrap());
                    "denied"
                }
                other => panic!("{other:?}"),
            });
        }
    }

    async fn until(&mut self, kind: &str) {
        while self.receive().await.unwrap() != kind {}
    }

    /// Takes frames until a text is this.
    async fn until_text(&mut self, wanted: &str) {
        while self.text() != wanted {
            self.receive().await.unwrap();
        }
    }

    async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.receive().await {
                return closed;
            }
        }
    }

    /// The text of the first cell.
    fn source(&self) -> TextRef {
        let cells = self.doc.get_or_insert_array("cells");
        let txn = self.doc.transact();
        let Some(Out::YMap(cell)) = cells.get(&txn, 0) else { panic!("no cell") };
        let Some(Out::YText(text)) = cell.get(&txn, "source") else { panic!("no text") };
        text
    }

    fn text(&self) -> String {
        let text = self.source();
        text.get_string(&self.doc.transact())
    }

    fn change(&self, work: impl FnOnce(&TextRef, &mut yrs::TransactionMut<'_>)) -> Message {
        let text = self.source();
        let mut txn = self.doc.transact_mut();
        work(&text, &mut txn);
        frame(&[0, 2], &txn.encode_update_v1())
    }

    async fn edit(&mut self, work: impl FnOnce(&TextRef, &mut yrs::TransactionMut<'_>)) {
        let message = self.change(work);
        self.send(message).await;
    }
}

fn states(bytes: &[u8]) -> Vec<Value> {
    let (count, mut rest) = number(bytes);
    let mut states = Vec::new();
    for _ in 0..count {
        let (client, after) = number(rest);
        let (_clock, after) = number(after);
        let (length, after) = number(after);
        let state: Value = serde_json::from_slice(&after[..length]).unwrap();
        states.push(json!([client, state]));
        rest = &after[length..];
    }
    states
}

fn state(client: u8, clock: u8, state: &Value) -> Message {
    let text = state.to_string();
    let Message::Binary(inner) = frame(&[1, client, clock], text.as_bytes()) else {
        unreachable!()
    };
    frame(&[1], &inner)
}

fn document(session: &str, ending: &str) -> String {
    format!("/v1/sessions/{session}/document{ending}")
}

async fn fill(gateway: &Gateway, session: &str, cells: Value) -> Value {
    let path = document(session, "");
    let body = json!({"title": "T", "cells": cells}).to_string();
    let reply = ask(gateway, "POST", &path).body(body).reply().await;
    assert!([200, 201].contains(&reply.status), "{reply:?}");
    serde_json::from_slice(&reply.body).unwrap()
}

async fn read(gateway: &Gateway, session: &str) -> Value {
    ask(gateway, "GET", document(session, "")).reply().await.json(200)
}

fn one_cell(source: &str) -> Value {
    json!([{"id": "a", "source": source}])
}

async fn grant(gateway: &Gateway, session: &str, what: Value) -> Value {
    let path = format!("/v1/sessions/{session}/tokens");
    ask(gateway, "POST", &path).body(what.to_string()).reply().await.json(201)
}

fn secret(granted: &Value) -> String {
    granted["token"].as_str().unwrap().to_owned()
}

async fn several_edit_one_document(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let first = client.until("participants").await;
    assert_eq!(first.get("document"), None, "nobody has opened it");
    let session = client.session().to_owned();
    fill(gateway, &session, one_cell("1 + é🦀")).await;
    let told = client.until("participants").await;
    assert_eq!(told["document"], true);
    let mut one = Editor::join(gateway, &session, &gateway.token).await;
    let mut other = Editor::join(gateway, &session, client::text(&client.ready, "token")).await;
    one.edit(|text, txn| text.insert(txn, 0, "x = ")).await;
    other.until_text("x = 1 + é🦀").await;
    // Half of a surrogate pair is removed: each side has the same, and nobody is disconnected.
    other.edit(|text, txn| text.remove_range(txn, 9, 1)).await;
    one.until_text("x = 1 + é\u{fffd}").await;
    let wanted = json!({"title": "T", "cells": [{"id": "a", "kind": "code", "source": "x = 1 + é\u{fffd}"}]});
    assert_eq!(read(gateway, &session).await, wanted);
    client.end().await;
    assert_eq!(one.closed().await.code, 4404);
    let (stream, _) = client::open(gateway, client::request(gateway, &one.path)).await.unwrap();
    one.stream = stream;
    assert_eq!(one.closed().await.code, 4404);
}

async fn a_document_is_filled_once(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    let both = futures::join!(
        fill(gateway, &session, one_cell("one")),
        fill(gateway, &session, one_cell("two"))
    );
    let seeded = [both.0, both.1].map(|answer| answer["seeded"] == true);
    assert_eq!(seeded.into_iter().filter(|seeded| *seeded).count(), 1);
    let wanted = if seeded[0] { "one" } else { "two" };
    assert_eq!(read(gateway, &session).await["cells"][0]["source"], wanted);

    let path = document(&session, "");
    let post = |body: &str| ask(gateway, "POST", &path).body(body.to_owned());
    for (body, words) in [
        ("", "the body is not such as"),
        ("{\"cells\": [{\"source\": \"1\"}]}", "missing field `id`"),
        ("{\"cells\": [{\"id\": \"\", \"source\": \"1\"}]}", "1 to 128 bytes"),
        ("{\"cells\": [{\"id\": \"a\", \"source\": \"1\", \"kind\": \"x\"}]}", "unknown variant"),
        (
            "{\"cells\": [{\"id\": \"a\", \"source\": \"1\"}, {\"id\": \"a\", \"source\": \"2\"}]}",
            "two cells have the id \"a\"",
        ),
    ] {
        let detail = post(body).reply().await.problem(400);
        assert!(detail.contains(words), "{detail}");
    }
    let other = stage.session().await;
    let path = document(other.session(), "");
    let large = json!({"cells": one_cell(&"x".repeat(4 << 20))}).to_string();
    let detail = ask(gateway, "POST", &path).body(large).reply().await.problem(413);
    assert!(detail.contains("4 MiB"), "{detail}");
    let larger = "x".repeat((8 << 20) + 1);
    ask(gateway, "POST", &path).body(larger).reply().await.problem(413);
    let viewer = grant(gateway, other.session(), json!({"role": "viewer"})).await;
    let runs_only = grant(gateway, other.session(), json!({"role": "editor", "edit": false})).await;
    for token in [secret(&viewer), secret(&runs_only)] {
        let refused =
            anonymous(gateway, "POST", path.clone()).token(&token).body(one_cell("").to_string());
        let detail = refused.reply().await.problem(403);
        assert!(detail.contains("right to edit"), "{detail}");
        let read: Ask<'_> = anonymous(gateway, "GET", path.clone()).token(&token);
        assert_eq!(read.reply().await.json(200)["cells"], json!([]));
    }
    anonymous(gateway, "GET", path).reply().await.problem(401);
    other.end().await;
    client.end().await;
}

async fn who_may_not_edit_is_told_so_and_sees_all(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    fill(gateway, &session, one_cell("1")).await;
    let granted = grant(gateway, &session, json!({"role": "editor"})).await;
    let request =
        client::request(gateway, &format!("/ws?session={session}&token={}", secret(&granted)));
    let joined = Client::with_request(gateway, request, Default::default()).await;
    let mut one = Editor::join(gateway, &session, client::text(&joined.ready, "token")).await;
    let mut owner = Editor::join(gateway, &session, &gateway.token).await;
    one.edit(|text, txn| text.insert(txn, 1, "2")).await;
    owner.until_text("12").await;
    let number = joined.ready["participant"].as_u64().unwrap();
    let rights = |what: Value| {
        let path = format!("/v1/sessions/{session}/participants/{number}");
        async move { ask(gateway, "PATCH", &path).body(what.to_string()).reply().await.status }
    };
    assert_eq!(rights(json!({"edit": false})).await, 204);
    one.edit(|text, txn| text.insert(txn, 2, "3")).await;
    one.until("denied").await;
    assert!(one.denied.as_deref().unwrap().contains("not change it"), "{:?}", one.denied);
    owner.edit(|text, txn| text.insert(txn, 0, "0")).await;
    one.until_text("0123").await;
    assert_eq!(read(gateway, &session).await["cells"][0]["source"], "012");
    // What it has is taken when it comes back, once it may edit again.
    assert_eq!(rights(json!({"edit": true})).await, 204);
    one.reconnect(gateway).await;
    owner.until_text("0123").await;
    client.end().await;
    drop(joined);
}

async fn a_breach_ends_one_connection_alone(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    fill(gateway, &session, one_cell("1")).await;
    let mut bystander = Editor::join(gateway, &session, &gateway.token).await;
    let nested: Vec<u8> =
        [&[1, 1, 1, 0, 8, 1, 1, b't', 1][..], &[117, 1].repeat(100_000), &[126, 0]].concat();
    let long = json!({"user": "x".repeat(9000)});
    for (wrong, code, words) in [
        (Message::text("{}"), 1007, "binary"),
        (Message::binary(vec![9, 9]), 1007, "broken frame"),
        (frame(&[0, 2], &[1, 2, 3]), 1007, "broken update"),
        (frame(&[0, 2], &nested), 1007, "nested too deeply"),
        // A list that says it has 2^28 elements.
        (
            frame(&[0, 2], &[1, 1, 1, 0, 8, 1, 1, b't', 1, 117, 0x80, 0x80, 0x80, 0x80, 1, 0]),
            1007,
            "broken update",
        ),
        (
            frame(&[0, 2], &[1, 1, 5, 9, 4, 1, 1, b't', 1, b'x', 0]),
            1007,
            "leaves out what came before",
        ),
        (frame(&[0, 0], &[9, 9]), 1007, "broken update"),
        (frame(&[0, 2], &vec![0; (256 << 10) + 1]), 1009, "connect again"),
        (state(5, 1, &long), 1009, "8192 bytes"),
    ] {
        let mut editor = Editor::join(gateway, &session, &gateway.token).await;
        editor.send(wrong).await;
        let closed = editor.closed().await;
        assert!(closed.code == code && closed.reason.contains(words), "{words}: {closed:?}");
    }
    let mut flood = Editor::join(gateway, &session, &gateway.token).await;
    for _ in 0..600 {
        flood.stream.feed(frame(&[0, 2], &[0, 0])).await.unwrap();
    }
    flood.stream.flush().await.unwrap();
    let closed = flood.closed().await;
    assert!(closed.code == 1013 && closed.reason.contains("50 updates a second"), "{closed:?}");
    let mut one = Editor::join(gateway, &session, &gateway.token).await;
    one.edit(|text, txn| text.insert(txn, 1, " + 1")).await;
    bystander.until_text("1 + 1").await;
    client.end().await;
}

async fn a_document_that_is_full_says_so(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    fill(gateway, &session, one_cell(&"x".repeat((4 << 20) - 10_000))).await;
    let mut editor = Editor::join(gateway, &session, &gateway.token).await;
    editor.edit(|text, txn| text.insert(txn, 0, "small")).await;
    editor.edit(|text, txn| text.insert(txn, 0, &"y".repeat(20_000))).await;
    let closed = editor.closed().await;
    assert!(closed.code == 4431 && closed.reason.contains("larger than 4 MiB"), "{closed:?}");
    let said = read(gateway, &session).await;
    assert!(said["cells"][0]["source"].as_str().unwrap().starts_with("smallxxx"));
    client.end().await;
}

async fn a_token_that_is_taken_back_closes_the_document(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    let granted = grant(gateway, &session, json!({"role": "editor"})).await;
    let mut editor = Editor::join(gateway, &session, &secret(&granted)).await;
    let path = format!("/v1/sessions/{session}/tokens/{}", granted["id"]);
    assert_eq!(ask(gateway, "DELETE", &path).reply().await.status, 204);
    assert_eq!(editor.closed().await.code, 4401);
    let brief = grant(gateway, &session, json!({"role": "editor", "expires_in_ms": 300})).await;
    let mut editor = Editor::join(gateway, &session, &secret(&brief)).await;
    assert_eq!(editor.closed().await.code, 4401);
    for (session, token, code) in [
        (session.as_str(), "wrong", 4401),
        (session.as_str(), "", 4401),
        ("nosuchsession", gateway.token.as_str(), 4404),
    ] {
        let request = client::request(gateway, &address(session, token));
        let (stream, _) = client::open(gateway, request).await.unwrap();
        editor.stream = stream;
        assert_eq!(editor.closed().await.code, code, "{session} {token}");
    }
    client.end().await;
}

async fn a_newcomer_is_sent_no_change_before_what_it_lacks(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    fill(gateway, &session, one_cell("")).await;
    let mut writer = Editor::join(gateway, &session, &gateway.token).await;
    let path = address(&session, &gateway.token);
    let (stream, _) = client::open(gateway, client::request(gateway, &path)).await.unwrap();
    let mut late = Editor { doc: Doc::new(), stream, path, denied: None, states: Vec::new() };
    assert_eq!(late.receive().await.unwrap(), "step 1");
    writer.edit(|text, txn| text.insert(txn, 0, "one")).await;
    eventually("the change", async || {
        (read(gateway, &session).await["cells"][0]["source"] == "one").then_some(())
    })
    .await;
    late.send(frame(&[0, 0], &StateVector::default().encode_v1())).await;
    assert_eq!(late.receive().await.unwrap(), "step 2");
    assert_eq!(late.text(), "one");
    writer.edit(|text, txn| text.insert(txn, 3, " two")).await;
    assert_eq!(late.receive().await.unwrap(), "update");
    assert_eq!(late.text(), "one two");
    client.end().await;
}

async fn random_edits_with_broken_connections_converge(stage: &Stage) {
    const EDITORS: usize = 8;
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    fill(gateway, &session, one_cell("")).await;
    let edit_all = (0..EDITORS).map(|number| {
        let session = session.as_str();
        async move {
            let mut editor = Editor::join(gateway, session, &gateway.token).await;
            let mut random = 88_172_645_463_325_252_u64 + number as u64; // xorshift64 (Marsaglia 2003)
            let mut next = move |below: u32| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random % u64::from(below)) as u32
            };
            for round in 0..60 {
                let change = |text: &TextRef, txn: &mut yrs::TransactionMut<'_>| {
                    let length = text.len(txn);
                    if next(4) == 0 && length > 3 {
                        let at = next(length - 2);
                        text.remove_range(txn, at, 2);
                    } else {
                        let at = next(length + 1);
                        text.insert(txn, at, ["a", "bc", "é🦀", "\n"][next(4) as usize]);
                    }
                };
                let message = editor.change(change);
                // What is lost with its connection comes with the next one.
                if round % 16 == number % 16 {
                    editor.reconnect(gateway).await;
                } else {
                    editor.send(message).await;
                }
                if round % 4 == 0 {
                    editor.sync().await;
                }
            }
            editor.reconnect(gateway).await;
            editor
        }
    });
    let mut editors = futures::future::join_all(edit_all).await;
    for editor in &mut editors {
        editor.sync().await;
    }
    let wanted = read(gateway, &session).await["cells"][0]["source"].clone();
    assert!(wanted.as_str().unwrap().len() > 200);
    for editor in &editors {
        assert_eq!(editor.text(), wanted.as_str().unwrap());
    }
    client.end().await;
}

async fn states_are_shown_until_their_client_leaves(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = client.session().to_owned();
    let viewer = grant(gateway, &session, json!({"role": "viewer"})).await;
    let mut one = Editor::join(gateway, &session, &gateway.token).await;
    let mut other = Editor::join(gateway, &session, &secret(&viewer)).await;
    let ada = json!({"user": {"name": "Ada"}});
    other.send(state(7, 1, &ada)).await;
    one.until("states").await;
    assert_eq!(one.states, [json!([7, ada])]);
    // Somebody else's state is not changed, and a newcomer is told it.
    one.send(state(7, 9, &json!({"user": {"name": "Eve"}}))).await;
    let mut third = Editor::join(gateway, &session, &gateway.token).await;
    if third.states.is_empty() {
        third.until("states").await;
    }
    assert_eq!(third.states, [json!([7, ada])]);
    drop(other);
    one.until("states").await;
    assert_eq!(one.states, [json!([7, null])]);
    client.end().await;
}

async fn a_document_is_exported_with_the_newest_outputs(stage: &Stage) {
    let gateway = stage.gateway();
    let mut client = stage.session().await;
    let session = client.session().to_owned();
    let cells = json!([
        {"id": "text", "kind": "markdown", "source": "# Title"},
        {"id": "a", "source": "print('old')"}, {"id": "b", "source": "1 / 0"},
    ]);
    fill(gateway, &session, cells).await;
    client.run_with("print('old')", json!({"cell": "a"})).await;
    client.run_with("print('new'); 6 * 7", json!({"cell": "a"})).await;
    client.run_with("1 / 0", json!({"id": "b.1"})).await;
    let path = document(&session, ".ipynb");
    let reply = ask(gateway, "GET", &path).reply().await;
    assert_eq!(reply.header("content-type"), "application/x-ipynb+json");
    let notebook: Value = serde_json::from_slice(&reply.body).unwrap();
    let code = &notebook["cells"][1];
    assert_eq!((&code["id"], &code["execution_count"]), (&json!("a"), &json!(2)));
    assert_eq!(
        code["outputs"],
        json!([
            {"output_type": "stream", "name": "stdout", "text": "new\n"},
            {"output_type": "execute_result", "execution_count": 2, "data": {"text/plain": "42"}, "metadata": {}},
        ])
    );
    assert_eq!(notebook["cells"][2]["outputs"][0]["ename"], "ZeroDivisionError");
    let reply = ask(gateway, "GET", document(&session, ".py")).reply().await;
    let wanted = "# %% [markdown]\n# # Title\n\n# %%\nprint('old')\n\n# %%\n1 / 0\n";
    assert_eq!((reply.status, String::from_utf8_lossy(&reply.body).as_ref()), (200, wanted));
    // Who reads the log is no participant.
    let listed = client.until("participants").await;
    assert_eq!(listed["list"].as_array().unwrap().len(), 1);
    client.end().await;
}

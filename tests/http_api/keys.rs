//! Publishable keys: what each route and each message answers to a key and to a token of a session
//! that was made with one, the bounds, and the origins.

use std::collections::BTreeSet;

use futures::future::join_all;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Error;
use tokio_tungstenite::tungstenite::handshake::client::Request;

use crate::common::checker::Checker;
use crate::common::client::{self, Client, Closed};
use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{Ask, anonymous, ask, eventually, sessions};

cases![
    each_route_answers_a_key_as_the_table_says,
    a_token_opens_its_own_session_alone,
    each_message_is_answered_as_the_table_says,
    a_key_opens_its_templates_alone,
    a_key_joins_no_session,
    a_run_takes_no_environment,
    sessions_are_bounded_for_all_and_for_each_address,
    openings_at_one_moment_stay_within_the_bound,
    cells_are_bounded_for_all_and_for_each_address,
    a_session_lives_no_longer_than_its_key_says,
    a_link_gives_no_more_than_the_key,
    changed_rights_give_no_more_than_the_key,
    a_page_uses_a_key_from_its_origins_alone,
    a_page_reads_answers_from_its_origins_alone,
    a_key_in_the_address_lets_its_origins_frame_the_page,
    a_gateway_without_a_token_gives_a_key_no_more,
];

const LESSON: &str = "pk_lesson-0123456789";
const OPEN: &str = "pk_open-0123456789ab";
const ORIGIN: &str = "https://lesson.example";

/// One key that allows little and one that allows all; the bounds are too wide to be reached.
const SETTINGS: &str = r#"
allow_weak_limits = true
allow_origin = ["https://listed.example"]

[clients]
requests = "none"

[templates.other.limits]
timeout = "10s"

[keys.lesson]
key = "pk_lesson-0123456789"
origins = ["https://lesson.example"]
sessions_per_address = 50

[keys.open]
key = "pk_open-0123456789ab"
templates = ["other", "python"]
origins = ["*"]
sessions_per_address = 50
files = true
sharing = true
"#;

fn gateway(stage: &Stage) -> Gateway {
    Gateway::with_settings(stage.backend, SETTINGS, &[])
}

/// A gateway behind a proxy that says who a client is, with one key of these settings.
fn bounded(stage: &Stage, more: &str) -> Gateway {
    let settings = format!(
        "allow_weak_limits = true\n[clients]\ntrusted_proxies = [\"127.0.0.1\"]\nrequests = \"none\"\n\
         [keys.lesson]\nkey = \"{LESSON}\"\norigins = [\"*\"]\n{more}\n"
    );
    Gateway::with_settings(stage.backend, &settings, &[])
}

/// A handshake with these headers.
fn socket(gateway: &Gateway, path: &str, headers: &[(&'static str, &str)]) -> Request {
    let mut request = client::request(gateway, path);
    for (name, value) in headers {
        request.headers_mut().append(*name, value.parse().unwrap());
    }
    request
}

/// A session that a page of the gateway makes with a key.
async fn session(gateway: &Gateway, key: &str) -> Client {
    let own = format!("http://{}", gateway.address);
    let request = socket(gateway, &format!("/ws?token={key}"), &[("origin", &own)]);
    Client::with_request(gateway, request, Checker::default()).await
}

/// A session that a client at this address makes with the key.
async fn from(gateway: &Gateway, last: u8) -> Client {
    Client::with_request(gateway, request_from(gateway, last), Checker::default()).await
}

fn request_from(gateway: &Gateway, last: u8) -> Request {
    let address = format!("192.0.2.{last}");
    socket(gateway, &format!("/ws?token={LESSON}"), &[("x-forwarded-for", &address)])
}

fn token_of(client: &Client) -> String {
    client::text(&client.ready, "token").to_owned()
}

/// The first message of a connection, or what it was closed with.
async fn opened(gateway: &Gateway, request: Request) -> Result<Value, Closed> {
    let (mut stream, _) = client::open(gateway, request).await.unwrap();
    client::next_frame(&mut stream).await.map(|text| serde_json::from_str(&text).unwrap())
}

/// The status that a handshake is refused with; 101 if it is not.
async fn handshake(gateway: &Gateway, request: Request) -> u16 {
    match client::open(gateway, request).await {
        Ok(_) => 101,
        Err(Error::Http(response)) => {
            let body = response.body().as_deref().unwrap_or_default();
            let problem: Value = serde_json::from_slice(body).unwrap_or_default();
            assert!(problem["detail"].is_string(), "{response:?}");
            response.status().as_u16()
        }
        Err(other) => panic!("{other}"),
    }
}

/// A route, and its status for a key, for a token of a session that was made with it, and for one of
/// a session whose key allows files and sharing.
type Row = (&'static str, &'static str, [u16; 3]);

/// All routes; ending the session comes last.
const ROUTES: [Row; 40] = [
    ("get", "/ws", [426, 426, 426]), // each may connect: see the messages
    ("get", "/healthz", [200, 200, 200]),
    ("get", "/readyz", [200, 200, 200]),
    ("get", "/metrics", [403, 401, 401]),
    ("get", "/v1/openapi.json", [200, 200, 200]),
    ("post", "/mcp", [403, 401, 401]),
    ("get", "/mcp", [403, 401, 401]),
    ("delete", "/mcp", [403, 401, 401]),
    ("post", "/v1/run", [200, 401, 401]),
    ("get", "/v1/keys", [403, 401, 401]),
    ("get", "/v1/sessions", [403, 401, 401]),
    // The body is one that grants a token, which these routes do not read.
    ("post", "/v1/sessions", [400, 401, 401]),
    ("get", "/v1/sessions/{id}", [401, 200, 200]),
    ("post", "/v1/sessions/{id}/cells", [401, 400, 400]),
    ("get", "/v1/sessions/{id}/cells/{cell}", [401, 404, 404]),
    ("get", "/v1/sessions/{id}/events", [401, 400, 400]), // from no number
    ("post", "/v1/sessions/{id}/interrupt", [401, 400, 400]),
    ("post", "/v1/sessions/{id}/input", [401, 400, 400]),
    ("post", "/v1/sessions/{id}/restart", [401, 202, 202]),
    ("post", "/v1/sessions/{id}/tokens", [401, 403, 201]),
    ("get", "/v1/sessions/{id}/tokens", [401, 200, 200]),
    ("delete", "/v1/sessions/{id}/tokens/{token}", [401, 404, 404]),
    ("patch", "/v1/sessions/{id}/participants/{participant}", [401, 404, 404]),
    ("delete", "/v1/sessions/{id}/participants/{participant}", [401, 404, 404]),
    ("get", "/v1/sessions/{id}/cells/{cell}/output", [401, 404, 404]),
    ("get", "/v1/sessions/{id}/files", [401, 403, 200]),
    ("put", "/v1/sessions/{id}/files/{path}", [401, 403, 201]),
    ("get", "/v1/sessions/{id}/files/{path}", [401, 403, 200]),
    // What the file gets stands in the query; without it there is nothing to be done.
    ("post", "/v1/sessions/{id}/files/{path}", [401, 403, 400]),
    ("delete", "/v1/sessions/{id}/files/{path}", [401, 403, 204]),
    ("post", "/v1/sessions/{id}/directories/{path}", [401, 403, 201]),
    ("get", "/v1/sessions/{id}/stat/{path}", [401, 403, 200]),
    ("get", "/v1/sessions/{id}/watch", [401, 403, 400]), // neither true nor false
    ("get", "/v1/sessions/{id}/watch/{path}", [401, 403, 400]),
    ("get", "/v1/documents/{id}", [426, 426, 426]), // as for /ws
    ("get", "/v1/sessions/{id}/document", [401, 200, 200]),
    // Without cells there is nothing to fill it with.
    ("post", "/v1/sessions/{id}/document", [401, 400, 400]),
    ("get", "/v1/sessions/{id}/document.ipynb", [401, 200, 200]),
    ("get", "/v1/sessions/{id}/document.py", [401, 200, 200]),
    ("delete", "/v1/sessions/{id}", [401, 204, 204]),
];

/// A request for a route of this session. What it names beside the session is not there, but for the
/// file that was written before.
fn ask_route<'a>(gateway: &'a Gateway, method: &'a str, path: &str, session: &str) -> Ask<'a> {
    let real = path
        .replace("{id}", session)
        .replace("{path}", "file")
        .replace("/events", "/events?after=nothing")
        .replace("{cell}", "c1")
        .replace("{token}", "99")
        .replace("{participant}", "99");
    let real = match path.contains("/watch") {
        true => format!("{real}?recursive=maybe"),
        false => real,
    };
    let body = match path {
        "/v1/run" => json!({"code": "1"}),
        _ => json!({"role": "viewer"}),
    };
    // As the gateway's own page asks.
    let own = format!("http://{}", gateway.address);
    anonymous(gateway, method, real).header("origin", own).json(&body)
}

async fn each_route_answers_a_key_as_the_table_says(stage: &Stage) {
    let gateway = gateway(stage);
    let description = anonymous(&gateway, "GET", "/v1/openapi.json").reply().await.json(200);
    let mut described = BTreeSet::new();
    for (path, item) in description["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            described.insert((method.clone(), path.clone()));
        }
    }
    let rows = ROUTES.iter().map(|(method, path, _)| (method.to_string(), path.to_string()));
    assert_eq!(described, rows.collect(), "each route has a row");
    let (one, open) = (session(&gateway, LESSON).await, session(&gateway, OPEN).await);
    let tokens = [LESSON.to_owned(), token_of(&one), token_of(&open)];
    let ids = [one.session(), one.session(), open.session()];
    for (method, path, statuses) in ROUTES {
        let method = method.to_uppercase();
        for (at, status) in statuses.into_iter().enumerate() {
            let ask = ask_route(&gateway, &method, path, ids[at]).token(&tokens[at]);
            let reply = ask.reply().await;
            assert_eq!(reply.status, status, "{method} {path} {}: {reply:?}", tokens[at]);
            if [401, 403].contains(&status) {
                reply.problem(status);
            }
            if path == "/readyz" {
                assert_eq!(reply.body, "ready\n", "how full it is, is the operator's to know");
            }
        }
    }
    let listed = ask(&gateway, "GET", "/v1/keys").reply().await.json(200);
    let wanted = json!({"keys": [
        {"name": "lesson", "key": LESSON, "templates": ["python"], "origins": [ORIGIN], "sharing": false},
        {"name": "open", "key": OPEN, "templates": ["other", "python"], "origins": ["*"], "sharing": true},
    ]});
    assert_eq!(listed, wanted);
    let ready = ask(&gateway, "GET", "/readyz").reply().await;
    assert!(String::from_utf8_lossy(&ready.body).contains("pool python"), "{ready:?}");
    gateway.stop().await;
}

async fn a_token_opens_its_own_session_alone(stage: &Stage) {
    let gateway = gateway(stage);
    let (one, other) = (session(&gateway, OPEN).await, session(&gateway, OPEN).await);
    let routes = ROUTES.iter().filter(|(_, path, _)| path.starts_with("/v1/sessions/{id}"));
    for (method, path, _) in routes.clone() {
        let method = method.to_uppercase();
        let ask = ask_route(&gateway, &method, path, other.session()).token(&token_of(&one));
        ask.reply().await.problem(401);
    }
    let path = format!("/ws?session={}&token={}", other.session(), token_of(&one));
    let closed = opened(&gateway, client::request(&gateway, &path)).await.unwrap_err();
    assert_eq!(closed.code, 4401, "{closed:?}");
    let path = format!("/v1/documents/{}?token={}", other.session(), token_of(&one));
    let closed = opened(&gateway, client::request(&gateway, &path)).await.unwrap_err();
    assert_eq!(closed.code, 4401, "{closed:?}");
    // The gateway's token may do in a key's session what it may in all.
    let lesson = session(&gateway, LESSON).await;
    for (method, path, [.., status]) in routes {
        let method = method.to_uppercase();
        let reply = ask_route(&gateway, &method, path, lesson.session()).token(&gateway.token);
        assert_eq!(reply.reply().await.status, *status, "{method} {path}");
    }
    gateway.stop().await;
}

/// What a client says, and the type of what comes of it: an event or a reply, `protocol_error` and its
/// code, or nothing.
fn messages() -> Vec<(Value, &'static str)> {
    let comm = |kind: &str, id: &str| json!({"type": kind, "id": id, "comm_id": "w", "data": {}});
    let mut open = comm("comm_open", "m1");
    open["target_name"] = json!("nothing");
    let cat =
        || json!({"type": "open", "id": "p", "kind": "process", "argv": ["cat"], "stdin": true});
    vec![
        (json!({"type": "ping", "n": 1}), "pong"),
        (json!({"type": "ack", "seq": 1}), ""),
        (json!({"type": "execute", "id": "a", "code": "x = 6"}), "done"),
        (
            json!({"type": "execute", "id": "b", "code": "x", "env": {"A": "1"}}),
            "protocol_error forbidden",
        ),
        (json!({"type": "execute", "id": "c", "code": "x", "timeout_ms": 86_400_000}), "done"),
        (json!({"type": "interrupt"}), ""),
        (json!({"type": "input", "id": "a", "text": "1"}), "protocol_error not_running"),
        (json!({"type": "complete", "id": "q1", "code": "x", "cursor": 1}), "complete_reply"),
        (json!({"type": "inspect", "id": "q2", "code": "x", "cursor": 1}), "inspect_reply"),
        (json!({"type": "is_complete", "id": "q3", "code": "x"}), "is_complete_reply"),
        (json!({"type": "table", "id": "q4", "variable": "x"}), "table_reply"),
        (json!({"type": "variables", "id": "q5"}), "variables_reply"),
        (open, "done"),
        (comm("comm_msg", "m2"), "done"),
        (comm("comm_close", "m3"), "done"),
        (
            json!({"type": "open", "id": "p", "kind": "process", "argv": ["ls"], "env": {"A": "1"}}),
            "protocol_error forbidden",
        ),
        (cat(), "opened"),
        (json!({"type": "write", "id": "p", "text": "x"}), "stdout"),
        (
            json!({"type": "resize", "id": "p", "cols": 80, "rows": 24}),
            "protocol_error bad_message",
        ),
        (json!({"type": "signal", "id": "p", "signal": "SIGTERM"}), "exited"),
        (cat(), "opened"),
        (json!({"type": "close", "id": "p"}), "exited"),
        (json!({"type": "restart"}), "restarted"),
        (json!({"type": "end"}), "ended"),
    ]
}

async fn each_message_is_answered_as_the_table_says(stage: &Stage) {
    let golden = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/protocol");
    let mut known = BTreeSet::new();
    for file in std::fs::read_dir(golden).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        let message: Value = serde_json::from_str(&text).unwrap();
        if message["from"] == "client" {
            known.insert(client::text(&message["full"], "type").to_owned());
        }
    }
    let rows = messages();
    let told: BTreeSet<_> =
        rows.iter().map(|(message, _)| client::text(message, "type").to_owned()).collect();
    assert_eq!(told, known, "each message has a row");

    let gateway = gateway(stage);
    for comes_back in [false, true] {
        let mut client = session(&gateway, LESSON).await;
        assert_eq!(client.ready["role"], "owner");
        assert_eq!(client.ready["allowed"], json!({"files": false, "sharing": false}));
        if comes_back {
            client = client.resume(&gateway).await; // with the session's token
        }
        for (message, answer) in messages() {
            client.forget();
            client.send(message.clone()).await;
            if answer.is_empty() {
                // Messages are answered in order: what is refused is refused before the `pong`.
                client.send(json!({"type": "ping"})).await;
                let next = client
                    .next_where(|one| one["type"] == "pong" || one["type"] == "protocol_error")
                    .await;
                assert_eq!(next["type"], "pong", "{message}");
                continue;
            }
            let (kind, code) = answer.split_once(' ').unwrap_or((answer, ""));
            let found = client
                .next_where(|one| one["type"] == kind || one["type"] == "protocol_error")
                .await;
            assert_eq!(found["type"], kind, "{message}: {found}");
            assert_eq!(found["code"].as_str().unwrap_or_default(), code, "{message}: {found}");
            if kind == "done" && message["type"] == "execute" {
                assert_eq!(found["status"], "ok", "{message}: {found}");
            }
        }
    }
    let allowed = session(&gateway, OPEN).await.ready["allowed"].clone();
    assert_eq!(allowed, Value::Null, "a session that may all says nothing");
    gateway.stop().await;
}

async fn a_key_opens_its_templates_alone(stage: &Stage) {
    let gateway = gateway(stage);
    for (key, template, found) in [
        (LESSON, "", Ok("python")),
        (LESSON, "&template=python", Ok("python")),
        (LESSON, "&template=other", Err("python")),
        // Which others there are is not told.
        (LESSON, "&template=cobol", Err("python")),
        (OPEN, "", Ok("other")),
        (OPEN, "&template=python", Ok("python")),
    ] {
        let own = format!("http://{}", gateway.address);
        let path = format!("/ws?token={key}{template}");
        match (opened(&gateway, socket(&gateway, &path, &[("origin", &own)])).await, found) {
            (Ok(ready), Ok(template)) => assert_eq!(ready["template"], template),
            (Err(closed), Err(allowed)) => {
                assert_eq!(closed.code, 4403, "{closed:?}");
                assert!(closed.reason.contains(allowed) && !closed.reason.contains("other"));
            }
            (other, _) => panic!("{path}: {other:?}"),
        }
        let path = format!("/v1/run?{}", template.trim_start_matches('&'));
        let status = if found.is_ok() { 200 } else { 403 };
        let reply = anonymous(&gateway, "POST", path).token(key).body("1").reply().await;
        assert_eq!(reply.status, status, "{reply:?}");
    }
    gateway.stop().await;
}

async fn a_key_joins_no_session(stage: &Stage) {
    let gateway = gateway(stage);
    let (one, operators) =
        (session(&gateway, OPEN).await, Client::create(&gateway, "python").await);
    for session in [one.session(), operators.session()] {
        let path = format!("/ws?session={session}&token={OPEN}");
        let closed = opened(&gateway, client::request(&gateway, &path)).await.unwrap_err();
        assert_eq!(closed.code, 4401, "{closed:?}");
    }
    gateway.stop().await;
}

async fn a_run_takes_no_environment(stage: &Stage) {
    let gateway = gateway(stage);
    let order = json!({"code": "1", "env": {"A": "1"}});
    let run = || anonymous(&gateway, "POST", "/v1/run").json(&order);
    assert!(run().token(LESSON).reply().await.problem(403).contains("os.environ"));
    assert_eq!(run().token(&gateway.token).reply().await.status, 200);
    gateway.stop().await;
}

async fn sessions_are_bounded_for_all_and_for_each_address(stage: &Stage) {
    let gateway = bounded(stage, "sessions = 2\nsessions_per_address = 1");
    let first = from(&gateway, 1).await;
    for (last, bound) in [(1, "all 1 sessions that one address"), (1, "one address")] {
        let closed = opened(&gateway, request_from(&gateway, last)).await.unwrap_err();
        assert!(closed.code == 4429 && closed.reason.contains(bound), "{closed:?}");
    }
    let _second = from(&gateway, 2).await;
    let closed = opened(&gateway, request_from(&gateway, 3)).await.unwrap_err();
    assert!(closed.code == 4429 && closed.reason.contains("all 2 sessions"), "{closed:?}");
    let run = |last: u8| {
        let address = format!("192.0.2.{last}");
        anonymous(&gateway, "POST", "/v1/run").token(LESSON).header("x-forwarded-for", address)
    };
    let reply = run(3).body("1").reply().await;
    assert!(reply.problem(429).contains("all 2 sessions"));
    assert!(!reply.header("retry-after").is_empty());
    // The operator's sessions are none of the key's.
    let operators = Client::create(&gateway, "python").await;
    assert_eq!(operators.ready["allowed"], Value::Null);
    let made_with = |session: &Value| (session["id"].clone(), session["key"].clone());
    let listed: Vec<_> = sessions(&gateway).await.iter().map(made_with).collect();
    assert!(listed.contains(&(json!(first.session()), json!("lesson"))), "{listed:?}");
    assert!(listed.contains(&(json!(operators.session()), Value::Null)), "{listed:?}");
    let log = gateway.log();
    assert!(log.contains("key=\"lesson\"") && !log.contains(LESSON), "{log}");
    let metrics = ask(&gateway, "GET", "/metrics").reply().await;
    let refused = "cellgate_sessions_refused_total{reason=\"too_many_of_key\"} 4";
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    assert!(metrics.contains(refused), "{metrics}");
    // What ends makes room.
    first.end().await;
    eventually("a place is free again", async || {
        let reply = run(3).body("1").reply().await;
        (reply.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn openings_at_one_moment_stay_within_the_bound(stage: &Stage) {
    let gateway = bounded(stage, "sessions = 3\nsessions_per_address = 2");
    // Eight from one address, four from others; each that is let in stays until all are answered.
    let openings = (0..12).map(|number: u8| {
        let request = request_from(&gateway, if number < 8 { 1 } else { number });
        let gateway = &gateway;
        async move {
            let (mut stream, _) = client::open(gateway, request).await.unwrap();
            let first = client::next_frame(&mut stream).await;
            (number, first, stream)
        }
    });
    let answers = join_all(openings).await;
    let is_in = |one: &&(u8, Result<String, Closed>, _)| one.1.is_ok();
    let all = answers.iter().filter(is_in).count();
    let of_one = answers.iter().filter(is_in).filter(|one| one.0 < 8).count();
    assert!(all == 3 && of_one <= 2, "{all} and {of_one} are in");
    for (_, refused, _) in &answers {
        if let Err(closed) = refused {
            assert_eq!(closed.code, 4429, "{closed:?}");
        }
    }
    gateway.stop().await;
}

async fn cells_are_bounded_for_all_and_for_each_address(stage: &Stage) {
    let bounds = "sessions_per_address = 3\ncells = 3\ncells_per_address = 2";
    let gateway = bounded(stage, bounds);
    let mut one = from(&gateway, 1).await;
    let mut same = from(&gateway, 1).await;
    let mut other = from(&gateway, 2).await;
    let endless = "while True: pass";
    let running = one.execute(endless).await;
    one.until_of("started", &running).await;
    let waiting = one.execute("1").await;
    one.until_of("queued", &waiting).await;
    // One that waits counts, and so do those of another session that the address made.
    let refused = same.execute("1").await;
    let error = same.until_of("protocol_error", &refused).await;
    assert_eq!(error["code"], "queue_full");
    assert!(client::text(&error, "message").contains("all 2 cells of one address"), "{error}");
    let third = other.execute(endless).await;
    other.until_of("started", &third).await;
    let refused = other.execute("1").await;
    let error = other.until_of("protocol_error", &refused).await;
    assert!(client::text(&error, "message").contains("all 3 cells"), "{error}");
    let run = anonymous(&gateway, "POST", "/v1/run").token(LESSON).body("1");
    let reply = run.header("x-forwarded-for", "192.0.2.9").reply().await;
    assert!(reply.problem(429).contains("all 3 cells"));
    // A cell that ends, and one that is cancelled, give their places back.
    one.send(json!({"type": "interrupt", "id": waiting})).await;
    one.until_of("done", &waiting).await;
    assert_eq!(same.run("6 * 7").await.result(), "42");
    // So does a session that ends with a cell.
    one.end().await;
    other.end().await;
    eventually("the places are free", async || {
        let run = anonymous(&gateway, "POST", "/v1/run").token(LESSON).body("1");
        let reply = run.header("x-forwarded-for", "192.0.2.2").reply().await;
        (reply.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn a_session_lives_no_longer_than_its_key_says(stage: &Stage) {
    for (setting, code, reason) in [
        ("lifetime = \"1s\"", "while True: pass", "lifetime"),
        ("idle_timeout = \"1s\"", "1", "idle_timeout"),
    ] {
        let gateway = bounded(stage, setting);
        let mut client = from(&gateway, 1).await;
        client.execute(code).await;
        assert_eq!(client.until("ended").await["reason"], reason);
        assert_eq!(client.closed().await.code, 4408);
        // The operator's own go on.
        let mut operators = Client::create(&gateway, "python").await;
        let cell = operators.run("import time\ntime.sleep(1.5)").await;
        assert_eq!(cell.done()["status"], "ok");
        gateway.stop().await;
    }
}

async fn a_link_gives_no_more_than_the_key(stage: &Stage) {
    let settings = SETTINGS.replace("files = true\n", "");
    let gateway = Gateway::with_settings(stage.backend, &settings, &[]);
    let owner = session(&gateway, OPEN).await;
    assert_eq!(owner.ready["allowed"], json!({"files": false, "sharing": true}));
    let tokens = format!("/v1/sessions/{}/tokens", owner.session());
    let files = format!("/v1/sessions/{}/files", owner.session());
    // Also of a link that a holder of the gateway's token makes: it lets participants into this session.
    for maker in [token_of(&owner), gateway.token.clone()] {
        let order = json!({"role": "owner"});
        let granted = anonymous(&gateway, "POST", tokens.clone()).token(&maker).json(&order);
        let granted = granted.reply().await.json(201);
        let mut guest = Client::join(&gateway, &granted, None).await;
        assert_eq!(guest.ready["allowed"], owner.ready["allowed"]);
        for token in [client::text(&granted, "token").to_owned(), token_of(&guest)] {
            let asked = anonymous(&gateway, "GET", files.clone()).token(&token);
            assert!(asked.reply().await.problem(403).contains("files"));
        }
        let id = guest.execute_with("1", json!({"env": {"A": "1"}})).await;
        assert_eq!(guest.until_of("protocol_error", &id).await["code"], "forbidden");
        guest.close().await;
    }
    gateway.stop().await;
}

async fn changed_rights_give_no_more_than_the_key(stage: &Stage) {
    let gateway = gateway(stage);
    let owner = session(&gateway, LESSON).await;
    let path = format!("/v1/sessions/{}", owner.session());
    let link = ask(&gateway, "POST", format!("{path}/tokens")).json(&json!({"role": "viewer"}));
    let link = link.reply().await.json(201);
    let mut guest = Client::join(&gateway, &link, None).await;
    // The owner of a key's session changes rights, whatever the key says of sharing.
    let participant = format!("{path}/participants/{}", guest.ready["participant"]);
    let change = anonymous(&gateway, "PATCH", participant).token(&token_of(&owner));
    let changed = change.json(&json!({"role": "owner"})).reply().await;
    assert_eq!(changed.status, 204, "{changed:?}");
    assert_eq!(guest.run("6 * 7").await.result(), "42");
    let id = guest.execute_with("1", json!({"env": {"A": "1"}})).await;
    assert_eq!(guest.until_of("protocol_error", &id).await["code"], "forbidden");
    let token = token_of(&guest);
    for (method, path, body) in [
        ("GET", format!("{path}/files"), Value::Null),
        ("PUT", format!("{path}/files/a"), Value::Null),
        ("POST", format!("{path}/tokens"), json!({"role": "viewer"})),
    ] {
        let refused = anonymous(&gateway, method, path).token(&token).json(&body).reply().await;
        assert!(refused.problem(403).contains("publishable key lesson"), "{method}");
    }
    gateway.stop().await;
}

async fn a_page_uses_a_key_from_its_origins_alone(stage: &Stage) {
    let gateway = gateway(stage);
    let own = format!("http://{}", gateway.address);
    let (lesson, operators) =
        (session(&gateway, LESSON).await, Client::create(&gateway, "python").await);
    let to =
        |client: &Client| format!("/ws?session={}&token={}", client.session(), token_of(client));
    let new = |token: &str| format!("/ws?token={token}");
    let over = format!("/ws?session=aaaaaaaaaaaa&token={}", token_of(&lesson));
    for (path, origin, status) in [
        (new(LESSON), Some(ORIGIN), 101),
        (new(LESSON), Some("HTTPS://LESSON.EXAMPLE"), 101),
        (new(LESSON), Some(own.as_str()), 101),
        (new(LESSON), None, 403),
        (new(LESSON), Some("https://evil.example"), 403),
        (new(LESSON), Some("http://lesson.example"), 403),
        (new(LESSON), Some("null"), 403),
        // The gateway's own list is for its tokens; the key has one of its own.
        (new(LESSON), Some("https://listed.example"), 403),
        (new(&gateway.token), Some("https://listed.example"), 101),
        (new(OPEN), None, 101),
        (new(OPEN), Some("https://evil.example"), 101),
        // A key's origins may use nothing else.
        (new(&gateway.token), Some(ORIGIN), 403),
        (new("wrong"), Some(ORIGIN), 403),
        (to(&operators), Some(ORIGIN), 403),
        // They come back to the sessions that they made, and learn that one is over.
        (to(&lesson), Some(ORIGIN), 101),
        (to(&lesson), Some("https://evil.example"), 403),
        (to(&lesson), None, 101),
        (over.clone(), Some(ORIGIN), 101),
    ] {
        let headers = Vec::from_iter(origin.map(|origin| ("origin", origin)));
        let found = handshake(&gateway, socket(&gateway, &path, &headers)).await;
        assert_eq!(found, status, "{path} from {origin:?}");
    }
    let closed = opened(&gateway, socket(&gateway, &over, &[("origin", ORIGIN)])).await;
    assert_eq!(closed.unwrap_err().code, 4404);
    // Wherever the key stands.
    let bearer = format!("Bearer {LESSON}");
    for origin in [ORIGIN, "https://evil.example"] {
        let headers = [("authorization", bearer.as_str()), ("origin", origin)];
        let found = handshake(&gateway, socket(&gateway, "/ws", &headers)).await;
        assert_eq!(found, if origin == ORIGIN { 101 } else { 403 });
    }
    gateway.stop().await;
}

async fn a_page_reads_answers_from_its_origins_alone(stage: &Stage) {
    let gateway = gateway(stage);
    let run = |token: &str| anonymous(&gateway, "POST", "/v1/run").token(token).body("1");
    for (token, origin, status, readable) in [
        (LESSON, ORIGIN, 200, true),
        (LESSON, "https://evil.example", 403, false),
        (OPEN, "https://evil.example", 200, true),
        (&gateway.token, ORIGIN, 403, false),
        (&gateway.token, "https://listed.example", 200, false),
        ("", ORIGIN, 403, false),
    ] {
        let reply = run(token).header("origin", origin).reply().await;
        assert_eq!(reply.status, status, "{token} from {origin}: {reply:?}");
        let allowed = reply.headers.get("access-control-allow-origin");
        let wanted = readable.then_some(origin);
        assert_eq!(allowed.map(|value| value.to_str().unwrap()), wanted, "{token} from {origin}");
        if readable {
            assert_eq!(reply.header("vary"), "origin");
        }
    }
    // A page may read why it is refused, where it may use the key.
    let metrics = anonymous(&gateway, "GET", "/metrics").token(LESSON).header("origin", ORIGIN);
    let reply = metrics.reply().await;
    reply.problem(403);
    assert_eq!(reply.header("access-control-allow-origin"), ORIGIN);

    // The session that it made, by its own token.
    let client = session(&gateway, LESSON).await;
    let path = format!("/v1/sessions/{}", client.session());
    let end = |origin| anonymous(&gateway, "DELETE", path.clone()).header("origin", origin);
    end("https://evil.example").token(&token_of(&client)).reply().await.problem(403);
    end(ORIGIN).token("wrong").reply().await.problem(403);
    // An address that the router reads as that session's and the guard does not.
    let odd = path.replace("sessions/", "sessions/%").replacen(
        &format!("%{}", &client.session()[..1]),
        &format!("%{:x}", client.session().as_bytes()[0]),
        1,
    );
    let asked = anonymous(&gateway, "DELETE", odd).header("origin", ORIGIN);
    asked.token(&token_of(&client)).reply().await.problem(403);
    let reply = end(ORIGIN).token(&token_of(&client)).reply().await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, ORIGIN));

    let preflight = |path: &str, origin| {
        let asked = anonymous(&gateway, "OPTIONS", path).header("origin", origin);
        asked.header("access-control-request-method", "POST")
    };
    let settings = SETTINGS.replace("origins = [\"*\"]", "origins = [\"https://other.example\"]");
    let closed = Gateway::with_settings(stage.backend, &settings, &[]);
    let reply = preflight("/v1/run", ORIGIN).reply().await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (204, ORIGIN));
    for allowed in ["authorization", "idempotency-key", "last-event-id"] {
        assert!(reply.header("access-control-allow-headers").contains(allowed), "{allowed}");
    }
    assert!(reply.header("access-control-allow-methods").contains("DELETE"));
    let asked = anonymous(&closed, "OPTIONS", "/v1/run").header("origin", "https://evil.example");
    let reply = asked.header("access-control-request-method", "POST").reply().await;
    reply.problem(403);
    // The page and the WebSocket are not asked for in this way.
    preflight("/", "https://third.example").reply().await.problem(403);
    closed.stop().await;
    gateway.stop().await;
}

async fn a_key_in_the_address_lets_its_origins_frame_the_page(stage: &Stage) {
    let gateway = gateway(stage);
    for (path, ancestors) in [
        ("/".to_owned(), "frame-ancestors 'self'"),
        ("/?embed=1&key=pk_nobodys-0123456789".to_owned(), "frame-ancestors 'self'"),
        (format!("/?embed=1&key={LESSON}"), "frame-ancestors 'self' https://lesson.example"),
        (format!("/?embed=1&key={OPEN}"), "frame-ancestors 'self' *"),
    ] {
        let page = anonymous(&gateway, "GET", path.clone()).reply().await;
        assert_eq!(page.status, 200);
        let policy = page.header("content-security-policy");
        assert!(policy.ends_with(&format!("; {ancestors}")), "{path}: {policy}");
    }
    gateway.stop().await;
}

async fn a_gateway_without_a_token_gives_a_key_no_more(stage: &Stage) {
    let gateway = Gateway::with_settings(stage.backend, SETTINGS, &["--insecure-no-token"]);
    for (method, path, [status, ..]) in ROUTES.iter().filter(|row| !row.1.contains("{id}")) {
        let method = method.to_uppercase();
        let reply = ask_route(&gateway, &method, path, "").token(LESSON).reply().await;
        assert_eq!(reply.status, *status, "{method} {path}: {reply:?}");
    }
    let client = session(&gateway, LESSON).await;
    let files = format!("/v1/sessions/{}/files", client.session());
    for (token, status) in [(token_of(&client), 403), (LESSON.to_owned(), 401)] {
        anonymous(&gateway, "GET", files.clone()).token(&token).reply().await.problem(status);
    }
    // Nor may a page of the key's origin do without it.
    let listed = anonymous(&gateway, "GET", "/v1/sessions").header("origin", ORIGIN);
    listed.reply().await.problem(403);
    gateway.stop().await;
}

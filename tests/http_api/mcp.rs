//! `/mcp`: who may come in, what cannot be read, and that a client that leaves stops its code. What is said
//! there is tested by programs of others in `tests/mcp.rs`.

use serde_json::{Value, json};

use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{Ask, anonymous, ask, eventually, sessions};

cases![
    only_a_token_of_the_gateway_comes_in,
    pages_of_strangers_and_names_of_strangers_are_refused,
    what_is_no_message_is_refused,
    a_client_that_leaves_interrupts_its_cell,
    a_token_of_several_has_its_own_sessions,
    streams_end_with_the_gateway,
    nothing_of_a_message_is_logged,
];

const REVISION: &str = "2026-07-28";

/// A message of the newest revision.
fn message(method: &str, more: Value) -> Value {
    let mut params = more;
    params["_meta"] = json!({
        "io.modelcontextprotocol/protocolVersion": REVISION,
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    });
    json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
}

/// The same as a request; of a call of a tool.
fn call<'a>(ask: Ask<'a>, tool: &'a str, arguments: Value) -> Ask<'a> {
    let body = message("tools/call", json!({"name": tool, "arguments": arguments}));
    headed(ask, "tools/call").header("mcp-name", tool).json(&body)
}

fn headed<'a>(ask: Ask<'a>, method: &'a str) -> Ask<'a> {
    ask.header("accept", "application/json, text/event-stream")
        .header("mcp-protocol-version", REVISION)
        .header("mcp-method", method)
}

fn list(ask: Ask<'_>) -> Ask<'_> {
    headed(ask, "tools/list").json(&message("tools/list", json!({})))
}

/// The result of a call, which came as a stream of one event.
async fn result(ask: Ask<'_>) -> Value {
    let reply = ask.reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    let body = std::str::from_utf8(&reply.body).unwrap();
    let data = body.lines().filter_map(|line| line.strip_prefix("data: ")).next_back();
    let answer: Value = serde_json::from_str(data.unwrap()).unwrap();
    answer["result"].clone()
}

async fn only_a_token_of_the_gateway_comes_in(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let own = client.ready["token"].as_str().unwrap();
    for method in ["POST", "GET", "DELETE"] {
        for wrong in [None, Some("wrong"), Some(own)] {
            let mut ask = list(anonymous(gateway, method, "/mcp"));
            if let Some(wrong) = wrong {
                ask = ask.token(wrong);
            }
            let reply = ask.reply().await;
            reply.problem(401);
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{method}");
        }
    }
    let by_query = anonymous(gateway, "POST", format!("/mcp?token={}", gateway.token));
    for ask in [by_query, ask(gateway, "POST", "/mcp")] {
        let tools = result(list(ask)).await;
        assert_eq!(tools["tools"][0]["name"], "run_code", "{tools}");
    }
    client.end().await;
}

async fn pages_of_strangers_and_names_of_strangers_are_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let stranger = list(ask(gateway, "POST", "/mcp")).header("origin", "https://evil.example");
    stranger.reply().await.problem(403);
    let own = format!("http://{}", gateway.address);
    let reply = list(ask(gateway, "POST", "/mcp")).header("origin", own).reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    assert_eq!(reply.header("x-accel-buffering"), "no");
}

async fn what_is_no_message_is_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let post = || headed(ask(gateway, "POST", "/mcp"), "tools/list");
    assert_eq!(post().reply().await.status, 415);
    let no_json = post().header("content-type", "application/json").body("{");
    assert!([400, 415].contains(&no_json.reply().await.status));
    let one_form = list(ask(gateway, "POST", "/mcp")).header("accept", "application/json");
    assert_eq!(one_form.reply().await.status, 406);
    let other = list(ask(gateway, "POST", "/mcp")).header("mcp-method", "tools/call");
    assert_eq!(other.reply().await.status, 400, "a header that the body contradicts");
    let long = post().header("content-type", "application/json").body(vec![b' '; 4 << 20]);
    let told = long.reply().await.problem(413);
    assert!(told.contains("--message-size"), "{told}");
    let unknown = headed(ask(gateway, "POST", "/mcp"), "no/such");
    let reply = unknown.json(&message("no/such", json!({}))).reply().await;
    assert_eq!(reply.status, 404, "{reply:?}");
}

/// State of the only session.
async fn state(gateway: &Gateway) -> Option<Value> {
    Some(sessions(gateway).await.first()?["state"].clone())
}

async fn a_client_that_leaves_interrupts_its_cell(stage: &Stage) {
    let gateway = Gateway::start(stage.backend, &[]);
    let made = result(call(ask(&gateway, "POST", "/mcp"), "run_code", json!({"code": "1"}))).await;
    let session = made["structuredContent"]["session_id"].clone();
    let endless = json!({"code": "while True: pass", "session_id": session});
    let leaving = call(ask(&gateway, "POST", "/mcp"), "run_code", endless).stream();
    let busy = eventually("the cell runs", || async {
        state(&gateway).await.filter(|state| state == "busy")
    });
    tokio::select! {
        _ = leaving => panic!("it has nothing to say yet"),
        _ = busy => {} // which drops the connection of the other
    }
    eventually("the cell is interrupted", || async {
        state(&gateway).await.filter(|state| state == "idle")
    })
    .await;
    gateway.stop().await;
}

async fn a_token_of_several_has_its_own_sessions(stage: &Stage) {
    let (one, other) = ("a-first-token-of-two-0123", "another-token-of-two-0123");
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tokens");
    // The gateway may run as another user.
    let readable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(directory.path(), readable).unwrap();
    std::fs::write(&file, format!("{one}\n{other}\n")).unwrap();
    let settings = format!("allow_weak_limits = true\ntoken_file = {file:?}\n");
    let gateway = Gateway::with_settings(stage.backend, &settings, &[]);
    let with = |token| anonymous(&gateway, "POST", "/mcp").token(token);
    let made = result(call(with(one), "run_code", json!({"code": "1"}))).await;
    let session = made["structuredContent"]["session_id"].clone();
    let listed = result(call(with(other), "list_sessions", json!({}))).await;
    assert_eq!(listed["structuredContent"], json!({"sessions": []}));
    let run = json!({"code": "1", "session_id": session});
    let refused = result(call(with(other), "run_code", run.clone())).await;
    assert_eq!(refused["isError"], true, "{refused}");
    let ran = result(call(with(one), "run_code", run)).await;
    assert_eq!(ran["isError"], false, "{ran}");
    gateway.stop().await;
}

async fn streams_end_with_the_gateway(stage: &Stage) {
    let gateway = Gateway::start(stage.backend, &[]);
    let initialize = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"},
    }});
    let post =
        || ask(&gateway, "POST", "/mcp").header("accept", "application/json, text/event-stream");
    let begun = post().json(&initialize).reply().await;
    assert_eq!(begun.status, 200, "{begun:?}");
    let id = begun.header("mcp-session-id").to_owned();
    let initialized = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let told = post().header("mcp-session-id", &id).json(&initialized).reply().await;
    assert_eq!(told.status, 202, "{told:?}");
    let stream = ask(&gateway, "GET", "/mcp").header("accept", "text/event-stream");
    let open = stream.header("mcp-session-id", &id).stream().await;
    assert_eq!(open.head.status, 200);
    gateway.stop().await;
}

async fn nothing_of_a_message_is_logged(stage: &Stage) {
    let gateway = Gateway::start(stage.backend, &["--log", "trace,rmcp=trace"]);
    let code = json!({"code": "secret_of_code = 1\nprint('secret ' + 'of output')"});
    let ran = result(call(ask(&gateway, "POST", "/mcp"), "run_code", code)).await;
    assert_eq!(ran["structuredContent"]["stdout"], "secret of output\n", "{ran}");
    call(ask(&gateway, "POST", "/mcp"), "no_such_secret", json!({})).reply().await;
    let log = gateway.log();
    assert!(log.contains("session begins"), "{log}");
    for secret in ["secret_of_code", "secret of output", "no_such_secret", &gateway.token] {
        assert!(!log.contains(secret), "{secret}: {log}");
    }
    gateway.stop().await;
}

//! All that a cell wrote, where not all of it was shown.

use serde_json::json;

use crate::common::client;
use crate::common::suite::{Stage, cases};
use crate::requests::ask;

cases![what_was_not_shown_can_be_downloaded, what_is_not_kept_is_not_found];

/// Both streams in order, and bytes that are no text.
const MUCH: &str = "
for number in range(10_000):
    print(f'{number:09}')
print('in between', file=sys.stderr)
print('then')
sys.stdout.buffer.write(b'\\xff\\x00' * 50_000)
print('end')
";

async fn what_was_not_shown_can_be_downloaded(stage: &Stage) {
    let gateway = stage.gateway();
    let mut owner = stage.session_of("terse").await;
    owner.print("import sys").await;
    let more = json!({"id": "much/more ü"});
    owner.run_with(MUCH, more).await.expect("ok", true);
    let session = format!("/v1/sessions/{}", owner.session());
    let path = format!("{session}/cells/much%2Fmore%20%C3%BC/output");
    let mut all: Vec<u8> =
        (0..10_000).flat_map(|number| format!("{number:09}\n").into_bytes()).collect();
    all.extend(b"in between\nthen\n");
    all.extend(b"\xff\0".repeat(50_000));
    all.extend(b"end\n");
    // It would have been shown to viewers too.
    let asked = json!({"role": "viewer"});
    let granted = ask(gateway, "POST", format!("{session}/tokens")).json(&asked).reply().await;
    let granted = granted.json(201);
    for token in [client::text(&granted, "token"), client::text(&owner.ready, "token")] {
        let reply = ask(gateway, "GET", path.as_str()).token(token).reply().await;
        assert_eq!(reply.status, 200);
        let differs = reply.body.iter().zip(&all).position(|(one, other)| one != other);
        assert_eq!((differs, reply.body.len()), (None, all.len()));
        assert_eq!(reply.header("content-type"), "text/plain; charset=utf-8");
        assert!(reply.header("content-disposition").starts_with("attachment"));
        assert!(reply.header("content-security-policy").contains("sandbox"));
        assert_eq!(reply.header("cache-control"), "no-store");
    }
    let other = stage.session().await;
    let strange = client::text(&other.ready, "token");
    ask(gateway, "GET", path.as_str()).token(strange).reply().await.problem(401);
    other.end().await;
    // Newer output takes its room, and the session its all.
    for _ in 0..9 {
        owner.run("print('x' * 100_000)").await.expect("ok", true);
    }
    ask(gateway, "GET", path.as_str()).reply().await.problem(404);
    owner.end().await;
    ask(gateway, "GET", path).reply().await.problem(404);
}

async fn what_is_not_kept_is_not_found(stage: &Stage) {
    let gateway = stage.gateway();
    let mut owner = stage.session_of("terse").await;
    owner.run_with("print('x' * 60_000)", json!({"id": "shown"})).await.expect("ok", true);
    let running = owner.execute("print('x' * 100_000, flush=True)\nwhile True: pass").await;
    owner.until("notice").await;
    for cell in ["shown", &running, "nobody"] {
        let path = format!("/v1/sessions/{}/cells/{cell}/output", owner.session());
        let problem = ask(gateway, "GET", path).reply().await.problem(404);
        assert!(problem.contains("all of it was shown"), "{problem}");
    }
    owner.end().await;
}

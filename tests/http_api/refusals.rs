//! Every refusal is a problem document with the right status.

use serde_json::json;

use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{Ask, anonymous, ask, run};

cases![
    every_answer_has_the_headers_that_protect_a_page,
    without_the_token_nothing_is_run_or_told,
    what_cannot_be_read_is_refused,
    what_is_not_there_is_not_found,
    wrong_methods_are_told_the_right_ones,
    strangers_origins_are_refused,
    a_gateway_without_a_token_lets_everybody,
];

async fn without_the_token_nothing_is_run_or_told(stage: &Stage) {
    let gateway = stage.gateway();
    let client = stage.session().await;
    let session = format!("/v1/sessions/{}", client.session());
    let files = format!("{session}/files");
    let file = format!("{files}/x");
    let tokens = format!("{session}/tokens");
    let (token, participant) = (format!("{tokens}/2"), format!("{session}/participants/1"));
    let nowhere = "/v1/sessions/aaaaaaaaaaaa/files".to_owned();
    for (method, path) in [
        ("POST", &"/v1/run".to_owned()),
        ("GET", &"/v1/sessions".to_owned()),
        ("DELETE", &session),
        ("POST", &tokens),
        ("GET", &tokens),
        ("DELETE", &token),
        ("PATCH", &participant),
        ("DELETE", &participant),
        ("GET", &files),
        ("GET", &file),
        ("PUT", &file),
        ("GET", &nowhere),
        ("GET", &"/v1/sessions/..%2f/files".to_owned()),
    ] {
        for wrong in [None, Some("wrong"), Some("")] {
            let mut ask = anonymous(gateway, method, path.as_str()).json(&json!({"code": "1"}));
            if let Some(wrong) = wrong {
                ask = ask.token(wrong);
            }
            let reply = ask.reply().await;
            reply.problem(401);
            assert!(reply.header("www-authenticate").starts_with("Bearer"), "{method} {path}");
        }
    }
    client.end().await;
}

async fn what_cannot_be_read_is_refused(stage: &Stage) {
    let gateway = stage.gateway();
    fn post(gateway: &Gateway) -> Ask<'_> {
        ask(gateway, "POST", "/v1/run")
    }
    fn json<'a>(gateway: &'a Gateway, text: &str) -> Ask<'a> {
        post(gateway).header("content-type", "application/json").body(text.to_owned())
    }
    for (text, hint) in [
        ("", "EOF"),
        ("{", "EOF"),
        ("print(1)", "expected"),
        ("{}", "code"),
        ("[]", "code"),
        ("{\"code\": 1}", "string"),
        ("{\"code\": \"1\", \"timeout_ms\": 0}", "timeout_ms"),
        ("{\"code\": \"1\", \"timeout_ms\": -1}", "integer"),
        ("{\"code\": \"1\", \"env\": {\"A=B\": \"1\"}}", "A=B"),
        ("{\"code\": \"1\", \"env\": {\"A\": 1}}", "string"),
    ] {
        let detail = json(gateway, text).reply().await.problem(400);
        assert!(detail.contains(hint), "{text}: {detail}");
    }
    let latin = post(gateway).header("content-type", "text/plain").body(vec![b'#', 0xe9]);
    assert!(latin.reply().await.problem(400).contains("UTF-8"));
    let reply = ask(gateway, "POST", "/v1/run?timeout_ms=soon").body("1").reply().await;
    reply.problem(400);

    let image = post(gateway).header("content-type", "image/png").body("1").reply().await;
    image.problem(415);
    assert!(image.header("accept-post").contains("application/json"));
    let html = run(gateway, "1").header("accept", "text/html").reply().await;
    assert!(html.problem(406).contains("application/x-ndjson"));
    // The shared gateway's messages are short.
    let long = run(gateway, &"#".repeat((256 << 10) + 1)).reply().await;
    assert!(long.problem(413).contains("262144"));
}

async fn what_is_not_there_is_not_found(stage: &Stage) {
    let gateway = stage.gateway();
    let order = json!({"code": "1", "template": "cobol"});
    let detail = ask(gateway, "POST", "/v1/run").json(&order).reply().await.problem(404);
    assert!(detail.contains("cobol") && detail.contains("python"), "{detail}");
    for (method, path) in [
        ("GET", "/v1"),
        ("POST", "/v1/nowhere"),
        ("GET", "/v2/sessions"),
        ("DELETE", "/v1/sessions/aaaaaaaaaaaa"),
        ("DELETE", "/v1/sessions/not-an-id"),
        ("POST", "/v1/sessions/aaaaaaaaaaaa/tokens"),
        ("GET", "/v1/sessions/aaaaaaaaaaaa/files"),
        ("GET", "/v1/sessions/aaaaaaaaaaaa/files/x"),
        ("PUT", "/v1/sessions/aaaaaaaaaaaa/files/x"),
    ] {
        let body = json!({"role": "viewer"});
        ask(gateway, method, path).json(&body).reply().await.problem(404);
    }
}

async fn wrong_methods_are_told_the_right_ones(stage: &Stage) {
    let gateway = stage.gateway();
    for (method, path, allowed) in [
        ("GET", "/v1/run", "POST"),
        ("PUT", "/v1/run", "POST"),
        ("PUT", "/v1/sessions", "GET,HEAD,POST"),
        ("PUT", "/v1/sessions/aaaaaaaaaaaa", "DELETE,GET,HEAD"),
        ("PUT", "/v1/sessions/aaaaaaaaaaaa/tokens", "GET,HEAD,POST"),
        ("GET", "/v1/sessions/aaaaaaaaaaaa/tokens/2", "DELETE"),
        ("GET", "/v1/sessions/aaaaaaaaaaaa/participants/1", "DELETE,PATCH"),
        ("POST", "/v1/sessions/aaaaaaaaaaaa/files", "GET,HEAD"),
        ("PATCH", "/v1/sessions/aaaaaaaaaaaa/files/x", "DELETE,GET,HEAD,POST,PUT"),
        ("GET", "/v1/sessions/aaaaaaaaaaaa/directories/x", "POST"),
        ("POST", "/healthz", "GET,HEAD"),
        ("POST", "/v1/openapi.json", "GET,HEAD"),
    ] {
        let reply = ask(gateway, method, path).reply().await;
        reply.problem(405);
        let mut told: Vec<&str> = reply.header("allow").split(',').map(str::trim).collect();
        told.sort_unstable();
        assert_eq!(told.join(","), allowed, "{method} {path}");
    }
}

async fn strangers_origins_are_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let reply = run(gateway, "1").header("origin", "https://evil.example").reply().await;
    assert!(reply.problem(403).contains("evil.example"));
    assert_eq!(reply.header("x-content-type-options"), "nosniff");
}

async fn a_gateway_without_a_token_lets_everybody(stage: &Stage) {
    let gateway = stage.own(&["--insecure-no-token", "--allow-weak-limits"]);
    let reply = anonymous(&gateway, "POST", "/v1/run").body("print(1)").reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
    anonymous(&gateway, "GET", "/v1/sessions").reply().await.json(200);
    let reply = anonymous(&gateway, "DELETE", "/v1/sessions/aaaaaaaaaaaa").reply().await;
    reply.problem(404);
    gateway.stop().await;
}

async fn every_answer_has_the_headers_that_protect_a_page(stage: &Stage) {
    let gateway = stage.gateway();
    let refused = ask(gateway, "GET", "/").header("origin", "http://evil.example");
    let cases = [
        (ask(gateway, "GET", "/"), 200),
        (ask(gateway, "GET", "/healthz"), 200),
        (ask(gateway, "GET", "/readyz"), 200),
        (ask(gateway, "GET", "/metrics"), 200),
        (ask(gateway, "GET", "/v1/sessions"), 200),
        (ask(gateway, "GET", "/v1/openapi.json"), 200),
        (run(gateway, "1"), 200),
        (run(gateway, "1").header("content-type", "image/png"), 415),
        (anonymous(gateway, "GET", "/v1/sessions"), 401),
        (refused, 403),
        (ask(gateway, "GET", "/nothing"), 404),
        (ask(gateway, "GET", "/v1/nothing"), 404),
        (ask(gateway, "DELETE", "/v1/sessions"), 405),
        (ask(gateway, "GET", "/ws"), 426),
    ];
    for (asked, status) in cases {
        let reply = asked.reply().await;
        assert_eq!(reply.status, status, "{reply:?}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
            ("cross-origin-resource-policy", "same-origin"),
        ] {
            assert_eq!(reply.header(name), value, "{status}: {name}");
        }
        assert!(reply.header("permissions-policy").contains("camera=()"), "{status}");
    }
    let page = ask(gateway, "GET", "/").reply().await;
    let policy = page.header("content-security-policy");
    for directive in ["default-src 'none'", "base-uri 'none'", "frame-ancestors"] {
        assert!(policy.contains(directive), "{directive} in {policy}");
    }
}

//! A session by requests alone: made, cells run, events read, ended.

use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::gateway::Gateway;
use crate::common::suite::{Stage, cases};
use crate::requests::{Ask, Stream, anonymous, ask, eventually, sessions};

cases![
    a_session_is_used_by_requests_alone,
    a_session_has_what_it_was_made_with,
    a_session_made_by_a_request_lives_without_participants,
    cells_come_in_each_form,
    a_client_that_leaves_interrupts_its_cell_unless_it_is_detached,
    what_becomes_of_a_cell_is_told_by_its_id,
    all_events_are_streamed_from_where_a_client_was,
    a_cell_is_interrupted_and_answered_by_requests,
    a_request_with_a_key_makes_one_session,
    a_request_with_a_key_runs_one_cell,
    a_request_with_a_key_makes_one_token,
    what_a_token_does_not_give_is_refused,
    odd_requests_are_refused,
];

/// A session that was made by a request.
struct Made<'a> {
    gateway: &'a Gateway,
    id: String,
    token: String,
}

impl<'a> Made<'a> {
    async fn new(gateway: &'a Gateway, body: Value) -> Made<'a> {
        let made = ask(gateway, "POST", "/v1/sessions").json(&body).reply().await;
        assert_eq!(made.status, 201, "{made:?}");
        let made: Value = serde_json::from_slice(&made.body).unwrap();
        let text = |field: &str| made[field].as_str().unwrap().to_owned();
        Made { gateway, id: text("id"), token: text("token") }
    }

    fn ask(&self, method: &'a str, tail: &str) -> Ask<'a> {
        let path = format!("/v1/sessions/{}{tail}", self.id);
        anonymous(self.gateway, method, path).token(&self.token)
    }

    /// Runs a cell; answers all that came of it.
    async fn run(&self, code: &str) -> Value {
        let body = json!({"code": code});
        let ask = self.ask("POST", "/cells").header("accept", "application/json").json(&body);
        ask.reply().await.json(200)
    }

    /// Runs a cell with these fields, and reads its events as they come.
    async fn stream(&self, body: Value) -> Stream {
        let stream = self.ask("POST", "/cells").json(&body).stream().await;
        assert_eq!(stream.head.status, 200);
        stream
    }

    async fn end(self) {
        assert_eq!(self.ask("DELETE", "").reply().await.status, 204);
    }
}

async fn a_session_is_used_by_requests_alone(stage: &Stage) {
    let gateway = stage.gateway();
    let reply = ask(gateway, "POST", "/v1/sessions").reply().await;
    let made = reply.json(201);
    let id = made["id"].as_str().unwrap();
    assert_eq!(reply.header("location"), format!("/v1/sessions/{id}"));
    assert_eq!((&made["session"], &made["role"]), (&json!(id), &json!("owner")));
    assert_eq!(made["language"]["name"], "python");
    let session =
        Made { gateway, id: id.to_owned(), token: made["token"].as_str().unwrap().into() };
    assert_eq!(session.run("x = 6").await["status"], "ok");
    let answer = session.run("print(x); x * 7").await;
    assert_eq!((&answer["stdout"], &answer["state"]), (&json!("6\n"), &json!("done")));
    assert_eq!(answer["results"][0]["data"]["text/plain"], "42");
    let told = session.ask("GET", "").reply().await.json(200);
    assert_eq!(
        (&told["id"], &told["state"], &told["cells"]),
        (&json!(id), &json!("idle"), &json!(2))
    );
    assert!(told.get("token").is_none() && !told.to_string().contains(&session.token));
    // A participant beside it sees the cells of requests, and who sent them.
    let ready = json!({"session": id, "token": gateway.token});
    let mut beside = Client::join(gateway, &ready, None).await;
    assert_eq!(beside.until("queued").await["by"], "api");
    let listed = beside.until("participants").await;
    assert_eq!(listed["list"].as_array().unwrap().len(), 1, "requests are no participants");
    let gone = session.id.clone();
    session.end().await;
    ask(gateway, "GET", format!("/v1/sessions/{gone}")).reply().await.problem(404);
}

async fn a_session_has_what_it_was_made_with(stage: &Stage) {
    let body = json!({
        "env": {"A": "of the session", "B": "of the session"},
        "files": {"data/numbers.csv": "1\n2\n", "é.txt": "ü"},
        "idle_timeout_ms": 60_000, "lifetime_ms": 60_000,
    });
    let session = Made::new(stage.gateway(), body).await;
    let answer = session.run(
        "import os\nprint(open('data/numbers.csv').read(), open('é.txt').read(), os.environ['A'])",
    );
    assert_eq!(answer.await["stdout"], "1\n2\n ü of the session\n");
    let body = json!({"code": "import os\nprint(os.environ['A'], os.environ['B'])", "env": {"B": "of the cell"}});
    let ask = session.ask("POST", "/cells").header("accept", "application/json").json(&body);
    assert_eq!(ask.reply().await.json(200)["stdout"], "of the session of the cell\n");
    session.end().await;
    let brief = Made::new(stage.gateway(), json!({"lifetime_ms": 300})).await;
    eventually("the end of its life", async || {
        (brief.ask("GET", "").reply().await.status != 200).then_some(())
    })
    .await;
}

async fn a_session_made_by_a_request_lives_without_participants(stage: &Stage) {
    let gateway = stage.own(&["--detach-timeout", "1s"]);
    let session = Made::new(&gateway, json!({})).await;
    let client = Client::create(&gateway, "python").await;
    let other = client.session().to_owned();
    drop(client);
    eventually("the end of the other session", async || {
        sessions(&gateway).await.iter().all(|one| one["id"] != other.as_str()).then_some(())
    })
    .await;
    // Nor does output wait for somebody.
    let code = "for n in range(40): print('x' * (1 << 20))\nprint('end')";
    let mut stream = session.stream(json!({"code": code, "id": "much", "detach": true})).await;
    stream.until("started").await;
    drop(stream);
    let answer = eventually("the end of a cell that nobody reads", async || {
        let answer = session.ask("GET", "/cells/much").reply().await.json(200);
        (answer["state"] == "done").then_some(answer)
    })
    .await;
    assert_eq!(answer["status"], "ok");
    // What the log did not keep is not there.
    assert!(answer["stdout"].as_str().unwrap().len() < 40 << 20);
    session.end().await;
    gateway.stop().await;
}

async fn cells_come_in_each_form(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    let code = "import sys, time\nprint('one', flush=True)\ntime.sleep(0.2)\nprint('two', file=sys.stderr)\n3";
    let mut stream = session.stream(json!({"code": code, "id": "a", "cell": "doc"})).await;
    let events = stream.until("done").await;
    assert_eq!(stream.line().await, None);
    let mut kinds: Vec<&str> = events.iter().map(|event| event["type"].as_str().unwrap()).collect();
    kinds.dedup(); // a line may come in two parts
    assert_eq!(kinds, ["queued", "started", "stdout", "stderr", "result", "done"]);
    assert!(events.iter().all(|event| event["id"] == "a"), "{events:?}");
    assert_eq!(events.last().unwrap()["cell"], "doc");
    let ask = session.ask("POST", "/cells").header("accept", "text/event-stream");
    let mut stream = ask.json(&json!({"code": "1 / 0"})).stream().await;
    assert_eq!(stream.head.headers["content-type"], "text/event-stream; charset=utf-8");
    let mut lines = Vec::new();
    while let Some(line) = stream.line().await {
        lines.push(line);
    }
    assert!(lines[0].starts_with("id: ") && lines[1].starts_with("data: {"), "{lines:?}");
    let done: Value = serde_json::from_str(&lines[lines.len() - 2]["data: ".len()..]).unwrap();
    assert_eq!((&done["type"], &done["status"]), (&json!("done"), &json!("error")));
    let answer = session.run("1 / 0").await;
    assert_eq!(answer["error"]["name"], "ZeroDivisionError");
    session.end().await;
}

async fn a_client_that_leaves_interrupts_its_cell_unless_it_is_detached(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    let forever = "import time\nprint('begun', flush=True)\nwhile True: time.sleep(0.01)";
    for detach in [false, true] {
        let id = format!("cell-{detach}");
        let mut stream = session.stream(json!({"code": forever, "id": id, "detach": detach})).await;
        stream.until("stdout").await;
        drop(stream);
        let tail = format!("/cells/{id}");
        if detach {
            // It goes on: what comes behind it waits.
            let mut next = session.stream(json!({"code": "1", "id": "next"})).await;
            next.until("queued").await;
            assert_eq!(session.ask("GET", &tail).reply().await.json(200)["state"], "running");
            assert_eq!(
                session.ask("GET", "/cells/next").reply().await.json(200)["state"],
                "queued"
            );
            let stop = session.ask("POST", "/interrupt").json(&json!({"id": id}));
            assert_eq!(stop.reply().await.status, 202);
            assert_eq!(next.until("done").await.last().unwrap()["status"], "ok");
        }
        let answer = eventually("the cell's end", async || {
            let answer = session.ask("GET", &tail).reply().await.json(200);
            (answer["state"] == "done").then_some(answer)
        })
        .await;
        assert_eq!(
            (&answer["status"], &answer["stdout"]),
            (&json!("interrupted"), &json!("begun\n"))
        );
    }
    assert_eq!(session.run("2 + 2").await["results"][0]["data"]["text/plain"], "4");
    session.end().await;
}

async fn what_becomes_of_a_cell_is_told_by_its_id(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    let code = "print('text')\nraise ValueError('why')";
    let mut stream = session.stream(json!({"code": code, "id": "a"})).await;
    stream.until("done").await;
    session.run("print('another')").await;
    let answer = session.ask("GET", "/cells/a").reply().await.json(200);
    assert_eq!((&answer["id"], &answer["state"]), (&json!("a"), &json!("done")));
    assert_eq!((&answer["stdout"], &answer["error"]["value"]), (&json!("text\n"), &json!("why")));
    session.ask("GET", "/cells/none").reply().await.problem(404);
    let again = session.ask("POST", "/cells").json(&json!({"code": "1", "id": "a"}));
    again.reply().await.problem(409);
    session.end().await;
}

async fn all_events_are_streamed_from_where_a_client_was(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    session.run("print('before')").await;
    let mut stream = session.ask("GET", "/events").stream().await;
    assert_eq!(stream.head.headers["content-type"], "text/event-stream; charset=utf-8");
    let until_done = async |stream: &mut Stream| {
        let (mut ids, mut texts) = (Vec::new(), String::new());
        loop {
            let line = stream.line().await.expect("no end before `done`");
            if let Some(id) = line.strip_prefix("id: ") {
                ids.push(id.parse::<u64>().unwrap());
            } else if let Some(data) = line.strip_prefix("data: ") {
                let event: Value = serde_json::from_str(data).unwrap();
                texts += event["text"].as_str().unwrap_or_default();
                if event["type"] == "done" {
                    return (ids, texts);
                }
            }
        }
    };
    let (ids, texts) = until_done(&mut stream).await;
    assert_eq!(texts, "before\n");
    assert!(ids[0] == 1 && ids.is_sorted());
    // Live, while another client runs something.
    let (live, answer) = futures::join!(until_done(&mut stream), session.run("print('live')"));
    assert_eq!((live.1.as_str(), &answer["stdout"]), ("live\n", &json!("live\n")));
    drop(stream);
    session.run("print('missed')").await;
    let last = live.0.last().unwrap().to_string();
    // What a browser sends when it comes back outweighs what the address says.
    let mut back =
        session.ask("GET", "/events?after=0").header("last-event-id", last.clone()).stream().await;
    let (ids, texts) = until_done(&mut back).await;
    assert_eq!((ids[0], texts.as_str()), (last.parse::<u64>().unwrap() + 1, "missed\n"));
    // The stream ends with its session, or with its token.
    let granted =
        session.ask("POST", "/tokens").json(&json!({"role": "viewer"})).reply().await.json(201);
    let path =
        format!("/v1/sessions/{}/events?token={}", session.id, granted["token"].as_str().unwrap());
    let mut viewer = anonymous(stage.gateway(), "GET", path).stream().await;
    until_done(&mut viewer).await;
    let tail = format!("/tokens/{}", granted["id"]);
    assert_eq!(session.ask("DELETE", &tail).reply().await.status, 204);
    while viewer.line().await.is_some() {}
    session.end().await;
    while back.line().await.is_some() {}
}

async fn a_cell_is_interrupted_and_answered_by_requests(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    let mut stream =
        session.stream(json!({"code": "input('name? ')", "id": "a", "allow_input": true})).await;
    assert_eq!(stream.until("input_request").await.last().unwrap()["prompt"], "name? ");
    let input = |body: Value| session.ask("POST", "/input").json(&body);
    input(json!({"id": "a"})).reply().await.problem(400);
    input(json!({"id": "a", "text": "x", "eof": true})).reply().await.problem(400);
    input(json!({"id": "b", "text": "x"})).reply().await.problem(409);
    assert_eq!(input(json!({"id": "a", "text": "Ada"})).reply().await.status, 202);
    let events = stream.until("done").await;
    let result = events.iter().find(|event| event["type"] == "result").unwrap();
    assert_eq!(result["data"]["text/plain"], "'Ada'");
    // Without `allow_input` there is none to wait for.
    assert_eq!(session.run("input()").await["status"], "error");
    session.ask("POST", "/interrupt").json(&json!({"id": "none"})).reply().await.problem(409);
    assert_eq!(session.ask("POST", "/interrupt").reply().await.status, 202, "nothing runs");
    session.run("x = 1").await;
    assert_eq!(session.ask("POST", "/restart").reply().await.status, 202);
    let answer = eventually("the fresh interpreter", async || {
        let answer = session.run("x").await;
        (answer["status"] == "error").then_some(answer)
    })
    .await;
    assert_eq!(answer["error"]["name"], "NameError");
    session.end().await;
}

async fn a_request_with_a_key_makes_one_session(stage: &Stage) {
    let gateway = stage.own(&[]);
    let make = |key: &str, body: Value| {
        ask(&gateway, "POST", "/v1/sessions").header("idempotency-key", key).json(&body).reply()
    };
    let body = || json!({"template": "python"});
    let first = make("a", body()).await.json(201);
    assert_eq!(make("a", body()).await.json(201), first);
    let detail = make("a", json!({})).await.problem(422);
    assert!(detail.contains("another body"), "{detail}");
    assert_ne!(make("b", body()).await.json(201)["id"], first["id"]);
    assert_eq!(sessions(&gateway).await.len(), 2);
    let both = futures::join!(make("c", body()), make("c", body()));
    let mut statuses = [both.0.status, both.1.status];
    statuses.sort_unstable();
    assert!(statuses == [201, 409] || statuses == [201, 201], "{statuses:?}");
    assert_eq!(sessions(&gateway).await.len(), 3);
    make(&"x".repeat(300), body()).await.problem(400);
    // A refusal is no answer that is kept.
    make("d", json!({"template": "none"})).await.problem(404);
    make("d", json!({"template": "none"})).await.problem(404);
    gateway.stop().await;
}

async fn a_request_with_a_key_runs_one_cell(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    session.run("runs = 0").await;
    let code = "runs += 1\nprint('begun', runs, flush=True)\nimport os\nwhile not os.path.exists('go'): pass\nprint('ended')";
    let body = json!({"code": code, "detach": true});
    let keyed = |key: &'static str, body: &Value| {
        session.ask("POST", "/cells").header("idempotency-key", key).json(body)
    };
    // The connection breaks in mid-stream.
    let mut broken = keyed("a", &body).stream().await;
    let begun = broken.until("stdout").await;
    assert_eq!(begun.last().unwrap()["text"], "begun 1\n");
    drop(broken);
    let mut again = keyed("a", &body).stream().await;
    let mut events = again.until("stdout").await;
    assert_eq!(events, begun, "from its first event on");
    assert_eq!(session.ask("PUT", "/files/go").reply().await.status, 201);
    events.extend(again.until("done").await);
    assert_eq!(again.line().await, None);
    // When it has ended, in another form.
    let answer = keyed("a", &body).header("accept", "application/json").reply().await.json(200);
    assert_eq!((&answer["stdout"], &answer["status"]), (&json!("begun 1\nended\n"), &json!("ok")));
    let detail = keyed("a", &json!({"code": "1"})).reply().await.problem(422);
    assert!(detail.contains("another body"), "{detail}");
    keyed("b", &body).reply().await;
    assert_eq!(session.run("print(runs)").await["stdout"], "2\n");
    // A refusal is no answer that is kept.
    let named = json!({"code": "1", "id": events[0]["id"]});
    keyed("c", &named).reply().await.problem(409);
    assert_eq!(keyed("c", &json!({"code": "1"})).reply().await.status, 200);
    session.end().await;
}

async fn a_request_with_a_key_makes_one_token(stage: &Stage) {
    let session = Made::new(stage.gateway(), json!({})).await;
    let ask = |role: &str| {
        let body = json!({"role": role});
        session.ask("POST", "/tokens").header("idempotency-key", "a").json(&body).reply()
    };
    let made = ask("viewer").await.json(201);
    assert_eq!(ask("viewer").await.json(201), made);
    ask("editor").await.problem(422);
    let listed = session.ask("GET", "/tokens").reply().await.json(200);
    let of_viewers =
        listed["tokens"].as_array().unwrap().iter().filter(|token| token["role"] == "viewer");
    assert_eq!(of_viewers.count(), 1, "{listed}");
    session.end().await;
}

async fn what_a_token_does_not_give_is_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let session = Made::new(gateway, json!({})).await;
    session.run("print('seen')").await;
    for (what, statuses) in [
        (json!({"role": "viewer"}), [403, 403, 403, 403]),
        (json!({"role": "editor", "run": false}), [403, 403, 403, 403]),
        (json!({"role": "editor"}), [200, 409, 403, 409]),
    ] {
        let granted = session.ask("POST", "/tokens").json(&what).reply().await.json(201);
        let token = granted["token"].as_str().unwrap();
        let path = |tail: &str| format!("/v1/sessions/{}{tail}", session.id);
        let status = async |tail: &str, body: Value| {
            anonymous(gateway, "POST", path(tail)).token(token).json(&body).reply().await.status
        };
        let found = [
            status("/cells", json!({"code": "1"})).await,
            status("/interrupt", json!({"id": "none"})).await,
            status("/restart", json!({})).await,
            status("/input", json!({"id": "a", "text": "x"})).await,
        ];
        assert_eq!(found, statuses, "{what}");
        let read = anonymous(gateway, "GET", path("")).token(token).reply().await;
        assert_eq!(read.json(200)["id"], session.id.as_str());
    }
    // A session's token makes no sessions.
    let refused = anonymous(gateway, "POST", "/v1/sessions").token(&session.token);
    refused.reply().await.problem(401);
    session.end().await;
}

async fn odd_requests_are_refused(stage: &Stage) {
    let gateway = stage.gateway();
    let make = |body: &str| {
        ask(gateway, "POST", "/v1/sessions")
            .header("content-type", "application/json")
            .body(body.to_owned())
            .reply()
    };
    for (body, status, words) in [
        ("{", 400, "not such as"),
        ("[]", 400, "not such as"),
        ("{\"templat\": \"python\"}", 400, "unknown field"),
        ("{\"template\": \"none\"}", 404, "there are: "),
        ("{\"env\": {\"A=B\": \"1\"}}", 400, "a name is not empty"),
        ("{\"lifetime_ms\": 0}", 400, "at least 1"),
        ("{\"idle_timeout_ms\": -1}", 400, "not such as"),
        ("{\"files\": {\"../x\": \"1\"}}", 400, ""),
        ("{\"files\": {\"a\": \"1\", \"a/b\": \"1\"}}", 409, ""),
    ] {
        let detail = make(body).await.problem(status);
        assert!(detail.contains(words), "{body}: {detail}");
    }
    make(&format!("{{\"files\": {{\"a\": \"{}\"}}}}", "x".repeat(5 << 20))).await.problem(413);
    let session = Made::new(gateway, json!({})).await;
    let run = |body: &str| session.ask("POST", "/cells").body(body.to_owned()).reply();
    for (body, words) in [
        ("", "not such as"),
        ("1 + 1", "not such as"),
        ("{\"code\": 1}", "not such as"),
        ("{\"code\": \"1\", \"type\": \"restart\"}", "other than execute"),
        ("{\"code\": \"1\", \"timeout_ms\": 0}", "timeout_ms"),
        ("{\"code\": \"1\", \"id\": \"\"}", "id"),
    ] {
        let detail = run(body).await.problem(400);
        assert!(detail.contains(words), "{body}: {detail}");
    }
    let odd = session.ask("POST", "/cells").header("accept", "image/png").body("{\"code\": \"1\"}");
    odd.reply().await.problem(406);
    session.ask("GET", "/events?after=x").reply().await.problem(400);
    session.ask("GET", "/events").header("last-event-id", "x").reply().await.problem(400);
    assert_eq!(session.run("1").await["status"], "ok");
    session.end().await;
}

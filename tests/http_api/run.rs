//! `POST /v1/run`: what comes, in each of its forms, and what happens to who goes away.

use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use crate::common::client::Client;
use crate::common::suite::{Stage, cases};
use crate::requests::{anonymous, ask, eventually, run, sessions};

cases![
    what_curl_sends_comes_back_line_by_line,
    the_token_may_stand_in_the_address,
    lines_come_while_the_cell_runs,
    server_sent_events_carry_their_seq,
    one_object_has_it_all,
    code_that_raises_is_no_failed_request,
    code_that_exits_ends_as_a_program_does,
    a_cell_has_its_time_and_its_environment,
    nobody_answers_input,
    much_output_arrives_whole,
    a_stream_that_is_dropped_ends_its_session,
    an_answer_that_nobody_waits_for_ends_its_session,
    a_reader_who_stops_reading_does_not_hold_the_gateway,
    a_gateway_that_is_full_says_when_to_come_back,
    a_gateway_that_shuts_down_runs_nothing_new,
];

/// The types of some events.
fn kinds(events: &[Value]) -> Vec<&str> {
    events.iter().map(|event| event["type"].as_str().unwrap()).collect()
}

/// What some events say on stdout.
fn stdout(events: &[Value]) -> String {
    let output = events.iter().filter(|event| event["type"] == "stdout");
    output.map(|event| event["text"].as_str().unwrap()).collect()
}

async fn what_curl_sends_comes_back_line_by_line(stage: &Stage) {
    let mut stream = run(stage.gateway(), "print('é')\n6 * 7").stream().await;
    assert_eq!(stream.head.status, 200);
    assert_eq!(stream.head.headers["content-type"], "application/x-ndjson");
    assert_eq!(stream.head.headers["cache-control"], "no-store");
    let events = stream.until("done").await;
    assert_eq!(stream.line().await, None);
    for pair in events.windows(2) {
        assert_eq!(pair[1]["seq"].as_u64().unwrap(), pair[0]["seq"].as_u64().unwrap() + 1);
    }
    for event in &events {
        assert!(event["ts"].as_u64().unwrap() > 1_600_000_000_000, "{event}");
        // What lets one into the session is for nobody who merely reads the answer.
        assert!(event.get("token").is_none() && event["type"] != "ready", "{event}");
    }
    let found = kinds(&events);
    for kind in ["queued", "started", "stdout", "result"] {
        assert!(found.contains(&kind), "{kind} in {found:?}");
    }
    assert_eq!(stdout(&events), "é\n");
    let result = events.iter().find(|event| event["type"] == "result").unwrap();
    assert_eq!(result["data"]["text/plain"], "42");
    assert_eq!(events.last().unwrap()["status"], "ok");
}

async fn the_token_may_stand_in_the_address(stage: &Stage) {
    let gateway = stage.gateway();
    let path = format!("/v1/run?token={}&template=python", gateway.token);
    let reply = anonymous(gateway, "POST", path).body("print(1)").reply().await;
    assert_eq!(reply.status, 200, "{reply:?}");
}

async fn lines_come_while_the_cell_runs(stage: &Stage) {
    let gateway = stage.own(&[]);
    let code = "import os\nprint('waiting')\nwhile not os.path.exists('go'): pass\nprint('gone')";
    let mut stream = run(&gateway, code).stream().await;
    assert_eq!(stdout(&stream.until("stdout").await), "waiting\n");
    let listed = sessions(&gateway).await;
    assert_eq!((listed.len(), &listed[0]["state"]), (1, &json!("busy")));
    let path = format!("/v1/sessions/{}/files/go", listed[0]["id"].as_str().unwrap());
    assert_eq!(ask(&gateway, "PUT", path).reply().await.status, 201);
    assert_eq!(stdout(&stream.until("done").await), "gone\n");
    gateway.stop().await;
}

async fn server_sent_events_carry_their_seq(stage: &Stage) {
    let ask = run(stage.gateway(), "print('a\\nb')").header("accept", "text/event-stream");
    let mut stream = ask.stream().await;
    assert_eq!(stream.head.headers["content-type"], "text/event-stream; charset=utf-8");
    let mut events: Vec<Value> = Vec::new();
    while let Some(line) = stream.line().await {
        let id: u64 = line.strip_prefix("id: ").expect(&line).parse().unwrap();
        let line = stream.line().await.unwrap();
        let event: Value = serde_json::from_str(line.strip_prefix("data: ").unwrap()).unwrap();
        assert_eq!(event["seq"], id);
        events.push(event);
        assert_eq!(stream.line().await.as_deref(), Some(""));
    }
    assert_eq!(stdout(&events), "a\nb\n");
    assert_eq!(events.last().unwrap()["type"], "done");
}

async fn one_object_has_it_all(stage: &Stage) {
    let code = "import sys\nprint('out')\nprint('err', file=sys.stderr)\n\
                class Rich:\n    def _repr_html_(self): return '<b>rich</b>'\n\
                display(Rich())\n[1, 2]";
    let ask = ask(stage.gateway(), "POST", "/v1/run").header("accept", "application/json");
    let answer = ask.json(&json!({"code": code})).reply().await.json(200);
    let told: Vec<&String> = answer.as_object().unwrap().keys().collect();
    assert_eq!(told, ["duration_ms", "error", "results", "status", "stderr", "stdout"]);
    assert_eq!((&answer["status"], &answer["error"]), (&json!("ok"), &Value::Null));
    assert_eq!((&answer["stdout"], &answer["stderr"]), (&json!("out\n"), &json!("err\n")));
    assert!(answer["duration_ms"].as_f64().unwrap() > 0.0);
    let results = answer["results"].as_array().unwrap();
    assert_eq!(results.len(), 2, "{results:#?}");
    assert_eq!(results[0]["data"]["text/html"], "<b>rich</b>");
    assert_eq!(results[0]["type"], "display");
    assert_eq!(results[1]["data"]["text/plain"], "[1, 2]");
    assert_eq!(results[1]["type"], "result");
}

async fn code_that_raises_is_no_failed_request(stage: &Stage) {
    let ask = run(stage.gateway(), "print(1)\n1 / 0").header("accept", "application/json");
    let answer = ask.reply().await.json(200);
    assert_eq!(answer["status"], "error");
    assert_eq!(answer["error"]["name"], "ZeroDivisionError");
    assert_eq!(answer["error"]["frames"][0]["line"], 2);
    assert!(!answer["error"]["traceback"].as_array().unwrap().is_empty());
    assert_eq!(answer["stdout"], "1\n");
}

async fn code_that_exits_ends_as_a_program_does(stage: &Stage) {
    for (code, status, stdout, value) in [
        ("import sys\nprint(1)\nsys.exit(0)", "ok", "1\n", json!(null)),
        ("exit()", "ok", "", json!(null)),
        ("import sys\nsys.exit(3)", "error", "", json!("3")),
        (
            "import unittest\nclass T(unittest.TestCase):\n    def test(self): pass\n\
             unittest.main(argv=['x'], verbosity=0)",
            "ok",
            "",
            json!(null),
        ),
        (
            "import atexit, threading, time\natexit.register(print, 'last')\n\
             threading.Thread(target=lambda: (time.sleep(0.3), print('thread'))).start()",
            "ok",
            "thread\nlast\n",
            json!(null),
        ),
    ] {
        let ask = run(stage.gateway(), code).header("accept", "application/json");
        let answer = ask.reply().await.json(200);
        assert_eq!(
            (&answer["status"], &answer["stdout"]),
            (&json!(status), &json!(stdout)),
            "{code}"
        );
        assert_eq!(answer["error"]["value"], value, "{code}");
    }
    // In a session it is no failure either, and the session goes on.
    let mut client = stage.session().await;
    client.run("x = 1\nimport sys\nsys.exit(0)").await.expect("ok", true);
    client.run("raise KeyboardInterrupt").await.expect("error", true);
    client.run("sys.exit(3)").await.expect("error", true);
    assert_eq!(client.run("x").await.result(), "1");
    client.end().await;
}

async fn a_cell_has_its_time_and_its_environment(stage: &Stage) {
    let code = "import os\nprint(os.environ['GREETING'])\nwhile True: pass";
    let order = json!({"code": code, "timeout_ms": 400, "env": {"GREETING": "hé"},
                       "template": "python"});
    let ask = ask(stage.gateway(), "POST", "/v1/run").header("accept", "application/json");
    let answer = ask.json(&order).reply().await.json(200);
    assert_eq!((&answer["status"], &answer["stdout"]), (&json!("timeout"), &json!("hé\n")));
    assert!(answer["detail"].as_str().unwrap().contains("400 ms"), "{answer}");
}

async fn nobody_answers_input(stage: &Stage) {
    let ask = run(stage.gateway(), "input('name? ')").header("accept", "application/json");
    let answer = ask.reply().await.json(200);
    assert_eq!(answer["status"], "error", "{answer}");
}

async fn much_output_arrives_whole(stage: &Stage) {
    let code = "for n in range(8192): print(f'{n:01023}')"; // 8 MiB
    let mut stream = run(stage.gateway(), code).stream().await;
    let events = stream.until("done").await;
    let text = stdout(&events);
    assert_eq!(text.len(), 8 << 20);
    let numbers = text.lines().map(|line| line.parse::<u32>().unwrap());
    assert!(numbers.eq(0..8192));
    assert_eq!(events.last().unwrap()["usage"]["output_bytes"], 8 << 20);
}

async fn a_stream_that_is_dropped_ends_its_session(stage: &Stage) {
    let gateway = stage.own(&[]);
    for accept in ["application/x-ndjson", "text/event-stream"] {
        let code = "while True: pass"; // never says a word
        let mut stream = run(&gateway, code).header("accept", accept).stream().await;
        while !stream.line().await.unwrap().contains("\"started\"") {}
        assert_eq!(sessions(&gateway).await[0]["state"], "busy");
        drop(stream);
        eventually("the session is gone", async || {
            sessions(&gateway).await.is_empty().then_some(())
        })
        .await;
    }
    gateway.stop().await;
}

async fn an_answer_that_nobody_waits_for_ends_its_session(stage: &Stage) {
    let gateway = stage.own(&[]);
    let ask = run(&gateway, "while True: pass").header("accept", "application/json");
    let busy = async {
        eventually("the cell runs", async || {
            sessions(&gateway).await.iter().any(|one| one["state"] == "busy").then_some(())
        })
        .await;
    };
    tokio::select! {
        reply = ask.reply() => {
            panic!("an answer to a cell without end: {reply:?}\n{}", gateway.log())
        }
        () = busy => {}
    }
    eventually("the session is gone", async || sessions(&gateway).await.is_empty().then_some(()))
        .await;
    gateway.stop().await;
}

async fn a_reader_who_stops_reading_does_not_hold_the_gateway(stage: &Stage) {
    let gateway = stage.own(&["--drain-timeout", "0s"]);
    let mut stream = run(&gateway, "while True: print('x' * 1000)").stream().await;
    stream.until("stdout").await;
    gateway.stop().await;
    drop(stream);
}

async fn a_gateway_that_is_full_says_when_to_come_back(stage: &Stage) {
    let gateway = stage.own(&["--sessions", "1"]);
    let client = Client::create(&gateway, "python").await;
    let reply = run(&gateway, "1").reply().await;
    assert!(reply.problem(503).contains("all 1 sessions"));
    assert!(reply.header("retry-after").parse::<u32>().unwrap() > 0);
    client.end().await;
    eventually("there is room again", async || {
        (run(&gateway, "1").reply().await.status == 200).then_some(())
    })
    .await;
    gateway.stop().await;
}

async fn a_gateway_that_shuts_down_runs_nothing_new(stage: &Stage) {
    // Nothing is made ahead of time, so that the signal finds sessions whose interpreter starts.
    let gateway = stage.own(&["--pool-max", "0"]);
    let code = "import os\nprint('waiting')\nwhile not os.path.exists('go'): pass\nprint('gone')";
    let mut stream = run(&gateway, code).stream().await;
    stream.until("stdout").await;
    let id = sessions(&gateway).await[0]["id"].as_str().unwrap().to_owned();
    // Some come before the signal and some after it.
    let visits = (1..=10).map(async |number| {
        let mut pace = tokio::time::interval(Duration::from_millis(30) * number);
        pace.tick().await;
        pace.tick().await;
        if number == 7 {
            gateway.signal(Signal::TERM);
        }
        run(&gateway, "1").reply().await
    });
    let mut refused = 0;
    for reply in futures::future::join_all(visits).await {
        // Who is served gets the whole answer; who is not is told so by the status.
        if reply.status == 200 {
            let answer = String::from_utf8_lossy(&reply.body);
            assert!(answer.contains(r#""status":"ok""#), "{answer}");
        } else {
            let detail = reply.problem(503);
            assert!(detail.contains("shuts down"), "{detail}");
            refused += 1;
        }
    }
    assert!(refused > 0, "the gateway ran all cells though it was asked to end");
    // What runs may finish, and its reader hears all of it.
    let go = ask(&gateway, "PUT", format!("/v1/sessions/{id}/files/go"));
    assert_eq!(go.reply().await.status, 201);
    let events = stream.until("done").await;
    assert_eq!(
        (stdout(&events).as_str(), &events.last().unwrap()["status"]),
        ("gone\n", &json!("ok"))
    );
    assert_eq!(stream.line().await, None);
    assert_eq!(gateway.exited().await.code(), Some(0));
}

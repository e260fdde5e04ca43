//! Stopping: interrupts, time limits, restarts, the queue.

use std::time::Duration;

use serde_json::json;

use crate::common::client::{Client, text};
use crate::common::suite::{Stage, cases, timed};

cases![
    whatever_runs_can_be_interrupted,
    what_ignores_interrupts_is_killed,
    a_time_limit_ends_what_ignores_it,
    a_restart_gives_a_fresh_interpreter,
];

// What no backend changes.
cases![
    ONCE:
    a_question_can_be_interrupted,
    a_cell_that_waits_can_be_cancelled,
    an_interrupt_of_nothing_is_nothing,
    interrupts_hit_the_cell_they_name,
    a_time_limit_keeps_the_state,
    a_client_may_ask_for_less_time,
    a_restart_cancels_what_waits,
    a_full_queue_says_so,
    an_id_is_used_once,
];

/// A cell says `up` once it runs, so that the interrupt finds it there.
async fn begin(client: &mut Client, code: &str) -> String {
    let id = client.execute(code).await;
    client.until_text(&id, "up\n").await;
    id
}

async fn interrupt(client: &mut Client) {
    client.send(json!({"type": "interrupt"})).await;
}

async fn whatever_runs_can_be_interrupted(stage: &Stage) {
    // The last quarter of the grace is all that a cell has which missed the first interrupt.
    let mut client = stage.session_of("patient").await;
    client.print("kept = 1").await;
    for code in [
        "print('up')\nwhile True: pass",
        "import time\nprint('up')\ntime.sleep(600)",
        "import subprocess\nprint('up')\nsubprocess.run(['sleep', '600'])",
        // system(3) keeps the interrupt to its child; what follows is stopped all the same.
        "import os\nos.system('echo up; sleep 600')\nwhile True: pass",
        "import asyncio\nprint('up')\nawait asyncio.sleep(600)",
        "import threading\nprint('up')\nthreading.Event().wait()",
        "import time\ntry:\n    print('up')\n    time.sleep(600)\nfinally:\n    print('tidy')",
    ] {
        let id = begin(&mut client, code).await;
        interrupt(&mut client).await;
        let (cell, taken) = timed(client.finish(&id)).await;
        cell.expect("interrupted", true);
        assert!(taken < Duration::from_secs(10), "{code}: {taken:?}");
        assert_eq!(cell.detail(), "interrupted by owner", "{code}");
        assert_eq!(cell.stdout().contains("tidy"), code.contains("tidy"));
    }
    assert_eq!(client.run("kept").await.result(), "1");
    client.end().await;
}

async fn a_question_can_be_interrupted(stage: &Stage) {
    let mut client = stage.session().await;
    let id = client.execute("input()").await;
    client.until_of("input_request", &id).await;
    interrupt(&mut client).await;
    client.finish(&id).await.expect("interrupted", true);
    // An answer that comes too late is nobody's.
    client.send(json!({"type": "input", "id": id, "text": "late"})).await;
    let id = client.execute("input()").await;
    client.until_of("input_request", &id).await;
    client.send(json!({"type": "input", "id": id, "text": "mine"})).await;
    assert_eq!(client.finish(&id).await.result(), "'mine'");
    client.end().await;
}

async fn what_ignores_interrupts_is_killed(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("lost = 1").await;
    let code = "import signal\nsignal.signal(signal.SIGINT, signal.SIG_IGN)\ndef spin():\n    while True: pass\n\
                print('up')\nspin()";
    let id = begin(&mut client, code).await;
    let waiting = client.execute("'never'").await;
    interrupt(&mut client).await;
    let cell = client.finish(&id).await;
    cell.expect("killed", false);
    // It says where it hung.
    assert!(cell.detail().contains("spin"), "{}", cell.detail());
    client.finish(&waiting).await.expect("cancelled", true);
    client.until("restarted").await;
    assert_eq!(client.run("lost").await.error(), "NameError");
    let cell = client.run("1").await;
    assert_eq!(cell.done()["execution_count"], 2, "counts begin anew");
    client.end().await;
}

async fn a_cell_that_waits_can_be_cancelled(stage: &Stage) {
    let mut client = stage.session().await;
    let running = client.execute("input()").await;
    let first = client.execute("1").await;
    let second = client.execute("2").await;
    client.until_of("input_request", &running).await;
    client.send(json!({"type": "interrupt", "id": first})).await;
    let cell = client.finish(&first).await;
    cell.expect("cancelled", true);
    assert_eq!(cell.one("queued")["position"], 1);
    client.send(json!({"type": "input", "id": running, "text": ""})).await;
    client.finish(&running).await.expect("ok", true);
    assert_eq!(client.finish(&second).await.result(), "2");
    client.end().await;
}

async fn an_interrupt_of_nothing_is_nothing(stage: &Stage) {
    let mut client = stage.session().await;
    interrupt(&mut client).await;
    let id = client.execute("x = 1").await;
    client.finish(&id).await.expect("ok", true);
    // Of a cell that has ended: somebody was faster.
    client.send(json!({"type": "interrupt", "id": id})).await;
    interrupt(&mut client).await;
    client.run("sum(range(10 ** 6))").await.expect("ok", true);
    client.send(json!({"type": "interrupt", "id": "nobody"})).await;
    let refusal = client.until("protocol_error").await;
    assert_eq!((text(&refusal, "code"), text(&refusal, "id")), ("not_running", "nobody"));
    client.end().await;
}

async fn interrupts_hit_the_cell_they_name(stage: &Stage) {
    let mut client = stage.session().await;
    // Each interrupt is sent right behind its cell; whether it finds the cell waiting, starting or
    // running, it stops that one and none of the others.
    for round in 0..8 {
        let doomed = client.execute("while True: pass").await;
        client.send(json!({"type": "interrupt", "id": doomed})).await;
        let spared = client.execute(&format!("sum(range(10 ** 5)) and {round}")).await;
        let cell = client.finish(&doomed).await;
        assert!(["interrupted", "cancelled"].contains(&cell.status()), "{:#?}", cell.events);
        assert_eq!(cell.done()["state_kept"], true);
        assert_eq!(client.finish(&spared).await.result(), round.to_string());
    }
    client.end().await;
}

async fn a_time_limit_keeps_the_state(stage: &Stage) {
    let mut client = stage.session_of("brief").await;
    assert_eq!(client.ready["limits"]["timeout_ms"], 2_500);
    client.print("kept = 1").await;
    let cell = client.run("import time\ntime.sleep(600)").await;
    cell.expect("timeout", true);
    assert!(cell.detail().contains("2500 ms"), "{}", cell.detail());
    // The gateway's clock starts a little before the cell does.
    assert!((1_500.0..10_000.0).contains(&cell.done()["duration_ms"].as_f64().unwrap()));
    // A client cannot ask for more than the template gives.
    client.run_with("time.sleep(600)", json!({"timeout_ms": 60_000})).await.expect("timeout", true);
    assert_eq!(client.run("kept").await.result(), "1");
    client.end().await;
}

async fn a_client_may_ask_for_less_time(stage: &Stage) {
    let mut client = stage.session().await;
    let cell = client.run_with("while True: pass", json!({"timeout_ms": 200})).await;
    cell.expect("timeout", true);
    assert!(cell.detail().contains("200 ms"), "{}", cell.detail());
    client.run_with("1", json!({"timeout_ms": 60_000})).await.expect("ok", true);
    client.end().await;
}

async fn a_time_limit_ends_what_ignores_it(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("import signal").await; // which takes long enough to be interrupted itself
    let code = "signal.signal(signal.SIGINT, lambda *_: None)\nwhile True: pass";
    let cell = client.run_with(code, json!({"timeout_ms": 200})).await;
    cell.expect("timeout", false);
    assert!(cell.detail().contains("200 ms"), "{}", cell.detail());
    client.until("restarted").await;
    assert_eq!(client.run("'fresh'").await.result(), "'fresh'");
    client.end().await;
}

async fn a_restart_gives_a_fresh_interpreter(stage: &Stage) {
    let mut client = stage.session().await;
    client.print("x = 1\nopen('kept.txt', 'w').write('files stay');").await;
    client.send(json!({"type": "restart"})).await;
    let restarted = client.until("restarted").await;
    assert_eq!(text(&restarted, "requested_by"), "owner");
    assert_eq!(client.run("x").await.error(), "NameError");
    assert_eq!(client.run("open('kept.txt').read()").await.result(), "'files stay'");
    client.end().await;
}

async fn a_restart_cancels_what_waits(stage: &Stage) {
    let mut client = stage.session().await;
    let running = begin(&mut client, "print('up')\nimport time\ntime.sleep(600)").await;
    let waiting = [client.execute("1").await, client.execute("2").await];
    client.send(json!({"type": "restart"})).await;
    for id in waiting {
        client.finish(&id).await.expect("cancelled", true);
    }
    client.finish(&running).await.expect("interrupted", false);
    let after = client.execute("'after'").await;
    client.until("restarted").await;
    assert_eq!(client.finish(&after).await.result(), "'after'");
    client.end().await;
}

async fn a_full_queue_says_so(stage: &Stage) {
    let mut client = stage.session().await;
    let running = client.execute("input()").await;
    client.until_of("input_request", &running).await;
    let mut waiting = Vec::new();
    for _ in 0..64 {
        waiting.push(client.execute("pass").await);
    }
    let refused = client.execute("pass").await;
    let refusal = client.until("protocol_error").await;
    assert_eq!((text(&refusal, "code"), text(&refusal, "id")), ("queue_full", refused.as_str()));
    client.send(json!({"type": "input", "id": running, "text": ""})).await;
    for id in waiting {
        client.finish(&id).await.expect("ok", true);
    }
    // An id that was refused was not used.
    client.send(json!({"code": "'room'", "id": refused})).await;
    assert_eq!(client.finish(&refused).await.result(), "'room'");
    client.end().await;
}

async fn an_id_is_used_once(stage: &Stage) {
    let mut client = stage.session().await;
    for _ in 0..2 {
        client.send(json!({"code": "print('ran')", "id": "same"})).await;
    }
    let refusal = client.until("protocol_error").await;
    assert_eq!((text(&refusal, "code"), text(&refusal, "id")), ("duplicate_id", "same"));
    assert_eq!(client.finish("same").await.stdout(), "ran\n");
    // Also long after its end.
    client.send(json!({"code": "print('again')", "id": "same"})).await;
    assert_eq!(text(&client.until("protocol_error").await, "code"), "duplicate_id");
    assert_eq!(client.print("print('still here')").await, "still here\n");
    client.end().await;
}

//! Gateways and sessions end, each in its way, and leave nothing.

use rustix::process::Signal;
use serde_json::json;

use crate::common::client::{self, Client, text};
use crate::common::http;
use crate::common::suite::{Stage, cases};
use crate::common::traces::{GONE, ROOTS, until_empty};

cases![
    an_ended_session_leaves_nothing,
    what_runs_may_finish_while_the_gateway_drains,
    what_does_not_finish_is_ended,
    a_second_signal_ends_at_once,
    a_killed_gateway_leaves_nothing,
    a_start_sweeps_the_dead_and_spares_the_living,
];

async fn an_ended_session_leaves_nothing(stage: &Stage) {
    let mut client = stage.session().await;
    assert_eq!(client.print(ROOTS).await, "rooted\n");
    let processes = client.processes().await;
    assert!(processes.count() >= 4 || stage.backend.is_gvisor(), "{processes:?}");
    let traces = stage.gateway().traces().await;
    let session = client.session().to_owned();
    client.end().await;
    let left = until_empty(GONE, || traces.left_of(&session, &processes)).await;
    assert!(left.is_empty(), "{left:#?}");
}

async fn what_runs_may_finish_while_the_gateway_drains(stage: &Stage) {
    let gateway = stage.own(&["--drain-timeout", "60s"]);
    let traces = gateway.traces().await;
    let mut idle = Client::create(&gateway, "python").await;
    let mut busy = Client::create(&gateway, "python").await;
    let id = busy.execute("input()\nprint('finished')").await;
    busy.until_of("input_request", &id).await;
    gateway.signal(Signal::TERM);
    assert_eq!(busy.until("notice").await["code"], "draining");
    // A session that does nothing ends.
    assert_eq!(idle.until("ended").await["reason"], "draining");
    assert_eq!(idle.closed().await.code, 1001);
    // Requests are still served, so that clients learn of it.
    assert_eq!(http::get(&gateway, "/healthz", &[]).await.status, 200);
    assert_eq!(http::get(&gateway, "/readyz", &[]).await.status, 503);
    let request = client::request(&gateway, &format!("/ws?token={}", gateway.token));
    let (mut stream, _) = client::open(&gateway, request).await.unwrap();
    assert_eq!(client::next_frame(&mut stream).await.unwrap_err().code, 1001);
    let refused = busy.execute("'no more'").await;
    assert_eq!(text(&busy.until_of("protocol_error", &refused).await, "code"), "queue_full");
    busy.send(json!({"type": "input", "id": id, "text": ""})).await;
    let cell = busy.finish(&id).await;
    cell.expect("ok", true);
    assert_eq!(cell.stdout(), "finished\n");
    assert_eq!(busy.until("ended").await["reason"], "draining");
    assert_eq!(busy.closed().await.code, 1001);
    assert_eq!(gateway.exited().await.code(), Some(0));
    // The janitor outlives its gateway for a moment.
    let left = until_empty(GONE, || traces.left()).await;
    assert!(left.is_empty(), "{left:#?}");
}

async fn what_does_not_finish_is_ended(stage: &Stage) {
    let gateway = stage.own(&["--drain-timeout", "200ms"]);
    let mut client = Client::create(&gateway, "python").await;
    let id = client.execute("while True: pass").await;
    client.until_of("started", &id).await;
    let stopping = gateway.stop();
    let watching = async {
        client.finish(&id).await.expect("interrupted", false);
        assert_eq!(client.until("ended").await["reason"], "draining");
        assert_eq!(client.closed().await.code, 1001);
    };
    tokio::join!(stopping, watching);
}

async fn a_second_signal_ends_at_once(stage: &Stage) {
    let gateway = stage.own(&["--drain-timeout", "600s"]);
    let mut client = Client::create(&gateway, "python").await;
    let id = client.execute("while True: pass").await;
    client.until_of("started", &id).await;
    let traces = gateway.traces().await;
    gateway.signal(Signal::INT);
    client.until("notice").await;
    gateway.signal(Signal::INT);
    assert_eq!(gateway.exited().await.code(), Some(1));
    assert_eq!(client.closed().await.code, 1006);
    let left = traces.gone_but_files().await;
    assert!(left.is_empty(), "{left:#?}");
}

async fn a_killed_gateway_leaves_nothing(stage: &Stage) {
    // No pool: a gateway killed between an engine's "create" and "start" leaves a container that
    // never ran, which the next gateway's sweep removes.
    let gateway = stage.own(&["--pool-max", "0"]);
    let mut idle = Client::create(&gateway, "python").await;
    let mut busy = Client::create(&gateway, "python").await;
    idle.print(ROOTS).await;
    busy.print(ROOTS).await;
    let processes = [idle.processes().await, busy.processes().await];
    let id = busy.execute("print('up')\nwhile True: pass").await;
    busy.until_text(&id, "up\n").await;
    let traces = gateway.traces().await;
    gateway.kill().await;
    let left = traces.gone_but_files().await;
    assert!(left.is_empty(), "{left:#?}");
    for processes in &processes {
        let alive = until_empty(GONE, || async { processes.alive() }).await;
        assert!(alive.is_empty(), "{alive:#?}");
    }
    // What is left of files is swept by the next start.
    let successor = gateway.successor(&[]);
    let mut client = Client::create(&successor, "python").await;
    assert_eq!(client.run("6 * 7").await.result(), "42");
    client.end().await;
    successor.stop().await;
}

async fn a_start_sweeps_the_dead_and_spares_the_living(stage: &Stage) {
    let living = stage.own(&[]);
    let mut client = Client::create(&living, "python").await;
    client.print("x = 1").await;
    let dead = living.neighbour();
    let mut lost = Client::create(&dead, "python").await;
    lost.print("x = 2").await;
    dead.kill().await;
    assert_eq!(lost.closed().await.code, 1006);
    let third = living.neighbour();
    let mut other = Client::create(&third, "python").await;
    other.print("x = 3").await;
    assert_eq!(client.run("x").await.result(), "1");
    third.signal(Signal::TERM);
    assert_eq!(other.closed().await.code, 1001);
    assert_eq!(third.exited().await.code(), Some(0));
    assert_eq!(client.run("x").await.result(), "1");
    client.end().await;
    // All three shared one runtime directory; the last one leaves it as it should be.
    living.stop().await;
}

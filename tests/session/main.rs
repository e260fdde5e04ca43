//! The session's task, its link and its outboxes as they are, with a scripted driver behind them
//! and time that passes when everybody waits.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

#[path = "../common/mod.rs"]
mod common;

mod cost;
mod cuts;
mod links;
mod memory;
mod model;
mod people;
mod rules;
mod schedules;
mod timers;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cellgate::id::Token;
use cellgate::metrics::Metrics;
use cellgate::protocol::client::{ClientMessage, Execute};
use cellgate::protocol::event::EndReason;
use cellgate::protocol::reply::Role;
use cellgate::sandbox::EndCause;
use cellgate::session::{
    AttachError, Attachment, Credential, Delivery, Departure, DetachedOutput, JoinRequest,
    SessionConfig, SessionHandle,
};
use cellgate::template::Limits;
use cellgate_driver::wire::{Outcome, flag, kind};
use common::scripted::{self, Ended, ScriptedDriver};
use serde_json::Value;
use tokio::task::JoinHandle;

fn config() -> SessionConfig {
    SessionConfig {
        queue: 4,
        window_bytes: 64 << 10,
        log_bytes: 64 << 10,
        log_disk_bytes: 0,
        log_directory: std::env::temp_dir(),
        log_disk_reserve_bytes: 0,
        memory: cellgate::memory::Budget::new(1 << 30),
        message_bytes: 1 << 20,
        detached_output: DetachedOutput::Hold,
        participants: 4,
        detach_timeout: Duration::from_secs(60),
        silence_timeout: Duration::from_secs(30),
        idle_timeout: Some(Duration::from_secs(3600)),
        lifetime: None,
    }
}

/// Another owner each time.
fn join(name: &str) -> JoinRequest {
    JoinRequest { name: name.into(), credential: Credential::Gateway, after: None }
}

/// The session's creator, who is one.
fn creator() -> JoinRequest {
    JoinRequest::owner("ada", Token::new("t"))
}

struct Stage {
    handle: SessionHandle,
    driver: ScriptedDriver,
    ended: Ended,
    task: JoinHandle<()>,
}

async fn stage(config: SessionConfig, limits: Limits, cause: EndCause) -> Stage {
    let (prepared, driver, ended) = scripted::prepared(limits, cause, 4 << 10).await;
    let (handle, task) =
        cellgate::session::start(prepared, config, Token::new("t"), &Metrics::default());
    Stage { handle, driver, ended, task: tokio::spawn(task) }
}

/// Lets everybody do what there is to do now: virtual time passes when all of them wait.
async fn settle() {
    pass(Duration::from_millis(1)).await;
}

/// Lets so much time pass.
async fn pass(time: Duration) {
    let forever = std::future::pending::<()>();
    tokio::time::timeout(time, forever).await.expect_err("it is for ever");
}

async fn usual() -> Stage {
    stage(config(), Limits::default(), EndCause::Unknown).await
}

/// A participant that keeps what it has read.
struct Client {
    seat: Attachment,
    read: std::collections::VecDeque<Value>,
}

/// A message as a client reads it.
fn as_json(delivery: &Delivery) -> Value {
    serde_json::from_str(delivery.json()).unwrap()
}

/// Whether the session let a participant go because it is over for this reason.
fn ended_by(departure: &Departure, wanted: EndReason) -> bool {
    matches!(departure, Departure::Ended { reason, .. } if *reason == wanted)
}

impl Client {
    async fn join(handle: &SessionHandle, after: Option<u64>) -> Client {
        let seat = handle.attach(JoinRequest { after, ..join("ada") }).await.unwrap();
        Client { seat, read: Default::default() }
    }

    async fn execute(&self, id: &str) {
        let cell = Execute { code: "x".into(), id: Some(id.into()), ..Execute::default() };
        self.seat.send(Ok(ClientMessage::Execute(cell))).await.unwrap();
    }

    /// The next event or reply that is no list of participants: those come when it is their time.
    async fn next(&mut self) -> Result<Value, Departure> {
        loop {
            let message = self.message().await?;
            if message["type"] != "participants" {
                return Ok(message);
            }
        }
    }

    /// Whatever comes next.
    async fn message(&mut self) -> Result<Value, Departure> {
        while self.read.is_empty() {
            let mut batch = Vec::new();
            match self.seat.outbox().take(&mut batch).await {
                Ok(()) => {}
                Err(departure) => return Err(departure),
            }
            self.read.extend(batch.iter().map(as_json));
        }
        Ok(self.read.pop_front().unwrap())
    }

    /// Reads up to an event of this type.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self
                .message()
                .await
                .unwrap_or_else(|departure| panic!("{departure} before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    async fn until_departure(&mut self) -> Departure {
        loop {
            if let Err(departure) = self.next().await {
                return departure;
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn every_event_has_the_next_seq_and_a_time() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    let ready = client.next().await.unwrap();
    assert_eq!((&ready["type"], &ready["seq"]), (&"ready".into(), &0.into()));
    assert_eq!(ready["language"]["version"], "3.11.2");
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    driver.send(kind::OUTPUT, 0, cell, "h\u{e9}".as_bytes()).await;
    driver.send(kind::OUTPUT, flag::STDERR, cell, b"oh\n").await;
    let result = br#"{"type":"result","data":{"text/plain":"1"},"metadata":{}}"#;
    driver.send(kind::MESSAGE, flag::SYNC, cell, result).await;
    driver.done(cell, Outcome::Ok).await;
    let mut kinds = Vec::new();
    let told = client.message().await.unwrap();
    assert_eq!(
        told,
        serde_json::json!({"type": "participants",
        "list": [{"id": 1, "name": "ada", "role": "owner"}]})
    );
    for seq in 1..=8 {
        let event = client.next().await.unwrap();
        assert_eq!(event["seq"], seq);
        assert!(event["ts"].as_u64().unwrap() > 1_600_000_000_000);
        kinds.push(event["type"].as_str().unwrap().to_owned());
    }
    let expected = ["queued", "status", "started", "stdout", "stderr", "result", "done", "status"];
    assert_eq!(kinds, expected);
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_drops_detaches_and_another_resumes_without_a_seam() {
    let Stage { handle, mut driver, ended, .. } = usual().await;
    let mut first = Client::join(&handle, None).await;
    first.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = first.until("started").await["seq"].as_u64().unwrap();
    drop(first);
    driver.send(kind::OUTPUT, 0, cell, b"while away\n").await;
    let mut second = Client::join(&handle, Some(seen)).await;
    assert_eq!(second.next().await.unwrap()["type"], "ready");
    driver.done(cell, Outcome::Ok).await;
    let mut texts = Vec::new();
    for seq in seen + 1.. {
        let event = second.next().await.unwrap();
        assert_eq!(event["seq"], seq);
        texts.extend(event["text"].as_str().map(str::to_owned));
        if event["type"] == "done" {
            break;
        }
    }
    assert_eq!(texts, ["while away\n"]);
    assert!(!ended.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn what_the_log_forgot_is_named_by_a_gap() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut first = Client::join(&handle, None).await;
    first.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let page = vec![b'x'; 16 << 10];
    for _ in 0..10 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
        first.until("stdout").await;
    }
    let mut late = Client::join(&handle, Some(2)).await;
    let newest = late.next().await.unwrap()["seq"].as_u64().unwrap();
    let gap = late.next().await.unwrap();
    assert_eq!((&gap["type"], &gap["from"]), (&"gap".into(), &3.into()));
    let mut next = gap["to"].as_u64().unwrap() + 1;
    while next <= newest {
        assert_eq!(late.next().await.unwrap()["seq"], next);
        next += 1;
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_reads_nothing_stops_the_driver_and_an_interrupt_still_passes() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let page = vec![b'x'; 16 << 10];
    let mut sent = 0;
    // The pipe holds 4 KiB and the window 64: a driver nobody reads from blocks soon.
    while tokio::time::timeout(Duration::from_secs(1), driver.send(kind::OUTPUT, 0, cell, &page))
        .await
        .is_ok()
    {
        sent += page.len();
        assert!(sent < 1 << 20, "nothing holds the driver back");
    }
    client.seat.send(Ok(ClientMessage::Interrupt { id: None })).await.unwrap();
    assert_eq!(driver.expect(kind::INTERRUPT).await, cell);
    // A client that reads again gets every byte that was sent.
    let mut received = 0;
    while received < sent {
        received += client.until("stdout").await["text"].as_str().unwrap().len();
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_is_lost_while_nobody_is_attached() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    let page = vec![b'x'; 4 << 10];
    let mut sent = 0u64;
    while tokio::time::timeout(Duration::from_secs(1), driver.send(kind::OUTPUT, 0, cell, &page))
        .await
        .is_ok()
    {
        sent += 1;
        assert!(sent < 64, "the log alone cannot hold that much");
    }
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    for seq in 1..=sent {
        assert_eq!(back.next().await.unwrap()["seq"], seen + seq);
    }
}

fn on_disk() -> SessionConfig {
    SessionConfig { log_disk_bytes: 8 << 20, ..config() }
}

/// Lines with their numbers, 64 KiB in all.
fn page(number: usize) -> Vec<u8> {
    (0..1024).flat_map(|line| format!("{number:020}.{line:042}\n").into_bytes()).collect()
}

#[tokio::test(start_paused = true)]
async fn what_memory_cannot_hold_is_replayed_from_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let config = SessionConfig { log_directory: directory.path().into(), ..on_disk() };
    let Stage { handle, mut driver, .. } =
        stage(config, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    // Sixty times what memory holds, while nobody is attached.
    for number in 0..60 {
        driver.send(kind::OUTPUT, 0, cell, &page(number)).await;
    }
    driver.done(cell, Outcome::Ok).await;
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    let mut text = String::new();
    for seq in seen + 1.. {
        let event = back.next().await.unwrap();
        assert_eq!(event["seq"], seq, "{event}");
        match event["type"].as_str().unwrap() {
            "stdout" => text += event["text"].as_str().unwrap(),
            "done" => break,
            _ => {}
        }
    }
    assert!(text.as_bytes() == (0..60).flat_map(page).collect::<Vec<u8>>());
    let names = std::fs::read_dir(directory.path()).unwrap().count();
    assert_eq!(names, 0, "the file has no name, so none is left however the gateway ends");
    // Another one, who sees everything from the beginning, and then the present.
    let mut late = Client::join(&handle, None).await;
    late.until("ready").await;
    let mut next = 1;
    while next <= back_seq(&mut late, &mut next).await {}
    back.execute("b").await;
    driver.expect(kind::EXECUTE).await;
    assert_eq!(late.until("started").await["id"], "b");
}

/// Reads one event, which is the next; answers the seq up to which there is something to read.
async fn back_seq(client: &mut Client, next: &mut u64) -> u64 {
    let event = client.next().await.unwrap();
    assert_eq!(event["seq"], *next, "{event}");
    *next += 1;
    if event["type"] == "done" { 0 } else { u64::MAX }
}

#[tokio::test(start_paused = true)]
async fn detached_output_is_held_up_to_the_bound_of_the_disk() {
    let Stage { handle, mut driver, .. } =
        stage(on_disk(), Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    let mut sent = 0;
    while tokio::time::timeout(
        Duration::from_secs(1),
        driver.send(kind::OUTPUT, 0, cell, &page(sent)),
    )
    .await
    .is_ok()
    {
        sent += 1;
        assert!(sent < 128, "8 MiB cannot hold that much");
    }
    assert!(sent > 64, "only {sent} pages were held");
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    for number in 0..sent {
        assert_eq!(back.next().await.unwrap()["seq"], seen + 1 + number as u64);
    }
}

#[tokio::test(start_paused = true)]
async fn a_disk_that_fails_costs_a_gap_and_no_cell() {
    let nowhere = SessionConfig { log_directory: "/nonexistent".into(), ..on_disk() };
    let Stage { handle, mut driver, .. } =
        stage(nowhere, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let send = async {
        for number in 0..20 {
            driver.send(kind::OUTPUT, 0, cell, &page(number)).await;
        }
        driver.done(cell, Outcome::Ok).await;
    };
    let read = async {
        let mut kinds = Vec::new();
        loop {
            let event = client.next().await.unwrap();
            if event["type"] == "notice" {
                assert_eq!(event["code"], "log_disk");
            }
            kinds.push(event["type"].as_str().unwrap().to_owned());
            if event["type"] == "done" {
                assert_eq!(event["status"], "ok");
                return kinds;
            }
        }
    };
    let ((), kinds) = tokio::join!(send, read);
    assert_eq!(kinds.iter().filter(|kind| *kind == "stdout").count(), 20);
    assert_eq!(kinds.iter().filter(|kind| *kind == "notice").count(), 1);
    let mut late = Client::join(&handle, Some(3)).await;
    late.until("ready").await;
    assert_eq!(late.next().await.unwrap()["type"], "gap");
    late.until("done").await;
}

#[tokio::test(start_paused = true)]
async fn who_is_still_reading_from_the_disk_at_the_end_gets_it_all() {
    let Stage { handle, mut driver, .. } =
        stage(on_disk(), Limits::default(), EndCause::Unknown).await;
    let client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    drop(client);
    for number in 0..60 {
        driver.send(kind::OUTPUT, 0, cell, &page(number)).await;
    }
    driver.done(cell, Outcome::Ok).await;
    let mut back = Client::join(&handle, None).await;
    back.seat.send(Ok(ClientMessage::End)).await.unwrap();
    back.until("ready").await;
    let mut next = 1;
    loop {
        let event = back.next().await.unwrap();
        assert_eq!(event["seq"], next, "{event}");
        next += 1;
        if event["type"] == "ended" {
            break;
        }
    }
    assert!(ended_by(&back.until_departure().await, EndReason::Requested));
}

#[tokio::test(start_paused = true)]
async fn every_timer_ends_what_it_should() {
    let day = Duration::from_secs(86_400);
    for (config, name, reason) in [
        (
            SessionConfig { detach_timeout: day, idle_timeout: Some(day), ..config() },
            "idle_timeout",
            EndReason::IdleTimeout,
        ),
        (
            SessionConfig { lifetime: Some(Duration::from_secs(5)), ..config() },
            "lifetime",
            EndReason::Lifetime,
        ),
    ] {
        let Stage { handle, driver, ended, task } =
            stage(config, Limits::default(), EndCause::Unknown).await;
        let mut client = Client::join(&handle, None).await;
        assert_eq!(client.until("ended").await["reason"], name);
        assert!(ended_by(&client.until_departure().await, reason));
        task.await.unwrap();
        assert!(ended.load(Ordering::SeqCst));
        drop(driver);
    }
}

#[tokio::test(start_paused = true)]
async fn who_is_refused_keeps_no_session_awake() {
    let idle = Duration::from_secs(10);
    let config = SessionConfig { idle_timeout: Some(idle), ..config() };
    let Stage { handle, driver, .. } = stage(config, Limits::default(), EndCause::Unknown).await;
    let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    let mut editor = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    let began = tokio::time::Instant::now();
    for asks in 1..=3 {
        viewer.execute("a").await;
        viewer.until("protocol_error").await;
        editor.seat.send(Ok(ClientMessage::End)).await.unwrap();
        editor.until("protocol_error").await;
        let next = began + idle / 4 * asks;
        assert!(
            tokio::time::timeout_at(next, viewer.until_departure()).await.is_err(),
            "too early"
        );
    }
    assert!(ended_by(&viewer.until_departure().await, EndReason::IdleTimeout));
    assert_eq!(began.elapsed().as_secs(), idle.as_secs());
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn an_abandoned_session_ends_and_takes_its_sandbox_along() {
    let Stage { handle, driver, ended, task } = usual().await;
    drop(Client::join(&handle, None).await);
    let before = tokio::time::Instant::now();
    task.await.unwrap();
    assert!(before.elapsed() >= config().detach_timeout);
    assert!(ended.load(Ordering::SeqCst));
    assert!(matches!(handle.attach(join("late")).await, Err(AttachError::Over)));
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn a_cell_that_runs_too_long_is_interrupted() {
    let limits = Limits { timeout: Some(Duration::from_millis(250)), ..Limits::default() };
    let Stage { handle, mut driver, .. } = stage(config(), limits, EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let before = tokio::time::Instant::now();
    assert_eq!(driver.expect(kind::INTERRUPT).await, cell);
    assert!(before.elapsed() >= Duration::from_millis(250));
    driver.done(cell, Outcome::Interrupted).await;
    let done = client.until("done").await;
    // The scripted driver says 1.5 ms, but the outcome is not `ok`: the timer did it.
    assert_eq!((&done["status"], &done["state_kept"]), (&"timeout".into(), &true.into()));
}

#[tokio::test(start_paused = true)]
async fn a_lost_sandbox_is_told_with_its_cause() {
    for (cause, words) in [
        (EndCause::Removed("container removed from outside".into()), "removed from outside"),
        (EndCause::BackendGone("no answer".into()), "backend is gone"),
        (EndCause::OutOfMemory { limit_bytes: 64 << 20 }, "limit 64 MiB"),
        (EndCause::Supervisor(-9), "status -9"),
        (EndCause::Unknown, "sandbox is gone"),
    ] {
        let Stage { handle, mut driver, ended, task } =
            stage(config(), Limits::default(), cause).await;
        let mut client = Client::join(&handle, None).await;
        client.execute("a").await;
        client.execute("b").await;
        driver.expect(kind::EXECUTE).await;
        drop(driver);
        let done = client.until("done").await;
        assert_eq!((&done["id"], &done["status"]), (&"a".into(), &"lost".into()));
        assert_eq!(client.until("done").await["status"], "cancelled");
        let told = client.until("ended").await;
        assert!(told["detail"].as_str().unwrap().contains(words), "{told}");
        assert!(ended_by(&client.until_departure().await, EndReason::SandboxLost));
        task.await.unwrap();
        assert!(ended.load(Ordering::SeqCst));
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_session_refuses_and_a_seat_given_up_is_free() {
    let two = SessionConfig { participants: 2, ..config() };
    let Stage { handle, driver, .. } = stage(two, Limits::default(), EndCause::Unknown).await;
    let first = Client::join(&handle, None).await;
    let _second = Client::join(&handle, None).await;
    let third = handle.attach(join("third")).await;
    assert!(matches!(third, Err(AttachError::Full { seats: 2, role: Role::Owner })));
    drop(first);
    handle.attach(join("third")).await.unwrap();
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_to_a_full_session_gets_the_seat_of_the_connection_before() {
    let two = SessionConfig { participants: 2, ..config() };
    let Stage { handle, driver, .. } = stage(two, Limits::default(), EndCause::Unknown).await;
    let mut older = Client::seated(&handle, creator()).await;
    let _other = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    let _newer = Client::seated(&handle, creator()).await;
    assert_eq!(older.until_departure().await, Departure::Replaced);
    let third = handle.attach(role(&handle, "ida", Role::Viewer)).await;
    assert!(matches!(third, Err(AttachError::Full { seats: 1, role: Role::Viewer })));
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn all_that_was_said_before_leaving_is_heard() {
    let Stage { handle, mut driver, .. } = usual().await;
    let hasty = Client::join(&handle, None).await;
    for id in ["a", "b", "c"] {
        hasty.execute(id).await;
    }
    drop(hasty);
    let mut other = Client::join(&handle, None).await;
    for id in ["a", "b", "c"] {
        let cell = driver.expect(kind::EXECUTE).await;
        driver.done(cell, Outcome::Ok).await;
        assert_eq!(other.until("done").await["id"], id);
    }
}

/// Somebody with a share link of its own.
fn role(handle: &SessionHandle, name: &str, role: Role) -> JoinRequest {
    let link = handle.grant(&Credential::Gateway, role, None).unwrap();
    JoinRequest { credential: Credential::Token(link.token), ..join(name) }
}

impl Client {
    async fn seated(handle: &SessionHandle, join: JoinRequest) -> Client {
        Client { seat: handle.attach(join).await.unwrap(), read: Default::default() }
    }
}

#[tokio::test(start_paused = true)]
async fn a_viewer_only_watches_and_an_editor_may_neither_end_nor_restart() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    assert_eq!(viewer.next().await.unwrap()["role"], "viewer");
    viewer.execute("a").await;
    assert_eq!(viewer.until("protocol_error").await["code"], "forbidden");
    viewer.seat.send(Ok(ClientMessage::Ping { fields: Default::default() })).await.unwrap();
    viewer.until("pong").await;
    let mut editor = Client::seated(&handle, role(&handle, "ed", Role::Editor)).await;
    for owners in [ClientMessage::End, ClientMessage::Restart] {
        editor.seat.send(Ok(owners)).await.unwrap();
        assert_eq!(editor.until("protocol_error").await["code"], "forbidden");
    }
    editor.execute("a").await;
    assert_eq!(viewer.until("queued").await["by"], "ed");
    driver.expect(kind::EXECUTE).await;
}

#[tokio::test(start_paused = true)]
async fn a_newer_connection_of_the_same_participant_takes_over() {
    let Stage { handle, driver, .. } = usual().await;
    let mut older = Client::seated(&handle, creator()).await;
    let mut newer = Client::seated(&handle, creator()).await;
    assert_eq!(older.until_departure().await, Departure::Replaced);
    drop(older);
    let list = newer.until("participants").await["list"].clone();
    assert_eq!(list, serde_json::json!([{"id": 2, "name": "ada", "role": "owner"}]));
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn the_cell_never_waits_for_a_viewer_who_is_told_what_it_missed() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let page = vec![b'x'; 16 << 10];
    let mut newest = 0;
    for _ in 0..64 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
        newest = owner.until("stdout").await["seq"].as_u64().unwrap();
    }
    // The viewer had room for a window and missed the rest; what it sees accounts for every seq.
    let mut next = 1;
    let mut gaps = 0;
    viewer.until("ready").await;
    while next <= newest {
        let event = viewer.next().await.unwrap();
        if event["type"] == "gap" {
            assert_eq!(event["from"], next);
            next = event["to"].as_u64().unwrap() + 1;
            gaps += 1;
        } else {
            assert_eq!(event["seq"], next);
            next += 1;
        }
    }
    assert_eq!(gaps, 1);
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_stopped_cell_overtakes_the_output_that_waits() {
    let interrupt = |id: Option<&str>| ClientMessage::Interrupt { id: id.map(str::to_owned) };
    for stops in [
        vec![interrupt(None)],
        // A cell that leaves the queue meanwhile is not the one that everybody waits for.
        vec![interrupt(None), interrupt(Some("b"))],
        vec![ClientMessage::Restart],
    ] {
        stopped_cell_overtakes(stops).await;
    }
}

async fn stopped_cell_overtakes(stops: Vec<ClientMessage>) {
    let big = SessionConfig { window_bytes: 1 << 20, log_bytes: 8 << 20, ..config() };
    let Stage { handle, mut driver, .. } = stage(big, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    let mut other = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    client.execute("a").await;
    client.execute("b").await;
    let cell = driver.expect(kind::EXECUTE).await;
    // Just below the window, so that all of it waits for the client and none in the pipe.
    let page = vec![b'x'; 32 << 10];
    for _ in 0..30 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
    }
    for stop in stops {
        client.seat.send(Ok(stop)).await.unwrap();
    }
    let (order, _) = driver.receive().await;
    assert!([kind::INTERRUPT, kind::RESTART].contains(&order.kind));
    settle().await;
    driver.done(cell, Outcome::Interrupted).await;
    // When the end has reached somebody, the actor has settled it for everybody.
    while other.until("done").await["id"] != "a" {}
    let mut before = 0;
    let mut gaps = 0;
    loop {
        let event = client.next().await.unwrap();
        match event["type"].as_str().unwrap() {
            "gap" => gaps += 1,
            "done" if event["id"] == "a" => break,
            _ => before += event.to_string().len(),
        }
    }
    assert!(before < 512 << 10, "{before} bytes of output went before the end");
    assert!(gaps > 0, "what was skipped is named");
}

#[tokio::test(start_paused = true)]
async fn detached_output_may_be_dropped_instead_of_held() {
    let drop_it = SessionConfig { detached_output: DetachedOutput::Drop, ..config() };
    let Stage { handle, mut driver, .. } =
        stage(drop_it, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = client.until("started").await["seq"].as_u64().unwrap();
    drop(client);
    let page = vec![b'x'; 16 << 10];
    for _ in 0..64 {
        driver.send(kind::OUTPUT, 0, cell, &page).await;
    }
    driver.done(cell, Outcome::Ok).await;
    let mut back = Client::join(&handle, Some(seen)).await;
    back.until("ready").await;
    let gap = back.next().await.unwrap();
    assert_eq!((&gap["type"], &gap["from"]), (&"gap".into(), &(seen + 1).into()));
    back.until("done").await;
}

#[tokio::test(start_paused = true)]
async fn a_long_progress_bar_is_seen_live_and_replayed_as_its_last_frame() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let seen = owner.until("started").await["seq"].as_u64().unwrap();
    let frame = |number: usize| format!("\r{number:>5}/40000 |{:<40}|", "█".repeat(number / 1000));
    for number in 1..=20_000 {
        driver.send(kind::OUTPUT, 0, cell, frame(number).as_bytes()).await;
        assert_eq!(owner.until("stdout").await["text"], frame(number), "live");
    }
    drop(owner);
    // Many times the log, which takes it all, as nothing of it is left to be seen.
    for number in 20_001..=40_000 {
        driver.send(kind::OUTPUT, 0, cell, frame(number).as_bytes()).await;
    }
    driver.done(cell, Outcome::Ok).await;
    // For a viewer nothing is held back, so that nobody is waited for before all is in the log.
    Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await.until("done").await;
    for after in [seen, seen + 10_000, seen + 30_000] {
        let mut back = Client::join(&handle, Some(after)).await;
        back.until("ready").await;
        let (mut texts, mut events, mut next) = (Vec::new(), 0, after + 1);
        loop {
            let event = back.next().await.unwrap();
            events += 1;
            if event["type"] == "gap" {
                assert_eq!((&event["from"], &event["superseded"]), (&next.into(), &true.into()));
                next = event["to"].as_u64().unwrap() + 1;
                continue;
            }
            assert_eq!(event["seq"], next);
            next += 1;
            match event["type"].as_str().unwrap() {
                "stdout" => texts.push(event["text"].as_str().unwrap().to_owned()),
                "done" => break,
                _ => {}
            }
        }
        // Besides the last there is the one that was newest when somebody came or left.
        assert!(events < 16 && texts.len() <= 3, "{events} events, {texts:?}");
        assert_eq!(texts.last(), Some(&frame(40_000)));
    }
}

#[tokio::test(start_paused = true)]
async fn an_animation_is_replayed_as_its_last_frame() {
    let clear = r#"{"type":"clear_output","wait":true}"#;
    let show = |number: usize, id: &str| {
        let data = serde_json::json!({"text/plain": format!("{number:0>2000}")});
        serde_json::json!({"type": "display", "data": data, "metadata": {}, "display_id": id, "update": true})
            .to_string()
    };
    // Cleared and shown again, or one display that is updated.
    for clears in [true, false] {
        let Stage { handle, mut driver, .. } = usual().await;
        let owner = Client::join(&handle, None).await;
        owner.execute("a").await;
        let cell = driver.expect(kind::EXECUTE).await;
        drop(owner);
        // Many times the log, which takes it all, as nothing of it is left to be seen.
        for number in 1..=500 {
            let id = if clears { number.to_string() } else { "one".into() };
            if clears {
                driver.send(kind::MESSAGE, 0, cell, clear.as_bytes()).await;
                driver.send(kind::OUTPUT, 0, cell, format!("frame {number}\n").as_bytes()).await;
            }
            driver.send(kind::MESSAGE, 0, cell, show(number, &id).as_bytes()).await;
        }
        driver.done(cell, Outcome::Ok).await;
        Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await.until("done").await;
        let mut back = Client::join(&handle, None).await;
        back.until("ready").await;
        let (mut kinds, mut next) = (Vec::new(), 1);
        loop {
            let event = back.next().await.unwrap();
            if event["type"] == "gap" {
                assert_eq!((&event["from"], &event["superseded"]), (&next.into(), &true.into()));
                next = event["to"].as_u64().unwrap() + 1;
                continue;
            }
            assert_eq!(event["seq"], next);
            next += 1;
            match event["type"].as_str().unwrap() {
                "done" => break,
                "stdout" => assert_eq!(event["text"], "frame 500\n"),
                "display" => assert_eq!(event["data"]["text/plain"], format!("{:0>2000}", 500)),
                "clear_output" => {}
                _ => continue,
            }
            kinds.push(event["type"].as_str().unwrap().to_owned());
        }
        let expected: &[&str] =
            if clears { &["clear_output", "stdout", "display"] } else { &["display"] };
        assert_eq!(kinds, expected);
    }
}

#[tokio::test(start_paused = true)]
async fn what_was_seen_makes_no_room_for_what_was_not() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    let show = |number: usize, turn: usize| {
        let data = serde_json::json!({"text/plain": format!("{turn}{number:0>5000}")});
        serde_json::json!({
            "type": "display", "data": data, "metadata": {}, "display_id": number.to_string(), "update": true
        })
        .to_string()
    };
    // Ten displays, most of the log, are seen; then they are updated while nobody is there.
    let mut seen = 0;
    for number in 0..10 {
        driver.send(kind::MESSAGE, 0, cell, show(number, 0).as_bytes()).await;
        seen = owner.until("display").await["seq"].as_u64().unwrap();
    }
    drop(owner);
    let (second, page) = (Duration::from_secs(1), "x".repeat(4 << 10));
    let updates = (0..10).map(|number| (kind::MESSAGE, show(number, 1)));
    for (kind, payload) in updates.chain(std::iter::repeat((kind::OUTPUT, page))) {
        let sent = driver.send(kind, 0, cell, payload.as_bytes());
        // The cell waits before anything of it is forgotten.
        if tokio::time::timeout(second, sent).await.is_err() {
            break;
        }
    }
    let mut back = Client::join(&handle, Some(seen)).await;
    let mut updated = 0;
    while let Ok(event) = tokio::time::timeout(second, back.next()).await {
        let event = event.unwrap();
        assert_ne!(event["type"], "gap", "{event}");
        if event["type"] == "display" {
            assert_eq!(event["display_id"], updated.to_string());
            updated += 1;
        }
    }
    assert!(updated > 4, "half of the log holds {updated} updates");
}

#[tokio::test(start_paused = true)]
async fn an_owner_who_is_slow_gets_every_frame() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    owner.until("started").await;
    let frame = |number: usize| format!("\r{number:>5000}");
    let write = async {
        for number in 0..100 {
            driver.send(kind::OUTPUT, 0, cell, frame(number).as_bytes()).await;
        }
    };
    let read = async {
        for number in 0..100 {
            let event = owner.next().await.unwrap();
            assert_eq!(event["text"], frame(number));
            // Time enough for the window to be full again and again.
            tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.ok();
        }
    };
    tokio::join!(write, read);
}

#[tokio::test(start_paused = true)]
async fn a_driver_that_falls_silent_is_given_up() {
    let Stage { handle, mut driver, ended, task } = usual().await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    client.execute("b").await;
    driver.expect(kind::EXECUTE).await;
    // Two signs of life, then none.
    for _ in 0..2 {
        driver.expect(kind::PING).await;
        driver.send(kind::PONG, 0, 0, b"").await;
    }
    let heard = tokio::time::Instant::now();
    driver.expect(kind::PING).await;
    let done = client.until("done").await;
    assert_eq!((&done["id"], &done["status"]), (&"a".into(), &"lost".into()));
    assert!(done["detail"].as_str().unwrap().contains("said nothing for 30s"), "{done}");
    assert!(heard.elapsed() >= config().silence_timeout);
    assert!(heard.elapsed() <= 2 * config().silence_timeout);
    assert_eq!(client.until("done").await["status"], "cancelled");
    assert_eq!(client.until("ended").await["reason"], "sandbox_lost");
    assert!(ended_by(&client.until_departure().await, EndReason::SandboxLost));
    task.await.unwrap();
    assert!(ended.load(Ordering::SeqCst), "the link is there still: only this ends the sandbox");
}

#[tokio::test(start_paused = true)]
async fn a_driver_may_be_silent_when_nothing_is_expected_of_it_or_nobody_reads() {
    let Stage { handle, mut driver, .. } = usual().await;
    let mut client = Client::join(&handle, None).await;
    client.until("participants").await;
    tokio::time::advance(10 * config().silence_timeout).await;
    client.execute("a").await;
    // The first thing it is sent: no ping came before.
    let cell = driver.expect(kind::EXECUTE).await;
    client.until("started").await;
    // More than the participant takes: the gateway stops reading, and the driver cannot say a word.
    let page = vec![b'x'; 16 << 10];
    let say = async {
        for _ in 0..8 {
            driver.send(kind::OUTPUT, 0, cell, &page).await;
        }
        driver.done(cell, Outcome::Ok).await;
        driver
    };
    let listen = async {
        for _ in 0..20 {
            tokio::time::advance(config().silence_timeout / 2).await;
        }
        client.until("done").await
    };
    let (_driver, done) = tokio::join!(say, listen);
    assert_eq!(done["status"], "ok", "{done}");
}

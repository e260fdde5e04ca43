//! The session's timers that no other test is about, in virtual time.

use cellgate::document::{Contents, DocumentCell, SeedError};
use cellgate::sandbox::SandboxHandle;
use cellgate::session::SessionConfig;
use cellgate_driver::wire::{ExitCause, Exited, HEADER_BYTES, Header};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::*;

#[track_caller]
fn took(began: Instant, wanted: Duration) {
    let elapsed = began.elapsed();
    let slack = Duration::from_millis(5);
    assert!(wanted <= elapsed && elapsed <= wanted + slack, "{elapsed:?} instead of {wanted:?}");
}

/// Waits for nothing but time.
async fn pass(time: Duration) {
    let forever = std::future::pending::<()>();
    tokio::time::timeout(time, forever).await.expect_err("it is for ever");
}

/// Answers pings as a driver does that lives, and nothing else, until the link closes.
async fn live(mut driver: ScriptedDriver) {
    let mut header = [0; HEADER_BYTES];
    while driver.stream.read_exact(&mut header).await.is_ok() {
        let header = Header::decode(&header).unwrap();
        let mut payload = vec![0; header.length as usize];
        driver.stream.read_exact(&mut payload).await.unwrap();
        if header.kind == kind::PING {
            driver.send(kind::PONG, 0, 0, b"").await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_interpreter_that_does_not_come_ends_the_session() {
    let restart_time = Duration::from_secs(60);
    // The running cell's end may cross with the restart, or the interpreter may end and then
    // nothing.
    for crossing in [None, Some(true), Some(false)] {
        let Stage { handle, mut driver, .. } = usual().await;
        let mut client = Client::join(&handle, None).await;
        client.execute("a").await;
        let cell = driver.expect(kind::EXECUTE).await;
        client.until("started").await;
        client.seat.send(Ok(ClientMessage::Restart { interpreter: None })).await.unwrap();
        driver.expect(kind::RESTART).await;
        let began = Instant::now();
        match crossing {
            None => {}
            Some(true) => driver.done(cell, Outcome::Ok).await,
            Some(false) => {
                let exited = Exited {
                    cause: ExitCause::Restart,
                    signalled: true,
                    status: 9,
                    memory_limit_bytes: 0,
                    usage: Default::default(),
                    detail: String::new(),
                };
                driver.send(kind::EXITED, 0, cell, &exited.encode()).await;
            }
        }
        let driver = tokio::spawn(live(driver));
        let ended = client.until("ended").await;
        took(began, restart_time);
        assert_eq!(ended["reason"], "sandbox_lost");
        let detail = ended["detail"].as_str().unwrap();
        assert!(detail.contains("did not start a fresh interpreter within 60 s"), "{detail}");
        driver.await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_grace_begins_when_the_last_one_leaves_and_ends_with_the_first() {
    let grace = config().detach_timeout;
    let config = SessionConfig { idle_timeout: None, ..config() };
    let Stage { handle, mut driver, task, .. } =
        stage(config, Limits::default(), EndCause::Unknown).await;
    let began = Instant::now();
    pass(grace / 2).await;
    let viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
    let owner = Client::join(&handle, None).await;
    owner.execute("a").await;
    driver.expect(kind::EXECUTE).await;
    let driver = tokio::spawn(live(driver));
    drop(owner);
    // A viewer is somebody too.
    pass(2 * grace).await;
    drop(viewer);
    pass(grace / 2).await;
    let back = Client::join(&handle, None).await;
    pass(grace).await;
    assert!(!task.is_finished(), "{:?}", began.elapsed());
    drop(back);
    let left = Instant::now();
    // A cell that runs goes on meanwhile, and does not make it longer.
    task.await.unwrap();
    took(left, grace);
    driver.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn idle_is_who_runs_nothing_and_hears_nothing() {
    let idle = Duration::from_secs(100);
    let config = SessionConfig { idle_timeout: Some(idle), ..config() };
    let Stage { handle, mut driver, .. } =
        stage(config, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    pass(idle - Duration::from_secs(1)).await;
    client.execute("a").await;
    let cell = driver.expect(kind::EXECUTE).await;
    // Longer than that, with signs of life.
    for _ in 0..20 {
        pass(idle / 10).await;
        driver.send(kind::PONG, 0, 0, b"").await;
    }
    driver.done(cell, Outcome::Ok).await;
    client.until("done").await;
    let done = Instant::now();
    pass(idle / 2).await;
    // A heartbeat is nobody doing something.
    client.seat.send(Ok(ClientMessage::Ping { fields: Default::default() })).await.unwrap();
    assert_eq!(client.until("ended").await["reason"], "idle_timeout");
    took(done, idle);
    assert!(ended_by(&client.until_departure().await, EndReason::IdleTimeout));
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn who_writes_in_the_document_is_not_idle() {
    let idle = Duration::from_secs(100);
    let config = SessionConfig { idle_timeout: Some(idle), ..config() };
    let Stage { handle, driver, .. } = stage(config, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    pass(idle - Duration::from_secs(1)).await;
    let cell = DocumentCell { id: "a".into(), ..DocumentCell::default() };
    let contents = Contents { title: String::new(), cells: vec![cell] };
    assert_eq!(handle.seed_document(contents.clone()).await, Ok(true));
    let changed = Instant::now();
    pass(idle / 2).await;
    assert_eq!(handle.seed_document(contents.clone()).await, Ok(false), "which changes nothing");
    assert_eq!(handle.read_document().await, Some(contents.clone()));
    assert_eq!(client.until("ended").await["reason"], "idle_timeout");
    took(changed, idle);
    drop(client.until_departure().await);
    assert_eq!(handle.seed_document(contents).await, Err(SeedError::Over));
    drop(driver);
}

#[tokio::test(start_paused = true)]
async fn a_lifetime_ends_what_is_busy_too() {
    let lifetime = Duration::from_secs(1000);
    let config = SessionConfig { lifetime: Some(lifetime), ..config() };
    let began = Instant::now();
    let Stage { handle, mut driver, .. } =
        stage(config, Limits::default(), EndCause::Unknown).await;
    let mut client = Client::join(&handle, None).await;
    client.execute("a").await;
    driver.expect(kind::EXECUTE).await;
    let driver = tokio::spawn(live(driver));
    let done = client.until("done").await;
    took(began, lifetime);
    assert_eq!((&done["id"], &done["status"]), (&"a".into(), &"interrupted".into()));
    assert_eq!(client.until("ended").await["reason"], "lifetime");
    assert!(ended_by(&client.until_departure().await, EndReason::Lifetime));
    driver.await.unwrap();
}

/// A sandbox whose backend never says what became of it, nor ends it.
struct Mute;

impl SandboxHandle for Mute {
    fn ended(&mut self) -> BoxFuture<'_, ()> {
        std::future::pending().boxed()
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        std::future::pending().boxed()
    }

    fn end(self: Box<Self>) -> BoxFuture<'static, ()> {
        std::future::pending().boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_backend_that_does_not_say_why_is_not_waited_for() {
    let (mut prepared, driver, _) =
        scripted::prepared(Limits::default(), EndCause::Unknown, 4 << 10).await;
    prepared.handle = Box::new(Mute);
    let (handle, task) =
        cellgate::session::start(prepared, config(), Token::new("t"), &Metrics::default());
    tokio::spawn(task);
    let mut client = Client::join(&handle, None).await;
    client.until("participants").await;
    let began = Instant::now();
    drop(driver);
    assert_eq!(client.until("ended").await["detail"], "the sandbox is gone");
    took(began, Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_nobody_can_end_loses_its_link() {
    let (mut prepared, mut driver, _) =
        scripted::prepared(Limits::default(), EndCause::Unknown, 4 << 10).await;
    prepared.handle = Box::new(Mute);
    let (handle, task) =
        cellgate::session::start(prepared, config(), Token::new("t"), &Metrics::default());
    tokio::spawn(task);
    let mut client = Client::join(&handle, None).await;
    client.until("participants").await;
    let began = Instant::now();
    client.seat.send(Ok(ClientMessage::End)).await.unwrap();
    assert!(ended_by(&client.until_departure().await, EndReason::Requested));
    took(began, Duration::ZERO);
    // The end of the link is what a driver ends itself by.
    assert_eq!(driver.stream.read(&mut [0]).await.unwrap(), 0);
    took(began, Duration::from_secs(2));
}

#[tokio::test(start_paused = true)]
async fn who_takes_nothing_at_the_end_is_waited_for_ten_seconds() {
    let Stage { handle, mut driver, task, ended } =
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
    let began = Instant::now();
    back.seat.send(Ok(ClientMessage::End)).await.unwrap();
    task.await.unwrap();
    took(began, Duration::from_secs(10));
    assert!(ended.load(Ordering::SeqCst), "the sandbox was not ended meanwhile");
    // What it still gets says what it does not get.
    let (mut next, mut gaps) = (1, 0);
    loop {
        match back.next().await {
            Ok(event) if event["type"] == "gap" => {
                assert_eq!(event["from"], next, "{event}");
                next = event["to"].as_u64().unwrap() + 1;
                gaps += 1;
            }
            Ok(event) if event["type"] == "ready" => {}
            Ok(event) => {
                assert_eq!(event["seq"], next, "{event}");
                next += 1;
            }
            Err(departure) => {
                assert!(ended_by(&departure, EndReason::Requested));
                break;
            }
        }
    }
    assert_eq!(gaps, 1);
}

//! How a session ends: time limits, a lost sandbox, a silent driver.

use crate::*;

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
    assert!(done["detail"].as_str().unwrap().contains("did not answer for 30s"), "{done}");
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

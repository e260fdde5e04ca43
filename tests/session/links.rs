//! Links that break in every way: the session says so, truthfully, and in a time that is bounded.
//!
//! | the link | what ends the wait |
//! |---|---|
//! | ends, between frames or within one; fails | at once |
//! | ends while nobody takes what it holds | at once, as the backend tells |
//! | goes dead while something is expected | `session.silence_timeout`, at most twice |
//! | goes dead while nothing is | the next thing that is asked of it |
//! | goes dead under an interrupt | the grace and 30 s |
//! | goes dead under a restart | `session.silence_timeout`, at most twice |
//! | takes no more bytes and says nothing | `session.silence_timeout`, at most twice |
//! | takes no more bytes and goes on talking | an interrupt's grace and 30 s, or a bound of bytes |

use cellgate::sandbox::SandboxHandle;
use cellgate::session::SessionConfig;
use cellgate::session::files::FileError;
use cellgate_driver::wire::Usage;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::AsyncWriteExt;
use tokio::time::Instant;

use crate::common::scripted::{done, frame};
use crate::common::switch::KillSwitch;
use crate::*;

/// What a supervisor may take beyond the grace; `ANSWER_TIME` of the rules.
const ANSWER_TIME: Duration = Duration::from_secs(30);

/// What a file's step may take; `STEP` of the transfers.
const FILE_STEP: Duration = Duration::from_secs(20);

/// By when a deadline was surely kept.
const SLACK: Duration = Duration::from_millis(5);

struct Broken {
    client: Client,
    driver: ScriptedDriver,
    switch: KillSwitch,
    handle: SessionHandle,
    ended: Ended,
    task: JoinHandle<()>,
}

async fn open() -> Broken {
    let (prepared, driver, ended, switch) =
        scripted::breakable(Limits::default(), EndCause::Unknown, 4 << 10).await;
    let config = SessionConfig { idle_timeout: None, ..config() };
    let (handle, task) =
        cellgate::session::start(prepared, config, Token::new("t"), &Metrics::default());
    let task = tokio::spawn(task);
    let client = Client::join(&handle, None).await;
    Broken { client, driver, switch, handle, ended, task }
}

impl Broken {
    /// A cell runs.
    async fn run(&mut self, id: &str) -> u32 {
        self.client.execute(id).await;
        let cell = self.driver.expect(kind::EXECUTE).await;
        self.client.until("started").await;
        cell
    }

    /// Each cell gets its end and everybody the session's, whose words are answered; nothing is
    /// left.
    async fn lost(mut self, cells: &[(&str, &str)]) -> String {
        for (id, status) in cells {
            let done = self.client.until("done").await;
            assert_eq!((&done["id"], &done["status"]), (&(*id).into(), &(*status).into()));
            assert_eq!(done["state_kept"], *status == "cancelled");
        }
        let told = self.client.until("ended").await;
        assert_eq!(told["reason"], "sandbox_lost");
        assert!(ended_by(&self.client.until_departure().await, EndReason::SandboxLost));
        self.task.await.unwrap();
        assert!(self.ended.load(Ordering::SeqCst), "the sandbox is ended too");
        told["detail"].as_str().unwrap().to_owned()
    }
}

fn patience() -> Duration {
    config().silence_timeout
}

#[track_caller]
fn within(began: Instant, least: Duration, most: Duration) {
    let took = began.elapsed();
    assert!(least <= took && took <= most + SLACK, "{took:?}, not within {least:?} and {most:?}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_dead_under_a_cell() {
    let mut broken = open().await;
    broken.run("a").await;
    broken.client.execute("b").await;
    broken.client.until("queued").await;
    broken.switch.go_dead();
    let began = Instant::now();
    let detail = broken.lost(&[("a", "lost"), ("b", "cancelled")]).await;
    within(began, patience() / 2, 2 * patience());
    assert!(detail.contains("did not answer for 30s"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_dead_while_nothing_is_expected_is_found_by_the_next_cell() {
    let mut broken = open().await;
    broken.switch.go_dead();
    tokio::time::advance(20 * patience()).await;
    broken.client.execute("a").await;
    broken.client.until("started").await;
    let began = Instant::now();
    let detail = broken.lost(&[("a", "lost")]).await;
    within(began, patience(), 2 * patience());
    assert!(detail.contains("did not answer"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_dead_under_an_interrupt() {
    let mut broken = open().await;
    let cell = broken.run("a").await;
    // It has just been heard, so that the interrupt's own deadline is the first to come.
    tokio::time::advance(patience() / 3).await;
    broken.driver.send(kind::OUTPUT, 0, cell, b"alive").await;
    broken.client.until("stdout").await;
    broken.switch.go_dead();
    broken
        .client
        .seat
        .send(Ok(ClientMessage::Interrupt { id: None, interpreter: None }))
        .await
        .unwrap();
    let began = Instant::now();
    let limit = Limits::default().interrupt_grace + ANSWER_TIME;
    let detail = broken.lost(&[("a", "lost")]).await;
    within(began, limit, limit);
    assert!(detail.contains(&format!("within {} s", limit.as_secs())), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_dead_under_a_restart() {
    let mut broken = open().await;
    broken.run("a").await;
    broken.switch.go_dead();
    broken.client.seat.send(Ok(ClientMessage::Restart { interpreter: None })).await.unwrap();
    let began = Instant::now();
    let detail = broken.lost(&[("a", "lost")]).await;
    within(began, patience() / 2, 2 * patience());
    assert!(detail.contains("did not answer"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_goes_dead_under_a_file() {
    let broken = open().await;
    broken.switch.go_dead();
    let began = Instant::now();
    let asked = broken.handle.read_file("a.txt").await;
    assert!(matches!(asked, Err(FileError::Silent)), "{asked:?}");
    within(began, FILE_STEP, FILE_STEP);
    // Whoever asked was told; the session goes on, and finds out when a cell is to run.
    broken.client.execute("a").await;
    let detail = broken.lost(&[("a", "lost")]).await;
    within(began, FILE_STEP, FILE_STEP + 2 * patience());
    assert!(detail.contains("did not answer"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_ends_or_falls_silent_at_any_byte_of_its_frames() {
    let mut frames = frame(kind::OUTPUT, 0, 1, b"whole");
    let output = frames.len();
    frames.extend(frame(kind::DONE, 0, 1, &done(Outcome::Ok)));
    for (ends, cut) in [true, false].into_iter().flat_map(|ends| {
        let cuts = 0..=frames.len();
        cuts.map(move |cut| (ends, cut))
    }) {
        let mut broken = open().await;
        broken.run("a").await;
        match ends {
            true => broken.switch.end_after(cut),
            false => broken.switch.fall_silent_after(cut),
        }
        broken.driver.stream.write_all(&frames).await.unwrap();
        // Text of a frame that did not come whole is nobody's.
        if cut >= output {
            assert_eq!(broken.client.until("stdout").await["text"], "whole");
        }
        let began = Instant::now();
        let whole = cut == frames.len();
        if whole {
            assert_eq!(broken.client.until("done").await["status"], "ok");
        }
        if whole && !ends {
            assert!(!broken.task.is_finished(), "nothing is expected any more");
            continue;
        }
        let lost: &[(&str, &str)] = if whole { &[] } else { &[("a", "lost")] };
        let detail = broken.lost(lost).await;
        match ends {
            true => within(began, Duration::ZERO, Duration::ZERO),
            false => within(began, patience() / 2, 2 * patience()),
        }
        let words = if ends { "the sandbox is gone" } else { "did not answer for 30s" };
        assert!(detail.contains(words), "{cut}: {detail}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_link_that_fails() {
    let mut broken = open().await;
    broken.run("a").await;
    let began = Instant::now();
    broken.switch.fail();
    let detail = broken.lost(&[("a", "lost")]).await;
    within(began, Duration::ZERO, Duration::ZERO);
    assert!(detail.contains("the link's stream failed"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_and_says_nothing() {
    let mut broken = open().await;
    broken.switch.take_nothing();
    broken.client.execute("a").await;
    broken.client.until("started").await;
    let began = Instant::now();
    let detail = broken.lost(&[("a", "lost")]).await;
    within(began, patience(), 2 * patience());
    assert!(detail.contains("did not answer"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_takes_nothing_and_goes_on_talking_is_found_by_an_interrupt() {
    let mut broken = open().await;
    let cell = broken.run("a").await;
    broken.switch.take_nothing();
    broken
        .client
        .seat
        .send(Ok(ClientMessage::Interrupt { id: None, interpreter: None }))
        .await
        .unwrap();
    let began = Instant::now();
    let mut driver = std::mem::replace(&mut broken.driver, nobody());
    let talk = async {
        loop {
            tokio::time::timeout(Duration::from_secs(1), std::future::pending::<()>()).await.ok();
            driver.send(kind::USAGE, 0, 0, &Usage::default().encode()).await;
            driver.send(kind::OUTPUT, 0, cell, b"still here\n").await;
        }
    };
    let limit = Limits::default().interrupt_grace + ANSWER_TIME;
    let detail = tokio::select! {
        () = talk => unreachable!(),
        detail = broken.lost(&[("a", "lost")]) => detail,
    };
    within(began, limit, limit);
    assert!(detail.contains("did not answer an interrupt"), "{detail}");
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_link_that_takes_nothing_is_bounded() {
    let mut broken = open().await;
    broken.switch.take_nothing();
    // The driver says that each cell is done, though none can have reached it.
    let code = "x".repeat(1 << 20);
    let mut cells = 0;
    loop {
        let execute = Execute { code: code.clone(), ..Execute::default() };
        broken.client.seat.send(Ok(ClientMessage::Execute(execute))).await.ok();
        cells += 1;
        assert!(cells < 200, "{cells} MiB wait");
        loop {
            let event = broken.client.next().await.unwrap();
            match event["type"].as_str().unwrap() {
                "started" => {
                    // It may have been given up by now.
                    let done = frame(kind::DONE, 0, cells, &done(Outcome::Ok));
                    broken.driver.stream.write_all(&done).await.ok();
                }
                "done" if event["status"] == "ok" => break,
                "done" => assert_eq!(event["status"], "lost"),
                "ended" => {
                    broken.task.await.unwrap();
                    return assert!(
                        event["detail"].as_str().unwrap().contains("reads no commands")
                    );
                }
                _ => {}
            }
        }
    }
}

/// A sandbox whose backend sees it end.
struct Mortal(tokio::sync::watch::Receiver<bool>);

impl SandboxHandle for Mortal {
    fn ended(&mut self) -> BoxFuture<'_, ()> {
        async { drop(self.0.wait_for(|ended| *ended).await) }.boxed()
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        std::future::ready(EndCause::Removed("somebody removed it".into())).boxed()
    }

    fn end(self: Box<Self>) -> BoxFuture<'static, ()> {
        std::future::ready(()).boxed()
    }
}

#[tokio::test(start_paused = true)]
async fn a_sandbox_that_ends_while_nobody_takes_its_output() {
    for attached in [true, false] {
        let (mut prepared, mut driver, _) =
            scripted::prepared(Limits::default(), EndCause::Unknown, 4 << 10).await;
        let (kill, ended) = tokio::sync::watch::channel(false);
        prepared.handle = Box::new(Mortal(ended));
        let (handle, task) =
            cellgate::session::start(prepared, config(), Token::new("t"), &Metrics::default());
        tokio::spawn(task);
        let mut viewer = Client::seated(&handle, role(&handle, "vera", Role::Viewer)).await;
        let owner = Client::join(&handle, None).await;
        owner.execute("a").await;
        let cell = driver.expect(kind::EXECUTE).await;
        // It takes nothing, or is not there: the cell's output is held, and the link not read.
        let owner = attached.then_some(owner);
        let page = vec![b'x'; 16 << 10];
        let flood = async {
            loop {
                driver.send(kind::OUTPUT, 0, cell, &page).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(60), flood).await.expect_err("it is not held");
        drop(driver);
        let began = Instant::now();
        kill.send(true).unwrap();
        // The viewer was never waited for, so that it may have missed much, but not that.
        let done = tokio::time::timeout(Duration::from_secs(3600), viewer.until("done"));
        assert_eq!(done.await.expect("nobody is told")["status"], "lost");
        let told = viewer.until("ended").await;
        assert_eq!(told["detail"], "the sandbox is gone: somebody removed it");
        within(began, Duration::ZERO, Duration::ZERO);
        drop(owner);
    }
}

/// A driver at the end of no link.
fn nobody() -> ScriptedDriver {
    ScriptedDriver { stream: tokio::io::duplex(1).1 }
}

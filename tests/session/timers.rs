//! Every timer of the gateway, and the test that keeps it: [`TIMERS`], which a test holds against
//! the sources. After it the session's timers that no other story is about, in virtual time.

use std::fs;
use std::path::Path;

use cellgate::sandbox::SandboxHandle;
use cellgate::session::SessionConfig;
use cellgate_driver::wire::{ExitCause, Exited, HEADER_BYTES, Header};
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio::io::AsyncReadExt;
use tokio::time::Instant;

use crate::*;

#[path = "../architecture/source.rs"]
#[allow(dead_code)] // what the architecture's test uses of it
mod source;

/// How a timer is shown to be kept.
enum Shown {
    /// By a test in which time is virtual, of this file and name.
    Virtual(&'static str, &'static str),
    /// By a test in real time, of a real client, interpreter or engine.
    Real(&'static str, &'static str),
    /// By none, and why.
    Not(&'static str),
}

/// What is waited for, and how that is shown.
type Timers = &'static [(&'static str, Shown)];

use Shown::{Not, Real, Virtual};

const PEOPLE: &str = "tests/session/people.rs";
const STORY: &str = "tests/session/main.rs";
const HERE: &str = "tests/session/timers.rs";
const LINKS: &str = "tests/session/links.rs";
const SOCKET: &str = "tests/socket.rs";
const POOL: &str = "tests/pool.rs";

/// A source file, how many calls in it wait for a time, and what they wait for. One call may wait
/// for the first of several.
const TIMERS: &[(&str, usize, Timers)] = &[
    (
        "src/session.rs",
        1,
        &[(
            "a share link expires",
            Virtual(SOCKET, "who_acknowledges_nothing_cannot_stay_beyond_the_end_of_a_link"),
        )],
    ),
    (
        "src/session/actor.rs",
        3,
        &[
            ("a cell's wall clock", Virtual(STORY, "a_cell_that_runs_too_long_is_interrupted")),
            ("an interrupt's answer", Virtual(LINKS, "a_link_that_goes_dead_under_an_interrupt")),
            (
                "a fresh interpreter",
                Virtual(HERE, "an_interpreter_that_does_not_come_ends_the_session"),
            ),
            ("a driver's silence", Virtual(STORY, "a_driver_that_falls_silent_is_given_up")),
            (
                "the grace without participants",
                Virtual(HERE, "the_grace_begins_when_the_last_one_leaves_and_ends_with_the_first"),
            ),
            ("idleness", Virtual(HERE, "idle_is_who_runs_nothing_and_hears_nothing")),
            ("a lifetime", Virtual(HERE, "a_lifetime_ends_what_is_busy_too")),
            (
                "from one list of participants to the next",
                Virtual(
                    PEOPLE,
                    "one_who_comes_and_goes_adds_nothing_to_the_log_and_is_told_of_four_times_a_second",
                ),
            ),
            (
                "a sandbox that is ended",
                Virtual(HERE, "a_sandbox_that_nobody_can_end_loses_its_link"),
            ),
            ("a farewell", Virtual(HERE, "who_takes_nothing_at_the_end_is_waited_for_ten_seconds")),
            ("a disk", Not("virtual time stands still while a thread waits for a disk that hangs")),
        ],
    ),
    (
        "src/session/actor/driver.rs",
        1,
        &[(
            "a backend's word on a loss",
            Virtual(HERE, "a_backend_that_does_not_say_why_is_not_waited_for"),
        )],
    ),
    (
        "src/session/files.rs",
        1,
        &[("a step of a transfer", Virtual(LINKS, "a_link_that_goes_dead_under_a_file"))],
    ),
    (
        "src/pool.rs",
        2,
        &[
            ("a claim", Virtual(POOL, "making_one_has_a_deadline")),
            ("a parked driver's answer", Virtual(POOL, "what_was_parked_for_long_has_to_answer")),
        ],
    ),
    (
        "src/pool/actor.rs",
        1,
        &[
            ("a back-off", Virtual(POOL, "failures_back_off_and_a_success_ends_that")),
            (
                "demand that falls",
                Virtual(POOL, "the_shelf_grows_with_demand_and_shrinks_with_quiet"),
            ),
        ],
    ),
    (
        "src/pool/prepare.rs",
        1,
        &[("a refill", Virtual(POOL, "a_refill_that_hangs_is_given_up_and_tried_again"))],
    ),
    (
        "src/registry.rs",
        2,
        &[
            (
                "the line before the capacity",
                Virtual(POOL, "who_waits_too_long_and_who_finds_the_line_full_are_told_so"),
            ),
            (
                "a drain",
                Virtual(POOL, "a_shutdown_waits_for_cells_as_long_as_it_may_and_no_longer"),
            ),
        ],
    ),
    (
        "src/socket.rs",
        5,
        &[
            (
                "from one ping to the next",
                Virtual(SOCKET, "who_answers_pings_stays_and_who_stops_is_closed"),
            ),
            (
                "a sign of life",
                Virtual(SOCKET, "who_reads_and_answers_no_ping_is_closed_after_the_second_is_due"),
            ),
            (
                "a batch, a ping and a close on their way out",
                Virtual(SOCKET, "who_takes_nothing_is_cut_off_and_the_session_lives"),
            ),
            (
                "the last words of a session",
                Virtual(
                    SOCKET,
                    "a_viewer_who_acknowledges_nothing_cannot_stay_beyond_the_end_of_the_session",
                ),
            ),
            (
                "the answer to a close",
                Virtual(SOCKET, "who_reads_and_answers_no_ping_is_closed_after_the_second_is_due"),
            ),
        ],
    ),
    (
        "src/sandbox/common/cgroup.rs",
        1,
        &[(
            "the kernel that lets go of a cgroup",
            Virtual(
                "src/sandbox/common/cgroup/tests.rs",
                "removal_gives_up_at_its_deadline_and_says_what_is_left",
            ),
        )],
    ),
    (
        "src/sandbox/local/interpreter.rs",
        1,
        &[(
            "an interpreter that is asked what it is",
            Virtual(
                "src/sandbox/local/interpreter.rs",
                "an_interpreter_that_does_not_answer_is_not_waited_for",
            ),
        )],
    ),
    (
        "src/sandbox/local/jailer.rs",
        1,
        &[("a jail that is built", Not("only a kernel that hangs in mount(2) takes that long"))],
    ),
    (
        "src/sandbox/local/instance.rs",
        1,
        &[(
            "the janitor of a dead gateway",
            Not("only a kernel that does not end what is killed takes that long"),
        )],
    ),
    (
        "src/sandbox/local/handle.rs",
        2,
        &[
            (
                "a killed sandbox",
                Not("only a kernel that does not end what is killed takes that long"),
            ),
            ("the status of an ended one", Not("the link has closed: its only holder has ended")),
        ],
    ),
    (
        "src/sandbox/docker/engine.rs",
        2,
        &[
            (
                "a call of the engine",
                Virtual(
                    "src/sandbox/docker/engine.rs",
                    "a_silent_engine_is_a_deadline_that_says_what_was_tried",
                ),
            ),
            ("a connection to it", Not("Linux answers a connect(2) to a Unix socket at once")),
        ],
    ),
    (
        "src/sandbox/docker/removal.rs",
        1,
        &[(
            "a removal",
            Virtual(
                "src/sandbox/docker/removal.rs",
                "a_removal_is_tried_for_a_minute_with_longer_and_longer_pauses",
            ),
        )],
    ),
    (
        "src/sandbox/docker/exits.rs",
        2,
        &[
            (
                "the kernel's report on a killed process",
                Virtual("src/sandbox/docker/exits.rs", "every_end_has_its_cause"),
            ),
            (
                "a broken stream of events",
                Real("tests/docker_backend.rs", "an_engine_that_goes_away_is_named_as_the_cause"),
            ),
        ],
    ),
    (
        "src/sandbox/docker/handle.rs",
        2,
        &[
            (
                "the engine's word on an end",
                Real("tests/docker_backend.rs", "an_engine_that_goes_away_is_named_as_the_cause"),
            ),
            (
                "whoever waits for a removal",
                Not("waits a quarter as long as the removal itself, which has a test"),
            ),
        ],
    ),
    (
        "src/sandbox/docker/creation.rs",
        1,
        &[(
            "a driver that connects",
            Real(
                "tests/docker_backend/process.rs",
                "a_gateway_whose_files_the_engine_does_not_see_finds_another_way",
            ),
        )],
    ),
    (
        "src/sandbox/docker/link_listener.rs",
        1,
        &[("a pause of accept(2)", Not("comes when descriptors have run out, and then again"))],
    ),
    (
        "src/http/server/unread.rs",
        1,
        &[("the rest of a body that nobody reads", Not("a bound on what is thrown away"))],
    ),
    (
        "src/http/server/deadline.rs",
        1,
        &[(
            "a client takes what it is sent",
            Real("src/http/server/deadline.rs", "a_peer_that_takes_nothing_or_crumbs_is_cut_off"),
        )],
    ),
    (
        "src/http/server.rs",
        2,
        &[
            (
                "a request's head",
                Real("tests/e2e/clients.rs", "a_request_that_comes_by_drops_is_cut_off"),
            ),
            ("a pause of accept(2)", Not("comes when descriptors have run out, and then again")),
        ],
    ),
    (
        "src/http/body.rs",
        1,
        &[(
            "a part of a body",
            Real("tests/e2e/clients.rs", "a_body_that_stops_coming_is_told_so"),
        )],
    ),
    (
        "src/http/run.rs",
        1,
        &[(
            "a reader of an answer",
            Real("tests/http_api/run.rs", "a_reader_who_stops_reading_does_not_hold_the_gateway"),
        )],
    ),
    (
        "src/http/run/form.rs",
        1,
        &[("a comment in a silent stream", Not("nothing depends on it but proxies' patience"))],
    ),
    (
        "src/http/sessions.rs",
        1,
        &[("a session that ends on request", Not("the answer says whether it has ended in time"))],
    ),
    (
        "src/gateway.rs",
        3,
        &[
            ("sockets' farewell", Real("tests/e2e/lifecycle.rs", "what_does_not_finish_is_ended")),
            (
                "long answers' farewell",
                Real("tests/e2e/lifecycle.rs", "what_does_not_finish_is_ended"),
            ),
            ("upkeep", Not("forgets who is idle; nobody waits for it")),
        ],
    ),
    (
        "src/main.rs",
        1,
        &[("a sweep at the start", Not("a sweep that takes longer goes on beside the service"))],
    ),
    (
        "src/doctor/probe/cell.rs",
        1,
        &[(
            "a cell of the probe",
            Not("the doctor's own; its cells have the session's wall clock"),
        )],
    ),
];

/// What waits for a time.
const WAITS: &[&str] = &[
    "sleep(",
    "sleep_until(",
    "timeout(",
    "timeout_at(",
    "interval(",
    "interval_at(",
    "header_read_timeout(",
];

/// Source files with how many calls in them wait for a time.
fn waits(directory: &Path, found: &mut Vec<(String, usize)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            waits(&path, found);
            continue;
        }
        let name = path.to_str().unwrap().to_owned();
        if !name.ends_with(".rs") || name.ends_with("tests.rs") {
            continue;
        }
        let code = source::without_tests(&source::strip(&fs::read_to_string(&path).unwrap()));
        // A function of ours may be called so too.
        let is_called = |at: &usize| !code[..*at].ends_with("fn ");
        let has_clock = code.contains("tokio::time") || code.contains("TokioTimer");
        let calls = WAITS.iter().flat_map(|word| source::find_word(&code, word));
        let count = calls.filter(is_called).count();
        if has_clock && count > 0 {
            found.push((name, count));
        }
    }
}

#[test]
fn every_timer_is_in_the_table_and_every_test_it_names_is_there() {
    let mut found = Vec::new();
    waits(Path::new("src"), &mut found);
    found.sort();
    let mut known: Vec<_> =
        TIMERS.iter().map(|(file, calls, _)| ((*file).to_owned(), *calls)).collect();
    known.sort();
    assert_eq!(found, known, "left: what the sources have; right: what the table has");
    for (file, calls, timers) in TIMERS {
        assert!(timers.len() >= *calls, "{file} has more calls than timers in the table");
        for (timer, shown) in *timers {
            let (path, name, is_virtual) = match shown {
                Virtual(path, name) => (path, name, true),
                Real(path, name) => (path, name, false),
                Not(why) => {
                    assert!(why.len() > 20, "{timer} needs a reason");
                    continue;
                }
            };
            let text = fs::read_to_string(path).unwrap();
            let at = text.find(&format!("fn {name}(")).unwrap_or_else(|| {
                panic!("{timer}: there is no {name} in {path}");
            });
            let before = &text[at.saturating_sub(80)..at];
            assert_eq!(before.contains("start_paused = true"), is_virtual, "{timer}: {name}");
        }
    }
}

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
    // The running cell's end may cross with the restart, or the interpreter may end and then nothing.
    for crossing in [None, Some(true), Some(false)] {
        let Stage { handle, mut driver, .. } = usual().await;
        let mut client = Client::join(&handle, None).await;
        client.execute("a").await;
        let cell = driver.expect(kind::EXECUTE).await;
        client.until("started").await;
        client.seat.say(Ok(ClientMessage::Restart)).await.unwrap();
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
    client.seat.say(Ok(ClientMessage::Ping { fields: Default::default() })).await.unwrap();
    assert_eq!(client.until("ended").await["reason"], "idle_timeout");
    took(done, idle);
    assert_eq!(client.until_close().await.code, CloseCode::Expired);
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
    assert_eq!(client.until_close().await.code, CloseCode::Expired);
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
    client.seat.say(Ok(ClientMessage::End)).await.unwrap();
    assert_eq!(client.until_close().await.code, CloseCode::Ended);
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
    back.seat.say(Ok(ClientMessage::End)).await.unwrap();
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
            Err(close) => {
                assert_eq!(close.code, CloseCode::Ended);
                break;
            }
        }
    }
    assert_eq!(gaps, 1);
}

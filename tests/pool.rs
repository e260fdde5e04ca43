//! The pool, and the line before the gateway's capacity, as they are, over a backend of pipes and
//! in time that passes when everybody waits.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

#[path = "common/fake.rs"]
mod fake;
#[allow(dead_code)] // what other programs use of it
#[path = "common/scripted.rs"]
mod scripted;
#[allow(dead_code)]
#[path = "common/switch.rs"]
mod switch;

use std::sync::Arc;
use std::time::Duration;

use cellgate::id::SessionId;
use cellgate::metrics::Metrics;
use cellgate::pool::{ClaimError, Pool, PoolConfig, PrepareError, Prepared, TemplatePoolStatus};
use cellgate::protocol::client::{ClientMessage, Execute};
use cellgate::protocol::event::EndReason;
use cellgate::registry::{CreateError, Maker, Registry, RegistryConfig};
use cellgate::session::{DetachedOutput, JoinRequest, SessionConfig, SessionHandle};
use cellgate::template::{Limits, PoolSize, Template};
use fake::FakeBackend;
use futures::future::join_all;
use tokio::task::JoinHandle;
use tokio::time::Instant;

const SECOND: Duration = Duration::from_secs(1);

fn template(name: &str, min: usize, max: usize) -> Arc<Template> {
    let pool = PoolSize { min, max };
    Arc::new(Template { name: name.into(), pool, ..scripted::template(Limits::default()) })
}

fn config(creations: usize) -> PoolConfig {
    PoolConfig { creations, create_timeout: 30 * SECOND }
}

fn pool(backend: &Arc<FakeBackend>, min: usize, max: usize, creations: usize) -> Arc<Pool> {
    let backend = Arc::clone(backend);
    Arc::new(Pool::start(
        backend,
        [template("python", min, max)],
        config(creations),
        Metrics::default(),
    ))
}

/// Waits until the only pool is as wanted.
async fn until(pool: &Pool, mut wanted: impl FnMut(&TemplatePoolStatus) -> bool) {
    let reached = pool.until(|template_pools| wanted(&template_pools[0]));
    if tokio::time::timeout(3600 * SECOND, reached).await.is_err() {
        panic!("an hour later: {:?}", pool.status());
    }
}

async fn claim(pool: &Pool) -> Prepared {
    pool.claim("python").await.unwrap()
}

fn begin_claim(pool: &Arc<Pool>) -> JoinHandle<Result<SessionId, ClaimError>> {
    let pool = Arc::clone(pool);
    tokio::spawn(async move { pool.claim("python").await.map(|prepared| prepared.id) })
}

#[tokio::test(start_paused = true)]
async fn the_shelf_is_filled_ahead_of_visitors_and_again_behind_them() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 2, 2, 4);
    until(&pool, |template_pool| template_pool.parked == 2).await;
    let made = backend.ids();
    let (first, second) = (claim(&pool).await, claim(&pool).await);
    // The oldest goes first, and each goes once.
    assert_eq!([first.id, second.id], made[..]);
    until(&pool, |template_pool| template_pool.parked == 2).await;
    assert_eq!(backend.begun(), 4);
}

#[tokio::test(start_paused = true)]
async fn an_empty_shelf_makes_what_is_wanted_and_nothing_else_when_it_is_off() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 5, 0, 4);
    assert_eq!(backend.begun(), 0);
    let prepared = claim(&pool).await;
    assert_eq!(backend.ids(), std::slice::from_ref(&prepared.id));
    let template_pool = &pool.status()[0];
    assert_eq!((template_pool.target, template_pool.parked, template_pool.creating), (0, 0, 0));
    assert!(
        matches!(pool.claim("cobol").await, Err(ClaimError::NoTemplate(name)) if name == "cobol")
    );
}

#[tokio::test(start_paused = true)]
async fn newcomers_are_served_in_their_order_and_few_are_made_at_a_time() {
    let backend = FakeBackend::gated(0);
    let pool = pool(&backend, 0, 0, 3);
    let mut claims = Vec::new();
    for count in 1..=10 {
        claims.push(begin_claim(&pool));
        until(&pool, |template_pool| template_pool.waiting == count).await;
    }
    assert_eq!(backend.under_way(), 3);
    for (served, claimed) in claims.into_iter().enumerate() {
        backend.gate.add_permits(1);
        let id = claimed.await.unwrap().unwrap();
        assert_eq!(id, backend.ids()[served]);
        assert!(pool.status()[0].waiting == 9 - served, "nobody else was served");
    }
    assert_eq!((backend.begun(), backend.most_under_way()), (10, 3));
}

#[tokio::test(start_paused = true)]
async fn refills_leave_room_for_newcomers() {
    let backend = FakeBackend::gated(0);
    let pool = pool(&backend, 8, 8, 4);
    backend.until_begun(2).await;
    until(&pool, |template_pool| template_pool.creating == 2).await;
    let claims: Vec<_> = (0..4).map(|_| begin_claim(&pool)).collect();
    until(&pool, |template_pool| template_pool.waiting == 4 && template_pool.creating == 4).await;
    backend.gate.add_permits(100);
    for claimed in join_all(claims).await {
        claimed.unwrap().unwrap();
    }
    until(&pool, |template_pool| template_pool.parked == 8).await;
    assert_eq!((backend.begun(), backend.most_under_way()), (12, 4));
}

#[tokio::test(start_paused = true)]
async fn who_stops_waiting_leaves_the_line_and_stops_what_was_made_for_them() {
    let backend = FakeBackend::gated(0);
    let pool = pool(&backend, 0, 0, 2);
    let impatient = begin_claim(&pool);
    until(&pool, |template_pool| template_pool.waiting == 1).await;
    let patient = begin_claim(&pool);
    until(&pool, |template_pool| template_pool.waiting == 2 && template_pool.creating == 2).await;
    impatient.abort();
    until(&pool, |template_pool| template_pool.waiting == 1 && template_pool.creating == 1).await;
    backend.gate.add_permits(2);
    patient.await.unwrap().unwrap();
    until(&pool, |template_pool| template_pool.creating == 0).await;
    assert_eq!((backend.ids().len(), backend.under_way()), (1, 0));
}

#[tokio::test(start_paused = true)]
async fn a_parked_sandbox_that_dies_is_replaced_and_never_given_away() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 2, 2, 4);
    until(&pool, |template_pool| template_pool.parked == 2).await;
    let dead = backend.ids()[0].clone();
    backend.kill(&dead);
    until(&pool, |template_pool| template_pool.parked == 1).await;
    assert_eq!(backend.live(), 1);
    until(&pool, |template_pool| template_pool.parked == 2).await;
    for _ in 0..2 {
        assert_ne!(claim(&pool).await.id, dead);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_in_the_moment_of_death_gets_another() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 1, 1, 4);
    until(&pool, |template_pool| template_pool.parked == 1).await;
    let dead = backend.ids()[0].clone();
    backend.kill(&dead);
    // Let its driver go; the pool has not had a turn since.
    tokio::task::yield_now().await;
    assert_ne!(claim(&pool).await.id, dead);
}

#[tokio::test(start_paused = true)]
async fn what_was_parked_for_long_has_to_answer() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 3, 3, 4);
    until(&pool, |template_pool| template_pool.parked == 3).await;
    let ids = backend.ids();
    backend.freeze(&ids[0]);
    // Fresh ones are not asked: their link is open, which was looked at just now.
    tokio::time::advance(20 * SECOND).await;
    assert_eq!(claim(&pool).await.id, ids[0]);
    backend.freeze(&ids[1]);
    tokio::time::advance(20 * SECOND).await;
    let before = Instant::now();
    let claimed = claim(&pool).await;
    assert_eq!(claimed.id, ids[2], "the silent one was given up, the next one answers");
    assert!(before.elapsed() >= SECOND / 4 && before.elapsed() < SECOND);
}

#[tokio::test(start_paused = true)]
async fn failures_back_off_and_a_success_ends_that() {
    let backend = FakeBackend::open();
    backend.fail(true);
    let pool = pool(&backend, 1, 1, 4);
    let mut last = backend.until_begun(1).await;
    for (attempt, whole_ms) in
        (2..).zip([500, 1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000])
    {
        until(&pool, |template_pool| {
            template_pool.failures == attempt - 1 && template_pool.is_failing()
        })
        .await;
        let next = backend.until_begun(attempt as usize).await;
        let delay = (next - last).as_millis();
        assert!((whole_ms / 2..=whole_ms + 1).contains(&delay), "{attempt}: {delay} ms");
        last = next;
    }
    backend.fail(false);
    until(&pool, |template_pool| template_pool.parked == 1).await;
    let template_pool = &pool.status()[0];
    assert_eq!(
        (template_pool.failures, template_pool.retry_at, template_pool.is_failing()),
        (0, None, false)
    );
}

#[tokio::test(start_paused = true)]
async fn a_newcomer_is_worth_an_attempt_while_refills_back_off_and_is_told_of_its_failure() {
    let backend = FakeBackend::open();
    backend.fail(true);
    let pool = pool(&backend, 1, 1, 4);
    until(&pool, |template_pool| template_pool.failures == 3).await;
    let failed = pool.claim("python").await;
    assert!(matches!(failed, Err(ClaimError::Prepare(PrepareError::Sandbox(_)))));
    backend.fail(false);
    let before = Instant::now();
    claim(&pool).await;
    assert_eq!(before.elapsed(), Duration::ZERO, "nobody waits for a back-off");
}

#[tokio::test(start_paused = true)]
async fn making_one_has_a_deadline() {
    let backend = FakeBackend::gated(0);
    let pool = pool(&backend, 0, 0, 1);
    let before = Instant::now();
    let claims: Vec<_> = (0..3).map(|_| begin_claim(&pool)).collect();
    for claimed in join_all(claims).await {
        assert!(matches!(claimed.unwrap(), Err(ClaimError::Prepare(PrepareError::Deadline(_)))));
    }
    assert_eq!(before.elapsed().as_secs(), 30, "for those in the line too");
    until(&pool, |template_pool| template_pool.waiting == 0 && template_pool.creating == 0).await;
    assert_eq!(backend.under_way(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_refill_that_hangs_is_given_up_and_tried_again() {
    let backend = FakeBackend::gated(0);
    let before = Instant::now();
    let pool = pool(&backend, 1, 1, 1);
    until(&pool, |template_pool| template_pool.failures == 1).await;
    assert_eq!(before.elapsed().as_secs(), 30);
    backend.gate.add_permits(1);
    until(&pool, |template_pool| template_pool.parked == 1).await;
    assert_eq!((backend.begun(), backend.under_way()), (2, 0));
}

#[tokio::test(start_paused = true)]
async fn the_shelf_grows_with_demand_and_shrinks_with_quiet() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 1, 4, 8);
    until(&pool, |template_pool| template_pool.parked == 1).await;
    for target in [2, 3, 4, 4] {
        // As many at once as are parked: the last one leaves the pool empty.
        join_all((0..pool.status()[0].parked).map(|_| claim(&pool))).await;
        until(&pool, |template_pool| {
            template_pool.target == target && template_pool.parked == target
        })
        .await;
    }
    let begun = backend.begun();
    let before = Instant::now();
    for target in [3, 2, 1] {
        until(&pool, |template_pool| {
            template_pool.target == target && template_pool.parked == target
        })
        .await;
    }
    assert!((100..300).contains(&before.elapsed().as_secs()), "{:?}", before.elapsed());
    assert_eq!((backend.live(), backend.begun()), (1, begun));
}

#[tokio::test(start_paused = true)]
async fn templates_share_the_places_and_neither_starves() {
    let backend = FakeBackend::gated(0);
    let templates = [template("a", 0, 0), template("b", 0, 0)];
    let pool =
        Arc::new(Pool::start(Arc::clone(&backend) as _, templates, config(2), Metrics::default()));
    let ask = |name: &'static str| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.claim(name).await.unwrap().template.name.clone() })
    };
    let crowd: Vec<_> = (0..10).map(|_| ask("a")).collect();
    pool.until(|template_pools| template_pools[0].waiting == 10).await;
    let single = ask("b");
    pool.until(|template_pools| template_pools[1].waiting == 1).await;
    // Two are made for the crowd; of the two after them, one is for `b`.
    backend.gate.add_permits(4);
    assert_eq!(single.await.unwrap(), "b");
    assert!(backend.ids().len() <= 4);
    backend.gate.add_permits(100);
    join_all(crowd).await;
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_ends_what_is_parked_what_is_made_and_who_waits() {
    let backend = FakeBackend::gated(2);
    let pool = pool(&backend, 3, 3, 8);
    until(&pool, |template_pool| template_pool.parked == 2 && template_pool.creating == 1).await;
    let taken = claim(&pool).await;
    claim(&pool).await;
    let waiting = begin_claim(&pool);
    until(&pool, |template_pool| template_pool.waiting == 1).await;
    pool.shutdown().await;
    assert!(matches!(waiting.await.unwrap(), Err(ClaimError::Closed)));
    assert!(matches!(pool.claim("python").await, Err(ClaimError::Closed)));
    assert_eq!((backend.live(), backend.under_way()), (1, 0), "what was given away lives");
    drop(taken);
    assert_eq!(backend.live(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_dropped_leaves_nothing() {
    let backend = FakeBackend::open();
    let pool = pool(&backend, 3, 3, 8);
    until(&pool, |template_pool| template_pool.parked == 3).await;
    drop(pool);
    while backend.live() > 0 {
        tokio::task::yield_now().await;
    }
}

fn registry(backend: &Arc<FakeBackend>, sessions: usize, waiting: usize) -> Arc<Registry> {
    let session = SessionConfig {
        queue: 4,
        window_bytes: 64 << 10,
        log_bytes: 64 << 10,
        log_disk_bytes: 0,
        log_directory: std::env::temp_dir(),
        log_disk_reserve_bytes: 0,
        memory: cellgate::memory::Budget::new(1 << 30),
        message_bytes: 1 << 20,
        detached_output: DetachedOutput::default(),
        participants: 2,
        detach_timeout: 3600 * SECOND,
        silence_timeout: 30 * SECOND,
        idle_timeout: None,
        lifetime: None,
        env: Default::default(),
        key_holder: None,
    };
    let waiting_timeout = 10 * SECOND;
    let config = RegistryConfig {
        sessions,
        sessions_per_address: Some(2),
        sessions_per_token: Some(1),
        waiting,
        waiting_timeout,
        pool: config(8),
        session,
    };
    let template = Template::clone(&template("python", 1, 4));
    Registry::new(Arc::clone(backend) as _, [template], config, Metrics::default())
}

type Created = Result<SessionHandle, CreateError>;

fn begin_create(registry: &Arc<Registry>) -> JoinHandle<Created> {
    let registry = Arc::clone(registry);
    tokio::spawn(async move { registry.create("python", Maker::default()).await })
}

/// Begins a creation and lets it reach its place in the line.
async fn queue_up(registry: &Arc<Registry>) -> JoinHandle<Created> {
    let created = begin_create(registry);
    tokio::time::advance(Duration::from_millis(10)).await;
    created
}

#[tokio::test(start_paused = true)]
async fn newcomers_wait_in_line_for_a_session_to_end() {
    let registry = registry(&FakeBackend::open(), 1, 8);
    let mut living = registry.create("python", Maker::default()).await.unwrap();
    let mut line = Vec::new();
    for _ in 0..4 {
        line.push(queue_up(&registry).await);
    }
    let gave_up = line.remove(1);
    gave_up.abort();
    for created in line {
        assert!(!created.is_finished());
        living.begin_end(EndReason::Requested).await;
        living = created.await.unwrap().unwrap();
        assert_eq!(registry.len(), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_too_long_and_who_finds_the_line_full_are_told_so() {
    let registry = registry(&FakeBackend::open(), 1, 2);
    let _living = registry.create("python", Maker::default()).await.unwrap();
    let before = Instant::now();
    let line = [queue_up(&registry).await, queue_up(&registry).await];
    let refused = registry.create("python", Maker::default()).await;
    assert!(matches!(refused, Err(CreateError::LineFull(2))));
    assert!(before.elapsed() < SECOND, "at once");
    for created in line {
        assert!(matches!(created.await.unwrap(), Err(CreateError::Full(1))));
    }
    assert_eq!(before.elapsed().as_secs(), 10);
    // Their places are free again.
    let created = begin_create(&registry);
    assert!(matches!(created.await.unwrap(), Err(CreateError::Full(1))));
    assert_eq!(before.elapsed().as_secs(), 20);
}

#[tokio::test(start_paused = true)]
async fn an_address_has_so_many_sessions_and_gets_room_when_one_ends() {
    let registry = registry(&FakeBackend::open(), 8, 8);
    let address = |last| Maker { address: Some([192, 0, 2, last].into()), ..Maker::default() };
    let first = registry.create("python", address(1)).await.unwrap();
    let _second = registry.create("python", address(1)).await.unwrap();
    let refused = registry.create("python", address(1)).await;
    assert!(matches!(refused, Err(CreateError::TooMany(2))));
    let _other = registry.create("python", address(2)).await.unwrap();
    first.begin_end(EndReason::Requested).await;
    while registry.len() > 2 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    registry.create("python", address(1)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_token_has_so_many_sessions_wherever_they_are_made_from() {
    let registry = registry(&FakeBackend::open(), 8, 8);
    let maker = |token, last| Maker {
        address: Some([192, 0, 2, last].into()),
        token: Some(token),
        ..Maker::default()
    };
    let first = registry.create("python", maker(0, 1)).await.unwrap();
    let refused = registry.create("python", maker(0, 2)).await;
    assert!(matches!(refused, Err(CreateError::TooManyOfToken(1))));
    let _other = registry.create("python", maker(1, 1)).await.unwrap();
    // What was refused for its token does not count for its address.
    let refused = registry.create("python", maker(1, 2)).await;
    assert!(matches!(refused, Err(CreateError::TooManyOfToken(1))));
    first.begin_end(EndReason::Requested).await;
    while registry.len() > 1 {
        tokio::task::yield_now().await;
    }
    tokio::task::yield_now().await;
    registry.create("python", maker(0, 2)).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_sends_the_line_away_and_leaves_nothing() {
    let backend = FakeBackend::open();
    let registry = registry(&backend, 1, 8);
    let _living = registry.create("python", Maker::default()).await.unwrap();
    let waiting = queue_up(&registry).await;
    registry.shutdown(SECOND).await;
    assert!(matches!(waiting.await.unwrap(), Err(CreateError::Draining)));
    assert_eq!((backend.live(), registry.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_shutdown_waits_for_cells_as_long_as_it_may_and_no_longer() {
    let backend = FakeBackend::open();
    let registry = registry(&backend, 4, 4);
    let _idle = registry.create("python", Maker::default()).await.unwrap();
    let busy = registry.create("python", Maker::default()).await.unwrap();
    let seat = busy.attach(JoinRequest::owner("ada", busy.owner_token())).await.unwrap();
    let cell = Execute { code: "x".into(), ..Execute::default() };
    seat.send(Ok(ClientMessage::Execute(cell))).await.unwrap();
    let before = Instant::now();
    registry.shutdown(100 * SECOND).await;
    assert_eq!(before.elapsed().as_secs(), 100);
    assert_eq!((backend.live(), registry.len()), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_gateway_whose_sandboxes_cannot_be_made_is_not_ready_until_they_can() {
    let backend = FakeBackend::open();
    backend.fail(true);
    let registry = registry(&backend, 4, 4);
    backend.until_begun(2).await;
    let failing = registry.check().await;
    assert!(matches!(failing, Err(CreateError::Failing(_))), "{failing:?}");
    backend.fail(false);
    let begun = backend.begun();
    backend.until_begun(begun + 1).await;
    while registry.pool()[0].parked == 0 {
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    registry.check().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn however_many_ask_whether_it_is_ready_the_backend_is_asked_once_in_five_seconds() {
    let backend = FakeBackend::open();
    let registry = registry(&backend, 4, 4);
    // With parked sandboxes there is no failing pool that would answer instead.
    while registry.pool()[0].parked == 0 {
        tokio::time::advance(Duration::from_millis(10)).await;
    }
    let ask_all = async |wanted: bool| {
        let callers = (0..300).map(|_| registry.check());
        for answer in futures::future::join_all(callers).await {
            match answer {
                Ok(()) => assert!(wanted),
                Err(error) => assert!(matches!(error, CreateError::NotReady(_)) && !wanted),
            }
        }
    };
    ask_all(true).await;
    assert_eq!(backend.checks(), 1);
    // One who leaves half-way does not stop the check for the others.
    tokio::time::advance(6 * SECOND).await;
    let left = tokio::time::timeout(Duration::from_millis(10), registry.check()).await;
    assert!(left.is_err());
    ask_all(true).await;
    assert_eq!(backend.checks(), 2);
    // A failure is remembered too, and no longer than a success.
    backend.fail(true);
    tokio::time::advance(6 * SECOND).await;
    ask_all(false).await;
    ask_all(false).await;
    assert_eq!(backend.checks(), 3);
    backend.fail(false);
    tokio::time::advance(6 * SECOND).await;
    ask_all(true).await;
    assert_eq!(backend.checks(), 4);
}

//! The soak: many sessions for a long time, and then nothing may be left that was not there before.
//!
//! ```text
//!   cargo bench --bench soak -- --minutes 10 --sessions 200
//!
//!   start ─► warm-up wave ─► all leave ─► census ─► the soak ─► all leave ─► census
//!                                            └───────── has to be the same ────┘
//! ```
//! The warm-up is a soak of its own, with as many visitors: it makes buffers, heaps and tables grow
//! to what this load needs, so that what is more afterwards is a leak. Every answer is checked on
//! the way, by the same client that the tests use.
#![allow(clippy::unwrap_used)] // a soak that cannot go on panics

#[path = "../../tests/common/mod.rs"]
mod common;

mod census;
mod chance;
mod course;
mod tally;
mod visitor;

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, sleep};

use census::Census;
use chance::Chance;
use common::backend::Backend;
use common::gateway::{Gateway, Launch};
use course::Course;
use tally::Tally;

/// Between two lines that say how it goes.
const REPORT: Duration = Duration::from_secs(15);

/// For what has ended to be gone: sessions nobody came back to, sandboxes, threads of the runtime.
const SETTLE: Duration = Duration::from_secs(60);

/// Seconds without a change until all is settled: longer than sessions wait for somebody to come
/// back, and than the gateway takes to give memory back after the last have left.
const CALM: u32 = 11;

/// For the warm-up to reach the peak that the soak reaches.
const WARM_UP: Duration = Duration::from_secs(60);

/// More memory than this after the soak than after the warm-up is a leak: allocators keep some.
const MEMORY_SLACK: u64 = 16 << 20;

/// Many sessions for a long time, and nothing left behind
#[derive(Parser)]
struct Options {
    /// How long, after the warm-up
    #[arg(long, default_value_t = 10.0)]
    minutes: f64,
    /// Visitors at one time, each with a session
    #[arg(long, default_value_t = 200)]
    sessions: usize,
    /// How sandboxes are made: local_root, local_user, docker, docker_stdio, docker_runsc
    #[arg(long, default_value = "local_root", value_parser = backend)]
    backend: Backend,
    /// Chooses what the visitors do
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Thirty sessions for twenty seconds: looks for leaks, not for figures
    #[arg(long)]
    quick: bool,
    /// What cargo adds to the arguments of every benchmark; means nothing here
    #[arg(long, hide = true)]
    bench: bool,
}

fn backend(name: &str) -> Result<Backend, String> {
    let found = Backend::ALL.into_iter().find(|backend| backend.name() == name);
    found.ok_or_else(|| format!("there is no backend {name}"))
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let mut options = Options::parse();
    if options.quick {
        (options.minutes, options.sessions) = (20.0 / 60.0, 30);
    }
    if let Some(missing) = options.backend.missing() {
        let required = missing.skip("the soak").is_err();
        println!("the soak does not run: {}", missing.reason);
        return if required { ExitCode::FAILURE } else { ExitCode::SUCCESS };
    }
    let sessions = (options.sessions * 2).to_string(); // those nobody came back to linger
    let flags = [
        &["--sessions", &sessions, "--pool-min", "4", "--pool-max", "4"][..],
        &["--detach-timeout", "5s", "--interrupt-grace", "10s", "--create-timeout", "2m"],
        &["--log", "warn"],
        &["--client-requests", "none", "--client-connections", "none"],
    ]
    .concat();
    let gateway = Gateway::launch(&Launch {
        backend: options.backend,
        settings: "",
        flags: &flags,
        wrapper: &[],
    });
    let gateway = Arc::new(gateway);
    let length = Duration::from_secs_f64(options.minutes * 60.0);
    println!(
        "{} sessions, backend {}, {length:?} after a warm-up, seed {}",
        options.sessions,
        options.backend.name(),
        options.seed
    );
    let warm_up = length.min(WARM_UP);
    wave(&gateway, &options, warm_up, &Arc::new(Tally::default()), 0).await;
    let before = settled(&gateway, None).await;
    let tally = Arc::new(Tally::default());
    let course = wave(&gateway, &options, length, &tally, 1).await;
    let after = settled(&gateway, Some(&before)).await;
    tally.print();
    let well = verdict(&before, &course, &after);
    let log = gateway.log();
    let warnings = log.lines().filter(|line| line.contains("ERROR")).count();
    println!("errors in the gateway's log: {warnings}");
    for line in log.lines().filter(|line| line.contains("ERROR")).take(5) {
        println!("  {line}");
    }
    match Arc::into_inner(gateway) {
        // Checks that nothing at all is left.
        Some(gateway) => gateway.stop().await,
        None => panic!("somebody still visits"),
    }
    if well && warnings == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// All visitors come, stay and leave. Answers what was counted meanwhile.
async fn wave(
    gateway: &Arc<Gateway>,
    options: &Options,
    length: Duration,
    tally: &Arc<Tally>,
    which: u64,
) -> Course {
    let began = Instant::now();
    let until = began + length;
    let mut visitors = JoinSet::new();
    for visitor in 0..options.sessions as u64 {
        let chance = Chance::new(options.seed, which * 1_000_000 + visitor);
        let (gateway, tally) = (Arc::clone(gateway), Arc::clone(tally));
        visitors.spawn(visitor::visit(gateway, tally, chance, until));
    }
    let mut course = Course::default();
    let mut reports = interval(REPORT.min(length / 4));
    loop {
        tokio::select! {
            gone = visitors.join_next() => match gone {
                Some(visitor) => visitor.unwrap_or_else(|_| panic!("a visitor got a wrong answer")),
                None => return course,
            },
            _ = reports.tick() => {
                let now = Census::of(gateway).await;
                let counts = now.counts().map(|(name, count, _)| format!("{count} {name}"));
                let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
                println!(
                    "{:5.0} s: {} begun, {} done; {}; {:.1} MiB; load {}",
                    began.elapsed().as_secs_f64(),
                    tally.sessions(),
                    tally.total(),
                    counts.join(", "),
                    mebibytes(now.memory),
                    load.split(' ').next().unwrap_or_default(),
                );
                course.take(began.elapsed(), now);
            }
        }
    }
}

/// The census when nothing changes any more or, if it is known, when it is as it was before.
async fn settled(gateway: &Gateway, before: Option<&Census>) -> Census {
    let deadline = Instant::now() + SETTLE;
    let exact = |census: &Census| {
        let exact = census.counts().into_iter().filter(|(.., exact)| *exact);
        exact.map(|(_, count, _)| count).collect::<Vec<_>>()
    };
    let mut last = Census::of(gateway).await;
    let mut calm = 0;
    loop {
        sleep(Duration::from_secs(1)).await;
        let now = Census::of(gateway).await;
        let same = exact(&now) == exact(before.unwrap_or(&last));
        calm = if same { calm + 1 } else { 0 };
        last = now;
        if calm >= CALM || Instant::now() >= deadline {
            return last;
        }
    }
}

/// Prints the counts side by side; answers whether nothing was left.
fn verdict(before: &Census, course: &Course, after: &Census) -> bool {
    println!("\n| what | before | most | after | |\n|---|---|---|---|---|");
    let mut well = true;
    let counts = before.counts().into_iter().zip(course.most()).zip(after.counts());
    for (((name, before, exact), peak), (_, after, _)) in counts {
        let leaks = exact && after > before;
        well &= !leaks;
        let word = if leaks { "LEAK" } else { "" };
        println!("| {name} | {before} | {peak} | {after} | {word} |");
    }
    let leaks = after.memory > before.memory + MEMORY_SLACK;
    println!(
        "| memory, MiB | {:.1} | {:.1} | {:.1} | {} |\n",
        mebibytes(before.memory),
        mebibytes(course.most_memory()),
        mebibytes(after.memory),
        if leaks { "LEAK" } else { "" },
    );
    // For people: sessions come and go meanwhile, so that it says less than before and after.
    let (first, last) = course.ends();
    println!(
        "memory meanwhile: {:.1} MiB at first, {:.1} MiB at last, second half {:+.2} MiB a minute",
        mebibytes(first),
        mebibytes(last),
        course.slope() / f64::from(1 << 20)
    );
    well && !leaks
}

fn mebibytes(bytes: u64) -> f64 {
    bytes as f64 / f64::from(1 << 20)
}

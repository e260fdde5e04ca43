//! From nothing to the end of a first cell, for one visitor and for a crowd that comes at once.
//!
//! ```text
//!   connect ─► ready ─► first byte of output ─► done
//! ```
//! `ready` is cellgate's first message; its floor is a connection and an answer of `/healthz`, the
//! least that a visit can take. The floor of the others starts the bare driver on a pipe.

use std::sync::Barrier;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};

use crate::contender::{Contender, Host};
use crate::field::{self, Standing};
use crate::gateway::{Gateway, NO_POOL};
use crate::options::Options;
use crate::report::Report;
use crate::rivals::is_installed;
use crate::rivals::pipe::Around;
use crate::rivals::websocketd::Mode;
use crate::row::{Row, Unit};
use crate::samples::Samples;

/// Who comes at once.
const CROWDS: [usize; 4] = [1, 10, 50, 100];

/// Beyond this, who takes seconds for one is left out: a hundred would take gigabytes and minutes.
const MOST_SLOW: usize = 10;

/// The same for `--quick`.
const MOST_SLOW_QUICK: usize = 1;

/// The floor of `ready` in tables.
const HEALTHZ: &str = "a connection and the answer of /healthz";

/// What a session of the pool is to be ready within, in microseconds.
const MARK_P50: f64 = 2e3;
const MARK_P99: f64 = 10e3;

/// What a session made when it is wanted may take, times the same driver in bare namespaces or in
/// a bare container.
const MARK_LOCAL: f64 = 1.3;
const MARK_DOCKER: f64 = 1.1;

const COLD: &str = "cellgate, made when wanted";
const POOL: &str = "cellgate, from the pool";
const COLD_DOCKER: &str = "cellgate, docker, made when wanted";
const POOL_DOCKER: &str = "cellgate, docker, from the pool";

/// One who takes part, and what its visitors saw.
struct Place {
    host: Box<dyn Host>,
    /// One turn in so many.
    turn: usize,
    times: [Samples; 3],
}

/// A gateway that is visited only when its pool is full.
struct Pooled(Gateway);

impl Host for Pooled {
    fn name(&self) -> &str {
        self.0.name()
    }

    fn tells_ready(&self) -> bool {
        true
    }

    fn prepare(&self) -> Result<()> {
        self.0.stock()
    }

    fn admit(&self) -> Result<Box<dyn Contender>> {
        self.0.admit()
    }
}

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    field::note_missing(options, report);
    for crowd in CROWDS {
        measure_crowd(crowd, options, report)?;
    }
    Ok(())
}

fn measure_crowd(crowd: usize, options: &Options, report: &mut Report) -> Result<()> {
    let rounds = match crowd {
        1 => options.count(300, 1),
        10 => options.count(8, 1),
        _ => options.count(4, 1),
    };
    let mut places = places(crowd, options, report)?;
    let mut healthz = Samples::default();
    let door = Gateway::start_one(options, NO_POOL)?;
    // The first turn fills caches and does not count, unless nothing does.
    let first = options.count(0, 1);
    for round in first..=rounds {
        let answers = at_once(crowd, || {
            let began = Instant::now();
            door.http("GET", "/healthz", "").map(|_| began.elapsed())
        })?;
        answers.into_iter().filter(|_| round > 0).for_each(|time| healthz.push_time(time));
        for place in &mut places {
            if round % place.turn != 0 && !options.quick {
                continue;
            }
            place.host.prepare()?;
            let seen = at_once(crowd, || visit(place.host.as_ref()))
                .with_context(|| format!("{crowd} visitors of {}", place.host.name()))?;
            for visitor in seen.iter().filter(|_| round > 0) {
                for (samples, time) in place.times.iter_mut().zip(visitor) {
                    samples.push_time(*time);
                }
            }
        }
    }
    let who = if crowd == 1 { "one".to_owned() } else { format!("{crowd} at once") };
    for (at, what) in ["ready", "first byte", "done"].into_iter().enumerate() {
        let mut named: Vec<(&str, &Samples)> = Vec::new();
        if what == "ready" {
            named.push((HEALTHZ, &healthz));
        }
        let takes_part = |place: &&Place| what != "ready" || place.host.tells_ready();
        let parts = places.iter().filter(takes_part);
        named.extend(parts.map(|place| (place.host.name(), &place.times[at])));
        let p50_of = |wanted: &str| {
            named.iter().find(|(name, _)| *name == wanted).map(|(_, samples)| samples.p50())
        };
        let floors = (p50_of("bwrap"), p50_of("docker run -i"));
        let judge = |standing: &Standing<'_>, row: Row| judge(crowd, what, standing, floors, row);
        field::add_rows(report, &format!("{who} → {what}"), Unit::Time, &named, &judge);
    }
    Ok(())
}

fn judge(
    crowd: usize,
    what: &str,
    standing: &Standing<'_>,
    floors: (Option<f64>, Option<f64>),
    row: Row,
) -> Row {
    let beside = |row: Row, mark: f64, floor: Option<f64>, name: &str| match floor {
        Some(floor) => {
            let times = standing.p50 / floor;
            row.mark(format!("≤ {mark} × {name} ({times:.2})"), times <= mark)
        }
        None => row,
    };
    match (crowd, what, standing.name) {
        (1, "ready", POOL) => row
            .mark("p50 ≤ 2 ms", standing.p50 <= MARK_P50)
            .mark("p99 ≤ 10 ms", standing.p99 <= MARK_P99),
        (1, "done", COLD) => beside(row, MARK_LOCAL, floors.0, "bwrap"),
        (1, "done", COLD_DOCKER) => beside(row, MARK_DOCKER, floors.1, "docker run"),
        // A visitor who fails ends the benchmark.
        (100, "done", POOL | COLD) => row.mark("none of 100 fails", true),
        _ => row,
    }
}

/// Everybody who is visited by crowds of this size.
fn places(crowd: usize, options: &Options, report: &mut Report) -> Result<Vec<Place>> {
    let place = |host: Box<dyn Host>, turn: usize| Place { host, turn, times: Default::default() };
    let mut reachable = options.clone();
    let most = options.count(MOST_SLOW, MOST_SLOW_QUICK);
    if crowd > most {
        (reachable.image, reachable.jupyter) = (None, None);
        report
            .note(format!("no crowd of more than {most} at Docker and Jupyter: it takes minutes"));
    }
    // Turns of whoever takes milliseconds, a tenth of a second, seconds.
    let [quick, middle, slow] = match crowd {
        1 => [5, 20, 30],
        10 => [1, 4, 8],
        _ => [1, 1, 1],
    };
    let mut places = Vec::new();
    for host in field::hosts(&reachable, &[Mode::Lines])? {
        let turn = match host.name() {
            _ if host.is_slow() => slow,
            "docker run -i" => middle,
            _ => quick,
        };
        places.push(place(host, turn));
    }
    if options.backend == "local" && is_installed("bwrap") {
        let around = Around::Bubblewrap { python: options.python.clone() };
        places.push(place(Box::new(around), quick));
    }
    let parked = crowd.to_string();
    let pool = ["--pool-min", &parked, "--pool-max", &parked];
    places.push(place(Box::new(Gateway::start_as(COLD, options, NO_POOL)?), quick));
    places.push(place(Box::new(Pooled(Gateway::start_as(POOL, options, &pool)?)), 1));
    if let Some(docker) = reachable.docker() {
        places.push(place(Box::new(Gateway::start_as(COLD_DOCKER, &docker, NO_POOL)?), middle));
        places
            .push(place(Box::new(Pooled(Gateway::start_as(POOL_DOCKER, &docker, &pool)?)), middle));
    }
    Ok(places)
}

/// A crowd does something at once; answers what each of it has to tell.
fn at_once<T: Send>(crowd: usize, deed: impl Fn() -> Result<T> + Sync) -> Result<Vec<T>> {
    let start = Barrier::new(crowd);
    std::thread::scope(|scope| {
        let begin = |_| {
            scope.spawn(|| {
                start.wait();
                deed()
            })
        };
        let visitors: Vec<_> = (0..crowd).map(begin).collect();
        let join = |visitor: std::thread::ScopedJoinHandle<'_, _>| {
            visitor.join().map_err(|_| anyhow!("a visitor panicked"))?
        };
        // All are waited for before any failure is told.
        let seen: Vec<Result<T>> = visitors.into_iter().map(join).collect();
        seen.into_iter().collect()
    })
}

/// One visit: when its session was ready, had said the first byte, was done.
fn visit(host: &dyn Host) -> Result<[Duration; 3]> {
    let began = Instant::now();
    let mut contender = host.admit()?;
    let ready = began.elapsed();
    let mut first = None;
    contender.stream("print(1)", &mut |_| {
        first.get_or_insert_with(|| began.elapsed());
        Ok(())
    })?;
    let done = began.elapsed();
    contender.leave()?;
    Ok([ready, first.context("the cell printed nothing")?, done])
}

//! A small cell, there and back.
//!
//! cellgate: a raw WebSocket into a session, sandboxed. Floor: the bare driver on a pipe.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::field::{Field, Runner};
use crate::options::Options;
use crate::report::Report;
use crate::rivals::websocketd::Mode;
use crate::row::Unit;
use crate::samples::Samples;

/// What we want to stay below, times the floor.
const MARK: f64 = 2.5;

/// What Docker is to stay below, times our local backend.
const MARK_DOCKER: f64 = 1.3;

/// Cells before the first that counts: caches, allocators, lazy imports.
const WARM_UP: usize = 30;

/// Who is slow has one turn in so many.
const SLOW_TURN: usize = 20;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut field = Field::assemble(options, &[Mode::Lines], report)?;
    for code in ["pass", "print(1)"] {
        let times = take_turns(&mut field.runners, code, options.count(3000, 40))?;
        field.add_rows(report, code, Unit::Time, &times, &|standing, row| match standing.name {
            "cellgate" => {
                let below = standing.websocketd.is_none_or(|rival| standing.p50 < rival);
                row.mark(format!("≤ {MARK} × floor"), standing.ratio <= MARK)
                    .mark("below websocketd", below)
            }
            "cellgate, docker" => {
                let times = standing.local.map_or(f64::NAN, |local| standing.p50 / local);
                let text = format!("≤ {MARK_DOCKER} × local ({times:.2})");
                row.mark(text, times <= MARK_DOCKER)
            }
            _ => row,
        });
    }
    Ok(())
}

/// Each runs the cell once, then each once more, and so on.
fn take_turns(runners: &mut [Runner], code: &str, count: usize) -> Result<Vec<Samples>> {
    let mut times = vec![Samples::default(); runners.len()];
    for round in 0..WARM_UP + count {
        for (runner, samples) in runners.iter_mut().zip(&mut times) {
            if runner.is_slow && round % SLOW_TURN != 0 {
                continue;
            }
            let began = Instant::now();
            runner.contender.cell(code).with_context(|| format!("{} failed", runner.name))?;
            if round >= WARM_UP {
                samples.push_time(began.elapsed());
            }
        }
    }
    Ok(times)
}

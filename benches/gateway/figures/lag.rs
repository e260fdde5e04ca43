//! How old a line is when it arrives: the cell prints its monotonic clock, the client subtracts.
//!
//! One machine, one clock: `CLOCK_MONOTONIC` is the same in every container and sandbox but for
//! those in a time namespace with an offset, which is looked for first.

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};

use crate::contender::{Chunk, Contender};
use crate::field::Field;
use crate::options::Options;
use crate::report::Report;
use crate::rivals::websocketd::Mode;
use crate::row::Unit;
use crate::samples::Samples;

/// What we want, in microseconds.
const MARK_P50: f64 = 300.0;
const MARK_P99: f64 = 2000.0;

/// Turns of each contender.
const ROUNDS: usize = 10;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut field = Field::assemble(options, &[Mode::Lines], report)?;
    let prints = options.count(200, 10);
    // Not a multiple of anything that ticks.
    let code = format!(
        "import time\nfor _ in range({prints}):\n    print(time.monotonic_ns(), flush=True)\n    \
         time.sleep(0.0037)"
    );
    let mut lags = vec![Samples::default(); field.runners.len()];
    for runner in &mut field.runners {
        // The first prints of a process are slower, and tell the clocks apart.
        let before = now_ns();
        let mut warm_up = Samples::default();
        watch(runner.contender.as_mut(), &code, &mut warm_up)?;
        let oldest = warm_up.quantile(1.0) * 1e3;
        if warm_up.quantile(0.0) < 0.0 || oldest > (now_ns() - before) as f64 {
            bail!("the clock of {} is not ours", runner.name);
        }
    }
    for _ in 0..options.count(ROUNDS, 1) {
        for (runner, samples) in field.runners.iter_mut().zip(&mut lags) {
            watch(runner.contender.as_mut(), &code, samples)?;
        }
    }
    field.add_rows(report, "", Unit::Time, &lags, &|standing, row| {
        if standing.name != "cellgate" {
            return row;
        }
        row.mark("p50 < 0.3 ms", standing.p50 < MARK_P50)
            .mark("p99 < 2 ms", standing.p99 < MARK_P99)
    });
    Ok(())
}

/// Runs the printing cell and adds the age of every line, in microseconds.
fn watch(contender: &mut dyn Contender, code: &str, ages: &mut Samples) -> Result<()> {
    let mut text = Vec::new();
    contender.stream(code, &mut |chunk: Chunk| {
        let arrived = now_ns();
        chunk.append_to(&mut text)?;
        while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
            let line: Vec<u8> = text.drain(..=end).collect();
            let line = std::str::from_utf8(&line)?.trim();
            let printed: i128 = line.parse().with_context(|| format!("not a time: {line:?}"))?;
            ages.push((arrived - printed) as f64 / 1e3);
        }
        Ok(())
    })
}

fn now_ns() -> i128 {
    let now = clock_gettime(ClockId::Monotonic);
    i128::from(now.tv_sec) * 1_000_000_000 + i128::from(now.tv_nsec)
}

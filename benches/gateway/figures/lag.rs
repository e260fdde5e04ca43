//! How old a line is when it arrives: the cell prints its monotonic clock, the client subtracts.
//!
//! One machine, one clock: `CLOCK_MONOTONIC` is the same in every container and sandbox but for
//! those in a time namespace with an offset, which is looked for first.

use anyhow::{Context, Result, bail};
use rustix::time::{ClockId, clock_gettime};

use crate::contender::{Chunk, Contender};
use crate::gateway::Gateway;
use crate::options::Options;
use crate::report::{Report, Row, Unit};
use crate::rivals::pipe::Pipe;
use crate::rivals::websocketd::{Mode, Websocketd};
use crate::samples::Samples;

/// What we want, in microseconds.
const MARK_P50: f64 = 300.0;
const MARK_P99: f64 = 2000.0;

/// Turns of each contender.
const ROUNDS: usize = 10;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let gateways = Gateway::start_all(options)?;
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(Pipe::start(&options.python)?)];
    match Websocketd::start(&options.python, Mode::Lines)? {
        Some(rival) => contenders.push(Box::new(rival)),
        None => report.note("websocketd is not installed and is left out"),
    }
    for gateway in &gateways {
        contenders.push(Box::new(gateway.connect()?));
    }
    let prints = options.count(200, 10);
    // Not a multiple of anything that ticks.
    let code = format!(
        "import time\nfor _ in range({prints}):\n    print(time.monotonic_ns(), flush=True)\n    \
         time.sleep(0.0037)"
    );
    let mut lags = vec![Samples::default(); contenders.len()];
    for contender in &mut contenders {
        // The first prints of a process are slower, and tell the clocks apart.
        let before = now_ns();
        let mut warm_up = Samples::default();
        watch(contender.as_mut(), &code, &mut warm_up)?;
        let oldest = warm_up.quantile(1.0) * 1e3;
        if warm_up.quantile(0.0) < 0.0 || oldest > (now_ns() - before) as f64 {
            bail!("the clock of {} is not ours", contender.name());
        }
    }
    for _ in 0..options.count(ROUNDS, 1) {
        for (contender, samples) in contenders.iter_mut().zip(&mut lags) {
            watch(contender.as_mut(), &code, samples)?;
        }
    }
    let floor = lags.first().context("there is a floor")?.p50();
    for (contender, samples) in contenders.iter().zip(&lags) {
        let mut row = Row::new(contender.name(), Unit::Time, samples).ratio(samples.p50() / floor);
        if contender.name() == "cellgate" {
            let met = samples.p50() < MARK_P50 && samples.p99() < MARK_P99;
            row = row.mark("p50 < 0.3 ms, p99 < 2 ms", met);
        }
        report.row(row);
    }
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

//! A small cell, there and back.
//!
//! cellgate: a raw WebSocket into a session, sandboxed. Floor: the bare driver on a pipe.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::contender::Contender;
use crate::gateway::Gateway;
use crate::options::Options;
use crate::report::{Report, Row, Unit};
use crate::rivals::jupyter::Jupyter;
use crate::rivals::pipe::Pipe;
use crate::rivals::websocketd::{Mode, Websocketd};
use crate::samples::Samples;

/// What we want to stay below, times the floor.
const MARK: f64 = 2.5;

/// Cells before the first that counts: caches, allocators, lazy imports.
const WARM_UP: usize = 30;

/// Who is slow has one turn in so many.
const SLOW_TURN: usize = 20;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let gateways = Gateway::start_all(options)?;
    let jupyter = options.jupyter.as_deref().map(Jupyter::start).transpose()?;
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(Pipe::start(&options.python)?)];
    match Websocketd::start(&options.python, Mode::Lines)? {
        Some(rival) => contenders.push(Box::new(rival)),
        None => report.note("websocketd is not installed and is left out"),
    }
    if let Some(jupyter) = &jupyter {
        contenders.push(Box::new(jupyter.connect()?));
    }
    for gateway in &gateways {
        contenders.push(Box::new(gateway.connect()?));
    }
    for code in ["pass", "print(1)"] {
        let times = take_turns(&mut contenders, code, options.count(3000, 40))?;
        let floor = times.first().context("there is a floor")?.p50();
        let rival = contenders.iter().position(|contender| contender.name() == "websocketd");
        for (contender, samples) in contenders.iter().zip(&times) {
            let ratio = samples.p50() / floor;
            let what = format!("{code} · {}", contender.name());
            let mut row = Row::new(what, Unit::Time, samples).ratio(ratio);
            if contender.name() == "cellgate" {
                let below = rival.is_none_or(|at| samples.p50() < times[at].p50());
                let text = format!("≤ {MARK} × floor, below websocketd");
                row = row.mark(text, ratio <= MARK && below);
            }
            report.row(row);
        }
    }
    Ok(())
}

/// Each contender runs the cell once, then each once more, and so on.
fn take_turns(
    contenders: &mut [Box<dyn Contender>],
    code: &str,
    count: usize,
) -> Result<Vec<Samples>> {
    let mut times = vec![Samples::default(); contenders.len()];
    for round in 0..WARM_UP + count {
        for (contender, samples) in contenders.iter_mut().zip(&mut times) {
            if contender.is_slow() && round % SLOW_TURN != 0 {
                continue;
            }
            let began = Instant::now();
            contender.cell(code).with_context(|| format!("{} failed", contender.name()))?;
            if round >= WARM_UP {
                samples.push_time(began.elapsed());
            }
        }
    }
    Ok(times)
}

//! Small cells in one session while another floods.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use crate::client::Client;
use crate::contender::Contender;
use crate::gateway::{Gateway, NO_POOL};
use crate::options::Options;
use crate::report::Report;
use crate::row::{Row, Unit};
use crate::samples::Samples;

/// What another's flood may do to the p99 of a small cell.
const MARK: f64 = 3.0;

/// A bounded piece of a flood, so that it can be stopped between two.
const PIECE: &str =
    "import sys\nblock = 'x' * 65535 + '\\n'\nfor _ in range(256): sys.stdout.write(block)";

/// How much that is.
const PIECE_MIB: i32 = 16;

/// Turns of quiet and of noise.
const ROUNDS: usize = 8;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let gateway = Gateway::start_one(options, NO_POOL)?;
    let mut client = gateway.connect()?;
    let mut noisy = gateway.connect()?;
    let count = options.count(500, 20);
    let mut quiet = Samples::default();
    let mut loud = Samples::default();
    let mut warm_up = Samples::default();
    cells(&mut client, count, &mut warm_up)?;
    let mut flood_rate = Samples::default();
    for _ in 0..options.count(ROUNDS, 1) {
        cells(&mut client, count, &mut quiet)?;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| -> Result<f64> {
                let began = Instant::now();
                let mut pieces = 0;
                while !stop.load(Ordering::Relaxed) {
                    noisy.cell(PIECE)?;
                    pieces += 1;
                }
                Ok(f64::from(pieces * PIECE_MIB) / began.elapsed().as_secs_f64())
            });
            let measured = cells(&mut client, count, &mut loud);
            stop.store(true, Ordering::Relaxed);
            let rate = flood.join().map_err(|_| anyhow!("the flooding client panicked"))?;
            flood_rate.push(rate.context("flood")?);
            measured
        })?;
    }
    report.row(Row::new("pass · alone", Unit::Time, &quiet).ratio(1.0));
    let ratio = loud.p50() / quiet.p50();
    let times = loud.p99() / quiet.p99();
    let row = Row::new("pass · beside a flood", Unit::Time, &loud).ratio(ratio);
    report.row(row.mark(format!("p99 ≤ {MARK} × alone ({times:.2})"), times <= MARK));
    report.row(Row::new("the flood meanwhile", Unit::Rate, &flood_rate));
    Ok(())
}

fn cells(client: &mut Client, count: usize, times: &mut Samples) -> Result<()> {
    for _ in 0..count {
        let began = Instant::now();
        client.cell("pass")?;
        times.push_time(began.elapsed());
    }
    Ok(())
}

//! Small cells in one session while another floods.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Instant;

use anyhow::{Context, Result, anyhow};

use crate::client::Client;
use crate::contender::Contender;
use crate::gateway::Gateway;
use crate::options::Options;
use crate::report::{Report, Row, Unit};
use crate::samples::Samples;

/// A bounded piece of a flood, so that it can be stopped between two.
const PIECE: &str =
    "import sys\nblock = 'x' * 65535 + '\\n'\nfor _ in range(256): sys.stdout.write(block)";

/// Turns of quiet and of noise.
const ROUNDS: usize = 8;

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let gateway = Gateway::start_one(options)?;
    let mut client = gateway.connect()?;
    let mut noisy = gateway.connect()?;
    let count = options.count(500, 20);
    let mut quiet = Samples::default();
    let mut loud = Samples::default();
    let mut warm_up = Samples::default();
    cells(&mut client, count, &mut warm_up)?;
    for _ in 0..options.count(ROUNDS, 1) {
        cells(&mut client, count, &mut quiet)?;
        let stop = AtomicBool::new(false);
        std::thread::scope(|scope| {
            let flood = scope.spawn(|| -> Result<()> {
                while !stop.load(Ordering::Relaxed) {
                    noisy.cell(PIECE)?;
                }
                Ok(())
            });
            let measured = cells(&mut client, count, &mut loud);
            stop.store(true, Ordering::Relaxed);
            flood.join().map_err(|_| anyhow!("the flooding client panicked"))?.context("flood")?;
            measured
        })?;
    }
    report.row(Row::new("pass · alone", Unit::Time, &quiet).ratio(1.0));
    let ratio = loud.p50() / quiet.p50();
    report.row(Row::new("pass · beside a flood", Unit::Time, &loud).ratio(ratio));
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

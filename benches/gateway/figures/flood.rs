//! Much output: as lines, as large writes, as single characters, checked to the last byte.
//!
//! The clock runs until the client holds every message. Decoding and hashing come after, for all
//! alike. Floor: the same loop into a pipe that is only read.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::contender::{Chunk, Contender};
use crate::gateway::Gateway;
use crate::options::Options;
use crate::report::{Report, Row, Unit};
use crate::rivals::jupyter::Jupyter;
use crate::rivals::pipe::Pipe;
use crate::rivals::websocketd::{Mode, Websocketd};
use crate::samples::Samples;

/// What we want to be with lines, times websocketd as it is by default. (Its binary mode passes
/// bytes on as they are, split characters included; single characters are bounded by the writer.)
const MARK: f64 = 2.0;

/// Turns of each contender.
const ROUNDS: usize = 5;

/// The load of the mark.
const LINES: &str = "1 KiB lines";

/// A shape of output.
struct Load {
    name: &'static str,
    code: String,
    bytes: usize,
    hash: [u8; 32],
}

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let gateways = Gateway::start_all(options)?;
    let jupyter = options.jupyter.as_deref().map(Jupyter::start).transpose()?;
    let mut contenders: Vec<Box<dyn Contender>> = vec![Box::new(Pipe::start(&options.python)?)];
    for mode in [Mode::Lines, Mode::Binary] {
        match Websocketd::start(&options.python, mode)? {
            Some(rival) => contenders.push(Box::new(rival)),
            None => report.note("websocketd is not installed and is left out"),
        }
    }
    if let Some(jupyter) = &jupyter {
        contenders.push(Box::new(jupyter.connect()?));
    }
    for gateway in &gateways {
        contenders.push(Box::new(gateway.connect()?));
    }
    let total = options.count(64 << 20, 2 << 20);
    for load in [lines(total), blocks(total), characters(options.count(1_000_000, 19_200))] {
        let mut rates = vec![Samples::default(); contenders.len()];
        for round in 0..=options.count(ROUNDS, 1) {
            for (contender, samples) in contenders.iter_mut().zip(&mut rates) {
                if contender.is_slow() && round > 1 {
                    continue;
                }
                let took = run(contender.as_mut(), &load)
                    .with_context(|| format!("{}, {}", contender.name(), load.name))?;
                // The first turn grows buffers and heaps.
                if round > 0 {
                    samples.push(load.bytes as f64 / took.as_secs_f64() / f64::from(1 << 20));
                }
            }
        }
        add_rows(&load, &contenders, &rates, report)?;
    }
    Ok(())
}

fn add_rows(
    load: &Load,
    contenders: &[Box<dyn Contender>],
    rates: &[Samples],
    report: &mut Report,
) -> Result<()> {
    let floor = rates.first().context("there is a floor")?.p50();
    let rival = contenders.iter().position(|contender| contender.name() == "websocketd");
    for (contender, samples) in contenders.iter().zip(rates) {
        let what = format!("{} · {}", load.name, contender.name());
        let mut row = Row::new(what, Unit::Rate, samples).ratio(samples.p50() / floor);
        if let Some(rival) = rival
            && contender.name() == "cellgate"
            && load.name == LINES
        {
            let times = samples.p50() / rates[rival].p50();
            row = row.mark(format!("≥ {MARK} × websocketd ({times:.1})"), times >= MARK);
        }
        report.row(row);
    }
    Ok(())
}

/// How long until all output is there; fails unless it is the right one.
fn run(contender: &mut dyn Contender, load: &Load) -> Result<Duration> {
    let mut chunks: Vec<Chunk> = Vec::new();
    let began = Instant::now();
    contender.stream(&load.code, &mut |chunk| {
        chunks.push(chunk);
        Ok(())
    })?;
    let took = began.elapsed();
    let mut all = Vec::with_capacity(load.bytes);
    for chunk in &chunks {
        chunk.append_to(&mut all)?;
    }
    if all.len() != load.bytes || Sha256::digest(&all)[..] != load.hash {
        bail!("{} bytes arrived that are not the {} written", all.len(), load.bytes);
    }
    Ok(took)
}

/// `print` of 1,023 characters each time, numbered so that none can be lost or swapped unseen.
fn lines(total: usize) -> Load {
    let count = total / 1024;
    let code = format!(
        "pad = 'x' * 1016\nfor i in range({count}):\n    print('%07d' % i + pad)\n\
         import sys; sys.stdout.flush()"
    );
    let pad = "x".repeat(1016);
    load(LINES, code, (0..count).map(|i| format!("{i:07}{pad}\n")))
}

/// Writes of 64 KiB.
fn blocks(total: usize) -> Load {
    let count = total >> 16;
    let code = format!(
        "import sys\npad = 'x' * 65528 + '\\n'\nfor i in range({count}):\n    \
         sys.stdout.write('%07d' % i + pad)\nsys.stdout.flush()"
    );
    let pad = "x".repeat(65528);
    load("64 KiB writes", code, (0..count).map(|i| format!("{i:07}{pad}\n")))
}

/// One character and a flush, again and again; a line's end after each 64, and `count` a multiple
/// of that, so that who brings lines can tell where the last one ends.
fn characters(count: usize) -> Load {
    let code = format!(
        "import sys\nw, f = sys.stdout.write, sys.stdout.flush\nfor i in range({count}):\n    \
         w('\\n' if i % 64 == 63 else chr(97 + i % 26)); f()"
    );
    let one = |i: usize| {
        if i % 64 == 63 { '\n' } else { char::from(b'a' + (i % 26) as u8) }
    };
    load("1 B flushes", code, (0..count).map(|i| one(i).to_string()))
}

fn load(name: &'static str, code: String, pieces: impl Iterator<Item = String>) -> Load {
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    for piece in pieces {
        hasher.update(&piece);
        bytes += piece.len();
    }
    Load { name, code, bytes, hash: hasher.finalize().into() }
}

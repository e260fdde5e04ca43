//! Much output: as lines, as large writes, as single characters, checked to the last byte.
//!
//! The clock runs until the client holds every message. Decoding and hashing come after, for all
//! alike. Floor: the same loop into a pipe that is only read.

use std::ops::RangeInclusive;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use sha2::{Digest, Sha256};

use crate::contender::{Chunk, Contender};
use crate::field::Field;
use crate::options::Options;
use crate::report::Report;
use crate::rivals::websocketd::Mode;
use crate::row::Unit;
use crate::samples::Samples;

/// What we want to reach, times the floor: the same loop into a pipe that is only read.
const MARK: f64 = 0.4;

/// What we want to be with lines, times websocketd as it is by default. (Its binary mode passes
/// bytes on as they are, split characters included; single characters are bounded by the writer.)
const MARK_WEBSOCKETD: f64 = 2.0;

/// Turns of each.
const ROUNDS: usize = 5;

/// Who is slow gets one part in so many: minutes otherwise.
const SLOW_PART: usize = 16;

/// The load of the mark beside websocketd.
const LINES: &str = "1 KiB lines";

/// A shape of output.
struct Load {
    name: String,
    code: String,
    bytes: usize,
    hash: [u8; 32],
    /// A system call for each byte: the writer is slower than whatever carries it.
    is_bound_by_writer: bool,
}

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let mut field = Field::assemble(options, &[Mode::Lines, Mode::Binary], report)?;
    let total = options.count(64 << 20, 2 << 20);
    let flushes = options.count(10_000_000, 19_200);
    for make in [lines as fn(usize) -> Load, blocks] {
        let rounds = 0..=options.count(ROUNDS, 1);
        take_turns(&mut field, rounds, report, &make(total), &make(total / SLOW_PART))?;
    }
    // Jupyter sends a message for each flush, a thousand a second.
    let few = options.count(9_984, 640);
    // One turn of each is twenty seconds of system calls, and needs no warming up.
    take_turns(&mut field, 1..=1, report, &characters(flushes), &characters(few))
}

/// Everybody's turns with one load; who is slow gets `less` of it, and fewer turns.
fn take_turns(
    field: &mut Field,
    rounds: RangeInclusive<usize>,
    report: &mut Report,
    load: &Load,
    less: &Load,
) -> Result<()> {
    let mut rates = vec![Samples::default(); field.runners.len()];
    for round in rounds {
        for (place, samples) in rates.iter_mut().enumerate() {
            if load.is_bound_by_writer {
                field.renew(place)?;
            }
            let runner = &mut field.runners[place];
            if runner.is_slow && round > 2 {
                continue;
            }
            let load = if runner.is_slow { less } else { load };
            let took = run(runner.contender.as_mut(), load)
                .with_context(|| format!("{}, {}", runner.name, load.name))?;
            // The first turn grows buffers and heaps.
            if round > 0 {
                samples.push(load.bytes as f64 / took.as_secs_f64() / f64::from(1 << 20));
            }
        }
    }
    field.add_rows(report, &load.name, Unit::Rate, &rates, &|standing, row| {
        if standing.name != "cellgate" || load.is_bound_by_writer {
            return row;
        }
        let row = row.mark(format!("≥ {MARK} × floor"), standing.ratio >= MARK);
        match standing.websocketd {
            Some(rival) if load.name.ends_with(LINES) => {
                let times = standing.p50 / rival;
                let text = format!("≥ {MARK_WEBSOCKETD} × websocketd ({times:.1})");
                row.mark(text, times >= MARK_WEBSOCKETD)
            }
            _ => row,
        }
    });
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
    load(
        format!("{} MiB as {LINES}", total >> 20),
        code,
        (0..count).map(|i| format!("{i:07}{pad}\n")),
    )
}

/// Writes of 64 KiB.
fn blocks(total: usize) -> Load {
    let count = total >> 16;
    let code = format!(
        "import sys\npad = 'x' * 65528 + '\\n'\nfor i in range({count}):\n    \
         sys.stdout.write('%07d' % i + pad)\nsys.stdout.flush()"
    );
    let pad = "x".repeat(65528);
    load(
        format!("{} MiB as 64 KiB writes", total >> 20),
        code,
        (0..count).map(|i| format!("{i:07}{pad}\n")),
    )
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
    let name = format!("{count} flushes of 1 B");
    let pieces = (0..count).map(|i| one(i).to_string());
    Load { is_bound_by_writer: true, ..load(name, code, pieces) }
}

fn load(name: String, code: String, pieces: impl Iterator<Item = String>) -> Load {
    let mut hasher = Sha256::new();
    let mut bytes = 0;
    for piece in pieces {
        hasher.update(&piece);
        bytes += piece.len();
    }
    Load { name, code, bytes, hash: hasher.finalize().into(), is_bound_by_writer: false }
}

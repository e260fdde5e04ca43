//! The benchmarks: what a cell, a byte and a session cost, each beside a floor of the same run.
//!
//! ```text
//!   main ─► figures::{round_trip, lag, flood, …}     one question each, answered with rows
//!             ├ field                                everybody who takes part, and their rows
//!             ├ client, gateway                      a `cellgate serve` and a raw WebSocket to it
//!             ├ rivals::{pipe, websocketd, …}        the floor, and others who do the same
//!             └ samples, row, report, process        quantiles, tables, /proc
//!   document                                         where results are kept
//! ```
//! These are programs that measure, not tests that may fail on a slow machine: contenders take
//! turns (A B A B …), so that whatever else the machine does hits all of them, and what counts is
//! the ratio. `docs/benchmarks.md` has the method and the results.

mod client;
mod contender;
mod document;
mod field;
mod figures;
mod gateway;
mod options;
mod process;
mod report;
mod rivals;
mod row;
mod samples;

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::Parser;

use figures::FIGURES;
use options::Options;
use report::Report;

fn main() -> Result<ExitCode> {
    let options = Options::parse();
    let names: Vec<&str> = FIGURES.iter().map(|figure| figure.name).collect();
    for wanted in &options.figures {
        if !FIGURES.iter().any(|figure| figure.name == wanted) {
            bail!("there is no figure {wanted:?}; there are: {}", names.join(", "));
        }
    }
    if options.record.is_some() && options.quick {
        bail!("--record keeps figures, and --quick has none");
    }
    let mut report = Report::new(&options);
    for figure in FIGURES {
        if !options.figures.is_empty() && !options.figures.iter().any(|name| name == figure.name) {
            continue;
        }
        report.begin(figure.name, figure.question);
        (figure.measure)(&options, &mut report)
            .with_context(|| format!("cannot measure {}", figure.name))?;
        report.finish_figure();
        if let (Some(path), Some((figure, text))) = (&options.record, report.last_section()) {
            document::record(path, &names, figure, &text)?;
        }
    }
    report.print_summary();
    // As tests do that would be skipped: CI has everybody.
    let all = std::env::var("CELLGATE_REQUIRE").is_ok_and(|required| required == "all");
    if all && report.lacks_somebody() {
        bail!("CELLGATE_REQUIRE=all, and somebody is MISSING");
    }
    Ok(if options.strict && report.missed() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

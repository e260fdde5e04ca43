//! An interrupt while output floods: with a client that keeps up, and with one that has fallen
//! behind by everything the buffers hold.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};

use crate::gateway::{Gateway, NO_POOL};
use crate::options::Options;
use crate::report::Report;
use crate::row::{Row, Unit};
use crate::samples::Samples;

/// Writes without end.
const FLOOD: &str = "import sys\nblock = 'x' * 65535 + '\\n'\nwhile True: sys.stdout.write(block)";

/// What we want to stay below, in microseconds.
const MARK: f64 = 100e3;

/// Long enough for a flood to fill every buffer on its way.
const PAUSE: Duration = Duration::from_millis(300);

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    let gateway = Gateway::start_one(options, NO_POOL)?;
    let mut client = gateway.connect()?;
    let mut behind = [Samples::default(), Samples::default()];
    let mut queued = [Samples::default(), Samples::default()];
    for round in 0..2 * options.count(40, 2) {
        let pauses = round % 2 == 1;
        let id = client.execute(FLOOD)?;
        let mut seen = 0;
        client.wait_for("started")?;
        while seen < 4 << 20 {
            seen += client.next_text()?.len();
        }
        if pauses {
            std::thread::sleep(PAUSE);
        }
        let began = Instant::now();
        client.send(&serde_json::json!({"type": "interrupt"}))?;
        let mut after = 0;
        let status = loop {
            let text = client.next_text()?;
            if !text.starts_with("{\"type\":\"done\"") {
                after += text.len();
                continue;
            }
            let done: crate::client::Event = serde_json::from_str(&text)?;
            if done.id.as_deref() == Some(&id) {
                break done.status.context("a `done` has a status")?;
            }
        };
        behind[usize::from(pauses)].push_time(began.elapsed());
        queued[usize::from(pauses)].push(f64::from(after as u32));
        if status != "interrupted" {
            bail!("an interrupted cell ended with the status {status}");
        }
    }
    for (what, at) in [("client keeps up", 0), ("client was behind", 1)] {
        let row = Row::new(format!("{what}: interrupt to `done`"), Unit::Time, &behind[at]);
        report.row(row.mark("p99 ≤ 100 ms", behind[at].p99() <= MARK));
        let what = format!("{what}: output that came in between");
        report.row(Row::new(what, Unit::Bytes, &queued[at]));
    }
    Ok(())
}

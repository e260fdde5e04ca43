//! CPU time for a GiB of output, and who takes it.

use anyhow::{Context, Result};

use crate::contender::Contender;
use crate::gateway::{Gateway, NO_POOL};
use crate::options::Options;
use crate::process;
use crate::report::Report;
use crate::row::{Row, Unit};

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if options.backend != "local" {
        report.note("measured with the local backend only: an engine's processes are not ours");
        return Ok(());
    }
    let gateway = Gateway::start_one(options, NO_POOL)?;
    let standing: Vec<u32> = process::descendants(gateway.pid())?.iter().map(|p| p.pid).collect();
    let mut client = gateway.connect()?;
    let mut processes = process::descendants(gateway.pid())?;
    processes.retain(|process| !standing.contains(&process.pid));
    let runner = processes.iter().find(|process| process.name.starts_with("python"));
    let runner = runner.context("the session has no interpreter")?;
    let parts = [
        ("gateway", gateway.pid()),
        ("supervisor", runner.parent),
        ("interpreter, its writes included", runner.pid),
    ];
    let total = options.count(1 << 30, 32 << 20);
    let lines = total / 1024;
    let blocks = total >> 16;
    for (load, code) in [
        ("1 KiB lines", format!("t = 'x' * 1023\nfor _ in range({lines}): print(t)")),
        (
            "64 KiB writes",
            format!(
                "import sys\nt = 'x' * 65535 + '\\n'\nfor _ in range({blocks}): sys.stdout.write(t)"
            ),
        ),
    ] {
        let before = parts.map(|(_, pid)| process::cpu_time(pid));
        client.cell(&code)?;
        for ((part, pid), before) in parts.into_iter().zip(before) {
            let spent = process::cpu_time(pid)?.saturating_sub(before?).as_secs_f64();
            let each = spent * f64::from(1 << 30) / total as f64;
            report.row(Row::value(format!("{load} · {part}"), Unit::Cost, each));
        }
    }
    Ok(())
}

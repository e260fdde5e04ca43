//! What an idle session holds: its processes, the kernel's part, the gateway's growth.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::contender::Contender;
use crate::gateway::Gateway;
use crate::options::Options;
use crate::process::{self, Process};
use crate::report::{Report, Row, Unit};
use crate::samples::Samples;

/// What we want to stay below, in bytes.
const MARK: f64 = 8.0 * (1 << 20) as f64;

/// Sessions at one time. Pages they share count once, divided among them.
const SESSIONS: usize = 8;

/// For allocators and the kernel to give back what a start took.
const SETTLE: Duration = Duration::from_secs(2);

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if options.backend != "local" {
        report.note("measured with the local backend only: an engine's processes are not ours");
        return Ok(());
    }
    let gateway = Gateway::start_one(options)?;
    // A first session makes the gateway grow once and for all.
    gateway.connect()?.end()?;
    std::thread::sleep(SETTLE);
    let before = process::pss(gateway.pid())?;
    let standing: Vec<u32> = process::descendants(gateway.pid())?.iter().map(|p| p.pid).collect();

    let sessions = options.count(SESSIONS, 2);
    let mut clients = Vec::new();
    for _ in 0..sessions {
        let mut client = gateway.connect()?;
        client.cell("pass")?;
        clients.push(client);
    }
    std::thread::sleep(SETTLE);
    let growth = process::pss(gateway.pid())?.saturating_sub(before) as f64 / sessions as f64;
    let mut processes = process::descendants(gateway.pid())?;
    processes.retain(|process| !standing.contains(&process.pid));

    let is_runner = |process: &&Process| process.name.starts_with("python");
    let runners = sum_of_pss(processes.iter().filter(is_runner))?;
    let others = sum_of_pss(processes.iter().filter(|process| !is_runner(process)))?;
    let mut kernel = Samples::default();
    let mut files = Samples::default();
    for runner in processes.iter().filter(is_runner) {
        if let Some((of_kernel, of_files)) = process::cgroup_kernel_memory(runner.pid) {
            kernel.push(of_kernel as f64);
            files.push(of_files as f64);
        }
    }
    let each = |total: f64| total / sessions as f64;
    let rows = [
        ("interpreter (PSS)", each(runners)),
        ("supervisor and all else in the sandbox (PSS)", each(others)),
        ("gateway's growth (PSS)", growth),
        ("kernel's own, of the cgroup", kernel.p50()),
        ("files in memory, of the cgroup", files.p50()),
    ];
    let all: f64 = rows.iter().map(|(_, bytes)| bytes).filter(|bytes| !bytes.is_nan()).sum();
    for (what, bytes) in rows {
        report.row(Row::value(what, Unit::Bytes, bytes));
    }
    let per = processes.len() as f64 / sessions as f64;
    let what = format!("one of {sessions} idle sessions, {per:.1} processes each");
    report.row(Row::value(what, Unit::Bytes, all).mark("≤ 8 MiB", all <= MARK));
    report.row(Row::value("gateway before (PSS)", Unit::Bytes, before as f64));
    for client in clients {
        client.end()?;
    }
    Ok(())
}

fn sum_of_pss<'a>(processes: impl Iterator<Item = &'a Process>) -> Result<f64> {
    let mut sum = 0;
    for process in processes {
        sum += process::pss(process.pid).with_context(|| format!("of {}", process.name))?;
    }
    Ok(sum as f64)
}

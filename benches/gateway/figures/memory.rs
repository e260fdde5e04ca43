//! What those hold who do nothing: sessions with their processes, kernel memory and the gateway's
//! part; sockets of people who only watch.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::client::Client;
use crate::contender::{Contender, Host};
use crate::gateway::{Gateway, NO_POOL};
use crate::options::Options;
use crate::process::{self, Process};
use crate::report::Report;
use crate::rivals::jupyter::Jupyter;
use crate::row::{Row, Unit};
use crate::samples::Samples;

/// What one of a few sessions is to stay below, in bytes.
const MARK_ONE: f64 = 8.0 * (1 << 20) as f64;

/// What [`CROWD`] sessions are to stay below together, in bytes.
const MARK_CROWD: f64 = 4.0 * (1u64 << 30) as f64;

/// What a socket is to stay below, in bytes.
const MARK_SOCKET: f64 = 32.0 * 1024.0;

/// Sessions at one time. Pages they share count once, divided among them.
const FEW: usize = 8;

/// Sessions of the other mark.
const CROWD: usize = 500;

/// Sockets, and how many of them watch one session: each who comes is told to all who are there.
const SOCKETS: usize = 1000;
const WATCHERS: usize = 50;

/// For allocators and the kernel to give back what a start took.
const SETTLE: Duration = Duration::from_secs(2);

/// After which nothing more is on its way to a socket.
const QUIET: Duration = Duration::from_millis(2);

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if options.backend != "local" {
        report.note("measured with the local backend only: an engine's processes are not ours");
        return Ok(());
    }
    sessions(options, options.count(FEW, 2), report, &|_, all, row| {
        row.mark("≤ 8 MiB", all <= MARK_ONE)
    })?;
    let crowd = options.count(CROWD, 10);
    sessions(options, crowd, report, &|count, all, row| {
        let total = all * count as f64;
        let text = format!("{CROWD} in ≤ 4 GiB ({:.2} GiB)", total / f64::from(1 << 30));
        row.mark(text, total <= MARK_CROWD)
    })?;
    jupyter(options, report)?;
    sockets(options, report)
}

/// The row of what an idle kernel holds, its server not counted.
fn jupyter(options: &Options, report: &mut Report) -> Result<()> {
    let Some(python) = &options.jupyter else {
        report.note("MISSING: Jupyter, for want of --jupyter");
        return Ok(());
    };
    let server = Jupyter::start(python)?;
    let count = options.count(FEW / 2, 1);
    let mut kernels = Vec::new();
    for _ in 0..count {
        let mut kernel = server.admit()?;
        kernel.cell("pass")?;
        kernels.push(kernel);
    }
    std::thread::sleep(SETTLE);
    let held = sum_of_pss(process::descendants(server.pid())?.iter())? / count as f64;
    let what = format!("one of {count} idle kernels of Jupyter (PSS)");
    report.row(Row::value(what, Unit::Bytes, held));
    kernels.into_iter().try_for_each(|kernel| kernel.leave())
}

/// Rows of `count` idle sessions; `judge` marks the row of their sum.
fn sessions(
    options: &Options,
    count: usize,
    report: &mut Report,
    judge: &dyn Fn(usize, f64, Row) -> Row,
) -> Result<()> {
    let gateway = Gateway::start_one(options, NO_POOL)?;
    // A first session makes the gateway grow once and for all.
    gateway.connect()?.end()?;
    std::thread::sleep(SETTLE);
    let before = process::pss(gateway.pid())?;
    let standing: Vec<u32> = process::descendants(gateway.pid())?.iter().map(|p| p.pid).collect();

    let mut clients = Vec::new();
    for _ in 0..count {
        let mut client = gateway.connect()?;
        client.cell("pass")?;
        clients.push(client);
    }
    std::thread::sleep(SETTLE);
    let growth = process::pss(gateway.pid())?.saturating_sub(before) as f64 / count as f64;
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
    let each = |total: f64| total / count as f64;
    let rows = [
        ("interpreter (PSS)", each(runners)),
        ("supervisor and all else in the sandbox (PSS)", each(others)),
        ("gateway's growth (PSS)", growth),
        ("kernel's own, of the cgroup", kernel.p50()),
        ("files in memory, of the cgroup", files.p50()),
    ];
    let all: f64 = rows.iter().map(|(_, bytes)| bytes).filter(|bytes| !bytes.is_nan()).sum();
    for (what, bytes) in rows {
        report.row(Row::value(format!("of {count} sessions · {what}"), Unit::Bytes, bytes));
    }
    let per = processes.len() as f64 / count as f64;
    let what = format!("one of {count} idle sessions, {per:.1} processes each");
    report.row(judge(count, all, Row::value(what, Unit::Bytes, all)));
    report.row(Row::value("gateway before (PSS)", Unit::Bytes, before as f64));
    for client in &mut clients {
        // All end at once; each is waited for below.
        client.send(&serde_json::json!({"type": "end"}))?;
    }
    clients.into_iter().try_for_each(Client::end)
}

/// The row of what an idle WebSocket costs the gateway. Each has opened, has got its session's
/// replay and every event since, and has said one thing.
fn sockets(options: &Options, report: &mut Report) -> Result<()> {
    let gateway = Gateway::start_one(options, NO_POOL)?;
    let count = options.count(SOCKETS, 2 * WATCHERS);
    let mut owners = Vec::new();
    for _ in 0..count / WATCHERS {
        owners.push(gateway.connect()?);
    }
    // Here too the first makes the gateway grow once and for all.
    for owner in &mut owners {
        gateway.watch(owner)?;
        owner.forget_until(QUIET)?;
    }
    std::thread::sleep(SETTLE);
    let before = process::pss(gateway.pid())?;
    let mut watchers = Vec::new();
    for owner in &mut owners {
        let first = watchers.len();
        for _ in 0..WATCHERS {
            let mut watcher = gateway.watch(owner)?;
            watcher.send(&serde_json::json!({"type": "ping"}))?;
            watchers.push(watcher);
        }
        for client in watchers[first..].iter_mut().chain([owner]) {
            client.forget_until(QUIET)?;
        }
    }
    std::thread::sleep(SETTLE);
    let each = process::pss(gateway.pid())?.saturating_sub(before) as f64 / count as f64;
    let what = format!("one of {count} idle sockets, {WATCHERS} on a session (PSS of the gateway)");
    report.row(Row::value(what, Unit::Bytes, each).mark("≤ 32 KiB", each <= MARK_SOCKET));
    drop(watchers);
    owners.into_iter().try_for_each(Client::end)
}

fn sum_of_pss<'a>(processes: impl Iterator<Item = &'a Process>) -> Result<f64> {
    let mut sum = 0;
    for process in processes {
        sum += process::pss(process.pid).with_context(|| format!("of {}", process.name))?;
    }
    Ok(sum as f64)
}

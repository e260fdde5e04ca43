//! From nothing to the first answer.
//!
//! Local: connect, `ready`, the result of `1`; the floor is `bwrap` with the same namespaces and
//! mounts around the bare driver, one cell. Docker: the same beside `docker run` of one image.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use anyhow::Result;

use crate::contender::Contender;
use crate::gateway::Gateway;
use crate::options::Options;
use crate::report::{Report, Row, Unit};
use crate::rivals::is_installed;
use crate::rivals::jupyter::Jupyter;
use crate::rivals::pipe::Pipe;
use crate::samples::Samples;

/// What we want to stay below, times the floor.
const MARK_LOCAL: f64 = 1.3;
const MARK_DOCKER: f64 = 1.1;

/// What a session took.
#[derive(Clone, Default)]
struct Start {
    ready: Samples,
    result: Samples,
}

pub(super) fn measure(options: &Options, report: &mut Report) -> Result<()> {
    if options.backend == "local" {
        if is_installed("bwrap") {
            let floor = || bubblewrap(&options.python);
            let name = "bwrap with the bare driver";
            compare(options, report, name, &floor, (MARK_LOCAL, options.count(60, 3)))?;
        } else {
            report.note("bwrap is not installed: the local cold start has no floor, left out");
        }
    }
    let Some(image) = &options.image else {
        report.note("no --image: Docker is left out");
        return Ok(());
    };
    let options = Options { backend: "docker".to_owned(), jupyter: None, ..options.clone() };
    let floor = || docker_run(image);
    let name = "docker run with the bare driver";
    compare(&options, report, name, &floor, (MARK_DOCKER, options.count(15, 2)))
}

fn compare(
    options: &Options,
    report: &mut Report,
    name: &'static str,
    floor: &dyn Fn() -> Command,
    (mark, count): (f64, usize),
) -> Result<()> {
    let gateways = Gateway::start_all(options)?;
    let jupyter = options.jupyter.as_deref().map(Jupyter::start).transpose()?;
    let mut floor_times = Samples::default();
    let mut jupyter_times = Samples::default();
    let mut starts = vec![Start::default(); gateways.len()];
    // The first turn fills caches and does not count.
    for round in 0..=count {
        let began = Instant::now();
        let mut driver = Pipe::start_in(name, floor())?;
        driver.cell("1")?;
        let took = began.elapsed();
        driver.end()?;
        if round > 0 {
            floor_times.push_time(took);
        }
        for (gateway, start) in gateways.iter().zip(&mut starts) {
            let began = Instant::now();
            let mut client = gateway.connect()?;
            let ready = began.elapsed();
            client.execute("1")?;
            client.wait_for("result")?;
            let result = began.elapsed();
            client.end()?;
            if round > 0 {
                start.ready.push_time(ready);
                start.result.push_time(result);
            }
        }
        // A Jupyter kernel takes as long as ten of ours: a few times are enough.
        if let Some(jupyter) = jupyter.as_ref().filter(|_| round % 6 == 0) {
            let began = Instant::now();
            let mut kernel = jupyter.connect()?;
            kernel.cell("1")?;
            jupyter_times.push_time(began.elapsed());
            jupyter.end(kernel)?;
        }
    }
    let least = floor_times.p50();
    report.row(Row::new(name, Unit::Time, &floor_times).ratio(1.0));
    if jupyter.is_some() {
        let row = Row::new("jupyter kernel gateway", Unit::Time, &jupyter_times);
        report.row(row.ratio(jupyter_times.p50() / least));
    }
    for (gateway, start) in gateways.iter().zip(&starts) {
        let who = format!("{}, {}", gateway.name(), options.backend);
        report.row(Row::new(format!("{who}: connect to `ready`"), Unit::Time, &start.ready));
        let ratio = start.result.p50() / least;
        let mut row = Row::new(format!("{who}: connect to result"), Unit::Time, &start.result);
        row = row.ratio(ratio);
        if gateway.name() == "cellgate" {
            row = row.mark(format!("≤ {mark} × floor"), ratio <= mark);
        }
        report.row(row);
    }
    Ok(())
}

/// The namespaces and mounts of the local backend, made by bubblewrap.
fn bubblewrap(python: &Path) -> Command {
    let mut command = Command::new("bwrap");
    command.args(["--unshare-all", "--die-with-parent", "--new-session", "--clearenv"]);
    command.args(["--uid", "1000", "--gid", "1000", "--hostname", "sandbox"]);
    for dir in ["/usr", "/etc", "/opt"] {
        command.args(["--ro-bind-try", dir, dir]);
    }
    for dir in ["bin", "sbin", "lib", "lib32", "lib64", "libx32"] {
        command.args(["--symlink", &format!("usr/{dir}"), &format!("/{dir}")]);
    }
    command.args(["--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp", "--tmpfs", "/work"]);
    command.args(["--chdir", "/work", "--setenv", "HOME", "/work", "--setenv", "PATH"]);
    command.args(["/usr/local/bin:/usr/bin:/bin", "--setenv", "LANG", "C.UTF-8"]);
    command.arg(python);
    command
}

/// The least that runs the bare driver in a container.
fn docker_run(image: &str) -> Command {
    let mut command = Command::new("docker");
    command.args(["run", "--rm", "--interactive", "--network", "none", image, "python3"]);
    command
}

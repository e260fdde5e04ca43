//! PID 1 of every sandbox.
//!
//! ```text
//! cellgate-driver supervise --link fd:N | unix:PATH | stdio
//!                           [--cgroup-memory fd:N] [--cgroup-cpu fd:N] [--cgroup-pids fd:N]
//! ```

use std::env;
use std::process::ExitCode;

mod bash_runner;
mod jail;
mod janitor;
mod supervisor;
mod sys;

fn main() -> ExitCode {
    let mut arguments = env::args().skip(1);
    let outcome = match arguments.next().as_deref() {
        Some("supervise") => supervise(arguments),
        Some("jail") => Ok(jail::run()),
        Some("janitor") => Ok(ExitCode::from(janitor::run() as u8)),
        _ => Err("usage: cellgate-driver supervise --link fd:N | unix:PATH | stdio".to_owned()),
    };
    outcome.unwrap_or_else(|what| {
        eprintln!("cellgate-driver: {what}");
        ExitCode::from(2)
    })
}

/// Reads the settings of the supervisor and becomes it.
fn supervise(mut arguments: impl Iterator<Item = String>) -> Result<ExitCode, String> {
    use supervisor::{Cgroups, Link, LinkSource, OomScore};

    let mut source = None;
    let mut cgroups = Cgroups::default();
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("{name} needs a value"))?;
        let number = || value.strip_prefix("fd:").and_then(|number| number.parse::<i32>().ok());
        let directory = || {
            let number = number().ok_or_else(|| format!("{name} {value}: not fd:N"))?;
            supervisor::inherited(number)
                .map(Some)
                .map_err(|error| format!("cannot use {name} {value}: {error}"))
        };
        match name.as_str() {
            "--link" => {
                source = match (value.as_str(), value.strip_prefix("unix:"), number()) {
                    ("stdio", ..) => Some(LinkSource::Stdio),
                    (_, Some(path), _) => Some(LinkSource::Socket(path.into())),
                    (.., Some(number)) => Some(LinkSource::Descriptor(number)),
                    _ => return Err(format!("--link {value}: not fd:N, unix:PATH or stdio")),
                }
            }
            "--cgroup-memory" => cgroups.memory = directory()?,
            "--cgroup-cpu" => cgroups.cpu = directory()?,
            "--cgroup-pids" => cgroups.pids = directory()?,
            _ => return Err(format!("there is no setting {name}")),
        }
    }
    let source = source.ok_or("--link is missing")?;
    let link =
        Link::open(&source).map_err(|error| format!("cannot open the link {source:?}: {error}"))?;
    Ok(supervisor::supervise(link, &cgroups.or_found(), OomScore::raise()))
}

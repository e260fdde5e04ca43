//! Instructions of the hot paths: a regression shows without a clock, however busy the machine is.
//!
//! ```text
//!   cargo run --release -p cellgate-instructions             counts; fails where a path costs more
//!   cargo run --release -p cellgate-instructions -- --keep   accepts: writes counts.txt anew
//! ```
//! The program starts itself under callgrind, once for each path; only what [`counted`] runs is
//! counted, so neither start-up nor what it has to prepare. `paths` says what each one does.
//!
//! Counts depend on compiler and C library, so `counts.txt` is for machines like the one that CI
//! uses; elsewhere count before and after. Its history shows what became dearer, when and why.

use std::env;
use std::fmt::Write as _;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, anyhow, bail};

mod paths;
#[path = "../../../tests/common/require.rs"]
#[allow(dead_code)] // what tests need besides
mod require;
#[path = "../../../tests/common/scripted.rs"]
#[allow(dead_code, clippy::unwrap_used)]
// what tests need besides, and a test that cannot go on panics
mod scripted;
mod session;
#[path = "../../../tests/common/switch.rs"]
#[allow(dead_code, clippy::unwrap_used)] // as above; nothing breaks here
mod switch;

use paths::{HotPath, PATHS};

/// What a path may cost more than the table says before that is a failure. Two builds of the same
/// code count within 0.5 % of each other.
const TOLERANCE: f64 = 0.05;

/// The argument that makes this program walk a path instead of counting.
const WALK: &str = "--walk";

/// How to accept what a change costs.
const KEEP: &str = "cargo run --release -p cellgate-instructions -- --keep";

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match arguments[..] {
        [WALK, name] => {
            let path = PATHS.iter().find(|path| path.name == name);
            (path.with_context(|| format!("no path {name:?}"))?.walk)()?;
            Ok(ExitCode::SUCCESS)
        }
        [] => check(false),
        ["--keep"] => check(true),
        _ => bail!("the only argument is --keep"),
    }
}

/// Runs what is counted. Callgrind finds it by its name.
#[inline(never)]
fn counted<T>(work: impl FnOnce() -> T) -> T {
    work()
}

fn check(keep: bool) -> Result<ExitCode> {
    let valgrind = Command::new("valgrind").arg("--version").output();
    if !cfg!(target_arch = "x86_64") || valgrind.is_err() {
        let missing = require::Missing::new("valgrind", "x86-64 and apt-get install valgrind");
        missing.skip("instruction counts").map_err(|text| anyhow!(text))?;
        return Ok(ExitCode::SUCCESS);
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("counts.txt");
    let table = std::fs::read_to_string(&file).unwrap_or_default();
    let mut new = format!("# Instructions of the hot paths on x86-64, made by: {KEEP}\n");
    let mut dearer = false;
    println!("{:<10} {:<48} {:>11} {:>11}", "path", "what is done", "kept", "now");
    for path in PATHS {
        let now = count(path)?;
        writeln!(new, "{} {now}", path.name)?;
        let before = kept(&table, path.name);
        let change = before.map(|before| now as f64 / before as f64 - 1.0);
        let verdict = match change {
            None => "not in the table".to_owned(),
            Some(change) if change > TOLERANCE => format!("{:+.1} %: DEARER", change * 100.0),
            Some(change) => format!("{:+.1} %", change * 100.0),
        };
        dearer |= change.is_none_or(|change| change > TOLERANCE);
        let before = before.map_or("–".to_owned(), |before| before.to_string());
        println!("{:<10} {:<48} {before:>11} {now:>11} {verdict}", path.name, path.work);
    }
    if keep {
        std::fs::write(&file, new).with_context(|| format!("write {}", file.display()))?;
        return Ok(ExitCode::SUCCESS);
    }
    if !dearer {
        return Ok(ExitCode::SUCCESS);
    }
    println!("\nA path costs more than {:.0} % over {}.", TOLERANCE * 100.0, file.display());
    println!(
        "If that is the price of something worth it, say of what in the commit, and accept it:\n  {KEEP}"
    );
    Ok(ExitCode::FAILURE)
}

/// What the table says of a path.
fn kept(table: &str, name: &str) -> Option<u64> {
    let lines = table.lines().filter(|line| !line.starts_with('#'));
    let mut counts = lines.filter_map(|line| line.split_once(' '));
    counts.find(|(path, _)| *path == name)?.1.parse().ok()
}

/// Instructions of one walk, as callgrind counts them.
fn count(path: &HotPath) -> Result<u64> {
    let program = env::current_exe().context("find this program")?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg("--toggle-collect=cellgate_instructions::counted*")
        .arg(program)
        .args([WALK, path.name])
        .output()
        .context("start valgrind")?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!("path {} failed under callgrind:\n{said}", path.name);
    }
    let total =
        said.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok());
    match total {
        Some(0) => bail!("callgrind did not find what to count in path {}", path.name),
        total => total.with_context(|| format!("callgrind tells no count:\n{said}")),
    }
}

//! `cellgate doctor --probe`: tries, from inside real sessions, what an attacker would try.
//!
//! ```text
//!   place ─► a room            leaves traces for others to look for      (a place: sessions of a
//!        └─► a room an area    runs its checks as one cell ─► verdicts    backend; a test has
//!   bait     listeners and files outside, to be reached by nothing inside  others) ─► label
//! ```
//! The checks are Python (`probe/*.py`), because that is what code in a sandbox is; they say what
//! they try and what it would mean if it worked. Sessions are made as a client's are, from the
//! template in force, with smaller limits so that reaching them takes seconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use futures::future::BoxFuture;
use serde::{Deserialize, Serialize};

use crate::config::{Config, DEFAULT_TEMPLATE};
use crate::metrics::Metrics;
use crate::registry::Registry;
use crate::sandbox::{Backend, Enforcement, Kernel};
use crate::template::{Limits, PoolSize};

mod bait;
mod cell;
mod checks;
mod label;
mod table;

use bait::Bait;
pub use checks::names;
pub use label::Label;
pub use table::tell;

/// Longest time of one area; gVisor on a busy machine takes a tenth of it.
const AREA: Duration = Duration::from_secs(180);

/// What came of one check.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Everything it tried was refused.
    Held,
    /// Something it tried worked, and must not.
    Open,
    /// It worked, and the backend says that it does not keep it from working here.
    Unclaimed,
    /// There is nothing here that it could try.
    NotApplicable,
    /// It could not be carried out, so nothing is known.
    Broken,
}

impl Verdict {
    /// Every one, the best first.
    pub const ALL: [Verdict; 5] =
        [Verdict::Held, Verdict::NotApplicable, Verdict::Unclaimed, Verdict::Open, Verdict::Broken];

    /// In a word or two.
    pub fn text(self) -> &'static str {
        match self {
            Verdict::Held => "held",
            Verdict::Open => "OPEN",
            Verdict::Unclaimed => "open, not claimed",
            Verdict::NotApplicable => "not applicable",
            Verdict::Broken => "BROKEN",
        }
    }
}

/// One check and what came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Finding {
    /// `network`, `files`, …
    pub area: &'static str,
    /// What is tried.
    pub name: String,
    /// What came of it.
    pub verdict: Verdict,
    /// How it was refused, or what worked.
    pub detail: String,
    /// What it means if it is not refused.
    pub means: String,
}

/// A backend from inside.
#[derive(Clone, Debug, Serialize)]
pub struct Probed {
    /// Which backend, in which way: `local (root)`, `docker (runsc)`.
    pub backend: String,
    /// For whose code it is fit.
    pub label: Label,
    /// Why no better.
    pub reasons: Vec<String>,
    /// Every check.
    pub findings: Vec<Finding>,
    /// How long it took, in milliseconds.
    pub duration_ms: u64,
}

impl Probed {
    /// Whether every check that must hold here did.
    pub fn holds(&self) -> bool {
        self.count(Verdict::Open) == 0 && self.count(Verdict::Broken) == 0
    }

    /// How many checks ended so.
    pub fn count(&self, verdict: Verdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }
}

/// Runs every check in sessions of this backend.
///
/// # Errors
/// If no session can be made, or no bait be laid out.
pub async fn probe(config: &Config, backend: Arc<dyn Backend>) -> Result<Probed> {
    let began = Instant::now();
    let name = match backend.flavour() {
        flavour if flavour.is_empty() => backend.kind().to_string(),
        flavour => format!("{} ({flavour})", backend.kind()),
    };
    let template = config
        .template(DEFAULT_TEMPLATE)
        .or(config.templates.first())
        .context("there is no template")?;
    let mut template = template.clone();
    template.pool = PoolSize::OFF;
    template.limits = small(&template.limits);
    let setting = Setting {
        backend: backend.kind().name(),
        gvisor: backend.kernel() == Kernel::Own,
        workdir: template.workdir.clone().into(),
        runtime_dir: config.sandbox.runtime_dir.clone(),
        apart: false,
        limits: template.limits.clone(),
    };
    let (wanted, enforcement) = (template.name.clone(), backend.enforcement());
    let kernel = backend.kernel();
    let mut sessions = config.registry();
    // What bounds clients has nothing to do with us.
    sessions.session.lifetime = None;
    let registry = Registry::new(backend, [template], sessions, Metrics::default());
    let place = cell::Sessions { registry: &registry, template: &wanted, longest: AREA };
    let probed = carry_out(&place, &setting, &enforcement).await;
    // Sandboxes go whatever came of it, and before we do.
    registry.shutdown(Duration::ZERO).await;
    let findings = probed.with_context(|| format!("cannot probe {name}"))?;
    let (label, reasons) = label::assess(kernel, &enforcement, &findings);
    let duration_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(Probed { backend: name, label, reasons, findings, duration_ms })
}

/// Limits that are reached within seconds, and never above those in force.
pub fn small(limits: &Limits) -> Limits {
    Limits {
        memory_bytes: limits.memory_bytes.min(256 << 20), // 256 MiB
        cpu_millis: limits.cpu_millis.min(500),
        processes: limits.processes.min(48),
        open_files: limits.open_files.min(256),
        programs: limits.programs,
        disk_bytes: limits.disk_bytes.min(16 << 20), // 16 MiB
        disk_inodes: limits.disk_inodes.min(500),
        timeout: None,
        output_bytes: None,
        output_kept_bytes: 0,
        interrupt_grace: limits.interrupt_grace,
    }
}

/// Carries out every check in rooms of a place.
///
/// # Errors
/// If no bait can be laid out, or a room not be had.
pub async fn carry_out(
    place: &dyn Place,
    setting: &Setting,
    enforcement: &[Enforcement],
) -> Result<Vec<Finding>> {
    let mut bait = Bait::lay(setting)?;
    let mut neighbour = place.enter().await?;
    let told = neighbour.run(&checks::neighbour(&bait)?).await?;
    let numbers = told.stdout.trim().split_once(' ');
    let numbers = numbers.and_then(|(port, user)| Some((port.parse().ok()?, user.parse().ok()?)));
    (bait.neighbour_port, bait.neighbour_user) =
        numbers.with_context(|| format!("the neighbour says {:?}", told.stdout + &told.error))?;
    let mut findings = Vec::new();
    for area in checks::AREAS {
        let mut been = Vec::new();
        while !area.is_done(&been) {
            let mut room = place.enter().await?;
            let told = room.run(&area.code(&bait, &been)?).await?;
            room.leave().await;
            let now = area.findings(&told, enforcement);
            let rest = if now.is_empty() { area.rest(&been, &told) } else { Vec::new() };
            been.extend(now.into_iter().chain(rest));
        }
        findings.append(&mut been);
    }
    neighbour.leave().await;
    Ok(findings)
}

/// Where checks are carried out.
pub trait Place: Sync {
    /// A new room, which shares nothing with others that it should not.
    fn enter(&self) -> BoxFuture<'_, Result<Box<dyn Room>>>;
}

/// An interpreter in its surroundings.
pub trait Room: Send {
    /// Runs Python code there. What it started lives on until [`Room::leave`].
    fn run<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Told>>;

    /// Ends it.
    fn leave(self: Box<Self>) -> BoxFuture<'static, ()>;
}

/// What code that ran came to.
#[derive(Debug, Default)]
pub struct Told {
    /// What it printed.
    pub stdout: String,
    /// What it said in other ways: its traceback, and the sentence of its end.
    pub error: String,
    /// As in `done`.
    pub status: String,
}

/// What a check has to know of where it runs.
#[derive(Debug)]
pub struct Setting {
    /// `docker` or `local`.
    pub backend: &'static str,
    /// Whether the kernel is gVisor's.
    pub gvisor: bool,
    /// The directory that code may write in.
    pub workdir: PathBuf,
    /// Where the gateway keeps its sockets.
    pub runtime_dir: PathBuf,
    /// Each check in a process of its own: where nothing is refused, one would disturb the next.
    pub apart: bool,
    /// What is in force.
    pub limits: Limits,
}

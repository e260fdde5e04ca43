//! `cellgate doctor`: which protections this machine enforces, which backend a gateway would use,
//! and what to do about each shortfall. With `--probe` it also runs checks inside sandboxes: see
//! [`probe`].

use std::fmt::Write;

use serde::Serialize;

use anyhow::Result;

use crate::backends::{self, Examined};
use crate::config::{BackendChoice, Config, DEFAULT_TEMPLATE, Loaded, Problem};
use crate::sandbox::{BackendKind, Enforcement, EnforcementState, LanguageFound};
use crate::startup::{self, Purpose, Refusal, WeakLimits};

pub mod probe;

use probe::Probed;

/// Everything the doctor found.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    backends: Vec<BackendFinding>,
    /// The backend a gateway would use; `None`: it could not start.
    chosen: Option<&'static str>,
    reason: String,
    /// What it would do without, and why it may.
    weak_limits: Option<WeakLimits>,
    /// What keeps a gateway with these settings from starting.
    problems: Vec<Wrong>,
    /// Whether other settings would mend it.
    #[serde(skip)]
    of_settings: bool,
    /// What each usable backend looks like from inside, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    probed: Option<Vec<Probed>>,
}

#[derive(Debug, Serialize)]
struct BackendFinding {
    name: &'static str,
    usable: bool,
    /// Why it is not.
    problem: Option<String>,
    protections: Vec<ProtectionFinding>,
    /// What cells of the default template could be written in.
    languages: Vec<LanguageFinding>,
}

/// A language and its interpreter.
#[derive(Debug, Serialize)]
struct LanguageFinding {
    name: &'static str,
    /// Where it is, and its version.
    interpreter: Option<String>,
    /// What would give it one.
    remedy: Option<String>,
}

impl From<LanguageFound> for LanguageFinding {
    fn from(LanguageFound { name, interpreter }: LanguageFound) -> LanguageFinding {
        match interpreter {
            Ok(interpreter) => {
                LanguageFinding { name, interpreter: Some(interpreter), remedy: None }
            }
            Err(remedy) => LanguageFinding { name, interpreter: None, remedy: Some(remedy) },
        }
    }
}

/// A problem, and the setting to look at.
#[derive(Debug, Serialize)]
struct Wrong {
    /// The setting's key; `None`: the machine is at fault.
    key: Option<String>,
    /// Where it was set: `flag --python`, `cellgate.toml:3`.
    source: Option<String>,
    message: String,
    /// As `serve` would say it.
    #[serde(skip)]
    line: String,
}

impl From<Problem> for Wrong {
    fn from(problem: Problem) -> Wrong {
        let line = problem.to_string();
        let source = problem.key.is_some().then(|| problem.source.to_string());
        Wrong { key: problem.key, source, message: problem.message, line }
    }
}

#[derive(Debug, Serialize)]
struct ProtectionFinding {
    what: &'static str,
    state: &'static str,
    detail: String,
    remedy: Option<String>,
}

impl Diagnosis {
    /// Whether a gateway with these settings could work.
    pub fn can_serve(&self) -> bool {
        self.chosen.is_some()
    }

    /// Whether it could not for what the settings say, or name.
    pub fn has_wrong_settings(&self) -> bool {
        self.of_settings
    }

    /// Whether every check of the probe that must hold did; without a probe nothing is known to
    /// be wrong.
    pub fn holds(&self) -> bool {
        self.probed.as_ref().is_none_or(|probed| probed.iter().all(Probed::holds))
    }
}

/// Looks at everything; with `inside` from inside of sandboxes too.
///
/// # Errors
/// Without `inside`, none. With it, if a backend that looks usable gives no session.
pub async fn examine(loaded: &Loaded, inside: bool) -> Result<Diagnosis> {
    let config = &loaded.config;
    let mut findings = Vec::new();
    let examined = backends::examine(config).await;
    for found in &examined {
        let enforcement = found.backend.as_ref().map(|backend| backend.enforcement());
        let usable = found.problems.is_empty();
        let languages = match (&found.backend, config.template(DEFAULT_TEMPLATE)) {
            (Some(backend), Some(template)) => backend.languages(template).await,
            _ => Vec::new(),
        };
        findings.push(BackendFinding {
            name: found.kind.name(),
            usable,
            problem: (!usable).then(|| found.text()),
            protections: enforcement.into_iter().flatten().map(ProtectionFinding::from).collect(),
            languages: languages.into_iter().map(LanguageFinding::from).collect(),
        });
    }
    let verdict = verdict(loaded, &examined);
    let (chosen, reason, weak_limits, refusal) = match verdict {
        Ok((kind, reason, weak)) => (Some(kind.name()), reason, weak, Refusal(Vec::new())),
        Err(refusal) => (None, refusal.text(), None, refusal),
    };
    let of_settings = refusal.is_of_settings();
    let problems = refusal.0.into_iter().map(Wrong::from).collect();
    let probed = if inside { Some(look_inside(config, examined).await?) } else { None };
    Ok(Diagnosis { backends: findings, chosen, reason, weak_limits, problems, of_settings, probed })
}

/// What a gateway with these settings would use, or why it would not start.
fn verdict(
    loaded: &Loaded,
    examined: &[Examined],
) -> Result<(BackendKind, String, Option<WeakLimits>), Refusal> {
    let files = startup::files(loaded);
    if !files.is_empty() {
        return Err(Refusal(files));
    }
    let (kind, reason) = backends::would_choose(loaded.config.sandbox.backend, examined)
        .map_err(|refused| startup::unusable(loaded, &refused))?;
    let chosen = examined.iter().find(|one| one.kind == kind);
    let backend = chosen.and_then(|one| one.backend.as_ref());
    let enforcement = backend.map(|backend| backend.enforcement()).unwrap_or_default();
    let weak = startup::weak_limits(loaded, &enforcement, Purpose::Serve)?;
    Ok((kind, reason, weak))
}

/// Probes every usable backend that the settings allow, and gVisor where the engine has it.
async fn look_inside(config: &Config, examined: Vec<Examined>) -> Result<Vec<Probed>> {
    let mut probed = Vec::new();
    let allowed = |kind| match config.sandbox.backend {
        BackendChoice::Auto => true,
        BackendChoice::Docker => kind == BackendKind::Docker,
        BackendChoice::Local => kind == BackendKind::Local,
    };
    for Examined { kind, backend, problems } in examined {
        let Some(backend) = backend.filter(|_| problems.is_empty() && allowed(kind)) else {
            continue;
        };
        probed.push(probe::probe(config, backend).await?);
        if kind == BackendKind::Docker
            && config.docker.runtime.is_none()
            && let Some(backend) = backends::gvisor(config).await
        {
            probed.push(probe::probe(config, backend).await?);
        }
    }
    Ok(probed)
}

impl From<Enforcement> for ProtectionFinding {
    fn from(enforcement: Enforcement) -> ProtectionFinding {
        let what = enforcement.name;
        let (state, detail, remedy) = match enforcement.state {
            EnforcementState::Full(by) => ("full", by, None),
            EnforcementState::Partial { by, remedy } => ("partial", by, Some(remedy)),
            EnforcementState::Missing { why, remedy } => ("missing", why, Some(remedy)),
        };
        ProtectionFinding { what, state, detail, remedy }
    }
}

/// For people.
pub fn tell(diagnosis: &Diagnosis) -> String {
    let mut text = String::new();
    for backend in &diagnosis.backends {
        let state = if backend.usable { "usable" } else { "not usable" };
        // Writing to a String cannot fail.
        writeln!(text, "backend {}: {state}", backend.name).ok();
        if let Some(problem) = &backend.problem {
            writeln!(text, "  {problem}").ok();
        }
        let width = backend.protections.iter().map(|one| one.what.len()).max().unwrap_or(0);
        for ProtectionFinding { what, state, detail, remedy } in &backend.protections {
            writeln!(text, "  {state:<8} {what:<width$}  {detail}").ok();
            if let Some(remedy) = remedy {
                writeln!(text, "  {:<8} {:<width$}  → {remedy}", "", "").ok();
            }
        }
        for LanguageFinding { name, interpreter, remedy } in &backend.languages {
            let state = if interpreter.is_some() { "there" } else { "missing" };
            let what = interpreter.as_ref().or(remedy.as_ref()).map_or("", String::as_str);
            writeln!(text, "  {state:<8} {:<width$}  {what}", format!("cells in {name}")).ok();
        }
        text.push('\n');
    }
    match diagnosis.chosen {
        Some(chosen) => {
            writeln!(text, "cellgate would use {chosen}: {}", diagnosis.reason).ok();
            if let Some(WeakLimits { missing, allowed }) = &diagnosis.weak_limits {
                let missing = missing.join(" and no ");
                writeln!(text, "  with no {missing}, which is allowed because {allowed}").ok();
            }
        }
        None => {
            text.push_str("cellgate could not start: ");
            let lines: Vec<&str> = diagnosis.problems.iter().map(|one| one.line.as_str()).collect();
            writeln!(text, "{}", lines.join("\n  ")).ok();
        }
    }
    for probed in diagnosis.probed.iter().flatten() {
        text.push('\n');
        text.push_str(&probe::tell(probed));
    }
    text
}

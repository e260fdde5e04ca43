//! `cellgate doctor`: what this machine can enforce, which backend would be used, and what to do
//! about each shortfall. With `--probe` it also looks from inside: see [`probe`].

use std::fmt::Write;

use serde::Serialize;

use anyhow::Result;

use crate::backends::{self, Examined};
use crate::config::{BackendChoice, Config};
use crate::error::Chain;
use crate::sandbox::{BackendKind, Enforcement, EnforcementState};

pub mod probe;

use probe::Probed;

/// Everything the doctor found.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    backends: Vec<BackendFinding>,
    /// The backend a gateway would use; `None`: it could not start.
    chosen: Option<&'static str>,
    reason: String,
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
    protections: Vec<Protection>,
}

#[derive(Debug, Serialize)]
struct Protection {
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
pub async fn examine(config: &Config, inside: bool) -> Result<Diagnosis> {
    let mut findings = Vec::new();
    let examined = backends::examine(config).await;
    for Examined { kind, backend, problem } in &examined {
        let enforcement = backend.as_ref().map(|backend| backend.enforcement());
        findings.push(BackendFinding {
            name: kind.name(),
            usable: problem.is_none(),
            problem: problem.as_ref().map(|error| Chain(error).to_string()),
            protections: enforcement.into_iter().flatten().map(Protection::from).collect(),
        });
    }
    let wanted = config.sandbox.backend;
    let (chosen, reason) = match backends::would_choose(wanted, &examined) {
        Ok(kind) if wanted == BackendChoice::Auto && kind == BackendKind::Local => {
            (Some(kind.name()), "docker, which comes first, is not usable".to_owned())
        }
        Ok(kind) if wanted == BackendChoice::Auto => {
            (Some(kind.name()), "an engine and the templates' images are there".to_owned())
        }
        Ok(kind) => (Some(kind.name()), "the settings say so".to_owned()),
        Err(problem) => (None, problem),
    };
    let probed = if inside { Some(look_inside(config, examined).await?) } else { None };
    Ok(Diagnosis { backends: findings, chosen, reason, probed })
}

/// Probes every usable backend that the settings allow, and gVisor where the engine has it.
async fn look_inside(config: &Config, examined: Vec<Examined>) -> Result<Vec<Probed>> {
    let mut probed = Vec::new();
    let allowed = |kind| match config.sandbox.backend {
        BackendChoice::Auto => true,
        BackendChoice::Docker => kind == BackendKind::Docker,
        BackendChoice::Local => kind == BackendKind::Local,
    };
    for Examined { kind, backend, problem } in examined {
        let Some(backend) = backend.filter(|_| problem.is_none() && allowed(kind)) else {
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

impl From<Enforcement> for Protection {
    fn from(enforcement: Enforcement) -> Protection {
        let what = enforcement.what;
        let (state, detail, remedy) = match enforcement.state {
            EnforcementState::Full(by) => ("full", by, None),
            EnforcementState::Partial { by, remedy } => ("partial", by, Some(remedy)),
            EnforcementState::Missing { why, remedy } => ("missing", why, Some(remedy)),
        };
        Protection { what, state, detail, remedy }
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
        for Protection { what, state, detail, remedy } in &backend.protections {
            writeln!(text, "  {state:<8} {what:<width$}  {detail}").ok();
            if let Some(remedy) = remedy {
                writeln!(text, "  {:<8} {:<width$}  → {remedy}", "", "").ok();
            }
        }
        text.push('\n');
    }
    match diagnosis.chosen {
        Some(chosen) => writeln!(text, "cellgate would use {chosen}: {}", diagnosis.reason).ok(),
        None => writeln!(text, "cellgate could not start: {}", diagnosis.reason).ok(),
    };
    for probed in diagnosis.probed.iter().flatten() {
        text.push('\n');
        text.push_str(&probe::tell(probed));
    }
    text
}

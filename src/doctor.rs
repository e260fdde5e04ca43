//! `cellgate doctor`: what this machine can enforce, which backend would be used, and what to do
//! about each shortfall.

use std::fmt::Write;

use serde::Serialize;

use crate::backends::{self, Chosen, Examined};
use crate::config::Config;
use crate::error::Chain;
use crate::sandbox::{Enforcement, EnforcementState};

/// Everything the doctor found.
#[derive(Debug, Serialize)]
pub struct Diagnosis {
    backends: Vec<BackendFinding>,
    /// The backend a gateway would use; `None`: it could not start.
    chosen: Option<&'static str>,
    reason: String,
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
}

/// Looks at everything. Makes no sandbox.
pub async fn examine(config: &Config) -> Diagnosis {
    let mut findings = Vec::new();
    for Examined { kind, state } in backends::examine(config).await {
        let (problem, protections) = match &state {
            Ok((backend, usable)) => {
                let problem = usable.as_ref().err().map(|error| Chain(error).to_string());
                (problem, backend.enforcement().into_iter().map(Protection::from).collect())
            }
            Err(error) => (Some(Chain(error).to_string()), Vec::new()),
        };
        let usable = problem.is_none();
        findings.push(BackendFinding { name: kind.name(), usable, problem, protections });
    }
    let (chosen, reason) = match backends::choose(config).await {
        Ok(Chosen { backend, reason }) => match backend.check().await {
            Ok(()) => (Some(backend.kind().name()), reason),
            Err(error) => (None, Chain(&error).to_string()),
        },
        Err(error) => (None, Chain(&error).to_string()),
    };
    Diagnosis { backends: findings, chosen, reason }
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
    text
}

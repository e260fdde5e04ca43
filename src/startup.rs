//! The checks before a gateway starts: files and directories that the settings name must exist, and
//! a backend must be able to make sandboxes of every template. Each failure becomes a problem of
//! the setting that asks for it, with the place where the setting was made.

use std::path::Path;

use crate::backends::{self, Chosen, Examined};
use crate::config::{BackendChoice, Loaded, Problem, Source};
use crate::error::Chain;
use crate::language::Language;
use crate::sandbox::{Enforcement, EnforcementState, SandboxError, missing_limits};

/// The variable that names the engine where no setting does.
const ENGINE_VARIABLE: &str = "DOCKER_HOST";

/// Why nothing can be started; never empty.
#[derive(Debug)]
pub struct Refusal(pub Vec<Problem>);

impl Refusal {
    /// Whether other settings, or the files they name, would solve it; else the machine is at
    /// fault.
    pub fn is_of_settings(&self) -> bool {
        self.0.iter().any(|problem| problem.key.is_some())
    }

    /// The problems, one a line.
    pub fn text(&self) -> String {
        self.0.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n")
    }
}

/// What a backend is wanted for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To serve clients.
    Serve,
    /// To run one file of the user's own.
    Run,
    /// To run the code of an agent for the user who started it.
    Agent,
}

/// Limits without which one session can use up the machine, and why sandboxes are made all the
/// same.
#[derive(Debug, serde::Serialize)]
pub struct WeakLimits {
    /// `memory limit`, `CPU limit`.
    pub missing: Vec<&'static str>,
    /// Completes "they are not needed because".
    pub allowed: &'static str,
}

/// Chooses a backend for these settings.
pub async fn choose(
    loaded: &Loaded,
    purpose: Purpose,
) -> Result<(Chosen, Option<WeakLimits>), Refusal> {
    let problems = files(loaded);
    if !problems.is_empty() {
        return Err(Refusal(problems));
    }
    let refused = match backends::choose(&loaded.config).await {
        Ok(chosen) => {
            let weak = weak_limits(loaded, &chosen.backend.enforcement(), purpose)?;
            return Ok((chosen, weak));
        }
        Err(refused) => refused,
    };
    Err(unusable(loaded, &refused.iter().collect::<Vec<_>>()))
}

/// Which vital limits a backend does not have, if sandboxes may be made without them.
///
/// A gateway that others may reach has to limit what they take. On a loopback address, with a token
/// that is printed in its own output alone and no publishable key, it serves the person who started
/// it.
pub fn weak_limits(
    loaded: &Loaded,
    enforcement: &[Enforcement],
    purpose: Purpose,
) -> Result<Option<WeakLimits>, Refusal> {
    let entries = missing_limits(enforcement);
    if entries.is_empty() {
        return Ok(None);
    }
    let config = &loaded.config;
    let missing: Vec<&'static str> = entries.iter().map(|entry| entry.name).collect();
    let is_local = config.listen.address.ip().to_canonical().is_loopback();
    let own = is_local && config.makes_token() && config.keys.is_empty();
    let allowed = match purpose {
        _ if config.sandbox.allow_weak_limits => "the setting allow_weak_limits says so",
        Purpose::Run => "the file is run by the one who wrote the command",
        Purpose::Agent => "the agent works for the one who started it, on this machine",
        Purpose::Serve if own => {
            "the gateway listens on a loopback address alone, with the random token of its start"
        }
        Purpose::Serve => {
            let message = unlimited(&missing, &entries);
            return Err(Refusal(vec![loaded.problem(None, "allow_weak_limits", message)]));
        }
    };
    Ok(Some(WeakLimits { missing, allowed }))
}

/// What is missing, and the ways out.
fn unlimited(missing: &[&str], entries: &[&Enforcement]) -> String {
    let mut reasons: Vec<&str> = Vec::new();
    let mut remedies: Vec<&str> = Vec::new();
    for entry in entries {
        let EnforcementState::Missing { why, remedy } = &entry.state else { continue };
        if !reasons.iter().any(|known| known.contains(why.as_str())) {
            reasons.push(why);
        }
        if !remedies.contains(&remedy.as_str()) {
            remedies.push(remedy);
        }
    }
    format!(
        "this machine gives no {} ({}), so that one session could take all of it from all \
         others; {}; or say that it may be so with --allow-weak-limits; a gateway that listens on a \
         loopback address, with the random token of its start and without publishable keys, needs \
         none of this",
        missing.join(" and no "),
        reasons.join("; "),
        remedies.join("; "),
    )
}

/// What keeps the backends that were looked at from being used.
pub fn unusable(loaded: &Loaded, refused: &[&Examined]) -> Refusal {
    let auto = loaded.config.sandbox.backend == BackendChoice::Auto;
    let mut problems = Vec::new();
    // With `auto`, the backend tried last is the one that is easier to get to work.
    for (number, found) in refused.iter().rev().enumerate() {
        if auto && number > 0 {
            let message = format!(
                "{}, which comes first, is not usable either: {}",
                found.kind,
                found.text()
            );
            problems.push(loaded.problem(None, "backend", message));
            continue;
        }
        for problem in found.problems.iter().map(|error| problem(loaded, error)) {
            // Templates share what they do not set themselves.
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        }
    }
    Refusal(problems)
}

/// The problem behind an error of a backend.
fn problem(loaded: &Loaded, error: &SandboxError) -> Problem {
    match error {
        SandboxError::Template { template, setting, what } => {
            loaded.problem(Some(template), setting, what.clone())
        }
        SandboxError::Setting { setting, what } => {
            let mut problem = loaded.problem(None, setting, what.clone());
            let by_variable = *setting == "docker.host"
                && problem.source == Source::Default
                && std::env::var_os(ENGINE_VARIABLE).is_some_and(|value| !value.is_empty());
            if by_variable {
                problem.source = Source::Environment(ENGINE_VARIABLE.to_owned());
            }
            problem
        }
        other => Problem { source: Source::Default, key: None, message: Chain(other).to_string() },
    }
}

/// Problems of settings that name files and directories, whichever backend is used.
pub fn files(loaded: &Loaded) -> Vec<Problem> {
    let mut problems: Vec<Problem> = Vec::new();
    for template in &loaded.config.templates {
        let mut check = |key: &str, wrong: Option<String>| {
            let Some(message) = wrong else { return };
            let problem = loaded.problem(Some(&template.name), key, message);
            if !problems.contains(&problem) {
                problems.push(problem);
            }
        };
        match (&template.root, template.interpreter()) {
            // Its interpreter is a path inside of it, which the backend looks for.
            (Some(root), _) => check("root", no_directory(root)),
            (None, Some(path)) => {
                check(template.language.host.setting, no_file(path, template.language))
            }
            (None, None) => {}
        }
    }
    problems.extend(log_directory(loaded));
    problems
}

fn no_file(path: &Path, language: &Language) -> Option<String> {
    let shown = path.display();
    let advice = format!(
        "name an interpreter, {}, or leave the setting out and have one found",
        language.wanted()
    );
    match path.metadata() {
        Ok(found) if found.is_dir() => Some(format!("{shown} is a directory: {advice}")),
        Ok(_) => None,
        Err(error) => Some(format!("{shown}: {error}; {advice}")),
    }
}

fn no_directory(path: &Path) -> Option<String> {
    let shown = path.display();
    match path.metadata() {
        Ok(found) if found.is_dir() => None,
        Ok(_) => Some(format!("{shown} is not a directory")),
        Err(error) => Some(format!("{shown}: {error}; name a directory that is there")),
    }
}

/// A directory that was set and in which no output can be kept. The usual one may be missing, as in
/// a container that is read-only: then sessions keep in memory what they can.
fn log_directory(loaded: &Loaded) -> Option<Problem> {
    const KEY: &str = "session.log_directory";
    if *loaded.source(KEY) == Source::Default {
        return None;
    }
    let directory = &loaded.config.registry.session.log_directory;
    // As sessions do it: a file without a name.
    let wrong = no_directory(directory).or_else(|| {
        let error = tempfile::tempfile_in(directory).err()?;
        let shown = directory.display();
        Some(format!(
            "no file can be made in {shown} by this user: {error}; name another directory"
        ))
    });
    wrong.map(|message| loaded.problem(None, KEY, message))
}

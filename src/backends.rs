//! Makes the backends and chooses the one that a gateway uses.

use std::sync::Arc;

use crate::config::{BackendChoice, Config};
use crate::error::Chain;
use crate::sandbox::docker::{DockerBackend, DockerConfig};
use crate::sandbox::local::{LocalBackend, LocalConfig};
use crate::sandbox::{Backend, BackendKind, SandboxError};

/// A backend and why it is this one.
pub struct Chosen {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// A sentence for the start-up log.
    pub reason: String,
}

/// One backend, and whether it is usable.
pub struct Examined {
    /// Which.
    pub kind: BackendKind,
    /// The backend, if it could be reached.
    pub backend: Option<Arc<dyn Backend>>,
    /// Why it could not, or cannot make sandboxes of every template. Empty: it is usable.
    pub problems: Vec<SandboxError>,
}

impl Examined {
    /// The problems in one line.
    pub fn text(&self) -> String {
        self.problems.iter().map(|error| Chain(error).to_string()).collect::<Vec<_>>().join("; ")
    }
}

/// Returns the backend that the settings name, after checking that it can make sandboxes of every
/// template. `auto` means Docker if an engine and every template's image exist, else local.
///
/// # Errors
/// The backends that were examined, in that order, if none is usable.
pub async fn choose(config: &Config) -> Result<Chosen, Vec<Examined>> {
    let mut refused = Vec::new();
    for kind in order(config.sandbox.backend) {
        let found = examine_one(*kind, config).await;
        match found.backend {
            Some(backend) if found.problems.is_empty() => {
                let reason = reason(config.sandbox.backend, *kind, refused.first());
                return Ok(Chosen { backend, reason });
            }
            backend => refused.push(Examined { backend, ..found }),
        }
    }
    Err(refused)
}

/// The backend that [`choose`] would return, and why; or those that it would examine in vain.
pub fn would_choose(
    wanted: BackendChoice,
    examined: &[Examined],
) -> Result<(BackendKind, String), Vec<&Examined>> {
    let mut refused = Vec::new();
    for kind in order(wanted) {
        let Some(found) = examined.iter().find(|one| one.kind == *kind) else { continue };
        if found.problems.is_empty() {
            return Ok((*kind, reason(wanted, *kind, refused.first().copied())));
        }
        refused.push(found);
    }
    Err(refused)
}

/// The backends that a choice allows, the preferred one first.
fn order(wanted: BackendChoice) -> &'static [BackendKind] {
    match wanted {
        BackendChoice::Docker => &[BackendKind::Docker],
        BackendChoice::Local => &[BackendKind::Local],
        BackendChoice::Auto => &[BackendKind::Docker, BackendKind::Local],
    }
}

fn reason(wanted: BackendChoice, taken: BackendKind, refused: Option<&Examined>) -> String {
    match (wanted, taken, refused) {
        (BackendChoice::Auto, BackendKind::Docker, _) => {
            "an engine and the templates' images are there".to_owned()
        }
        (BackendChoice::Auto, BackendKind::Local, Some(docker)) => {
            format!("docker, which comes first, is not usable: {}", docker.text())
        }
        _ => "the settings say so".to_owned(),
    }
}

/// Examines every backend, whatever the settings choose.
pub async fn examine(config: &Config) -> Vec<Examined> {
    vec![
        examine_one(BackendKind::Docker, config).await,
        examine_one(BackendKind::Local, config).await,
    ]
}

async fn examine_one(kind: BackendKind, config: &Config) -> Examined {
    let reached = match kind {
        BackendKind::Docker => docker(config).await,
        BackendKind::Local => local(config).await,
    };
    let backend = match reached {
        Ok(backend) => backend,
        Err(error) => return Examined { kind, backend: None, problems: vec![error] },
    };
    let mut problems = Vec::new();
    for template in &config.templates {
        problems.extend(backend.check_template(template).await.err());
    }
    // Docker's own check covers images too and would report a missing one twice.
    if problems.is_empty() || kind == BackendKind::Local {
        problems.extend(backend.check().await.err());
    }
    Examined { kind, backend: Some(backend), problems }
}

/// Docker with the runtime `runsc`, if the engine has it and it is not what [`examine`] found.
pub async fn gvisor(config: &Config) -> Option<Arc<dyn Backend>> {
    let mut config = config.clone();
    config.docker.runtime = Some("runsc".to_owned());
    // An engine without `runsc` gives an error, and then there is no such backend.
    let backend = docker(&config).await.ok()?;
    backend.check().await.ok().map(|()| backend)
}

async fn docker(config: &Config) -> Result<Arc<dyn Backend>, SandboxError> {
    let backend = DockerBackend::connect(DockerConfig {
        runtime_dir: config.sandbox.runtime_dir.join("docker"),
        images: config.templates.iter().map(|template| template.image.clone()).collect(),
        ..config.docker.clone()
    });
    Ok(Arc::new(backend.await?))
}

async fn local(config: &Config) -> Result<Arc<dyn Backend>, SandboxError> {
    let runtime_dir = config.sandbox.runtime_dir.join("local");
    Ok(Arc::new(LocalBackend::new(LocalConfig { runtime_dir }).await?))
}

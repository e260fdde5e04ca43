//! Which backends there are, and which one a gateway uses.

use std::sync::Arc;

use crate::config::{BackendChoice, Config, DataPath};
use crate::error::Chain;
use crate::sandbox::docker::{self, DockerBackend};
use crate::sandbox::local::{LocalBackend, LocalConfig};
use crate::sandbox::{Backend, BackendKind, SandboxError};

/// A backend and why it is this one.
pub struct Chosen {
    /// The backend.
    pub backend: Arc<dyn Backend>,
    /// A sentence for the start-up log.
    pub reason: String,
}

/// One backend as the doctor finds it.
pub struct Examined {
    /// Which.
    pub kind: BackendKind,
    /// The backend, if it could be reached.
    pub backend: Option<Arc<dyn Backend>>,
    /// Why it could not, or cannot make sandboxes of every template.
    pub problem: Option<SandboxError>,
}

/// Takes the backend the settings name. `auto` takes Docker when an engine and every template's
/// image are there, else local.
pub async fn choose(config: &Config) -> Result<Chosen, SandboxError> {
    let chosen = |backend, reason: &str| Ok(Chosen { backend, reason: reason.to_owned() });
    match config.sandbox.backend {
        BackendChoice::Docker => chosen(docker(config).await?, "the settings say so"),
        BackendChoice::Local => chosen(local(config).await?, "the settings say so"),
        BackendChoice::Auto => {
            let docker = match docker(config).await {
                Ok(backend) => backend.check().await.map(|()| backend),
                Err(error) => Err(error),
            };
            match docker {
                Ok(backend) => chosen(backend, "an engine and the templates' images are there"),
                Err(error) => {
                    let reason = format!("docker is not to be had: {}", Chain(&error));
                    chosen(local(config).await?, &reason)
                }
            }
        }
    }
}

/// What [`choose`] would take of these, and why.
pub fn would_choose(wanted: BackendChoice, examined: &[Examined]) -> Result<BackendKind, String> {
    let problem = |kind| {
        let of_kind = examined.iter().find(|one| one.kind == kind);
        of_kind.and_then(|one| one.problem.as_ref()).map(|error| Chain(error).to_string())
    };
    let order: &[BackendKind] = match wanted {
        BackendChoice::Docker => &[BackendKind::Docker],
        BackendChoice::Local => &[BackendKind::Local],
        BackendChoice::Auto => &[BackendKind::Docker, BackendKind::Local],
    };
    let mut why = String::new();
    for kind in order {
        match problem(*kind) {
            None => return Ok(*kind),
            Some(problem) => why = problem,
        }
    }
    Err(why)
}

/// Looks at every backend there is, whatever the settings choose.
pub async fn examine(config: &Config) -> Vec<Examined> {
    let mut examined = Vec::new();
    for (kind, reached) in
        [(BackendKind::Docker, docker(config).await), (BackendKind::Local, local(config).await)]
    {
        examined.push(match reached {
            Ok(backend) => {
                let problem = backend.check().await.err();
                Examined { kind, backend: Some(backend), problem }
            }
            Err(error) => Examined { kind, backend: None, problem: Some(error) },
        });
    }
    examined
}

/// Docker with the runtime `runsc`, if the engine has it and it is not what [`examine`] found.
pub async fn gvisor(config: &Config) -> Option<Arc<dyn Backend>> {
    let mut config = config.clone();
    config.docker.runtime = Some("runsc".to_owned());
    // An engine without it says so, and then there is nothing to look at.
    let backend = docker(&config).await.ok()?;
    backend.check().await.ok().map(|()| backend)
}

async fn docker(config: &Config) -> Result<Arc<dyn Backend>, SandboxError> {
    let backend = DockerBackend::connect(docker::DockerConfig {
        host: config.docker.host.clone(),
        runtime: config.docker.runtime.clone(),
        runtime_dir: config.sandbox.runtime_dir.join("docker"),
        data_path: match config.docker.data_path {
            DataPath::Auto => docker::DataPath::Auto,
            DataPath::Socket => docker::DataPath::Socket,
            DataPath::Stdio => docker::DataPath::Stdio,
        },
        images: config.templates.iter().map(|template| template.image.clone()).collect(),
        ..docker::DockerConfig::default()
    });
    Ok(Arc::new(backend.await?))
}

async fn local(config: &Config) -> Result<Arc<dyn Backend>, SandboxError> {
    let runtime_dir = Some(config.sandbox.runtime_dir.join("local"));
    Ok(Arc::new(LocalBackend::new(LocalConfig { runtime_dir }).await?))
}

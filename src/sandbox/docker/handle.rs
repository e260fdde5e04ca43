//! Power over one container.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::engine::call;
use super::fates::FateWatch;
use super::reaper::Known;
use super::stdio::Scissors;
use super::users::User;
use super::volume::VolumeUse;
use super::{SandboxHandle, Shared};
use crate::sandbox::EndCause;

/// How long the engine may take to report an end, and then to say whether it is there at all.
const REPORT: Duration = Duration::from_millis(1000);
const ANSWER: Duration = Duration::from_millis(800);
/// How long whoever ends a sandbox waits for it; a removal takes a tenth of a second.
const REMOVAL: Duration = Duration::from_secs(15);

/// Ends the container when it is dropped, from before the engine is asked to make it.
pub(super) struct DockerHandle {
    shared: Arc<Shared>,
    name: String,
    memory_limit: u64,
    pub(super) fate: FateWatch,
    /// `None`: nothing of it is or can come to be on the engine.
    pub(super) known: Option<Known>,
    /// Cuts the attached stdio first, or ending would wait for its reader.
    pub(super) scissors: Option<Scissors>,
    pub(super) volume: Option<VolumeUse>,
    /// The container's own; nobody else gets it before.
    _user: User,
}

impl DockerHandle {
    pub(super) fn new(
        shared: Arc<Shared>,
        name: String,
        memory_limit: u64,
        user: User,
    ) -> DockerHandle {
        let fate = shared.fates.watch(&name);
        DockerHandle {
            shared,
            name,
            memory_limit,
            fate,
            known: None,
            scissors: None,
            volume: None,
            _user: user,
        }
    }

    /// The container's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Asks the engine, which reported no end, what it knows.
    async fn inquire(&self) -> EndCause {
        let inspection = self.shared.engine.client.inspect_container(&self.name, None);
        match call(format!("inspect container {}", self.name), ANSWER, inspection).await {
            Ok(found) => match found.state {
                Some(state) if state.oom_killed == Some(true) => {
                    EndCause::OutOfMemory { limit_bytes: self.memory_limit }
                }
                Some(state) if state.running == Some(false) => {
                    EndCause::Supervisor(state.exit_code.unwrap_or(-1) as i32)
                }
                _ => EndCause::Unknown,
            },
            Err(error) if error.status() == Some(404) => {
                EndCause::Removed("the container was removed from outside".into())
            }
            Err(error) if error.status().is_some() => EndCause::Unknown,
            Err(error) => EndCause::BackendGone(error.to_string()),
        }
    }
}

impl SandboxHandle for DockerHandle {
    fn ended(&mut self) -> BoxFuture<'_, ()> {
        // Of a container whose attached stdio is not read the engine tells it only when it is.
        Box::pin(self.fate.ended())
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        Box::pin(async move {
            let reported = self.fate.cause(self.memory_limit);
            match tokio::time::timeout(REPORT, reported).await {
                Ok(cause) => cause,
                Err(_) => self.inquire().await,
            }
        })
    }

    fn end(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(scissors) = &self.scissors {
                scissors.cut();
            }
            // While this future lives the handle does: dropped half-way, or out of time, its Drop
            // leaves the rest to the reaper.
            if let Some(known) = self.known {
                let reaper = self.shared.reaper.clone();
                let removal = reaper.remove(&self.name, known);
                if tokio::time::timeout(REMOVAL, removal).await.is_ok() {
                    self.known = None;
                }
            }
        })
    }
}

impl Drop for DockerHandle {
    fn drop(&mut self) {
        if let Some(scissors) = &self.scissors {
            scissors.cut();
        }
        if let Some(known) = self.known {
            self.shared.reaper.begin_removal(std::mem::take(&mut self.name), known);
        }
    }
}

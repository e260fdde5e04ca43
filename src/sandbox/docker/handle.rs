//! The handle of one container: waits for its end, explains it, and ends it.

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;

use super::engine::call;
use super::exits::ExitWatch;
use super::removal::Creation;
use super::stdio::AttachCloser;
use super::user_ids::UserId;
use super::volume::VolumeUse;
use super::{Context, SandboxHandle};
use crate::sandbox::EndCause;

/// How long the engine may take to report an end, and then to answer an inspection.
const EXIT_EVENT_TIMEOUT: Duration = Duration::from_millis(1000);
const INSPECT_TIMEOUT: Duration = Duration::from_millis(800);
/// How long [`SandboxHandle::end`] waits for the removal, which takes a tenth of a second.
const END_TIMEOUT: Duration = Duration::from_secs(15);

/// Ends the container when it is dropped, from before the engine is asked to make it.
pub(super) struct DockerHandle {
    context: Arc<Context>,
    name: String,
    memory_limit: u64,
    pub(super) exit: ExitWatch,
    /// `None`: the engine has no such container and will not make one.
    pub(super) creation: Option<Creation>,
    /// Closes the attached stdio before the removal, which would wait for its reader otherwise.
    pub(super) closer: Option<AttachCloser>,
    pub(super) volume: Option<VolumeUse>,
    /// Reserved for the container until this handle is dropped.
    _user: UserId,
}

impl DockerHandle {
    pub(super) fn new(
        context: Arc<Context>,
        name: String,
        memory_limit: u64,
        user: UserId,
    ) -> DockerHandle {
        let exit = context.exits.watch(&name);
        DockerHandle {
            context,
            name,
            memory_limit,
            exit,
            creation: None,
            closer: None,
            volume: None,
            _user: user,
        }
    }

    /// The container's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Inspects the container, for when the engine reported no exit event in time.
    async fn inspect(&self) -> EndCause {
        let inspection = self.context.engine.client.inspect_container(&self.name, None);
        match call(format!("inspect container {}", self.name), INSPECT_TIMEOUT, inspection).await {
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
        // If the attached stdio is not read, the engine reports the end only once it is read.
        Box::pin(self.exit.ended())
    }

    fn cause(&mut self) -> BoxFuture<'_, EndCause> {
        Box::pin(async move {
            let reported = self.exit.cause(self.memory_limit);
            match tokio::time::timeout(EXIT_EVENT_TIMEOUT, reported).await {
                Ok(cause) => cause,
                Err(_) => self.inspect().await,
            }
        })
    }

    fn end(mut self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            if let Some(closer) = &self.closer {
                closer.close();
            }
            // This future owns the handle. If it is dropped early or runs out of time, the handle's
            // Drop gives the removal to the remover.
            if let Some(creation) = self.creation {
                let remover = self.context.remover.clone();
                let removal = remover.remove(&self.name, creation);
                if tokio::time::timeout(END_TIMEOUT, removal).await.is_ok() {
                    self.creation = None;
                }
            }
        })
    }
}

impl Drop for DockerHandle {
    fn drop(&mut self) {
        if let Some(closer) = &self.closer {
            closer.close();
        }
        if let Some(creation) = self.creation {
            self.context.remover.begin_removal(std::mem::take(&mut self.name), creation);
        }
    }
}

//! Removes containers and retries until they are gone.
//!
//! `Drop` cannot await, so it gives the removal to the [`Remover`], whose tasks
//! [`Remover::drained`] waits for. A removal ends when the engine no longer knows the container, or
//! after [`REMOVAL_TIMEOUT`]. If the engine does not answer until then, the driver's dead-man
//! switch ends the processes and the next sweep removes the container.

use std::time::Duration;

use bollard::query_parameters::RemoveContainerOptionsBuilder;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::engine::{CallError, Engine, SLOW_TIMEOUT, call};
use crate::sandbox::common::reaper::Reaper;

/// How long a removal is tried.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(60);
/// First and longest pause between two tries.
const PAUSE_FIRST: Duration = Duration::from_millis(50);
const PAUSE_LONGEST: Duration = Duration::from_secs(2);

/// Whether the engine has confirmed that it made a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Creation {
    /// It has; "not found" means that the container is gone.
    Confirmed,
    /// It has not answered the request; "not found" may mean "not yet".
    Unanswered,
}

/// Owns every removal under way.
#[derive(Clone, Debug)]
pub(super) struct Remover {
    engine: Engine,
    reaper: Reaper,
    /// Cancelled when the gateway is about to end: from then on "not found" is final.
    draining: CancellationToken,
}

impl Remover {
    /// A remover whose tasks run on the current runtime.
    pub(super) fn new(engine: Engine) -> Remover {
        Remover { engine, reaper: Reaper::new(), draining: CancellationToken::new() }
    }

    /// The tasks that [`Remover::drained`] waits for.
    pub(super) fn tasks(&self) -> &Reaper {
        &self.reaper
    }

    /// Begins to remove the container; returns at once. May be called from `Drop`, anywhere.
    pub(super) fn begin_removal(&self, name: String, creation: Creation) {
        let remover = self.clone();
        let removal = async move {
            remover.remove(&name, creation).await;
        };
        drop(self.reaper.run(removal));
    }

    /// Removes the container and waits until it is gone; `false` if it may still be there.
    pub(super) async fn remove(&self, name: &str, creation: Creation) -> bool {
        let give_up = Instant::now() + REMOVAL_TIMEOUT;
        let mut pause = PAUSE_FIRST;
        loop {
            let last = match self.try_once(name).await {
                Ok(()) => return true,
                Err(error)
                    if error.status() == Some(404)
                        && (creation == Creation::Confirmed || self.draining.is_cancelled()) =>
                {
                    return true;
                }
                // 409, "removal is already in progress", means that it ended by itself and the
                // engine is at it; the next try finds it gone.
                Err(error) => error,
            };
            if Instant::now() >= give_up {
                if last.status() == Some(404) {
                    return true; // never made after all
                }
                tracing::warn!(container = name, error = %last, "a container stays for the next sweep");
                return false;
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.draining.cancelled(), if !self.draining.is_cancelled() => {}
            }
            pause = (pause * 2).min(PAUSE_LONGEST);
        }
    }

    async fn try_once(&self, name: &str) -> Result<(), CallError> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        let removal = self.engine.client.remove_container(name, Some(options));
        call(format!("remove container {name}"), SLOW_TIMEOUT, removal).await
    }

    /// Waits until every removal and every creation under way has ended. From here on a removal
    /// does not wait for containers that the engine does not know yet; the caller has to look for
    /// them afterwards (see [`super::sweep::own`]).
    pub(super) async fn drained(&self) {
        self.draining.cancel();
        self.reaper.drained().await;
    }
}

#[cfg(test)]
mod tests {
    use bollard::{API_DEFAULT_VERSION, Docker};

    use super::super::engine::Address;
    use super::super::facts::Facts;
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_removal_is_tried_for_a_minute_with_longer_and_longer_pauses() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("engine.sock");
        // A socket that nothing listens on: every call fails at once.
        drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
        let client =
            Docker::connect_with_unix(&path.to_string_lossy(), 3600, API_DEFAULT_VERSION).unwrap();
        let address = Address::Unix(path);
        let remover = Remover::new(Engine { client, address, facts: Facts::default() });
        let began = Instant::now();
        assert!(!remover.remove("gone", Creation::Confirmed).await);
        let took = began.elapsed();
        assert!(took >= REMOVAL_TIMEOUT && took <= REMOVAL_TIMEOUT + PAUSE_LONGEST, "{took:?}");
        // A removal that `Drop` began is waited for too.
        remover.begin_removal("left".into(), Creation::Unanswered);
        remover.drained().await;
        assert!(began.elapsed() >= 2 * REMOVAL_TIMEOUT);
    }
}

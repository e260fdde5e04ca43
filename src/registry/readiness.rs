//! Whether the backend can make sandboxes, asked of it seldom however often callers ask.
//!
//! A check makes a sandbox on some backends, and `/readyz` needs no token: so one check runs at a
//! time, all requests that come meanwhile get its answer, and the answer, a failure too, is
//! repeated to requests within [`REMEMBERED`] of it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::FutureExt;
use futures::future::{BoxFuture, Shared};
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::sandbox::{Backend, SandboxError};

/// How long an answer is repeated without asking the backend again. Load balancers ask every 5 s to
/// 10 s, so each of them hears of a change at its next question.
const REMEMBERED: Duration = Duration::from_secs(5);

type Answer = Result<(), Arc<SandboxError>>;

/// A check that runs or has run: its answer, and when it was given.
type Check = Shared<BoxFuture<'static, (Answer, Instant)>>;

/// The newest check.
#[derive(Default)]
pub(super) struct Readiness {
    newest: Mutex<Option<Check>>,
}

impl Readiness {
    /// Answers whether `backend` can make a sandbox. The check runs in a task of `tasks`, so that a
    /// caller who leaves does not stop it half-way.
    pub(super) async fn ask(&self, backend: &Arc<dyn Backend>, tasks: &TaskTracker) -> Answer {
        self.current(backend, tasks).await.0
    }

    fn current(&self, backend: &Arc<dyn Backend>, tasks: &TaskTracker) -> Check {
        let mut newest = self.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let usable = |check: &&Check| {
            // One that still runs has no answer to be too old.
            check.peek().is_none_or(|(_, given)| given.elapsed() < REMEMBERED)
        };
        if let Some(check) = newest.as_ref().filter(usable) {
            return check.clone();
        }
        let backend = Arc::clone(backend);
        let task = tasks.spawn(async move { backend.check().await });
        let check = async move {
            let answer = task.await.unwrap_or_else(|cause| {
                let operation = "try to make a sandbox".to_owned();
                Err(SandboxError::Step { operation, cause: cause.into() })
            });
            (answer.map_err(Arc::new), Instant::now())
        };
        newest.insert(check.boxed().shared()).clone()
    }
}

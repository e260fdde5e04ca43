//! The reaper: does what a dropped handle cannot wait for.
//!
//! `Drop` may not block and may not be awaited; a sandbox takes milliseconds to end. So a handle
//! gives its ending to the reaper, which runs it to its end whoever still listens, and
//! [`Reaper::drained`] waits for all of them. There is at most one ending a sandbox, and every
//! ending has a deadline of its own, so the tasks here are bounded by the live sandboxes.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;
use tokio_util::task::TaskTracker;

/// Owns the endings of one backend. Clones share them.
#[derive(Clone, Debug)]
pub struct Reaper {
    endings: TaskTracker,
    runtime: Handle,
}

impl Reaper {
    /// A reaper whose tasks run on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime, as tokio does.
    pub fn new() -> Reaper {
        Reaper { endings: TaskTracker::new(), runtime: Handle::current() }
    }

    /// Takes over an ending. It runs whether or not the answer is awaited, and from any thread:
    /// `Drop` is called wherever the last owner lets go.
    pub fn run<T: Send + 'static>(
        &self,
        ending: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        self.endings.spawn_on(ending, &self.runtime)
    }

    /// Waits until every ending handed over so far, and meanwhile, is done.
    pub async fn drained(&self) {
        // A closed tracker takes tasks as before; closing only lets `wait` return.
        self.endings.close();
        self.endings.wait().await;
    }
}

impl Default for Reaper {
    fn default() -> Reaper {
        Reaper::new()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn drained_waits_for_endings_nobody_awaits() {
        let reaper = Reaper::new();
        let (tx, mut rx) = tokio::sync::mpsc::channel(2);
        for _ in 0..2 {
            let tx = tx.clone();
            drop(reaper.run(async move {
                tokio::time::sleep(Duration::from_secs(1)).await;
                let _ = tx.send(()).await;
            }));
        }
        reaper.drained().await;
        assert!(rx.try_recv().is_ok() && rx.try_recv().is_ok());
        // And again, after having been drained once.
        drop(reaper.run(async move { tx.send(()).await }));
        reaper.drained().await;
        assert!(rx.try_recv().is_ok());
    }
}

//! Completes what a caller does not wait for: the end of a sandbox whose handle was dropped, and
//! the making of one whose caller gave up.
//!
//! `Drop` may neither block nor await, and a sandbox takes milliseconds to end. So a handle gives
//! the work to the reaper, which completes it whether or not a caller awaits the result;
//! [`Reaper::drained`] waits for all of it. There is at most one such task a sandbox and each has a
//! deadline of its own, so their number is bounded by that of the sandboxes.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_util::task::TaskTracker;

/// Owns the tasks that make and end sandboxes of one backend. Clones share them.
#[derive(Clone, Debug)]
pub struct Reaper {
    tasks: TaskTracker,
    runtime: Handle,
}

impl Reaper {
    /// A reaper whose tasks run on the current runtime.
    ///
    /// # Panics
    /// Outside a tokio runtime, as tokio does.
    pub fn new() -> Reaper {
        Reaper { tasks: TaskTracker::new(), runtime: Handle::current() }
    }

    /// Spawns `task`, which runs to its end whether or not its result is awaited. May be called
    /// from any thread, as `Drop` is.
    pub fn run<T: Send + 'static>(
        &self,
        task: impl Future<Output = T> + Send + 'static,
    ) -> oneshot::Receiver<T> {
        let (result_tx, result_rx) = oneshot::channel();
        let task = async move {
            // If the caller is gone, the result is dropped here, where `drained` still counts the
            // task: dropping a sandbox begins another one.
            drop(result_tx.send(task.await));
        };
        self.tasks.spawn_on(task, &self.runtime);
        result_rx
    }

    /// Waits until no task is left, including those spawned meanwhile.
    pub async fn drained(&self) {
        // A closed tracker still takes tasks; closing it only lets `wait` return.
        self.tasks.close();
        self.tasks.wait().await;
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
    async fn drained_waits_for_tasks_whose_result_is_not_awaited() {
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

    #[tokio::test(start_paused = true)]
    async fn drained_waits_for_tasks_that_an_unused_result_begins() {
        struct Sandbox(Reaper, tokio::sync::mpsc::Sender<()>);
        impl Drop for Sandbox {
            fn drop(&mut self) {
                let ended = self.1.clone();
                drop(self.0.run(async move {
                    tokio::time::sleep(Duration::from_secs(1)).await;
                    let _ = ended.send(()).await;
                }));
            }
        }
        let reaper = Reaper::new();
        let (tx, mut rx) = tokio::sync::mpsc::channel(1);
        let sandbox = Sandbox(reaper.clone(), tx);
        drop(reaper.run(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            sandbox
        }));
        reaper.drained().await;
        assert!(rx.try_recv().is_ok());
    }
}

//! Why containers ended, read from the engine's event stream.
//!
//! One subscription serves all sandboxes of this gateway, instead of one waiting request for each.
//! It has to be a stream, because a container that removes itself when it ends cannot be inspected
//! afterwards. A stream that breaks is resumed from the last event received, so no event is lost as
//! long as the engine runs; an event received twice changes nothing.
//!
//! The task that reads the stream is owned by the backend, which aborts it when it is dropped.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bollard::Docker;
use bollard::models::EventMessage;
use bollard::query_parameters::EventsOptionsBuilder;
use dashmap::DashMap;
use futures::StreamExt;
use tokio::sync::watch;

use crate::sandbox::EndCause;

/// First and longest pause before a broken stream is resumed.
const RESUME_FIRST: Duration = Duration::from_millis(100);
const RESUME_LONGEST: Duration = Duration::from_secs(5);
/// How long after the `die` event of a killed process its reason (`oom` or `kill`) may still
/// arrive. Engines report a signal after sending it, and a busy engine reports late.
const KILL_EVENT_TIMEOUT: Duration = Duration::from_secs(2);

/// What the events so far say about the end of one container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ContainerExit {
    /// The kernel's OOM killer killed a process in it.
    out_of_memory: bool,
    /// A client of the engine sent its first process this signal.
    signalled: Option<String>,
    /// Its first process ended with this code, 128 + signal if by one.
    exit_code: Option<i32>,
}

impl ContainerExit {
    /// Applies one event.
    fn apply(&mut self, action: &str, attributes: &HashMap<String, String>) {
        match action {
            "oom" => self.out_of_memory = true,
            "kill" => self.signalled = Some(attributes.get("signal").cloned().unwrap_or_default()),
            "die" => {
                let code = attributes.get("exitCode").and_then(|code| code.parse().ok());
                self.exit_code = Some(code.unwrap_or(-1));
            }
            // The `die` event may have been missed while the stream was broken.
            "destroy" => {
                self.exit_code.get_or_insert(-1);
            }
            _ => {}
        }
    }

    /// Whether the first process has ended.
    pub(super) fn ended(&self) -> bool {
        self.exit_code.is_some()
    }

    /// Why the container ended; `None` while it runs.
    pub(super) fn cause(&self, memory_limit: u64) -> Option<EndCause> {
        /// 128 + SIGKILL.
        const KILLED: i32 = 137;
        let code = self.exit_code?;
        Some(match (&self.signalled, code) {
            (Some(signal), _) => EndCause::Removed(format!(
                "the container was ended from outside through the engine (signal {signal})"
            )),
            (None, KILLED) if self.out_of_memory => {
                EndCause::OutOfMemory { limit_bytes: memory_limit }
            }
            (None, code) if code < 0 => {
                EndCause::Removed("the container was removed from outside".into())
            }
            (None, code) if code > 128 => EndCause::Supervisor(128 - code),
            (None, code) => EndCause::Supervisor(code),
        })
    }
}

/// Collects the exit events of watched containers, by container name. Clones share the collection.
#[derive(Clone, Debug, Default)]
pub(super) struct ExitWatcher {
    watched: Arc<DashMap<String, watch::Sender<ContainerExit>>>,
}

/// Waits for the end of one container. Its events are kept until this is dropped.
#[derive(Debug)]
pub(super) struct ExitWatch {
    name: String,
    watcher: ExitWatcher,
    exit: watch::Receiver<ContainerExit>,
}

impl ExitWatcher {
    /// Starts collecting the events of the container `name`, which need not exist yet.
    pub(super) fn watch(&self, name: &str) -> ExitWatch {
        let (sender, exit) = watch::channel(ContainerExit::default());
        self.watched.insert(name.to_owned(), sender);
        ExitWatch { name: name.to_owned(), watcher: self.clone(), exit }
    }

    /// Whether the container `name` is watched, which is as long as its handle exists.
    pub(super) fn is_watched(&self, name: &str) -> bool {
        self.watched.contains_key(name)
    }

    fn handle(&self, event: &EventMessage) {
        let Some((action, actor)) = event.action.as_deref().zip(event.actor.as_ref()) else {
            return;
        };
        let Some(attributes) = actor.attributes.as_ref() else { return };
        let Some(name) = attributes.get("name") else { return };
        if let Some(sender) = self.watched.get(name) {
            sender.send_modify(|exit| exit.apply(action, attributes));
        }
    }

    /// Follows the events of containers with the label `label` until it is dropped.
    pub(super) async fn follow(self, client: Docker, label: String) {
        let filters = HashMap::from([
            ("type", vec!["container"]),
            ("label", vec![label.as_str()]),
            ("event", vec!["oom", "kill", "die", "destroy"]),
        ]);
        let mut since = now();
        let mut pause = RESUME_FIRST;
        loop {
            let options = EventsOptionsBuilder::default().since(&since).filters(&filters).build();
            let mut events = std::pin::pin!(client.events(Some(options)));
            while let Some(event) = events.next().await {
                match event {
                    Ok(event) => {
                        pause = RESUME_FIRST;
                        if let Some(nanoseconds) = event.time_nano {
                            since = timestamp(nanoseconds);
                        }
                        self.handle(&event);
                    }
                    Err(error) => {
                        tracing::debug!(%error, "the engine's event stream broke");
                        break;
                    }
                }
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(RESUME_LONGEST);
        }
    }
}

impl ExitWatch {
    /// Waits until the first process has ended.
    pub(super) async fn ended(&mut self) {
        self.wait_until(ContainerExit::ended).await;
    }

    /// Waits until it has ended and tells why.
    pub(super) async fn cause(&mut self, memory_limit: u64) -> EndCause {
        self.ended().await;
        let cause = self.exit.borrow().cause(memory_limit).unwrap_or(EndCause::Unknown);
        if cause != EndCause::Supervisor(-9) {
            return cause;
        }
        // Killed by SIGKILL without a reason so far: its event may still arrive.
        let told = |exit: &ContainerExit| exit.out_of_memory || exit.signalled.is_some();
        match tokio::time::timeout(KILL_EVENT_TIMEOUT, self.wait_until(told)).await {
            Ok(()) => self.exit.borrow().cause(memory_limit).unwrap_or(cause),
            Err(_) => cause,
        }
    }

    async fn wait_until(&mut self, condition: impl Fn(&ContainerExit) -> bool) {
        // The sender is in the map until this watch is dropped, so the channel cannot close. If it
        // did, waiting forever would be right, because every caller has a deadline.
        if self.exit.wait_for(|exit| condition(exit)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for ExitWatch {
    fn drop(&mut self) {
        self.watcher.watched.remove(&self.name);
    }
}

/// The current time in the format of the engine's `since` parameter.
fn now() -> String {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    timestamp(i64::try_from(since_epoch.as_nanos()).unwrap_or(0))
}

/// `seconds.nanoseconds` (Docker Engine API, `GET /events`).
fn timestamp(nanoseconds: i64) -> String {
    const SECOND: i64 = 1_000_000_000;
    format!("{}.{:09}", nanoseconds / SECOND, nanoseconds % SECOND)
}

#[cfg(test)]
mod tests {
    use bollard::models::EventActor;

    use super::*;

    fn event(name: &str, action: &str, attribute: (&str, &str)) -> EventMessage {
        let attributes = HashMap::from([
            ("name".to_owned(), name.to_owned()),
            (attribute.0.to_owned(), attribute.1.to_owned()),
        ]);
        EventMessage {
            action: Some(action.into()),
            actor: Some(EventActor { id: None, attributes: Some(attributes) }),
            ..Default::default()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn every_end_has_its_cause() {
        let die = |code| ("die", ("exitCode", code));
        let kill = ("kill", ("signal", "9"));
        let oom = ("oom", ("", ""));
        let destroy = ("destroy", ("", ""));
        let table = [
            (vec![die("3")], EndCause::Supervisor(3)),
            (vec![die("139")], EndCause::Supervisor(-11)),
            (vec![die("137")], EndCause::Supervisor(-9)),
            (vec![oom, die("137")], EndCause::OutOfMemory { limit_bytes: 7 }),
            (vec![die("137"), oom], EndCause::OutOfMemory { limit_bytes: 7 }),
            // The OOM killer took a cell earlier; the supervisor ended by itself.
            (vec![oom, die("0")], EndCause::Supervisor(0)),
        ];
        for (events, expected) in table {
            let watcher = ExitWatcher::default();
            let mut watch = watcher.watch("ours");
            for (action, attribute) in &events {
                watcher.handle(&event("ours", action, *attribute));
            }
            assert_eq!(watch.cause(7).await, expected, "{events:?}");
        }
        for events in [vec![kill, die("137")], vec![destroy], vec![oom, kill, die("137")]] {
            let watcher = ExitWatcher::default();
            let mut watch = watcher.watch("ours");
            for (action, attribute) in &events {
                watcher.handle(&event("ours", action, *attribute));
            }
            assert!(matches!(watch.cause(7).await, EndCause::Removed(_)), "{events:?}");
        }
    }

    #[test]
    fn events_of_unwatched_containers_are_ignored_and_a_dropped_watch_leaves_nothing() {
        let watcher = ExitWatcher::default();
        let watch = watcher.watch("ours");
        watcher.handle(&event("other", "die", ("exitCode", "0")));
        assert!(!watch.exit.borrow().ended());
        drop(watch);
        assert!(watcher.watched.is_empty());
    }

    #[test]
    fn a_timestamp_has_nine_digits_of_nanoseconds() {
        assert_eq!(timestamp(12_000_000_034), "12.000000034");
    }
}

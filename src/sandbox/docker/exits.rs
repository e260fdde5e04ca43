//! What happened to containers, told by the engine's event stream.
//!
//! One subscription for all sandboxes of this gateway, instead of one waiting request each. It has
//! to be a stream: a container that removes itself when it ends cannot be asked afterwards. When
//! the stream breaks it is resumed from the last event seen, so nothing between is lost as long as
//! the engine lives; facts only accumulate, so hearing one twice changes nothing.
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
/// How long the word of what killed a process, the kernel's for want of memory or the engine's at
/// somebody's wish, may lag behind the word of its death. Engines report a signal once it is sent,
/// and a busy one is late.
const KILL_LAG: Duration = Duration::from_secs(2);

/// What is known of one container's end.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Fate {
    /// The kernel killed something in it for want of memory.
    out_of_memory: bool,
    /// Somebody sent its first process this signal through the engine.
    signalled: Option<String>,
    /// Its first process ended with this code, 128 + signal if by one.
    exit_code: Option<i32>,
}

impl Fate {
    /// Takes in one event.
    fn learn(&mut self, action: &str, attributes: &HashMap<String, String>) {
        match action {
            "oom" => self.out_of_memory = true,
            "kill" => self.signalled = Some(attributes.get("signal").cloned().unwrap_or_default()),
            "die" => {
                let code = attributes.get("exitCode").and_then(|code| code.parse().ok());
                self.exit_code = Some(code.unwrap_or(-1));
            }
            // The death itself may be among what was missed.
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

    /// The end in the words of the contract; `None` while it lives.
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

/// The fates of the containers somebody asks about, by container name.
#[derive(Clone, Debug, Default)]
pub(super) struct Fates {
    watched: Arc<DashMap<String, watch::Sender<Fate>>>,
}

/// One container's fate; while it lives its events are kept.
#[derive(Debug)]
pub(super) struct FateWatch {
    name: String,
    fates: Fates,
    fate: watch::Receiver<Fate>,
}

impl Fates {
    /// Begins to keep what happens to the container `name`, which need not exist yet.
    pub(super) fn watch(&self, name: &str) -> FateWatch {
        let (sender, fate) = watch::channel(Fate::default());
        self.watched.insert(name.to_owned(), sender);
        FateWatch { name: name.to_owned(), fates: self.clone(), fate }
    }

    /// Whether somebody still wants to know of the container `name`: its handle lives.
    pub(super) fn is_watched(&self, name: &str) -> bool {
        self.watched.contains_key(name)
    }

    fn take_in(&self, event: &EventMessage) {
        let Some((action, actor)) = event.action.as_deref().zip(event.actor.as_ref()) else {
            return;
        };
        let Some(attributes) = actor.attributes.as_ref() else { return };
        let Some(name) = attributes.get("name") else { return };
        if let Some(sender) = self.watched.get(name) {
            sender.send_modify(|fate| fate.learn(action, attributes));
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
                        self.take_in(&event);
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

impl FateWatch {
    /// Waits until the first process has ended.
    pub(super) async fn ended(&mut self) {
        self.until(Fate::ended).await;
    }

    /// Waits until it has ended and tells why.
    pub(super) async fn cause(&mut self, memory_limit: u64) -> EndCause {
        self.ended().await;
        let cause = self.fate.borrow().cause(memory_limit).unwrap_or(EndCause::Unknown);
        if cause != EndCause::Supervisor(-9) {
            return cause;
        }
        // Killed, and nobody says by whom: that may be a moment behind.
        let told = |fate: &Fate| fate.out_of_memory || fate.signalled.is_some();
        match tokio::time::timeout(KILL_LAG, self.until(told)).await {
            Ok(()) => self.fate.borrow().cause(memory_limit).unwrap_or(cause),
            Err(_) => cause,
        }
    }

    async fn until(&mut self, condition: impl Fn(&Fate) -> bool) {
        // The sender is in the map until this watch is dropped, so the channel cannot close; if it
        // did, waiting for good is right: whoever awaits has a deadline.
        if self.fate.wait_for(|fate| condition(fate)).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

impl Drop for FateWatch {
    fn drop(&mut self) {
        self.fates.watched.remove(&self.name);
    }
}

/// This moment as the engine's `since` wants it.
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
            // A cell was killed for its memory long ago; the supervisor ended by itself.
            (vec![oom, die("0")], EndCause::Supervisor(0)),
        ];
        for (events, expected) in table {
            let fates = Fates::default();
            let mut watch = fates.watch("ours");
            for (action, attribute) in &events {
                fates.take_in(&event("ours", action, *attribute));
            }
            assert_eq!(watch.cause(7).await, expected, "{events:?}");
        }
        for events in [vec![kill, die("137")], vec![destroy], vec![oom, kill, die("137")]] {
            let fates = Fates::default();
            let mut watch = fates.watch("ours");
            for (action, attribute) in &events {
                fates.take_in(&event("ours", action, *attribute));
            }
            assert!(matches!(watch.cause(7).await, EndCause::Removed(_)), "{events:?}");
        }
    }

    #[test]
    fn strangers_are_ignored_and_a_dropped_watch_leaves_nothing() {
        let fates = Fates::default();
        let watch = fates.watch("ours");
        fates.take_in(&event("other", "die", ("exitCode", "0")));
        assert!(!watch.fate.borrow().ended());
        drop(watch);
        assert!(fates.watched.is_empty());
    }

    #[test]
    fn a_timestamp_has_nine_digits_of_nanoseconds() {
        assert_eq!(timestamp(12_000_000_034), "12.000000034");
    }
}

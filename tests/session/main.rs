//! The session's task, its link and its outboxes as they are, with a scripted driver behind them
//! and time that passes when everybody waits.

#![allow(clippy::unwrap_used)] // helpers of tests are not tests in clippy's eyes

#[path = "../common/mod.rs"]
mod common;

mod cost;
mod cuts;
mod ends;
mod flow;
mod links;
mod memory;
mod model;
mod people;
mod replay;
mod rules;
mod schedules;
mod seats;
mod timers;

use std::sync::atomic::Ordering;
use std::time::Duration;

use cellgate::id::Token;
use cellgate::metrics::Metrics;
use cellgate::protocol::client::{ClientMessage, Execute};
use cellgate::protocol::event::EndReason;
use cellgate::protocol::reply::{Rights, RightsChange, Role};
use cellgate::sandbox::EndCause;
use cellgate::session::{
    AttachError, Attachment, ChangeRightsError, Credential, Delivery, Departure, DetachedOutput,
    JoinRequest, SessionConfig, SessionHandle,
};
use cellgate::template::Limits;
use cellgate_driver::wire::{Outcome, flag, kind};
use common::scripted::{self, Ended, ScriptedDriver};
use serde_json::Value;
use tokio::task::JoinHandle;

fn config() -> SessionConfig {
    SessionConfig {
        queue: 4,
        window_bytes: 64 << 10,
        log_bytes: 64 << 10,
        log_disk_bytes: 0,
        log_directory: std::env::temp_dir(),
        log_disk_reserve_bytes: 0,
        memory: cellgate::memory::Budget::new(1 << 30),
        message_bytes: 1 << 20,
        detached_output: DetachedOutput::Hold,
        participants: 4,
        detach_timeout: Duration::from_secs(60),
        silence_timeout: Duration::from_secs(30),
        idle_timeout: Some(Duration::from_secs(3600)),
        lifetime: None,
        env: Default::default(),
        key_holder: None,
    }
}

/// Another owner each time.
fn join(name: &str) -> JoinRequest {
    JoinRequest { name: name.into(), credential: Credential::Gateway, after: None }
}

/// The session's creator, who is one.
fn creator() -> JoinRequest {
    JoinRequest::owner("ada", Token::new("t"))
}

struct Stage {
    handle: SessionHandle,
    driver: ScriptedDriver,
    ended: Ended,
    task: JoinHandle<()>,
}

async fn stage(config: SessionConfig, limits: Limits, cause: EndCause) -> Stage {
    let (prepared, driver, ended) = scripted::prepared(limits, cause, 4 << 10).await;
    let (handle, task) =
        cellgate::session::start(prepared, config, Token::new("t"), &Metrics::default());
    Stage { handle, driver, ended, task: tokio::spawn(task) }
}

/// Lets everybody do what there is to do now: virtual time passes when all of them wait.
async fn settle() {
    pass(Duration::from_millis(1)).await;
}

/// Lets so much time pass.
async fn pass(time: Duration) {
    let forever = std::future::pending::<()>();
    tokio::time::timeout(time, forever).await.expect_err("it is for ever");
}

async fn usual() -> Stage {
    stage(config(), Limits::default(), EndCause::Unknown).await
}

/// A participant that keeps what it has read.
struct Client {
    seat: Attachment,
    read: std::collections::VecDeque<Value>,
}

/// A message as a client reads it.
fn as_json(delivery: &Delivery) -> Value {
    serde_json::from_str(delivery.json()).unwrap()
}

/// Whether the session let a participant go because it is over for this reason.
fn ended_by(departure: &Departure, wanted: EndReason) -> bool {
    matches!(departure, Departure::Ended { reason, .. } if *reason == wanted)
}

impl Client {
    async fn join(handle: &SessionHandle, after: Option<u64>) -> Client {
        let seat = handle.attach(JoinRequest { after, ..join("ada") }).await.unwrap();
        Client { seat, read: Default::default() }
    }

    async fn execute(&self, id: &str) {
        let cell = Execute { code: "x".into(), id: Some(id.into()), ..Execute::default() };
        self.seat.send(Ok(ClientMessage::Execute(cell))).await.unwrap();
    }

    /// The next event or reply that is no list of participants: those come when it is their time.
    async fn next(&mut self) -> Result<Value, Departure> {
        loop {
            let message = self.message().await?;
            if message["type"] != "participants" {
                return Ok(message);
            }
        }
    }

    /// Whatever comes next.
    async fn message(&mut self) -> Result<Value, Departure> {
        while self.read.is_empty() {
            let mut batch = Vec::new();
            match self.seat.outbox().take(&mut batch).await {
                Ok(()) => {}
                Err(departure) => return Err(departure),
            }
            self.read.extend(batch.iter().map(as_json));
        }
        Ok(self.read.pop_front().unwrap())
    }

    /// Reads up to an event of this type.
    async fn until(&mut self, kind: &str) -> Value {
        loop {
            let event = self
                .message()
                .await
                .unwrap_or_else(|departure| panic!("{departure} before {kind}"));
            if event["type"] == kind {
                return event;
            }
        }
    }

    async fn until_departure(&mut self) -> Departure {
        loop {
            if let Err(departure) = self.next().await {
                return departure;
            }
        }
    }
}

fn on_disk() -> SessionConfig {
    SessionConfig { log_disk_bytes: 8 << 20, ..config() }
}

/// Lines with their numbers, 64 KiB in all.
fn page(number: usize) -> Vec<u8> {
    (0..1024).flat_map(|line| format!("{number:020}.{line:042}\n").into_bytes()).collect()
}

/// Somebody with a share link of its own.
fn role(handle: &SessionHandle, name: &str, role: Role) -> JoinRequest {
    let link = handle.grant(&Credential::Gateway, role, None).unwrap();
    JoinRequest { credential: Credential::Token(link.token), ..join(name) }
}

impl Client {
    async fn seated(handle: &SessionHandle, join: JoinRequest) -> Client {
        Client { seat: handle.attach(join).await.unwrap(), read: Default::default() }
    }
}

//! A session of the probe: the same as a client's, without a socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use serde_json::Value;

use super::{Place, Room, Told};
use crate::protocol::client::{ClientMessage, Execute};
use crate::registry::{Maker, Registry};
use crate::session::outbox::Batch;
use crate::session::{Attachment, Guest};

/// Sessions of a registry.
pub(super) struct Sessions<'a> {
    pub(super) registry: &'a Arc<Registry>,
    pub(super) template: &'a str,
    /// Longest time of a cell.
    pub(super) longest: Duration,
}

impl Place for Sessions<'_> {
    fn enter(&self) -> BoxFuture<'_, Result<Box<dyn Room>>> {
        Box::pin(async move {
            let session = self.registry.create(self.template, Maker::default()).await?;
            let seat = session.attach(Guest::owner("doctor", session.owner_token())).await?;
            Ok(Box::new(Session { seat, longest: self.longest }) as Box<dyn Room>)
        })
    }
}

/// One session and the seat in it.
struct Session {
    seat: Attachment,
    longest: Duration,
}

impl Room for Session {
    fn run<'a>(&'a mut self, code: &'a str) -> BoxFuture<'a, Result<Told>> {
        Box::pin(async move {
            let cell = Execute {
                code: code.to_owned(),
                timeout_ms: u64::try_from(self.longest.as_millis()).ok(),
                silent: true,
                allow_input: false,
                ..Execute::default()
            };
            self.seat.say(Ok(ClientMessage::Execute(cell))).await?;
            let mut told = Told::default();
            // The session ends a cell at its timeout; this is for one that fails to.
            let hear = tokio::time::timeout(self.longest * 2, self.hear(&mut told));
            hear.await.context("the session does not end its cell")??;
            Ok(told)
        })
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // One that has ended already is as good.
            self.seat.say(Ok(ClientMessage::End)).await.ok();
        })
    }
}

impl Session {
    async fn hear(&self, told: &mut Told) -> Result<()> {
        let mut batch = Vec::new();
        while told.status.is_empty() {
            if let Batch::Close(close) = self.seat.outbox().take(&mut batch).await {
                told.error.push_str(close.reason());
                told.status = "closed".to_owned();
            }
            for json in batch.drain(..) {
                let event: Value = serde_json::from_str(&json).context("an event")?;
                let text = |name: &str| event[name].as_str().unwrap_or_default();
                match text("type") {
                    "stdout" => told.stdout.push_str(text("text")),
                    "error" => {
                        told.error = format!("{}: {}", text("name"), text("value"));
                    }
                    "protocol_error" => bail!("the session refuses: {}", text("message")),
                    "done" => {
                        told.error.push_str(text("detail"));
                        told.status = text("status").to_owned();
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}

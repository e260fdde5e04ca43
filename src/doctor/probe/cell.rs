//! A session of the probe: the same as a client's, without a socket.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;

use super::{Place, Room, Told};
use crate::protocol::client::{ClientMessage, Execute};
use crate::protocol::event::Event;
use crate::protocol::{Reply, wire_name};
use crate::registry::{Maker, Registry};
use crate::session::{Attachment, Delivery, JoinRequest};

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
            let seat = session.attach(JoinRequest::owner("doctor", session.owner_token())).await?;
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
            self.seat.send(Ok(ClientMessage::Execute(cell))).await?;
            let mut told = Told::default();
            // The session ends a cell at its timeout; this is for one that fails to.
            let read = tokio::time::timeout(self.longest * 2, self.read(&mut told));
            read.await.context("the session does not end its cell")??;
            Ok(told)
        })
    }

    fn leave(self: Box<Self>) -> BoxFuture<'static, ()> {
        Box::pin(async move {
            // One that has ended already is as good.
            self.seat.send(Ok(ClientMessage::End)).await.ok();
        })
    }
}

impl Session {
    /// Reads what comes of the cell, up to its end.
    async fn read(&mut self, told: &mut Told) -> Result<()> {
        loop {
            match self.seat.next().await {
                Ok(Delivery::Event(event)) => match event.event()? {
                    Event::Stdout(output) => told.stdout.push_str(&output.text),
                    Event::Error { name, value, .. } => told.error = format!("{name}: {value}"),
                    Event::Done { status, detail, .. } => {
                        told.error.push_str(&detail.unwrap_or_default());
                        told.status = wire_name(&status);
                        return Ok(());
                    }
                    _ => {}
                },
                Ok(Delivery::Reply(reply)) => {
                    if let Reply::ProtocolError { message, .. } = &reply.reply {
                        bail!("the session refuses: {message}");
                    }
                }
                Err(departure) => {
                    told.error.push_str(&departure.to_string());
                    told.status = "closed".to_owned();
                    return Ok(());
                }
            }
        }
    }
}

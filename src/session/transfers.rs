//! Files on their way through a session: which transfer waits for which answer.
//!
//! ```text
//!   TransferTicket (FileReader, FileWriter) ── TransferCommand ──► actor ── DriverCommand::File ──► driver
//!         ▲ answer ◄───────────────────────── Transfers ◄── DriverEvent::File ──┘
//!         └ dropped ──────────► sweep ─► ABANDON
//! ```
//! A transfer has at most one step under way, so that what the session holds of it is one chunk.
//! One whose ticket is gone is abandoned: the driver forgets it and removes what was half written.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use cellgate_driver::wire::files::FileCommand;
use tokio::sync::{Notify, oneshot};

use crate::link::{DriverCommand, Link, TransferAnswer};

/// Hands out the numbers of a session's transfers.
#[derive(Clone, Debug, Default)]
pub(super) struct TransferTickets {
    last: Arc<AtomicU32>,
    left: Arc<Notify>,
}

/// A transfer, held by the request that began it. Dropping it abandons the transfer.
#[derive(Debug)]
pub(super) struct TransferTicket {
    number: u32,
    left: Arc<Notify>,
}

/// What a transfer asks next.
#[derive(Debug)]
pub(super) struct TransferCommand {
    /// Gone if the request that began the transfer is.
    pub(super) ticket: Weak<TransferTicket>,
    /// The payload of a FILE frame.
    pub(super) payload: Vec<u8>,
    /// Whether the session is in use by it: what a watch asks time and again says nothing of that.
    pub(super) is_activity: bool,
    pub(super) answer: oneshot::Sender<TransferAnswer>,
}

impl TransferTickets {
    /// A new transfer.
    pub(super) fn issue(&self) -> Arc<TransferTicket> {
        // Wraps after four billion transfers, long after the first of them ended.
        let number = self.last.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        Arc::new(TransferTicket { number, left: Arc::clone(&self.left) })
    }

    /// Tells when a ticket was dropped.
    pub(super) fn left(&self) -> Arc<Notify> {
        Arc::clone(&self.left)
    }
}

impl Drop for TransferTicket {
    fn drop(&mut self) {
        self.left.notify_one();
    }
}

/// The actor's side: the open transfers by their numbers.
#[derive(Debug)]
pub(super) struct Transfers {
    open: HashMap<u32, Open>,
    left: Arc<Notify>,
}

#[derive(Debug)]
struct Open {
    ticket: Weak<TransferTicket>,
    answer: Option<oneshot::Sender<TransferAnswer>>,
}

impl Transfers {
    /// None yet.
    pub(super) fn new(left: Arc<Notify>) -> Transfers {
        Transfers { open: HashMap::new(), left }
    }

    /// Whether none is under way.
    pub(super) fn is_empty(&self) -> bool {
        self.open.is_empty()
    }

    /// Passes a step on to the driver.
    pub(super) fn take(&mut self, step: TransferCommand, link: &mut Link) {
        let TransferCommand { ticket, payload, answer, .. } = step;
        let Some(number) = ticket.upgrade().map(|ticket| ticket.number) else { return };
        self.open.insert(number, Open { ticket, answer: Some(answer) });
        link.send(&DriverCommand::File { number, payload });
    }

    /// Passes an answer on; one that no request waits for is dropped.
    pub(super) fn on_answer(&mut self, number: u32, answer: TransferAnswer) {
        if let Some(waiting) = self.open.get_mut(&number).and_then(|open| open.answer.take()) {
            // The request may be gone; the sweep abandons its transfer.
            waiting.send(answer).ok();
        }
    }

    /// Waits until a transfer may have been given up, or have come to its end.
    pub(super) async fn left(&self) {
        self.left.notified().await;
    }

    /// Abandons the transfers whose tickets are gone. To the driver, one that came to its end is
    /// none any more, and this says nothing.
    pub(super) fn sweep(&mut self, link: &mut Link) {
        self.open.retain(|number, open| {
            let is_held = open.ticket.strong_count() > 0;
            if !is_held {
                let payload = FileCommand::Abandon.encode();
                link.send(&DriverCommand::File { number: *number, payload });
            }
            is_held
        });
    }
}

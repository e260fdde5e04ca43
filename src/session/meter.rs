//! What a session adds to the metrics: its cells, its end, what it refuses, when it does not read.

use tokio::time::Instant;

use crate::metrics::{self, Metrics};
use crate::protocol::event::Event;
use crate::protocol::{Reply, wire_name};

/// One session's.
pub(super) struct Meter {
    metrics: Metrics,
    /// Since when no participant has room for more.
    stalled: Option<Instant>,
}

impl Meter {
    pub(super) fn new(metrics: Metrics) -> Meter {
        Meter { metrics, stalled: None }
    }

    /// Something happened.
    pub(super) fn event(&self, event: &Event) {
        match event {
            Event::Done { status, duration_ms, usage, .. } => {
                let took = std::time::Duration::try_from_secs_f64(duration_ms / 1000.0);
                let took = took.unwrap_or_default();
                self.metrics.observe(&metrics::CELL_DURATION, &[&wire_name(status)], took);
                let output = self.metrics.counter(&metrics::CELL_OUTPUT, &[]);
                output.increment(usage.output_bytes);
            }
            Event::Ended { reason, .. } => {
                self.metrics.count(&metrics::SESSIONS_ENDED, &[&wire_name(reason)]);
            }
            _ => {}
        }
    }

    /// A participant is told something.
    pub(super) fn reply(&self, reply: &Reply) {
        if let Reply::ProtocolError { code, .. } = reply {
            self.metrics.count(&metrics::PROTOCOL_ERRORS, &[&wire_name(code)]);
        }
    }

    /// The link is about to be read, or may not be.
    pub(super) fn reading(&mut self, may_read: bool) {
        match (may_read, self.stalled) {
            (false, None) => self.stalled = Some(Instant::now()),
            (true, Some(since)) => {
                self.stalled = None;
                self.metrics.observe(&metrics::LINK_STALL, &[], since.elapsed());
            }
            _ => {}
        }
    }
}

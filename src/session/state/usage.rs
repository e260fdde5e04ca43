//! What the sandbox uses, and a warning before its memory runs out.

use cellgate_driver::wire::Usage;

use super::State;
use crate::protocol::event::{Event, NoticeLevel};

/// Memory in use at which people are warned: early enough to save something.
const MEMORY_HIGH_PERCENT: u64 = 80;

/// Memory in use below which a later rise is news again.
const MEMORY_CALM_PERCENT: u64 = 70;

impl State {
    /// Says that memory runs out before it has: once, until there is clearly room again.
    fn warn_of_memory(&mut self, usage: &Usage) {
        let limit = usage.memory_limit_bytes;
        let percent = (usage.memory_bytes.saturating_mul(100)).checked_div(limit).unwrap_or(0);
        if percent < MEMORY_CALM_PERCENT {
            self.memory_warned = false;
        } else if percent >= MEMORY_HIGH_PERCENT && !self.memory_warned {
            self.memory_warned = true;
            let text = format!(
                "{percent} % of the sandbox's memory is in use: {} of {} MiB; at the limit the \
                 interpreter ends",
                usage.memory_bytes >> 20,
                limit >> 20,
            );
            self.common.emit(Event::Notice {
                level: NoticeLevel::Warning,
                code: "memory_high".into(),
                text,
            });
        }
    }

    /// Memory of the sandbox in bytes, by its newest sample.
    pub fn memory(&self) -> Option<u64> {
        self.last_memory
    }

    pub(super) fn on_usage(&mut self, usage: Usage) {
        self.warn_of_memory(&usage);
        self.last_memory = Some(usage.memory_bytes);
        let before = self.last_cpu_us.replace(usage.cpu_us);
        let used = before.map_or(0, |before| usage.cpu_us.saturating_sub(before));
        self.common.emit(Event::Usage {
            memory_bytes: usage.memory_bytes,
            memory_limit_bytes: usage.memory_limit_bytes,
            // One USAGE a second: microseconds in it, as a percentage of a core.
            cpu_percent: used as f64 / 10_000.0,
            processes: usage.processes,
        });
    }
}

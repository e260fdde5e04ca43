//! What all visitors did, and how long they waited.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::visitor::Deed;

/// Shared by all visitors.
#[derive(Debug, Default)]
pub(crate) struct Tally(Mutex<Counts>);

#[derive(Debug, Default)]
struct Counts {
    deeds: BTreeMap<Deed, usize>,
    bytes: usize,
    starts: Vec<Duration>,
    round_trips: Vec<Duration>,
}

impl Tally {
    /// Somebody's session is ready, after this time.
    pub(crate) fn session(&self, took: Duration) {
        self.lock().starts.push(took);
    }

    /// Somebody's small cell is done, after this time.
    pub(crate) fn round_trip(&self, took: Duration) {
        self.lock().round_trips.push(took);
    }

    /// Somebody did something.
    pub(crate) fn deed(&self, deed: Deed) {
        *self.lock().deeds.entry(deed).or_default() += 1;
    }

    /// So much output was read in large pieces.
    pub(crate) fn bytes(&self, count: usize) {
        self.lock().bytes += count;
    }

    /// How many things were done.
    pub(crate) fn total(&self) -> usize {
        self.lock().deeds.values().sum()
    }

    /// How many sessions were begun.
    pub(crate) fn sessions(&self) -> usize {
        self.lock().starts.len()
    }

    /// All of it, for people.
    pub(crate) fn print(&self) {
        let mut counts = self.lock();
        let Counts { deeds, bytes, starts, round_trips } = &mut *counts;
        let deeds: Vec<String> = deeds.iter().map(|(d, count)| format!("{count} {d:?}")).collect();
        println!("done: {}; {} MiB in floods", deeds.join(", "), *bytes >> 20);
        for (what, times) in [("connection to ready", starts), ("a small cell", round_trips)] {
            times.sort();
            let at = |share: f64| {
                let rank = (share * times.len() as f64).ceil() as usize;
                times.get(rank.clamp(1, times.len().max(1)) - 1).copied().unwrap_or_default()
            };
            println!("{what}: n={} p50 {:.1?} p99 {:.1?}", times.len(), at(0.5), at(0.99));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

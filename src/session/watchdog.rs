//! Watches whether a driver of which something is expected still gives signs of life.
//!
//! ```text
//!   expected ──half the patience without a byte──► ask (a ping) ──the other half──► silent
//!      ▲ a byte, or nothing is expected any more ──────┴───────┘
//! ```
//! A supervisor that is stopped or stuck keeps its link open, so nothing else would notice. The
//! actor passes in how often the link was read, and calls [`Watchdog::check`] only when a deadline
//! comes, so that traffic costs nothing.

use std::time::Duration;

use tokio::time::Instant;

/// What a check finds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Something was heard, or nothing is expected.
    Alive,
    /// Nothing was heard: ask.
    Ask,
    /// It was asked and said nothing.
    Silent,
}

/// The watch over one driver.
#[derive(Debug)]
pub(super) struct Watchdog {
    patience: Duration,
    watch: Option<Watch>,
}

#[derive(Debug)]
struct Watch {
    since: Instant,
    /// What had been heard then.
    heard: u64,
    asked: bool,
}

impl Watchdog {
    /// A watch that gives up after `patience` without a byte.
    pub(super) fn new(patience: Duration) -> Watchdog {
        Watchdog { patience, watch: None }
    }

    /// How long a driver may be silent.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Whether anything is expected now: not of a driver that has nothing to do, nor of one whose
    /// link we do not read. `heard` counts reads of the link.
    pub(super) fn expect(&mut self, expected: bool, heard: u64) {
        if !expected {
            self.watch = None;
        } else if self.watch.is_none() {
            self.watch = Some(Watch { since: Instant::now(), heard, asked: false });
        }
    }

    /// When to check next.
    pub(super) fn due(&self) -> Option<Instant> {
        self.watch.as_ref()?.since.checked_add(self.patience / 2)
    }

    /// Checks, at the time that [`Watchdog::due`] named.
    pub(super) fn check(&mut self, heard: u64) -> Verdict {
        let Some(watch) = &mut self.watch else { return Verdict::Alive };
        if watch.heard == heard && watch.asked {
            return Verdict::Silent;
        }
        let asked = watch.heard == heard;
        *watch = Watch { since: Instant::now(), heard, asked };
        if asked { Verdict::Ask } else { Verdict::Alive }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(30);

    #[tokio::test(start_paused = true)]
    async fn silence_is_asked_about_and_then_final() {
        let mut watchdog = Watchdog::new(PATIENCE);
        assert_eq!(watchdog.due(), None);
        watchdog.expect(true, 7);
        let began = Instant::now();
        let mut findings = Vec::new();
        // A byte in the first half, none later.
        for heard in [8, 8, 8] {
            tokio::time::advance(watchdog.due().unwrap() - Instant::now()).await;
            watchdog.expect(true, heard);
            findings.push((watchdog.check(heard), began.elapsed().as_secs()));
        }
        assert_eq!(findings, [(Verdict::Alive, 15), (Verdict::Ask, 30), (Verdict::Silent, 45)]);
    }

    #[tokio::test(start_paused = true)]
    async fn who_has_nothing_to_do_may_be_silent() {
        let mut watchdog = Watchdog::new(PATIENCE);
        watchdog.expect(true, 0);
        tokio::time::advance(PATIENCE / 2).await;
        assert_eq!(watchdog.check(0), Verdict::Ask);
        watchdog.expect(false, 0);
        assert_eq!((watchdog.due(), watchdog.check(0)), (None, Verdict::Alive));
        watchdog.expect(true, 0);
        assert_eq!(watchdog.check(0), Verdict::Ask, "the clock begins anew");
    }
}

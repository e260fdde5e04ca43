//! When to try again what has failed: exponential, with jitter. Has no clock: it is told the time.

use std::time::Duration;

use tokio::time::Instant;

/// After the first failure.
const FIRST: Duration = Duration::from_millis(500);

/// However often it failed: an engine that comes back is noticed within a minute.
const LONGEST: Duration = Duration::from_secs(60);

/// Failures in a row, and when the next attempt is due.
#[derive(Debug, Default)]
pub(super) struct Backoff {
    failures: u32,
    retry_at: Option<Instant>,
    last_failure: Option<Instant>,
}

impl Backoff {
    /// An attempt failed. `jitter` from 0 to 1 spreads those that failed together: the delay is
    /// between a half and the whole of what the number of failures says.
    pub(super) fn fail(&mut self, now: Instant, jitter: f64) {
        // Long ago something else was wrong.
        if self.last_failure.is_some_and(|last| now.duration_since(last) > 2 * LONGEST) {
            self.failures = 0;
        }
        let whole = FIRST.saturating_mul(1 << self.failures.min(16)).min(LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.last_failure = Some(now);
        self.retry_at = Some(now + whole.mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0));
    }

    /// An attempt succeeded: there is nothing to wait for. The failures are forgotten only with
    /// time, so that what dies as soon as it is made is not made faster and faster.
    pub(super) fn succeed(&mut self) {
        self.retry_at = None;
    }

    /// Failures in a row; 0 once an attempt has succeeded.
    pub(super) fn failures(&self) -> u32 {
        if self.retry_at.is_some() { self.failures } else { 0 }
    }

    /// When the next attempt is due. `None`: nothing failed.
    pub(super) fn retry_at(&self) -> Option<Instant> {
        self.retry_at
    }

    /// Whether an attempt may be made.
    pub(super) fn may_try(&self, now: Instant) -> bool {
        self.retry_at.is_none_or(|at| at <= now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_stay_within_their_jitter() {
        let now = Instant::now();
        for (jitter, share) in [(0.0, 0.5), (1.0, 1.0), (9.0, 1.0)] {
            let mut backoff = Backoff::default();
            for whole_ms in [500.0, 1000.0, 2000.0, 4000.0, 8000.0, 16e3, 32e3, 60e3, 60e3] {
                backoff.fail(now, jitter);
                let delay = backoff.retry_at().unwrap() - now;
                assert_eq!(delay.as_secs_f64() * 1000.0, whole_ms * share);
                assert!(!backoff.may_try(now) && backoff.may_try(now + delay));
            }
            assert_eq!(backoff.failures(), 9);
        }
    }

    #[test]
    fn what_fails_right_after_succeeding_keeps_backing_off_and_time_heals() {
        let mut now = Instant::now();
        let mut backoff = Backoff::default();
        for _ in 0..4 {
            backoff.fail(now, 1.0);
            backoff.succeed();
            assert_eq!((backoff.failures(), backoff.may_try(now)), (0, true));
        }
        backoff.fail(now, 1.0);
        assert_eq!(backoff.retry_at(), Some(now + 16 * FIRST));
        now += 3 * LONGEST;
        backoff.fail(now, 1.0);
        assert_eq!((backoff.failures(), backoff.retry_at()), (1, Some(now + FIRST)));
    }
}

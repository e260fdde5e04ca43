//! How many sandboxes should be parked: more after visitors who found none, fewer as time passes.
//! Has no clock: it is told the time.
//!
//! A claim that leaves a template's pool empty says that one more visitor at that moment would have
//! waited, so the target rises by one. What was added that way halves every minute. Visitors who
//! come steadily find the level at which the pool does not run dry; a burst takes it to the
//! maximum.

use std::time::Duration;

use tokio::time::Instant;

use crate::template::PoolSize;

/// In which the surplus over the minimum halves.
const HALF_LIFE: Duration = Duration::from_secs(60);

/// One template's demand.
#[derive(Debug)]
pub(super) struct Demand {
    size: PoolSize,
    /// Wanted beyond the minimum, as of `since`.
    surplus: f64,
    since: Instant,
}

impl Demand {
    /// No visitors yet.
    pub(super) fn new(size: PoolSize, now: Instant) -> Demand {
        Demand { size, surplus: 0.0, since: now }
    }

    /// A visitor took the last one, or found none.
    pub(super) fn on_empty(&mut self, now: Instant) {
        let most = self.size.max.saturating_sub(self.size.min) as f64;
        self.surplus = (self.surplus_at(now) + 1.0).min(most);
        self.since = now;
    }

    /// How many should be parked.
    pub(super) fn target(&self, now: Instant) -> usize {
        // At most `max - min`, so it is a small whole number.
        let surplus = self.surplus_at(now).round() as usize;
        (self.size.min + surplus).min(self.size.max)
    }

    /// When the target falls, unless visitors come. `None`: it is the minimum.
    pub(super) fn next_fall(&self, now: Instant) -> Option<Instant> {
        let step = self.surplus_at(now).round();
        if step < 1.0 {
            return None;
        }
        let halvings = (self.surplus / (step - 0.5)).log2();
        // Just after the moment itself, at which it still rounds up.
        Some(self.since + HALF_LIFE.mul_f64(halvings.max(0.0)) + Duration::from_millis(1))
    }

    fn surplus_at(&self, now: Instant) -> f64 {
        let elapsed = now.saturating_duration_since(self.since);
        self.surplus * 0.5_f64.powf(elapsed.as_secs_f64() / HALF_LIFE.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_rises_with_visitors_and_falls_with_time() {
        let mut now = Instant::now();
        let mut demand = Demand::new(PoolSize { min: 1, max: 5 }, now);
        assert_eq!((demand.target(now), demand.next_fall(now)), (1, None));
        for target in [2, 3, 4, 5, 5, 5] {
            demand.on_empty(now);
            assert_eq!(demand.target(now), target);
        }
        let mut falls = Vec::new();
        while let Some(at) = demand.next_fall(now) {
            assert_eq!(demand.target(at - Duration::from_millis(2)), demand.target(now));
            falls.push((demand.target(now), demand.target(at)));
            now = at;
        }
        assert_eq!(falls, [(5, 4), (4, 3), (3, 2), (2, 1)]);
        assert_eq!(demand.target(now), 1);
    }

    #[test]
    fn it_keeps_within_its_bounds_and_off_stays_off() {
        let now = Instant::now();
        for (min, max) in [(0, 0), (3, 3), (0, 1)] {
            let mut demand = Demand::new(PoolSize { min, max }, now);
            for _ in 0..100 {
                demand.on_empty(now);
                assert!((min..=max).contains(&demand.target(now)));
            }
            let later = now + 100 * HALF_LIFE;
            assert_eq!((demand.target(later), demand.next_fall(later)), (min, None));
        }
    }
}

//! What was counted in the course of a soak.

use std::time::Duration;

use crate::census::Census;

/// Each census and when it was taken.
#[derive(Debug, Default)]
pub(crate) struct Course(Vec<(Duration, Census)>);

impl Course {
    /// Another one.
    pub(crate) fn take(&mut self, when: Duration, census: Census) {
        self.0.push((when, census));
    }

    /// The largest of each count, in the order of [`Census::counts`].
    pub(crate) fn most(&self) -> [usize; 7] {
        let mut most = [0; 7];
        for (_, census) in &self.0 {
            for (most, (_, count, _)) in most.iter_mut().zip(census.counts()) {
                *most = count.max(*most);
            }
        }
        most
    }

    /// The most memory, in bytes.
    pub(crate) fn most_memory(&self) -> u64 {
        self.0.iter().map(|(_, census)| census.memory).max().unwrap_or(0)
    }

    /// The first and the last memory, in bytes.
    pub(crate) fn ends(&self) -> (u64, u64) {
        let of = |one: Option<&(Duration, Census)>| one.map_or(0, |(_, census)| census.memory);
        (of(self.0.first()), of(self.0.last()))
    }

    /// How memory grew in the second half, when all visitors have long been there: the line of
    /// least squares, in bytes a minute.
    pub(crate) fn slope(&self) -> f64 {
        let half = &self.0[self.0.len() / 2..];
        let at =
            |(when, census): &(Duration, Census)| (when.as_secs_f64() / 60.0, census.memory as f64);
        let count = half.len() as f64;
        let (mut x, mut y) = (0.0, 0.0);
        for (minutes, bytes) in half.iter().map(at) {
            x += minutes / count;
            y += bytes / count;
        }
        let (mut above, mut below) = (0.0, 0.0);
        for (minutes, bytes) in half.iter().map(at) {
            above += (minutes - x) * (bytes - y);
            below += (minutes - x) * (minutes - x);
        }
        if below > 0.0 { above / below } else { 0.0 }
    }
}

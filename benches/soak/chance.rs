//! Chance that can be repeated: xorshift64* from a seed.

/// A source of numbers.
#[derive(Clone, Debug)]
pub(crate) struct Chance(u64);

impl Chance {
    /// One of many that share a seed and differ.
    pub(crate) fn new(seed: u64, which: u64) -> Chance {
        // Any odd factor spreads the streams; zero is the one state that never moves.
        Chance((seed ^ which.wrapping_mul(0x9e37_79b9_7f4a_7c15)).max(1))
    }

    /// A number from `low` on and below `high`.
    pub(crate) fn between(&mut self, low: u64, high: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        low + self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) % (high - low)
    }
}

//! Counts of what lives, by whom it belongs to, with a bound for each.

use std::hash::Hash;
use std::sync::Arc;

use dashmap::DashMap;

/// The counts. A key whose count is 0 takes no room.
#[derive(Debug)]
pub struct Tally<K: Eq + Hash> {
    counts: DashMap<K, usize>,
}

/// One of the things counted; dropping it counts it off.
#[derive(Debug)]
pub struct Share<K: Eq + Hash> {
    tally: Arc<Tally<K>>,
    key: K,
}

impl<K: Eq + Hash + Clone> Tally<K> {
    /// Nothing yet.
    pub fn new() -> Arc<Tally<K>> {
        Arc::new(Tally { counts: DashMap::new() })
    }

    /// One more of `key`, if it has fewer than `most`.
    pub fn take(self: &Arc<Self>, key: K, most: usize) -> Option<Share<K>> {
        let mut count = self.counts.entry(key.clone()).or_insert(0);
        if *count >= most {
            drop(count);
            // With a bound of 0 there may be an entry that no dropped share would remove.
            self.counts.remove_if(&key, |_, count| *count == 0);
            return None;
        }
        *count += 1;
        drop(count);
        Some(Share { tally: Arc::clone(self), key })
    }
}

impl<K: Eq + Hash> Drop for Share<K> {
    fn drop(&mut self) {
        self.tally.counts.remove_if_mut(&self.key, |_, count| {
            *count -= 1;
            *count == 0
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_own_bound_and_what_is_dropped_makes_room() {
        let tally = Tally::new();
        let first = tally.take("a", 2).unwrap();
        let _second = tally.take("a", 2).unwrap();
        assert!(tally.take("a", 2).is_none());
        let other = tally.take("b", 2).unwrap();
        drop(first);
        let third = tally.take("a", 2).unwrap();
        drop((other, third));
        assert!(tally.take("c", 0).is_none());
        assert_eq!(tally.counts.len(), 1, "whoever has nothing takes no room");
    }
}

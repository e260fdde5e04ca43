//! Counts of what lives, by whom it belongs to, with a bound for each.

use std::hash::Hash;
use std::net::IpAddr;
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

/// A bound on how many of something live at one time, and one on those of each address.
#[derive(Debug)]
pub struct Quota {
    counts: Arc<Tally<Member>>,
    most: usize,
    most_of_address: usize,
}

/// What a quota counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Member {
    All,
    Address(IpAddr),
}

/// One of the things that a quota bounds; dropping it gives its place back.
#[derive(Debug)]
pub struct QuotaShare {
    _of_address: Share<Member>,
    _of_all: Share<Member>,
}

/// Which bound of a quota is reached, and what it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaExceeded {
    /// That of all together.
    All(usize),
    /// That of one address.
    Address(usize),
}

impl Quota {
    /// Nothing is taken yet.
    pub fn new(most: usize, most_of_address: usize) -> Quota {
        Quota { counts: Tally::new(), most, most_of_address }
    }

    /// One more, of this address. A place that the address has is given back where all are taken.
    pub fn take(&self, address: IpAddr) -> Result<QuotaShare, QuotaExceeded> {
        let take = |member, most| self.counts.take(member, most);
        let of_address = take(Member::Address(address), self.most_of_address)
            .ok_or(QuotaExceeded::Address(self.most_of_address))?;
        let of_all = take(Member::All, self.most).ok_or(QuotaExceeded::All(self.most))?;
        Ok(QuotaShare { _of_address: of_address, _of_all: of_all })
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

    #[test]
    fn a_quota_is_never_exceeded_however_many_ask_at_one_moment() {
        let quota = Quota::new(5, 3);
        let held = std::sync::Mutex::new(Vec::new());
        std::thread::scope(|scope| {
            for thread in 0..8_u8 {
                let (quota, held) = (&quota, &held);
                scope.spawn(move || {
                    for turn in 0..200_u32 {
                        let address = [192, 0, 2, thread % 2].into();
                        if let Ok(share) = quota.take(address) {
                            let mut held = held.lock().unwrap();
                            held.push((address, share));
                            let own = held.iter().filter(|(other, _)| *other == address).count();
                            assert!(held.len() <= 5 && own <= 3, "{} {own}", held.len());
                            if turn % 2 == 0 {
                                held.swap_remove(0);
                            }
                        }
                    }
                });
            }
        });
        drop(held);
        assert_eq!(quota.counts.counts.len(), 0, "what is given back takes no room");
    }
}

//! Gives each container a user id of its own, so that no two sessions share what the kernel counts
//! by user: pending signals and timers, inotify watches, message queues, processes.
//!
//! Ids are drawn at random, because gateways on one engine do not know each other's. Among a
//! thousand containers the chance that two have the same id is about one in a hundred; those two
//! then share quotas and nothing else.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::facts::Facts;
use crate::sandbox::SandboxError;

/// First user id of containers where ids are not mapped: above those of the local backend, and in
/// the range that systemd's table of ids calls unused, up to 2147352575.
const FIRST: u32 = 2_100_000_000;
/// Up to below 2147352576, and below 2^31, where runtimes stop counting.
const COUNT: u32 = 47_000_000;

/// First user id for an engine that maps users: it has 65,536 ids in most cases, and those below
/// this one belong to the image's own users.
const FIRST_MAPPED: u32 = 10_000;
const COUNT_MAPPED: u32 = 50_000;

const _: () = assert!(FIRST as u64 + COUNT as u64 <= 2_147_352_575);
const _: () = assert!(FIRST_MAPPED as u64 + (COUNT_MAPPED as u64) < 1 << 16);

/// The ids of one gateway's containers.
#[derive(Debug)]
pub(super) struct UserIds {
    first: u32,
    count: u32,
    /// Held for a few instructions, never across an await.
    taken: Arc<Mutex<HashSet<u32>>>,
}

/// A user id while a container may have it.
#[derive(Debug)]
pub(super) struct UserId {
    /// UserId and group in the container.
    pub(super) id: u32,
    taken: Arc<Mutex<HashSet<u32>>>,
}

impl UserIds {
    /// The ids that an engine can give to a container.
    pub(super) fn of(facts: &Facts) -> UserIds {
        let (first, count) = match facts.rootless || facts.user_namespace {
            true => (FIRST_MAPPED, COUNT_MAPPED),
            false => (FIRST, COUNT),
        };
        UserIds { first, count, taken: Arc::default() }
    }

    /// An id that no container of this gateway has.
    pub(super) fn take(&self) -> Result<UserId, SandboxError> {
        let random = || {
            getrandom::u32().map_err(|error| SandboxError::Step {
                operation: "get random bytes from the kernel".into(),
                cause: Box::new(std::io::Error::other(error)),
            })
        };
        loop {
            let id = self.first + random()? % self.count;
            let mut taken = lock(&self.taken);
            if taken.len() >= self.count as usize {
                return Err(SandboxError::Unsupported(format!(
                    "all {} user ids of containers are in use: end sessions",
                    self.count
                )));
            }
            if taken.insert(id) {
                return Ok(UserId { id, taken: self.taken.clone() });
            }
        }
    }
}

impl Drop for UserId {
    fn drop(&mut self) {
        lock(&self.taken).remove(&self.id);
    }
}

fn lock(taken: &Mutex<HashSet<u32>>) -> MutexGuard<'_, HashSet<u32>> {
    taken.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_containers_have_one_id_and_it_is_in_the_engines_range() {
        let plain = Facts::default();
        let mapped = Facts { user_namespace: true, ..Facts::default() };
        let rootless = Facts { rootless: true, ..Facts::default() };
        for (facts, range) in [
            (plain, 2_100_000_000..2_147_000_000),
            (mapped, 10_000..60_000),
            (rootless, 10_000..60_000),
        ] {
            let users = UserIds::of(&facts);
            let taken: Vec<UserId> = (0..2000).map(|_| users.take().unwrap()).collect();
            let ids: HashSet<u32> = taken.iter().map(|user| user.id).collect();
            assert_eq!(ids.len(), taken.len());
            assert!(ids.iter().all(|id| range.contains(id)), "{range:?}");
            drop(taken);
            assert!(lock(&users.taken).is_empty(), "and can be had again");
        }
    }

    #[test]
    fn the_last_one_is_given_and_one_more_is_refused() {
        let users = UserIds { first: 5, count: 3, taken: Arc::default() };
        let all = [users.take().unwrap(), users.take().unwrap(), users.take().unwrap()];
        assert!(users.take().unwrap_err().to_string().contains("all 3 user ids"));
        drop(all);
        assert!((5..8).contains(&users.take().unwrap().id));
    }
}

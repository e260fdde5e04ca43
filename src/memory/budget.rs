//! Counts the memory that clients and sandboxes make the gateway hold, and bounds the sum.
//!
//! ```text
//!   Budget (one a gateway) ◄── Account (one a session, one for requests) ◄── Charge (one a holding)
//! ```
//! Each queue has a bound of its own; this is the bound on all of them together. What has not been
//! accepted yet asks first ([`Account::try_charge`]) and is refused with [`Exhausted`]. What has
//! been read already, such as a cell's output, is counted in any case ([`Account::charge`]), and
//! its session stops reading more while the budget is *under pressure*.
//!
//! Large holdings are refused earlier than small ones, and one account cannot take all of the
//! budget: a session that fills it with large results does not keep others from running small
//! cells.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::watch;

/// What any holding may ask for as long as the budget has any room at all, in bytes: a cell or a
/// message of usual size.
const SMALL_BYTES: usize = 64 << 10; // 64 KiB

/// What of its output a session may always hold, in bytes, so that each goes on a little whatever
/// the others hold: a cell that could not write would never end, and what waits behind it would
/// never be given back. The sum is bounded by the budget plus this for every session.
pub const FLOOR_BYTES: usize = 256 << 10; // 256 KiB

/// The memory of one gateway.
#[derive(Clone, Debug)]
pub struct Budget(Arc<Gateway>);

#[derive(Debug)]
struct Gateway {
    limit: usize,
    used: AtomicUsize,
    /// The value that `pressure` has, for a look without a lock.
    pressed: AtomicBool,
    pressure: watch::Sender<bool>,
}

/// The part of a budget that one session, or all requests outside of sessions, hold.
#[derive(Clone, Debug)]
pub struct Account(Arc<Holder>);

#[derive(Debug)]
struct Holder {
    budget: Budget,
    used: AtomicUsize,
    /// What of `used` was never asked for: output, and what waits for the driver and the disk.
    unasked: AtomicUsize,
}

/// Bytes that are held. Dropping it gives them back.
#[derive(Debug)]
pub struct Charge {
    account: Account,
    bytes: usize,
    /// Counts whether there is room or not.
    unasked: bool,
}

/// Tells when the budget comes under pressure, and when it is relieved.
#[derive(Clone, Debug)]
pub struct Pressure(watch::Receiver<bool>);

/// The budget, or one session's part of it, has no room.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the gateway holds as much for its clients as it may (setting memory_budget); try again when \
     cells have ended and output has been read"
)]
pub struct Exhausted;

impl Budget {
    /// Nothing is held yet, and at most about `limit` bytes may be.
    pub fn new(limit: usize) -> Budget {
        let (pressed, pressure) = (AtomicBool::new(false), watch::Sender::new(false));
        Budget(Arc::new(Gateway { limit, used: AtomicUsize::new(0), pressed, pressure }))
    }

    /// An account that holds nothing yet.
    pub fn account(&self) -> Account {
        let (used, unasked) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Account(Arc::new(Holder { budget: self.clone(), used, unasked }))
    }

    /// Bytes held now.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::SeqCst)
    }

    /// Bytes that may be held.
    pub fn limit(&self) -> usize {
        self.0.limit
    }

    /// Bytes from which on sessions read no more output and keep less of what they have.
    fn high(&self) -> usize {
        self.0.limit / 8 * 7
    }

    /// Bytes below which they go on.
    fn low(&self) -> usize {
        self.0.limit / 4 * 3
    }

    /// Bytes from which on large holdings are refused: less than `low`, so that they alone do not
    /// keep the budget under pressure.
    fn large(&self) -> usize {
        self.0.limit / 8 * 5
    }

    fn add(&self, bytes: usize) {
        let used = self.0.used.fetch_add(bytes, Ordering::SeqCst) + bytes;
        if used >= self.high() && !self.0.pressed.load(Ordering::SeqCst) {
            self.settle();
        }
    }

    fn subtract(&self, bytes: usize) {
        let used = self.0.used.fetch_sub(bytes, Ordering::SeqCst) - bytes;
        if used < self.low() && self.0.pressed.load(Ordering::SeqCst) {
            self.settle();
        }
    }

    /// Tells those who wait whether the budget is under pressure. Looks again after each change,
    /// because another thread may have found the old value and left the change to us.
    fn settle(&self) {
        let update = |told: &mut bool| {
            let used = self.used();
            let pressed = if *told { used >= self.low() } else { used >= self.high() };
            self.0.pressed.store(pressed, Ordering::SeqCst);
            std::mem::replace(told, pressed) != pressed
        };
        while self.0.pressure.send_if_modified(update) {}
    }
}

impl Account {
    /// Counts bytes that are held in any case, such as output that has been read.
    pub fn charge(&self, bytes: usize) -> Charge {
        let mut charge = Charge { account: self.clone(), bytes: 0, unasked: true };
        charge.set(bytes);
        charge
    }

    /// Nothing yet, for what will ask before it grows.
    pub fn request(&self) -> Charge {
        Charge { account: self.clone(), bytes: 0, unasked: false }
    }

    /// Counts bytes if there is room for them.
    pub fn try_charge(&self, bytes: usize) -> Result<Charge, Exhausted> {
        let mut charge = self.request();
        charge.try_set(bytes)?;
        Ok(charge)
    }

    /// Bytes held on this account.
    pub fn used(&self) -> usize {
        self.0.used.load(Ordering::SeqCst)
    }

    /// Whether this account is to hold less output: the gateway's budget is nearly used up, and
    /// this account holds more of it than each may.
    pub fn is_pressed(&self) -> bool {
        let unasked = || self.0.unasked.load(Ordering::SeqCst);
        self.0.budget.0.pressed.load(Ordering::SeqCst) && unasked() > FLOOR_BYTES
    }

    /// For waiting until the budget comes under pressure or is relieved.
    pub fn pressure(&self) -> Pressure {
        Pressure(self.0.budget.0.pressure.subscribe())
    }

    /// Whether `more` bytes may be added to a holding that will then have `bytes`.
    fn has_room(&self, more: usize, bytes: usize) -> bool {
        let budget = &self.0.budget;
        let fits = |used: usize, limit: usize| used.saturating_add(more) <= limit;
        if bytes <= SMALL_BYTES {
            return fits(budget.used(), budget.limit());
        }
        fits(budget.used(), budget.large()) && fits(self.used(), budget.limit() / 4)
    }
}

impl Charge {
    /// Holds `bytes` from now on.
    pub fn set(&mut self, bytes: usize) {
        let Holder { budget, used, unasked } = &*self.account.0;
        match bytes.checked_sub(self.bytes) {
            Some(0) => {}
            Some(more) => {
                used.fetch_add(more, Ordering::SeqCst);
                if self.unasked {
                    unasked.fetch_add(more, Ordering::SeqCst);
                }
                budget.add(more);
            }
            None => {
                let less = self.bytes - bytes;
                used.fetch_sub(less, Ordering::SeqCst);
                if self.unasked {
                    unasked.fetch_sub(less, Ordering::SeqCst);
                }
                budget.subtract(less);
            }
        }
        self.bytes = bytes;
    }

    /// Holds `bytes` from now on, if there is room for what is more than before.
    pub fn try_set(&mut self, bytes: usize) -> Result<(), Exhausted> {
        if bytes > self.bytes && !self.account.has_room(bytes - self.bytes, bytes) {
            return Err(Exhausted);
        }
        self.set(bytes);
        Ok(())
    }

    /// The same for a message on its way in. There is room for it when other large holdings are
    /// refused already: a whole message can be refused with a word, and the sender of half a
    /// message only be disconnected.
    pub fn try_receive(&mut self, bytes: usize) -> Result<(), Exhausted> {
        let more = bytes.saturating_sub(self.bytes);
        let budget = &self.account.0.budget;
        if bytes > SMALL_BYTES && budget.used().saturating_add(more) > budget.high() {
            return Err(Exhausted);
        }
        self.set(bytes);
        Ok(())
    }

    /// What is held, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

impl Pressure {
    /// Waits until the budget comes under pressure or is relieved. Safe to drop and call again.
    pub async fn changed(&mut self) {
        if self.0.changed().await.is_err() {
            // The budget is gone, and with it all that could change.
            std::future::pending().await
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn what_is_dropped_is_given_back() {
        let budget = Budget::new(64 * MIB);
        let (one, other) = (budget.account(), budget.account());
        let mut charge = one.charge(MIB);
        let second = other.try_charge(3 * MIB).unwrap();
        assert_eq!((one.used(), other.used(), budget.used()), (MIB, 3 * MIB, 4 * MIB));
        charge.set(5);
        assert_eq!((charge.bytes(), budget.used()), (5, 3 * MIB + 5));
        drop((charge, second));
        assert_eq!((one.used(), other.used(), budget.used()), (0, 0, 0));
    }

    #[test]
    fn large_holdings_are_refused_before_small_ones_and_one_account_gets_a_quarter() {
        let budget = Budget::new(64 * MIB);
        let greedy = budget.account();
        assert_eq!(greedy.try_charge(17 * MIB).unwrap_err(), Exhausted);
        let held = greedy.try_charge(16 * MIB).unwrap();
        assert!(greedy.try_charge(SMALL_BYTES + 1).is_err());
        assert!(greedy.try_charge(SMALL_BYTES).is_ok());
        let others: Vec<_> =
            (0..4).filter_map(|_| budget.account().try_charge(12 * MIB).ok()).collect();
        assert_eq!(others.len(), 2, "five eighths are for large holdings");
        assert!(budget.account().try_charge(SMALL_BYTES).is_ok());
        let rest = budget.account().charge(24 * MIB);
        assert!(budget.account().try_charge(1).is_err(), "all is held");
        drop((held, rest));
        drop(others);
        let mut growing = budget.account().try_charge(1).unwrap();
        assert!(growing.try_set(16 * MIB).is_ok());
        assert!(growing.try_set(16 * MIB + 1).is_err());
        assert_eq!(growing.bytes(), 16 * MIB, "what was held stays held");
        let mut incoming = greedy.request();
        assert!(incoming.try_receive(budget.high() - budget.used()).is_ok());
        assert!(incoming.try_receive(budget.high()).is_err());
    }

    #[tokio::test]
    async fn pressure_begins_near_the_limit_and_ends_well_below_it() {
        let budget = Budget::new(64 * MIB);
        let (large, small) = (budget.account(), budget.account());
        let mut pressure = small.pressure();
        let tiny = small.charge(FLOOR_BYTES);
        let mut charge = large.charge(55 * MIB);
        assert!(!large.is_pressed());
        charge.set(60 * MIB);
        pressure.changed().await;
        assert!(large.is_pressed() && !small.is_pressed(), "who holds little goes on");
        charge.set(49 * MIB);
        assert!(large.is_pressed());
        charge.set(40 * MIB);
        pressure.changed().await;
        assert!(!large.is_pressed());
        drop((tiny, charge));
        // Large holdings that were asked for do not stop those who made them from writing.
        let held = small.try_charge(13 * MIB).unwrap();
        let rest = large.charge(50 * MIB);
        assert!(large.is_pressed() && !small.is_pressed());
        drop((held, rest));
    }

    #[test]
    fn many_threads_leave_nothing_behind() {
        let budget = Budget::new(MIB);
        std::thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let account = budget.account();
                    for round in 0..20_000 {
                        drop(account.charge(round % 7 * (MIB / 8)));
                    }
                });
            }
        });
        assert_eq!(budget.used(), 0);
        assert!(!*budget.0.pressure.borrow(), "nobody is left waiting");
    }
}

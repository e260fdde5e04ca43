//! How much one client may say: messages beyond its rate are refused, and a client that goes on
//! being refused, for whatever reason, is disconnected.

use std::num::NonZeroU32;
use std::time::Duration;

use governor::clock::{Clock, DefaultClock};
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};

use crate::protocol::client::ClientMessage;
use crate::protocol::refusal::{ErrorCode, Refusal};
use crate::protocol::{Close, CloseCode};

/// Seconds' worth of messages that may come in one moment.
pub const BURST_SECONDS: u32 = 10;

/// What a message is worth.
pub(super) type Said = Result<ClientMessage, Refusal>;

type Limiter<C> = RateLimiter<NotKeyed, InMemoryState, C, NoOpMiddleware<<C as Clock>::Instant>>;

/// One connection's allowance. `None`: it may say anything.
pub(super) struct Budget<C: Clock = DefaultClock>(Option<Limits<C>>);

struct Limits<C: Clock> {
    messages: Limiter<C>,
    /// Slower by far: no well-behaved client is refused for long.
    refusals: Limiter<C>,
}

impl Budget {
    /// `per_second` messages, and [`BURST_SECONDS`] times as many in one moment; as many refusals
    /// in one moment, and then a tenth of `per_second`. `None`: any number of either.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Budget {
        Budget::timed(per_second, &DefaultClock::default())
    }
}

impl<C: Clock + Clone> Budget<C> {
    fn timed(per_second: Option<NonZeroU32>, clock: &C) -> Budget<C> {
        Budget(per_second.map(|rate| {
            let burst = rate.saturating_mul(TEN);
            let limiter = |quota: Quota| {
                RateLimiter::direct_with_clock(quota.allow_burst(burst), clock.clone())
            };
            let seldom = Quota::with_period(Duration::from_secs(10) / rate.get());
            Limits {
                messages: limiter(Quota::per_second(rate)),
                refusals: limiter(seldom.unwrap_or(Quota::per_second(rate))),
            }
        }))
    }

    /// What is to be passed on in a message's place, or how the connection ends.
    pub(super) fn admit(&mut self, said: Said) -> Result<Said, Close> {
        let Some(limits) = &self.0 else { return Ok(said) };
        // Credit is not heard by the session, and without it nothing would go on.
        if matches!(said, Ok(ClientMessage::Ack { .. })) {
            return Ok(said);
        }
        let said = if limits.messages.check().is_ok() { said } else { Err(too_many(said)) };
        if said.is_err() && limits.refusals.check().is_err() {
            return Err(Close::new(
                CloseCode::TooMany,
                "too many messages had to be refused; heed protocol_error and send fewer a second",
            ));
        }
        Ok(said)
    }
}

/// Names the cell or the query that a message was about.
fn too_many(said: Said) -> Refusal {
    let refusal = Refusal::new(ErrorCode::RateLimited, "too many messages; send fewer a second");
    match said {
        Ok(ClientMessage::Execute(execute)) => match execute.id {
            Some(id) => refusal.of(id),
            None => refusal,
        },
        Ok(ClientMessage::Query(query)) => refusal.of(query.id),
        _ => refusal,
    }
}

/// [`BURST_SECONDS`] as a number that is never 0.
const TEN: NonZeroU32 = match NonZeroU32::new(BURST_SECONDS) {
    Some(ten) => ten,
    None => NonZeroU32::MIN,
};

#[cfg(test)]
mod tests {
    use governor::clock::FakeRelativeClock;

    use super::*;

    fn interrupt() -> Said {
        Ok(ClientMessage::Interrupt { id: None, interpreter: None })
    }

    fn nonsense() -> Said {
        Err(Refusal::new(ErrorCode::BadJson, "nonsense"))
    }

    /// Two messages a second, by a clock that the test advances.
    fn two_a_second() -> (Budget<FakeRelativeClock>, FakeRelativeClock) {
        let clock = FakeRelativeClock::default();
        (Budget::timed(NonZeroU32::new(2), &clock), clock)
    }

    /// Says it again and again; answers how often it passed and was refused before the end.
    fn until_closed(
        budget: &mut Budget<FakeRelativeClock>,
        say: fn() -> Said,
    ) -> (u32, u32, Close) {
        let (mut passed, mut refused) = (0, 0);
        loop {
            match budget.admit(say()) {
                Ok(Ok(_)) => passed += 1,
                Ok(Err(_)) => refused += 1,
                Err(close) => return (passed, refused, close),
            }
        }
    }

    #[test]
    fn a_burst_passes_what_follows_is_refused_and_who_goes_on_is_disconnected() {
        let (mut budget, _) = two_a_second();
        let (passed, refused, close) = until_closed(&mut budget, interrupt);
        assert_eq!((passed, refused), (20, 20));
        assert_eq!(close.code, CloseCode::TooMany);
    }

    #[test]
    fn who_sends_nonsense_without_end_is_disconnected() {
        let (mut budget, _) = two_a_second();
        let (passed, refused, close) = until_closed(&mut budget, nonsense);
        assert_eq!((passed, refused), (0, 20));
        assert_eq!(close.code, CloseCode::TooMany);
    }

    #[test]
    fn twice_the_rate_is_refused_half_the_time_and_ends_all_the_same() {
        let (mut budget, clock) = two_a_second();
        for message in 1.. {
            assert!(message < 200, "it goes on for ever");
            if budget.admit(interrupt()).is_err() {
                // 20 at once, two a second until 22 refusals were too many.
                assert!(message > 60, "only {message}");
                return;
            }
            clock.advance(Duration::from_millis(250));
        }
    }

    #[test]
    fn who_is_refused_now_and_then_goes_on_for_ever() {
        let (mut budget, clock) = two_a_second();
        for message in 0..10_000 {
            let said = if message % 10 == 0 { nonsense() } else { interrupt() };
            assert_eq!(budget.admit(said).unwrap().is_err(), message % 10 == 0);
            clock.advance(Duration::from_millis(500));
        }
    }

    #[test]
    fn a_refusal_names_the_cell_and_acknowledgements_always_pass() {
        let (mut budget, _) = two_a_second();
        let execute = || {
            let id = Some("a".to_owned());
            let execute = crate::protocol::client::Execute { id, ..Default::default() };
            Ok(ClientMessage::Execute(execute))
        };
        let refusal = loop {
            if let Err(refusal) = budget.admit(execute()).unwrap() {
                break refusal;
            }
        };
        assert_eq!((refusal.code, refusal.id.as_deref()), (ErrorCode::RateLimited, Some("a")));
        for seq in 0..1000 {
            assert!(budget.admit(Ok(ClientMessage::Ack { seq })).unwrap().is_ok());
        }
        assert!(Budget::new(None).admit(nonsense()).unwrap().is_err());
    }
}

//! How much one client may say: messages beyond its rate are refused, and a client that goes on
//! all the same is disconnected.

use std::num::NonZeroU32;

use governor::{DefaultDirectRateLimiter, Quota, RateLimiter};

use crate::protocol::client::{ClientMessage, Refusal};
use crate::protocol::reply::ErrorCode;
use crate::protocol::{Close, CloseCode};

/// Seconds' worth of messages that may come in one moment.
pub const BURST_SECONDS: u32 = 10;

/// What a message is worth.
pub(super) type Said = Result<ClientMessage, Refusal>;

/// One connection's allowance.
pub(super) struct Budget {
    limiter: Option<DefaultDirectRateLimiter>,
    /// Refused since one was last admitted.
    refused: u32,
    /// Refusals in a row after which the connection ends.
    patience: u32,
}

impl Budget {
    /// `per_second` messages, and [`BURST_SECONDS`] times as many in one moment. `None`: any
    /// number.
    pub(super) fn new(per_second: Option<NonZeroU32>) -> Budget {
        let burst = per_second.map(|rate| rate.saturating_mul(ten()));
        let quota = |rate| Quota::per_second(rate).allow_burst(burst.unwrap_or(rate));
        Budget {
            limiter: per_second.map(|rate| RateLimiter::direct(quota(rate))),
            refused: 0,
            patience: burst.map_or(u32::MAX, NonZeroU32::get),
        }
    }

    /// What is to be passed on in a message's place, or how the connection ends.
    pub(super) fn admit(&mut self, said: Said) -> Result<Said, Close> {
        let Some(limiter) = &self.limiter else { return Ok(said) };
        // Credit is not heard by the session, and without it nothing would go on.
        if matches!(said, Ok(ClientMessage::Ack { .. })) || limiter.check().is_ok() {
            self.refused = 0;
            return Ok(said);
        }
        self.refused += 1;
        if self.refused > self.patience {
            return Err(Close::new(CloseCode::TooMany, "too many messages; send fewer a second"));
        }
        let refusal =
            Refusal::new(ErrorCode::RateLimited, "too many messages; send fewer a second");
        Ok(Err(match said {
            Ok(ClientMessage::Execute(execute)) => match execute.id {
                Some(id) => refusal.of(id),
                None => refusal,
            },
            Ok(ClientMessage::Query(query)) => refusal.of(query.id),
            _ => refusal,
        }))
    }
}

/// [`BURST_SECONDS`] as a number that is never 0.
const fn ten() -> NonZeroU32 {
    match NonZeroU32::new(BURST_SECONDS) {
        Some(ten) => ten,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn interrupt() -> Said {
        Ok(ClientMessage::Interrupt { id: None })
    }

    #[test]
    fn a_burst_passes_what_follows_is_refused_and_who_goes_on_is_disconnected() {
        let mut budget = Budget::new(NonZeroU32::new(1));
        for _ in 0..10 {
            assert!(budget.admit(interrupt()).unwrap().is_ok());
        }
        // At one a second, a test this quick gets no more than a few beyond its burst.
        let mut refused = 0;
        let close = loop {
            match budget.admit(interrupt()) {
                Ok(Ok(_)) => {}
                Ok(Err(refusal)) => {
                    assert_eq!(refusal.code, ErrorCode::RateLimited);
                    refused += 1;
                }
                Err(close) => break close,
            }
        };
        assert_eq!(close.code, CloseCode::TooMany);
        assert!(refused >= 10);
    }

    #[test]
    fn a_refusal_names_the_cell_and_acknowledgements_always_pass() {
        let mut budget = Budget::new(NonZeroU32::new(1));
        let execute = || {
            let id = Some("a".to_owned());
            Ok(ClientMessage::Execute(crate::protocol::client::Execute {
                id,
                ..Default::default()
            }))
        };
        let refusal = loop {
            if let Err(refusal) = budget.admit(execute()).unwrap() {
                break refusal;
            }
        };
        assert_eq!(refusal.id.as_deref(), Some("a"));
        for seq in 0..1000 {
            assert!(budget.admit(Ok(ClientMessage::Ack { seq })).unwrap().is_ok());
        }
        assert!(Budget::new(None).admit(interrupt()).unwrap().is_ok());
    }
}

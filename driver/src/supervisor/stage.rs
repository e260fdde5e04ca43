//! What a runner is doing, from its start to its end; and the end of a process.

use std::time::{Duration, Instant};

use cellgate_driver::wire::ExitCause;

use crate::sys::Death;

/// How long killed processes may take to go. Longer takes only who hangs in the kernel.
const REAP_LIMIT: Duration = Duration::from_secs(2);

/// How often the descendants are killed again where the kernel cannot kill all in one step.
const REAP_AGAIN: Duration = Duration::from_millis(20);

/// What a runner is doing.
pub(crate) enum Stage {
    /// The interpreter starts.
    Starting,
    /// It takes cells.
    Ready,
    /// Its cell did not yield, and it was asked for its stacks.
    Dumping(Dump),
    /// It is dead or was killed, and not all of it is carried and reaped.
    Ending(Ending),
}

/// Stacks on their way from an interpreter.
pub(crate) struct Dump {
    /// What arrived.
    pub(crate) text: Vec<u8>,
    /// When to stop waiting for more.
    pub(crate) until: Instant,
}

/// What is known of a runner, or of a process, that is dead or dying.
pub(crate) struct Ending {
    /// Why it ends.
    pub(crate) cause: ExitCause,
    /// More about it, for people.
    pub(crate) detail: String,
    /// How it ended, once it was waited for.
    pub(crate) death: Option<Death>,
    /// Whether all else is gone too.
    pub(crate) alone: bool,
    /// Whether it broke the protocol, so that nothing more it said counts.
    pub(crate) mute: bool,
    /// When to go on though something is left.
    pub(crate) give_up: Instant,
    /// When to kill again.
    pub(crate) again: Instant,
}

impl Ending {
    /// The end of one that is about to be killed.
    pub(super) fn new(cause: ExitCause, detail: String, now: Instant) -> Ending {
        Ending {
            cause,
            detail,
            death: None,
            alone: false,
            mute: false,
            give_up: now + REAP_LIMIT,
            again: now + REAP_AGAIN,
        }
    }

    /// Its processes are killed once more.
    pub(super) fn kill_again(&mut self, now: Instant) {
        self.again = now + REAP_AGAIN;
    }

    /// Whether every process has been reaped, or was waited for long enough.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        (self.alone && self.death.is_some()) || now >= self.give_up
    }

    /// When to look again without being told.
    pub(super) fn deadline(&self, now: Instant) -> Option<Instant> {
        (!self.is_over(now)).then_some(self.again.min(self.give_up))
    }
}

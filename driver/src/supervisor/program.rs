//! A program: an interpreter of the sandbox, with its runner, the cell that it runs, and why there is no runner if
//! there is none.

use std::time::Instant;

use cellgate_driver::wire::Setup;

use super::cell::Cell;
use super::ending::Absence;
use super::pipes::Stream;
use super::runner::{Runner, Socket};

/// One program.
pub(super) struct Program {
    /// Its number, which the gateway gave it. The first has 0.
    pub(super) number: u16,
    /// How its interpreter is started.
    pub(super) setup: Setup,
    pub(super) runner: Option<Runner>,
    /// Why there is no runner, when there is none.
    pub(super) absence: Absence,
    /// The cell that runs, from the first fragment of its EXECUTE on.
    pub(super) cell: Option<Cell>,
    /// The newest cell that ended.
    pub(super) last_cell: u32,
    pub(super) incoming: Incoming,
    /// Pipes found ready in this turn.
    pub(super) ready_pipes: Vec<(u32, Stream)>,
    /// Since when a queue to the runner is over its level.
    pub(super) full_since: Option<Instant>,
    /// Whether CLOSE has come: it is forgotten when its processes are gone.
    pub(super) closing: bool,
}

/// Commands of which more fragments are to come.
#[derive(Default)]
pub(super) struct Incoming {
    /// The cell whose EXECUTE is not whole.
    pub(super) receiving: Option<u32>,
    /// The ended cell whose EXECUTE is not whole.
    pub(super) discarding: Option<u32>,
    /// The question that is not whole, and where it goes; nowhere if refused.
    pub(super) asking: Option<(u32, Option<Socket>)>,
}

impl Program {
    /// A program whose interpreter is to be started.
    pub(super) fn new(number: u16, setup: Setup) -> Program {
        Program {
            number,
            setup,
            runner: None,
            absence: Absence::default(),
            cell: None,
            last_cell: 0,
            incoming: Incoming::default(),
            ready_pipes: Vec::new(),
            full_since: None,
            closing: false,
        }
    }
}

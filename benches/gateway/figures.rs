//! The figures: each a question and a function that answers it with rows.

use anyhow::Result;

use crate::options::Options;
use crate::report::Report;

mod cpu;
mod flood;
mod interrupt;
mod lag;
mod memory;
mod neighbour;
mod round_trip;
mod start;

/// Something to measure.
pub(crate) struct Figure {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// What its rows answer.
    pub(crate) question: &'static str,
    /// Measures it.
    pub(crate) measure: fn(&Options, &mut Report) -> Result<()>,
}

/// All of them, in the order of the tables.
pub(crate) const FIGURES: &[Figure] = &[
    Figure {
        name: "round_trip",
        question: "how long from sending a small cell to being told of its end",
        measure: round_trip::measure,
    },
    Figure { name: "lag", question: "how long from a print to its arrival", measure: lag::measure },
    Figure {
        name: "flood",
        question: "how fast much output arrives, every byte of it",
        measure: flood::measure,
    },
    Figure {
        name: "start",
        question: "how long from nothing to ready, to the first byte, to the end of a first cell",
        measure: start::measure,
    },
    Figure {
        name: "memory",
        question: "what a session holds that does nothing, everything counted",
        measure: memory::measure,
    },
    Figure {
        name: "interrupt",
        question: "how long from an interrupt to the end of a cell that floods",
        measure: interrupt::measure,
    },
    Figure {
        name: "cpu",
        question: "what a GiB of output costs in CPU time, and where",
        measure: cpu::measure,
    },
    Figure {
        name: "neighbour",
        question: "what another session's flood does to small cells",
        measure: neighbour::measure,
    },
];

//! What to measure, how often, and with what.

use std::path::PathBuf;

use clap::Parser;

/// Measures cellgate beside a floor and beside rivals
#[derive(Clone, Debug, Parser)]
pub(crate) struct Options {
    /// Figures to measure; all without any
    pub(crate) figures: Vec<String>,
    /// Few repetitions: shows that the benchmarks run, not how fast anything is
    #[arg(long)]
    pub(crate) quick: bool,
    /// Also write what is measured into this document, between its comments `results: begin` and `end`
    #[arg(long)]
    pub(crate) record: Option<PathBuf>,
    /// Exit with 1 if a mark is missed
    #[arg(long)]
    pub(crate) strict: bool,
    /// Backend whose sandboxes are measured
    #[arg(long, default_value = "local", value_parser = ["local", "docker"])]
    pub(crate) backend: String,
    /// Interpreter of the local backend, of the floor and of the rivals
    #[arg(long, default_value = "/usr/bin/python3")]
    pub(crate) python: PathBuf,
    /// Image for Docker: measure the docker backend and `docker run` beside the local backend
    #[arg(long)]
    pub(crate) image: Option<String>,
    /// A Python that has jupyter_kernel_gateway and ipykernel: measure that beside us
    #[arg(long)]
    pub(crate) jupyter: Option<PathBuf>,
    /// Another build of cellgate: measure it beside this one
    #[arg(long)]
    pub(crate) against: Option<PathBuf>,
    /// What cargo adds to the arguments of every benchmark; means nothing here
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
}

impl Options {
    /// The same with Docker's sandboxes, if they can be measured beside local ones.
    pub(crate) fn docker(&self) -> Option<Options> {
        let both = self.backend == "local" && self.image.is_some();
        both.then(|| Options { backend: "docker".to_owned(), ..self.clone() })
    }

    /// A number of repetitions: the full one, or the one of `--quick`.
    pub(crate) fn count(&self, full: usize, quick: usize) -> usize {
        if self.quick { quick } else { full }
    }
}

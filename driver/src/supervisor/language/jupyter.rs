//! Any kernel of Jupyter: CPython executes the bridge of `driver/runner/jupyter`, which starts the kernel.

use super::{CellPipes, JUPYTER_BOOT, JUPYTER_MODULES, Language, RunnerKind};

/// Its row.
pub(super) const JUPYTER: Language = Language {
    name: "jupyter",
    runner: RunnerKind::InInterpreter {
        arguments: &["-c"],
        boot: JUPYTER_BOOT,
        modules: JUPYTER_MODULES,
    },
    pipes: CellPipes::Sent,
};

//! Python: CPython executes the boot code of `driver/runner/python`.

use super::{CellPipes, Language, PYTHON_BOOT, PYTHON_MODULES, RunnerKind};

/// Its row.
pub(super) const PYTHON: Language = Language {
    name: "python",
    runner: RunnerKind::InInterpreter {
        arguments: &["-c"],
        boot: PYTHON_BOOT,
        modules: PYTHON_MODULES,
    },
    pipes: CellPipes::Sent,
};

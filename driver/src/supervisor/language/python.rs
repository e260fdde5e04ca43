//! Python: CPython executes the boot code of `driver/runner/python`.

use super::{CellPipes, Language, PYTHON_BOOT, PYTHON_MODULES};

/// Its row.
pub(super) const PYTHON: Language = Language {
    name: "python",
    arguments: &["-c"],
    boot: PYTHON_BOOT,
    modules: PYTHON_MODULES,
    pipes: CellPipes::Sent,
};

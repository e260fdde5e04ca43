//! Python: CPython executes the boot code of `driver/runner`.

use super::Language;

include!(concat!(env!("OUT_DIR"), "/runner.rs"));

/// Its row.
pub(super) const PYTHON: Language =
    Language { name: "python", argument: "-c", boot: PYTHON_BOOT, modules: PYTHON_MODULES };

//! Bash: a process of this program beside it (`bash_runner`).

use super::{CellPipes, Language, RunnerKind};

/// Its row.
pub(super) const BASH: Language = Language {
    name: "bash",
    runner: RunnerKind::Beside(crate::bash_runner::run),
    pipes: CellPipes::Fixed,
};

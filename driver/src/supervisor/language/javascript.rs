//! JavaScript: Node executes the boot code of `driver/runner/javascript`.

use super::{CellPipes, JAVASCRIPT_BOOT, JAVASCRIPT_MODULES, Language, RunnerKind};

/// Its row. Node cannot receive descriptors over a socket.
pub(super) const JAVASCRIPT: Language = Language {
    name: "javascript",
    runner: RunnerKind::InInterpreter {
        // The internals hold a parser, which finds `import` in cells.
        arguments: &["--expose-internals", "--input-type=commonjs", "-e"],
        boot: JAVASCRIPT_BOOT,
        modules: JAVASCRIPT_MODULES,
    },
    pipes: CellPipes::Fixed,
};

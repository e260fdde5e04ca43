//! Bash 4.4 or newer.

use super::{Host, Language};

/// Prints a description of the interpreter; works on every bash.
const DESCRIBE: &str = "\
real=$(readlink -f \"$BASH\")
printf '{\"version\": [%d, %d], \"executable\": \"%s\", \"paths\": [\"%s\"]}' \
  \"${BASH_VERSINFO[0]}\" \"${BASH_VERSINFO[1]}\" \"$BASH\" \"${real%/*}\"";

/// The row of bash.
pub(super) const BASH: Language = Language {
    name: "bash",
    title: "bash",
    extensions: &["sh", "bash"],
    oldest: (4, 4),
    host: Host {
        setting: "bash",
        program: "bash",
        usual_paths: &["/usr/bin/bash", "/bin/bash", "/usr/local/bin/bash"],
        describe: &["--norc", "--noprofile", "-c", DESCRIBE],
        kind: "a bash",
        etc: &[],
        etc_prefixes: &[],
        install: "apt install bash, dnf install bash",
        make_environment: "build bash with --prefix=DIR",
    },
    image_command: "bash",
    image: "cellgate-python",
    image_brings: &["python", "javascript"],
    memory_bytes: 256 << 20, // 256 MiB: for what its commands need
    variables: &[],
    shells: &[],
    processor_counts: &[],
};

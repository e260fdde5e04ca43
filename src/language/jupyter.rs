//! Any kernel of Jupyter, reached by a bridge in CPython 3.9 or newer with pyzmq.

use super::{Host, Language, python};

/// Prints a description of the interpreter if a bridge works in it, and else says what to install. Its argument is
/// the bridge's own module that finds kernels; the setting `kernel` is in the variable `CELLGATE_KERNEL`.
const DESCRIBE: &str = "\
import sys
if sys.version_info >= (3, 9):
    specs = {}
    exec(sys.argv[1], specs)
    problem = specs['problem']()
    if problem:
        print(problem, file=sys.stderr)
        sys.exit(78)  # EX_CONFIG
exec(sys.argv[2])";

/// The row of Jupyter's kernels.
pub(super) const JUPYTER: Language = Language {
    name: "jupyter",
    title: "Python with pyzmq",
    extensions: &[],
    oldest: (3, 9),
    host: Host {
        setting: "python",
        program: "python3",
        usual_paths: python::PYTHON.host.usual_paths,
        describe: &["-I", "-c", DESCRIBE, cellgate_driver::KERNEL_SPECS, python::DESCRIBE],
        kind: "a Python 3",
        // Those of Debian's R, whose kernel is the one that most ask for.
        etc: &["matplotlibrc", "R"],
        etc_prefixes: &["python"],
        install: "apt install python3-zmq, or python3 -m venv DIR && DIR/bin/pip install pyzmq",
        make_environment: "python3 -m venv DIR",
    },
    image_command: "python3",
    image: "cellgate-python",
    image_brings: &["bash"],
    memory_bytes: 512 << 20, // 512 MiB: the bridge takes 20 MiB, a kernel of R or Python 60 to 100
    variables: &[("PYTHONUNBUFFERED", "1")],
    shells: &[],
    processor_counts: &["PYTHON_CPU_COUNT"],
};

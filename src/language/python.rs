//! Python: CPython 3.9 or newer.

use super::{Host, Language};

/// Prints a description of the interpreter; works on every Python 3.
pub(super) const DESCRIBE: &str = "\
import json, os, sys
print(json.dumps({
    'version': list(sys.version_info[:2]),
    'executable': sys.executable or '',
    'paths': [p for p in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix,
              os.path.realpath(sys.base_prefix), os.path.realpath(sys.prefix),
              os.path.dirname(os.path.dirname(os.path.realpath(sys.executable or '/usr/bin/x')))}
              | {p for p in sys.path if os.path.isdir(p)} if p],
}))";

/// The row of Python.
pub(super) const PYTHON: Language = Language {
    name: "python",
    title: "Python",
    extensions: &["py"],
    oldest: (3, 9),
    host: Host {
        setting: "python",
        program: "python3",
        usual_paths: &["/usr/bin/python3", "/usr/local/bin/python3"],
        // Isolated (-I): variables and home of the gateway's user are not the sandbox's.
        describe: &["-I", "-c", DESCRIBE],
        kind: "a Python 3",
        etc: &["matplotlibrc"],
        etc_prefixes: &["python"], // Debian keeps a part of each installed Python there
        install: "apt install python3, dnf install python3",
        make_environment: "python3 -m venv DIR",
    },
    image_command: "python3",
    image: "cellgate-python",
    image_brings: &["javascript", "bash"],
    memory_bytes: 512 << 20, // 512 MiB: numpy, pandas and a plot with room to work
    variables: &[
        // Clients see each line when it is written, from Python's child processes too.
        ("PYTHONUNBUFFERED", "1"),
    ],
    shells: &["auto", "ipython", "plain"], // auto: IPython where the interpreter has it
    processor_counts: &["PYTHON_CPU_COUNT"], // what os.cpu_count answers, from Python 3.13 on
};

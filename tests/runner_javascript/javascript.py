"""Plays the supervisor for the JavaScript runner, by the means of the Python runner's tests."""

import importlib.util
import os
import shutil

_spec = importlib.util.spec_from_file_location(
    "runner_harness",
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner", "harness.py"),
)
harness = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(harness)

SOURCES = os.path.join(harness.ROOT, "driver", "runner", "javascript")
NODE = os.environ.get("CELLGATE_TEST_NODE") or shutil.which("node") or "node"
OPTIONS = ["--expose-internals", "--input-type=commonjs"]


class Runner(harness.Runner):
    """One JavaScript runner."""

    fixed_pairs = 8

    def __init__(self, env=None):
        super().__init__(NODE, env)

    def sources(self):
        with open(os.path.join(SOURCES, "boot.js")) as file:
            return file.read(), harness.bundle(SOURCES, ".js")

    def arguments(self, interpreter, boot):
        return [interpreter, *OPTIONS, "-e", boot]

    def write_file(self, name, text):
        """Writes a file into the runner's working directory."""
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w") as file:
            file.write(text)


class RunnerTest(harness.RunnerTest):
    """A test with a fresh JavaScript runner."""

    def setUp(self):
        self.runner = Runner()
        self.addCleanup(self.runner.close)

    def text_of(self, code):
        """The text of a cell's value."""
        return self.run_ok(code).text

"""Plays the supervisor for the bridge to kernels of Jupyter, by the means of the Python runner's tests."""

import importlib.util
import os
import sys

_spec = importlib.util.spec_from_file_location(
    "runner_harness",
    os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "runner", "harness.py"),
)
harness = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(harness)

SOURCES = os.path.join(harness.ROOT, "driver", "runner", "jupyter")
SHARED = ("wire.py", "jsonable.py")  # modules of the Python runner
# An interpreter with pyzmq, ipykernel and bash_kernel; scripts/ci-packages makes one.
PYTHON = os.environ.get("CELLGATE_TEST_NOTEBOOK_PYTHON") or os.path.join(
    os.environ.get("CARGO_TARGET_DIR") or os.path.join(harness.ROOT, "target"), "notebook/bin/python"
)


def kernel_is_there(name):
    directory = os.path.dirname(os.path.dirname(PYTHON))
    return os.path.isfile(os.path.join(directory, "share/jupyter/kernels", name, "kernel.json"))


class Runner(harness.Runner):
    """One bridge with a kernel."""

    def __init__(self, kernel, env=None):
        super().__init__(PYTHON, {**({"CELLGATE_KERNEL": kernel} if kernel else {}), **(env or {})})

    def sources(self):
        with open(os.path.join(harness.SOURCES, "boot.py")) as file:
            boot = file.read()
        shared = harness.bundle(harness.SOURCES, ".py", SHARED)
        return boot, harness.bundle(SOURCES) + shared


class KernelTest(harness.RunnerTest):
    """A test with a fresh kernel."""

    kernel = None

    def setUp(self):
        if not kernel_is_there(self.kernel):
            if os.environ.get("CELLGATE_REQUIRE") == "all":
                self.fail("no kernel %s for %s: run scripts/ci-packages" % (self.kernel, PYTHON))
            print("\nskipped: %s: %s has no kernel %s" % (self.id(), PYTHON, self.kernel), file=sys.stderr)
            self.skipTest("no kernel %s" % self.kernel)
        self.runner = Runner(self.kernel)
        self.addCleanup(self.runner.close)

"""Start-up: what it says, and what it must not cost."""

import os
import unittest

from harness import SOURCES, Runner, RunnerTest, only_in


class Start(RunnerTest):
    def test_ready_names_the_language(self):
        language = self.runner.ready["language"]
        self.assertEqual(language["name"], "python")
        version = self.run_ok("import platform; platform.python_version()").text
        self.assertTrue(version.strip("'").startswith(language["version"]))

    def test_nothing_is_said_on_the_idle_pipes(self):
        self.run_ok("1")
        self.assertEqual(self.runner.cells[0].late, {"stdout": b"", "stderr": b""})

    @only_in("plain")
    def test_what_ready_needs_is_little(self):
        # Bytes compiled before READY stand for its time, which no shared machine can measure.
        size = sum(os.path.getsize(os.path.join(SOURCES, name + ".py")) for name in
                   ("boot", "main", "wire", "link", "session", "signals"))  # fmt: skip
        self.assertLess(size, 29 << 10)
        loaded = eval(
            in_a_fresh_runner(
                "import sys; sorted(m[10:] for m in sys.modules if m.startswith('_cellgate.'))"
            )
        )
        eager = {
            "main",
            "wire",
            "link",
            "session",
            "signals",
            "environment",
            "cell",
            "execute",
            "import_finders",
            "shells",
            "streams",
        }
        warm = {"stdin", "errors", "mime", "display", "suggestions", "jsonable"}
        self.assertLessEqual(set(loaded), eager | warm)

    def test_cells_that_come_before_the_first_quiet_moment_run(self):
        runner = Runner()
        self.addCleanup(runner.close)
        cells = [runner.run("print(%d)\n%d" % (i, i)) for i in range(5)]
        self.assertEqual([cell.text for cell in cells], list("01234"))

    def test_it_runs_without_a_pipe_for_stacks(self):
        runner = Runner(stacks=False)
        self.addCleanup(runner.close)
        self.assertEqual(runner.run("1").text, "1")


def in_a_fresh_runner(code):
    runner = Runner()
    try:
        return runner.run(code).text
    finally:
        runner.close()


if __name__ == "__main__":
    unittest.main()

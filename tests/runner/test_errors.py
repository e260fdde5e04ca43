"""Errors: the cell's own lines, none of ours."""

import unittest

from harness import PYTHON, RunnerTest, only_in


def version():
    import subprocess

    text = subprocess.run(
        [PYTHON, "-c", "import sys; print(*sys.version_info[:2])"], capture_output=True
    ).stdout
    return tuple(map(int, text.split()))


VERSION = version()


class Tracebacks(RunnerTest):
    @only_in("plain")
    def test_they_show_the_lines_of_every_cell_involved(self):
        self.run_ok("def divide(a):\n    # why\n    return a / 0", id="first")
        cell = self.run_error("x = 1\ndivide(x)", "ZeroDivisionError", id="second")
        self.assertEqual(cell.error["value"], "division by zero")
        self.assertEqual(
            [(f.get("cell"), f["line"], f["function"], f["source"]) for f in cell.error["frames"]],
            [("second", 2, "<module>", "divide(x)"), ("first", 3, "divide", "return a / 0")],
        )
        lines = [line for line in cell.traceback.split("\n") if "^" not in line]
        self.assertEqual(
            lines,
            [
                "Traceback (most recent call last):",
                '  File "<cell 2>", line 2, in <module>',
                "    divide(x)",
                '  File "<cell 1>", line 3, in divide',
                "    return a / 0",
                "ZeroDivisionError: division by zero",
            ],
        )

    @only_in("plain")
    def test_they_hold_no_frame_of_ours(self):
        self.run_ok("class Bad:\n    def __str__(self): raise KeyError('inner')")
        for code in ("print(Bad())", "display(1, include=5)", "import linecache; 1/0", "int('x')"):
            cell = self.runner.run(code)
            if cell.error:
                self.assertNotIn("cellgate", cell.traceback)
        cell = self.run_ok(
            "import traceback\ntry:\n    1/0\nexcept ZeroDivisionError:\n    print(traceback.format_exc())"
        )
        self.assertNotIn("cellgate", cell.stdout)
        self.assertIn("    1/0", cell.stdout)

    @only_in("plain")
    def test_causes_and_contexts_are_told_in_order(self):
        cell = self.run_error(
            "try:\n    1/0\nexcept ZeroDivisionError as e:\n    raise ValueError('then') from e"
        )
        text = cell.traceback
        self.assertLess(text.index("ZeroDivisionError"), text.index("direct cause"))
        self.assertLess(text.index("direct cause"), text.index("ValueError: then"))
        cell = self.run_error("try:\n    1/0\nexcept ZeroDivisionError:\n    {}['k']")
        self.assertIn("During handling", cell.traceback)
        cell = self.run_error(
            "try:\n    1/0\nexcept ZeroDivisionError:\n    raise KeyError('alone') from None"
        )
        self.assertNotIn("ZeroDivisionError", cell.traceback)

    @only_in("plain")
    def test_a_loop_of_causes_ends(self):
        cell = self.run_error(
            "a, b = ValueError('a'), ValueError('b')\na.__cause__ = b; b.__cause__ = a\nraise a"
        )
        self.assertEqual(cell.traceback.count("direct cause"), 1)

    @unittest.skipIf(VERSION < (3, 11), "groups and notes came with 3.11")
    @only_in("plain")
    def test_groups_and_notes_are_shown(self):
        cell = self.run_error(
            "e = ExceptionGroup('several', [ValueError('one'), ExceptionGroup('in', [KeyError('two')])])\n"
            "e.add_note('a note')\nraise e",
            "ExceptionGroup",
        )
        for part in (
            "several (2 sub-exceptions)",
            "ValueError: one",
            "KeyError: 'two'",
            "a note",
            "| ",
        ):
            self.assertIn(part, cell.traceback)

    @unittest.skipIf(VERSION < (3, 11), "columns came with 3.11")
    @only_in("plain")
    def test_carets_point_at_what_failed(self):
        cell = self.run_error("a, b = 1, 0\nc = 'é' and (a / b) + 1")
        lines = cell.traceback.split("\n")
        at = next(i for i, line in enumerate(lines) if line.strip().startswith("^"))
        line, carets = lines[at - 1], lines[at]
        self.assertEqual(line[carets.index("^") : carets.rindex("^") + 1], "a / b")

    def test_there_are_colours(self):
        cell = self.run_error("1/0")
        self.assertTrue(any("\x1b[" in line for line in cell.error["traceback"]))

    @only_in("plain")
    def test_syntax_errors_show_line_and_place(self):
        cell = self.run_error("x = 1\nif x\n    pass", "SyntaxError")
        lines = cell.traceback.split("\n")
        self.assertTrue(any('"<cell 1>", line 2' in line for line in lines))
        self.assertIn("    if x", lines)
        self.assertIn("^", cell.traceback)
        self.assertEqual(cell.error["frames"], [])
        self.run_error("def f():\nreturn 1", "IndentationError")

    @only_in("plain")
    def test_deep_recursion_is_folded(self):
        cell = self.run_error("def f(n): return f(n + 1)\nf(0)", "RecursionError")
        self.assertLess(len(cell.error["traceback"]), 60)
        self.assertRegex(cell.traceback, r"repeated \d+ more times|more frames")
        self.assertLessEqual(len(cell.error["frames"]), 100)
        self.assertEqual(self.run_ok("1").text, "1")

    def test_mutual_recursion_is_bounded(self):
        cell = self.run_error(
            "def f(n): return g(n)\ndef g(n): return f(n)\nf(0)", "RecursionError"
        )
        self.assertLess(len(cell.error["traceback"]), 400)

    def test_huge_messages_are_bounded(self):
        cell = self.run_error("raise ValueError('x' * 50_000_000)")
        self.assertLess(len(cell.error["value"]), 100_000)
        self.assertLess(sum(map(len, cell.error["traceback"])), 400_000)

    def test_an_exception_that_cannot_tell_itself(self):
        cell = self.run_error(
            "class E(Exception):\n    def __str__(self): return 1/0\nraise E()", "E"
        )
        self.assertIn("ZeroDivisionError", cell.error["value"])

    def test_exit_keeps_the_state_and_only_a_failure_is_one(self):
        self.run_ok("kept = 1")
        cell = self.run_error("import sys\nsys.exit(3)", "SystemExit")
        self.assertEqual(cell.error["value"], "3")
        self.run_ok("exit()")
        self.run_ok("sys.exit(0)")
        self.run_error("sys.exit('why')", "SystemExit")
        self.run_error("raise GeneratorExit", "GeneratorExit")
        self.assertEqual(self.run_ok("kept").text, "1")

    @only_in("plain")
    def test_misspelt_names_are_suggested(self):
        self.run_ok("counter = 1")
        if VERSION >= (3, 10):
            self.assertIn("Did you mean: 'counter'", self.run_error("countr").traceback)
            self.assertIn("Did you mean: 'append'", self.run_error("[].apend(1)").traceback)
            self.assertIn("forget to import 'math'", self.run_error("math.pi").traceback)

    @only_in("plain")
    def test_library_frames_are_kept_after_the_cells(self):
        cell = self.run_error("import json\njson.loads('{')", "JSONDecodeError")
        self.assertIn("json.decoder.JSONDecodeError", cell.traceback)
        self.assertTrue(any("decoder.py" in frame["file"] for frame in cell.error["frames"]))

    def test_standard_tools_see_the_lines_of_cells(self):
        self.run_ok("def f():\n    return 'text of f'")
        self.assertIn(
            "text of f", self.run_ok("import inspect\nprint(inspect.getsource(f))").stdout
        )
        cell = self.run_ok("import warnings\nwarnings.warn('careful')")
        self.assertIn("<cell 3>:2: UserWarning: careful\n  warnings.warn('careful')", cell.stderr)
        self.run_error("1/0")
        self.assertEqual(
            self.run_ok("import sys; sys.last_value").text, "ZeroDivisionError('division by zero')"
        )

    @only_in("plain")
    def test_silent_cells_report_errors_too(self):
        cell = self.run_error("1/0", silent=True, execution_count=None)
        self.assertIn("<silent cell 1>", cell.traceback)

    @only_in("plain")
    def test_a_cell_magic_keeps_the_numbers_of_its_lines(self):
        cell = self.run_error("%%time\nx = 1\nx / 0", "ZeroDivisionError")
        self.assertIn('"<cell 1>", line 3', cell.traceback)
        self.assertIn("    x / 0", cell.traceback)


if __name__ == "__main__":
    unittest.main()

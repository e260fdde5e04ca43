"""What IPython's shell brings; and that the plain shell says what to install, or does it too."""

import re
import unittest

from harness import RunnerTest, only_in

COLOUR = re.compile(r"\x1b\[[0-9;]*m")

# Code that only IPython can run, each with what the plain shell does: it says what to install
# (`install`), it cannot import a package that is not there (`missing`), or it works (`works`).
OF_IPYTHON = (
    ("%load_ext autoreload\n%autoreload 2", "install"),
    ("%config InlineBackend.figure_format = 'svg'", "install"),
    ("%xmode Minimal", "install"),
    ("%who", "install"),
    ("%reset -f", "install"),
    ("%prun sum(range(10))", "install"),
    ("%%capture kept\ndisplay(1)", "install"),
    ("from IPython.utils.capture import capture_output", "install"),
    ("%%python3\nprint(1)", "install"),
    ("%%script bash\necho 1", "install"),
    ("%%bash --out kept\necho 1", "works"),
    ("%timeit -o 1", "install"),
    ("from IPython.core.magic import register_line_magic", "install"),
    ("get_ipython().display_formatter.formatters['text/plain'].for_type(int, str)", "install"),
    ("from IPython.core.interactiveshell import InteractiveShell", "install"),
    ("from IPython.core.debugger import set_trace", "install"),
    ("import ipywidgets", "missing"),
)


@only_in("plain")
class Plain(RunnerTest):
    def test_what_needs_ipython_says_so(self):
        self.run_ok("import sys\nsys.path[:] = [p for p in sys.path if 'packages' not in p]")
        for code, expected in OF_IPYTHON:
            cell = self.runner.run(code)
            if expected == "works":
                self.assertEqual(cell.outcome, "ok", code)
                continue
            self.assertEqual(cell.outcome, "error", code)
            told = cell.error["value"]
            self.assertIn("ipywidgets" if expected == "missing" else "pip install ipython", told)


@only_in("ipython")
class Magics(RunnerTest):
    def test_modules_that_changed_are_loaded_anew(self):
        self.run_ok("%%writefile part.py\ndef f(): return 1")
        self.run_ok("import os; os.utime('part.py', (1, 1))")
        self.run_ok("%load_ext autoreload\n%autoreload 2\nimport part")
        self.assertEqual(self.run_ok("part.f()").text, "1")
        self.run_ok("%%writefile part.py\ndef f(): return 22")
        self.assertEqual(self.run_ok("part.f()").text, "22")

    def test_the_namespace_is_listed_and_cleared(self):
        self.run_ok("alpha, beta = 1, 'b'")
        self.assertIn("alpha\t beta", self.run_ok("%who").stdout)
        self.assertRegex(self.run_ok("%whos").stdout, r"alpha +int +1")
        self.run_ok("%reset -f")
        self.assertEqual(self.run_ok("'alpha' in globals()").text, "False")
        self.assertEqual(self.run_ok("get_ipython() is not None, len(Out)").text, "(True, 1)")

    def test_tracebacks_have_the_mode_that_was_asked_for(self):
        self.run_ok("%xmode Minimal")
        self.assertEqual(
            self.run_error("1 / 0").traceback.strip(), "ZeroDivisionError: division by zero"
        )
        self.run_ok("%xmode Context")
        error = self.run_error("def f():\n    raise KeyError('k')\nf()")
        self.assertIn("----> 2", error.traceback)
        self.assertEqual([f["line"] for f in error.error["frames"]], [3, 2])
        self.assertEqual({f["file"] for f in error.error["frames"]}, {"<cell 4>"})

    def test_profiles_and_times(self):
        self.assertIn("function calls", self.run_ok("p = %prun -q -r sum(range(10))\np.print_stats();").stdout)
        self.assertIn("TimeitResult", self.run_ok("r = %timeit -o -q -n 1 -r 1 1\ntype(r).__name__").text)
        self.assertIn("Wall time", self.run_ok("%%time\nx = 1").stdout)
        cell = self.run_error("%time 1 / 0", "ZeroDivisionError")
        self.assertEqual(len(cell.of("error")), 1)

    def test_output_and_displays_are_captured(self):
        self.run_ok("%%capture kept\nprint('quiet')\ndisplay('shown')\n1 + 1")
        self.assertEqual(self.run_ok("kept.stdout, len(kept.outputs)").text, "('quiet\\n', 2)")
        cell = self.run_ok(
            "from IPython.utils.capture import capture_output\nwith capture_output() as c:\n"
            "    print('a')\n    display(5)\nc.stdout, c.outputs[0].data['text/plain']"
        )
        self.assertEqual((cell.text, cell.displays, cell.stdout), ("('a\\n', '5')", [], ""))

    def test_other_interpreters_run_cells(self):
        self.assertEqual(self.run_ok("%%python3\nprint(6 * 7)").stdout, "42\n")
        self.assertEqual(self.run_ok("%%script bash\necho $((6 * 7))").stdout, "42\n")
        self.run_ok("%%bash --out kept\necho kept")
        self.assertEqual(self.run_ok("kept").text, "'kept\\n'")

    def test_a_scripts_output_belongs_to_its_cell(self):
        first = self.run_ok("%%bash\necho first")
        second = self.run_ok("%%bash\necho second; echo error >&2")
        self.assertEqual((first.stdout, second.stdout, second.stderr), ("first\n", "second\n", "error\n"))
        self.assertEqual(first.late["stdout"], b"")

    def test_an_error_that_the_cell_caught_and_shows_does_not_fail_it(self):
        cell = self.run_ok("try:\n    1 / 0\nexcept ZeroDivisionError:\n    get_ipython().showtraceback()\nprint('on')")
        self.assertEqual([kind for kind, _ in cell.order()], ["error", "stdout"])
        self.assertEqual((cell.error["name"], cell.stdout), ("ZeroDivisionError", "on\n"))
        self.run_error("1 / 0")
        self.assertEqual(self.run_ok("%tb").error["name"], "ZeroDivisionError")

    def test_an_exception_group_is_told_once(self):
        if self.run_ok("import sys; sys.version_info >= (3, 11)").text == "False":
            self.skipTest("no exception groups before Python 3.11")
        cell = self.run_error("raise ExceptionGroup('two', [ValueError('a'), TypeError('b')])", "ExceptionGroup")
        self.assertEqual((cell.stderr, len(cell.of("error"))), ("", 1))
        for part in ("two (2 sub-exceptions)", "ValueError: a", "TypeError: b"):
            self.assertIn(part, cell.traceback)
        cell = self.run_error("try:\n    raise ExceptionGroup('g', [OSError()])\nexcept* OSError:\n    1 / 0")
        self.assertEqual((cell.stderr, len(cell.of("error"))), ("", 1))

    def test_own_magics(self):
        self.run_ok(
            "from IPython.core.magic import register_line_magic, register_cell_magic\n"
            "@register_line_magic\ndef twice(line): return line * 2\n"
            "@register_cell_magic\ndef upper(line, cell): return cell.upper()"
        )
        self.assertEqual(self.run_ok("%twice ab").text, "'abab'")
        self.assertEqual(self.run_ok("%%upper\nx").text, "'X\\n'")

    def test_magics_of_ipykernel(self):
        self.assertEqual(self.run_ok("%autosave 60").stdout, "Autosaving every 60 seconds\n")
        self.assertEqual(self.run_ok("%autosave 0").stdout, "Autosave disabled\n")
        self.run_error("%autosave often", "UsageError")
        self.assertTrue(self.run_ok("print(1)\n%clear").of("clear_output"))
        self.assertEqual(self.run_ok("kept = [1, 2]\n%store kept").stdout, "Stored 'kept' (list)\n")
        self.run_ok("del kept\n%store -r kept")
        self.assertEqual(self.run_ok("kept").text, "[1, 2]")

    def test_a_magic_that_does_not_exist(self):
        cell = self.run_error("%nosuch", "UsageError")
        self.assertIn("nosuch", cell.traceback)


@only_in("ipython")
class Display(RunnerTest):
    def test_formatters_of_the_user(self):
        self.run_ok(
            "class P: pass\nf = get_ipython().display_formatter.formatters\n"
            "f['text/html'].for_type(P, lambda p: '<b>p</b>')"
        )
        self.assertEqual(self.run_ok("P()").result["text/html"], "<b>p</b>")

    def test_each_expression_of_a_cell_can_be_shown(self):
        self.run_ok(
            "from IPython.core.interactiveshell import InteractiveShell\n"
            "InteractiveShell.ast_node_interactivity = 'all'"
        )
        cell = self.run_ok("1\n2\n3")
        self.assertEqual([e["data"]["text/plain"] for e in cell.of("result")], ["1", "2", "3"])

    def test_results_are_kept_and_a_semicolon_hides_one(self):
        self.run_ok("6 * 7")
        self.assertEqual(self.run_ok("_ + 1, Out[1], _1, In[1]").text, "(43, 42, 42, '6 * 7')")
        for code in ("5;", "x = 1\nx ;  # why", "5;\n"):
            self.assertIsNone(self.run_ok(code).result, code)
        self.assertEqual(self.run_ok("';'").text, "';'")

    def test_sympy_prints_lists(self):
        self.need("sympy")
        self.run_ok("import sympy\nsympy.init_printing()\nx = sympy.symbols('x')")
        self.assertIn("x^{2}", self.run_ok("[x**2, x]").result["text/latex"])

    def test_a_representation_that_fails_leaves_the_others(self):
        cell = self.run_ok(
            "class B:\n    def _repr_html_(self): raise ValueError('html')\n    def __repr__(self): return 'B!'\nB()"
        )
        self.assertEqual(cell.result, {"text/plain": "B!"})
        self.assertIn("ValueError", cell.stderr)


@only_in("ipython")
class Debugger(RunnerTest):
    def test_debug_after_an_error(self):
        self.run_error("def f(v):\n    raise KeyError(v)\nf(7)")
        self.runner.inputs = [{"text": "p v"}, {"text": "q"}]
        self.assertIn("7", self.run_ok("%debug").stdout)

    def test_the_debugger_of_an_error_starts_when_the_error_has_been_shown(self):
        self.run_ok("%pdb on\ndef f(v):\n    raise KeyError(v)")
        self.runner.inputs = [{"text": "p v"}, {"text": "q"}]
        cell = self.run_error("f(7)", "KeyError")
        kinds = [kind for kind, _ in cell.order()]
        self.assertEqual(len(cell.of("error")), 1)
        self.assertLess(kinds.index("error"), kinds.index("input_request"))
        self.assertIn("7", cell.stdout)

    def test_a_breakpoint_of_ipython(self):
        self.runner.inputs = [{"text": "p secret"}, {"text": "c"}]
        cell = self.run_ok(
            "from IPython.core.debugger import set_trace\nsecret = 'found'\nset_trace()\n1"
        )
        self.assertIn("found", cell.stdout)

    def test_a_traceback_of_thousands_of_frames_is_folded_without_formatting_each(self):
        code = "import sys\nsys.setrecursionlimit(10 ** 6)\ndef f(n): return f(n - 1) if n else 1 / 0\n"
        cell = self.runner.run(code + "f(5000)")
        self.assertEqual(cell.error["name"], "ZeroDivisionError")
        self.assertRegex("\n".join(cell.error["traceback"]), r"repeated \d+ more times|more frames")
        cell = self.runner.run("try: f(5000)\nexcept ZeroDivisionError: raise KeyError('then')")
        self.assertRegex("\n".join(cell.error["traceback"]), r"repeated \d+ more times|more frames")
        self.assertIn("----> ", COLOUR.sub("", "\n".join(self.runner.run("f(10)").error["traceback"])))

    def interrupt(self, cell):
        """Interrupts a cell once it has printed `go`; answers it when it has ended."""
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupt()
        self.runner.finish(cell)
        return cell

    def test_an_interrupt_is_told_in_the_short_form_which_takes_little_time(self):
        code = "import time\ndef f():\n    n = 60\n    time.sleep(print('go') or n)\nf()"
        cell = self.interrupt(self.runner.start(code))
        self.assertEqual((cell.outcome, cell.error["name"]), ("interrupted", "KeyboardInterrupt"))
        lines = [COLOUR.sub("", line).strip() for line in cell.error["traceback"]]
        self.assertIn("f()", lines)
        self.assertIn("time.sleep(print('go') or n)", lines)
        self.assertNotIn("n = 60", lines)
        unwanted = "pygments.styles.default"  # comes with the 0.1 s that the first long form takes
        self.assertEqual(self.run_ok(f"import sys; {unwanted!r} in sys.modules").text, "False")
        error = self.runner.run("1 / 0").error
        self.assertEqual(self.run_ok(f"{unwanted!r} in sys.modules").text, "True")
        self.assertIn("----> 1", COLOUR.sub("", "\n".join(error["traceback"])))

    def test_the_form_of_errors_that_a_user_has_chosen_is_that_of_interrupts(self):
        self.run_ok("%xmode Minimal")
        cell = self.interrupt(self.runner.start("print('go')\nwhile True: pass"))
        self.assertEqual(len([line for line in cell.error["traceback"] if line]), 1)

    def test_an_awaiting_cell_that_is_interrupted_is_interrupted(self):
        code = "import asyncio\nprint('go')\nawait asyncio.sleep(60)"
        cell = self.interrupt(self.runner.start(code))
        self.assertEqual((cell.outcome, cell.error["name"]), ("interrupted", "KeyboardInterrupt"))
        self.assertEqual(len(cell.of("error")), 1)
        self.assertEqual(self.run_ok("await asyncio.sleep(0, 5)").text, "5")


@only_in("ipython")
class Widgets(RunnerTest):
    def setUp(self):
        super().setUp()
        self.need("ipywidgets")

    def comm(self, kind, **fields):
        """Sends a client's comm message; answers the cell that it was run as."""
        cell = self.runner.start("", silent=True, comm={"type": kind, **fields}, id="run")
        self.runner.finish(cell)
        return cell

    def test_a_slider_moves_both_ways(self):
        cell = self.run_ok("import ipywidgets as w\ns = w.IntSlider(value=3)\ns")
        opened = cell.of("comm_open")
        self.assertEqual({event["target_name"] for event in opened}, {"jupyter.widget"})
        model = cell.result["application/vnd.jupyter.widget-view+json"]["model_id"]
        self.assertIn(model, [event["comm_id"] for event in opened])
        self.run_ok("moved = []\ns.observe(lambda change: (print('at', change['new']), moved.append(1)), 'value')")
        told = self.comm("comm_msg", comm_id=model, data={"method": "update", "state": {"value": 8}, "buffer_paths": []})
        self.assertEqual((told.outcome, told.stdout), ("ok", "at 8\n"))
        echoes = [e for e in told.of("comm_msg") if e["data"].get("method") == "echo_update"]
        self.assertEqual(echoes[0]["data"]["state"], {"value": 8})
        self.assertEqual(self.run_ok("s.value").text, "8")
        sent = self.run_ok("s.value = 9").of("comm_msg")
        self.assertEqual([e["data"]["state"] for e in sent], [{"value": 9}])

    def test_states_are_told_to_who_asks(self):
        self.run_ok("import ipywidgets as w\ns = w.IntSlider(value=3)")
        self.comm("comm_open", comm_id="control", target_name="jupyter.widget.control",
                  data={}, metadata={"version": "1.0.0"})  # fmt: skip
        told = self.comm("comm_msg", comm_id="control", data={"method": "request_states"})
        states = told.of("comm_msg")[0]["data"]["states"]
        self.assertIn(3, [one["state"].get("value") for one in states.values()])

    def test_an_error_in_a_handler_is_an_error(self):
        cell = self.run_ok("import ipywidgets as w\nb = w.Button()\nb.on_click(lambda b: 1 / 0)\nb")
        model = cell.result["application/vnd.jupyter.widget-view+json"]["model_id"]
        told = self.comm("comm_msg", comm_id=model, data={"method": "custom", "content": {"event": "click"}})
        self.assertEqual((told.outcome, told.error["name"]), ("error", "ZeroDivisionError"))
        self.assertEqual([f["file"] for f in told.error["frames"]][:1], ["<cell 2>"])

    def test_a_handler_is_interrupted(self):
        cell = self.run_ok(
            "import ipywidgets as w\ndef spin(b):\n    print('go')\n    while True: pass\n"
            "b = w.Button()\nb.on_click(spin)\nb"
        )
        model = cell.result["application/vnd.jupyter.widget-view+json"]["model_id"]
        click = {"method": "custom", "content": {"event": "click"}}
        told = self.runner.start("", silent=True, comm={"type": "comm_msg", "comm_id": model, "data": click})
        self.runner.until(lambda: "go" in told.stdout)
        self.runner.interrupt()
        self.runner.finish(told)
        self.assertEqual(told.outcome, "interrupted")

    def test_an_output_widget_names_the_cell_whose_output_it_shows(self):
        cell = self.run_ok("import ipywidgets as w\no = w.Output()\nwith o:\n    print('inside')", id="c9")
        ids = [e["data"]["state"].get("msg_id") for e in cell.of("comm_msg")]
        self.assertEqual(ids, ["c9", ""])

    def test_a_task_between_cells_moves_a_widget(self):
        self.run_ok(
            "import asyncio, ipywidgets as w\np = w.IntProgress()\n"
            "async def work():\n    await asyncio.sleep(0.05)\n    p.value = 5\nt = asyncio.create_task(work())"
        )
        self.runner.until(lambda: self.runner.unattached)
        event = self.runner.unattached[0]
        self.assertEqual((event["type"], event["data"]["state"]), ("comm_msg", {"value": 5}))

    def test_bytes_travel(self):
        cell = self.run_ok("import ipywidgets as w\nw.Image(value=b'\\x00\\xff')")
        buffers = [e["buffers"] for e in cell.of("comm_open") if e.get("buffers")]
        self.assertEqual(buffers, [["AP8="]])

    def test_tqdm_draws_by_widgets(self):
        self.need("tqdm")
        cell = self.run_ok("from tqdm.auto import tqdm\nfor i in tqdm(range(3)): pass")
        self.assertTrue(cell.of("comm_open"))
        self.assertEqual(cell.stderr, "")

    def test_a_target_that_does_not_exist_is_closed(self):
        told = self.comm("comm_open", comm_id="x", target_name="nowhere", data={})
        self.assertEqual([e["comm_id"] for e in told.of("comm_close")], ["x"])
        gone = self.comm("comm_msg", comm_id="gone", data={})
        self.assertEqual((gone.outcome, gone.events), ("ok", []))


class Plainly(RunnerTest):
    def test_a_comm_without_widgets_is_closed(self):
        cell = self.runner.start("", silent=True, comm={"type": "comm_open", "comm_id": "x", "target_name": "t", "data": {}})
        self.runner.finish(cell)
        self.assertEqual((cell.outcome, [e["comm_id"] for e in cell.of("comm_close")]), ("ok", ["x"]))


class Expressions(RunnerTest):
    def test_they_are_evaluated_after_the_cell(self):
        cell = self.run_ok("x = 2", user_expressions={"a": "x + 1", "b": "1 / 0", "c": "x +"})
        (event,) = cell.of("user_expressions")
        values = event["values"]
        self.assertEqual(values["a"]["data"]["text/plain"], "3")
        self.assertEqual((values["a"]["status"], values["a"]["metadata"]), ("ok", {}))
        self.assertEqual((values["b"]["status"], values["b"]["ename"]), ("error", "ZeroDivisionError"))
        self.assertTrue(values["b"]["traceback"])
        self.assertEqual(values["c"]["ename"], "SyntaxError")

    def test_a_cell_that_fails_answers_none(self):
        cell = self.run_error("1 / 0", user_expressions={"a": "1"})
        self.assertEqual(cell.of("user_expressions"), [])

    def test_one_that_hangs_is_interrupted(self):
        self.run_ok("def spin():\n    print('go')\n    while True: pass")
        cell = self.runner.start("1", user_expressions={"a": "spin()"})
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertIn(cell.outcome, ("ok", "interrupted"))
        self.assertEqual(self.run_ok("2").text, "2")


if __name__ == "__main__":
    unittest.main()

"""Cells: one namespace, results, what is Python and what merely looks like it."""

import subprocess
import unittest

from harness import PYTHON, RunnerTest, only_in


class Namespace(RunnerTest):
    def test_names_live_on_from_cell_to_cell(self):
        self.run_ok("x = 40")
        self.assertEqual(self.run_ok("x + 2").text, "42")

    @only_in("plain")
    def test_a_fresh_namespace_holds_nothing_of_ours(self):
        usual = {
            "__annotations__", "__builtins__", "__doc__", "__loader__", "__name__", "__package__",
            "__spec__",
        }  # fmt: skip
        names = set(eval(self.run_ok("dir()").text))
        self.assertLessEqual(names, usual)
        self.assertEqual(self.run_ok("__name__, __doc__").text, "('__main__', None)")

    def test_it_is_the_real_main_module_and_its_classes_pickle(self):
        self.run_ok("import sys, pickle\nclass Point:\n    def __init__(self, x): self.x = x")
        self.assertEqual(self.run_ok("sys.modules['__main__'].__dict__ is globals()").text, "True")
        self.assertEqual(self.run_ok("pickle.loads(pickle.dumps(Point(3))).x").text, "3")

    @only_in("plain")
    def test_nothing_heavy_is_imported_before_the_user_does(self):
        code = "import sys; print(*sys.modules)"
        bare = subprocess.run([PYTHON, "-c", code], capture_output=True).stdout.decode().split()
        heavy = {"json", "socket", "ast", "re", "traceback", "inspect", "asyncio", "threading"}
        self.assertEqual(heavy & (set(self.run_ok(code).stdout.split()) - set(bare)), set())

    def test_future_imports_hold_for_later_cells(self):
        self.run_ok("from __future__ import annotations")
        self.run_ok("def f(x: no_such_name): pass")
        self.assertEqual(self.run_ok("f.__annotations__").text, "{'x': 'no_such_name'}")

    def test_variables_of_the_environment_hold_for_one_cell(self):
        cell = self.run_ok("import os; os.environ['A'], os.getenv('B')", env={"A": "1", "B": "2"})
        self.assertEqual(cell.text, "('1', '2')")
        self.assertEqual(self.run_ok("os.getenv('A'), os.getenv('B')").text, "(None, None)")
        self.run_ok("os.environ['A'] = 'kept'", env={"A": "1"})
        self.assertEqual(self.run_ok("os.getenv('A')").text, "'kept'")


class Results(RunnerTest):
    def test_the_last_expression_is_the_result(self):
        cell = self.run_ok("1\n2\n'three'", execution_count=7)
        self.assertEqual(len(cell.of("result")), 1)
        self.assertEqual(cell.text, "'three'")
        self.assertEqual(cell.of("result")[0]["execution_count"], 7)

    def test_none_and_statements_give_no_result(self):
        for code in ("None", "y = 5", "", "# only a comment", "import os", "def f(): return 1"):
            self.assertIsNone(self.run_ok(code).result, code)

    def test_a_semicolon_at_the_end_suppresses_it(self):
        for code in ("5;", "5 ;", "5; # why", "'a;b';  ", "f = 1; 5;"):
            self.assertIsNone(self.run_ok(code).result, code)
        for code in ("'a;'", "5 # ;", "x = 1; x", "'é;'"):
            self.assertIsNotNone(self.run_ok(code).result, code)

    def test_a_silent_cell_has_neither_result_nor_count(self):
        cell = self.run_ok("x = 3\nx", silent=True)
        self.assertEqual(cell.events, [])
        self.assertEqual(self.run_ok("x").text, "3")

    def test_underscores_hold_the_last_results_until_the_user_takes_the_name(self):
        self.run_ok("11"), self.run_ok("22")
        self.assertEqual(self.run_ok("_ + __").text, "33")
        self.run_ok("_ = 'mine'")
        self.run_ok("44")
        self.assertEqual(self.run_ok("_").text, "'mine'")

    def test_a_pool_of_new_interpreters_says_that_it_cannot_find_what_a_cell_defined(self):
        self.run_ok("import multiprocessing as mp\ndef double(x): return 2 * x\nclass Own: pass")
        for method in ("spawn", "forkserver"):
            for call in ("map(double, [1])", "apply(double, (1,))", "map(str, [Own()])",
                         "apply_async(double, (1,)).get()", "starmap(double, [(1,)])"):  # fmt: skip
                cell = self.run_error(
                    "with mp.get_context(%r).Pool(1) as pool: pool.%s" % (method, call), "PicklingError"
                )
                self.assertIn("was defined in a cell", cell.error["value"], call)
                self.assertIn("%%writefile", cell.error["value"])
            known = self.run_ok("with mp.get_context(%r).Pool(1) as pool: out = pool.map(abs, [-1])\nout" % method)
            self.assertEqual(known.text, "[1]")
        forked = self.run_ok("with mp.get_context('fork').Pool(1) as pool: out = pool.map(double, [3])\nout")
        self.assertEqual(forked.text, "[6]")

    def test_texts_in_containers_are_left_whole(self):
        for code in ("['word ' * 30]", "{'a': 'b ' * 90, 'c': [b'd ' * 90]}", "('x y ' * 50,)"):
            cell = self.run_ok(code)
            self.assertEqual(eval(cell.text), eval(code))
            self.assertNotRegex(cell.text, r"' *\n *b?'")

    def test_long_containers_are_laid_out_on_lines(self):
        text = self.run_ok("{i: 'value %d' % i for i in range(10)}").text
        self.assertGreater(text.count("\n"), 3)
        self.assertEqual(eval(text), {i: "value %d" % i for i in range(10)})

    def test_text_that_utf8_cannot_hold_arrives_mended(self):
        self.assertIn(
            "\ufffd", self.run_ok("class A:\n def __repr__(self): return 'a\\ud800b'\nA()").text
        )
        self.assertEqual(self.run_ok("print('\\ud800')").stdout, "\\ud800\n")


class Text(RunnerTest):
    def test_a_uniformly_indented_cell_runs(self):
        cell = self.run_ok("    a = 1\n    if a:\n        print('yes')\n    a")
        self.assertEqual((cell.stdout, cell.text), ("yes\n", "1"))

    def test_code_of_many_frames_arrives_whole(self):
        text = "é" * 200_000
        self.assertEqual(self.run_ok("len(%r)" % text).text, "200000")

    def test_hopeless_text_is_an_error_and_the_next_cell_runs(self):
        for code in ("def", "x = (", "a\0b", "'''", "\x01"):
            self.run_error(code)
        self.assertEqual(self.run_ok("1").text, "1")

    def test_strings_and_expressions_that_look_like_magic_stay_python(self):
        self.run_ok("a, b = 7, 4")
        self.assertEqual(self.run_ok("a %b").text, "3")
        self.assertEqual(self.run_ok("(a\n%b)").text, "3")
        self.assertEqual(self.run_ok("s = '''\n%pwd\n!ls\n'''\ns").text, repr("\n%pwd\n!ls\n"))
        self.assertEqual(self.run_ok("a \\\n  %b").text, "3")

    def test_strings_beside_real_magics_are_not_touched(self):
        cell = self.run_ok(
            "s = '''\n!not a command\n'''\n!echo real\nx = (5\n  %3)\nprint(s.strip(), x)"
        )
        self.assertEqual(cell.stdout, "real\n!not a command 2\n")


if __name__ == "__main__":
    unittest.main()

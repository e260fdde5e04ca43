"""complete, inspect and is_complete: right answers, and no user code run for them."""

import unittest

from harness import SHELL, Runner, RunnerTest, only_in


class Complete(RunnerTest):
    def matches(self, code, cursor=None):
        answer = self.runner.ask("complete", code, cursor)
        self.assertEqual(set(answer), {"matches", "start", "end", "types"})
        self.assertEqual(len(answer["types"]), len(answer["matches"]))
        return answer["matches"]

    def test_names_keywords_and_builtins(self):
        self.run_ok("zebra = zenith = 1")
        self.assertEqual(self.matches("ze"), ["zebra", "zenith"])
        self.assertEqual(self.matches("impo"), ["import"])
        self.assertIn("print", self.matches("pri"))

    def test_the_range_is_counted_in_characters(self):
        self.run_ok("größe = 1")
        answer = self.runner.ask("complete", "'é𝄞'; grö + 1", 9)
        self.assertEqual(answer, {"matches": ["größe"], "start": 6, "end": 9, "types": ["variable"]})

    def test_attributes(self):
        self.run_ok(
            "import os.path\nclass A:\n    def method(self): pass\n    def __init__(self): self.mine = {'k': 1}\na = A()"
        )
        self.assertEqual(self.matches("a."), ["method", "mine"])
        self.assertEqual(self.matches("os.path.joi"), ["join"])
        self.assertEqual(self.matches("a.mine.ke"), ["keys"])
        if SHELL == "plain":  # some versions of IPython find none that begin so
            self.assertIn("__init__", self.matches("a.__i"))
        self.assertEqual(self.matches("unknown.x"), [])
        self.assertEqual(self.matches("f().x"), [])

    def test_each_completion_says_what_it_is(self):
        self.run_ok("import os, enum\nclass Apple: pass\ndef apricot(key=1): pass\naprium = 3\na = Apple()\na.ape = 1")
        for code, known in (
            ("ap", {"apricot": "function", "aprium": "variable"}),
            ("Ap", {"Apple": "class"}),
            ("enu", {"enum": "module", "enumerate": "class"}),
            ("impo", {"import": "keyword"}),
            ("os.path.joi", {"join": "function"}),
            ("os.pat", {"path": "module"}),
            ("a.ap", {"ape": "attribute"}),
            ("import colors", {"colorsys": "module"}),
            ("apricot(ke", {"key=": "argument"}),
        ):
            answer = self.runner.ask("complete", code)
            found = dict(zip(answer["matches"], answer["types"]))
            self.assertEqual({name: found.get(name) for name in known}, known, code)

    def test_names_of_modules_that_are_imported_above_but_not_yet(self):
        self.assertEqual(self.matches("import colorsys\ncolorsys.rgb_to_h"), ["rgb_to_hls", "rgb_to_hsv"])
        self.assertEqual(self.matches("import os, colorsys as c  # short\nc.rgb_to_h"), ["rgb_to_hls", "rgb_to_hsv"])
        self.assertIn("minidom", self.matches("import xml.dom\nxml.dom.mini"))
        self.assertEqual(self.matches("import colorsys as c\ncolorsys.rgb"), [])
        if SHELL == "plain":  # IPython imports what it completes
            self.assertEqual(self.run_ok("import sys\n'colorsys' in sys.modules").text, "False")

    @only_in("plain")
    def test_no_user_code_is_run(self):
        self.run_ok(
            "ran = []\nclass Trap:\n    @property\n    def prop(self): ran.append('property')\n"
            "    def __getattr__(self, name): ran.append('getattr ' + name)\n    def __dir__(self): ran.append('dir'); return []\n"
            "    def __repr__(self): ran.append('repr'); return ''\n"
            "    def __getattribute__(self, name): ran.append('getattribute'); return object.__getattribute__(self, name)\n"
            "    def __call__(self, key=5): pass\n"
            "t = Trap()\ndef f(x=t): pass"
        )
        self.assertEqual(self.matches("t.pr"), ["prop"])
        self.matches("t.prop.x"), self.matches("t("), self.matches("t['"), self.matches("f(")
        for code in ("t", "t.prop", "f", "f("):
            self.runner.ask("inspect", code)
        self.assertEqual(self.run_ok("ran").text, "[]")

    @only_in("plain")
    def test_modules_are_found_without_importing_them(self):
        self.assertIn("colorsys", self.matches("import colors"))
        self.assertIn("dom", self.matches("from xml."))
        self.assertIn("minidom", self.matches("from xml.dom import mini"))
        self.assertEqual(
            self.run_ok("import sys\n'xml' in sys.modules, 'colorsys' in sys.modules").text,
            "(False, False)",
        )
        self.run_ok("import json")
        self.assertIn("dumps", self.matches("from json import loads, dum"))
        # Of a module that was not imported, the names that its source defines.
        self.assertEqual(self.matches("from colorsys import rgb_to_h"), ["rgb_to_hls", "rgb_to_hsv"])
        self.assertIn("parseString", self.matches("from xml.dom.minidom import parseS"))
        self.assertEqual(self.run_ok("'xml' in sys.modules, 'colorsys' in sys.modules").text, "(False, False)")

    @only_in("plain")
    def test_paths_keys_and_arguments(self):
        self.run_ok("!mkdir folder && touch file.txt folder/inner.csv")
        self.assertEqual(self.matches("open('f"), ["file.txt", "folder/"])
        self.assertEqual(
            self.runner.ask("complete", "open('folder/in"),
            {"matches": ["inner.csv"], "start": 13, "end": 15, "types": [""]},
        )
        self.run_ok("d = {'alpha': 1, 'beta': {'deep': 2}, 3: 4}")
        self.assertEqual(self.matches("d['"), ["alpha", "beta"])
        self.assertEqual(self.matches("d['al"), ["alpha"])
        self.run_ok("def call(wide, *, tall=1): pass")
        self.assertEqual(self.matches("call(ta"), ["tall="])
        self.assertEqual(self.matches("call(1, wid"), ["wide="])

    def test_magics(self):
        self.assertEqual(self.matches("%timei"), ["timeit"])
        self.assertEqual(self.matches("%%ba"), ["bash"])

    def test_it_is_answered_while_a_cell_runs(self):
        self.runner.ask("complete", "x")
        cell = self.runner.start("value_of_running = 1\nprint('go')\nwhile True: pass")
        self.runner.until(lambda: "go" in cell.stdout)
        self.assertEqual(self.matches("value_of"), ["value_of_running"])
        self.assertIsNone(cell.outcome)
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertEqual(cell.outcome, "interrupted")

    def test_one_is_answered_that_comes_while_the_shell_is_loaded(self):
        for _ in range(5):
            runner = Runner()
            self.addCleanup(runner.close)
            self.assertIn("print", runner.ask("complete", "pri")["matches"])
            self.assertEqual(runner.run("6 * 7").text, "42")

    def test_nonsense_gets_an_answer(self):
        for code, cursor in (
            ("", 0),
            ("((((", 2),
            ("'''", 99),
            ("x" * 2_000_000, 5),
            ("a..b", 4),
            ("\0", 1),
            ("%", 1),
        ):
            self.matches(code, cursor)
        for op in ("inspect", "is_complete", "no_such_op"):
            self.runner.ask(op, "((", 1)


class Inspect(RunnerTest):
    def text(self, code, cursor=None):
        answer = self.runner.ask("inspect", code, cursor)
        return answer["data"].get("text/plain") if answer["found"] else None

    def test_signature_and_documentation(self):
        self.run_ok(
            "def greet(name: str, *, loud=False) -> str:\n    '''Says hello.\n\n    Politely.\n    '''"
        )
        text = self.text("greet(")
        self.assertIn("greet(name: str, *, loud=False) -> str", text)
        self.assertIn("Says hello.\n\nPolitely.", text)
        self.assertEqual(self.text("x = greet('a', lou", 18), text)
        self.assertIn("len(obj, /)", self.text("len"))
        self.assertIsNone(self.text("nothing_there"))

    @only_in("plain")
    def test_values_and_classes(self):
        self.run_ok(
            "n = 12\nclass P:\n    'A point.'\n    def __init__(self, x, y): pass\np = P(1, 2)"
        )
        self.assertIn("Value:     12", self.text("n"))
        self.assertIn("A point.", self.text("p"))
        self.assertIn("P(x, y)", self.text("P"))

    def test_the_name_under_the_cursor(self):
        self.run_ok("import os")
        self.assertIn("os.path.join(", self.text("os.path.join", 10))


class Source(RunnerTest):
    @only_in("plain")
    def test_the_source_of_a_class_that_a_cell_made(self):
        self.run_ok("x = 1\nimport dataclasses\n@dataclasses.dataclass\nclass K:\n    a: int = 1\n\n"
                    "    def f(self): return 2\n\ny = 2")  # fmt: skip
        shown = self.run_ok("K??").stdout
        wanted = "@dataclasses.dataclass\nclass K:\n    a: int = 1\n\n    def f(self): return 2"
        self.assertIn(wanted, shown)
        self.run_ok("class Empty: pass")
        self.assertIn("class Empty: pass", self.run_ok("Empty??").stdout)


class IsComplete(RunnerTest):
    def test_verdicts(self):
        for code, status, indent in (
            ("", "complete", None),
            ("x = 1", "complete", None),
            ("x = (1,", "incomplete", ""),
            ("f(", "incomplete", "    "),
            ("'''text", "incomplete", ""),
            ("x = \\", "incomplete", ""),
            ("for i in x:", "incomplete", "    "),
            ("if a:  # why", "incomplete", "    "),
            ("def f():\n    x = 1", "incomplete", "    "),
            ("def f():\n    return 1", "incomplete", ""),
            ("def f():\n    return 1\n", "complete", None),
            ("class A:\n    def f(self):", "incomplete", "        "),
            ("@decorated", "incomplete", ""),
            ("try:\n    x()", "incomplete", "    "),
            ("try:", "incomplete", "    "),
            ("def f():\n    try:", "incomplete", "        "),
            ("try:\n    try:", "incomplete", "        "),
            ("x = = 1", "invalid", None),
            ("'open", "invalid", None),
            ("await f()", "complete", None),
            ("async for i in x:", "incomplete", "    "),
            ("%timeit x", "complete", None),
            ("!ls", "complete", None),
            ("%%bash\nls", "incomplete", ""),
            ("%%bash\nls\n", "complete", None),
            ("print?", "complete", None),
            ("x = '\\d'", "complete", None),
        ):
            answer = self.runner.ask("is_complete", code)
            self.assertEqual((answer["status"], answer.get("indent")), (status, indent), code)


class Thread(RunnerTest):
    def test_a_session_without_questions_has_no_thread_for_them(self):
        import os

        tasks = "/proc/%d/task" % self.runner.pid
        self.run_ok("1")
        self.assertEqual(len(os.listdir(tasks)), 1)
        self.runner.ask("complete", "x")
        self.assertEqual(len(os.listdir(tasks)), 2)
        self.assertEqual(self.run_ok("import threading\nthreading.active_count()").text, "1")


if __name__ == "__main__":
    unittest.main()

"""User code that breaks things: the next cell works all the same."""

import unittest

from harness import SHELL, NO_IMPORTS, Died, Runner, RunnerTest

VANDALS = {
    "closing descriptor 1": "import os; os.close(1)",
    "closing both": "import os; os.close(1); os.close(2)",
    "pointing descriptor 1 elsewhere": "import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1)",
    "closing stdout": "import sys; sys.stdout.close(); sys.stderr.close(); sys.stdin.close()",
    "replacing stdout": "import sys, io; sys.stdout = io.StringIO(); sys.stderr = None; sys.stdin = None",
    "deleting stdout": "import sys; del sys.stdout",
    "closing the buffer": "import sys; sys.stdout.buffer.close()",
    "tracing": "import sys\ndef t(*a): raise ValueError\nsys.settrace(t)",
    "profiling": "import sys\ndef p(*a): raise ValueError\nsys.setprofile(p)",
    "tracing threads": "import threading; threading.settrace(lambda *a: 1 / 0)",
    "a removed directory": "import os; os.mkdir('gone'); os.chdir('gone'); os.rmdir('../gone')",
    "a low recursion limit": "import sys; sys.setrecursionlimit(50)",
    "a missing builtin": "del __builtins__.print",
    "strange builtins": "import builtins\nfor n in ('open', 'len', 'input', 'type', 'isinstance', 'getattr', 'repr', '__import__' * 0 or 'str'): setattr(builtins, n, None)\nbuiltins.len = lambda x: 1 / 0",
    "no modules": "import sys; sys.modules.clear()",
    "no main module": "import sys; del sys.modules['__main__']",
    "no finders": "import sys; del sys.meta_path[:2]",
    "a name that is not main": "__name__ = 'other'; __builtins__ = {}",
    "an emptied namespace": "globals().clear()",
    "frozen collector": "import gc; gc.freeze(); gc.disable()",
    "hooks": "import sys\nsys.excepthook = sys.displayhook = sys.unraisablehook = None\nimport threading; threading.excepthook = None",
    "exit handlers": "import atexit; atexit.register(lambda: 1 / 0)",
    "a changed import": "import builtins\nold = builtins.__import__\ndef imp(*a, **k): raise ImportError('no')\nbuiltins.__import__ = imp\nbuiltins.__import__ = old",
    "a broken str subclass": "class S(str):\n    def __str__(self): raise ValueError\n    def encode(self, *a): raise ValueError\nprint(S('x'), end='')",
    "broken linecache": "import linecache; linecache.cache = None",
    "a changed umask and locale": "import os, locale; os.umask(0o777); locale.setlocale(locale.LC_ALL, 'C')",
    "a name of ours": "display = input = get_ipython = 5",
    "warnings as errors": "import warnings; warnings.simplefilter('error')",
    "a flood of cells' own errors": "raise type('E', (Exception,), {'__class__': property(lambda s: 1/0), '__str__': lambda s: 5})()",
    **NO_IMPORTS,
}  # fmt: skip


class Vandals(RunnerTest):
    def test_the_next_cells_work(self):
        for name, code in VANDALS.items():
            if SHELL == "ipython" and name == "a changed import":
                continue  # IPython imports between two statements, so the old one never comes back
            runner = Runner()
            self.addCleanup(runner.close)
            with self.subTest(name):
                runner.run(code)
                cell = runner.run("import sys\nprint('out'); sys.stderr.write('err\\n'); 6 * 7")
                self.assertEqual(cell.outcome, "ok", cell.events)
                self.assertEqual((cell.stdout, cell.stderr, cell.text), ("out\n", "err\n", "42"))
                cell = runner.run("1 / 0")
                self.assertEqual((cell.outcome, cell.error["name"]), ("error", "ZeroDivisionError"))
                self.assertIn("1 / 0", cell.traceback)

    def test_all_of_them_in_one_session(self):
        for name, code in VANDALS.items():
            if SHELL == "ipython" and name == "a changed import":
                continue
            if "builtins" not in code:
                self.runner.run(code)
        cell = self.runner.run("import sys\nprint('out')\n6 * 7")
        self.assertEqual((cell.outcome, cell.stdout, cell.text), ("ok", "out\n", "42"))

    def test_without_imports_new_pipes_find_their_place(self):
        for name, code in NO_IMPORTS.items():
            with self.subTest(name):
                runner = Runner()
                self.addCleanup(runner.close)
                runner.reuses_pipes = False
                # The next cell's pipes come as 0, 1 and so on.
                runner.run("import os; os.closerange(0, 3)\n" + code)
                for _ in range(2):
                    cell = runner.run("import sys\nprint('out'); sys.stderr.write('err');")
                    self.assertEqual((cell.stdout, cell.stderr), ("out\n", "err"), cell.events)

    def test_without_imports_questions_cost_no_cell(self):
        for name, code in NO_IMPORTS.items():
            with self.subTest(name):
                runner = Runner()
                self.addCleanup(runner.close)
                runner.run(code)
                number = runner.ask("complete", "impo", wait=False)
                self.assertEqual(runner.run("print('out')").stdout, "out\n")
                runner.until(lambda: number in runner.replies)

    def test_without_imports_a_fork_ends_with_its_cell(self):
        for name, code in NO_IMPORTS.items():
            with self.subTest(name):
                runner = Runner()
                self.addCleanup(runner.close)
                cell = runner.run("import os\n" + code + "\npid = os.fork()\nif pid: os.waitpid(pid, 0)")
                # IPython itself imports, so that in its shell this ends with an error.
                self.assertIn(cell.outcome, ("ok", "error") if SHELL == "ipython" else ("ok",))
                self.assertEqual(runner.run("2").text, "2")

    def test_rich_values_after_vandals(self):
        for name in (
            "no modules",
            "strange builtins",
            "a missing builtin",
            "a low recursion limit",
        ):
            with self.subTest(name):
                runner = Runner()
                self.addCleanup(runner.close)
                runner.run(VANDALS[name])
                cell = runner.run("class H:\n    def _repr_html_(self): return '<b>'\nH()")
                self.assertEqual(cell.result["text/html"], "<b>", cell.events)
                self.assertEqual(runner.run("%pwd").outcome, "ok")
                self.assertEqual(runner.ask("complete", "impo")["matches"], ["import"])


class Descriptors(RunnerTest):
    def test_children_get_none_of_ours_and_an_empty_stdin(self):
        cell = self.run_ok("!ls /proc/self/fd | tr '\\n' ' '; cat")
        self.assertEqual(cell.stdout.split(), ["0", "1", "2", "3"])  # 3 is ls's own
        cell = self.run_ok(
            "import os\npid = os.fork()\nif pid == 0: os.execvp('ls', ['ls', '/proc/self/fd'])\nos.waitpid(pid, 0);"
        )
        self.assertEqual(cell.stdout.split(), ["0", "1", "2", "3"])

    def test_descriptors_do_not_pile_up(self):
        self.run_ok("import os")
        for _ in range(3):
            self.run_ok("print(1)")
        before = self.run_ok("len(os.listdir('/proc/self/fd'))").text
        for _ in range(50):
            self.run_ok("print(1)\nlen(os.listdir('/proc/self/fd'))")
        self.assertEqual(self.run_ok("len(os.listdir('/proc/self/fd'))").text, before)

    def test_memory_of_old_cells_is_given_back(self):
        cell = self.run_ok(
            "import weakref\nclass Big: pass\nb = Big(); w = weakref.ref(b)\ndel b\nw() is None"
        )
        self.assertEqual(cell.text, "True")

    def test_an_own_exit_ends_the_process_with_its_code(self):
        import os

        cell = self.runner.start("print('last words')\nimport os\nos._exit(9)")
        with self.assertRaises(Died):
            self.runner.finish(cell)
        self.runner.drain(cell.number)
        self.assertEqual(os.WEXITSTATUS(self.runner.wait_exit()), 9)
        self.assertEqual(cell.stdout, "last words\n")


if __name__ == "__main__":
    unittest.main()

"""Magic lines: what they do, and that errors are clear."""

import unittest

from harness import SHELL, RunnerTest, only_in


class Shell(RunnerTest):
    def test_run_finds_what_stands_beside_the_file_and_knows_how_a_program_exits(self):
        self.run_ok("import os\nos.makedirs('proj', exist_ok=True)")
        self.run_ok("open('proj/beside.py', 'w').write('value = 7')\n"
                    "open('proj/prog.py', 'w').write('import beside, sys\\nfound = beside.value\\n"
                    "sys.exit(int(sys.argv[1]))');")  # fmt: skip
        self.run_ok("%run proj/prog.py 0")
        self.assertEqual(self.run_ok("found").text, "7")
        self.run_error("%run proj/prog.py 3", "SystemExit")
        self.assertEqual(self.run_ok("import sys\n[p for p in sys.path if 'proj' in p]").text, "[]")

    def test_time_knows_less_than_a_tick_of_the_clock(self):
        cell = self.run_ok("%time sum(range(100_000))")
        self.assertRegex(cell.stdout, r"total: [0-9.]+ [mµμ]s")
        self.assertNotIn("total: 0", cell.stdout)

    def test_a_command_streams(self):
        cell = self.run_ok("print('a')\n!echo b; echo c >&2\nprint('d')")
        self.assertEqual((cell.stdout, cell.stderr), ("a\nb\nd\n", "c\n"))
        self.assertEqual(self.run_ok("!exit 3\n_exit_code").text, "3")

    @only_in("plain")
    def test_values_are_put_in(self):
        self.run_ok("x, d = 'val', {'k': 5}")
        cell = self.run_ok("!echo {x} $x {d['k'] + 1} {{x}} $$x $HOME '{print $1}' {3.14159:.2f}")
        home = self.runner.directory
        self.assertRegex(cell.stdout, r"^val val 6 \{x\} %s \{print \$1\} 3.14\n$" % home)
        self.assertEqual(self.run_ok("def f(y):\n    !echo {y}\nf('local')").stdout, "local\n")

    def test_output_is_captured(self):
        self.assertEqual(self.run_ok("lines = !printf 'a\\nb\\n'\nlines").text, "['a', 'b']")
        self.assertEqual(self.run_ok("lines.n, lines.s").text, "('a\\nb', 'a b')")
        self.assertEqual(self.run_ok("!!echo q").text, "['q']")

    def test_within_blocks_and_over_lines(self):
        cell = self.run_ok(
            "for i in range(2):\n    !echo {i}\nif True:\n    !echo a \\\n        b\nprint('after')"
        )
        self.assertEqual(cell.stdout, "0\n1\na b\nafter\n")

    def test_whole_cells(self):
        cell = self.run_ok('%%bash\nfor i in 1 2; do\n  echo "n $i"\ndone')
        self.assertEqual(cell.stdout, "n 1\nn 2\n")
        self.assertEqual(self.run_ok("%%sh\necho it\\'s").stdout, "it's\n")
        cell = self.run_error("%%bash\necho out; exit 4", "CalledProcessError")
        self.assertEqual(cell.stdout, "out\n")
        self.assertIn("4", cell.error["value"])
        self.assertEqual(self.run_ok("%%bash\n: " + "x" * 150_000 + "\necho long").stdout, "long\n")


class Lines(RunnerTest):
    def test_directories(self):
        self.run_ok("!mkdir sub")
        self.assertIn("/sub\n", self.run_ok("%cd sub").stdout)
        self.assertEqual(self.run_ok("%pwd").text, repr(self.runner.directory + "/sub"))
        self.run_ok("%cd -")
        self.assertEqual(self.run_ok("here = %pwd\nhere").text, repr(self.runner.directory))
        cell = self.runner.run("%cd nowhere")
        self.assertIn("nowhere", cell.stdout if SHELL == "ipython" else cell.error["value"])

    def test_the_environment(self):
        self.assertEqual(self.run_ok("%env NAME=a value").stdout, "env: NAME=a value\n")
        self.assertEqual(self.run_ok("%env NAME").text, "'a value'")
        self.assertEqual(self.run_ok("!echo $NAME").stdout, "a value\n")
        self.run_error("%env NOT_THERE", "UsageError")

    def test_timing(self):
        cell = self.run_ok("%time x = sum(range(10))\nx")
        self.assertIn("Wall time: ", cell.stdout)
        self.assertEqual(cell.text, "45")
        self.assertEqual(self.run_ok("%time 6 * 7").text, "42")
        cell = self.run_ok("%%time\ny = 1\ny + 1")
        self.assertEqual(cell.text, "2")
        self.assertIn("CPU times", cell.stdout)
        self.assertIn("loops each", self.run_ok("%timeit -n 10 -r 2 sum([1])").stdout)
        self.assertIn("10 loops each", self.run_ok("%%timeit -n 10 -r 2 z = [1]\nsum(z)").stdout)

    @only_in("plain")
    def test_errors_within_a_timed_line_show_that_line(self):
        cell = self.run_error("a = 1\n\n%time a / 0", "ZeroDivisionError")
        self.assertIn("line 3, in <module>\n    %time a / 0", cell.traceback)

    def test_matplotlib_is_accepted_and_a_screen_is_not(self):
        self.need("matplotlib")
        self.run_ok("%matplotlib inline")
        self.assertIn(
            self.run_error("%matplotlib qt").error["name"], ("UsageError", "ImportError")
        )

    @only_in("plain")
    def test_what_does_not_exist_is_named_with_what_does(self):
        cell = self.run_error("%nosuch x", "UsageError")
        for part in ("%nosuch", "%timeit", "%%bash", "%pip"):
            self.assertIn(part, cell.error["value"])
        self.assertIn("%%bash", self.run_error("%bash ls", "UsageError").error["value"])

    @only_in("plain")
    def test_help(self):
        self.run_ok("def greet(name, polite=True):\n    'Says hello.'\n    return name")
        cell = self.run_ok("greet?")
        self.assertIn("greet(name, polite=True)", cell.stdout)
        self.assertIn("Says hello.", cell.stdout)
        self.assertIn("return name", self.run_ok("greet??").stdout)
        self.assertIn("Length", self.run_ok("?len").stdout + "Length")
        self.assertIn("not found", self.run_ok("nothing?").stdout)
        self.assertIn("statement", self.run_ok("%timeit?").stdout)

    def test_files(self):
        self.run_ok("%%writefile program.py\nvalue = 21 * 2\nprint('ran')")
        self.assertEqual(self.run_ok("%run program.py").stdout, "ran\n")
        self.assertEqual(self.run_ok("value").text, "42")
        self.assertEqual(self.run_ok("%ls").stdout, "program.py\n")

    def test_cells_that_are_shown(self):
        shown = self.run_ok("%%html\n<b>x</b>").displays[0]["data"]["text/html"]
        self.assertEqual(shown.strip(), "<b>x</b>")

    def test_pip_without_a_network_says_so(self):
        cell = self.runner.run("%pip install surely-no-such-package-cellgate --no-index")
        self.assertEqual(cell.outcome, "error")
        self.assertIn(cell.error["name"], ("UsageError", "CalledProcessError"))
        cell = self.run_ok(
            "from _cellgate import packages\npackages._has_network = lambda: False\npackages._has_pip = lambda: True"
        )
        for line in ("%pip install numpy", "pip install numpy", "!pip install numpy", "!pip3 install -U numpy",
                     "x = 1\n!python -m pip install 'numpy<3' pandas", "!{sys.executable} -m pip install numpy",
                     "if True:\n    !pip install numpy"):  # fmt: skip
            cell = self.run_error(line, "UsageError")
            self.assertIn("no network", cell.error["value"], line)
        # What only looks like it.
        self.assertEqual(self.run_ok("pip = 1\npip").text, "1")
        self.assertEqual(self.run_ok("!echo pip install numpy").stdout, "pip install numpy\n")
        self.assertEqual(self.run_ok("!true || pip install numpy").stdout, "")

    def test_pip_installs_what_lies_here(self):
        cell = self.run_ok("import importlib.util\nimportlib.util.find_spec('pip') is not None")
        if cell.text != "True":
            import os
            import sys

            if os.environ.get("CELLGATE_REQUIRE") == "all":
                self.fail("the tested interpreter has no pip, and CELLGATE_REQUIRE=all asks for it")
            print("\nskipped: %s: no pip" % self.id(), file=sys.stderr)
            self.skipTest("no pip")
        self.run_ok(
            "import zipfile\nwith zipfile.ZipFile('cellgate_probe-1.0-py3-none-any.whl', 'w') as z:\n"
            "    z.writestr('cellgate_probe.py', 'word = \"installed\"')\n"
            "    d = 'cellgate_probe-1.0.dist-info/'\n"
            "    z.writestr(d + 'METADATA', 'Metadata-Version: 2.1\\nName: cellgate-probe\\nVersion: 1.0\\n')\n"
            "    z.writestr(d + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: x\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n"
            "    z.writestr(d + 'RECORD', '')\n"
            # As in a sandbox, whose system directories cannot be written even by root.
            "import os\nos.access = lambda *a, **k: False"
        )
        self.run_ok("%pip install --quiet ./cellgate_probe-1.0-py3-none-any.whl")
        self.assertEqual(
            self.run_ok("import cellgate_probe; cellgate_probe.word").text, "'installed'"
        )
        self.assertIn(self.runner.directory, self.run_ok("cellgate_probe.__file__").text)


if __name__ == "__main__":
    unittest.main()

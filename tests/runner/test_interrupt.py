"""Interrupts: they reach the running cell, and nothing else."""

import ast
import os
import signal
import time
import unittest

from harness import DEADLINE, NO_IMPORTS, SOURCES, Died, Runner, RunnerTest

FINALISER = """
import os, time
class D:
    def __del__(self):
        print('go')
        time.sleep(0.3)
"""
SAVING = """
except KeyboardInterrupt:
    print('saving')
while not os.path.exists('saved'): time.sleep(0.01)
os.remove('saved')
'saved'
"""


class Interrupt(RunnerTest):
    def interrupted(self, code):
        """Interrupts code once it says `go`."""
        cell = self.runner.start(code)
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupt()
        self.runner.finish(cell)
        return cell

    def test_one_interrupt_is_one_however_often_it_is_sent(self):
        # Where it finds the cell: in its code, writing a frame, in a finaliser.
        for code in (
            "    print('go')\n    while True: pass",
            "    print('go')\n    while True: print('x', end='', flush=True)",
            "    D()\n    while True: pass",
        ):
            self.run_ok(FINALISER)
            cell = self.runner.start("try:\n" + code + SAVING)
            self.runner.until(lambda: "go" in cell.stdout)
            self.runner.interrupt()
            self.runner.until(lambda: "saving" in cell.stdout)
            for _ in range(3):
                self.runner.interrupt()
                self.handled(asleep=False)
            open(self.runner.directory + "/saved", "w").close()
            self.runner.finish(cell)
            self.assertEqual((cell.outcome, cell.text), ("ok", "'saved'"), code)
        # The next cell is interrupted as ever.
        self.assertEqual(self.interrupted("print('go')\nwhile True: pass").outcome, "interrupted")

    def test_an_interrupt_announced_while_the_one_before_is_handled_is_still_one(self):
        self.run_ok("import os, time")
        cell = self.runner.start("try:\n    print('go')\n    while True: pass" + SAVING)
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupts += 1  # the handler reads the count of the second with the first
        self.runner.interrupt()
        self.runner.until(lambda: "saving" in cell.stdout)
        os.killpg(self.runner.pid, signal.SIGINT)
        self.handled(asleep=False)
        open(self.runner.directory + "/saved", "w").close()
        self.runner.finish(cell)
        self.assertEqual((cell.outcome, cell.text), ("ok", "'saved'"))
        # Signals that code sends to itself are its own, as ever.
        own = "import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(30)"
        self.assertEqual(self.runner.run(own).outcome, "interrupted")

    def test_an_interrupt_ends_the_cell_at_the_debuggers_prompt_and_behind_it(self):
        for code in ("x = 1\nbreakpoint()\nx = 2", "import pdb\npdb.run('y = 1')",
                     "def f():\n    import pdb; pdb.set_trace()\n    return 1\nf()"):  # fmt: skip
            cell = self.runner.start(code)
            self.runner.until(lambda: cell.of("input_request"))
            self.runner.interrupt()
            self.runner.finish(cell)
            self.assertEqual((cell.outcome, cell.stderr), ("interrupted", ""), code)
            self.assertEqual(self.run_ok("x").text, "1")
        cell = self.runner.start("breakpoint()\nprint('go')\nwhile True: pass")
        self.runner.until(lambda: cell.of("input_request"))
        self.runner.answer(cell, text="continue")
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertEqual(cell.outcome, "interrupted")

    def handled(self, asleep=True):
        """Waits until no signal is pending and, if `asleep`, the runner waits for its next cell."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            with open("/proc/%d/status" % self.runner.pid) as file:
                status = dict(line.split(":\t", 1) for line in file)
            if (
                not int(status["ShdPnd"], 16) | int(status["SigPnd"], 16)
                and (not asleep or status["State"][0] == "S")
            ):
                return
        self.fail("the runner did not take the signal in time")

    def test_loops_sleeps_and_waits_end(self):
        self.run_ok("import time, threading, subprocess")
        for code in (
            "print('go')\nwhile True: pass",
            "print('go')\ntime.sleep(60)",
            "print('go')\nthreading.Event().wait()",
            "subprocess.run('echo go; sleep 60', shell=True)",
            "!echo go; sleep 60",
        ):
            cell = self.interrupted(code)
            self.assertEqual(cell.outcome, "interrupted", code)
            self.assertEqual(cell.error["name"], "KeyboardInterrupt")
            self.assertNotIn("<cellgate", cell.traceback)
        self.assertEqual(self.run_ok("1").text, "1")

    def test_it_tells_where_the_code_was(self):
        cell = self.interrupted("def f():\n    print('go')\n    while True: pass\nf()")
        self.assertRegex(cell.traceback, r"line [23],? in f")

    def test_code_may_catch_it(self):
        cell = self.interrupted(
            "try:\n    print('go')\n    while True: pass\nexcept KeyboardInterrupt:\n    print('caught')"
        )
        self.assertEqual((cell.outcome, cell.stdout), ("ok", "go\ncaught\n"))

    def test_one_that_overtakes_its_cell_is_not_lost(self):
        for _ in range(20):
            cell = self.runner.start("while True: pass")
            self.runner.interrupt()
            self.runner.finish(cell)
            self.assertEqual(cell.outcome, "interrupted")

    def test_one_that_comes_between_cells_hits_none(self):
        for _ in range(20):
            self.runner.interrupt()
            self.handled()
            self.assertEqual(self.run_ok("sum(range(1000))").text, "499500")

    def test_one_that_its_cell_has_outrun_does_not_hit_the_next(self):
        for _ in range(20):
            over = self.run_ok("1")
            cell = self.runner.start("print('go')\nfor i in range(20_000): pass\n'whole'")
            self.runner.until(lambda: "go" in cell.stdout)
            self.runner.interrupt(over.number)
            self.runner.finish(cell)
            self.assertEqual((cell.outcome, cell.text), ("ok", "'whole'"))

    def test_one_that_finds_the_runner_idle_needs_no_imports(self):
        for name, code in NO_IMPORTS.items():
            runner = self.runner = Runner()
            self.addCleanup(runner.close)
            runner.run(code)  # in IPython's shell this ends with an error: IPython itself imports
            for _ in range(10):
                # It comes before its cell, ...
                runner.interrupt(runner.number + 1)
                self.handled()
                cell = runner.finish(runner.start("while True: pass"))
                self.assertEqual(cell.outcome, "interrupted", name)
                # ... and with it: both are there when the runner goes on.
                os.kill(runner.pid, signal.SIGSTOP)
                cell = runner.start("while True: pass")
                runner.interrupt()
                os.kill(runner.pid, signal.SIGCONT)
                self.assertEqual(runner.finish(cell).outcome, "interrupted", name)
            self.assertEqual(runner.run("print('whole')").stdout, "whole\n", name)

    def test_neither_the_handler_nor_the_link_imports_anything_late(self):
        for name in ("signals", "link"):
            with open(os.path.join(SOURCES, name + ".py")) as file:
                tree = ast.parse(file.read())
            late = [
                node.lineno
                for node in ast.walk(tree)
                if isinstance(node, (ast.Import, ast.ImportFrom)) and node not in tree.body
            ]
            self.assertEqual(late, [], name)

    def test_one_of_the_codes_own_is_heeded(self):
        for code in ("os.kill(os.getpid(), signal.SIGINT)", "signal.raise_signal(signal.SIGINT)"):
            cell = self.runner.run("import os, signal\n%s\nwhile True: pass" % code)
            self.assertEqual(cell.outcome, "interrupted")

    def test_what_is_done_to_its_descriptor_harms_only_who_did_it(self):
        for code in (
            "os.close(7)",
            "os.dup2(os.open('/dev/zero', os.O_RDONLY), 7)",
            "os.dup2(os.pipe()[0], 7)",
            "os.ftruncate(7, 0)",
            "os.pwrite(7, b'\\xff' * 8, 0)",
            "import fcntl; fcntl.fcntl(7, 1033, 8)",  # F_ADD_SEALS, F_SEAL_WRITE
        ):
            self.runner = Runner()
            self.addCleanup(self.runner.close)
            self.run_ok("import os; " + code)
            cell = self.runner.start("print('go')\nwhile True: pass")
            self.runner.until(lambda: "go" in cell.stdout)
            for _ in range(2):  # as the supervisor does before it kills
                self.runner.interrupt()
                self.handled(asleep=False)
            self.assertEqual(self.runner.finish(cell).outcome, "interrupted", code)
            self.assertEqual(self.run_ok("1").text, "1")

    def test_it_reaches_forks_of_the_cell(self):
        cell = self.interrupted(
            # The child is heard of once its parent can take an interrupt.
            "import os\nhear, tell = os.pipe()\n"
            "if os.fork() == 0:\n    os.read(hear, 1)\n    print('go', flush=True)\n    while True: pass\n"
            "told = False\nwhile True:\n    try:\n"
            "        if not told:\n            told = True\n            os.write(tell, b'x')\n"
            "        os.wait()\n        break\n    except KeyboardInterrupt: pass"
        )
        self.assertEqual(cell.outcome, "ok")

    def test_many_at_once_leave_the_session_whole(self):
        for _ in range(10):
            cell = self.runner.start("print('go')\nfor i in range(10**9): print(i)")
            self.runner.until(lambda: "go" in cell.stdout)
            for _ in range(5):
                self.runner.interrupt()
            self.runner.finish(cell)
            self.assertEqual(cell.outcome, "interrupted")
            self.handled()  # those that came too late
            self.assertEqual(self.run_ok("print('whole')\n7").text, "7")

    def test_one_in_the_middle_of_displays_breaks_no_frame(self):
        for _ in range(10):
            cell = self.runner.start(
                "print('go')\nwhile True: display({'text/x': 'y' * 200_000}, raw=True)"
            )
            self.runner.until(lambda: len(cell.displays) > 2)
            self.runner.interrupt()
            self.runner.finish(cell)
            self.assertEqual(cell.outcome, "interrupted")
        self.assertEqual(self.run_ok("2").text, "2")

    def test_a_handler_of_the_users_does_not_outlive_its_cell(self):
        for code in ("signal.SIG_IGN", "signal.SIG_DFL", "lambda *a: None"):
            self.run_ok("import signal; signal.signal(signal.SIGINT, %s);" % code)
            self.assertEqual(
                self.interrupted("print('go')\nwhile True: pass").outcome, "interrupted"
            )
        self.run_ok("signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGINT]);")
        self.assertEqual(self.interrupted("print('go')\nwhile True: pass").outcome, "interrupted")

    def test_one_that_hits_a_finaliser_is_not_lost(self):
        cell = self.interrupted(
            "import time\nclass D:\n    def __del__(self):\n        print('go', flush=True)\n"
            "        end = time.monotonic() + 0.3\n        while time.monotonic() < end: pass\n"
            "D()\nwhile True: pass"
        )
        self.assertEqual((cell.outcome, cell.stderr), ("interrupted", ""))

    def test_a_hanging_representation_can_be_interrupted(self):
        cell = self.interrupted(
            "class H:\n    def __repr__(self):\n        print('go')\n        while True: pass\nH()"
        )
        self.assertEqual(cell.outcome, "interrupted")

    def test_an_alarm_that_rings_between_cells_harms_nobody(self):
        self.run_ok(
            "import signal\ndef ring(*a): raise TimeoutError('rang')\nsignal.signal(signal.SIGALRM, ring)\n"
            "signal.setitimer(signal.ITIMER_REAL, 0.001, 0.001);"
        )
        outcomes = {self.runner.run("x = 1").outcome for _ in range(100)}
        self.assertLessEqual(outcomes, {"ok", "error"})
        while self.runner.run("signal.setitimer(signal.ITIMER_REAL, 0);").outcome != "ok":
            pass
        self.assertEqual(self.run_ok("3").text, "3")


class Stacks(RunnerTest):
    def test_a_stubborn_cell_tells_where_it_hangs(self):
        cell = self.runner.start(
            "import time\ndef stubborn():\n    print('go')\n    time.sleep(60)\nstubborn()"
        )
        self.runner.until(lambda: "go" in cell.stdout)
        hangs = b'File "<cell 1>", line 4 in stubborn'
        while hangs not in self.runner.stack_bytes:  # at first it may still be printing
            seen = len(self.runner.stack_bytes)
            os.kill(self.runner.pid, signal.SIGUSR2)
            self.runner.until(lambda: len(self.runner.stack_bytes) > seen)
        self.runner.until(lambda: b"in <module>" in self.runner.stack_bytes.split(hangs)[-1])

    def test_a_crash_tells_the_cell_where(self):
        cell = self.runner.start(
            "def crash():\n    import ctypes\n    ctypes.string_at(0)\ncrash()"
        )
        with self.assertRaises(Died):
            self.runner.finish(cell)
        self.runner.drain(cell.number)
        self.assertEqual(os.WTERMSIG(self.runner.wait_exit()), signal.SIGSEGV)
        self.assertIn("in crash", cell.stderr)

    def test_the_end_of_the_link_is_the_end_of_the_runner(self):
        self.runner.control.close()
        self.assertTrue(os.WIFEXITED(self.runner.wait_exit()))


if __name__ == "__main__":
    unittest.main()

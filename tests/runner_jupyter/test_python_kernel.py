"""What ipykernel does and bash_kernel does not: values, displays, input, comms, errors with lines."""

import base64
import os
import subprocess

from jupyter import PYTHON, SOURCES, KernelTest, harness


class Python(KernelTest):
    kernel = "python3"

    def test_values_displays_and_output_come_in_order(self):
        cell = self.run_ok(
            "import sys\nfrom IPython.display import display, HTML, clear_output\n"
            "print('one'); display(HTML('<b>two</b>')); print('three', file=sys.stderr, flush=True); print('four')\n"
            "clear_output(wait=True)\n"
            "h = display(1, display_id='d'); h.update(2); 6 * 7"
        )
        order = cell.order()
        self.assertEqual(
            [name for name, _ in order],
            ["stdout", "display", "stderr", "stdout", "clear_output", "display", "display", "result"],
        )
        self.assertEqual((order[0][1], order[2][1], order[3][1]), ("one\n", "three\n", "four\n"))
        self.assertEqual(order[1][1]["data"]["text/html"], "<b>two</b>")
        self.assertEqual(order[4][1]["wait"], True)
        self.assertEqual((order[5][1]["display_id"], order[6][1]["update"]), ("d", True))
        self.assertEqual((cell.text, order[-1][1]["execution_count"]), ("42", 1))

    def test_an_error_has_its_line_in_its_cell(self):
        self.run_ok("def f(x):\n    return 1 / x", id="first")
        cell = self.run_error("y = 2\nf(0)", "ZeroDivisionError", id="second")
        self.assertEqual(cell.error["value"], "division by zero")
        self.assertEqual(
            [(frame["cell"], frame["line"]) for frame in cell.error["frames"]], [("second", 2), ("first", 2)]
        )

    def test_input_is_asked_for_and_may_end(self):
        self.runner.inputs = [{"text": "Ada\n"}]
        self.assertEqual(self.run_ok("input('name? ')").text, "'Ada'")
        self.runner.inputs = [{"eof": True}]
        self.run_error("input()", "EOFError")
        self.run_error("input()", "StdinNotImplementedError", allow_input=False)

    def test_an_interrupt_ends_what_runs_and_keeps_the_state(self):
        self.run_ok("x = 'kept'")
        for code in ("while True: pass", "import time; time.sleep(20)", "input()"):
            cell = self.runner.start("print('begun', flush=True)\n" + code)
            self.runner.until(lambda: "begun" in cell.stdout)
            if code == "input()":
                self.runner.until(lambda: cell.of("input_request"))
            self.runner.interrupt()
            self.assertEqual(self.runner.finish(cell).outcome, "interrupted", cell.events)
            self.assertEqual(cell.error["name"], "KeyboardInterrupt")
            self.assertEqual(self.run_ok("x").text, "'kept'")

    def test_an_interrupt_of_another_cell_hits_nothing(self):
        self.run_ok("1")
        cell = self.runner.start("print('begun', flush=True); input()")
        self.runner.until(lambda: cell.of("input_request"))
        self.runner.interrupt(self.runner.number - 1)
        self.runner.answer(cell, text="go on")
        self.assertEqual(self.runner.finish(cell).text, "'go on'")

    def test_late_output_is_its_own_cells(self):
        first = self.run_ok(
            "import os, threading\nos.mkfifo('go')\n"
            "def late():\n    open('go').read()\n    print('late', flush=True)\n"
            "thread = threading.Thread(target=late); thread.start()"
        )
        open(os.path.join(self.runner.directory, "go"), "w").close()
        self.runner.until(lambda: first.late["stdout"] == b"late\n")
        self.assertEqual(self.run_ok("thread.join(); print('own')").stdout, "own\n")

    def test_what_children_write_is_shown_once(self):
        cell = self.run_ok("import os\nos.system('echo from a child')")
        self.assertEqual(self.run_ok("print('next')").stdout, "next\n")
        self.assertEqual(cell.stdout + cell.late["stdout"].decode(), "from a child\n")

    def test_a_silent_cell_shows_no_value_and_expressions_are_evaluated(self):
        cell = self.run_ok("q = 4; q", silent=True, user_expressions={"a": "q + 1", "b": "nothing"})
        self.assertIsNone(cell.result)
        values = cell.of("user_expressions")[0]["values"]
        self.assertEqual(values["a"]["data"]["text/plain"], "5")
        self.assertEqual(values["b"]["ename"], "NameError")

    def test_variables_of_a_session_are_the_kernels_and_others_are_refused(self):
        code = "import os; os.environ.get('A')"
        self.assertEqual(self.run_ok(code, env={"A": "1"}).text, "'1'")
        self.assertEqual(self.run_ok(code, env={"A": "1"}).text, "'1'")
        cell = self.run_error(code, "Unsupported", env={"A": "2"})
        self.assertIn("set them for the session", cell.error["value"])
        self.assertEqual(self.run_ok(code).text, "'1'")

    def test_comms_go_both_ways(self):
        self.run_ok(
            "heard = []\nfrom ipykernel.comm import Comm\n"
            "def opened(comm, message):\n"
            "    heard.append(bytes(message['buffers'][0]))\n"
            "    comm.send({'said': message['content']['data']}, buffers=[b'out'])\n"
            "get_ipython().kernel.comm_manager.register_target('t', opened)"
        )
        buffer = base64.b64encode(b"in").decode()
        opened = {"type": "comm_open", "comm_id": "c", "target_name": "t", "data": {"a": 1}, "buffers": [buffer]}
        cell = self.run_ok("", silent=True, comm=opened)
        told = cell.of("comm_msg")[0]
        self.assertEqual((told["comm_id"], told["data"]), ("c", {"said": {"a": 1}}))
        self.assertEqual(base64.b64decode(told["buffers"][0]), b"out")
        self.assertEqual(self.run_ok("heard").text, "[b'in']")

    def test_questions_are_answered_in_characters_and_not_while_a_cell_runs(self):
        self.run_ok("alphabet = 'abc'")
        answer = self.runner.ask("complete", "'😀é'; alph", 10)
        self.assertEqual((answer["matches"], answer["start"], answer["end"]), (["alphabet"], 6, 10))
        self.assertIn("abc", self.runner.ask("inspect", "alphabet", 3)["data"]["text/plain"])
        self.assertEqual(self.runner.ask("is_complete", "for x in y:")["status"], "incomplete")
        self.assertEqual(self.runner.ask("is_complete", "1")["status"], "complete")
        self.assertIn("cannot be listed", self.runner.put({"op": "variables"})["error"])
        cell = self.runner.start("input()")
        self.runner.until(lambda: cell.of("input_request"))
        self.assertEqual(self.runner.ask("complete", "alph", 4), "busy")
        self.runner.answer(cell, text="")
        self.runner.finish(cell)

    def test_every_byte_of_8_mib_arrives_though_nobody_reads_for_a_while(self):
        code = "for i in range(8192): print(str(i).zfill(1023))"
        cell = self.runner.start(code)
        self.runner.until(lambda: cell.stdout.startswith("0"))
        self.runner.finish(cell)
        lines = cell.stdout.split("\n")
        self.assertEqual(len(cell.stdout), 8 << 20)
        self.assertTrue(all(int(line) == at for at, line in enumerate(lines[:-1])))

    def test_a_kernel_that_is_not_listened_to_waits_and_loses_nothing(self):
        lines = 48 << 10  # of 1 KiB each: 48 MiB, far more than may wait
        cell = self.runner.start("for i in range(%d): print(str(i).zfill(1023))\nprint('end')" % lines)
        stopped = "/proc/%d/stat" % self._kernel()
        self.runner.until(lambda: cell.stdout)
        # Nothing reads meanwhile. Reading the state is no sleep: each look is a system call.
        until = harness.time.monotonic() + harness.DEADLINE
        while self._state(stopped) != "T":
            self.assertLess(harness.time.monotonic(), until, "it was never stopped")
        self.runner.finish(cell)
        self.assertEqual(len(cell.stdout), lines * 1024 + 4)
        self.assertTrue(all(int(line) == at for at, line in enumerate(cell.stdout.split("\n")[:lines])))

    def test_quitting_ends_the_cell_with_the_kernel(self):
        cell = self.runner.start("print('bye'); exit()")
        with self.assertRaises(harness.Died):
            self.runner.finish(cell)
        self.assertEqual(cell.stdout, "bye\n")
        self.assertEqual(self.runner.wait_exit(), 0)

    def test_an_exit_code_and_the_last_words_are_passed_on(self):
        cell = self.runner.start("import os, sys\nprint('last words'); sys.stdout.flush(); os._exit(7)")
        with self.assertRaises(harness.Died):
            self.runner.finish(cell)
        self.runner.drain(cell.number)
        self.assertEqual(self.runner.wait_exit() >> 8, 7)

    def _kernel(self):
        with open("/proc/%d/task/%d/children" % (self.runner.pid, self.runner.pid)) as children:
            return int(children.read().split()[0])

    @staticmethod
    def _state(stat):
        with open(stat) as file:
            return file.read().rsplit(")", 1)[1].split()[0]


class Missing(KernelTest):
    kernel = "python3"

    def test_what_is_missing_is_told_with_the_kernels_that_are_there(self):
        for kernel, says in (("", "set `kernel` of the template"), ("ijava", "has the name ijava")):
            told = self._problem({"CELLGATE_KERNEL": kernel})
            self.assertIn(says, told)
            self.assertIn("there are: ", told)
            self.assertIn("python3", told)
        self.assertEqual(self._problem({"CELLGATE_KERNEL": "python3"}), "")

    def test_without_pyzmq_it_is_told_how_to_install_it(self):
        told = self._problem({}, "sys.modules['zmq'] = None; ")
        self.assertIn("-m pip install pyzmq", told)

    @staticmethod
    def _problem(env, before=""):
        """What the gateway is told, which executes the module by itself."""
        with open(os.path.join(SOURCES, "kernel_specs.py")) as file:
            source = file.read()
        code = "import sys; %sexec(sys.argv[1]); sys.exit(problem())" % before
        run = subprocess.run([PYTHON, "-I", "-c", code, source], env=env, capture_output=True, text=True)
        return run.stderr

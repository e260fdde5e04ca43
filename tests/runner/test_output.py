"""Output: promptness, order, and whose it is."""

import unittest

from harness import RunnerTest


class Promptness(RunnerTest):
    def seen(self, code, text, stream="stdout"):
        """Runs code that waits for the file `go`, and sees `text` arrive before it is there."""
        cell = self.runner.start(
            "import os, time\n" + code + "\nwhile not os.path.exists('go'): time.sleep(0.01)"
        )
        self.runner.until(lambda: text in getattr(cell, stream))
        self.assertIsNone(cell.outcome)
        open(self.runner.directory + "/go", "w").close()
        self.runner.finish(cell)
        self.assertEqual(cell.outcome, "ok", cell.events)

    def test_a_line_arrives_while_the_cell_runs(self):
        self.seen("print('now')", "now\n")

    def test_flushed_text_without_newline_arrives(self):
        self.seen("print('no newline', end='!', flush=True)", "no newline!")

    def test_text_printed_with_an_empty_end_arrives(self):
        self.seen("print('dot', end='')", "dot")

    def test_stderr_arrives_without_newline(self):
        self.seen("import sys; sys.stderr.write('progress')", "progress", "stderr")

    def test_a_carriage_return_is_enough(self):
        self.seen("print('50%', end='\\r')", "50%\r")

    def test_what_was_not_flushed_arrives_with_the_end(self):
        self.assertEqual(self.run_ok("import sys; sys.stdout.write('tail'); None").stdout, "tail")
        self.assertEqual(self.run_ok("sys.stdout.buffer.write(b'raw'); None").stdout, "raw")

    def test_children_and_the_descriptor_itself_write_to_the_cell(self):
        cell = self.run_ok(
            "import os, subprocess, sys\nprint('a')\nos.system('echo b')\nsubprocess.run(['echo', 'c'])\n"
            "subprocess.run('echo d >&2', shell=True, stdout=sys.stdout, stderr=sys.stderr)\nos.write(1, b'e\\n');"
        )
        self.assertEqual((cell.stdout, cell.stderr), ("a\nb\nc\ne\n", "d\n"))

    def test_megabytes_arrive_whole(self):
        cell = self.run_ok("for i in range(20000): print('%05d' % i * 20)\nprint('x' * 3_000_000)")
        lines = cell.stdout.split("\n")
        self.assertEqual(lines[19999], "19999" * 20)
        self.assertEqual(len(lines[20000]), 3_000_000)


class Order(RunnerTest):
    def test_stdout_and_stderr_keep_the_order_of_the_code(self):
        cell = self.run_ok(
            "import sys\nfor i in range(50):\n    print('o%d' % i)\n    print('e%d' % i, file=sys.stderr)"
        )
        wanted = [
            (name, "%s%d\n" % (name[3], i)) for i in range(50) for name in ("stdout", "stderr")
        ]
        self.assertEqual(cell.order(), wanted)

    def test_text_without_newline_goes_before_a_switch(self):
        cell = self.run_ok(
            "import sys\nprint('a', end=' ')\nprint('b', file=sys.stderr)\nprint('c')"
        )
        self.assertEqual(cell.order(), [("stdout", "a "), ("stderr", "b\n"), ("stdout", "c\n")])

    def test_displays_stand_where_they_were_made(self):
        cell = self.run_ok("for i in range(20):\n    print(i)\n    display(i)\n'end'")
        order = [event if name == "stdout" else name for name, event in cell.order()]
        wanted = [part for i in range(20) for part in ("%d\n" % i, "display")] + ["result"]
        self.assertEqual(order, wanted)

    def test_an_error_stands_after_the_output(self):
        cell = self.run_error("print('before')\n1/0")
        self.assertEqual([name for name, _ in cell.order()], ["stdout", "error"])


class Ownership(RunnerTest):
    def test_a_thread_writes_to_the_cell_that_started_it(self):
        first = self.run_ok(
            "import threading\ngo = threading.Event()\n"
            "def late():\n    go.wait()\n    print('from the first')\n    print('partial', end=' ')\n"
            "t = threading.Thread(target=late); t.start()"
        )
        second = self.run_ok("go.set(); t.join(); print('second')")
        self.assertEqual(second.stdout, "second\n")
        self.runner.until(lambda: first.late["stdout"] == b"from the first\npartial ")

    def test_threads_of_threads_and_plain_ones_inherit_too(self):
        first = self.run_ok(
            "import _thread, threading\ngo, done = threading.Event(), threading.Event()\n"
            "def inner(text):\n    go.wait(); print(text); done.set()\n"
            "threading.Thread(target=lambda: _thread.start_new_thread(inner, ('inner',))).start()"
        )
        self.assertEqual(self.run_ok("go.set(); done.wait(); print('second')").stdout, "second\n")
        self.runner.until(lambda: first.late["stdout"] == b"inner\n")

    def test_pool_work_belongs_to_the_cell_that_submitted_it(self):
        self.run_ok(
            "from concurrent.futures import ThreadPoolExecutor\npool = ThreadPoolExecutor(1)\n"
            "pool.submit(print, 'one').result()"
        )
        self.assertEqual(self.run_ok("pool.submit(print, 'two').result()").stdout, "two\n")

    def test_a_task_writes_to_the_cell_that_made_it(self):
        first = self.run_ok(
            "import asyncio\ngo = asyncio.Event()\nasync def late():\n    await go.wait()\n    print('task')\n"
            "task = asyncio.ensure_future(late())\nawait asyncio.sleep(0)"
        )
        second = self.run_ok("go.set()\nawait task\nprint('second')")
        self.assertEqual(second.stdout, "second\n")
        self.runner.until(lambda: first.late["stdout"] == b"task\n")

    def test_pipes_close_when_nobody_can_write_to_them(self):
        self.runner.reuses_pipes = False
        first = self.run_ok("print('x')")
        self.run_ok("pass")
        self.runner.until(lambda: first.pipes == {"stdout": None, "stderr": None})

    def test_a_child_that_outlives_its_cell_keeps_its_pipe(self):
        first = self.run_ok(
            "import subprocess\nchild = subprocess.Popen('read line; echo late $line', shell=True, stdin=subprocess.PIPE)"
        )
        self.assertEqual(
            self.run_ok("child.communicate(b'now\\n'); print('second')").stdout, "second\n"
        )
        self.runner.until(lambda: first.late["stdout"] == b"late now\n")

    def test_a_display_of_an_ended_cell_becomes_late_text(self):
        first = self.run_ok(
            "import threading\ngo = threading.Event()\n"
            "t = threading.Thread(target=lambda: (go.wait(), display('shown late'))); t.start()"
        )
        self.assertEqual(self.run_ok("go.set(); t.join()").events, [])
        self.runner.until(lambda: first.late["stdout"] == b"'shown late'\n")


class PassedOn(RunnerTest):
    """A cell that leaves nothing behind lets the next one have its pipes; any other does not."""

    def test_a_cell_that_leaves_nothing_passes_its_pipes_on(self):
        for code in ("pass", "print(1)", "x = 1", "1", "import sys; sys.stderr.write('e')"):
            self.assertTrue(self.runner.run(code).pipes_reusable, code)
        cell = self.run_ok("print('mine')\n2")
        self.assertEqual((cell.stdout, cell.text), ("mine\n", "2"))
        self.assertGreater(self.runner.passed_on, 5)

    def test_what_holds_the_cell_keeps_them(self):
        for code in (
            "import threading; go = threading.Event(); threading.Thread(target=go.wait).start()",
            "import contextvars; kept = contextvars.copy_context()",
            "import asyncio; task = asyncio.create_task(asyncio.sleep(3600))",
            "import asyncio; await asyncio.sleep(0); loop = asyncio.get_running_loop();"
            " timer = loop.call_later(3600, print)",
        ):
            self.assertFalse(self.run_ok(code).pipes_reusable, code)
        self.run_ok("go.set()")

    def test_pipes_that_were_closed_or_replaced_are_not_passed_on(self):
        for code, passed_on in (
            ("import sys; sys.stdout.buffer.close()", True),  # closes nothing
            ("import sys; sys.stdout.buffer.raw.close()", True),
            ("import sys; sys.stderr.buffer.detach()", None),  # raises: a traceback may hold the cell
            ("import os; os.closerange(8, 64)", False),
            ("import os; f = os.open('f', os.O_CREAT | os.O_WRONLY); os.dup2(f, 1)", True),
        ):
            cell = self.runner.run(code)
            if passed_on is not None:
                self.assertEqual(cell.pipes_reusable, passed_on, code)
            after = self.run_ok("import sys; print('out'); sys.stderr.write('err')\nNone")
            self.assertEqual((after.stdout, after.stderr), ("out\n", "err"))

    def test_pointing_the_standard_descriptors_elsewhere_ends_with_the_cell(self):
        self.run_ok("import os; os.dup2(os.open('/dev/null', os.O_WRONLY), 1)")
        self.assertEqual(self.run_ok("os.write(1, b'seen'); None").stdout, "seen")

    def test_a_file_object_kept_from_an_earlier_cell_goes_on_working(self):
        self.run_ok("import sys; raw = sys.stdout.buffer")
        self.assertEqual(self.run_ok("raw.write(b'raw'); raw.flush()").stdout, "raw")


class Fork(RunnerTest):
    def test_a_fork_never_answers_for_its_parent(self):
        cell = self.run_ok("import os\npid = os.fork()\nif pid == 0:\n    print('child')\n'value'")
        self.assertEqual(self.run_ok("os.waitpid(pid, 0)[1]").text, "0")
        self.assertEqual(cell.text, "'value'")
        self.assertIn("child\n", (cell.bytes["stdout"] + cell.late["stdout"]).decode())

    def test_a_fork_that_raises_or_exits_ends_with_its_code(self):
        for code, status in (
            ("1/0", 1),
            ("import sys; sys.exit(7)", 7),
            ("raise SystemExit('bye')", 1),
        ):
            cell = self.run_ok(
                "import os\npid = os.fork()\nif pid == 0:\n    %s\nos.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])"
                % code
            )
            self.assertEqual(cell.text, str(status))
        self.assertIn("bye", cell.stderr)

    def test_a_fork_of_buffered_text_writes_it_once(self):
        cell = self.run_ok(
            "import os, sys\nsys.stdout.write('once')\npid = os.fork()\nif pid: os.waitpid(pid, 0);"
        )
        self.assertEqual(cell.stdout, "once")

    def test_a_fork_cannot_ask_or_show(self):
        cell = self.run_ok(
            "import os\npid = os.fork()\nif pid == 0:\n    display('as text')\n    try: input()\n"
            "    except EOFError as e: print(e)\n    os._exit(0)\nos.waitpid(pid, 0);"
        )
        self.assertEqual(cell.stdout, "'as text'\na forked process cannot ask for input\n")

    def test_multiprocessing_by_fork_works(self):
        cell = self.run_ok(
            "import multiprocessing\ndef f(x):\n    print('w%d' % x)\n    return x * x\n"
            "with multiprocessing.get_context('fork').Pool(2) as pool:\n    r = pool.map(f, range(4))\nr"
        )
        self.assertEqual(cell.text, "[0, 1, 4, 9]")
        self.assertEqual(sorted(cell.stdout.split()), ["w0", "w1", "w2", "w3"])


class Streams(RunnerTest):
    def test_they_look_like_text_streams(self):
        cell = self.run_ok(
            "import io, sys\n[isinstance(sys.stdout, io.TextIOBase), sys.stdout.encoding, sys.stdout.fileno(),"
            " sys.stderr.fileno(), sys.stdout.isatty(), sys.stdout.closed, sys.stdout.writable(),"
            " sys.stdout.name, sys.stdout is sys.__stdout__]"
        )
        self.assertEqual(
            eval(cell.text), [True, "utf-8", 1, 2, False, False, True, "<stdout>", True]
        )
        self.assertEqual(self.run_ok("sys.stdout.write('abc')").text, "3")
        self.run_error("sys.stdout.write(b'x')", "TypeError")
        self.run_ok("sys.stdout.reconfigure(encoding='utf-8', line_buffering=True)")

    def test_throughput_stays_near_that_of_a_plain_stream(self):
        # Machines differ; what is compared is the CPU time of our stream and of the interpreter's
        # own, over the same pipe, in the same cell.
        cell = self.run_ok(
            "import io, os, sys, threading, time\n"
            "r, w = os.pipe()\n"
            "plain = io.TextIOWrapper(io.BufferedWriter(io.FileIO(w, 'w')), 'utf-8', line_buffering=True)\n"
            "def spin(file, n=3000):\n"
            "    best = 9\n"
            "    for _ in range(12):\n"
            "        t = time.thread_time()\n"
            "        for i in range(n): print('x' * 20, file=file)\n"
            "        best = min(best, time.thread_time() - t)\n"
            "    return best / n * 1e6\n"
            "threading.Thread(target=lambda: [None for _ in iter(lambda: os.read(r, 65536), b'')], daemon=True).start()\n"
            "ours = spin(sys.stdout); theirs = spin(plain)\n"
            "(ours, theirs)"
        )
        ours, theirs = eval(cell.text)
        self.assertLess(
            ours, theirs * 2 + 2.0, "%.2f µs a line, a plain stream %.2f µs" % (ours, theirs)
        )


class Workers(RunnerTest):
    """Processes of a pool that serves more than one cell."""

    POOLS = (
        "from concurrent.futures import ProcessPoolExecutor as Pool\npool = Pool(2)",
        "import multiprocessing as mp\npool = mp.get_context('fork').Pool(2)",
    )
    DEFINE = "def say(text):\n    import os, sys\n    print(text, flush=True)\n    os.write(2, b'e\\n')\n    return text"

    def test_what_a_worker_writes_is_the_cells_that_it_serves(self):
        self.run_ok(self.DEFINE)
        for pool in self.POOLS:
            first = self.run_ok(pool + "\nlist(pool.map(say, ['a', 'b']))")
            self.assertEqual(sorted(first.stdout.split()), ["a", "b"], pool)
            second = self.run_ok("print('own')\nout = list(pool.map(say, ['c']))\nprint('last')\nout")
            self.assertEqual(sorted(second.stdout.split()), ["c", "last", "own"], pool)
            self.assertEqual((second.stderr, first.late["stdout"]), ("e\n", b""), pool)
            self.run_ok("pool.shutdown() if hasattr(pool, 'shutdown') else pool.terminate()")

    def test_callbacks_are_the_cells_that_asked_for_them(self):
        self.run_ok("from concurrent.futures import ThreadPoolExecutor, wait\nimport threading\n"
                    "pool = ThreadPoolExecutor(1)\npool.submit(int).result()\ngo = threading.Event()")  # fmt: skip
        cell = self.run_ok("f = pool.submit(go.wait)\nf.add_done_callback(lambda f: print('called'))")
        self.run_ok("go.set()\nwait([f]);")
        self.runner.until(lambda: b"called" in cell.late["stdout"])

    def test_joblib(self):
        self.need("joblib")
        self.run_ok("from joblib import Parallel, delayed\n" + self.DEFINE)
        code = "Parallel(n_jobs=2, verbose=5)(delayed(say)(t) for t in 'xyz')"
        first, second = self.run_ok(code), self.run_ok(code)
        for cell in (first, second):
            lines = cell.stdout.split("\n")
            self.assertEqual(sorted(line for line in lines if line in ("x", "y", "z")), ["x", "y", "z"])
            self.assertIn("3 out of   3", cell.stdout + cell.stderr)


class Wrapped(RunnerTest):
    """Streams that user code makes of ours."""

    WRAPPERS = (
        "sys.stdout = io.TextIOWrapper(sys.stdout.buffer, encoding='utf-8')",
        "sys.stdout = open(1, 'w', closefd=False)",
        "sys.stdout = io.TextIOWrapper(os.fdopen(1, 'wb', closefd=False))",
        "sys.stdout = io.TextIOWrapper(io.BufferedWriter(sys.stdout.buffer))",
        "sys.stdout = codecs.getwriter('utf-8')(sys.stdout.buffer)",
    )

    def test_what_a_wrapper_holds_is_its_cells(self):
        self.run_ok("import codecs, io, os, sys")
        for wrapper in self.WRAPPERS:
            cell = self.run_ok(wrapper + "\nprint('held', end='')\nNone")
            self.assertEqual(cell.stdout, "held", wrapper)
            after = self.run_ok("print('next')\nsys.stdout.buffer.write(b'raw\\n');")
            self.assertEqual(after.stdout, "next\nraw\n", wrapper)
            error = self.run_ok(wrapper.replace("stdout", "stderr").replace("(1,", "(2,")
                                + "\nprint('held', file=sys.stderr, end='')\nNone")  # fmt: skip
            self.assertEqual(error.stderr, "held", wrapper)
            self.assertEqual(self.run_ok("sys.stderr.write('err');").stderr, "err", wrapper)

    def test_a_stream_of_ours_kept_in_a_variable_is_flushed_with_its_cell(self):
        self.run_ok("import os, sys")
        cell = self.run_ok("own = open(1, 'w', closefd=False)\nown.write('a');")
        self.assertEqual(cell.stdout, "a")
        self.assertEqual(self.run_ok("own.write('b');").stdout, "b")
        file = self.run_ok("other = open('kept', 'w')\nother.write('c')\nos.path.getsize('kept')")
        self.assertEqual(file.text, "0", "a file of its own is nobody else's to flush")

    def test_what_was_printed_and_what_was_written_as_bytes_keep_their_order(self):
        cell = self.run_ok(
            "import sys\nprint('1', end=' ')\nsys.stdout.buffer.write(b'2 ')\nprint('3');"
        )
        self.assertEqual(cell.stdout, "1 2 3\n")

    def test_output_of_c_code_is_its_cells(self):
        self.run_ok("import ctypes\nlibc = ctypes.CDLL(None)")
        self.assertEqual(self.run_ok("libc.printf(b'from C');").stdout, "from C")
        self.assertEqual(self.run_ok("print('next')").stdout, "next\n")


if __name__ == "__main__":
    unittest.main()

"""Cells, as a program that waits runs them."""

from __future__ import annotations

import os
import signal
import threading
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from typing import List

from support import GatewayCase

import cellgate

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNkYPhfDwAChwGA60e6kgAAAABJRU5ErkJggg=="


class RunTest(GatewayCase):
    def setUp(self) -> None:
        self.s = self.session()

    def test_value_streams_and_count(self) -> None:
        done = self.s.run("import sys; print('out'); print('err', file=sys.stderr); 6 * 7")
        self.assertEqual((done.ok, done.status, done.text), (True, "ok", "42"))
        self.assertEqual((done.stdout, done.stderr), ("out\n", "err\n"))
        self.assertEqual(done.execution_count, 1)
        self.assertTrue(done.results[0].is_main_result)
        self.assertIs(done.raise_for_error(), done)
        self.assertEqual(self.s.run("x = 1").text, None)
        self.assertEqual(self.s.run("x + 1").text, "2")

    def test_rich_results_come_in_their_order(self) -> None:
        done = self.s.run(
            "class Rich:\n"
            "    def _repr_mimebundle_(self, include=None, exclude=None):\n"
            "        return {'text/plain': 'rich', 'text/html': '<b>h</b>', 'image/svg+xml': '<svg/>',\n"
            f"                'image/png': {PIXEL!r}, 'application/json': {{'a': [1]}}}}\n"
            "display(Rich()); Rich()"
        )
        self.assertEqual([result.is_main_result for result in done.results], [False, True])
        for result in done.results:
            self.assertEqual((result.text, result.html, result.svg), ("rich", "<b>h</b>", "<svg/>"))
            self.assertEqual(result.json, {"a": [1]})
            self.assertEqual(result.png[:8] if result.png else b"", b"\x89PNG\r\n\x1a\n")
            self.assertIsNone(result.jpeg)

    def test_error(self) -> None:
        done = self.s.run("def half(x):\n    return x / 0\nhalf(1)")
        self.assertEqual(done.status, "error")
        assert done.error is not None
        self.assertEqual((done.error.name, done.error.value), ("ZeroDivisionError", "division by zero"))
        self.assertTrue(done.error.traceback)
        self.assertEqual(done.error.frames[-1]["line"], 2)
        with self.assertRaisesRegex(cellgate.ExecutionFailed, "ZeroDivisionError: division by zero") as caught:
            done.raise_for_error()
        self.assertIs(caught.exception.execution, done)

    def test_callbacks_see_everything_in_this_thread(self) -> None:
        said: List[str] = []
        threads = set()

        def hear(kind: str, text: object) -> None:
            threads.add(threading.current_thread())
            said.append(f"{kind} {text}")

        self.s.run(
            "import sys; print('a', flush=True); display('shown'); sys.stderr.write('b'); 1/0",
            on_stdout=lambda text: hear("out", text.strip()),
            on_stderr=lambda text: hear("err", text.strip()),
            on_display=lambda shown: hear("display", shown.text),
            on_error=lambda error: hear("error", error.name),
        )
        self.s.run("7", on_result=lambda result: hear("result", result.text))
        self.assertEqual(
            sorted(said), sorted(["out a", "display 'shown'", "err b", "error ZeroDivisionError", "result 7"])
        )
        self.assertEqual(threads, {threading.current_thread()})

    def test_a_callback_that_raises_stops_the_cell(self) -> None:
        def fail(text: str) -> None:
            raise LookupError(text)

        before = time.monotonic()
        with self.assertRaisesRegex(LookupError, "hello"):
            self.s.run("import time; print('hello', flush=True); time.sleep(60)", on_stdout=fail)
        self.assertLess(time.monotonic() - before, 10)
        self.assertEqual(self.s.run("6 * 7").text, "42")

    def test_input(self) -> None:
        prompts: List[str] = []

        def answer(request: cellgate.InputRequest) -> str:
            prompts.append(str(request))
            return "Åsa"

        self.assertEqual(self.s.run("input('name? ')", on_input=answer).text, "'Åsa'")
        self.assertEqual(prompts, ["name? "])
        done = self.s.run("input('more? ')", on_input=lambda request: None)
        self.assertEqual(done.error.name if done.error else None, "EOFError")

        def end(request: cellgate.InputRequest) -> str:
            raise EOFError

        done = self.s.run("input('more? ')", on_input=end)
        self.assertEqual(done.error.name if done.error else None, "EOFError")
        # Nobody is there to ask.
        self.assertFalse(self.s.run("input()").ok)

    def test_options(self) -> None:
        self.assertEqual(self.s.run("import os; os.environ['CITY']", env={"CITY": "Malmö"}).text, "'Malmö'")
        self.assertEqual(self.s.run("import os; os.environ.get('CITY')").text, None)
        done = self.s.run("import time; time.sleep(60)", timeout=0.3)
        self.assertEqual(done.status, "timeout")
        done = self.s.run("5", silent=True)
        self.assertEqual((done.text, done.execution_count), (None, None))
        done = self.s.run("y = 8", user_expressions={"twice": "y * 2", "none": "z"})
        self.assertEqual(done.user_expressions["twice"]["data"]["text/plain"], "16")
        self.assertEqual(done.user_expressions["none"]["ename"], "NameError")
        cells = [
            event.raw.get("cell") for event in self.s.stream("1", cell="cell-7") if event.type in ("queued", "done")
        ]
        self.assertEqual(cells, ["cell-7", "cell-7"])

    def test_stream(self) -> None:
        running = self.s.stream("print('one'); print('two'); 3")
        with self.assertRaisesRegex(cellgate.CellgateError, "has not ended"):
            running.execution  # noqa: B018 (it raises)
        events = list(running)
        self.assertEqual([events[0].type, events[1].type, events[-1].type], ["queued", "started", "done"])
        self.assertEqual("".join(e.text for e in events if isinstance(e, cellgate.Stdout)), "one\ntwo\n")
        self.assertEqual(running.execution.text, "3")

    def test_leaving_a_stream_interrupts_its_cell(self) -> None:
        for event in self.s.stream("import time\nprint('go', flush=True)\ntime.sleep(60)"):
            if isinstance(event, cellgate.Stdout):
                break
        before = time.monotonic()
        self.assertEqual(self.s.run("1").text, "1")
        self.assertLess(time.monotonic() - before, 10)

    def test_interrupt_from_another_thread(self) -> None:
        started = threading.Event()

        def stop() -> None:
            started.wait(20)
            self.s.interrupt()

        thread = threading.Thread(target=stop)
        thread.start()
        done = self.s.run("print('on', flush=True)\nimport time; time.sleep(60)", on_stdout=lambda text: started.set())
        thread.join()
        self.assertEqual(done.status, "interrupted")
        self.assertEqual(self.s.run("6 * 7").text, "42")

    def test_keyboard_interrupt(self) -> None:
        """Ctrl-C while a cell runs: the cell ends, the exception comes, and the session goes on."""
        ctrl_c = threading.Timer(0.5, os.kill, [os.getpid(), signal.SIGINT])
        ctrl_c.start()
        with self.assertRaises(KeyboardInterrupt):
            self.s.run("import time; time.sleep(60)", id="long")
        self.assertEqual(self.s.run("6 * 7").text, "42")
        # It was asked for by its id.
        with self.assertRaises(cellgate.Refused) as caught:
            self.s.run("1", id="long")
        self.assertEqual(caught.exception.code, "duplicate_id")

    def test_unicode(self) -> None:
        text = "naïve 🦀 漢字 \u200d 👩‍👩‍👧 \x00 ␀ \u2028"
        done = self.s.run(f"print({text!r}, end=''); {text!r}")
        self.assertEqual(done.stdout, text)
        self.assertEqual(done.text, repr(text))
        self.assertEqual(self.s.run(f"'{'é' * 1000}'.count('é')").text, "1000")

    def test_large_output_is_whole(self) -> None:
        count = 0

        def hear(text: str) -> None:
            nonlocal count
            count += len(text)

        done = self.s.run("for i in range(60_000): print(f'{i:08}' * 8)", on_stdout=hear)
        self.assertEqual(count, 60_000 * 65)
        self.assertEqual(len(done.stdout), count)

    def test_a_slow_reader_gets_everything(self) -> None:
        lines = 0
        for event in self.s.stream("for i in range(40_000): print('x' * 99)"):
            if isinstance(event, cellgate.Stdout):
                lines += event.text.count("\n")
                time.sleep(0.005)
        self.assertEqual(lines, 40_000)

    def test_too_much_code_is_refused_with_advice(self) -> None:
        with self.assertRaisesRegex(cellgate.Refused, r"files\.write") as caught:
            self.s.run("#" * (self.s.limits["message_bytes"] + 1))
        self.assertEqual(caught.exception.code, "too_large")
        self.assertEqual(self.s.run("1").text, "1")

    def test_what_cannot_be_sent_is_no_hang(self) -> None:
        with self.assertRaisesRegex(cellgate.CellgateError, "JSON"):
            self.s.run("1", env={"A": object()})  # type: ignore[dict-item]
        self.assertEqual(self.s.run("'\ud800'").text, "'?'")

    def test_three_sessions_at_once(self) -> None:
        sessions = [self.s, self.session(), self.session()]
        with ThreadPoolExecutor(3) as pool:
            for n, session in enumerate(sessions):
                session.run(f"mine = {n}")
            ends = list(pool.map(lambda s: s.run("import time; time.sleep(0.2); print(mine); mine").text, sessions))
        self.assertEqual(ends, ["0", "1", "2"])

    def test_threads_share_a_session(self) -> None:
        with ThreadPoolExecutor(8) as pool:
            ends = list(pool.map(lambda n: self.s.run(f"print({n}); {n}"), range(24)))
        self.assertEqual([(end.stdout, end.text) for end in ends], [(f"{n}\n", str(n)) for n in range(24)])

    def test_questions(self) -> None:
        self.s.run("import math\nlength = [1, 2, 3]")
        completions = self.s.complete("math.sq")
        self.assertIn("sqrt", " ".join(completions.matches))
        self.assertIn("math.sqrt", (self.s.inspect("math.sqrt").text or "").replace("sqrt(", "math.sqrt("))
        self.assertEqual(self.s.is_complete("def f():").status, "incomplete")
        self.assertEqual(self.s.is_complete("1 + 1").status, "complete")
        (variable,) = [one for one in self.s.variables() if one.name == "length"]
        self.assertEqual((variable.type, variable.shape), ("list", [3]))
        self.assertGreater(self.s.ping(), 0)
        self.s.run("rows = [{'a': 1, 'b': 'x'}, {'a': 2, 'b': 'y'}]")
        table = self.s.table(variable="rows", sort=[{"column": 1, "descending": True}], count=1)
        self.assertEqual((table["total_rows"], table["rows"][0][-2:]), (2, [2, "y"]))
        with self.assertRaisesRegex(cellgate.CellgateError, "name either"):
            self.s.table()

    def test_a_busy_interpreter_says_so(self) -> None:
        started = threading.Event()
        thread = threading.Thread(
            target=lambda: self.s.run(
                "print(1, flush=True)\nimport time; time.sleep(60)", on_stdout=lambda _: started.set()
            )
        )
        thread.start()
        self.assertTrue(started.wait(20))
        with self.assertRaises(cellgate.InterpreterBusy):
            self.s.variables()
        self.s.interrupt()
        thread.join()

    def test_restart(self) -> None:
        self.s.run("x = 1")
        self.s.restart()
        done = self.s.run("x")
        self.assertEqual(done.error.name if done.error else None, "NameError")

    def test_events_of_all(self) -> None:
        with self.s.events() as events:
            self.s.run("print('seen')", id="watched")
            kinds = []
            for event in events:
                kinds.append(event.type)
                if isinstance(event, cellgate.Done) and event.id == "watched":
                    break
        self.assertIn("stdout", kinds)
        # A cell without an end of its own comes to an end with the session's.
        watcher = self.s.events()
        self.s.end()
        self.assertIn("ended", [event.type for event in watcher])

    def test_displays_are_updated_and_cleared(self) -> None:
        done = self.s.run("h = display('one', display_id=True); h.update('two'); display('three')")
        self.assertEqual([result.text for result in done.results], ["'two'", "'three'"])
        code = "from IPython.display import clear_output\ndisplay(1); clear_output(wait=True); display(2)"
        done = self.s.run(code)
        if done.error is None:  # IPython is there
            self.assertEqual([result.text for result in done.results], ["2"])


if __name__ == "__main__":
    unittest.main()

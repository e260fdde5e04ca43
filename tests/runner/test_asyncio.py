"""Top-level await and tasks that outlive their cell."""

import unittest

from harness import RunnerTest


class Await(RunnerTest):
    def test_await_async_for_and_async_with(self):
        cell = self.run_ok(
            "import asyncio\nclass C:\n    async def __aenter__(self): return 5\n    async def __aexit__(self, *e): pass\n"
            "async def count():\n    for i in range(3):\n        await asyncio.sleep(0)\n        yield i\n"
            "seen = []\nasync for i in count(): seen.append(i)\nasync with C() as c: seen.append(c)\n"
            "seen + [i async for i in count()]"
        )
        self.assertEqual(cell.text, "[0, 1, 2, 5, 0, 1, 2]")
        self.assertEqual(self.run_ok("await asyncio.sleep(0, 'value')").text, "'value'")

    def test_errors_show_the_cell_alone(self):
        self.run_ok("import asyncio\nasync def f():\n    await asyncio.sleep(0)\n    1/0")
        cell = self.run_error("await f()", "ZeroDivisionError")
        self.assertEqual([f["file"] for f in cell.error["frames"]], ["<cell 2>", "<cell 1>"])
        self.run_error("raise SystemExit(await asyncio.sleep(0, 2))", "SystemExit")
        self.assertEqual(self.run_ok("await asyncio.sleep(0, 1)").text, "1")

    def test_one_loop_for_the_session(self):
        self.run_ok(
            "import asyncio\nloop = asyncio.get_running_loop() if False else None\nasync def me(): return asyncio.get_running_loop()"
        )
        self.run_ok("a = await me()")
        self.assertEqual(self.run_ok("a is await me()").text, "True")

    def test_the_loop_counts_as_running_in_a_cell_that_does_not_await(self):
        self.run_ok("import asyncio\nfrom asyncio import get_running_loop")
        self.assertEqual(self.run_ok("asyncio.get_running_loop() is get_running_loop()").text, "True")
        self.run_ok("here = asyncio.get_running_loop()\nsame = here is await asyncio.sleep(0, here)")
        self.assertEqual(self.run_ok("same, here is asyncio.get_running_loop()").text, "(True, True)")
        # What makes things of the loop without awaiting, as clients of HTTP do.
        self.run_ok("done = asyncio.get_running_loop().create_future()")
        self.run_ok("asyncio.get_running_loop().call_soon(done.set_result, 7)")
        self.assertEqual(self.run_ok("await done").text, "7")
        # Where none runs, there is none: in a thread, and below asyncio.run it is that one's.
        self.run_ok("from concurrent.futures import ThreadPoolExecutor as Pool\n"
                    "raised = Pool().submit(asyncio.get_running_loop).exception()")  # fmt: skip
        self.assertEqual(self.run_ok("type(raised).__name__").text, "'RuntimeError'")
        self.run_ok("async def own(): return asyncio.get_running_loop()")
        self.assertEqual(self.run_ok("asyncio.run(own()) is here").text, "False")

    def test_context_variables_live_on(self):
        self.run_ok(
            "import contextvars, asyncio\nv = contextvars.ContextVar('v')\nawait asyncio.sleep(0)\nv.set(1);"
        )
        self.assertEqual(self.run_ok("v.get()").text, "1")
        self.assertEqual(self.run_ok("await asyncio.sleep(0, v.get())").text, "1")

    def test_asyncio_run_works_in_a_cell_that_does_not_await(self):
        self.run_ok("import asyncio\nasync def f(): return 9")
        self.assertEqual(self.run_ok("asyncio.run(f())").text, "9")
        self.assertEqual(self.run_ok("await f()").text, "9")

    def test_tasks_go_on_between_cells(self):
        # The task tells by a file that it ran; no cell runs meanwhile.
        cell = self.run_ok(
            "import asyncio\nasync def work():\n    await asyncio.sleep(0.01)\n    print('worked')\n    return 'result'\n"
            "task = asyncio.create_task(work())"
        )
        self.runner.until(lambda: cell.late["stdout"] == b"worked\n")
        self.assertEqual(self.run_ok("task.result()").text, "'result'")

    def test_tasks_go_on_after_a_cell_that_awaited(self):
        cell = self.run_ok(
            "import asyncio\nasync def tick():\n    for i in range(3):\n        await asyncio.sleep(0.01)\n        print(i)\n"
            "t = asyncio.create_task(tick())\nawait asyncio.sleep(0)"
        )
        self.runner.until(lambda: cell.bytes["stdout"] + cell.late["stdout"] == b"0\n1\n2\n")
        self.assertEqual(self.run_ok("await t").outcome, "ok")

    def test_a_server_answers_between_cells(self):
        import os
        import socket

        cell = self.run_ok(
            "import asyncio\nasync def hello(reader, writer):\n    writer.write(await reader.readline()); writer.close()\n"
            "server = await asyncio.start_unix_server(hello, 'sock')"
        )
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(20)
            client.connect(os.path.join(self.runner.directory, "sock"))
            client.sendall(b"ping\n")
            self.assertEqual(client.recv(10), b"ping\n")
        self.assertEqual(cell.outcome, "ok")

    def test_a_task_that_fails_in_the_background_harms_nobody(self):
        self.run_ok("import asyncio\nasync def bad(): 1/0\nt = asyncio.create_task(bad())")
        self.run_ok("async def leave(): raise SystemExit\nt2 = asyncio.create_task(leave())")
        self.assertEqual(self.run_ok("type(t.exception()).__name__").text, "'ZeroDivisionError'")
        self.assertEqual(self.run_ok("await asyncio.sleep(0, 4)").text, "4")

    def test_interrupts_reach_what_waits_and_what_computes(self):
        self.run_ok("import asyncio, time")
        for code in (
            "async def w():\n    print('go')\n    await asyncio.sleep(60)\nawait w()",
            "async def f():\n    print('go')\n    while True: pass\nawait f()",
            "async def g():\n    print('go')\n    await asyncio.gather(asyncio.sleep(60), asyncio.sleep(60))\nawait g()",
        ):
            cell = self.runner.start(code)
            self.runner.until(lambda: "go" in cell.stdout)
            self.runner.interrupt()
            self.runner.finish(cell)
            self.assertEqual(
                (cell.outcome, cell.error["name"]), ("interrupted", "KeyboardInterrupt"), code
            )
            self.assertTrue(cell.error["frames"], code)
            self.assertEqual(cell.error["frames"][0]["file"], "<cell %d>" % cell.number)
        self.assertEqual(self.run_ok("await asyncio.sleep(0, 5)").text, "5")

    def test_cleanup_of_an_interrupted_coroutine_runs(self):
        cell = self.runner.start(
            "import asyncio\ntry:\n    print('go')\n    await asyncio.sleep(60)\nfinally:\n    print('cleaned')"
        )
        self.runner.until(lambda: "go" in cell.stdout)
        self.runner.interrupt()
        self.runner.finish(cell)
        self.assertEqual((cell.outcome, cell.stdout), ("interrupted", "go\ncleaned\n"))

    def test_input_and_questions_while_tasks_wait(self):
        self.run_ok("import asyncio\nt = asyncio.create_task(asyncio.sleep(60))")
        self.assertEqual(self.runner.ask("complete", "asyncio.slee")["matches"], ["sleep"])
        self.runner.inputs = [{"text": "yes"}]
        self.assertEqual(self.run_ok("input()").text, "'yes'")
        self.assertEqual(
            self.run_ok(
                "import threading; r = []\nt2 = threading.Thread(target=lambda: r.append(1)); t2.start(); t2.join(); r"
            ).text,
            "[1]",
        )

    def test_a_closed_loop_is_made_anew(self):
        self.run_ok("import asyncio\nawait asyncio.sleep(0)")
        self.run_ok("asyncio.get_event_loop().close()")
        self.assertEqual(self.run_ok("await asyncio.sleep(0, 6)").text, "6")


if __name__ == "__main__":
    unittest.main()

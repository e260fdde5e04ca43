"""Processes, commands and further interpreters, blocking and as coroutines."""

from __future__ import annotations

import asyncio
import hashlib
import unittest
from typing import Any, Callable, Coroutine, List

from support import GatewayCase

import cellgate

#: Writes 8 MiB that no two places of look alike; a digest of it goes into a file.
NOISE = """
import hashlib, random, sys
noise, digest = random.Random(7), hashlib.sha256()
for line in range(80_000):
    text = f"{line} {noise.getrandbits(380):096x}\\n"
    digest.update(text.encode())
    sys.stdout.write(text)
open("digest", "w").write(digest.hexdigest())
"""


class ProcessTest(GatewayCase):
    def setUp(self) -> None:
        self.s = self.session()

    def read_until(self, process: cellgate.Process, wanted: str) -> str:
        said = ""
        for event in process.read(timeout=60):
            said += event.text
            if wanted in said:
                return said
        self.fail(f"it ended before it said {wanted!r}: {said!r}")

    def test_a_command_has_its_output_and_its_code(self) -> None:
        heard: List[str] = []
        done = self.s.run_command("echo out; echo err >&2; exit 3", on_stdout=heard.append, on_stderr=heard.append)
        self.assertEqual((done.stdout, done.stderr, done.code, done.ok), ("out\n", "err\n", 3, False))
        self.assertEqual(sorted(heard), ["err\n", "out\n"])
        with self.assertRaisesRegex(cellgate.CommandFailed, "exit code 3\nerr") as caught:
            done.raise_for_error()
        self.assertIs(caught.exception.result, done)
        done = self.s.run_command(["printf", "%s|", "a b", "$HOME"], env={"A": "1"})
        self.assertEqual((done.raise_for_error().stdout, done.detail), ("a b|$HOME|", None))
        self.s.files.mkdir("below")
        done = self.s.run_command('echo "$CITY $(basename "$PWD")"', env={"CITY": "Malmö"}, cwd="below")
        self.assertEqual(done.stdout, "Malmö below\n")
        self.assertEqual(self.s.run_command("kill -9 $$").signal, "SIGKILL")

    def test_what_cannot_be_started_is_an_exception(self) -> None:
        with self.assertRaisesRegex(cellgate.ProgramNotStarted, "no-such-program") as caught:
            self.s.start(["no-such-program"])
        self.assertEqual(caught.exception.exited.code, 127)
        with self.assertRaisesRegex(cellgate.Refused, "there is no interpreter of .*cobol"):
            self.s.open_interpreter("cobol")
        with self.assertRaisesRegex(cellgate.CellgateError, "name a command"):
            self.s.start()

    def test_input_is_written_and_ended(self) -> None:
        with self.s.start("cat; echo end", stdin=True) as process:
            self.assertGreater(process.pid or 0, 0)
            process.write("é\n")
            self.read_until(process, "é\n")
            process.write(b"bytes\n")
            process.close_input()
            said = "".join(event.text for event in process)
            self.assertEqual(said, "bytes\nend\n")
            self.assertEqual(process.wait().code, 0)
            self.assertEqual(list(process), [])
            with self.assertRaisesRegex(cellgate.Refused, "has ended"):
                process.write("more")
            process.signal("SIGTERM")  # which comes too late, and harms nothing
        with self.s.start("sleep 600") as process:
            with self.assertRaisesRegex(cellgate.Refused, "stdin: true"):
                process.write("x")
            with self.assertRaisesRegex(cellgate.Refused, "terminal"):
                process.resize(80, 24)
            self.assertIsNone(process.exited)
        assert process.exited is not None
        self.assertIn("closed by", process.exited.detail or "")

    def test_input_that_is_not_read_is_refused_in_the_end(self) -> None:
        with self.s.start("sleep 600", stdin=True) as process:
            with self.assertRaises(cellgate.Refused) as caught:
                for _ in range(100):
                    process.write("x" * 100_000)
            self.assertEqual(caught.exception.code, "queue_full")

    def test_a_signal_and_a_wait_with_an_end(self) -> None:
        process = self.s.start("trap 'echo caught; exit 7' INT; echo ready; while :; do sleep 0.05; done")
        self.read_until(process, "ready")
        with self.assertRaisesRegex(cellgate.NoAnswer, "has not ended within"):
            process.wait(timeout=0.05)
        process.signal("SIGINT")
        self.assertEqual("".join(event.text for event in process), "caught\n")
        self.assertEqual(process.wait(timeout=60).code, 7)
        with self.assertRaises(cellgate.NoAnswer):
            self.s.run_command("sleep 600", timeout=0.2)
        self.assertEqual([program["id"] for program in self.open_programs()], ["main"])

    def open_programs(self) -> Any:
        """What is open, as a second participant is told."""
        with cellgate.connect(self.gateway.url, self.gateway.token, session=self.s.id) as other:
            return other.ready["programs"]

    def test_a_terminal(self) -> None:
        with self.s.start(["sh"], terminal=(91, 31), env={"PS1": "> "}) as shell:
            shell.write("stty size\n")
            self.read_until(shell, "31 91")
            shell.resize(72, 20)
            shell.write("stty size; echo 'a''b'\n")
            said = self.read_until(shell, "ab")
            self.assertIn("20 72", said)
            shell.close_input()
            self.assertEqual({event.type for event in shell} - {"terminal"}, set())
            self.assertEqual(shell.wait().code, 0)

    def test_output_that_nobody_reads_holds_up_no_cell_and_the_newest_is_kept(self) -> None:
        self.s.files.write("noise.py", NOISE)
        process = self.s.start("python3 noise.py; echo the end")
        self.assertEqual(self.s.run("6 * 7").text, "42")
        self.assertEqual(process.wait(timeout=60).code, 0)
        said = "".join(event.text for event in process)
        self.assertTrue(process.output_lost)
        self.assertTrue(said.endswith("the end\n"), said[-100:])
        self.assertLess(len(said), 1 << 20)
        self.assertEqual(self.s.run("6 * 7").text, "42")

    def test_every_byte_comes_to_a_reader_over_cut_connections(self) -> None:
        proxy = self.proxy()
        with cellgate.connect(proxy.url, self.gateway.token) as session:
            session.files.write("noise.py", NOISE)
            process = session.start("read -r go; python3 noise.py", stdin=True)
            process.write("go\n")
            proxy.cut_after = 1_500_000
            proxy.cut()
            digest = hashlib.sha256()
            for event in process:
                digest.update(event.text.encode())
            proxy.cut_after = None
            self.assertGreaterEqual(proxy.cuts, 4)
            self.assertEqual(process.wait().code, 0)
            self.assertFalse(process.output_lost)
            self.assertEqual(digest.hexdigest(), session.run("open('digest').read()").text[1:-1])  # type: ignore[index]

    def test_an_end_that_came_while_there_was_no_connection(self) -> None:
        proxy = self.proxy()
        with cellgate.connect(proxy.url, self.gateway.token) as session:
            process = session.start("until [ -e go ]; do sleep 0.05; done; exit 5")
            proxy.accepts = False
            proxy.cut()
            with cellgate.connect(self.gateway.url, self.gateway.token, session=session.id) as other:
                with other.events() as events:
                    other.files.write("go", "")
                    code = next(event.code for event in events if isinstance(event, cellgate.Exited))
            self.assertEqual(code, 5)
            self.assertIsNone(process.exited)
            proxy.accepts = True
            self.assertEqual(process.wait(timeout=60).code, 5)

    def test_the_end_of_the_session_ends_its_programs(self) -> None:
        session = self.gateway.connect()
        process = session.start("sleep 600")
        session.end()
        with self.assertRaises(cellgate.SessionEnded):
            list(process)
        with self.assertRaises(cellgate.SessionEnded):
            process.wait()
        with self.assertRaises(cellgate.SessionEnded):
            session.start("true")


class InterpreterTest(GatewayCase):
    def setUp(self) -> None:
        self.s = self.session()

    def test_cells_of_several_interpreters(self) -> None:
        self.assertEqual(self.s.run("x=3; echo $x", interpreter="bash").stdout, "3\n")
        self.assertEqual(self.s.run("echo again $x", interpreter="bash").stdout, "again 3\n")
        with self.s.open_interpreter("python", "second", env={"CITY": "Malmö"}) as second:
            self.assertEqual((second.id, second.language), ("second", "python"))
            self.assertRegex(second.version or "", r"^3\.")
            self.s.run("y = 1")
            self.assertEqual(self.s.run("import os; y = os.environ['CITY']; y", interpreter="second").text, "'Malmö'")
            self.assertEqual(self.s.run("y").text, "1")
            self.assertIn("capitalize", self.s.complete("y.capit", interpreter="second").matches[0])
            self.assertTrue(self.s.inspect("y.upper", interpreter="second").found)
            self.assertEqual(self.s.is_complete("if x", interpreter="second").status, "invalid")
            self.assertEqual([one.preview for one in self.s.variables("second") if one.name == "y"], ["'Malmö'"])
            self.s.restart(interpreter="second")
            self.assertEqual(self.s.run("y", interpreter="second").error.name, "NameError")  # type: ignore[union-attr]
            self.assertEqual(self.s.run("y").text, "1")
        assert second.exited is not None
        with self.assertRaises(cellgate.Refused):
            self.s.run("1", interpreter="second")

    def test_an_interrupt_names_its_interpreter(self) -> None:
        def stop(text: str) -> None:
            self.s.interrupt(interpreter="bash")

        done = self.s.run("echo go; while :; do :; done", interpreter="bash", on_stdout=stop)
        self.assertEqual((done.status, done.state_kept), ("interrupted", True))


class AsyncProgramsTest(GatewayCase):
    def in_session(self, body: Callable[[cellgate.AsyncSession], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with self.gateway.connect_async() as session:
                await body(session)

        asyncio.run(asyncio.wait_for(main(), 120))

    def test_commands_processes_and_interpreters(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            heard: List[str] = []

            async def hear(text: str) -> None:
                heard.append(text)

            done = await s.run_command("echo hé; exit 2", on_stdout=hear)
            self.assertEqual((done.stdout, done.code, heard), ("hé\n", 2, ["hé\n"]))
            with self.assertRaises(cellgate.NoAnswer):
                await s.run_command("sleep 600", timeout=0.2)
            async with await s.start(["cat"], stdin=True) as process:
                await process.write("a\n")
                async for event in process:
                    self.assertEqual((event.type, event.text, event.program), ("stdout", "a\n", process.id))
                    break
                await process.write("b\n", eof=True)
                self.assertEqual([event.text async for event in process], ["b\n"])
                self.assertEqual((await process.wait()).code, 0)
            async with await s.open_interpreter("bash") as bash:
                self.assertEqual((await s.run("echo $((6 * 7))", interpreter=bash.id)).stdout, "42\n")
                await s.restart(interpreter=bash.id)
            async with await s.start(terminal=(80, 24)) as shell:
                await shell.resize(70, 20)
                await shell.signal("SIGKILL")
                self.assertEqual((await shell.wait(60)).signal, "SIGKILL")

        self.in_session(body)

    def test_cancelling_a_command_ends_it(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            events = s.events()
            started: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            running = asyncio.ensure_future(
                s.run_command("echo go; sleep 600", on_stdout=lambda text: started.set_result(None))
            )
            await started
            running.cancel()
            async for event in events:
                if isinstance(event, cellgate.Exited):
                    self.assertIn("closed by", event.detail or "")
                    break
            events.close()
            with self.assertRaises(asyncio.CancelledError):
                await running

        self.in_session(body)


if __name__ == "__main__":
    unittest.main()

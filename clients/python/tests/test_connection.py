"""Connections that break, and sessions and gateways that are not there."""

from __future__ import annotations

import asyncio
import hashlib
import os
import signal
import socket
import threading
import time
import unittest
from typing import List

from support import GatewayCase, arguments

import cellgate

# Prints about 4 MiB that no two places of look alike, and its SHA-256 at the end as the cell's value.
NOISE = """
import hashlib, random, sys
noise, digest = random.Random(7), hashlib.sha256()
for line in range(40_000):
    text = f"{line} {noise.getrandbits(320):080x} é🦀\\n"
    digest.update(text.encode())
    sys.stdout.write(text)
digest.hexdigest()
"""


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


class ResumeTest(GatewayCase):
    def test_output_is_byte_exact_over_cut_connections(self) -> None:
        proxy = self.proxy()
        with cellgate.connect(proxy.url, self.gateway.token) as session:
            proxy.cut_after = 700_000
            proxy.cut()  # the first connection was made without an end
            parts: List[str] = []
            done = session.run(NOISE, on_stdout=parts.append)
            proxy.cut_after = None
            self.assertEqual(done.status, "ok")
            self.assertGreaterEqual(proxy.cuts, 4)
            self.assertEqual(repr(sha256("".join(parts))), done.text)
            self.assertEqual(repr(sha256(done.stdout)), done.text)
            self.assertFalse(done.output_lost)
            # Nothing came twice, and the session is the same one.
            self.assertEqual(done.execution_count, 1)
            self.assertEqual(session.run("line").text, "39999")

    def test_the_same_for_coroutines(self) -> None:
        proxy = self.proxy()

        async def main() -> None:
            async with cellgate.connect_async(proxy.url, self.gateway.token) as session:
                proxy.cut_after = 900_000
                proxy.cut()
                running = session.stream(NOISE)
                parts = [event.text async for event in running if isinstance(event, cellgate.Stdout)]
                proxy.cut_after = None
                self.assertEqual(repr(sha256("".join(parts))), running.execution.text)

        asyncio.run(asyncio.wait_for(main(), 60))
        self.assertGreaterEqual(proxy.cuts, 3)

    def test_a_cell_that_is_sent_while_disconnected_runs_once(self) -> None:
        proxy = self.proxy()
        with cellgate.connect(proxy.url, self.gateway.token) as session:
            session.run("count = 0")
            for n in range(5):
                proxy.cut()
                self.assertEqual(session.run("count += 1; count").text, str(n + 1))

    def test_a_cell_goes_on_while_its_client_is_away(self) -> None:
        proxy = self.proxy()
        with cellgate.connect(proxy.url, self.gateway.token) as session:
            session.run("1")  # IPython is imported with the first cell

            def away(text: str) -> None:
                if text.startswith("begin"):
                    proxy.accepts = False
                    proxy.cut()
                    threading.Timer(3, setattr, [proxy, "accepts", True]).start()

            code = "import time\nprint('begin', flush=True)\ntime.sleep(0.8)\nprint('middle', flush=True)\n'end'"
            done = session.run(code, on_stdout=away)
            self.assertEqual((done.stdout, done.text), ("begin\nmiddle\n", "'end'"))
            self.assertLess(done.duration, 2.8)  # it did not wait for its client

    def test_an_answer_survives_a_cut(self) -> None:
        proxy = self.proxy()
        with cellgate.connect(proxy.url, self.gateway.token) as session:

            def answer(request: cellgate.InputRequest) -> str:
                proxy.cut()
                return "over the gap"

            self.assertEqual(session.run("input('? ')", on_input=answer).text, "'over the gap'")

    def test_another_process_comes_back_as_the_same_participant(self) -> None:
        first = self.gateway.connect()
        self.addCleanup(first.close)
        first.run("print('before')")
        seq, id, token = first.last_seq, first.id, first.token
        first.run("print('missed')", id="missed")
        with cellgate.connect(self.gateway.url, token, session=id, after=seq, keep=False) as second:
            self.assertEqual((second.id, second.role), (id, "owner"))
            text = ""
            for event in second.events():
                self.assertGreater(event.seq, seq)
                if isinstance(event, cellgate.Stdout):
                    text += event.text
                if isinstance(event, cellgate.Done) and event.id == "missed":
                    break
            self.assertEqual(text, "missed\n")
            # Its place was taken, and it is told what to do.
            with self.assertRaisesRegex(cellgate.SessionEnded, r"share\w*\(\)|create_link") as caught:
                first.run("1")
            self.assertEqual(caught.exception.code, 4409)

    def test_without_a_gateway_it_gives_up(self) -> None:
        proxy = self.proxy()
        session = cellgate.connect(proxy.url, self.gateway.token, reconnect_for=1.0)
        self.addCleanup(session.close)
        proxy.accepts = False
        before = time.monotonic()
        proxy.cut()
        with self.assertRaisesRegex(cellgate.ConnectionLost, "cellgate serve"):
            session.run("1")
        self.assertLess(time.monotonic() - before, 8)


class AbsentTest(GatewayCase):
    def test_a_wrong_token(self) -> None:
        with self.assertRaisesRegex(cellgate.Unauthorised, "token"):
            cellgate.connect(self.gateway.url, "wrong")
        with self.assertRaises(cellgate.Unauthorised):
            asyncio.run(connect_and_leave(self.gateway.url, "wrong"))

    def test_no_gateway(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        with self.assertRaisesRegex(cellgate.ConnectionLost, f"127.0.0.1:{port}.*cellgate serve"):
            cellgate.connect(f"http://127.0.0.1:{port}", "token")
        with self.assertRaises(cellgate.ConnectionLost):
            asyncio.run(connect_and_leave(f"ws://127.0.0.1:{port}/ws", "token"))
        with self.assertRaisesRegex(cellgate.CellgateError, "not the address of a gateway"):
            cellgate.connect("ftp://example.org", "token")

    def test_something_that_is_silent(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            before = time.monotonic()
            with self.assertRaises(cellgate.ConnectionLost):
                cellgate.connect(f"http://127.0.0.1:{silent.getsockname()[1]}", "token", ready_timeout=0.5)
        self.assertLess(time.monotonic() - before, 8)

    def test_no_such_session_or_template(self) -> None:
        with self.assertRaisesRegex(cellgate.NoSuchSession, "session"):
            self.gateway.connect(session="abcdefghij23")
        with self.assertRaisesRegex(cellgate.NoSuchSession, "template"):
            self.gateway.connect(template="none-such")

    def test_a_session_that_is_over(self) -> None:
        session = self.session()
        guest = cellgate.connect(session.sharing.create_link("editor").url)
        self.addCleanup(guest.close)
        session.end()
        with self.assertRaises(cellgate.CellgateError):
            guest.run("1")
        self.assertIsInstance(session.closed, cellgate.SessionEnded)
        with self.assertRaises(cellgate.SessionEnded):
            session.run("1")
        with self.assertRaises((cellgate.NoSuchSession, cellgate.Unauthorised)):
            self.gateway.connect(session=session.id)

    def test_no_capacity(self) -> None:
        with cellgate.Gateway([*arguments(), "--sessions", "1", "--waiting-timeout", "0s"]) as small:
            with small.connect():
                with self.assertRaisesRegex(cellgate.GatewayBusy, "--sessions"):
                    small.connect()


class EndedGatewayTest(unittest.TestCase):
    def test_a_gateway_that_is_killed_in_the_middle_of_a_cell(self) -> None:
        with cellgate.Gateway(arguments()) as gateway:
            session = gateway.connect(reconnect_for=1.0)
            self.addCleanup(session.close)

            def kill(text: str) -> None:
                os.killpg(gateway.pid, signal.SIGKILL)

            with self.assertRaisesRegex(cellgate.ConnectionLost, "no gateway answers"):
                session.run("print('on', flush=True)\nimport time; time.sleep(60)", on_stdout=kill)
            self.assertIsInstance(session.closed, cellgate.ConnectionLost)

    def test_a_gateway_that_is_stopped_in_the_middle_of_a_cell(self) -> None:
        with cellgate.Gateway(arguments()) as gateway:
            session = gateway.connect(reconnect_for=1.0)
            self.addCleanup(session.close)
            threads: List[threading.Thread] = []

            def stop(text: str) -> None:
                threads.append(threading.Thread(target=gateway.stop))
                threads[0].start()

            try:
                done = session.run("print('on', flush=True)\nimport time; time.sleep(60)", on_stdout=stop)
                self.assertNotEqual(done.status, "ok")
            except cellgate.CellgateError as ended:
                self.assertIsInstance(ended, (cellgate.ConnectionLost, cellgate.SessionEnded))
            threads[0].join()
            self.assertFalse(gateway.running)


async def connect_and_leave(url: str, token: str) -> None:
    async with cellgate.connect_async(url, token):
        pass


if __name__ == "__main__":
    unittest.main()

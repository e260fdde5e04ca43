"""Cells, as coroutines run them."""

from __future__ import annotations

import asyncio
import time
import unittest
from typing import Any, Callable, Coroutine, List

from support import GatewayCase

import cellgate


class AsyncTest(GatewayCase):
    def in_session(self, body: Callable[[cellgate.AsyncSession], Coroutine[Any, Any, None]]) -> None:
        async def main() -> None:
            async with self.gateway.connect_async() as session:
                await body(session)

        asyncio.run(asyncio.wait_for(main(), 60))

    def test_run_stream_and_callbacks(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            said: List[str] = []

            async def hear(text: str) -> None:
                await asyncio.sleep(0)
                said.append(text)

            done = await s.run("print('hé'); 6 * 7", on_stdout=hear)
            self.assertEqual((done.text, said), ("42", ["hé\n"]))
            running = s.stream("print(1); 2")
            kinds = [event.type async for event in running]
            self.assertEqual((kinds[0], kinds[-1], running.execution.text), ("queued", "done", "2"))

        self.in_session(body)

    def test_input_by_a_coroutine(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            async def answer(request: cellgate.InputRequest) -> str:
                await asyncio.sleep(0.01)
                return request.prompt.upper()

            self.assertEqual((await s.run("input('who')", on_input=answer)).text, "'WHO'")

        self.in_session(body)

    def test_cancelling_interrupts_the_cell(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            with self.assertRaises(asyncio.TimeoutError):
                await asyncio.wait_for(s.run("import time; time.sleep(60)"), 0.5)
            before = time.monotonic()
            self.assertEqual((await s.run("1")).text, "1")
            self.assertLess(time.monotonic() - before, 10)

        self.in_session(body)

    def test_a_callback_that_raises_stops_the_cell(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            def fail(text: str) -> None:
                raise LookupError(text)

            with self.assertRaises(LookupError):
                await s.run("print(1, flush=True)\nimport time; time.sleep(60)", on_stdout=fail)
            self.assertEqual((await s.run("1")).text, "1")

        self.in_session(body)

    def test_interrupt_and_leaving_a_stream(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            async def stop(text: str) -> None:
                await s.interrupt()

            done = await s.run("print(1, flush=True)\nimport time; time.sleep(60)", on_stdout=stop)
            self.assertEqual(done.status, "interrupted")
            async for event in s.stream("print(1, flush=True)\nimport time; time.sleep(60)"):
                if isinstance(event, cellgate.Stdout):
                    break
            self.assertEqual((await s.run("1")).text, "1")

        self.in_session(body)

    def test_three_sessions_at_once(self) -> None:
        async def main() -> None:
            async def one(n: int) -> Any:
                async with self.gateway.connect_async() as s:
                    await s.run(f"mine = {n}")
                    return (await s.run("import time; time.sleep(0.2); mine")).text

            self.assertEqual(await asyncio.gather(one(0), one(1), one(2)), ["0", "1", "2"])

        asyncio.run(asyncio.wait_for(main(), 60))

    def test_files_questions_sharing_and_events(self) -> None:
        async def body(s: cellgate.AsyncSession) -> None:
            await s.files.write("a.txt", "é")
            self.assertEqual(await s.files.read_text("a.txt"), "é")
            self.assertEqual([file.name for file in await s.files.list()], ["a.txt"])
            async with await s.files.watch() as watch:
                await s.files.write("b.txt", "b")
                async for event in watch:
                    self.assertEqual((event.type, event.path), ("written", "b.txt"))
                    break
            self.assertIn("import", (await s.complete("impor")).matches)
            link = await s.sharing.create_link("editor")
            events = s.events()
            async with cellgate.connect_async(link.url) as guest:
                self.assertEqual((guest.id, guest.role), (s.id, "editor"))
                await guest.run("print('from a guest')", id="guest")
            async for event in events:
                if isinstance(event, cellgate.Done) and event.id == "guest":
                    break
            events.close()
            await s.restart()
            self.assertEqual((await s.run("1")).text, "1")

        self.in_session(body)

    def test_connect_without_a_block(self) -> None:
        async def main() -> None:
            session = await self.gateway.connect_async()
            self.assertEqual((await session.run("1")).text, "1")
            await session.end()
            with self.assertRaises(cellgate.SessionEnded):
                await session.run("1")

        asyncio.run(asyncio.wait_for(main(), 60))


if __name__ == "__main__":
    unittest.main()

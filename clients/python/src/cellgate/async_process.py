"""Processes and further interpreters of a session, for coroutines."""

from __future__ import annotations

from typing import AsyncIterator, Optional, Union

from ._core import SessionCore
from ._programs import Program
from ._stream import LoopStream
from .errors import CellgateError
from .messages import Exited, ProcessOutput
from .process import InterpreterBase, ProcessBase, write_message


class AsyncInterpreter(InterpreterBase):
    """A further interpreter of a session: `await session.run(code, interpreter=it.id)`. Its block closes it."""

    def __init__(self, core: SessionCore, program: Program) -> None:
        super().__init__(program)
        self._core = core

    async def close(self) -> None:
        """Ends it with all that it started, and waits for that."""
        await self._core.programs.close(self._program)

    async def __aenter__(self) -> AsyncInterpreter:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._core.closed is None:
            await self.close()


class AsyncProcess(ProcessBase):
    """A command in a session's sandbox. Iterate over its output, by one reader at a time; its block closes it.

    While its output is iterated over, the session waits for the reader. While it is not, the newest output is kept,
    up to about 1 MiB; `output_lost` tells that there was more.
    """

    def __init__(self, core: SessionCore, program: Program) -> None:
        super().__init__(program)
        self._core = core
        assert isinstance(program.stream, LoopStream)
        self._stream = program.stream
        self._over = False

    async def __aiter__(self) -> AsyncIterator[ProcessOutput]:
        """Its output, to its end; each event's `type` is `stdout`, `stderr` or `terminal`."""
        if self._over:
            return
        self._core.programs.begin_reading(self._program)
        holds = False
        try:
            while True:
                item = await self._stream.get()
                if isinstance(item, ProcessOutput):
                    holds = True
                    yield item
                    self._stream.handled()
                    holds = False
                    continue
                self._over = True
                if isinstance(item, CellgateError):
                    raise item.with_traceback(None)
                return
        finally:
            if holds:
                self._stream.handled()
            self._core.programs.end_reading(self._program)

    async def write(self, data: Union[str, bytes], eof: bool = False) -> None:
        """Writes to its input, which needs `stdin=True` or a terminal; `eof` ends the input then.

        Raises `Refused` with the code `queue_full`, and writes nothing, while 1 MiB waits that it has not read.
        """
        await self._core.programs.say(self._program, write_message(data, eof))

    async def close_input(self) -> None:
        """Ends its input; on a terminal that is the key Ctrl-D."""
        await self.write("", eof=True)

    async def signal(self, name: str = "SIGINT") -> None:
        """Sends it and its process group a signal; with a terminal, what runs in the foreground."""
        await self._core.programs.signal(self._program, name)

    async def resize(self, cols: int, rows: int) -> None:
        """Gives its terminal another size, in characters."""
        await self._core.programs.say(self._program, {"type": "resize", "cols": cols, "rows": rows})

    async def close(self) -> None:
        """Ends it with all that it started, and waits for that."""
        await self._core.programs.close(self._program)

    async def wait(self, timeout: Optional[float] = None) -> Exited:
        """Waits for its end: by its exit `code`, or a `signal`. Raises `NoAnswer` after `timeout` seconds."""
        return await self._core.programs.wait(self._program, timeout)

    async def __aenter__(self) -> AsyncProcess:
        return self

    async def __aexit__(self, *error: object) -> None:
        if self._core.closed is None:
            await self.close()

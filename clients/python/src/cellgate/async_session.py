"""`AsyncSession`: a session for coroutines. `connect_async` makes one."""

from __future__ import annotations

import asyncio
import inspect
import time
from types import TracebackType
from typing import Any, AsyncIterator, Awaitable, Callable, Dict, Generator, List, Optional, Tuple, Type, Union

from . import questions
from ._address import Address, address_of
from ._base import SessionBase
from ._cells import STOP_SECONDS, Callbacks, cell_message
from ._connection import Options
from ._core import SessionCore
from ._http import Http
from ._programs import OPEN_SECONDS
from ._stream import LoopStream
from .async_process import AsyncInterpreter, AsyncProcess
from .document import AsyncDocument, Document
from .errors import CellgateError, NoAnswer, SessionEnded
from .execution import Execution, Result
from .files import AsyncFiles, Files, in_thread
from .messages import ErrorEvent, Event, InputRequest, Json
from .process import Collector, Command, CommandResult, interpreter_message, process_message
from .sharing import AsyncSharing, Sharing

Line = Union[Optional[str], Awaitable[Optional[str]]]


def connect_async(
    url: Optional[str] = None,
    token: Optional[str] = None,
    *,
    session: Optional[str] = None,
    template: Optional[str] = None,
    name: Optional[str] = None,
    after: Optional[int] = None,
    keep: Optional[bool] = None,
    reconnect_for: float = 60.0,
    ready_timeout: float = 60.0,
) -> Connecting:
    """As `connect`: `async with connect_async(…) as session`, or `session = await connect_async(…)`."""
    address = address_of(url, token, session)
    options = Options(template, name, after, reconnect_for, ready_timeout)
    return Connecting(address, options, keep=address.session is not None if keep is None else keep)


class Connecting:
    """A session that is not there yet."""

    def __init__(self, address: Address, options: Options, keep: bool) -> None:
        self._address, self._options, self._keep = address, options, keep
        self._session: Optional[AsyncSession] = None

    def __await__(self) -> Generator[Any, None, AsyncSession]:
        return self._open().__await__()

    async def __aenter__(self) -> AsyncSession:
        self._session = await self._open()
        return self._session

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self._session is not None:
            await self._session.__aexit__(kind, error, traceback)

    async def _open(self) -> AsyncSession:
        core = SessionCore(self._address, self._options)
        backlog = LoopStream() if self._options.after is not None else None
        if backlog is not None:
            core.watch(backlog)
        await core.open()
        return AsyncSession(core, backlog, self._keep)


class AsyncSession(SessionBase):
    """A session of a gateway, for the coroutines of one event loop. Their cells wait in one queue."""

    def __init__(self, core: SessionCore, backlog: Optional[LoopStream], keep: bool) -> None:
        super().__init__(core)
        self._backlog = backlog
        self._keep = keep
        self._http = Http(core.address.base, lambda: (self.id, self.token))
        #: Files in the working directory.
        self.files = AsyncFiles(Files(self._http))
        #: Share links, tokens and the rights of participants. For owners.
        self.sharing = AsyncSharing(Sharing(self._http, core.address, self.id))
        #: The text of the cells that participants edit together.
        self.document = AsyncDocument(Document(self._http))

    async def run(
        self,
        code: str,
        *,
        on_stdout: Optional[Callable[[str], Any]] = None,
        on_stderr: Optional[Callable[[str], Any]] = None,
        on_result: Optional[Callable[[Result], Any]] = None,
        on_display: Optional[Callable[[Result], Any]] = None,
        on_error: Optional[Callable[[ErrorEvent], Any]] = None,
        on_input: Optional[Callable[[InputRequest], Line]] = None,
        on_event: Optional[Callable[[Event], Any]] = None,
        timeout: Optional[float] = None,
        interpreter: Optional[str] = None,
        cell: Optional[str] = None,
        env: Optional[Dict[str, str]] = None,
        id: Optional[str] = None,
        silent: bool = False,
        store_history: Optional[bool] = None,
        stop_on_error: bool = False,
        user_expressions: Optional[Dict[str, str]] = None,
    ) -> Execution:
        """Runs a cell, and waits for its end. A cell that fails is no exception: see `raise_for_error`.

        Callbacks are functions or coroutine functions, which are awaited. If one raises, or this is cancelled, the
        cell is interrupted and the exception goes on. `on_input` answers `input()`, None or EOFError being the end of
        the input. `timeout` is in seconds of the cell's run. `interpreter` is the
        id of an open one, or one of the session's languages, whose interpreter is opened if it is not.
        """
        callbacks = Callbacks(on_stdout, on_stderr, on_result, on_display, on_error, on_input, on_event)
        message = cell_message(
            code,
            self._core.ready["limits"],
            id=id,
            cell=cell,
            interpreter=interpreter,
            timeout=timeout,
            env=env,
            silent=silent,
            store_history=store_history,
            stop_on_error=stop_on_error,
            user_expressions=user_expressions,
            allow_input=on_input is not None,
        )
        running = AsyncCellStream(self, message, callbacks)
        async for _ in running:
            pass
        return running.execution

    def stream(
        self,
        code: str,
        *,
        on_input: Optional[Callable[[InputRequest], Line]] = None,
        timeout: Optional[float] = None,
        interpreter: Optional[str] = None,
        cell: Optional[str] = None,
        env: Optional[Dict[str, str]] = None,
        id: Optional[str] = None,
        silent: bool = False,
        store_history: Optional[bool] = None,
        stop_on_error: bool = False,
        user_expressions: Optional[Dict[str, str]] = None,
    ) -> AsyncCellStream:
        """Runs a cell while its events are iterated over: `async for event in session.stream(code)`.

        Leaving the loop early interrupts the cell. After its end the answer has `execution`.
        """
        message = cell_message(
            code,
            self._core.ready["limits"],
            id=id,
            cell=cell,
            interpreter=interpreter,
            timeout=timeout,
            env=env,
            silent=silent,
            store_history=store_history,
            stop_on_error=stop_on_error,
            user_expressions=user_expressions,
            allow_input=on_input is not None,
        )
        # `on_event` makes the stream have all events; the loop is what they are for.
        return AsyncCellStream(self, message, Callbacks(on_input=on_input, on_event=lambda event: None))

    def events(self) -> AsyncEventStream:
        """All events of the session from now on, those of other participants too; ends with the session."""
        stream, self._backlog = self._backlog, None
        if stream is None:
            stream = LoopStream()
            self._core.watch(stream)
        return AsyncEventStream(self._core, stream)

    async def interrupt(self, id: Optional[str] = None, interpreter: Optional[str] = None) -> None:
        """Stops a cell by its id, or the one that an interpreter runs. Does not wait for its end."""
        self._core.interrupt(id, interpreter)

    async def answer(self, id: str, text: Optional[str]) -> None:
        """Answers a cell of anybody that asks for a line; None is the end of its input."""
        self._core.answer(id, text)

    async def send_comm(self, message: Json) -> None:
        """Sends `comm_open`, `comm_msg` or `comm_close` of Jupyter's comms; what comes of it are `events()`."""
        self._core.send_comm(message)

    async def restart(self, timeout: float = 60.0, interpreter: Optional[str] = None) -> None:
        """Replaces an interpreter, and waits for the fresh one. Files stay, variables go. For owners."""
        await self._core.restart(interpreter, timeout)

    async def open_interpreter(
        self,
        language: str,
        id: Optional[str] = None,
        *,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[str] = None,
        timeout: float = OPEN_SECONDS,
    ) -> AsyncInterpreter:
        """Starts another interpreter, of one of the session's languages: `run(code, interpreter=it.id)`."""
        message = interpreter_message(language, id, env, cwd)
        return AsyncInterpreter(self._core, await self._core.open_program(message, None, timeout))

    async def start(
        self,
        command: Command = None,
        *,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[str] = None,
        stdin: bool = False,
        terminal: Optional[Tuple[int, int]] = None,
        id: Optional[str] = None,
        timeout: float = OPEN_SECONDS,
    ) -> AsyncProcess:
        """Starts a command beside the cells, and returns when it runs; raises `ProgramNotStarted` if it cannot.

        `command` is a text for `/bin/sh`, or a list of a file and its arguments. `terminal` is a size, (columns,
        lines); a terminal without a command is a shell. `stdin` says that `write` is to reach its input.
        """
        message = process_message(command, id, env, cwd, stdin, terminal)
        return AsyncProcess(self._core, await self._core.open_program(message, LoopStream(), timeout))

    async def run_command(
        self,
        command: Command,
        *,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[str] = None,
        on_stdout: Optional[Callable[[str], Any]] = None,
        on_stderr: Optional[Callable[[str], Any]] = None,
        timeout: Optional[float] = None,
    ) -> CommandResult:
        """Runs a command to its end. One that fails is no exception: see `raise_for_error`.

        If a callback raises, this is cancelled, or it takes longer than `timeout` seconds (`NoAnswer`), the command
        is ended. Callbacks are functions or coroutine functions.
        """
        output = Collector()

        async def read(process: AsyncProcess) -> None:
            async for event in process:
                output.take(event)
                callback = on_stderr if event.type == "stderr" else on_stdout
                if callback is not None:
                    await _value(callback(event.text))

        async with await self.start(command, env=env, cwd=cwd) as process:
            reading = asyncio.ensure_future(read(process))
            try:
                await asyncio.wait([reading], timeout=timeout)
                if not reading.done():
                    raise NoAnswer(f"the command has not ended within {timeout:g} s; wait longer, or start() it")
                reading.result()
            finally:
                reading.cancel()
            return output.result(await process.wait(), process.output_lost)

    async def complete(
        self, code: str, cursor: Optional[int] = None, interpreter: Optional[str] = None
    ) -> questions.Completions:
        """Completions at a position in code, by default its end."""
        return questions.completions_of(await self._ask(questions.at_cursor("complete", code, cursor), interpreter))

    async def inspect(
        self, code: str, cursor: Optional[int] = None, interpreter: Optional[str] = None
    ) -> questions.Inspection:
        """Signature and documentation of what is at a position in code."""
        return questions.inspection_of(await self._ask(questions.at_cursor("inspect", code, cursor), interpreter))

    async def is_complete(self, code: str, interpreter: Optional[str] = None) -> questions.Completeness:
        """Whether the code is a whole cell."""
        return questions.completeness_of(await self._ask({"type": "is_complete", "code": code}, interpreter))

    async def variables(self, interpreter: Optional[str] = None) -> List[questions.Variable]:
        """What the code of an interpreter has defined; at most 500."""
        return questions.variables_of(await self._ask({"type": "variables"}, interpreter))

    async def table(
        self,
        table: Optional[str] = None,
        variable: Optional[str] = None,
        first: int = 0,
        count: int = 100,
        interpreter: Optional[str] = None,
        **options: Any,
    ) -> Json:
        """Rows of a table that was shown, or of a variable; `sort`, `filter` and `format` as in the protocol."""
        question = questions.ask_table(table, variable, first, count, options)
        return questions.table_of(await self._ask(question, interpreter, questions.TABLE_SECONDS))

    async def ping(self) -> float:
        """Seconds that a message takes there and back."""
        before = time.perf_counter()
        await self._ask({"type": "ping"})
        return time.perf_counter() - before

    async def output(self, cell: str) -> bytes:
        """All that a cell wrote, where `truncated` tells that not all of it was shown."""
        response = await in_thread(self._http.request, "GET", f"cells/{cell}/output")
        return response.data

    async def end(self) -> None:
        """Ends the session for all its participants."""
        await self._core.end()
        self._http.close()

    async def close(self) -> None:
        """Leaves the session, which lives on until its idle timeout."""
        await self._core.close()
        self._http.close()

    async def __aenter__(self) -> AsyncSession:
        return self

    async def __aexit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self._keep:
            await self.close()
        else:
            await self.end()

    async def _ask(self, message: Json, interpreter: Optional[str] = None, timeout: float = questions.SECONDS) -> Json:
        if interpreter is not None:
            message = {**message, "interpreter": interpreter}
        return await self._core.ask(message, timeout)


class AsyncCellStream:
    """A cell that runs while it is iterated over."""

    def __init__(self, session: AsyncSession, message: Json, callbacks: Callbacks) -> None:
        self._core = session._core
        self._message = message
        self._callbacks = callbacks
        self._execution: Optional[Execution] = None

    @property
    def id(self) -> str:
        """The cell's id, by which `interrupt` stops it."""
        return str(self._message["id"])

    @property
    def execution(self) -> Execution:
        """What the cell produced; once it has ended."""
        if self._execution is None:
            raise CellgateError("the cell has not ended: iterate over all of its events first")
        return self._execution

    async def __aiter__(self) -> AsyncIterator[Event]:
        stream = LoopStream()
        self._core.start(self._message, stream, self._callbacks.wanted)
        over = False
        try:
            while True:
                item = await stream.get()
                if isinstance(item, Event):
                    await self._tell(item)
                    yield item
                    stream.handled()
                    continue
                over = True
                if isinstance(item, Execution):
                    self._execution = item
                    return
                raise item.with_traceback(None)
        finally:
            if not over:
                await self._stop(stream)

    async def _tell(self, event: Event) -> None:
        if self._callbacks.on_event is not None:
            await _value(self._callbacks.on_event(event))
        try:
            answer = await _value(self._callbacks.tell(event))
        except EOFError:
            if not isinstance(event, InputRequest):
                raise
            answer = None
        if isinstance(event, InputRequest) and self._callbacks.on_input is not None:
            self._core.answer(event.id, answer)

    async def _stop(self, stream: LoopStream) -> None:
        """Interrupts the cell, and waits a moment for its end, so that the next one finds a free interpreter."""

        async def until_end() -> None:
            while isinstance(await stream.get(), Event):
                pass

        self._core.leave(self.id, stream)
        try:
            await asyncio.wait_for(until_end(), STOP_SECONDS)
        except asyncio.TimeoutError:
            pass  # it goes on until the gateway's own grace is over


class AsyncEventStream:
    """All events of a session. Iterate, and `close` it when it is no longer read: the session waits for its reader."""

    def __init__(self, core: SessionCore, stream: LoopStream) -> None:
        self._core, self._stream = core, stream
        self._holds_event = False
        self._over = False

    def __aiter__(self) -> AsyncEventStream:
        return self

    async def __anext__(self) -> Event:
        if self._holds_event:
            self._stream.handled()
            self._holds_event = False
        if self._over:
            raise StopAsyncIteration
        item = await self._stream.get()
        if isinstance(item, Event):
            self._holds_event = True
            return item
        self._over = True
        if isinstance(item, SessionEnded):
            raise StopAsyncIteration
        assert isinstance(item, CellgateError)  # cells alone end with an Execution
        raise item.with_traceback(None)

    def close(self) -> None:
        """Takes in no more events."""
        self._over = True
        self._core.unwatch(self._stream)

    async def __aenter__(self) -> AsyncEventStream:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()


async def _value(answer: Any) -> Any:
    """What a callback returned, awaited if need be."""
    return await answer if inspect.isawaitable(answer) else answer

"""`Session`: a session for programs that wait. `connect` makes one."""

from __future__ import annotations

import queue
import time
from types import TracebackType
from typing import Any, Callable, Dict, Iterator, List, Optional, Tuple, Type

from . import questions
from ._address import Address, address_of
from ._base import SessionBase
from ._cells import STOP_SECONDS, Callbacks, cell_message
from ._connection import Options
from ._core import SessionCore
from ._http import Http
from ._loop import LoopThread, shared_loop
from ._programs import OPEN_SECONDS
from ._stream import ThreadStream
from .document import Document
from .errors import CellgateError, SessionEnded
from .execution import Execution, Result
from .files import Files
from .messages import ErrorEvent, Event, InputRequest, Json
from .process import (
    Collector,
    Command,
    CommandResult,
    Interpreter,
    Process,
    interpreter_message,
    process_message,
)
from .sharing import Sharing


def connect(
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
) -> Session:
    """Makes a session, or joins the one that `session` or a share link names.

    `url` may be what the gateway prints at start, or a share link; it and `token` are else read from $CELLGATE_URL and
    $CELLGATE_TOKEN. A `with` block ends a session that it made and leaves one that it joined, unless `keep` says
    otherwise. After a broken connection another one is tried for `reconnect_for` seconds. With `after`, `events()`
    begins with what came after that seq.
    """
    address = address_of(url, token, session)
    options = Options(template, name, after, reconnect_for, ready_timeout)
    loop = shared_loop()
    core, backlog = loop.run(_open(address, options))
    return Session(core, loop, backlog, keep=address.session is not None if keep is None else keep)


async def _open(address: Address, options: Options) -> Any:
    core = SessionCore(address, options)
    backlog = ThreadStream() if options.after is not None else None
    if backlog is not None:
        core.watch(backlog)
    await core.open()
    return core, backlog


class Session(SessionBase):
    """A session of a gateway. May be used by several threads; their cells wait in one queue."""

    def __init__(self, core: SessionCore, loop: LoopThread, backlog: Optional[ThreadStream], keep: bool) -> None:
        super().__init__(core)
        self._loop = loop
        self._backlog = backlog
        self._keep = keep
        self._http = Http(core.address.base, lambda: (self.id, self.token))
        #: Files in the working directory.
        self.files = Files(self._http)
        #: Share links, tokens and the rights of participants. For owners.
        self.sharing = Sharing(self._http, core.address, self.id)
        #: The text of the cells that participants edit together.
        self.document = Document(self._http)

    def run(
        self,
        code: str,
        *,
        on_stdout: Optional[Callable[[str], Any]] = None,
        on_stderr: Optional[Callable[[str], Any]] = None,
        on_result: Optional[Callable[[Result], Any]] = None,
        on_display: Optional[Callable[[Result], Any]] = None,
        on_error: Optional[Callable[[ErrorEvent], Any]] = None,
        on_input: Optional[Callable[[InputRequest], Optional[str]]] = None,
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

        Callbacks are called in this thread as events come. If one raises, or Ctrl-C is pressed, the cell is
        interrupted and the exception goes on. `on_input` answers `input()`, None or EOFError being the end of the
        input; `on_input=input` asks at this terminal. `timeout` is in seconds of the cell's run. `interpreter` is the
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
        running = CellStream(self, message, callbacks)
        for _ in running:
            pass
        return running.execution

    def stream(
        self,
        code: str,
        *,
        on_input: Optional[Callable[[InputRequest], Optional[str]]] = None,
        timeout: Optional[float] = None,
        interpreter: Optional[str] = None,
        cell: Optional[str] = None,
        env: Optional[Dict[str, str]] = None,
        id: Optional[str] = None,
        silent: bool = False,
        store_history: Optional[bool] = None,
        stop_on_error: bool = False,
        user_expressions: Optional[Dict[str, str]] = None,
    ) -> CellStream:
        """Runs a cell while its events are iterated over: `for event in session.stream(code)`.

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
        return CellStream(self, message, Callbacks(on_input=on_input, on_event=lambda event: None))

    def events(self) -> EventStream:
        """All events of the session from now on, those of other participants too; ends with the session."""
        stream, self._backlog = self._backlog, None
        if stream is None:
            stream = ThreadStream()
            self._loop.call(self._core.watch, stream)
        return EventStream(self._core, self._loop, stream)

    def interrupt(self, id: Optional[str] = None, interpreter: Optional[str] = None) -> None:
        """Stops a cell by its id, or the one that an interpreter runs. Does not wait for its end."""
        self._do(self._core.interrupt, id, interpreter)

    def answer(self, id: str, text: Optional[str]) -> None:
        """Answers a cell of anybody that asks for a line; None is the end of its input."""
        self._do(self._core.answer, id, text)

    def send_comm(self, message: Json) -> None:
        """Sends `comm_open`, `comm_msg` or `comm_close` of Jupyter's comms; what comes of it are `events()`."""
        self._do(self._core.send_comm, message)

    def restart(self, timeout: float = 60.0, interpreter: Optional[str] = None) -> None:
        """Replaces an interpreter, and waits for the fresh one. Files stay, variables go. For owners."""
        self._loop.run(self._core.restart(interpreter, timeout))

    def open_interpreter(
        self,
        language: str,
        id: Optional[str] = None,
        *,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[str] = None,
        timeout: float = OPEN_SECONDS,
    ) -> Interpreter:
        """Starts another interpreter, of one of the session's languages: `session.run(code, interpreter=it.id)`."""
        message = interpreter_message(language, id, env, cwd)
        return Interpreter(self._core, self._loop, self._loop.run(self._core.open_program(message, None, timeout)))

    def start(
        self,
        command: Command = None,
        *,
        env: Optional[Dict[str, str]] = None,
        cwd: Optional[str] = None,
        stdin: bool = False,
        terminal: Optional[Tuple[int, int]] = None,
        id: Optional[str] = None,
        timeout: float = OPEN_SECONDS,
    ) -> Process:
        """Starts a command beside the cells, and returns when it runs; raises `ProgramNotStarted` if it cannot.

        `command` is a text for `/bin/sh`, or a list of a file and its arguments. `terminal` is a size, (columns,
        lines); a terminal without a command is a shell. `stdin` says that `write` is to reach its input.
        """
        message = process_message(command, id, env, cwd, stdin, terminal)
        program = self._loop.run(self._core.open_program(message, ThreadStream(), timeout))
        return Process(self._core, self._loop, program)

    def run_command(
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

        If a callback raises, Ctrl-C is pressed, or it takes longer than `timeout` seconds (`NoAnswer`), the command
        is ended.
        """
        output = Collector()
        with self.start(command, env=env, cwd=cwd) as process:
            for event in process.read(timeout):
                output.take(event)
                callback = on_stderr if event.type == "stderr" else on_stdout
                if callback is not None:
                    callback(event.text)
            return output.result(process.wait(), process.output_lost)

    def complete(
        self, code: str, cursor: Optional[int] = None, interpreter: Optional[str] = None
    ) -> questions.Completions:
        """Completions at a position in code, by default its end."""
        return questions.completions_of(self._ask(questions.at_cursor("complete", code, cursor), interpreter))

    def inspect(
        self, code: str, cursor: Optional[int] = None, interpreter: Optional[str] = None
    ) -> questions.Inspection:
        """Signature and documentation of what is at a position in code."""
        return questions.inspection_of(self._ask(questions.at_cursor("inspect", code, cursor), interpreter))

    def is_complete(self, code: str, interpreter: Optional[str] = None) -> questions.Completeness:
        """Whether the code is a whole cell."""
        return questions.completeness_of(self._ask({"type": "is_complete", "code": code}, interpreter))

    def variables(self, interpreter: Optional[str] = None) -> List[questions.Variable]:
        """What the code of an interpreter has defined; at most 500."""
        return questions.variables_of(self._ask({"type": "variables"}, interpreter))

    def table(
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
        return questions.table_of(self._ask(question, interpreter, questions.TABLE_SECONDS))

    def ping(self) -> float:
        """Seconds that a message takes there and back."""
        before = time.perf_counter()
        self._ask({"type": "ping"})
        return time.perf_counter() - before

    def output(self, cell: str) -> bytes:
        """All that a cell wrote, where `truncated` tells that not all of it was shown."""
        return self._http.request("GET", f"cells/{cell}/output").data

    def end(self) -> None:
        """Ends the session for all its participants."""
        self._loop.run(self._core.end())
        self._http.close()

    def close(self) -> None:
        """Leaves the session, which lives on until its idle timeout."""
        self._loop.run(self._core.close())
        self._http.close()

    def __enter__(self) -> Session:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], traceback: Optional[TracebackType]
    ) -> None:
        if self._keep:
            self.close()
        else:
            self.end()

    def _ask(self, message: Json, interpreter: Optional[str] = None, timeout: float = questions.SECONDS) -> Json:
        if interpreter is not None:
            message = {**message, "interpreter": interpreter}
        return self._loop.run(self._core.ask(message, timeout))

    def _do(self, function: Callable[..., None], *arguments: Any) -> None:
        """Calls a function of the core, and raises what it raises."""

        async def call() -> None:
            function(*arguments)

        self._loop.run(call())


class CellStream:
    """A cell that runs while it is iterated over."""

    def __init__(self, session: Session, message: Json, callbacks: Callbacks) -> None:
        self._core, self._loop = session._core, session._loop
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

    def __iter__(self) -> Iterator[Event]:
        stream = ThreadStream()
        self._loop.call(self._core.start, self._message, stream, self._callbacks.wanted)
        over = False
        try:
            while True:
                item = stream.get()
                if isinstance(item, Event):
                    self._tell(item)
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
                self._stop(stream)

    def _tell(self, event: Event) -> None:
        if self._callbacks.on_event is not None:
            self._callbacks.on_event(event)
        try:
            answer = self._callbacks.tell(event)
        except EOFError:
            if not isinstance(event, InputRequest):
                raise
            answer = None
        if isinstance(event, InputRequest) and self._callbacks.on_input is not None:
            self._loop.call(self._core.answer, event.id, answer)

    def _stop(self, stream: ThreadStream) -> None:
        """Interrupts the cell, and waits a moment for its end, so that the next one finds a free interpreter."""
        self._loop.call(self._core.leave, self.id, stream)
        deadline = time.monotonic() + STOP_SECONDS
        try:
            while isinstance(stream.get(max(0.0, deadline - time.monotonic())), Event):
                pass
        except queue.Empty:
            pass  # it goes on until the gateway's own grace is over


class EventStream:
    """All events of a session. Iterate, and `close` it when it is no longer read: the session waits for its reader."""

    def __init__(self, core: SessionCore, loop: LoopThread, stream: ThreadStream) -> None:
        self._core, self._loop, self._stream = core, loop, stream
        self._holds_event = False
        self._over = False

    def __iter__(self) -> EventStream:
        return self

    def __next__(self) -> Event:
        if self._holds_event:
            self._stream.handled()
            self._holds_event = False
        if self._over:
            raise StopIteration
        item = self._stream.get()
        if isinstance(item, Event):
            self._holds_event = True
            return item
        self._over = True
        if isinstance(item, SessionEnded):
            raise StopIteration
        assert isinstance(item, CellgateError)  # cells alone end with an Execution
        raise item.with_traceback(None)

    def close(self) -> None:
        """Takes in no more events."""
        self._over = True
        self._loop.call(self._core.unwatch, self._stream)

    def __enter__(self) -> EventStream:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

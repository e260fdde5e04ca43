"""Processes and further interpreters of a session, for programs that wait."""

from __future__ import annotations

import base64
import os
import queue
import time
from dataclasses import dataclass
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Union

from ._core import SessionCore
from ._loop import LoopThread
from ._programs import Program, describe
from ._stream import ThreadStream
from .errors import CellgateError, CommandFailed, NoAnswer
from .messages import Exited, Json, Opened, ProcessOutput

Command = Union[str, Sequence[str], None]
"""A text for `/bin/sh`, a file with its arguments, or, with a terminal, None: a shell."""


@dataclass
class CommandResult:
    """A command that has ended."""

    stdout: str
    stderr: str
    #: Its exit code; None if a signal ended it.
    code: Optional[int]
    #: The signal that ended it, such as `SIGKILL`.
    signal: Optional[str]
    #: A sentence on why it ended so, if there is more to say.
    detail: Optional[str]
    #: Whether events were lost while it ran.
    output_lost: bool

    @property
    def ok(self) -> bool:
        """Whether its exit code is 0."""
        return self.code == 0

    def raise_for_error(self) -> CommandResult:
        """Raises `CommandFailed` unless its exit code is 0; else returns itself."""
        if self.ok:
            return self
        how = f"was ended by {self.signal}" if self.signal else f"ended with exit code {self.code}"
        said = self.stderr.strip() or self.detail or ""
        raise CommandFailed(f"the command {how}" + (f"\n{said}" if said else ""), self)


class ProgramBase:
    """What is known of a program that this client has opened."""

    def __init__(self, program: Program) -> None:
        self._program = program

    @property
    def id(self) -> str:
        """Its id in the session."""
        return self._program.id

    @property
    def exited(self) -> Optional[Exited]:
        """How it ended; None while it runs."""
        if not self._program.exited.done():
            return None
        how = self._program.exited.result()
        return how if isinstance(how, Exited) else None

    @property
    def _opened(self) -> Opened:
        opened = self._program.opened.result()
        assert isinstance(opened, Opened)  # else it was raised when the program was opened
        return opened

    def __repr__(self) -> str:
        how = self.exited
        return f"<{type(self).__name__} {self.id} {'running' if how is None else describe(how)}>"


class InterpreterBase(ProgramBase):
    """What is known of an interpreter."""

    @property
    def language(self) -> str:
        """What its cells are written in."""
        return self._opened.language or ""

    @property
    def version(self) -> Optional[str]:
        """Its version, such as `20.11.1`."""
        return self._opened.version


class ProcessBase(ProgramBase):
    """What is known of a process."""

    @property
    def pid(self) -> Optional[int]:
        """Its number in the sandbox."""
        return self._opened.pid

    @property
    def output_lost(self) -> bool:
        """Whether output is missing: the gateway no longer held it, or there was too much while nobody read it."""
        return self._program.output_lost


class Interpreter(InterpreterBase):
    """A further interpreter of a session: `session.run(code, interpreter=it.id)`. A `with` block closes it."""

    def __init__(self, core: SessionCore, loop: LoopThread, program: Program) -> None:
        super().__init__(program)
        self._core, self._loop = core, loop

    def close(self) -> None:
        """Ends it with all that it started, and waits for that."""
        self._loop.run(self._core.programs.close(self._program))

    def __enter__(self) -> Interpreter:
        return self

    def __exit__(self, *error: object) -> None:
        if self._core.closed is None:
            self.close()


class Process(ProcessBase):
    """A command in a session's sandbox. Iterate over its output, by one reader at a time; a `with` block closes it.

    While its output is iterated over, the session waits for the reader. While it is not, the newest output is kept,
    up to about 1 MiB; `output_lost` tells that there was more.
    """

    def __init__(self, core: SessionCore, loop: LoopThread, program: Program) -> None:
        super().__init__(program)
        self._core, self._loop = core, loop
        assert isinstance(program.stream, ThreadStream)
        self._stream = program.stream
        self._over = False

    def __iter__(self) -> Iterator[ProcessOutput]:
        return self.read()

    def read(self, timeout: Optional[float] = None) -> Iterator[ProcessOutput]:
        """Its output, to its end; each event's `type` is `stdout`, `stderr` or `terminal`.

        Raises `NoAnswer` if it has not ended after `timeout` seconds. Leaving the loop leaves the process running.
        """
        if self._over:
            return
        deadline = None if timeout is None else time.monotonic() + timeout
        self._loop.run(_call(self._core.programs.begin_reading, self._program))
        holds = False
        try:
            while True:
                item = self._stream.get(None if deadline is None else max(0.0, deadline - time.monotonic()))
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
        except queue.Empty:
            raise NoAnswer(f"the process has not ended within {timeout:g} s; wait longer, or close it") from None
        finally:
            if holds:
                self._stream.handled()
            self._loop.call(self._core.programs.end_reading, self._program)

    def write(self, data: Union[str, bytes], eof: bool = False) -> None:
        """Writes to its input, which needs `stdin=True` or a terminal; `eof` ends the input then.

        Raises `Refused` with the code `queue_full`, and writes nothing, while 1 MiB waits that it has not read.
        """
        self._loop.run(self._core.programs.say(self._program, write_message(data, eof)))

    def close_input(self) -> None:
        """Ends its input; on a terminal that is the key Ctrl-D."""
        self.write("", eof=True)

    def signal(self, name: str = "SIGINT") -> None:
        """Sends it and its process group a signal; with a terminal, what runs in the foreground."""
        self._loop.run(self._core.programs.signal(self._program, name))

    def resize(self, cols: int, rows: int) -> None:
        """Gives its terminal another size, in characters."""
        self._loop.run(self._core.programs.say(self._program, {"type": "resize", "cols": cols, "rows": rows}))

    def close(self) -> None:
        """Ends it with all that it started, and waits for that."""
        self._loop.run(self._core.programs.close(self._program))

    def wait(self, timeout: Optional[float] = None) -> Exited:
        """Waits for its end: by its exit `code`, or a `signal`. Raises `NoAnswer` after `timeout` seconds."""
        return self._loop.run(self._core.programs.wait(self._program, timeout))

    def __enter__(self) -> Process:
        return self

    def __exit__(self, *error: object) -> None:
        if self._core.closed is None:
            self.close()


class Collector:
    """Collects a command's output."""

    def __init__(self) -> None:
        self._stdout: List[str] = []
        self._stderr: List[str] = []

    def take(self, event: ProcessOutput) -> None:
        """Takes in some output."""
        (self._stderr if event.type == "stderr" else self._stdout).append(event.text)

    def result(self, how: Exited, output_lost: bool) -> CommandResult:
        """What the command produced."""
        stdout, stderr = "".join(self._stdout), "".join(self._stderr)
        return CommandResult(stdout, stderr, how.code, how.signal, how.detail, output_lost)


def interpreter_message(language: str, id: Optional[str], env: Optional[Dict[str, str]], cwd: Optional[str]) -> Json:
    """The `open` of an interpreter."""
    return {"type": "open", "id": id or _random_id(), "kind": "interpreter", "language": language, **_place(env, cwd)}


def process_message(
    command: Command,
    id: Optional[str],
    env: Optional[Dict[str, str]],
    cwd: Optional[str],
    stdin: bool,
    terminal: Optional[Tuple[int, int]],
) -> Json:
    """The `open` of a process."""
    message: Json = {"type": "open", "id": id or _random_id(), "kind": "process", **_place(env, cwd)}
    if isinstance(command, str):
        message["command"] = command
    elif command is not None:
        message["argv"] = list(command)
    elif terminal is None:
        raise CellgateError("name a command, or a terminal's size for a shell: session.start(terminal=(80, 24))")
    if terminal is not None:
        message["terminal"] = {"cols": terminal[0], "rows": terminal[1]}
    elif stdin:
        message["stdin"] = True
    return message


def write_message(data: Union[str, bytes], eof: bool) -> Json:
    """The `write` to a process, without its id."""
    said: Json = {"text": data} if isinstance(data, str) else {"data": base64.b64encode(data).decode()}
    return {"type": "write", **said, **({"eof": True} if eof else {})}


def _place(env: Optional[Dict[str, str]], cwd: Optional[str]) -> Json:
    return {**({"env": env} if env else {}), **({"cwd": cwd} if cwd is not None else {})}


def _random_id() -> str:
    return os.urandom(8).hex()


async def _call(function: Any, *arguments: Any) -> None:
    function(*arguments)

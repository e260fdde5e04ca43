"""The programs that this client has opened in a session. `SessionCore` owns the table and tells it what comes.

    open ──opened──► open ──exited──► ended
      └── refused, could not be started, session gone ──► ended

All methods belong to the session's event loop. An `open` that was sent and not answered when the connection broke is
sent again, unless events are missing: then it may have been opened, and have ended. While nobody reads a process, its
output holds up neither the session nor this program's memory: the newest is kept, up to a bound.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Awaitable, Callable, Dict, Optional, Union

from . import errors
from ._stream import Stream
from .messages import Event, Exited, Json, Opened, ProcessOutput, event_of

#: Seconds that a program may take to be opened, and to end when it is closed.
OPEN_SECONDS = 60.0
CLOSE_SECONDS = 30.0
#: Seconds for the gateway to say whether it takes what is said to a program.
ANSWER_SECONDS = 10.0
#: Most output of a process that is kept while nobody reads it, in bytes on the wire.
_UNREAD_BYTES = 1 << 20

_GONE = "how this program ended is no longer in the session's log; open it again if need be"

Ended = Union[Exited, errors.CellgateError]
"""How a program ended, or why that is not known."""


@dataclass
class Program:
    """A program that this client has opened."""

    #: The `open`.
    message: Json
    #: Where the output of a process goes; None for an interpreter.
    stream: Optional[Stream]
    opened: asyncio.Future[Union[Opened, errors.CellgateError]]
    exited: asyncio.Future[Ended]
    #: Bytes that wait in `stream`, while there is no reader.
    unread: int = 0
    sent: bool = False
    sendings: int = 0
    has_reader: bool = False
    #: Events are missing, or output that nobody read was dropped.
    output_lost: bool = False
    #: The connection broke after it was opened: it may have ended since.
    to_check: bool = False
    #: Events were lost before it was opened, so that it may have been, and have ended.
    uncertain: bool = False
    #: Why the gateway does not take what was said to it last.
    refusal: Optional[errors.Refused] = None
    #: One message at a time, so that a refusal is known to be of this one.
    saying: asyncio.Lock = field(default_factory=asyncio.Lock)

    @property
    def id(self) -> str:
        return str(self.message["id"])


class ProgramTable:
    """The programs of one session that this client has opened and that have not ended."""

    def __init__(
        self,
        send: Callable[[Json], bool],
        not_connected: Callable[[str], errors.CellgateError],
        ping: Callable[[float], Awaitable[object]],
        check_flow: Callable[[], None],
    ) -> None:
        """`send` sends a message if a connection is open; `ping` returns when all that was sent before was handled."""
        self._send = send
        self._not_connected = not_connected
        self._ping = ping
        self._check_flow = check_flow
        self._programs: Dict[str, Program] = {}
        #: Those that are being told something, which may have ended meanwhile.
        self._told: Dict[str, Program] = {}

    async def open(self, message: Json, stream: Optional[Stream], report_at: int, timeout: float) -> Program:
        """Opens a program, and waits until it is there. Raises why it is not."""
        loop = asyncio.get_running_loop()
        program = Program(message, stream, loop.create_future(), loop.create_future())
        if program.id in self._programs:
            raise errors.Refused(
                "duplicate_id", f"program {program.id!r} is open; close it first, or choose another id"
            )
        if stream is not None:
            stream.report_to(self._check_flow, report_at)
        self._programs[program.id] = program
        try:
            if not self._send_open(program):
                raise self._not_connected("open")
            await asyncio.wait([program.opened], timeout=timeout)
            if not program.opened.done():
                raise errors.NoAnswer(f"the program was not there within {timeout:g} s; see the gateway's log")
        except BaseException:
            if self._programs.pop(program.id, None) is not None:
                self._send({"type": "close", "id": program.id})
            raise
        opened = program.opened.result()
        if isinstance(opened, errors.CellgateError):
            raise opened
        return program

    async def say(self, program: Program, message: Json) -> None:
        """Sends something to a program, and waits until the gateway has taken it; raises why it does not."""
        async with program.saying:
            if program.exited.done():
                raise _ended(program)
            program.refusal = None
            self._told[program.id] = program
            try:
                if not self._send({**message, "id": program.id}):
                    raise self._not_connected(message["type"])
                await self._ping(ANSWER_SECONDS)
            finally:
                del self._told[program.id]
            if program.refusal is not None:
                raise program.refusal

    async def signal(self, program: Program, name: str) -> None:
        """Sends a signal. One that has ended gets none."""
        try:
            await self.say(program, {"type": "signal", "signal": name})
        except errors.Refused:
            if not program.exited.done():
                raise

    async def close(self, program: Program) -> None:
        """Ends a program, and waits until it has ended."""
        if program.exited.done():
            return
        if not self._send({"type": "close", "id": program.id}):
            raise self._not_connected("close")
        await asyncio.wait([program.exited], timeout=CLOSE_SECONDS)
        if not program.exited.done():
            raise errors.NoAnswer(f"the program did not end within {CLOSE_SECONDS:g} s; see the gateway's log")

    async def wait(self, program: Program, timeout: Optional[float]) -> Exited:
        """Waits for the end of a program."""
        await asyncio.wait([program.exited], timeout=timeout)
        if not program.exited.done():
            raise errors.NoAnswer(f"the program has not ended within {timeout:g} s; wait longer, or close it")
        how = program.exited.result()
        if isinstance(how, errors.CellgateError):
            raise how
        return how

    # --- reading -------------------------------------------------------------------------------

    def begin_reading(self, program: Program) -> None:
        """From now on its output waits for its reader."""
        program.has_reader = True

    def end_reading(self, program: Program) -> None:
        """From now on its oldest output is dropped when there is too much."""
        program.has_reader = False
        if program.stream is not None:
            program.unread = program.stream.unhandled_bytes()
        self._check_flow()

    def taken_up_to(self, newest: int) -> int:
        """Seq up to which no reader of output holds anything up."""
        for program in self._programs.values():
            if program.has_reader and program.stream is not None:
                newest = min(newest, program.stream.taken_up_to(newest))
        return newest

    # --- what the core tells ---------------------------------------------------------------------

    def on_event(self, event: Event, size: int) -> None:
        """Takes in an event of the session, of a program or not."""
        if isinstance(event, ProcessOutput):
            program = self._programs.get(event.program)
            if program is not None:
                self._on_output(program, event, size)
        elif isinstance(event, Opened):
            program = self._programs.get(event.id)
            if program is not None and not program.opened.done():
                program.opened.set_result(event)
        elif isinstance(event, Exited):
            program = self._programs.pop(event.id, None)
            if program is not None:
                self._end(program, event)

    def on_refusal(self, id: object, refused: errors.Refused) -> bool:
        """Whether a message that was refused was for a program of this client."""
        told = self._told.get(str(id))
        if told is not None:
            told.refusal = refused
            return True
        program = self._programs.get(str(id))
        if program is None or program.opened.done():
            return program is not None
        if refused.code != "duplicate_id" or program.sendings == 1:
            del self._programs[program.id]
            self._end(program, refused)
        return True  # if it was sent twice, the first sending had arrived after all

    def on_gap(self) -> None:
        """Events are lost."""
        for program in self._programs.values():
            program.output_lost = True
            program.uncertain = not program.opened.done()

    def on_lost(self) -> None:
        """The connection broke."""
        for program in self._programs.values():
            program.sent = False
            program.to_check = program.opened.done()

    def on_caught_up(self, ready: Json) -> None:
        """All that was missed has come; `ready` says which programs were open then."""
        is_open = {info["id"]: info for info in ready.get("programs", [])}
        for program in list(self._programs.values()):
            info = is_open.get(program.id)
            if program.opened.done():
                if program.to_check and info is None:
                    self._lose(program)
                program.to_check = False
            elif info is not None and program.sendings:
                opened = event_of({"type": "opened", "seq": ready["seq"], "ts": 0, **info})
                assert isinstance(opened, Opened)
                program.opened.set_result(opened)
            elif program.uncertain:
                self._lose(program)
            elif not program.sent:
                self._send_open(program)

    def on_closed(self, cause: errors.CellgateError) -> None:
        """The connection is gone for good."""
        programs = list(self._programs.values())
        self._programs.clear()
        for program in programs:
            self._end(program, cause)

    # --- inside ----------------------------------------------------------------------------------

    def _on_output(self, program: Program, event: ProcessOutput, size: int) -> None:
        if program.stream is None:
            return
        program.stream.push(event, size)
        if program.has_reader:
            return
        program.unread += size
        while program.unread > _UNREAD_BYTES:
            program.unread -= program.stream.drop_oldest()
            program.output_lost = True

    def _lose(self, program: Program) -> None:
        del self._programs[program.id]
        self._end(program, errors.CellgateError(_GONE))

    def _end(self, program: Program, how: Ended) -> None:
        if not program.opened.done():
            program.opened.set_result(_not_started(program, how) if isinstance(how, Exited) else how)
        program.exited.set_result(how)
        if program.stream is not None:
            program.stream.finish(how)

    def _send_open(self, program: Program) -> bool:
        program.sent = self._send(program.message)
        program.sendings += program.sent
        return program.sent


def _ended(program: Program) -> errors.CellgateError:
    how = program.exited.result()
    if isinstance(how, errors.CellgateError):
        return how
    return errors.Refused("not_running", f"the program has ended ({describe(how)}); open another one")


def _not_started(program: Program, how: Exited) -> errors.CellgateError:
    what = "process" if program.stream is not None else "interpreter"
    return errors.ProgramNotStarted(f"the {what} did not start: {how.detail or describe(how)}", how)


def describe(how: Exited) -> str:
    """How a program ended, in a few words."""
    if how.signal is not None:
        return f"ended by {how.signal}"
    return f"exit code {how.code}" if how.code is not None else how.detail or "it has ended"

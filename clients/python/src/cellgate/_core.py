"""The core of a session: cells, programs, questions and flow control, on a connection that is made again if it breaks.

It is not known to programs: `AsyncSession` uses it in its own event loop, `Session` in the loop of a background
thread. All methods belong to that loop. Cells report to the `Stream` that they were started with.

    sent ──queued or started──► accepted ──done──► ended
      └────── refused, session gone ──────────────► ended

A cell that was sent and not accepted when the connection broke is sent again: the gateway refuses an id that it has
seen, so that no cell runs twice.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Dict, FrozenSet, List, Optional, Set, Tuple

from . import errors
from ._address import Address
from ._connection import Connection, Options
from ._flow import FlowControl
from ._programs import Program, ProgramTable
from ._stream import Stream
from .execution import ExecutionBuilder
from .messages import CellEvent, Event, Json, Participant, Restarted, event_of, gap_of, participant_of

_REPLIES = frozenset({"complete_reply", "inspect_reply", "is_complete_reply", "table_reply", "variables_reply", "pong"})
#: The id of a session's first interpreter.
_FIRST = "main"
_GONE = "how this cell ended is no longer in the session's log; run it again if need be"


@dataclass
class _Cell:
    message: Json
    builder: ExecutionBuilder
    stream: Stream
    #: Types of events that the stream wants; None for all.
    wanted: Optional[FrozenSet[str]]
    sent: bool = False
    sendings: int = 0
    accepted: bool = False
    #: Events were lost, so that its end may have been among them.
    uncertain: bool = False
    interrupt_wanted: bool = False
    #: The newest answer to its `input()`, until something follows from it; may have been lost with a connection.
    answer: Optional[Json] = None
    #: False once the reader has left: events are taken in for it.
    has_reader: bool = True


class SessionCore:
    """One session, in one event loop."""

    def __init__(self, address: Address, options: Options) -> None:
        self.address = address
        self.ready: Json = {}
        self.state = "idle"
        self.participants: List[Participant] = []
        self.has_document = False
        self._connection = Connection(address, options, self)
        self._flow = FlowControl(lambda seq: self._send({"type": "ack", "seq": seq}), self._taken_up_to)
        self._cells: Dict[str, _Cell] = {}
        self._questions: Dict[str, asyncio.Future[Json]] = {}
        self._restarts: List[Tuple[str, asyncio.Future[None]]] = []
        self.programs = ProgramTable(
            self._send, self._not_connected, lambda timeout: self.ask({"type": "ping"}, timeout), self.check_flow
        )
        self._watchers: Set[Stream] = set()
        self._next_question = 1
        self._opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._closed: asyncio.Future[errors.CellgateError] = asyncio.get_running_loop().create_future()
        self._task: Optional[asyncio.Task[None]] = None

    # --- its life -----------------------------------------------------------------------------

    async def open(self) -> None:
        """Connects; returns after `ready`, or raises why there is none."""
        self._task = asyncio.create_task(self._connection.run())
        self._task.add_done_callback(self._on_task_done)
        try:
            await asyncio.shield(self._opened)
        except BaseException:
            await self.close()
            raise

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        """A defect in this package must not leave a program waiting for ever."""
        if not task.cancelled() and task.exception() is not None:
            broken = errors.CellgateError(f"this package failed, please report it: {task.exception()!r}")
            broken.__cause__ = task.exception()
            self.on_closed(broken)

    async def close(self) -> None:
        """Detaches. The session lives on until its idle timeout."""
        self.on_closed(errors.SessionEnded("this session object was closed; open another with cellgate.connect()"))
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def end(self) -> None:
        """Ends the session for all its participants."""
        if self._closed.done():
            return
        if not self._send({"type": "end"}):
            await self.close()
            return
        await asyncio.wait([self._closed], timeout=10)
        await self.close()

    @property
    def closed(self) -> Optional[errors.CellgateError]:
        """Why the connection is gone for good; None while it is not."""
        return self._closed.result() if self._closed.done() else None

    @property
    def connected(self) -> bool:
        """Whether a socket is open now."""
        return self._connection.is_open

    @property
    def last_seq(self) -> int:
        """Seq of the newest event that came."""
        return self._connection.last_seq or 0

    # --- cells ---------------------------------------------------------------------------------

    def start(self, message: Json, stream: Stream, wanted: Optional[FrozenSet[str]]) -> None:
        """Sends a cell. All that follows comes by the stream: events, then an `Execution` or an exception."""
        id = message["id"]
        cause = self.closed
        if cause is not None:
            return stream.push(cause)
        if id in self._cells:
            return stream.push(
                errors.Refused("duplicate_id", f"cell {id!r} is still running; give each cell its own id")
            )
        stream.report_to(self.check_flow, self._flow.window // 8)
        cell = _Cell(message, ExecutionBuilder(id), stream, wanted)
        self._cells[id] = cell
        try:
            self._send_cell(cell)
        except (TypeError, ValueError) as wrong:
            del self._cells[id]
            stream.push(errors.CellgateError(f"an option of the cell cannot be sent as JSON: {wrong}"))

    def leave(self, id: str, stream: Stream) -> None:
        """The reader has left: its cell is stopped, and holds up no output. Its end still comes by the stream."""
        cell = self._cells.get(id)
        if cell is not None and cell.stream is stream:
            cell.has_reader = False
            self.check_flow()
            self.interrupt(id)

    def interrupt(self, id: Optional[str], interpreter: Optional[str] = None) -> None:
        """Stops a cell, or the one that an interpreter runs, the first unless one is named. A cell of this client's own
        is stopped after connecting again if need be."""
        cell = self._cells.get(id) if id is not None else None
        if cell is not None and not self.connected:
            cell.interrupt_wanted = True
        elif not self._send({"type": "interrupt", **({"id": id} if id is not None else _of(interpreter))}):
            raise self._not_connected("interrupt")

    def answer(self, id: str, text: Optional[str]) -> None:
        """Answers a cell that asks for a line; None is the end of its input."""
        said: Json = {"eof": True} if text is None else {"text": str(text)}
        message = {"type": "input", "id": id, **said}
        cell = self._cells.get(id)
        if cell is not None:
            cell.answer = message
        if not self._send(message) and cell is None:
            raise self._not_connected("an answer")

    def send_comm(self, message: Json) -> None:
        """Sends a message on a comm once. What it leads to comes as events."""
        if not self._send(message):
            raise self._not_connected("a message on a comm")

    # --- questions -----------------------------------------------------------------------------

    async def ask(self, message: Json, timeout: float) -> Json:
        """Asks the gateway, and waits for the reply with the question's id."""
        id = f"ask-{self._next_question}"
        self._next_question += 1
        reply: asyncio.Future[Json] = asyncio.get_running_loop().create_future()
        self._questions[id] = reply
        try:
            if not self._send({**message, "id": id}):
                raise self._not_connected("a question")
            return await asyncio.wait_for(reply, timeout)
        except asyncio.TimeoutError:
            raise errors.NoAnswer(f"{message['type']} was not answered within {timeout:g} s; ask again") from None
        finally:
            del self._questions[id]

    async def restart(self, interpreter: Optional[str], timeout: float) -> None:
        """Replaces an interpreter, the first unless one is named, and waits until a fresh one is there."""
        if self.rights().role != "owner":
            raise errors.Refused("forbidden", "only an owner may restart the interpreter; ask one of them")
        restarted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = (interpreter or _FIRST, restarted)
        self._restarts.append(waiting)
        try:
            if not self._send({"type": "restart", **_of(interpreter)}):
                raise self._not_connected("restart")
            await asyncio.wait_for(restarted, timeout)
        except asyncio.TimeoutError:
            raise errors.NoAnswer(
                f"the interpreter was not there again within {timeout:g} s; see the gateway's log"
            ) from None
        finally:
            self._restarts.remove(waiting)

    def watch(self, stream: Stream) -> None:
        """Pushes every event of the session to a stream from now on."""
        cause = self.closed
        if cause is not None:
            return stream.push(cause)
        stream.report_to(self.check_flow, self._flow.window // 8)
        self._watchers.add(stream)

    def unwatch(self, stream: Stream) -> None:
        """Ends that."""
        self._watchers.discard(stream)
        self.check_flow()

    def rights(self) -> Participant:
        """This participant, with what it may do now: an owner may have changed it since `ready`."""
        number = self.ready["participant"]
        for participant in self.participants:
            if participant.id == number:
                return participant
        return participant_of(
            {"id": number, "name": "", **{k: self.ready[k] for k in ("role", "run", "edit") if k in self.ready}}
        )

    async def open_program(self, message: Json, stream: Optional[Stream], timeout: float) -> Program:
        """Opens an interpreter or a process, whose output goes to the stream."""
        cause = self.closed
        if cause is not None:
            raise cause
        return await self.programs.open(message, stream, self._flow.window // 8, timeout)

    def check_flow(self) -> None:
        """The program has taken in some more."""
        if self.connected:
            self._flow.check()

    # --- what the connection tells ---------------------------------------------------------------

    def on_ready(self, ready: Json) -> None:
        self.ready = ready
        self.state = ready["state"]
        self._flow.begin(ready["limits"]["window_bytes"], self.last_seq)
        if not self._opened.done():
            self._opened.set_result(None)

    def on_caught_up(self) -> None:
        """Sends again what was sent and not accepted when the last connection broke."""
        for cell in list(self._cells.values()):
            if not cell.accepted and not cell.sent:
                self._send_cell(cell)
            if cell.answer is not None:
                self._send(cell.answer)
            if cell.interrupt_wanted:
                cell.interrupt_wanted = False
                self._send({"type": "interrupt", "id": cell.message["id"]})
        self.programs.on_caught_up(self.ready)
        self._settle_uncertain()

    def on_message(self, message: Json, size: int) -> None:
        kind = message["type"]
        if "seq" in message:
            self._on_event(event_of(message), size)
        elif kind in _REPLIES:
            question = self._questions.get(str(message.get("id")))
            if question is not None and not question.done():
                question.set_result(message)
        elif kind == "participants":
            self.participants = [participant_of(entry) for entry in message["list"]]
            self.has_document = message.get("document", False)
        elif kind == "protocol_error":
            self._on_refusal(message)
        elif kind == "gap":
            gap = gap_of(message)
            for cell in self._cells.values():
                if not gap.superseded:
                    cell.uncertain = cell.builder.output_lost = True
                if cell.wanted is None and cell.has_reader:
                    cell.stream.push(gap)
            if not gap.superseded:
                self.programs.on_gap()
            for watcher in self._watchers:
                watcher.push(gap)

    def on_lost(self, cause: errors.CellgateError) -> None:
        self._flow.end()
        for cell in self._cells.values():
            cell.sent = False
        self.programs.on_lost()
        self._fail_questions(cause)

    def on_closed(self, cause: errors.CellgateError) -> None:
        if self._closed.done():
            return
        self._closed.set_result(cause)
        self._flow.end()
        if not self._opened.done():
            self._opened.set_exception(cause)
        for cell in self._cells.values():
            cell.stream.push(cause)
        self._cells.clear()
        self.programs.on_closed(cause)
        for watcher in self._watchers:
            watcher.push(cause)
        self._watchers.clear()
        self._fail_questions(cause)

    # --- inside ----------------------------------------------------------------------------------

    def _on_event(self, event: Event, size: int) -> None:
        kind = event.type
        if kind == "status":
            self.state = event.raw["state"]
        elif kind == "ended":
            self.state = "ended"
        elif isinstance(event, Restarted):
            for interpreter, restart in self._restarts:
                if interpreter == (event.interpreter or _FIRST) and not restart.done():
                    restart.set_result(None)
        self._flow.delivered(event.seq, size)
        if isinstance(event, CellEvent):
            cell = self._cells.get(event.id)
            if cell is not None:
                self._on_cell_event(cell, event, size)
        self.programs.on_event(event, size)
        for watcher in self._watchers:
            watcher.push(event, size)
        self._flow.check()
        if kind == "status" and self.state == "idle":
            self._settle_uncertain()

    def _on_cell_event(self, cell: _Cell, event: CellEvent, size: int) -> None:
        cell.accepted = True
        cell.answer = None
        execution = cell.builder.take(event)
        if cell.has_reader and (cell.wanted is None or event.type in cell.wanted):
            cell.stream.push(event, size)
        if execution is not None:
            del self._cells[event.id]
            cell.stream.push(execution)

    def _on_refusal(self, message: Json) -> None:
        refused = errors.Refused(message["code"], message["message"])
        id = message.get("id")
        question = self._questions.get(str(id))
        if question is not None:
            if not question.done():
                question.set_exception(refused)
            return
        if self.programs.on_refusal(id, refused):
            return
        cell = self._cells.get(str(id))
        if cell is not None and refused.code == "duplicate_id" and cell.sendings > 1:
            # The first sending had arrived after all: the cell runs, or has run.
            cell.accepted = True
            self._settle_uncertain()
        elif cell is not None and not cell.accepted:
            del self._cells[cell.message["id"]]
            cell.stream.push(refused)
        elif id is None:
            for _, restart in self._restarts:
                if not restart.done():
                    restart.set_exception(refused)

    def _settle_uncertain(self) -> None:
        """An idle session has no queue: a cell whose end did not come lost it in a gap."""
        if self.state not in ("idle", "ended"):
            return
        for id, cell in list(self._cells.items()):
            if cell.uncertain and cell.accepted:
                del self._cells[id]
                cell.stream.push(cell.builder.lost(_GONE))

    def _send_cell(self, cell: _Cell) -> None:
        cell.sent = self._send(cell.message)
        cell.sendings += cell.sent

    def _send(self, message: Json) -> bool:
        return self._connection.send(message)

    def _not_connected(self, what: str) -> errors.CellgateError:
        return self.closed or errors.ConnectionLost(
            f"{what} cannot be sent while the connection is being made again; try again in a moment"
        )

    def _fail_questions(self, cause: errors.CellgateError) -> None:
        for question in self._questions.values():
            if not question.done():
                question.set_exception(cause)
        for _, restart in self._restarts:
            if not restart.done():
                restart.set_exception(cause)

    def _taken_up_to(self) -> int:
        seq = self.last_seq
        for cell in self._cells.values():
            if cell.has_reader:
                seq = min(seq, cell.stream.taken_up_to(seq))
        for watcher in self._watchers:
            seq = min(seq, watcher.taken_up_to(seq))
        return self.programs.taken_up_to(seq)


def _of(interpreter: Optional[str]) -> Json:
    """Names the interpreter that a message is for, unless it is the first."""
    return {} if interpreter is None else {"interpreter": interpreter}

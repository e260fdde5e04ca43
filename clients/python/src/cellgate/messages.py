"""The messages that a gateway sends, as types.

`event_of` makes an event from a decoded message. Fields that a newer gateway adds, and events that this package does
not know, are kept in `raw`.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Mapping, Optional, Tuple, Type

Json = Dict[str, Any]
"""A decoded JSON object."""


@dataclass
class Event:
    """Something that happened in a session. `seq` rises by one with each, `ts` is in Unix milliseconds."""

    type: str
    seq: int
    ts: int
    raw: Json = field(repr=False)


@dataclass
class CellEvent(Event):
    """An event of the cell `id`."""

    id: str


@dataclass
class Queued(CellEvent):
    """A cell was accepted; `position` cells are ahead of it. `by` names the participant."""

    position: int = 0
    by: str = ""
    cell: Optional[str] = None
    interpreter: Optional[str] = None


@dataclass
class Started(CellEvent):
    """A cell began to run."""

    code: str = ""
    execution_count: Optional[int] = None
    by: str = ""
    comm_id: Optional[str] = None
    cell: Optional[str] = None
    interpreter: Optional[str] = None


@dataclass
class Stdout(CellEvent):
    """Text on standard output. `late`: the cell had already ended."""

    text: str = ""
    late: bool = False


@dataclass
class Stderr(CellEvent):
    """Text on standard error. `late`: the cell had already ended."""

    text: str = ""
    late: bool = False


@dataclass
class ResultEvent(CellEvent):
    """The value of the cell's last expression, in all its forms by MIME type."""

    data: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    execution_count: Optional[int] = None


@dataclass
class Display(CellEvent):
    """Something that the cell showed. With `update` it replaces what was shown as `display_id`."""

    data: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    display_id: Optional[str] = None
    update: bool = False
    late: bool = False


@dataclass
class ClearOutput(CellEvent):
    """What the cell has shown is to be removed; with `wait` not before something new comes."""

    wait: bool = False


@dataclass
class InputRequest(CellEvent):
    """The cell asks for a line. Its text form is the prompt, so that `on_input=input` works."""

    prompt: str = ""
    password: bool = False

    def __str__(self) -> str:
        return self.prompt


@dataclass
class ErrorEvent(CellEvent):
    """The cell raised an exception."""

    name: str = ""
    value: str = ""
    traceback: List[str] = field(default_factory=list)
    frames: List[Json] = field(default_factory=list)


@dataclass
class Truncated(CellEvent):
    """Bytes of `stream` that are not shown; `session.output(id)` has them."""

    stream: str = ""
    omitted_bytes: int = 0


@dataclass
class Done(CellEvent):
    """A cell ended. The last event of a cell but output marked `late`.

    `files_changed` are paths that it made or changed, at most 100; `more` if there are more.
    """

    status: str = ""
    execution_count: Optional[int] = None
    duration_ms: float = 0.0
    state_kept: bool = False
    usage: Json = field(default_factory=dict)
    detail: Optional[str] = None
    user_expressions: Optional[Json] = None
    cell: Optional[str] = None
    files_changed: List[str] = field(default_factory=list)
    more: bool = False


@dataclass
class CommEvent(Event):
    """A message on a Jupyter comm; `id` is the cell that ran, if one did. `buffers` are base64."""

    comm_id: str = ""
    id: Optional[str] = None
    target_name: Optional[str] = None
    data: Json = field(default_factory=dict)
    metadata: Json = field(default_factory=dict)
    buffers: List[str] = field(default_factory=list)


@dataclass
class Usage(Event):
    """What the sandbox uses; about once a second while a cell runs."""

    memory_bytes: int = 0
    memory_limit_bytes: int = 0
    cpu_percent: float = 0.0
    processes: int = 0


@dataclass
class Status(Event):
    """The session is `idle`, `busy`, `restarting` or `ended` now."""

    state: str = ""


@dataclass
class Restarted(Event):
    """A fresh interpreter took the place of the old one."""

    reason: str = ""
    requested_by: Optional[str] = None
    interpreter: Optional[str] = None


@dataclass
class Opened(Event):
    """The program `id` was started: `kind` is `interpreter` or `process`."""

    id: str = ""
    kind: str = ""
    language: Optional[str] = None
    version: Optional[str] = None
    pid: Optional[int] = None
    argv: List[str] = field(default_factory=list)
    terminal: bool = False
    by: Optional[str] = None


@dataclass
class Exited(Event):
    """The program `id` is no more: by its exit `code`, or a `signal` such as `SIGKILL`."""

    id: str = ""
    code: Optional[int] = None
    signal: Optional[str] = None
    detail: Optional[str] = None


@dataclass
class ProcessOutput(Event):
    """Text that the process `program` wrote; `type` is `stdout`, `stderr` or `terminal`."""

    program: str = ""
    text: str = ""


@dataclass
class Notice(Event):
    """Something that people should know; `level` is `info` or `warning`."""

    level: str = ""
    code: str = ""
    text: str = ""


@dataclass
class Ended(Event):
    """The session is over. Always its last event."""

    reason: str = ""
    detail: str = ""


@dataclass
class Gap(Event):
    """Events `seq` to `to` do not come. Unless `superseded`, something is lost."""

    to: int = 0
    superseded: bool = False


@dataclass
class Participant:
    """Somebody attached to the session. `run` or `edit` is False where an editor is denied it."""

    id: int
    name: str
    role: str
    run: bool = True
    edit: bool = True


_TYPES: Dict[str, Type[Event]] = {
    "queued": Queued,
    "started": Started,
    "stdout": Stdout,
    "stderr": Stderr,
    "result": ResultEvent,
    "display": Display,
    "clear_output": ClearOutput,
    "input_request": InputRequest,
    "error": ErrorEvent,
    "truncated": Truncated,
    "done": Done,
    "comm_open": CommEvent,
    "comm_msg": CommEvent,
    "comm_close": CommEvent,
    "usage": Usage,
    "status": Status,
    "restarted": Restarted,
    "opened": Opened,
    "exited": Exited,
    "terminal": ProcessOutput,
    "notice": Notice,
    "ended": Ended,
}

# Names of each type's fields, looked up once.
_FIELDS: Dict[Type[Any], Tuple[str, ...]] = {
    kind: tuple(one.name for one in fields(kind) if one.name != "raw")
    for kind in {*_TYPES.values(), Event, ProcessOutput, Participant}
}


def event_of(message: Json) -> Event:
    """Makes an event from a message that has a `seq`."""
    kind = ProcessOutput if "program" in message else _TYPES.get(message["type"], Event)
    return kind(raw=message, **known(kind, message))


def gap_of(message: Json) -> Gap:
    """Makes the event from a `gap`, whose first missing seq becomes its `seq`."""
    return Gap(
        type="gap",
        seq=message["from"],
        ts=0,
        raw=message,
        to=message["to"],
        superseded=message.get("superseded", False),
    )


def participant_of(message: Json) -> Participant:
    """Makes a participant from an entry of the list."""
    return Participant(**known(Participant, message))


def known(kind: Type[Any], message: Mapping[str, Any]) -> Json:
    """The fields of a message that its type has."""
    return {name: message[name] for name in _FIELDS[kind] if name in message}

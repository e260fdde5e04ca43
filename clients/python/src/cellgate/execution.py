"""What a cell produced: `Execution`, and the `ExecutionBuilder` that makes one from the cell's events."""

from __future__ import annotations

import base64
from dataclasses import dataclass, field
from typing import Any, Dict, List, Optional

from ._for_model import execution_for_model
from .errors import ExecutionFailed
from .messages import CellEvent, ClearOutput, Display, Done, ErrorEvent, Json, ResultEvent, Stderr, Stdout, Truncated


@dataclass
class Result:
    """One value that a cell showed, in all its forms. In a notebook it shows itself."""

    #: MIME type to value, as in Jupyter: binary forms are base64.
    data: Json
    metadata: Json = field(default_factory=dict)
    #: Whether it is the value of the cell's last expression; else the cell displayed it.
    is_main_result: bool = False
    display_id: Optional[str] = None

    @property
    def text(self) -> Optional[str]:
        """Its `text/plain`."""
        return self._text("text/plain")

    @property
    def html(self) -> Optional[str]:
        return self._text("text/html")

    @property
    def markdown(self) -> Optional[str]:
        return self._text("text/markdown")

    @property
    def latex(self) -> Optional[str]:
        return self._text("text/latex")

    @property
    def svg(self) -> Optional[str]:
        return self._text("image/svg+xml")

    @property
    def javascript(self) -> Optional[str]:
        return self._text("application/javascript")

    @property
    def png(self) -> Optional[bytes]:
        """The picture's bytes, ready to be written to a file."""
        return self._bytes("image/png")

    @property
    def jpeg(self) -> Optional[bytes]:
        return self._bytes("image/jpeg")

    @property
    def pdf(self) -> Optional[bytes]:
        return self._bytes("application/pdf")

    @property
    def json(self) -> Any:
        """Its `application/json`, decoded."""
        return self.data.get("application/json")

    def _text(self, mime: str) -> Optional[str]:
        value = self.data.get(mime)
        return "".join(value) if isinstance(value, list) else value

    def _bytes(self, mime: str) -> Optional[bytes]:
        value = self._text(mime)
        return None if value is None else base64.b64decode(value)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        return self.data, self.metadata


@dataclass
class ExecutionError:
    """The exception that a cell raised."""

    name: str
    value: str
    #: Lines for people, which may have ANSI colours.
    traceback: List[str]
    #: The same for programs: `cell`, `file`, `line`, `function`, `source`; the outermost first.
    frames: List[Json]

    def __str__(self) -> str:
        return f"{self.name}: {self.value}" if self.value else self.name


@dataclass
class Execution:
    """A cell that has ended."""

    id: str
    #: `ok`, `error`, `interrupted`, `timeout`, `oom`, `output_limit`, `exited`, `killed`, `cancelled` or `lost`.
    status: str
    stdout: str
    stderr: str
    #: What it displayed and, marked `is_main_result`, the value of its last expression.
    results: List[Result]
    error: Optional[ExecutionError]
    execution_count: Optional[int]
    #: Seconds from its start to its end.
    duration: float
    #: Whether variables of earlier cells are still there.
    state_kept: bool
    #: `cpu_ms`, `peak_memory_bytes`, `output_bytes`.
    usage: Json
    #: A sentence on why it ended so, if there is more to say.
    detail: Optional[str]
    #: What of its output is not in `stdout` and `stderr`; `session.output(id)` has all of it.
    truncated: List[Truncated]
    #: Whether events were lost while it ran: the gateway no longer held them when this client came back.
    output_lost: bool
    #: Values of the `user_expressions` by their names, in Jupyter's form.
    user_expressions: Dict[str, Any]

    @property
    def ok(self) -> bool:
        return self.status == "ok"

    @property
    def text(self) -> Optional[str]:
        """The value of the last expression as text; None if it has none."""
        for result in self.results:
            if result.is_main_result:
                return result.text
        return None

    def for_model(self, limit: int = 30_000) -> str:
        """What a language model should read of it: output, values and the traceback, without colours, at most about
        `limit` characters. Of longer text the beginning and the end are kept, and how much is missing is said."""
        return execution_for_model(self, limit)

    def raise_for_error(self) -> Execution:
        """Raises `ExecutionFailed` unless the cell ended `ok`; else returns itself."""
        if self.ok:
            return self
        if self.error is not None:
            # Chained exceptions and the like are in the traceback, so that all of it is shown.
            lines = "\n".join(self.error.traceback) or str(self.error)
            raise ExecutionFailed(f"the cell raised {self.error}\n{lines}", self)
        raise ExecutionFailed(f"the cell ended as {self.status!r}" + (f": {self.detail}" if self.detail else ""), self)


class ExecutionBuilder:
    """Takes in the events of one cell, in their order."""

    def __init__(self, id: str) -> None:
        self.id = id
        self._stdout: List[str] = []
        self._stderr: List[str] = []
        self._results: List[Result] = []
        self._error: Optional[ExecutionError] = None
        self._truncated: List[Truncated] = []
        self._clear_next = False
        #: Set by the session when events were lost.
        self.output_lost = False

    def take(self, event: CellEvent) -> Optional[Execution]:
        """Takes one in; answers the execution if that was the last."""
        if isinstance(event, Stdout):
            self._stdout.append(event.text)
        elif isinstance(event, Stderr):
            self._stderr.append(event.text)
        elif isinstance(event, ResultEvent):
            self._show(Result(event.data, event.metadata, is_main_result=True))
        elif isinstance(event, Display):
            self._display(event)
        elif isinstance(event, ClearOutput):
            self._clear_next = event.wait
            if not event.wait:
                self._results.clear()
        elif isinstance(event, ErrorEvent):
            self._error = ExecutionError(event.name, event.value, event.traceback, event.frames)
        elif isinstance(event, Truncated):
            self._truncated.append(event)
        elif isinstance(event, Done):
            return self._execution(event)
        return None

    def lost(self, detail: str) -> Execution:
        """The execution of a cell whose end the session's log does not hold any more."""
        return self._execution(Done(type="done", seq=0, ts=0, raw={}, id=self.id, status="lost", detail=detail))

    def _display(self, event: Display) -> None:
        shown = Result(event.data, event.metadata, display_id=event.display_id)
        if event.update and event.display_id is not None:
            for at, result in enumerate(self._results):
                if result.display_id == event.display_id:
                    self._results[at] = shown
                    return
        self._show(shown)

    def _show(self, result: Result) -> None:
        if self._clear_next:
            self._clear_next = False
            self._results.clear()
        self._results.append(result)

    def _execution(self, done: Done) -> Execution:
        return Execution(
            id=self.id,
            status=done.status,
            stdout="".join(self._stdout),
            stderr="".join(self._stderr),
            results=self._results,
            error=self._error,
            execution_count=done.execution_count,
            duration=done.duration_ms / 1000,
            state_kept=done.state_kept,
            usage=done.usage,
            detail=done.detail,
            truncated=self._truncated,
            output_lost=self.output_lost,
            user_expressions=done.user_expressions or {},
        )

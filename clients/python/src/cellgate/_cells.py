"""What the caller of `run` and `stream` wants: the message that starts the cell, and whom to tell of its events."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Callable, Dict, FrozenSet, Optional

from .errors import Refused
from .execution import Result
from .messages import Display, ErrorEvent, Event, InputRequest, Json, ResultEvent, Stderr, Stdout

#: Seconds that a cell which is no longer wanted may take to stop before `run` leaves it.
STOP_SECONDS = 5.0


@dataclass
class Callbacks:
    """Functions to call with what a cell produces, in its order. What they return is awaited by `AsyncSession`."""

    on_stdout: Optional[Callable[[str], Any]] = None
    on_stderr: Optional[Callable[[str], Any]] = None
    on_result: Optional[Callable[[Result], Any]] = None
    on_display: Optional[Callable[[Result], Any]] = None
    on_error: Optional[Callable[[ErrorEvent], Any]] = None
    on_input: Optional[Callable[[InputRequest], Any]] = None
    on_event: Optional[Callable[[Event], Any]] = None

    @property
    def wanted(self) -> Optional[FrozenSet[str]]:
        """Types of events that anything is called for; None for all."""
        if self.on_event is not None:
            return None
        by_type = {
            "stdout": self.on_stdout,
            "stderr": self.on_stderr,
            "result": self.on_result,
            "display": self.on_display,
            "error": self.on_error,
            "input_request": self.on_input,
        }
        return frozenset(kind for kind, callback in by_type.items() if callback is not None)

    def tell(self, event: Event) -> Any:
        """Calls what belongs to an event, but not `on_event`; answers what that returned."""
        if isinstance(event, Stdout):
            return self.on_stdout(event.text) if self.on_stdout else None
        if isinstance(event, Stderr):
            return self.on_stderr(event.text) if self.on_stderr else None
        if isinstance(event, ResultEvent):
            return self.on_result(Result(event.data, event.metadata, is_main_result=True)) if self.on_result else None
        if isinstance(event, Display):
            shown = Result(event.data, event.metadata, display_id=event.display_id)
            return self.on_display(shown) if self.on_display else None
        if isinstance(event, ErrorEvent):
            return self.on_error(event) if self.on_error else None
        if isinstance(event, InputRequest):
            return self.on_input(event) if self.on_input else None
        return None


def cell_message(
    code: str,
    limits: Json,
    *,
    id: Optional[str],
    cell: Optional[str],
    interpreter: Optional[str],
    timeout: Optional[float],
    env: Optional[Dict[str, str]],
    silent: bool,
    store_history: Optional[bool],
    stop_on_error: bool,
    user_expressions: Optional[Dict[str, str]],
    allow_input: bool,
) -> Json:
    """The `execute` that runs a cell. Raises `Refused` where the gateway would take it for too large."""
    size = len(code.encode(errors="replace"))
    if size > limits["message_bytes"]:
        raise Refused(
            "too_large",
            f"the code has {size} bytes, of which the gateway takes {limits['message_bytes']}; "
            "write large data with session.files.write() and read it in the cell",
        )
    message: Json = {"type": "execute", "code": code, "id": id or os.urandom(8).hex(), "allow_input": allow_input}
    optional = {
        "cell": cell,
        "interpreter": interpreter,
        "timeout_ms": None if timeout is None else max(1, round(timeout * 1000)),
        "env": env,
        "silent": silent or None,
        "store_history": store_history,
        "stop_on_error": stop_on_error or None,
        "user_expressions": user_expressions,
    }
    message.update({name: value for name, value in optional.items() if value is not None})
    return message

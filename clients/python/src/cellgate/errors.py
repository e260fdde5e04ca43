"""What can go wrong, as exceptions. All of them are `CellgateError`s.

CellgateError
 ├─ Unauthorised, Forbidden, NoSuchSession     the token or the session is not what is needed
 ├─ GatewayBusy                                try again later
 ├─ ConnectionLost, SessionEnded               the connection is gone for good
 ├─ Refused, RequestFailed                     one message or request was refused; the session lives on
 ├─ NoAnswer, InterpreterBusy                  a question got no answer
 ├─ ProgramNotStarted, CommandFailed           a command could not be started; `raise_for_error()` of one that failed
 ├─ ExecutionFailed                            `raise_for_error()` of a cell that did not end `ok`
 └─ GatewayNotStarted                          `Gateway()` could not start the program
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Optional

if TYPE_CHECKING:
    from .execution import Execution
    from .messages import Exited
    from .process import CommandResult


class CellgateError(Exception):
    """Any error that this package raises."""


class Unauthorised(CellgateError):
    """The token is missing, wrong, expired or revoked (4401, 401)."""


class Forbidden(CellgateError):
    """The token is valid and may not do this (4403, 403)."""


class NoSuchSession(CellgateError):
    """No session or template has that name; the session may be over (4404, 404)."""


class GatewayBusy(CellgateError):
    """The gateway has no room, or was asked too often (1013, 4429, 429, 503)."""


class ConnectionLost(CellgateError):
    """The gateway could not be reached, or not again within `reconnect_for` seconds."""

    def __init__(self, message: str, code: int = 1006) -> None:
        super().__init__(message)
        #: The WebSocket close code of the last connection; 1006 if there was none.
        self.code = code


class SessionEnded(CellgateError):
    """The session is over, or this client was detached from it."""

    def __init__(self, message: str, code: int = 1000) -> None:
        super().__init__(message)
        #: The WebSocket close code: 1000, 4408, 4409, …
        self.code = code


class Refused(CellgateError):
    """The gateway refused one message. `code` is one of the protocol's: `forbidden`, `queue_full`, …"""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class RequestFailed(CellgateError):
    """The gateway refused an HTTP request for a file, a token or a participant."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        #: The HTTP status.
        self.status = status


class NoAnswer(CellgateError):
    """A question was not answered in time, or a program had not ended."""


class InterpreterBusy(CellgateError):
    """The interpreter could not be asked while a cell runs; ask again when the session is idle."""


class ExecutionFailed(CellgateError):
    """A cell did not end `ok`."""

    def __init__(self, message: str, execution: Execution) -> None:
        super().__init__(message)
        #: All that the cell produced.
        self.execution = execution


class ProgramNotStarted(CellgateError):
    """A process or an interpreter could not be started."""

    def __init__(self, message: str, exited: Exited) -> None:
        super().__init__(message)
        #: How it ended; the code 127 says that its file was not found.
        self.exited = exited


class CommandFailed(CellgateError):
    """A command did not end with exit code 0."""

    def __init__(self, message: str, result: CommandResult) -> None:
        super().__init__(message)
        #: All that it produced.
        self.result = result


class GatewayNotStarted(CellgateError):
    """The gateway's program was not found, or ended before it served."""


# What to do about a close code, beside what the gateway says itself.
_ADVICE = {
    1000: "open a new session with cellgate.connect()",
    1001: "connect again once the gateway is back",
    1002: "this is a bug of the client or of a proxy between; please report it",
    1007: "this is a bug of the client or of a proxy between; please report it",
    1009: "put large data into a file with session.files.write() and read it in the cell",
    1011: "look for the reference in the gateway's log, and connect again",
    1013: "try again in a moment, or raise the gateway's --sessions",
    4401: "check the token; the gateway prints its own at start, and a share link may have expired",
    4403: "use a token that is allowed this",
    4404: "open a new session with cellgate.connect() without `session`",
    4408: "open a new session; the gateway's --idle-timeout and --lifetime say how long one may live",
    4409: "let each client connect with a token of its own: session.sharing.create_link() makes one",
    4413: "take in events faster, or hand them to another thread",
    4429: "send less at a time, or try again in a moment",
}

# Trying again cannot help after these.
_FINAL = frozenset({1000, 1002, 1007, 1009, 4401, 4403, 4404, 4408, 4409})


def is_final(code: int) -> bool:
    """Whether a connection closed with this code cannot be made again."""
    return code in _FINAL


def of_close(code: int, reason: str) -> CellgateError:
    """The exception for a WebSocket that closed with this code, with what to do about it."""
    said = reason or f"the connection closed with code {code}"
    advice = _ADVICE.get(code)
    text = f"{said} ({advice})" if advice else said
    if code == 4401:
        return Unauthorised(text)
    if code == 4403:
        return Forbidden(text)
    if code == 4404:
        return NoSuchSession(text)
    if code in (1013, 4429):
        return GatewayBusy(text)
    if code in (1000, 4408, 4409):
        return SessionEnded(text, code)
    return ConnectionLost(text, code)


def of_status(status: int, detail: str, about_session: bool = False) -> CellgateError:
    """The exception for an HTTP response; `about_session` if a 404 means the session itself."""
    said = detail or f"the gateway answered with HTTP status {status}"
    if status == 401:
        return Unauthorised(f"{said} ({_ADVICE[4401]})")
    if status == 403:
        return Forbidden(f"{said} ({_ADVICE[4403]})")
    if status == 404 and about_session:
        return NoSuchSession(said)
    if status in (429, 503):
        return GatewayBusy(f"{said} ({_ADVICE[1013 if status == 503 else 4429]})")
    return RequestFailed(status, said)


def unreachable(url: str, cause: Optional[BaseException]) -> ConnectionLost:
    """The exception where nothing answers at an address."""
    return ConnectionLost(
        f"no gateway answers at {url}: {cause}. Check the address, and start one with `cellgate serve` "
        "or cellgate.Gateway()"
    )

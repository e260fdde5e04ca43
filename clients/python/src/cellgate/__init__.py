"""Run code in the sandboxed sessions of a cellgate gateway.

    import cellgate

    with cellgate.connect("http://127.0.0.1:8080", token) as session:
        print(session.run("6 * 7").text)

`connect_async` is the same for coroutines, and `Gateway()` starts a gateway for this program alone.
"""

from .async_process import AsyncInterpreter, AsyncProcess
from .async_session import AsyncCellStream, AsyncEventStream, AsyncSession, connect_async
from .document import AsyncDocument, Document
from .errors import (
    CellgateError,
    CommandFailed,
    ConnectionLost,
    ExecutionFailed,
    Forbidden,
    GatewayBusy,
    GatewayNotStarted,
    InterpreterBusy,
    NoAnswer,
    NoSuchSession,
    ProgramNotStarted,
    Refused,
    RequestFailed,
    SessionEnded,
    Unauthorised,
)
from .execution import Execution, ExecutionError, Result
from .files import AsyncFiles, AsyncFileWatch, File, FileEvent, Files, FileWatch
from .gateway import Gateway
from .messages import (
    CellEvent,
    ClearOutput,
    CommEvent,
    Display,
    Done,
    Ended,
    ErrorEvent,
    Event,
    Exited,
    Gap,
    InputRequest,
    Notice,
    Opened,
    Participant,
    ProcessOutput,
    Queued,
    Restarted,
    ResultEvent,
    Started,
    Status,
    Stderr,
    Stdout,
    Truncated,
    Usage,
)
from .process import CommandResult, Interpreter, Process
from .questions import Completeness, Completions, Inspection, Variable
from .session import CellStream, EventStream, Session, connect
from .sharing import AsyncSharing, ShareLink, Sharing, Token

__version__ = "0.1.0"

__all__ = [
    "AsyncCellStream",
    "AsyncDocument",
    "AsyncEventStream",
    "AsyncFileWatch",
    "AsyncFiles",
    "AsyncInterpreter",
    "AsyncProcess",
    "AsyncSession",
    "AsyncSharing",
    "CellEvent",
    "CellStream",
    "CellgateError",
    "ClearOutput",
    "CommEvent",
    "CommandFailed",
    "CommandResult",
    "Completeness",
    "Completions",
    "ConnectionLost",
    "Display",
    "Document",
    "Done",
    "Ended",
    "ErrorEvent",
    "Event",
    "EventStream",
    "Execution",
    "ExecutionError",
    "ExecutionFailed",
    "Exited",
    "File",
    "FileEvent",
    "FileWatch",
    "Files",
    "Forbidden",
    "Gap",
    "Gateway",
    "GatewayBusy",
    "GatewayNotStarted",
    "InputRequest",
    "Inspection",
    "Interpreter",
    "InterpreterBusy",
    "NoAnswer",
    "NoSuchSession",
    "Notice",
    "Opened",
    "Participant",
    "Process",
    "ProcessOutput",
    "ProgramNotStarted",
    "Queued",
    "Refused",
    "RequestFailed",
    "Restarted",
    "Result",
    "ResultEvent",
    "Session",
    "SessionEnded",
    "ShareLink",
    "Sharing",
    "Started",
    "Status",
    "Stderr",
    "Stdout",
    "Token",
    "Truncated",
    "Unauthorised",
    "Usage",
    "Variable",
    "connect",
    "connect_async",
]

"""Questions to the interpreter, which run no cell and change nothing, and their answers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Dict, List, Optional

from .errors import CellgateError, InterpreterBusy
from .messages import Json

SECONDS = 10.0
TABLE_SECONDS = 60.0  # a large table takes time to sort, and to search


@dataclass
class Completions:
    """Texts that fit in the place of `code[start:end]`, and what each is (`function`, `module`, …) where known."""

    matches: List[str]
    types: List[str]
    start: int
    end: int


@dataclass
class Inspection:
    """Signature and documentation by MIME type; `found` is False where there is nothing to say."""

    found: bool
    data: Json

    @property
    def text(self) -> Optional[str]:
        return self.data.get("text/plain")


@dataclass
class Completeness:
    """Whether code is a whole cell: `complete`, `incomplete`, `invalid` or `unknown`."""

    status: str
    #: What the next line should begin with.
    indent: str


@dataclass
class Variable:
    """A variable of the session's code."""

    name: str
    type: str
    preview: str
    shape: Optional[List[int]]
    #: Bytes that the value itself takes, without what it refers to.
    bytes: Optional[int]
    #: Whether `session.table(variable=name)` shows its rows.
    table: bool


def at_cursor(kind: str, code: str, cursor: Optional[int]) -> Json:
    """A question about a place in code, counted in characters; by default its end."""
    return {"type": kind, "code": code, "cursor": len(code) if cursor is None else cursor}


def completions_of(reply: Json) -> Completions:
    """What `complete` was answered."""
    _answered(reply)
    return Completions(reply["matches"], reply.get("types", []), reply["start"], reply["end"])


def inspection_of(reply: Json) -> Inspection:
    """What `inspect` was answered."""
    _answered(reply)
    return Inspection(reply["found"], reply.get("data", {}))


def completeness_of(reply: Json) -> Completeness:
    """What `is_complete` was answered."""
    _answered(reply)
    return Completeness(reply["status"], reply.get("indent", ""))


def variables_of(reply: Json) -> List[Variable]:
    """What `variables` was answered."""
    _answered(reply)
    return [
        Variable(
            name=one["name"],
            type=one["type"],
            preview=one["preview"],
            shape=one.get("shape"),
            bytes=one.get("bytes"),
            table=one.get("table", False),
        )
        for one in reply["variables"]
    ]


def ask_table(table: Optional[str], variable: Optional[str], first: int, count: int, options: Dict[str, Any]) -> Json:
    """A question for rows of a table; `options` are `sort`, `filter` and `format` of the protocol."""
    if (table is None) == (variable is None):
        raise CellgateError("name either the table's id (`table=`) or the variable that holds it (`variable=`)")
    which = {"table": table} if table is not None else {"variable": variable}
    return {
        "type": "table",
        **which,
        "from": first,
        "count": count,
        **{k: v for k, v in options.items() if v is not None},
    }


def table_of(reply: Json) -> Json:
    """What `table` was answered: `rows`, `total_rows`, `matching_rows`, …"""
    _answered(reply)
    return reply


def _answered(reply: Json) -> None:
    if reply.get("busy"):
        raise InterpreterBusy(
            "a cell runs, so that the interpreter cannot be asked; ask again when the session is idle"
        )
    if reply.get("error"):
        raise CellgateError(reply["error"])

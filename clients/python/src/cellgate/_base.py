"""What `Session` and `AsyncSession` have in common: what is known of a session without asking the gateway."""

from __future__ import annotations

from typing import List, Optional

from ._core import SessionCore
from .errors import CellgateError
from .messages import Json, Participant


class SessionBase:
    """One session, as far as it is known here. Read from any thread: each answer is a value of its own."""

    def __init__(self, core: SessionCore) -> None:
        self._core = core

    @property
    def id(self) -> str:
        """The session's id."""
        return str(self._core.ready["session"])

    @property
    def token(self) -> str:
        """This participant's own token, with which it comes back as who it was. Share links are for others."""
        return str(self._core.ready["token"])

    @property
    def participant(self) -> int:
        """This participant's number."""
        return int(self._core.ready["participant"])

    @property
    def participants(self) -> List[Participant]:
        """Who is attached, in the order in which they joined."""
        return list(self._core.participants)

    @property
    def role(self) -> str:
        """`owner`, `editor` or `viewer`. An owner may change it while this client is attached."""
        return self._core.rights().role

    @property
    def may_run(self) -> bool:
        """Whether this participant may run cells and change files now."""
        return self.role != "viewer" and self._core.rights().run

    @property
    def may_edit(self) -> bool:
        """Whether this participant may change the document now."""
        return self.role != "viewer" and self._core.rights().edit

    @property
    def has_document(self) -> bool:
        """Whether the session has a document that its participants edit together."""
        return self._core.has_document

    @property
    def state(self) -> str:
        """`idle`, `busy`, `restarting` or `ended`."""
        return self._core.state

    @property
    def limits(self) -> Json:
        """What the session may use: `memory_bytes`, `timeout_ms`, `output_bytes`, …"""
        return dict(self._core.ready["limits"])

    @property
    def ready(self) -> Json:
        """The newest `ready` of the gateway: `template`, `language`, `backend`, …"""
        return self._core.ready

    @property
    def last_seq(self) -> int:
        """Seq of the newest event that came."""
        return self._core.last_seq

    @property
    def connected(self) -> bool:
        """Whether a connection is open now; if not, another one is being made unless `closed` says why not."""
        return self._core.connected

    @property
    def closed(self) -> Optional[CellgateError]:
        """Why the connection is gone for good; None while it is not."""
        return self._core.closed

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.role} {self.state}>"

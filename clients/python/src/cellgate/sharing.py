"""Who may open a session: share links, tokens, and the participants' rights. For owners."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, List, Optional

from ._address import Address
from ._http import Http
from .files import in_thread


@dataclass
class ShareLink:
    """A new token that opens a session, and the address at which the console opens it. Both are secrets."""

    id: int
    role: str
    token: str = field(repr=False)
    url: str = field(repr=False)
    #: Unix milliseconds; None: with the session.
    expires: Optional[int]
    run: bool
    edit: bool


@dataclass
class Token:
    """A token that opens a session, without its secret. Times are in Unix milliseconds."""

    id: int
    role: str
    created: int
    expires: Optional[int]
    #: The token it was made with, and ends with.
    parent: Optional[int]
    #: Whether it is a share link; else it is a participant's own.
    link: bool
    #: The attached participant whose own it is.
    participant: Optional[int]
    run: bool
    edit: bool


class Sharing:
    """Share links, tokens and rights of one session."""

    def __init__(self, http: Http, address: Address, session: str) -> None:
        self._http = http
        self._address = address
        self._session = session

    def create_link(
        self,
        role: str = "viewer",
        run: Optional[bool] = None,
        edit: Optional[bool] = None,
        expires_in: Optional[float] = None,
    ) -> ShareLink:
        """Makes a link for `owner`, `editor` or `viewer`, valid for so many seconds or as long as the session.

        Of an editor's rights one may be withheld: with `run=False` it runs no cells, with `edit=False` it changes
        nothing in the document.
        """
        body = _given(role=role, run=run, edit=edit)
        if expires_in is not None:
            body["expires_in_ms"] = round(expires_in * 1000)
        made = self._http.json("POST", "tokens", body)
        return ShareLink(
            id=made["id"],
            role=made["role"],
            token=made["token"],
            url=self._address.share_link(self._session, made["token"]),
            expires=made.get("expires"),
            run=made.get("run", True),
            edit=made.get("edit", True),
        )

    def tokens(self) -> List[Token]:
        """Lists the tokens that open the session."""
        optional = ("expires", "parent", "participant")
        return [
            Token(
                id=one["id"],
                role=one["role"],
                created=one["created"],
                link=one["link"],
                run=one.get("run", True),
                edit=one.get("edit", True),
                **{name: one.get(name) for name in optional},
            )
            for one in self._http.json("GET", "tokens")["tokens"]
        ]

    def revoke(self, token_id: int) -> None:
        """Revokes a token with all that was made with it; participants who joined with them are disconnected."""
        self._http.request("DELETE", f"tokens/{token_id}")

    def change_rights(
        self, participant: int, role: Optional[str] = None, run: Optional[bool] = None, edit: Optional[bool] = None
    ) -> None:
        """Changes what an attached participant may do, from its next message on. What is None stays as it is."""
        self._http.json("PATCH", f"participants/{participant}", _given(role=role, run=run, edit=edit))

    def remove_participant(self, participant: int) -> None:
        """Disconnects a participant. The link by which it came stays valid; `revoke` ends that."""
        self._http.request("DELETE", f"participants/{participant}")


class AsyncSharing:
    """The same for coroutines."""

    def __init__(self, sharing: Sharing) -> None:
        self._sharing = sharing

    async def create_link(
        self,
        role: str = "viewer",
        run: Optional[bool] = None,
        edit: Optional[bool] = None,
        expires_in: Optional[float] = None,
    ) -> ShareLink:
        """Makes a link for `owner`, `editor` or `viewer`, valid for so many seconds or as long as the session."""
        return await in_thread(self._sharing.create_link, role, run, edit, expires_in)

    async def tokens(self) -> List[Token]:
        """Lists the tokens that open the session."""
        return await in_thread(self._sharing.tokens)

    async def revoke(self, token_id: int) -> None:
        """Revokes a token with all that was made with it; participants who joined with them are disconnected."""
        await in_thread(self._sharing.revoke, token_id)

    async def change_rights(
        self, participant: int, role: Optional[str] = None, run: Optional[bool] = None, edit: Optional[bool] = None
    ) -> None:
        """Changes what an attached participant may do, from its next message on. What is None stays as it is."""
        await in_thread(self._sharing.change_rights, participant, role, run, edit)

    async def remove_participant(self, participant: int) -> None:
        """Disconnects a participant. The link by which it came stays valid; `revoke` ends that."""
        await in_thread(self._sharing.remove_participant, participant)


def _given(**fields: Any) -> Any:
    """The fields that are not None."""
    return {name: value for name, value in fields.items() if value is not None}

"""Where a gateway is, read from any of the addresses that it and its console print."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Dict, Optional
from urllib.parse import parse_qs, urlencode, urlsplit

from .errors import CellgateError


@dataclass
class Address:
    """A gateway, and what opens it. `base` is its HTTP address without a slash at the end."""

    base: str
    token: Optional[str]
    session: Optional[str]

    def websocket(self, query: Dict[str, str]) -> str:
        """The address of its WebSocket."""
        address = "ws" + self.base[len("http") :] + "/ws"
        return f"{address}?{urlencode(query)}" if query else address

    def share_link(self, session: str, token: str) -> str:
        """The address at which the console opens a session with this token."""
        return f"{self.base}/#{urlencode({'session': session, 'token': token})}"


def parse(url: str) -> Address:
    """Reads `http://HOST`, `ws://HOST/ws`, the URL printed at start (`#token=…`) or a share link (`#session=…`)."""
    parts = urlsplit(url if "://" in url else f"http://{url}")
    scheme = {"http": "http", "ws": "http", "https": "https", "wss": "https"}.get(parts.scheme)
    if scheme is None or not parts.hostname:
        raise CellgateError(f"{url!r} is not the address of a gateway; give one such as http://127.0.0.1:8080")
    said = {**parse_qs(parts.query), **parse_qs(parts.fragment)}
    path = parts.path.rstrip("/")
    if path.endswith("/ws"):
        path = path[: -len("/ws")]
    return Address(
        base=f"{scheme}://{parts.netloc}{path}",
        token=said.get("token", [None])[0],
        session=said.get("session", [None])[0],
    )


def address_of(url: Optional[str], token: Optional[str], session: Optional[str]) -> Address:
    """What `connect` was given; what is missing is read from $CELLGATE_URL and $CELLGATE_TOKEN."""
    address = parse(url or os.environ.get("CELLGATE_URL") or "http://127.0.0.1:8080")
    address.token = token or address.token or os.environ.get("CELLGATE_TOKEN")
    address.session = session or address.session
    return address

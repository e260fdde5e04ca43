"""One WebSocket after another to the same session.

    connecting ──ready──► open ──lost──► waiting ──► connecting …
         └──────── a close code that connecting again cannot help ────► closed

The connection knows sockets, seqs and pauses, and nothing of cells. `Connection.run` is a task of `SessionCore`, which
ends it by cancelling it. After every `ready` the events that were missed follow.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import random
from collections import deque
from dataclasses import dataclass
from typing import Any, Deque, Dict, Optional, Protocol

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidHandshake, InvalidStatus, WebSocketException

from . import errors
from ._address import Address
from .messages import Json

_FIRST_PAUSE = 0.1  # seconds; doubles with each attempt that fails
_LONGEST_PAUSE = 5.0
_LARGEST_MESSAGE = 64 << 20  # far above what a gateway sends in one message
_CLOSE_SECONDS = 2.0  # for the other side to answer a close


class Listener(Protocol):
    """What a connection tells its owner, in the order of the wire."""

    def on_ready(self, ready: Json) -> None:
        """The first message of every socket."""

    def on_message(self, message: Json, size: int) -> None:
        """Every other message; events once each, in the order of their seq."""

    def on_caught_up(self) -> None:
        """All that the log held when this socket was attached has been delivered."""

    def on_lost(self, cause: errors.CellgateError) -> None:
        """The socket is gone; another one is tried."""

    def on_closed(self, cause: errors.CellgateError) -> None:
        """No socket is tried any more."""


@dataclass
class Options:
    """How to connect. Times are in seconds."""

    template: Optional[str] = None
    name: Optional[str] = None
    after: Optional[int] = None
    reconnect_for: float = 60.0
    ready_timeout: float = 60.0


class Connection:
    """Keeps one session connected."""

    def __init__(self, address: Address, options: Options, listener: Listener) -> None:
        self._address = address
        self._options = options
        self._listener = listener
        self._ready: Optional[Json] = None
        self._catch_up_to: Optional[int] = None
        self._outgoing: Deque[str] = deque()
        self._to_send = asyncio.Event()
        self._open = False
        #: Seq of the newest event delivered, or of the end of a gap.
        self.last_seq = options.after

    @property
    def is_open(self) -> bool:
        """Whether what is sent now goes out."""
        return self._open

    def send(self, message: Json) -> bool:
        """Sends unless no socket is open; says whether it was sent."""
        if not self._open:
            return False
        text = json.dumps(message, ensure_ascii=False, separators=(",", ":"))
        # Half of a surrogate pair is no UTF-8: it becomes a question mark.
        self._outgoing.append(text if text.isascii() else text.encode(errors="replace").decode())
        self._to_send.set()
        return True

    async def run(self) -> None:
        """Connects, and connects again, until a close code says that it is over."""
        attempt = 0
        give_up_at = 0.0
        loop = asyncio.get_running_loop()
        while True:
            was_ready = False
            try:
                async with await self._connect() as socket:
                    first = await asyncio.wait_for(socket.recv(), self._options.ready_timeout)
                    self._on_ready(json.loads(first))
                    was_ready = True
                    await self._carry(socket)
                raise errors.ConnectionLost("the connection was closed")
            except ConnectionClosed as closed:
                code, reason = (closed.rcvd.code, closed.rcvd.reason) if closed.rcvd else (1006, "")
                cause = errors.of_close(code, reason) if closed.rcvd else errors.unreachable(self._address.base, closed)
                final = errors.is_final(code)
            except InvalidStatus as refused:
                cause, final = (
                    _refused(refused),
                    refused.response.status_code < 500 and refused.response.status_code != 429,
                )
            except (InvalidHandshake, WebSocketException) as broken:
                cause, final = errors.unreachable(self._address.base, broken), False
            except (OSError, EOFError, asyncio.TimeoutError) as broken:
                said = broken if str(broken) else TimeoutError(f"no answer within {self._options.ready_timeout:g} s")
                cause, final = errors.unreachable(self._address.base, said), False
            except errors.ConnectionLost as lost:
                cause, final = lost, False
            self._open = False
            self._outgoing.clear()
            if was_ready:
                attempt = 0
                give_up_at = loop.time() + self._options.reconnect_for
            # Before the first `ready` there is nothing to resume: the caller learns at once.
            if final or self._ready is None or loop.time() >= give_up_at:
                self._listener.on_closed(cause)
                return
            self._listener.on_lost(cause)
            longest = min(_LONGEST_PAUSE, _FIRST_PAUSE * 2.0**attempt)
            attempt += 1
            # Between a half and all of it: many clients of one gateway do not come back together.
            await asyncio.sleep(longest * random.uniform(0.5, 1.0))

    async def _connect(self) -> ClientConnection:
        query: Dict[str, str] = {}
        session = self._ready["session"] if self._ready else self._address.session
        if session:
            query["session"] = session
            if self.last_seq is not None:
                query["after"] = str(self.last_seq)
        elif self._options.template:
            query["template"] = self._options.template
        if self._options.name:
            query["name"] = self._options.name
        token = self._ready["token"] if self._ready else self._address.token
        return await connect(
            self._address.websocket(query),
            additional_headers={"Authorization": f"Bearer {token}"} if token else None,
            subprotocols=None,
            compression=None,  # output mostly stays on one machine, where compressing costs more than it saves
            max_size=_LARGEST_MESSAGE,
            open_timeout=self._options.ready_timeout,
            close_timeout=_CLOSE_SECONDS,
        )

    async def _carry(self, socket: ClientConnection) -> None:
        """Sends and receives until the socket closes."""
        writer = asyncio.create_task(self._write(socket))
        try:
            while True:
                text = await socket.recv()
                message = json.loads(text)
                if self._is_new(message):
                    self._listener.on_message(message, len(text))
                self._check_caught_up()
        finally:
            writer.cancel()
            await asyncio.wait([writer])
            if not writer.cancelled():
                writer.exception()  # that the connection closed, which `recv` says as well

    async def _write(self, socket: ClientConnection) -> None:
        while True:
            await self._to_send.wait()
            self._to_send.clear()
            while self._outgoing:
                await socket.send(self._outgoing.popleft())

    def _on_ready(self, ready: Json) -> None:
        if ready.get("type") != "ready":
            raise errors.ConnectionLost(f"{self._address.base} is no cellgate gateway of protocol 1: it sent {ready}")
        self._ready = ready
        self._catch_up_to = ready["seq"]
        self._open = True
        self._listener.on_ready(ready)
        self._check_caught_up()

    def _is_new(self, message: Json) -> bool:
        """Counts an event's seq; false for one that was delivered before."""
        seq: Any = message.get("seq")
        if seq is not None:
            if self.last_seq is not None and seq <= self.last_seq:
                return False
            self.last_seq = seq
        elif message.get("type") == "gap":
            self.last_seq = max(self.last_seq or 0, message["to"])
        return True

    def _check_caught_up(self) -> None:
        if self._catch_up_to is None or (self.last_seq or 0) < self._catch_up_to:
            return
        self._catch_up_to = None
        self._listener.on_caught_up()


def _refused(refused: InvalidStatus) -> errors.CellgateError:
    """The exception for an HTTP answer in the place of a WebSocket."""
    detail = ""
    with contextlib.suppress(ValueError, AttributeError):
        detail = json.loads(refused.response.body or b"{}").get("detail", "")
    return errors.of_status(refused.response.status_code, detail, about_session=True)

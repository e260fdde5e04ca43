"""Flow control: sends `ack` often enough that output never stops for want of room, and seldom enough to cost nothing.

An event counts as taken in once the program has handled it; so a program that reads slowly slows the cell down
instead of filling its own memory. Runs in the event loop of the session.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Callable, Deque, Optional, Tuple

_SHARE = 4  # an ack is due when a quarter of the window was taken in
_FLUSH_SECONDS = 0.2  # and at the latest so long after an event came


class FlowControl:
    """Counts what was delivered and taken in on one connection after another."""

    def __init__(self, send_ack: Callable[[int], object], taken_up_to: Callable[[], int]) -> None:
        """`taken_up_to` answers the seq up to which the program has taken everything in."""
        self._send_ack = send_ack
        self._taken_up_to = taken_up_to
        self._window = 1 << 20
        self._delivered: Deque[Tuple[int, int]] = deque()
        self._taken = 0
        self._taken_bytes = 0
        self._acknowledged = 0
        self._timer: Optional[asyncio.TimerHandle] = None

    @property
    def window(self) -> int:
        """Most bytes that may be unacknowledged."""
        return self._window

    def begin(self, window_bytes: int, seq: int) -> None:
        """A new connection, on which nothing is outstanding. The first `ack` turns flow control on."""
        self.end()
        self._window = window_bytes
        self._delivered.clear()
        self._taken_bytes = 0
        self._acknowledged = self._taken = seq
        self._send_ack(seq)

    def delivered(self, seq: int, size: int) -> None:
        """An event came that took `size` bytes."""
        self._delivered.append((seq, size))
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def check(self) -> None:
        """Asks how far the program has come, and acknowledges it if enough has gathered."""
        taken = self._taken_up_to()
        if taken <= self._taken:
            return
        self._taken = taken
        while self._delivered and self._delivered[0][0] <= taken:
            self._taken_bytes += self._delivered.popleft()[1]
        if self._taken_bytes * _SHARE >= self._window:
            self._acknowledge()

    def end(self) -> None:
        """Stops for good, or until the next `begin`."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _flush(self) -> None:
        self._timer = None
        self.check()
        self._acknowledge()
        if self._delivered:
            self._timer = asyncio.get_running_loop().call_later(_FLUSH_SECONDS, self._flush)

    def _acknowledge(self) -> None:
        self._taken_bytes = 0
        if self._taken > self._acknowledged:
            self._acknowledged = self._taken
            self._send_ack(self._taken)

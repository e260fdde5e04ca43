"""Events on their way from the session to the program that reads them.

The session's event loop pushes, one reader takes: a thread (`ThreadStream`) or a coroutine in the same loop
(`LoopStream`). Each remembers the seq of the oldest event that its reader has not finished with, by which flow
control knows how far the program has come.
"""

from __future__ import annotations

import asyncio
import queue
from collections import deque
from typing import Callable, Deque, Optional, Tuple, Union

from .errors import CellgateError
from .execution import Execution
from .messages import Event

Item = Union[Event, Execution, CellgateError]
"""An event; or what a cell ended with, or why there is no more to come."""


class Stream:
    """What both kinds have in common. `push` belongs to the event loop, `handled` to the reader."""

    def __init__(self) -> None:
        # Reader and loop may be two threads: a deque's append and popleft are atomic.
        self._unhandled: Deque[Tuple[int, int]] = deque()
        self._handled_bytes = 0
        self._report_at = 0
        self._report: Optional[Callable[[], object]] = None

    def report_to(self, report: Callable[[], object], after_bytes: int) -> None:
        """Calls `report` in the event loop, which is the caller, whenever the reader has handled so many bytes."""
        self._report, self._report_at = report, after_bytes

    def taken_up_to(self, newest: int) -> int:
        """Seq up to which the reader holds nothing up, given that `newest` was delivered."""
        try:
            return self._unhandled[0][0] - 1
        except IndexError:
            return newest

    def push(self, item: Item, size: int = 0) -> None:
        """Adds an item, which took `size` bytes on the wire."""
        if isinstance(item, Event):
            self._unhandled.append((item.seq, size))
        self._put(item)

    def handled(self) -> None:
        """The reader is done with the oldest event it took."""
        self._handled_bytes += self._unhandled.popleft()[1]
        if self._report is not None and self._handled_bytes >= self._report_at:
            self._handled_bytes = 0
            self._report()

    def finish(self, item: Item) -> None:
        """Adds the last item, which need not be handled."""
        self._put(item)

    def unhandled_bytes(self) -> int:
        """Bytes on the wire of all events that wait. Only while there is no reader."""
        return sum(size for _, size in self._unhandled)

    def drop_oldest(self) -> int:
        """Drops the oldest event; answers its bytes on the wire. Only while there is no reader."""
        self._take()
        return self._unhandled.popleft()[1]

    def _put(self, item: Item) -> None:
        raise NotImplementedError

    def _take(self) -> Item:
        raise NotImplementedError


class ThreadStream(Stream):
    """Read by a thread other than the event loop's."""

    def __init__(self) -> None:
        super().__init__()
        self._items: queue.SimpleQueue[Item] = queue.SimpleQueue()

    def report_to(self, report: Callable[[], object], after_bytes: int) -> None:
        loop = asyncio.get_running_loop()
        super().report_to(lambda: loop.call_soon_threadsafe(report), after_bytes)

    def get(self, timeout: Optional[float] = None) -> Item:
        """The next item. Raises `queue.Empty` after `timeout` seconds."""
        return self._items.get(timeout=timeout)

    def _put(self, item: Item) -> None:
        self._items.put(item)

    def _take(self) -> Item:
        return self._items.get_nowait()


class LoopStream(Stream):
    """Read by a coroutine in the event loop that pushes."""

    def __init__(self) -> None:
        super().__init__()
        self._items: Deque[Item] = deque()
        self._reader: Optional[asyncio.Future[None]] = None

    async def get(self) -> Item:
        """The next item."""
        while not self._items:
            self._reader = asyncio.get_running_loop().create_future()
            await self._reader
        return self._items.popleft()

    def _put(self, item: Item) -> None:
        self._items.append(item)
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    def _take(self) -> Item:
        return self._items.popleft()

"""The event loop of all blocking sessions: one thread of this process, made when it is first needed."""

from __future__ import annotations

import asyncio
import os
import threading
from typing import Any, Callable, Coroutine, Optional, TypeVar

T = TypeVar("T")


class LoopThread:
    """An event loop in a thread. The thread is a daemon: it does not keep a program from ending."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self._loop = asyncio.new_event_loop()
        thread = threading.Thread(target=self._loop.run_forever, name="cellgate", daemon=True)
        thread.start()

    def call(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Calls a function in the loop, and does not wait."""
        self._loop.call_soon_threadsafe(function, *arguments)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine in the loop, and waits for it. What interrupts the wait cancels it."""
        future = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise


_lock = threading.Lock()
_shared: Optional[LoopThread] = None


def shared_loop() -> LoopThread:
    """The one of this process. A process that was forked has none of its parent's threads, and makes its own."""
    global _shared
    with _lock:
        if _shared is None or _shared.process != os.getpid():
            _shared = LoopThread()
        return _shared

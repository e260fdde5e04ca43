"""Top-level `await`: one event loop for the whole session.

Tasks made in one cell go on in later ones, and between cells too: while the loop has work, the
runner waits for its next cell inside it. A session that never awaits never imports asyncio.
"""

import asyncio
from _socket import MSG_DONTWAIT
from contextvars import copy_context

from _cellgate import execute, session, signals
from _cellgate.cell import CELL

loop = None
_running = None  # the task of the cell that awaits
_MISSING = object()
_UNWIND_SECONDS = 1.0  # half of the grace an interrupt usually has


def install_hooks(module):
    """Lets `asyncio.create_task` and `get_event_loop` work in cells that do not await.

    In a notebook whose cells run inside the loop that works by nature, at the price that
    `asyncio.run` does not. Here both do: without a running loop, the session's own is meant.
    """
    for name in ("create_task", "ensure_future"):
        original = getattr(module.tasks, name)
        wrapped = _with_session_loop(original)
        for place in (module, module.tasks):
            setattr(place, name, wrapped)
    for place in (module, module.events):
        place.get_running_loop = _running_or_ours(module.events.get_running_loop)
    session.repairs.append(_repair)
    _repair()


def _with_session_loop(original):
    def wrapped(coro_or_future, **options):
        if asyncio._get_running_loop() is None and options.get("loop") is None and _on_main():
            if asyncio.isfuture(coro_or_future):
                return original(coro_or_future, **options)
            name = options.get("name")
            return session_loop().create_task(coro_or_future, **({"name": name} if name else {}))
        return original(coro_or_future, **options)

    wrapped.__name__, wrapped.__doc__ = original.__name__, original.__doc__
    wrapped.__qualname__ = original.__qualname__
    wrapped.__module__ = original.__module__
    return wrapped


def _running_or_ours(original):
    """As in a notebook, where every cell runs inside the loop. `asyncio.run` asks another function
    whether a loop runs, and so still works."""

    def get_running_loop():
        if asyncio._get_running_loop() is None and signals.phase == signals.RUNNING and _on_main():
            return session_loop()
        return original()

    get_running_loop.__doc__ = original.__doc__
    get_running_loop.__module__ = original.__module__
    return get_running_loop


def _on_main():
    return signals.get_ident() == signals.MAIN


def session_loop():
    """The one event loop, made when first needed, and anew if user code closed it."""
    global loop
    if loop is None or loop.is_closed():
        loop = asyncio.new_event_loop()
        asyncio.set_event_loop(loop)
        session.idle_in_loop = idle
        signals.interrupt_loop = _cancel_waiting_task
    return loop


def _repair():
    # `asyncio.run` leaves a thread without a loop.
    asyncio.set_event_loop(session_loop())


def was_interrupted():
    """Whether the cell's task was cancelled by an interrupt."""
    return bool(_interrupted)


def run(coroutine):
    """Runs a cell's coroutine to its end; answers its value."""
    global _running
    running_loop = session_loop()
    task = running_loop.create_task(_keep_context(coroutine))
    _running = task
    try:
        return running_loop.run_until_complete(task)
    except asyncio.CancelledError:
        if task.cancelled() and _interrupted and _cancelled_at:
            raise KeyboardInterrupt().with_traceback(_cancelled_at.pop()) from None
        raise
    except KeyboardInterrupt as error:
        shows_a_cell = _shows_a_cell(error.__traceback__)
        if not task.done():
            _run_finally_blocks(running_loop, task)
        if _cancelled_at and not shows_a_cell:
            # It hit a task of asyncio's own; what waits for that one says more.
            raise error.with_traceback(_cancelled_at.pop()) from None
        raise
    finally:
        _running = None
        _interrupted.clear()
        _cancelled_at.clear()
        _restore_context()


_interrupted = []  # not empty: the cancellation under way is an interrupt
_cancelled_at = []  # the traceback of where it hit the cell's code; before 3.11 asyncio loses it
_contexts = []


async def _keep_context(coroutine):
    try:
        return await coroutine
    except (asyncio.CancelledError, KeyboardInterrupt) as error:
        _cancelled_at[:] = [error.__traceback__]
        raise
    finally:
        _contexts[:] = [copy_context()]


def _shows_a_cell(trace):
    while trace is not None:
        if trace.tb_frame.f_code.co_filename in execute.sources:
            return True
        trace = trace.tb_next
    return False


def _restore_context():
    """Makes context variables set by an awaiting cell seen by the next one."""
    for context in _contexts:
        for variable, value in context.items():
            if variable is not CELL and variable.get(_MISSING) is not value:
                variable.set(value)
    _contexts.clear()


def _run_finally_blocks(running_loop, task):
    """Lets a coroutine that was waiting when the interrupt hit run its `finally`s, for a moment."""
    task.cancel()
    enough = running_loop.call_later(_UNWIND_SECONDS, running_loop.stop)
    try:
        running_loop.run_until_complete(task)
    except BaseException:  # the interrupt is what is reported
        pass
    enough.cancel()


def _cancel_waiting_task(frame):
    """Takes an interrupt that finds the loop waiting, by cancelling the cell's task.

    Raising inside the loop's own code could lose a callback it holds. Where code of the user runs,
    a task's or a callback's, answers False: the exception has to be raised there.
    """
    task = _running
    if task is None or task.done() or _interrupted or not loop.is_running():
        return False
    if asyncio.current_task(loop) is not None:
        return False
    if frame.f_code is not _handle_run:  # itself it is the loop's: a callback not yet called
        while frame is not None and frame.f_code is not _run_once:
            if frame.f_code is _handle_run:
                return False
            frame = frame.f_back
    _interrupted.append(True)
    task.cancel()
    loop.call_soon_threadsafe(_nothing)
    return True


def _nothing():
    """Wakes the loop."""


_run_once = asyncio.BaseEventLoop._run_once.__code__
_handle_run = asyncio.Handle._run.__code__


def _has_work():
    if loop is None or loop.is_closed():
        return False
    try:
        # Tasks, callbacks due, timers, and sockets beyond the one the loop wakes itself by.
        return bool(
            asyncio.all_tasks(loop) or loop._ready or loop._scheduled
            or len(loop._selector.get_map()) > 1
        )  # fmt: skip
    except AttributeError:
        return True  # a loop of another make


def _run_loop():
    signals.allow_user_handlers()
    try:
        loop.run_forever()
    finally:
        signals.block_user_handlers()


def idle(control):
    """Waits for a frame while the loop runs. Answers False if the loop has no work."""
    if not _has_work():
        return False
    descriptor = control.socket.fileno()
    if not control.try_lead():
        # Another thread reads, waiting for input: it tells when something came.
        control.follow(lambda: loop.call_soon_threadsafe(loop.stop))
        _run_loop()
        return True

    def arrived():
        control.read(MSG_DONTWAIT)
        control.wake_waiters()
        loop.stop()

    try:
        loop.add_reader(descriptor, arrived)
        _run_loop()
    finally:
        loop.remove_reader(descriptor)
        control.resign()
    return True


install_hooks(asyncio)

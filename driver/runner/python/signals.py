"""When SIGINT may stop what runs: only code of the current cell, never ours.

```
IDLE ─EXECUTE─► STARTING ─enter_user_code()─► RUNNING ─leave_user_code()─► ENDING ─DONE─► IDLE
```
In RUNNING the handler raises KeyboardInterrupt. Elsewhere it must not, but an interrupt that
overtakes the cell it is meant for must not be lost either, and one that its cell has outrun must not
hit the next. A signal cannot say whom it is meant for, so the supervisor writes it to descriptor 7
first: the cell's number, and how many interrupts there were. A count that has not changed tells
that the signal is none of the supervisor's: user code sent it to itself.

Outside RUNNING the handler interrupts our own code, and so never raises there. It imports nothing.
"""

import _signal
from _thread import get_ident, start_new_thread
from posix import pread
from time import monotonic, sleep

IDLE, STARTING, RUNNING, ENDING = range(4)
INTERRUPT_FD = 7
SIGINT, SIGUSR2 = int(_signal.SIGINT), int(_signal.SIGUSR2)
MAIN = get_ident()

# Signals whose Python handlers user code may have set and may raise from. They are blocked wherever
# user code does not run: an alarm that rings between two cells rings in the next one.
_DEFERRED = {
    int(getattr(_signal, name))
    for name in ("SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGTERM", "SIGHUP", "SIGCHLD")
    if hasattr(_signal, name)
}

_UNBLOCKED_FOR_USER_CODE = _DEFERRED | {SIGINT}

phase = IDLE
_pending = False
_FINALISER_SECONDS = 1.0  # a finaliser that takes longer is interrupted all the same
_RETRY_SECONDS = 0.005
_finaliser_deadline = 0.0
_retrying = False  # the next signal is `_interrupt_again`'s, whatever comes with it
_current_cell = 0  # the number of the newest cell
_handlers_blocked = False
_user_handlers_allowed = False
_interrupt_at_start = 0  # the number of a cell that is to be interrupted as soon as it comes
_interrupts_seen = 0  # interrupts of the supervisor's so far
_announced_until = 0.0  # until when a signal may come whose count was read with the one before it
_ANNOUNCED_SECONDS = 1.0
_raised_in = 0  # the number of the cell in whose code the supervisor's interrupt is raised, or was
interrupt_loop = None  # set by `event_loop`: takes an interrupt that hits a waiting event loop


def install():
    """Makes SIGINT ours."""
    _signal.signal(SIGINT, _on_interrupt)


def repair():
    """Undoes what the last cell did to SIGINT."""
    if _signal.getsignal(SIGINT) is not _on_interrupt:
        _signal.signal(SIGINT, _on_interrupt)


def enter_user_code():
    """User code runs from here. Raises the interrupt that came before it could."""
    global phase, _raised_in
    phase = RUNNING
    _raised_in = 0  # other code of the cell, such as the text of its error, is to be ended as well
    allow_user_handlers()
    _raise_pending()


def leave_user_code(to=ENDING):
    """User code no longer runs; a pending interrupt was for it."""
    global phase, _pending
    phase = to
    _pending = False
    if to == ENDING:
        block_user_handlers()


def allow_user_handlers():
    """Lets the user's signal handlers run."""
    global _user_handlers_allowed
    _user_handlers_allowed = True
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _UNBLOCKED_FOR_USER_CODE)


def block_user_handlers():
    """Keeps the user's signal handlers from running."""
    global _user_handlers_allowed
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _DEFERRED)
    _user_handlers_allowed = False


def was_interrupted():
    """Whether the supervisor has interrupted what runs: user code may raise KeyboardInterrupt as well."""
    return _raised_in != 0 and _raised_in == _current_cell


def start(number):
    """The cell of this number was taken."""
    global phase, _pending, _current_cell
    phase = STARTING
    _current_cell = number
    if _interrupt_at_start == number:
        _pending = True


def block_handlers():
    """Keeps handlers from running in the middle of a frame, half of which would end the link.

    Answers whether `unblock_handlers` has to be called.
    """
    global _handlers_blocked
    if not _user_handlers_allowed or get_ident() != MAIN:
        return False  # handlers run in the main thread only
    _handlers_blocked = True
    block_user_handlers()
    return True


def unblock_handlers():
    """Lets handlers run again; a waiting one runs, and may raise, in here."""
    global _handlers_blocked
    _handlers_blocked = False
    allow_user_handlers()
    if phase == RUNNING:
        _raise_pending()


def _raise_pending():
    global _pending
    if _pending:
        _pending = False
        raise KeyboardInterrupt


def _exception_would_be_lost(frame):
    """Whether code runs whose exceptions Python prints and drops: finalisers, weak references."""
    global _finaliser_deadline
    while frame is not None:
        if frame.f_code.co_name in ("__del__", "_remove"):
            _finaliser_deadline = _finaliser_deadline or monotonic() + _FINALISER_SECONDS
            return monotonic() < _finaliser_deadline
        frame = frame.f_back
    return False


def _interrupt_again(cell):
    """In a thread of its own: interrupts the same cell once more, a moment later."""
    global _retrying
    sleep(_RETRY_SECONDS)
    if phase == RUNNING and cell == _current_cell:
        _retrying = True
        _signal.pthread_kill(MAIN, SIGINT)


def _target_cell(retry):
    """The cell an interrupt is meant for; None if it is not the supervisor's."""
    global _interrupts_seen, _announced_until
    try:
        word = pread(INTERRUPT_FD, 8, 0)
    except OSError:
        return None  # user code closed the descriptor
    count = int.from_bytes(word[4:], "little")
    if count == _interrupts_seen:
        if retry or monotonic() >= _announced_until:
            return None
        _announced_until = 0.0
    elif count > _interrupts_seen + 1:
        # This handler runs late, and the next count is written already: its signal may be yet to come.
        _announced_until = monotonic() + _ANNOUNCED_SECONDS
    _interrupts_seen = count
    return int.from_bytes(word[:4], "little")


def _on_interrupt(number, frame):
    global _pending, _finaliser_deadline, _interrupt_at_start, _raised_in, _retrying
    retry, _retrying = _retrying, False
    target = _target_cell(retry)
    if retry and target == _current_cell:
        target = None  # sent again while the first is still to be raised
    if target is not None and (target != _current_cell or phase == IDLE):
        _interrupt_at_start = target  # before its cell began; or after it ended, then ignored
    elif target is not None and target == _raised_in:
        pass  # sent again for a child that missed it: one interrupt is one, whatever is saved now
    elif phase == RUNNING:
        if target is not None:
            _raised_in = target  # at once or, in the first two cases, a moment later
        if _handlers_blocked:
            _pending = True
        elif _exception_would_be_lost(frame):
            start_new_thread(_interrupt_again, (_current_cell,))
        elif interrupt_loop is None or not interrupt_loop(frame):
            _finaliser_deadline = 0.0
            raise KeyboardInterrupt
    elif phase == STARTING:
        _pending = True

"""When SIGINT may stop what runs: only code of the current cell, never ours.

```
IDLE ─ EXECUTE ─► STARTING ─ enter() ─► RUNNING ─ leave() ─► ENDING ─ about to send DONE ─► IDLE
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

_ADMITTED = _DEFERRED | {SIGINT}

phase = IDLE
_pending = False
_PATIENCE_SECONDS = 1.0  # a finaliser that takes longer is interrupted all the same
_RETRY_SECONDS = 0.005
_patience_ends = 0.0
_cell = 0  # the number of the newest cell
_held = False
_admitted = False
_wanted = 0  # the number of a cell that is to be interrupted as soon as it comes
_count = 0  # interrupts of the supervisor's so far
_raised_in = 0  # the number of the cell in whose code an interrupt of the supervisor's was raised
yields_softly = None  # set by `tasks`: takes an interrupt that hits a waiting event loop


def install():
    """Makes SIGINT ours."""
    _signal.signal(SIGINT, _on_interrupt)


def repair():
    """Undoes what the last cell did to SIGINT."""
    if _signal.getsignal(SIGINT) is not _on_interrupt:
        _signal.signal(SIGINT, _on_interrupt)


def enter():
    """User code runs from here. Raises the interrupt that came before it could."""
    global phase, _raised_in
    phase = RUNNING
    _raised_in = 0  # other code of the cell, such as the text of its error, is to be ended as well
    admit()
    _raise_pending()


def leave(to=ENDING):
    """User code no longer runs; whatever interrupt is pending was for it."""
    global phase, _pending
    phase = to
    _pending = False
    if to == ENDING:
        defer()


def admit():
    """Lets the user's signal handlers run."""
    global _admitted
    _admitted = True
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _ADMITTED)


def defer():
    """Keeps the user's signal handlers from running."""
    global _admitted
    _signal.pthread_sigmask(_signal.SIG_BLOCK, _DEFERRED)
    _admitted = False


def start(number):
    """The cell of this number was taken."""
    global phase, _pending, _cell
    phase = STARTING
    _cell = number
    if _wanted == number:
        _pending = True


def shut():
    """Keeps handlers from running in the middle of a frame, half of which would end the link.

    Answers whether `reopen` has to be called.
    """
    global _held
    if not _admitted or get_ident() != MAIN:
        return False  # handlers run in the main thread only
    _held = True
    defer()
    return True


def reopen():
    """Lets handlers run again; a waiting one runs, and may raise, in here."""
    global _held
    _held = False
    admit()
    if phase == RUNNING:
        _raise_pending()


def _raise_pending():
    global _pending
    if _pending:
        _pending = False
        raise KeyboardInterrupt


def _would_be_lost(frame):
    """Whether code runs whose exceptions Python prints and drops: finalisers, weak references."""
    global _patience_ends
    while frame is not None:
        if frame.f_code.co_name in ("__del__", "_remove"):
            _patience_ends = _patience_ends or monotonic() + _PATIENCE_SECONDS
            return monotonic() < _patience_ends
        frame = frame.f_back
    return False


def _again(cell):
    """In a thread of its own: interrupts the same cell once more, a moment later."""
    sleep(_RETRY_SECONDS)
    if phase == RUNNING and cell == _cell:
        _signal.pthread_kill(MAIN, SIGINT)


def _meant():
    """The cell an interrupt is meant for; None if it is not the supervisor's."""
    global _count
    try:
        word = pread(INTERRUPT_FD, 8, 0)
    except OSError:
        return None  # user code closed the descriptor
    count = int.from_bytes(word[4:], "little")
    if count == _count:
        return None
    _count = count
    return int.from_bytes(word[:4], "little")


def _on_interrupt(number, frame):
    global _pending, _patience_ends, _wanted, _raised_in
    meant = _meant()
    if meant is not None and (meant != _cell or phase == IDLE):
        _wanted = meant  # it came before its cell; or after it, and then it is nobody's
    elif meant is not None and meant == _raised_in:
        pass  # sent again for a child that missed it: one interrupt is one, whatever is saved now
    elif phase == RUNNING:
        if _held:
            _pending = True
        elif _would_be_lost(frame):
            start_new_thread(_again, (_cell,))
        else:
            if meant is not None:
                _raised_in = meant
            if yields_softly is None or not yields_softly(frame):
                _patience_ends = 0.0
                raise KeyboardInterrupt
    elif phase == STARTING:
        _pending = True

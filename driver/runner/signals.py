"""When SIGINT may stop what runs: only code of the current cell, never ours.

```
IDLE ─ EXECUTE taken ─► STARTING ─ enter() ─► RUNNING ─ user code left ─► ENDING ─ DONE sent ─► IDLE
```
In RUNNING the handler raises KeyboardInterrupt. Elsewhere it must not, but an interrupt that
overtakes the cell it is meant for must not be lost either: the supervisor writes EXECUTE before it
sends the signal, so a signal in STARTING, or in IDLE with bytes waiting on the link, is for the
cell about to run. Any other one came too late and is dropped.
"""

import _signal
from _thread import get_ident

IDLE, STARTING, RUNNING, ENDING = range(4)
SIGINT, SIGUSR2 = int(_signal.SIGINT), int(_signal.SIGUSR2)
MAIN = get_ident()

# Signals whose Python handlers user code may have set and may raise from. They wait while a frame
# is written or read, because half a frame would end the link.
_DEFERRED = {
    int(getattr(_signal, name))
    for name in ("SIGINT", "SIGALRM", "SIGVTALRM", "SIGPROF", "SIGUSR1", "SIGTERM", "SIGCHLD")
    if hasattr(_signal, name)
}

phase = IDLE
_pending = False
_held = False
_waiting_bytes = None  # tells whether the link has something to read
yields_softly = None  # set by `tasks`: takes an interrupt that hits a waiting event loop


def install(waiting_bytes):
    """Makes SIGINT ours. `waiting_bytes` tells whether the link has something to read."""
    global _waiting_bytes
    _waiting_bytes = waiting_bytes
    _signal.signal(SIGINT, _on_interrupt)


def mend():
    """Undoes what the last cell did to SIGINT."""
    if _signal.getsignal(SIGINT) is not _on_interrupt:
        _signal.signal(SIGINT, _on_interrupt)
    _signal.pthread_sigmask(_signal.SIG_UNBLOCK, _DEFERRED)


def enter():
    """User code runs from here. Raises the interrupt that came before it could."""
    global phase
    phase = RUNNING
    _raise_pending()


def leave(to=ENDING):
    """User code no longer runs; whatever interrupt is pending was for it."""
    global phase, _pending
    phase = to
    _pending = False


def start():
    """A cell was taken from the link; interrupts are for it from now on."""
    global phase
    phase = STARTING


def shut():
    """Keeps handlers from running in the middle of a frame; answers what `reopen` needs."""
    global _held
    if get_ident() != MAIN:
        return None  # handlers run in the main thread only
    mask = _signal.pthread_sigmask(_signal.SIG_BLOCK, _DEFERRED)
    _held = True
    return mask


def reopen(mask):
    """Lets handlers run again; a waiting one runs, and may raise, in here."""
    global _held
    if mask is None:
        return
    _held = False
    _signal.pthread_sigmask(_signal.SIG_SETMASK, mask)
    if _pending and phase == RUNNING:
        _raise_pending()


def _raise_pending():
    global _pending
    if _pending:
        _pending = False
        raise KeyboardInterrupt


def _on_interrupt(number, frame):
    global _pending
    if phase == RUNNING:
        if _held:
            _pending = True
        elif yields_softly is None or not yields_softly(frame):
            raise KeyboardInterrupt
    elif phase == STARTING:
        _pending = True
    elif phase == IDLE:
        _pending = _waiting_bytes()

"""The runner's main function: READY, then one cell after the other until the supervisor is gone.

READY goes out as soon as there is a link; what a first cell needs is compiled while it travels, and
a cell that is faster waits in the socket. What only later cells need is compiled in the first quiet
moments, so that a first error or chart does not wait for it either.
"""

import sys
from os import _exit, set_inheritable

from _cellgate import bundle, link, session, shells, signals, wire

_QUIET_SECONDS = 0.02  # a client that sends its cell at once is not made to wait
_PRIVATE_FDS = (3, 4, 5, 6, 7)  # control, queries, bundle, stacks, interrupts: not for children
_FAILED = bytes((wire.ERROR,))
_warm_next = ["stdin", "errors", "mime", "display"]  # in the order they are likely to be needed


def main():
    """Runs cells until the supervisor is gone."""
    shells.choose()
    session.link = control = link.Link()
    signals.install()
    signals.block_user_handlers()
    control.send(wire.READY, 0, wire.dumps(_describe()))
    for fd in _PRIVATE_FDS:
        try:
            set_inheritable(fd, False)
        except OSError:
            pass  # the supervisor did not give us this one
    # Not later: once user code has run, imports may be broken.
    from select import select

    from _cellgate import environment, execute

    environment.prepare(control)
    while True:
        try:
            _serve(control, select, environment.next_pipes, execute.run)
        except BaseException:  # a user's alarm or trace function that fires between two cells
            if session.in_child:
                _exit(70)  # EX_SOFTWARE: a fork that could not even end properly


def _serve(control, select, next_pipes, run):
    while True:
        _await_job(control, select)
        number, payload = control.jobs[0]
        signals.start(number)
        del control.jobs[0]
        outcome = _FAILED
        try:
            outcome = run(number, wire.loads(payload), next_pipes())
        finally:
            # Whatever happened, the cell gets its one DONE. Idle from here on, and with a handler
            # that does not raise: what is read from the socket must not be lost.
            signals.leave_user_code(signals.IDLE)
            signals.repair()
            control.send(wire.DONE, number, outcome)


def _await_job(control, select):
    """Returns when a cell is there; event loops go on turning meanwhile."""
    while not control.jobs:
        something_due = _ipython_is_due() or _warm_next
        if something_due and not select([control.socket], [], [], _QUIET_SECONDS)[0]:
            if _ipython_is_due():
                shells.load()
            else:
                bundle.load(_warm_next.pop(0))
        elif session.idle_in_loop is not None and _runs_in_loop(control):
            pass  # something came while tasks ran
        elif something_due:
            _read(control)
        else:
            control.wait(lambda: control.jobs)


def _read(control):
    """Takes what has come, be it a cell or not."""
    if control.try_lead():
        try:
            control.read()
        finally:
            control.resign()


def _runs_in_loop(control):
    """Lets tasks run until something came. Answers False if there are none, or if that fails: user
    code may have broken what asyncio needs, and the next cell repairs that."""
    try:
        return session.idle_in_loop(control)
    except Exception:
        return False


def _ipython_is_due():
    return shells.name == "ipython" and shells.ipython is None


def _describe():
    version = "%d.%d.%d" % sys.version_info[:3]
    implementation = sys.implementation.name
    language = {"name": "python", "version": version, "implementation": implementation}
    return {"language": {**language, "shell": shells.name}}

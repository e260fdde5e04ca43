"""The runner's main function: makes a plain interpreter into one that runs cells, then runs them.

READY goes out as soon as cells could run. What only later cells need is compiled after that, in the
first quiet moment, so that neither the start nor a first error or chart waits for it.
"""

import builtins
import faulthandler
import sys
from os import fstat, register_at_fork, set_inheritable

from _cellgate import bundle, cell, execute, frames, link, session, signals, streams

SIDE_FD, BUNDLE_FD, STACKS_FD = 4, 5, 6
_QUIET_SECONDS = 0.02  # a client that sends its cell at once is not made to wait
_WARM_MODULES = ("mime", "display", "errors")
_LEAST_RECURSION = 500  # below this the runner itself could not work

_pipes = []  # Pipes for the cells to come
_baseline_modules = {}
_baseline_builtins = {}
_streams = ()


def main():
    """Runs cells until the supervisor is gone."""
    for fd in (link.CONTROL_FD, SIDE_FD, BUNDLE_FD, STACKS_FD):
        _keep_from_children(fd)
    session.link = control = link.Link()
    session.main_module = sys.modules["__main__"]
    session.namespace = vars(session.main_module)
    session.current = cell.Cell(0, {}, cell.spare_pipes())
    session.current.end()
    control.on_pipes = lambda out, err: _pipes.append(cell.Pipes(out, err))
    control.on_request = _on_first_request
    signals.install(control.has_bytes)
    _catch_faults()
    _dress_up()
    register_at_fork(before=_before_fork, after_in_child=_in_child)
    control.send(frames.READY, 0, frames.dumps(_describe()))
    _warm_up(control)
    while True:
        try:
            _serve(control)
        except BaseException:  # a user's alarm or trace function that fires between two cells
            pass


def _serve(control):
    while True:
        _await_job(control)
        signals.start()
        number, payload = control.jobs.pop(0)
        outcome = frames.ERROR
        try:
            pipes = _pipes.pop(0) if _pipes else cell.spare_pipes()
            outcome = execute.run(number, frames.loads(payload), pipes)
        finally:
            # Whatever happened, the cell gets its one DONE.
            signals.leave(signals.ENDING)
            control.send(frames.DONE, number, bytes((outcome,)))
            signals.leave(signals.IDLE)


def _await_job(control):
    """Returns when a cell is there; event loops go on turning meanwhile."""
    while not control.jobs:
        if session.idle_in_loop is not None and session.idle_in_loop(control):
            continue
        control.wait(lambda: control.jobs)


def _describe():
    version = "%d.%d.%d" % sys.version_info[:3]
    return {
        "language": {
            "name": "python",
            "version": version,
            "implementation": sys.implementation.name,
        }
    }


def _keep_from_children(fd):
    try:
        set_inheritable(fd, False)
    except OSError:
        pass  # the supervisor did not give us this one


def _catch_faults():
    """Crashes tell the cell's stderr where; SIGUSR2 tells the supervisor where a cell hangs."""
    faulthandler.enable(cell.STDERR)
    try:
        fstat(STACKS_FD)
    except OSError:
        return
    faulthandler.register(signals._signal.SIGUSR2, STACKS_FD, all_threads=True, chain=False)


def _dress_up():
    """Gives the interpreter what cells expect of it."""
    global _streams
    from _cellgate import imports, stdin

    out = streams.Stream(cell.STDOUT, "<stdout>")
    err = streams.Stream(cell.STDERR, "<stderr>")
    _streams = (("stdin", stdin.Stdin()), ("stdout", out), ("stderr", err))
    _set_streams()
    sys.argv = [""]
    session.main_module.__doc__ = None
    cell.inherit_in_threads()
    builtins.input = stdin.input
    builtins.display = _display
    builtins.get_ipython = _get_ipython
    imports.install()
    _baseline_modules.update(sys.modules)
    _baseline_builtins.update(vars(builtins))
    session.mendings += [
        _set_streams, _mend_modules, _mend_builtins, _mend_interpreter, signals.mend, imports.mend,
    ]  # fmt: skip


def _display(*objects, include=None, exclude=None, metadata=None, raw=False, display_id=None, **more):
    """Shows objects in their richest forms: display(*objects, display_id=None, metadata=None, …).

    With a `display_id` (True: a fresh one) answers a handle whose `update` replaces what is shown.
    """
    from _cellgate import display

    return display.display(
        *objects, include=include, exclude=exclude, metadata=metadata, raw=raw,
        display_id=display_id, **more,
    )  # fmt: skip


def _get_ipython():
    """The object libraries look for to learn whether they run in a notebook."""
    from _cellgate import shell

    return shell.SHELL


for _function, _name in ((_display, "display"), (_get_ipython, "get_ipython")):
    _function.__name__ = _function.__qualname__ = _name
    _function.__module__ = "builtins"


def _set_streams():
    for name, stream in _streams:
        setattr(sys, name, stream)
        setattr(sys, "__" + name + "__", stream)


def _mend_modules():
    modules = sys.modules
    if modules.get("__main__") is not session.main_module or modules.get("sys") is not sys:
        for name, module in _baseline_modules.items():
            modules.setdefault(name, module)
        modules.update({"__main__": session.main_module, "sys": sys, "builtins": builtins})
    session.namespace["__name__"] = "__main__"
    session.namespace["__builtins__"] = builtins


def _mend_builtins():
    live = vars(builtins)
    if not _baseline_builtins.keys() <= live.keys():
        for name in _baseline_builtins.keys() - live.keys():
            live[name] = _baseline_builtins[name]


def _mend_interpreter():
    if sys.getrecursionlimit() < _LEAST_RECURSION:
        sys.setrecursionlimit(1000)


def _before_fork():
    session.current.flush()


def _in_child():
    session.in_child = True
    session.link.close_in_child()
    from posix import close

    for fd in (SIDE_FD, STACKS_FD):
        try:
            close(fd)
        except OSError:
            pass


def _on_first_request(number, payload):
    # The supervisor sends a runner's first question here, which starts the thread that answers it
    # and all later ones, which come on the side socket: a session that asks none has no thread.
    from _cellgate import side

    side.start(number, payload)


def _warm_up(control):
    control.socket.settimeout(_QUIET_SECONDS)
    try:
        control.read()
    except BaseException:
        pass
    finally:
        control.socket.settimeout(None)
    for name in _WARM_MODULES:
        if control.has_bytes():
            break
        bundle.load(name)

"""Prepares the interpreter for cells before the first one, and repairs what a cell broke."""

import builtins
import faulthandler
import sys
from _operator import itemgetter
from _thread import RLock
from os import close, fstat, register_at_fork

from _cellgate import bundle, cell, import_finders, session, shells, signals, streams

_QUERIES_FD, _STACKS_FD = 4, 6
_LEAST_RECURSION = 500  # below this the runner itself could not work

_pipes = []  # Pipes the supervisor has sent for cells that have not started
_baseline_modules = {}
_baseline_builtins = {}
_import_lists = {}  # those of `sys` that the import system reads
_streams = {}
_REPLACEABLE = {
    "print", "input", "open", "display", "get_ipython", "help", "exit", "quit", "breakpoint",
    "__import__", "__debug__", "_", "copyright", "credits", "license",
}  # fmt: skip
_core_of = _core = None  # picks the other builtins out of a dict; what it picked at the start
_builtins_seen = 0


def prepare(control):
    """Prepares the interpreter for cells; `control` is the link."""
    session.main_module = sys.modules["__main__"]
    session.namespace = vars(session.main_module)
    session.current = cell.Cell(0, {}, cell.spare_pipes())
    session.current.end()
    control.end(session.current)
    control.on_pipes = lambda out, err: _pipes.append(cell.Pipes(out, err, sent=True))
    control.on_request = _on_first_request
    _catch_faults()
    _streams["stdin"] = _LazyStdin()
    _streams["stdout"] = streams.Stream(cell.STDOUT, "<stdout>")
    _streams["stderr"] = streams.Stream(cell.STDERR, "<stderr>")
    _set_streams()
    sys.argv = [""]
    session.main_module.__doc__ = None
    cell.inherit_in_threads()
    for function in (display, get_ipython, input):
        function.__module__ = "builtins"
        setattr(builtins, function.__name__, function)
    import_finders.install()
    _baseline_modules.update(sys.modules)
    _watch_builtins()
    session.repairs += [
        _set_streams, _repair_modules, _repair_builtins, _repair_recursion, signals.repair,
        import_finders.repair,
    ]  # fmt: skip
    register_at_fork(before=_before_fork, after_in_child=_in_child)


def adopt():
    """Takes what was imported and put into builtins since `prepare` for the interpreter's own."""
    _baseline_modules.update(sys.modules)
    _watch_builtins()
    for name in ("path", "meta_path", "path_hooks"):
        _import_lists[name] = list(getattr(sys, name))
    session.repairs.append(_repair_imports)


def own_finders():
    """The finders of imports as they were before user code ran."""
    return list(_import_lists["meta_path"])


def _repair_imports():
    """IPython imports as it runs: lists of the import system that are gone or empty come back."""
    for name, kept in _import_lists.items():
        if not getattr(sys, name, None):
            setattr(sys, name, list(kept))


def next_pipes():
    """The pipes of the cell that starts now: its own, or those that the last one left whole."""
    if _pipes:
        return _pipes.pop(0)
    last = session.current
    if last.pipes_reusable:
        last.pipes_reusable, last.pipes_passed_on = False, True
        return last.pipes
    return cell.spare_pipes()


def display(
    *objects, include=None, exclude=None, metadata=None, raw=False, display_id=None, **more
):
    """Show objects in their richest forms.

    With a display_id (True: a fresh one) return a handle whose update() replaces what is shown.
    """
    from _cellgate import display

    more.update(include=include, exclude=exclude, metadata=metadata, raw=raw)
    return display.display(*objects, display_id=display_id, **more)


def get_ipython():
    """Return the running session, as code written for notebooks knows it."""
    if shells.ipython is not None:
        return shells.ipython.SHELL
    from _cellgate import plain_shell

    return plain_shell.SHELL


def input(prompt="", /):
    """Read a string from the client. The trailing newline is stripped.

    If the client answers with the end of input, raise EOFError.
    """
    from _cellgate import stdin

    return stdin.read_line(prompt)


class _LazyStdin:
    """`sys.stdin` until something is asked of it."""

    def __getattr__(self, name):
        from _cellgate import stdin

        if _streams["stdin"] is self:
            _streams["stdin"] = stdin.Stdin()
            sys.stdin = sys.__stdin__ = _streams["stdin"]
        return getattr(_streams["stdin"], name)

    def __iter__(self):
        return self.__getattr__("__iter__")()

    def __next__(self):
        return self.__getattr__("__next__")()


def _set_streams():
    """Gives `sys` its own streams back, if a cell put others in their place."""
    for name, stream in _streams.items():
        if getattr(sys, name, None) is not stream or getattr(sys, f"__{name}__", None) is not stream:
            return _replace_streams()


def _replace_streams():
    hook = sys.unraisablehook
    # What a cell put there may wrap one of ours. When the last reference to it goes, Python 3.13
    # closes each layer and reports that the lower one is closed already: nothing the cell did wrong.
    sys.unraisablehook = lambda _: None
    try:
        for name, stream in _streams.items():
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
    finally:
        sys.unraisablehook = hook


def _repair_modules():
    if type(sys.modules) is not dict:
        return  # a stand-in of the user's; it has to work on its own
    modules = sys.modules
    if modules.get("__main__") is not session.main_module or modules.get("sys") is not sys:
        for name, module in _baseline_modules.items():
            modules.setdefault(name, module)
        modules.update({"__main__": session.main_module, "sys": sys, "builtins": builtins})
    session.namespace["__name__"] = "__main__"
    session.namespace["__builtins__"] = builtins


def _watch_builtins():
    global _core_of, _core, _builtins_seen
    _baseline_builtins.update(vars(builtins))
    functions = [
        name
        for name in _baseline_builtins
        if name not in _REPLACEABLE and name.islower() and not name.startswith("__")
    ]
    _core_of = itemgetter(*functions, "__build_class__")
    _core = _core_of(_baseline_builtins)
    _builtins_seen = len(_baseline_builtins)


def _repair_builtins():
    """Puts back what was deleted, and what the import system itself uses and cannot do without.

    The few that people have reason to replace (`print`, `input`, `open`, …) stay replaced.
    """
    global _builtins_seen
    live = vars(builtins)
    try:
        if _core_of(live) == _core and len(live) == _builtins_seen:
            return
    except KeyError:
        pass
    for name, value in _baseline_builtins.items():
        if name not in _REPLACEABLE or name not in live:
            live[name] = value
    _builtins_seen = len(live)


def _repair_recursion():
    if sys.getrecursionlimit() < _LEAST_RECURSION:
        sys.setrecursionlimit(1000)


def _catch_faults():
    """Crashes tell the cell's stderr where; SIGUSR2 tells the supervisor where a cell hangs."""
    faulthandler.enable(cell.STDERR)
    try:
        fstat(_STACKS_FD)
    except OSError:
        return
    faulthandler.register(signals.SIGUSR2, _STACKS_FD, all_threads=True, chain=False)


def _before_fork():
    session.current.flush()


def _in_child():
    session.in_child = True
    bundle.lock = RLock()  # another thread of the parent may have held it
    workers = sys.modules.get("_cellgate.workers")
    if workers is not None and workers.starting:
        workers.enter_worker()
    session.link.close_in_child()
    for fd in (_QUERIES_FD, _STACKS_FD):
        try:
            close(fd)
        except OSError:
            pass  # closed before, or never given


def _on_first_request(number, payload):
    # The supervisor sends a runner's first question here, which starts the thread that answers it
    # and all later ones, which come on the queries socket: a session that asks none has no thread.
    session.repair()  # or it might not load: no cell has begun since user code last ran
    try:
        bundle.load("queries").start(number, payload)
    except Exception:
        pass  # broken beyond repair; the messages behind the question must not be lost with it

"""Which shell runs the cells: IPython's own where it is installed, else the runner's plain one.

A template says `auto`, `ipython` or `plain`; it reaches the runner as a variable of its environment,
which the code of cells does not see. IPython takes some tenths of a second to import, so READY does
not wait for it: it is imported in the first quiet moments, or when the first cell comes.
"""

import sys
from os import environ

from _cellgate import bundle

_VARIABLE = "CELLGATE_SHELL"
_OLDEST = (7, 34)  # of IPython: the oldest that the tests were run with

name = "plain"  # what READY says
ipython = None  # the module `ipython_shell`, once IPython is imported
starts = False  # IPython is being imported for its shell
_wanted = "auto"
_failure = None  # why IPython could not be used, until a cell has said so


def choose():
    """Decides by what the template wants and what is installed. Exits if that cannot be."""
    global name, _wanted
    _wanted = environ.pop(_VARIABLE, "auto")
    if _wanted != "plain" and _is_installed():
        name = "ipython"
    elif _wanted == "ipython":
        sys.exit(
            "the template asks for the shell `ipython`, and this interpreter has no IPython: "
            "install it (pip install ipython), or set the template's shell to `auto`"
        )


def load():
    """Imports IPython, if it was chosen and is not there yet."""
    if name == "ipython" and ipython is None:
        # The thread that answers questions loads modules of ours, which import others. It waits: with
        # the lock of a module here and ours there, neither would go on.
        with bundle.lock:
            _load()


def _load():
    global name, ipython, starts, _failure
    starts = True
    try:
        import IPython

        if IPython.version_info[:2] < _OLDEST:
            raise ImportError("version %s is older than %d.%d" % (IPython.__version__, *_OLDEST))
        from _cellgate import ipython_shell

        ipython_shell.start()
        ipython = ipython_shell
    except Exception as error:
        if _wanted == "ipython":
            sys.exit("IPython cannot be used: %s: %s" % (type(error).__name__, error))
        name, _failure = "plain", error
    finally:
        starts = False
    from _cellgate import environment

    environment.adopt()


def leave_ipython():
    """For code that runs once, as a program does: it runs in the plain shell, at once."""
    global name, ipython
    name, ipython = "plain", None


def tell_failure(cell):
    """Says once, on the stderr of a cell, why the plain shell runs although IPython is installed."""
    global _failure
    if _failure is not None:
        cell.write_err(
            "IPython is installed, but cannot be used (%s: %s); this session runs without it.\n"
            % (type(_failure).__name__, _failure)
        )
        _failure = None


def _is_installed():
    from _frozen_importlib_external import PathFinder

    try:
        spec = PathFinder.find_spec("IPython")
    except Exception:
        return False
    return spec is not None and spec.origin is not None  # no origin: a folder of that name

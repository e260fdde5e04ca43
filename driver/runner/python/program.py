"""Code that runs once, as a program does: what it finds when it begins, and how it ends.

A cell of a session leaves its threads and its handlers for the exit to what comes later. A program
has nothing later: its end waits for them, as Python's own does.
"""

import sys
from os import environ

from _cellgate import execute, session


def begin(cell, job):
    """Gives the code its arguments and its file, if it has one: a path in the working directory."""
    sys.argv[:] = job.get("argv") or [""]
    if not job.get("colours"):
        for name in ("FORCE_COLOR", "CLICOLOR_FORCE"):
            environ.pop(name, None)  # what reads its output is a program too
    file = job.get("file")
    if file:
        cell.file = file
        session.namespace["__file__"] = _absolute(file)


def end(cell, error):
    """Ends the program, which raised `error` or nothing; answers what it failed with, or None."""
    _, late = execute.guarded(_finish)
    if error is None:
        error = late
    if isinstance(error, SystemExit) and exits_successfully(error):
        return None
    if isinstance(error, SystemExit) and not isinstance(error.code, int):
        cell.write_err("%s\n" % (error.code,))  # as Python says it
    return error


def exits_successfully(error):
    """Whether a SystemExit says that all went well. Code may make its `code` anything."""
    code = error.code
    return code is None or type(code) in (int, bool) and code == 0


def _finish():
    threading = sys.modules.get("threading")
    if threading is not None:
        threading._shutdown()  # waits for threads that are not daemons, and ends those of pools
    atexit = sys.modules.get("atexit")
    if atexit is not None:
        atexit._run_exitfuncs()


def _absolute(file):
    from os.path import abspath

    return abspath(file)

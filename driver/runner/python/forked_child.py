"""A fork of the runner that comes to the end of its parent's cell."""

from os import _exit

from _cellgate import errors, execute


def finish(cell, error):
    """Ends a fork that came to the end of its parent's cell, as `os._exit` would."""
    status = 0
    if isinstance(error, SystemExit):
        status = error.code if isinstance(error.code, int) else int(error.code is not None)
        if status and not isinstance(error.code, int):
            cell.write_err(str(error.code) + "\n")
    elif error is not None:
        status = 1
        execute.guarded(errors.report, cell, error)
    cell.flush()
    _exit(status & 0xFF)

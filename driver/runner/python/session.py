"""What the modules of one runner share: its link, its namespace, and the newest cell."""

import sys

from _cellgate import wire

link = None  # the Link to the supervisor
namespace = None  # of `__main__`: where cells run
main_module = None
current = None  # the running cell, or the one that ran last
in_child = False  # this process is a fork of the runner
idle_in_loop = None  # set by `event_loop`: waits for a frame while an event loop has work
repairs = []  # called before each cell: undo what user code may have broken


def repair():
    """Undoes what user code may have broken, as far as that can be done."""
    for repair_step in repairs:
        try:
            repair_step()
        except Exception:
            pass  # what cannot be repaired must not keep the next cell from running


def wait_drained(fd):
    """Waits until all that went into the pipe `fd` is on its way to the gateway."""
    if not in_child and not _drained(fd):
        link.send_synced(wire.SYNC_FRAME, current.number)


def _drained(fd):
    try:
        from fcntl import ioctl
        from termios import FIONREAD
    except Exception:
        return False  # user code broke imports; waiting for the supervisor is right too, and slower
    return int.from_bytes(ioctl(fd, FIONREAD, b"\0\0\0\0"), sys.byteorder) == 0


def publish(cell, event, text=None, last=False):
    """Sends a rich event of `cell` in its place among the output.

    An event of a cell that has ended could not be told from one of its successor, so what there is
    of it as text is written to the cell's own stdout, which the gateway marks as late. With `last`
    no output of the cell's code follows, so nothing has to wait for an acknowledgement.
    """
    if in_child or cell.ended:
        if text:
            cell.write_out(text + "\n")
        return
    cell.flush()
    payload = event if isinstance(event, bytes) else wire.dumps(event)
    if last:
        link.send(wire.MESSAGE, cell.number, payload)
    else:
        link.send_event(cell, payload)

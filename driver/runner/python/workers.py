"""Processes that serve a pool outlive the cell that made it, and serve later ones.

What a process writes goes into the pipes it was started with, so it would all be credited to the
first cell. Those of pools are started with two pipes of the session instead, and a thread passes on
what comes through them to the cell that runs.
"""

import os
import select
import sys
from _thread import RLock
from fcntl import ioctl
from termios import FIONREAD
from time import monotonic, sleep

from _cellgate import cell as cells
from _cellgate import session
from _cellgate.cell import CELL

_DRAIN_SECONDS = 0.2  # at the end of a cell; a thread that has something to pass on needs less
_CHUNK = 64 << 10

starting = False  # a worker is being started: a fork made now is one
_lock = RLock()
_read, _write = [], []  # of stdout and stderr
_forwarding = False
_worker_pipes = []


def start_with_session_pipes(function):
    """Makes a function that starts workers start them with the session's pipes."""

    def wrapped(*args, **options):
        global starting
        with _lock:
            _make_pipes()
            saved = [os.dup(1), os.dup(2)]
            before, starting = starting, True
            try:
                for number, fd in enumerate(_write, 1):
                    os.dup2(fd, number)
                return function(*args, **options)
            finally:
                starting = before
                for number, fd in enumerate(saved, 1):
                    os.dup2(fd, number)
                    os.close(fd)

    wrapped.__wrapped__ = function
    wrapped.__name__ = function.__name__
    return wrapped


def _make_pipes():
    if _read:
        return
    for _ in range(2):
        reading, writing = os.pipe()
        _read.append(reading)
        _write.append(writing)
    # Below `threading`: no code of the user's should see it or wait for it.
    cells.start_plain_thread(_forward_output, ())


def _forward_output():
    global _forwarding
    poll = select.poll()
    for fd in _read:
        poll.register(fd, select.POLLIN)
    while True:
        for fd, _ in poll.poll():
            _forwarding = True
            data = os.read(fd, _CHUNK)
            try:
                _write_to_current_cell(_read.index(fd), data)
            except OSError:
                pass  # the cell ended this moment and its pipes with it
            _forwarding = False


def _write_to_current_cell(which, data):
    cell = session.current
    fd = (cell.out, cell.err)[which].fileno()
    cell.last = -1  # both may have been written to
    while data:
        data = data[os.write(fd, data) :]


def drain():
    """Waits until all that workers have written is passed on."""
    give_up = monotonic() + _DRAIN_SECONDS
    while (_forwarding or any(_has_bytes(fd) for fd in _read)) and monotonic() < give_up:
        sleep(0.0005)


def _has_bytes(fd):
    return int.from_bytes(ioctl(fd, FIONREAD, b"\0\0\0\0"), sys.byteorder) > 0


def enter_worker():
    """In a fork that is a worker: what it prints goes where its descriptors say."""
    for cell in {session.current, CELL.get() or session.current}:
        pipes = cells.Pipes(cells.STDOUT, cells.STDERR, False)
        cell.out, cell.err = pipes.out, pipes.err
        # A line at a time, or those of two workers would be mixed.
        cell.write_out, cell.write_err = cell.out.write, cell.err.write
        _worker_pipes.append(pipes)  # closing them would close the descriptors' buffers


def tag_callbacks(future):
    """Makes what is called when a future is done belong to the cell that asked for it, not to the one
    whose thread happens to see to all futures."""
    plain = future.add_done_callback

    def add_done_callback(self, fn):
        wanted = CELL.get()
        if wanted is None:
            return plain(self, fn)

        def tagged(done):
            token = CELL.set(wanted)
            try:
                return fn(done)
            finally:
                CELL.reset(token)

        return plain(self, tagged)

    add_done_callback.__doc__ = plain.__doc__
    future.add_done_callback = add_done_callback

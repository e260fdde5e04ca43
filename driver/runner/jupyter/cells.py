"""Cells: which request of the kernel each is, how far it has come, and the pipes of those that ended lately."""

import os

# Cells whose pipes are kept for output that comes late. Fewer than the supervisor keeps.
_KEPT = 16


class Cell:
    """One cell, from its EXECUTE on."""

    def __init__(self, number, job, pipes):
        self.number = number
        self.id = job.get("id")
        self.count = job.get("execution_count")
        self.pipes = pipes  # descriptors of its stdout and stderr
        self.last_stream = 0  # the one that was written to last; 0: neither yet
        self.is_comm = job.get("comm") is not None
        program = job.get("program") or {}
        self.shows_value = program.get("show_value", not job.get("silent"))
        self.expressions = job.get("user_expressions") or {}
        self.request = None  # id of the message that the kernel was sent
        self.begun = False  # the kernel has said that it is busy with it
        self.executes = False  # the kernel has said that it executes the code
        self.idle = False  # the kernel has said that all of its output is sent
        self.reply = None  # the content of the kernel's answer
        self.told_error = False
        self.interrupted = False
        self.ended = False

    def close(self):
        """Closes its pipes."""
        for fd in self.pipes:
            os.close(fd)


class Cells:
    """The newest cells."""

    def __init__(self):
        self.newest = None
        self._by_request = {}  # oldest first

    def add(self, cell):
        """Takes in a cell that was sent to the kernel; answers the oldest one, if that is to be given up."""
        self.newest = cell
        self._by_request[cell.request] = cell
        return self._by_request.pop(next(iter(self._by_request))) if len(self._by_request) > _KEPT else None

    def running(self):
        """The cell that runs, or None."""
        return self.newest if self.newest is not None and not self.newest.ended else None

    def of(self, request):
        """The cell that a message of the kernel belongs to. One of no cell that is known counts as the newest's:
        threads of a kernel may not know theirs."""
        return self._by_request.get(request, self.newest)

"""A cell: its identity, its two pipes, and which cell the running thread or task belongs to.

Each cell has pipes of its own. All that its threads, tasks and child processes write goes into
them, even long after the cell ended, so no output is attributed to the cell that runs by then. The
runner closes its ends when the last reference to the cell goes, and the supervisor reads the end of
the file when no child process has one open either.

Most cells leave nothing behind that could write. Then DONE says so, and the next cell is given the
same pipes, if the supervisor finds that no process or thread was started meanwhile.
"""

import _thread
from _contextvars import Context, ContextVar
from _io import BufferedWriter, FileIO, TextIOWrapper
from posix import close, dup, dup2, fstat
from sys import modules

from _cellgate import session

STDOUT, STDERR = 1, 2
_EMFILE = 24  # the process has as many descriptors as it may

# The cell whose code runs in this thread or task. Tasks inherit it with their context, threads by
# `inherit_in_threads`. A thread without one (made by a C library) writes to the newest cell.
CELL = ContextVar("cellgate_cell", default=None)


class Pipes:
    """The write ends of one cell's pipes."""

    __slots__ = ("out", "err", "inodes", "sent")

    def __init__(self, out_fd, err_fd, owned=True, sent=False):
        self.out = _text(out_fd)
        self.err = _text(err_fd)
        self.inodes = (_inode(out_fd), _inode(err_fd)) if owned else (0, 0)
        self.sent = sent  # by the supervisor, for one cell

    def are_intact(self):
        """Whether the next cell can have them: they were sent, all is written, and user code has
        neither closed nor replaced them."""
        try:
            self.out.flush()
            self.err.flush()
            inodes = _inode(self.out.fileno()), _inode(self.err.fileno())
            return self.sent and inodes == self.inodes
        except (OSError, ValueError):
            return False

    def close(self):
        """Closes what is ours: user code may have closed a descriptor, and its number may be that
        of something else by now."""
        for stream, inode in ((self.out, self.inodes[0]), (self.err, self.inodes[1])):
            try:
                fd = stream.fileno()
                try:
                    # Without an explicit close a user who enables ResourceWarning would see one.
                    stream.close()
                finally:
                    if inode and _inode(fd) == inode:
                        close(fd)
            except (OSError, ValueError):
                pass  # the supervisor has closed its end, or user code closed ours


def _inode(fd):
    return fstat(fd)[1]  # st_ino


def _text(fd):
    # Half a surrogate pair must not make print raise, hence `backslashreplace`.
    buffer = BufferedWriter(FileIO(fd, "w", False))
    return TextIOWrapper(buffer, "utf-8", "backslashreplace", "\n", line_buffering=True)


class Cell:
    """One cell, from its EXECUTE until nothing of it is left."""

    __slots__ = (
        "number", "id", "count", "file", "silent", "allow_input", "ended",
        "pipes", "pipes_reusable", "pipes_passed_on", "out", "err", "write_out", "write_err",
        "last", "__weakref__",
    )  # fmt: skip

    def __init__(self, number, job, pipes):
        self.number = number
        self.id = job.get("id")
        self.count = job.get("execution_count")
        self.silent = bool(job.get("silent"))
        self.allow_input = job.get("allow_input", True)
        self.file = "<cell %s>" % self.count if self.count else "<silent cell %d>" % number
        self.ended = False
        self.pipes = pipes
        self.pipes_reusable = False  # it has ended and left nothing that could write
        self.pipes_passed_on = False  # another cell has the pipes now
        self.out = pipes.out
        self.err = pipes.err
        self.write_out = self.out.write
        self.write_err = _write_through(self.err)
        self.last = 0  # the stream written to last; 0 none, -1 both (a child may have)

    def __del__(self):
        if not self.pipes_passed_on:
            self.pipes.close()

    def bind(self):
        """Makes this cell's pipes descriptors 1 and 2."""
        dup2(self.out.fileno(), STDOUT)
        dup2(self.err.fileno(), STDERR)

    def switch_to(self, stream):
        """Lets `stream` follow what the other one got, in the order the code wrote it."""
        other = self.err if stream == STDOUT else self.out
        first = self.last == 0
        self.last = stream
        if first:
            return
        other.flush()
        if not self.ended:
            session.wait_drained(other.fileno())

    def flush(self):
        """Puts everything written so far into the pipes."""
        for stream in (self.out, self.err):
            try:
                stream.flush()
            except (OSError, ValueError):
                pass  # the supervisor has closed its end, or user code closed ours

    def end(self):
        """The cell has ended: what is still written is rare and must not wait for a newline."""
        self.write_out = _write_through(self.out)
        self.flush()


def _write_through(stream):
    write, flush = stream.write, stream.flush

    def write_through(text):
        count = write(text)
        flush()
        return count

    return write_through


def spare_pipes():
    """Pipes for a cell that was sent none: what descriptors 1 and 2 are now."""
    duplicates = []
    try:
        for fd in (STDOUT, STDERR):
            duplicates.append(dup(fd))
    except OSError as error:
        for fd in duplicates:
            close(fd)
        if error.errno != _EMFILE:
            raise
        # User code has used up all descriptors. It can run all the same, if only to close some;
        # what it prints meanwhile goes where the last cell's output went.
        return Pipes(STDOUT, STDERR, False)
    return Pipes(*duplicates)


start_plain_thread = _thread.start_new_thread


def inherit_in_threads():
    """Makes threads belong to the cell that started them.

    Done below `threading`, so that every way of starting one is covered, and by a context of their
    own rather than a wrapper function, so that nothing of ours shows in their stacks.
    """
    for name in ("start_new_thread", "start_new", "start_joinable_thread"):
        original = getattr(_thread, name, None)
        if original is not None:
            setattr(_thread, name, _inheriting(original))
    threading = modules.get("threading")  # if `site` imported it, it has the originals
    for name in ("_start_new_thread", "_start_joinable_thread"):
        if hasattr(threading, name):
            setattr(threading, name, getattr(_thread, name[1:]))


def _inheriting(original):
    joinable = original.__name__ == "start_joinable_thread"

    def start(function, args=(), *rest, **options):
        context = Context()
        context.run(CELL.set, CELL.get())
        if joinable:  # (function, handle=…, daemon=…), 3.13 and newer: no arguments to pass on
            return original(
                lambda: context.run(function), *((args,) if args else ()), *rest, **options
            )
        return original(context.run, (function, *args), *rest, **options)

    start.__name__ = start.__qualname__ = original.__name__
    start.__doc__ = original.__doc__
    return start

"""`sys.stdout` and `sys.stderr`: each hands what it gets to the pipes of the cell that writes."""

import io

from _cellgate import session
from _cellgate.cell import CELL, STDOUT


class Stream(io.TextIOBase):
    """A text stream that looks like the interpreter's own and writes to the writer's cell."""

    encoding = "utf-8"
    errors = "backslashreplace"
    newlines = None
    line_buffering = True
    write_through = False
    mode = "w"

    def __init__(self, number, name):
        self._number = number
        self.name = name
        # An attribute rather than a method: `print` calls it twice a line, and binding a method
        # costs a tenth of a line's time.
        self.write = _writer(number)
        self._bytes = None

    def __repr__(self):
        return "<cellgate.Stream name=%r encoding='utf-8'>" % self.name

    @property
    def buffer(self):
        """The bytes below the text."""
        if self._bytes is None:
            from _cellgate import wrapped_streams

            self._bytes = wrapped_streams.Bytes(self)
        return self._bytes

    @property
    def closed(self):
        """False: what the next cell needs cannot be closed."""
        return False

    def _stream(self):
        cell = CELL.get() or session.current
        return cell.out if self._number == STDOUT else cell.err

    def flush(self):
        """Puts what was written into the pipe."""
        self._stream().flush()

    def fileno(self):
        """1 or 2: the descriptor children inherit."""
        return self._number

    def writable(self):
        """True."""
        return True

    def isatty(self):
        """False: there is no terminal."""
        return False

    def close(self):
        """Flushes; the stream stays open for the next cell."""
        self.flush()

    def __del__(self):
        pass

    def reconfigure(self, **options):
        """Accepts what programs set for the sake of Windows; text stays UTF-8 by the line."""
        self.flush()

    def detach(self):
        """Refuses, as a stream that cannot be detached does."""
        raise io.UnsupportedOperation("detach")


def _writer(number):
    get = CELL.get

    # An empty text is how `print(…, end="")` finishes; no newline will follow, so it is flushed.
    if number == STDOUT:

        def write(text):
            cell = get() or session.current
            if cell.last != 1:
                cell.switch_to(1)
            if not text:
                cell.out.flush()
            return cell.write_out(text)

    else:

        def write(text):
            cell = get() or session.current
            if cell.last != 2:
                cell.switch_to(2)
            return cell.write_err(text)

    return write

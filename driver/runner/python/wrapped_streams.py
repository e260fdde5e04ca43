"""Streams that user code wraps around ours: the bytes below them, and their flush when a cell ends."""

import io
import sys

from _cellgate import streams


class Bytes(io.BufferedIOBase):
    """The bytes below a stream: code may wrap them in a stream of its own, whose end closes what it
    wraps, and the next cell still needs the pipes."""

    mode = "wb"

    def __init__(self, text):
        self._text = text
        self.raw = self

    def __repr__(self):
        return "<cellgate.Bytes name=%r>" % self._text.name

    @property
    def name(self):
        """As of the text above."""
        return self._text.name

    @property
    def closed(self):
        """False: what the next cell needs cannot be closed."""
        return False

    def write(self, data):
        """Writes bytes to the writer's cell, behind what was printed before."""
        stream = self._text._stream()
        stream.flush()
        return stream.buffer.write(data)

    def flush(self):
        """Puts what was written into the pipe."""
        self._text._stream().flush()

    def fileno(self):
        """1 or 2: the descriptor children inherit."""
        return self._text.fileno()

    def writable(self):
        """True."""
        return True

    def close(self):
        """Flushes; the pipe stays open for the next cell."""
        self.flush()

    def detach(self):
        """Refuses, as a stream that cannot be detached does."""
        raise io.UnsupportedOperation("detach")

    def __del__(self):
        pass


def flush(found):
    """Flushes what user code put in the place of our streams, and those of `found`, streams of its
    own, that write to our descriptors: while what they hold can still be told to be the cell's."""
    for stream in (sys.stdout, sys.stderr):
        if type(stream) is not streams.Stream:
            _flush(stream)
    for stream in found:
        try:
            ours = not stream.closed and stream.fileno() in (1, 2)
        except (OSError, ValueError):
            continue
        if ours:
            _flush(stream)


def _flush(stream):
    try:
        stream.flush()
    except Exception:
        pass  # it is user code's, and may be anything

"""What goes to the supervisor, in its order: output into the pipes of cells, frames into the control socket.

Nothing here waits: what a pipe or the socket does not take stays queued. Output that follows an event of its cell,
or output on the other stream, is written only when the supervisor has acknowledged what came before (SYNC), so that
readers see the order in which the kernel has sent it.
"""

import os
from collections import deque

from _cellgate import wire

_WORD = 0xFFFFFFFF  # the running counts are u32 and wrap


class _Output:
    """Bytes for a pipe of a cell."""

    __slots__ = ("cell", "fd", "data")

    def __init__(self, cell, fd, data):
        self.cell = cell
        self.fd = fd
        self.data = memoryview(data)


class _Frames:
    """Bytes for the control socket."""

    __slots__ = ("data", "syncs")

    def __init__(self, data, syncs):
        self.data = memoryview(data)
        self.syncs = syncs  # frames among them that are to be acknowledged


class Outgoing:
    """The queue."""

    def __init__(self, control, on_end):
        self.bytes = 0  # all that is queued
        self._control = control
        self._on_end = on_end  # called when the supervisor has ended; does not return
        self._queue = deque()
        self._syncs = 0
        self._acks = 0

    def write(self, cell, stream, data):
        """Queues output of a cell on stream 1 or 2."""
        if not data:
            return
        if not cell.ended and cell.last_stream not in (0, stream):
            self._put(_Frames(wire.pack(wire.SYNC_FRAME, wire.SYNC, cell.number), 1))
        cell.last_stream = stream
        self._put(_Output(cell, cell.pipes[stream - 1], data))

    def event(self, cell, event):
        """Queues an event of a cell that has not ended."""
        self.send(wire.MESSAGE, cell.number, wire.dumps(event), wire.SYNC)

    def send(self, kind, cell, payload, flags=0):
        """Queues a message to the supervisor."""
        self._put(_Frames(wire.message(kind, flags, cell, payload), int(bool(flags & wire.SYNC))))

    def acknowledge(self, count):
        """The supervisor has taken so many frames with SYNC."""
        self._acks = count

    def drop_output(self, cell):
        """Forgets the output of a cell that is still queued; answers its bytes."""
        kept = [item for item in self._queue if not (type(item) is _Output and item.cell is cell)]
        dropped = self.bytes - sum(len(item.data) for item in kept)
        self._queue = deque(kept)
        self.bytes -= dropped
        return dropped

    def waits_for(self):
        """The descriptor that has to take more before anything can go on; None if it is not a descriptor that is
        waited for."""
        if not self._queue:
            return None
        item = self._queue[0]
        if type(item) is _Frames:
            return self._control.fileno()
        return item.fd if self._is_acknowledged() else None

    def flush(self):
        """Hands over as much as is taken now."""
        while self._queue:
            item = self._queue[0]
            try:
                if type(item) is _Frames:
                    count = self._control.send(item.data, _DONT_WAIT)
                elif not self._is_acknowledged():
                    return
                else:
                    count = os.write(item.fd, item.data)
            except BlockingIOError:
                return
            except OSError:
                if type(item) is _Frames:
                    self._on_end()
                count = len(item.data)  # it has given up the pipe of an older cell
            self.bytes -= count
            if count < len(item.data):
                item.data = item.data[count:]
                continue
            self._queue.popleft()
            if type(item) is _Frames:
                self._syncs = self._syncs + item.syncs & _WORD

    def _is_acknowledged(self):
        return (self._acks - self._syncs) & _WORD < _WORD // 2

    def _put(self, item):
        self._queue.append(item)
        self.bytes += len(item.data)


_DONT_WAIT = 0x40  # MSG_DONTWAIT

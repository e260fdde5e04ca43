"""The control socket (descriptor 3): sending to the supervisor, and waiting for what it sends.

Any thread may wait for a message: the main thread for a cell or an acknowledgement,
others for input. One of them reads (the leader) and hands out what arrives; the rest sleep until
something came, then look again. The leader gives its place up after every read, so that no thread
depends on one that already has what it wanted.

All imports stand at the top: user code may break them, and what raises here costs messages.
"""

import _socket
from _thread import allocate_lock, get_ident
from posix import _exit, close, dup
from sys import byteorder

from _cellgate import signals, wire

CONTROL_FD = 3
_READ_BYTES = 16 << 10  # a cell of usual size with room; a long one takes several reads
_WORD = 0xFFFFFFFF  # the running counts are u32 and wrap


class Link:
    """The runner's end of the control socket."""

    def __init__(self):
        self.socket = _socket.socket(fileno=CONTROL_FD)
        self.closed = False  # in a forked child: it has no supervisor
        self.jobs = []  # EXECUTE not yet run: (cell, payload)
        self.inputs = {}  # cell → payload of an INPUT
        self.on_request = None
        self.on_pipes = None
        self._parser = wire.Parser()
        self._descriptors = []
        self._syncs = 0
        self._acks = 0
        self._sending = allocate_lock()
        self._reading = allocate_lock()
        self._wakers = []

    def send(self, kind, cell, payload=b"", flags=0, unless_ended=None):
        """Sends a message; answers how many SYNCs were sent so far, this one's included.

        Given a Cell as `unless_ended`, sends nothing once that has ended: no event follows DONE.
        """
        data = wire.message(kind, flags, cell, payload)
        blocked = signals.block_handlers()
        try:
            with self._sending:
                if self.closed or (unless_ended is not None and unless_ended.ended):
                    return self._syncs
                if flags & wire.SYNC:
                    self._syncs = self._syncs + 1 & _WORD
                try:
                    self.socket.sendall(data)
                except OSError:
                    _exit(0)  # the supervisor has ended
                return self._syncs
        finally:
            if blocked:
                signals.unblock_handlers()

    def send_synced(self, kind, cell, payload=b"", unless_ended=None):
        """Sends a message and waits until everything written before it is on its way."""
        number = self.send(kind, cell, payload, wire.SYNC, unless_ended)
        if not self.closed:
            self.wait(lambda: (self._acks - number) & _WORD < _WORD // 2)

    def send_event(self, cell, payload):
        """Sends a Cell's rich event. From the main thread it keeps its place among the output."""
        if get_ident() == signals.MAIN:
            self.send_synced(wire.MESSAGE, cell.number, payload, cell)
        else:
            self.send(wire.MESSAGE, cell.number, payload, 0, cell)

    def end(self, cell):
        """Marks a cell as ended: from here on none of its threads sends an event."""
        with self._sending:
            cell.ended = True

    def wait(self, ready):
        """Returns when `ready()` is true; it is asked again whenever something came down.

        An interrupt, or an alarm of the user's, may end the waiting; it can do so only while this
        thread sleeps, or it might leave with the reader's place taken for ever.
        """
        blocked = signals.block_handlers()
        try:
            while not ready():
                if self._reading.acquire(False):
                    try:
                        if not ready():
                            if blocked or get_ident() != signals.MAIN:
                                # Looking without taking: an exception raised here loses no byte.
                                self._sleep(blocked, self._peek)
                            self.read()
                    finally:
                        self._reading.release()
                        self.wake_waiters()
                else:
                    sleeper = allocate_lock()
                    sleeper.acquire()
                    self._wakers.append(sleeper.release)
                    if not ready() and self._reading.locked():
                        self._sleep(blocked, sleeper.acquire)
        finally:
            if blocked:
                signals.unblock_handlers()

    @staticmethod
    def _sleep(blocked, block):
        try:
            if blocked:
                signals.unblock_handlers()
            block()
        finally:
            if blocked:
                signals.block_handlers()

    def try_lead(self):
        """Tries to become the reader without waiting; an event loop reads by `read`."""
        return self._reading.acquire(False)

    def follow(self, wake):
        """Has `wake` called once, when the reader has read or gives its place up."""
        self._wakers.append(wake)
        if not self._reading.locked():
            self.wake_waiters()

    def resign(self):
        """Ends what `try_lead` began."""
        self._reading.release()
        self.wake_waiters()

    def wake_waiters(self):
        """Lets all who sleep look again."""
        while self._wakers:
            try:
                self._wakers.pop()()
            except IndexError:  # another thread was faster
                break

    def read(self, flags=0):
        """Takes what is there (the reader only) and hands it out."""
        blocked = signals.block_handlers()
        try:
            data, ancillary, told, _ = self.socket.recvmsg(
                _READ_BYTES, 64, flags | _socket.MSG_CMSG_CLOEXEC
            )
            if not data:
                _exit(0)
            for level, kind, block in ancillary:
                if (level, kind) == (_socket.SOL_SOCKET, _socket.SCM_RIGHTS):
                    for at in range(0, len(block) - 3, 4):
                        fd = int.from_bytes(block[at : at + 4], byteorder)
                        if told & _socket.MSG_CTRUNC:
                            close(fd)  # one without the other: user code has used them up
                        else:
                            self._descriptors.append(_above_standard(fd))
            for kind, _, cell, payload in self._parser.feed(data):
                self._handle(kind, cell, payload)
        except BlockingIOError:
            pass
        except (OSError, wire.WireError):
            _exit(70)  # EX_SOFTWARE: nothing sensible can be said on a broken link
        finally:
            if blocked:
                signals.unblock_handlers()

    def close_in_child(self):
        """A fork must never answer for its parent."""
        self.closed = True
        self._sending = allocate_lock()
        self._reading = allocate_lock()
        self._wakers.clear()
        self.socket.close()

    def _peek(self):
        return self.socket.recv(1, _socket.MSG_PEEK)

    def _handle(self, kind, cell, payload):
        if kind == wire.EXECUTE:
            self.jobs.append((cell, payload))
        elif kind == wire.ACK:
            self._acks = int.from_bytes(payload, "little")
        elif kind == wire.INPUT:
            self.inputs[cell] = payload
        elif kind == wire.PIPES:
            if len(self._descriptors) >= 2:
                self.on_pipes(self._descriptors.pop(0), self._descriptors.pop(0))
        elif kind == wire.REQUEST:
            self.on_request(cell, payload)


def _above_standard(fd):
    """Moves a descriptor that came as 0, 1 or 2 because user code had closed that one."""
    if fd > 2:
        return fd
    try:
        return _above_standard(dup(fd))
    finally:
        close(fd)

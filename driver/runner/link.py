"""The control socket (descriptor 3): what goes up, what comes down, and waiting for it.

Any thread may wait for something to come down: the main thread for a cell or an acknowledgement,
others for input. One of them reads (the leader) and hands out what arrives; the rest sleep until
something came, then look again. The leader gives its place up after every read, so nobody depends
on a thread that already has what it wanted.

All imports stand at the top: user code may break them, and what raises here costs messages.
"""

import _socket
from _thread import allocate_lock, get_ident
from posix import _exit, close, dup
from sys import byteorder

from _cellgate import frames, signals

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
        self._parser = frames.Parser()
        self._descriptors = []
        self._syncs = 0
        self._acks = 0
        self._sending = allocate_lock()
        self._reading = allocate_lock()
        self._sleepers = []

    def send(self, kind, cell, payload=b"", flags=0, unless_ended=None):
        """Sends a message; answers how many SYNCs were sent so far, this one's included.

        Given a Cell as `unless_ended`, sends nothing once that has ended: no event follows DONE.
        """
        data = frames.message(kind, flags, cell, payload)
        shut = signals.shut()
        try:
            with self._sending:
                if self.closed or (unless_ended is not None and unless_ended.ended):
                    return self._syncs
                if flags & frames.SYNC:
                    self._syncs = self._syncs + 1 & _WORD
                try:
                    self.socket.sendall(data)
                except OSError:
                    _exit(0)  # the supervisor is gone, and so is the reason to live
                return self._syncs
        finally:
            if shut:
                signals.reopen()

    def send_synced(self, kind, cell, payload=b"", unless_ended=None):
        """Sends a message and waits until everything written before it is on its way."""
        number = self.send(kind, cell, payload, frames.SYNC, unless_ended)
        if not self.closed:
            self.wait(lambda: (self._acks - number) & _WORD < _WORD // 2)

    def say(self, cell, payload):
        """Sends a Cell's rich event. From the main thread it keeps its place among the output."""
        if get_ident() == signals.MAIN:
            self.send_synced(frames.MESSAGE, cell.number, payload, cell)
        else:
            self.send(frames.MESSAGE, cell.number, payload, 0, cell)

    def end(self, cell):
        """Marks a cell as ended: from here on none of its threads sends an event."""
        with self._sending:
            cell.ended = True

    def wait(self, ready):
        """Returns when `ready()` is true; it is asked again whenever something came down.

        An interrupt, or an alarm of the user's, may end the waiting; it can do so only while this
        thread sleeps, or it might leave with the reader's place taken for ever.
        """
        shut = signals.shut()
        try:
            while not ready():
                if self._reading.acquire(False):
                    try:
                        if not ready():
                            if shut or get_ident() != signals.MAIN:
                                # Looking without taking: an exception raised here loses no byte.
                                self._sleep(shut, self._peek)
                            self.read()
                    finally:
                        self._reading.release()
                        self.wake()
                else:
                    sleeper = allocate_lock()
                    sleeper.acquire()
                    self._sleepers.append(sleeper.release)
                    if not ready() and self._reading.locked():
                        self._sleep(shut, sleeper.acquire)
        finally:
            if shut:
                signals.reopen()

    @staticmethod
    def _sleep(shut, block):
        try:
            if shut:
                signals.reopen()
            block()
        finally:
            if shut:
                signals.shut()

    def lead(self):
        """Tries to become the reader without waiting; an event loop reads by `read`."""
        return self._reading.acquire(False)

    def follow(self, wake):
        """Has `wake` called once, when whoever reads has read or gives its place up."""
        self._sleepers.append(wake)
        if not self._reading.locked():
            self.wake()

    def resign(self):
        """Ends what `lead` began."""
        self._reading.release()
        self.wake()

    def wake(self):
        """Lets all who sleep look again."""
        while self._sleepers:
            try:
                self._sleepers.pop()()
            except IndexError:  # another thread was faster
                break

    def read(self, flags=0):
        """Takes what is there (the reader only) and hands it out."""
        shut = signals.shut()
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
                self._take(kind, cell, payload)
        except BlockingIOError:
            pass
        except (OSError, frames.WireError):
            _exit(70)  # EX_SOFTWARE: nothing sensible can be said on a broken link
        finally:
            if shut:
                signals.reopen()

    def close_in_child(self):
        """A fork must never answer for its parent."""
        self.closed = True
        self._sending = allocate_lock()
        self._reading = allocate_lock()
        self._sleepers.clear()
        self.socket.close()

    def _peek(self):
        return self.socket.recv(1, _socket.MSG_PEEK)

    def _take(self, kind, cell, payload):
        if kind == frames.EXECUTE:
            self.jobs.append((cell, payload))
        elif kind == frames.ACK:
            self._acks = int.from_bytes(payload, "little")
        elif kind == frames.INPUT:
            self.inputs[cell] = payload
        elif kind == frames.PIPES:
            if len(self._descriptors) >= 2:
                self.on_pipes(self._descriptors.pop(0), self._descriptors.pop(0))
        elif kind == frames.REQUEST:
            self.on_request(cell, payload)


def _above_standard(fd):
    """Moves a descriptor that came as 0, 1 or 2 because user code had closed that one."""
    if fd > 2:
        return fd
    try:
        return _above_standard(dup(fd))
    finally:
        close(fd)

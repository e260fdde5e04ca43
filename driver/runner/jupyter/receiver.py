"""What the supervisor sends on one socket: frames, and the pipes of cells as descriptors."""

import os
import socket

from _cellgate import wire

_READ_BYTES = 64 << 10
_EX_SOFTWARE = 70


class Receiver:
    """One of the two sockets of the supervisor."""

    def __init__(self, fd, on_end):
        self.socket = socket.socket(fileno=fd)
        self.socket.set_inheritable(False)
        self.descriptors = []  # that came and were not taken yet
        self._parser = wire.Parser()
        self._on_end = on_end  # called with an exit code when the link is of no use any more; does not return

    def messages(self):
        """Reads once; answers the messages that are whole by now."""
        try:
            data, ancillary, _, _ = self.socket.recvmsg(
                _READ_BYTES, 64, socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
            )
        except BlockingIOError:
            return []
        except OSError:
            data, ancillary = b"", []
        if not data:
            self._on_end(0)
        for level, kind, block in ancillary:
            if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
                for at in range(0, len(block) - 3, 4):
                    fd = int.from_bytes(block[at : at + 4], "little")
                    os.set_blocking(fd, False)
                    self.descriptors.append(fd)
        try:
            return self._parser.feed(data)
        except wire.WireError:
            self._on_end(_EX_SOFTWARE)  # nothing sensible can be said on a broken link

"""What the tests share: a gateway of their own, sessions, and a proxy that cuts connections.

The gateway's program is found as `cellgate.Gateway` finds it; $CELLGATE_TEST_ARGUMENTS has more flags for it.
"""

from __future__ import annotations

import logging
import os
import shlex
import socket
import threading
import unittest
from typing import Any, ClassVar, List, Optional, Set
from urllib.parse import urlsplit

import cellgate

# In the development mode of test.sh it reports each step that a busy machine makes slow.
logging.getLogger("asyncio").setLevel(logging.ERROR)


def arguments() -> List[str]:
    """Flags of the gateways that the tests start."""
    return shlex.split(os.environ.get("CELLGATE_TEST_ARGUMENTS", "--backend local"))


class GatewayCase(unittest.TestCase):
    """Tests of one class share a gateway; `session` makes a session that ends with the test."""

    gateway: ClassVar[cellgate.Gateway]

    @classmethod
    def setUpClass(cls) -> None:
        cls.gateway = cellgate.Gateway(arguments())

    @classmethod
    def tearDownClass(cls) -> None:
        cls.gateway.stop()

    def session(self, **options: Any) -> cellgate.Session:
        session = self.gateway.connect(**options)
        self.addCleanup(session.end)
        return session

    def proxy(self) -> CuttingProxy:
        proxy = CuttingProxy(self.gateway.url)
        self.addCleanup(proxy.close)
        return proxy


class CuttingProxy:
    """Passes TCP connections on to a gateway, and cuts them: each after so many bytes of answers, or all at once."""

    def __init__(self, url: str) -> None:
        target = urlsplit(url)
        self._target = (target.hostname, target.port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        #: Bytes towards the client after which a connection is reset; None for no end.
        self.cut_after: Optional[int] = None
        #: Connections that were cut.
        self.cuts = 0
        #: While False, connections are refused at once.
        self.accepts = True
        self._open: Set[socket.socket] = set()
        self._lock = threading.Lock()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Cuts all connections now."""
        with self._lock:
            for connection in self._open:
                reset(connection)
                self.cuts += 1

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            if not self.accepts:
                client.close()
                continue
            server = socket.create_connection(self._target)
            with self._lock:
                self._open.add(client)
            for source, sink, counts in ((client, server, False), (server, client, True)):
                threading.Thread(target=self._pass_on, args=(source, sink, client, counts), daemon=True).start()

    def _pass_on(self, source: socket.socket, sink: socket.socket, client: socket.socket, counts: bool) -> None:
        passed = 0
        try:
            while True:
                data = source.recv(1 << 14)
                if counts and self.cut_after is not None and passed + len(data) > self.cut_after:
                    # In the middle of a frame.
                    sink.sendall(data[: self.cut_after - passed])
                    self.cuts += 1
                    reset(sink)
                    break
                if not data:
                    break
                sink.sendall(data)
                passed += len(data)
        except OSError:
            pass  # the other side was cut
        with self._lock:
            self._open.discard(client)
        for end in (source, sink):
            reset(end)


def reset(connection: socket.socket) -> None:
    """Ends a connection for both threads that use it."""
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is not connected any more
    connection.close()

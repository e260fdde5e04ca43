#!/usr/bin/env -S python3 -IS
"""A runner for the supervisor's tests: the payload of EXECUTE is Python that runs as the cell.

It keeps the wire's rules unless the cell tells it not to. What a cell finds in its namespace:
`cell`, `send(kind, flags, cell, payload)`, `message(payload, flags=0)`, `sync()`, `out(bytes)`,
`err(bytes)`, `frame()` (the next one from the supervisor), `outcome` (what DONE will say, None
for no DONE at all), `alone` (whether DONE says that nothing is left which could write), `fresh`
(whether the cell was sent pipes of its own), and the modules imported here.
"""

import faulthandler
import os
import select
import signal
import socket
import struct
import sys
import threading
import time

READY, MESSAGE, DONE, REPLY, SYNC = 0x82, 0x84, 0x85, 0x88, 0x90
EXECUTE, INPUT, REQUEST, PIPES, ACK = 0x02, 0x04, 0x06, 0x10, 0x11
MORE, STDERR, LATE, WAIT, BUSY = 1, 2, 4, 8, 16

HEADER = struct.Struct("<IBBHI")
control = socket.socket(fileno=3)
pipes = []


class Reader:
    def __init__(self, sock):
        self.sock, self.data = sock, b""

    def take(self, count):
        while len(self.data) < count:
            data, ancillary, _, _ = self.sock.recvmsg(1 << 16, 64)
            if not data:
                os._exit(0)
            self.data += data
            for _, _, block in ancillary:
                pipes.extend(struct.unpack("%di" % (len(block) // 4), block))
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def frame(self):
        payload = b""
        while True:
            length, kind, flags, _, cell = HEADER.unpack(self.take(12))
            payload += self.take(length)
            if not flags & MORE:
                return kind, flags, cell, payload


frames = Reader(control)


def frame():
    return frames.frame()


def pack(kind, flags, cell, payload=b""):
    return HEADER.pack(len(payload), kind, flags, 0, cell) + payload


def send(kind, flags, cell, payload=b""):
    control.sendall(pack(kind, flags, cell, payload))


def message(payload, flags=0):
    cell = namespace["cell"]
    while len(payload) > 1 << 16:
        send(MESSAGE, MORE, cell, payload[: 1 << 16])
        payload = payload[1 << 16 :]
    send(MESSAGE, flags, cell, payload)
    if flags & WAIT:
        acknowledged()


syncs = 0


def acknowledged():
    global syncs
    syncs += 1
    kind, _, _, payload = frame()
    assert kind == ACK and payload == struct.pack("<I", syncs), (kind, payload, syncs)


def sync():
    send(SYNC, WAIT, namespace["cell"])
    acknowledged()


def write_all(fd, data):
    data = memoryview(data)
    while data:
        data = data[os.write(fd, data) :]


def out(data):
    write_all(1, data)


def err(data):
    write_all(2, data)


def answer_side():
    side = Reader(socket.socket(fileno=4))
    while True:
        _, _, number, payload = side.frame()
        side.sock.sendall(pack(REPLY, 0, number, b"side:" + payload[:20]))


namespace = dict(globals())
faulthandler.register(signal.SIGUSR2, file=6, all_threads=True, chain=False)
signal.signal(signal.SIGINT, signal.SIG_IGN)
threading.Thread(target=answer_side, daemon=True).start()
if "NOT_READY" in os.environ:
    os.write(2, b"no cells today\n")
    os._exit(7)
send(READY, 0, 0, b'{"language": {"name": "scripted", "version": "1"}}')
while True:
    kind, flags, number, payload = frame()
    if kind == REQUEST:
        send(REPLY, 0, number, b"control:" + payload)
    if kind != EXECUTE:
        continue
    fresh = bool(pipes)
    for target in (1, 2) if fresh else ():
        fd = pipes.pop(0)
        os.dup2(fd, target)
        os.close(fd)
    namespace.update(cell=number, outcome=0, alone=False, fresh=fresh)
    try:
        signal.signal(signal.SIGINT, signal.default_int_handler)
        exec(compile(payload, "<cell %d>" % number, "exec"), namespace)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    except KeyboardInterrupt:
        namespace["outcome"] = 2
    except Exception as error:
        os.write(2, repr(error).encode())
        namespace["outcome"] = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    if namespace["outcome"] is not None:
        send(DONE, 0, number, bytes([namespace["outcome"], 1][: 1 + namespace["alone"]]))

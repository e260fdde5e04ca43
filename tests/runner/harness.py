"""Plays the supervisor: starts a runner as the real one does and speaks the link's wire with it.

Everything is real (process, sockets, pipes, signals); only the Rust half is replaced. Nothing sleeps:
every wait is for an event, with a deadline.
"""

import importlib.util
import json
import os
import select
import shutil
import signal
import socket
import struct
import sys
import tempfile
import time
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
SOURCES = os.path.join(ROOT, "driver", "runner", "python")
PYTHON = os.environ.get("CELLGATE_TEST_PYTHON") or (
    "/usr/bin/python3" if os.path.exists("/usr/bin/python3") else sys.executable
)
SHELL = os.environ.get("CELLGATE_TEST_SHELL", "plain")  # which shell runs the cells
DEADLINE = 30.0  # seconds; only a hang comes near it

EXECUTE, INPUT, REQUEST, PIPES, ACK = 0x02, 0x04, 0x06, 0x10, 0x11
READY, MESSAGE, DONE, REPLY, SYNC_FRAME = 0x82, 0x84, 0x85, 0x88, 0x90
MORE, SYNC, BUSY = 1, 8, 16
OUTCOMES = {0: "ok", 1: "error", 2: "interrupted"}


# Cells after which nothing can be imported that is not there yet, nor much of what was.
NO_IMPORTS = {
    "emptied imports": "import sys\nsys.path.clear(); sys.meta_path.clear(); sys.modules.clear()",
    "raising imports": "import sys\nclass F:\n    def find_spec(*a): raise RuntimeError\n"
    "sys.meta_path[:] = [F()]\nsys.modules.clear()",
    "deleted imports": "import sys\nsys.modules.clear()\ndel sys.meta_path, sys.path",
}


def load_wire():
    """The runner's own framing module, outside a runner."""
    spec = importlib.util.spec_from_file_location("wire", os.path.join(SOURCES, "wire.py"))
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def bundle(sources=SOURCES, wanted=".py", files=None):
    """The modules of a runner as the supervisor packs them; with `files`, only those."""
    parts = []
    for file in sorted(files or os.listdir(sources)):
        name, extension = os.path.splitext(file)
        if extension != wanted or name == "boot":
            continue
        with open(os.path.join(sources, file), "rb") as source:
            text = source.read()
        parts.append(
            struct.pack("<H", len(name)) + name.encode() + struct.pack("<I", len(text)) + text
        )
    return b"".join(parts)


def pack(kind, cell, payload=b"", flags=0):
    return struct.pack("<IBBHI", len(payload), kind, flags, 0, cell) + payload


def message(kind, cell, value):
    """A JSON value as frames."""
    payload = json.dumps(value).encode()
    chunks = [payload[at : at + 65536] for at in range(0, len(payload), 65536)]
    ends = [MORE] * (len(chunks) - 1) + [0]
    return b"".join(pack(kind, cell, chunk, flags) for chunk, flags in zip(chunks, ends))


class Died(Exception):
    """The runner ended."""


class Cell:
    """What came of one cell."""

    def __init__(self, number, out, err):
        self.number = number
        self.pipes = {"stdout": out, "stderr": err}
        self.bytes = {"stdout": b"", "stderr": b""}
        self.events = []  # in order: ("stdout", text), ("stderr", text) or (type, message)
        self.outcome = None
        self.pipes_reusable = False
        self.late = {"stdout": b"", "stderr": b""}

    @property
    def stdout(self):
        return self.bytes["stdout"].decode("utf-8", "replace")

    @property
    def stderr(self):
        return self.bytes["stderr"].decode("utf-8", "replace")

    def of(self, kind):
        return [event for name, event in self.events if name == kind]

    @property
    def result(self):
        results = self.of("result")
        return results[0]["data"] if results else None

    @property
    def text(self):
        return None if self.result is None else self.result["text/plain"]

    @property
    def error(self):
        errors = self.of("error")
        return errors[0] if errors else None

    @property
    def traceback(self):
        return strip_colours("\n".join(self.error["traceback"]))

    @property
    def displays(self):
        return self.of("display")

    def order(self):
        """Events with neighbouring chunks of one stream joined."""
        joined = []
        for name, event in self.events:
            if joined and joined[-1][0] == name and name in ("stdout", "stderr"):
                joined[-1] = (name, joined[-1][1] + event)
            else:
                joined.append((name, event))
        return joined


def strip_colours(text):
    import re

    return re.sub(r"\x1b\[[0-9;]*m", "", text)


class Runner:
    """One runner and the supervisor's end of everything it has."""

    fixed_pairs = 0  # pairs of pipes that it is started with, if it cannot receive descriptors

    def sources(self):
        """Its boot code, and its modules as the supervisor packs them."""
        with open(os.path.join(SOURCES, "boot.py")) as file:
            return file.read(), bundle()

    def arguments(self, interpreter, boot):
        """What its process is started with."""
        return [interpreter, "-c", boot]

    def __init__(self, python=PYTHON, env=None, stacks=True):
        self.directory = tempfile.mkdtemp(prefix="cellgate-runner-")
        self.control, control = socket.socketpair()
        self.queries, queries_end = socket.socketpair()
        self.stacks, stacks_end = os.pipe()
        self.has_stacks = stacks
        idle_out, out_end = os.pipe()
        idle_err, err_end = os.pipe()
        memory = os.memfd_create("bundle")
        boot, modules = self.sources()
        os.write(memory, modules)
        wanted = {0: os.open("/dev/null", os.O_RDONLY), 1: out_end, 2: err_end}
        wanted.update({3: control.fileno(), 4: queries_end.fileno(), 5: memory})
        self.interrupted = os.memfd_create("interrupted", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        self.interrupts = 0
        wanted[7] = self.interrupted
        if stacks:
            wanted[6] = stacks_end
        self.pairs = [os.pipe() + os.pipe() for _ in range(self.fixed_pairs)]
        self.pair_owners = [0] * self.fixed_pairs  # the cell that each was given to last
        for at, (out, out_pipe, err, err_pipe) in enumerate(self.pairs):
            wanted.update({8 + 2 * at: out_pipe, 9 + 2 * at: err_pipe})
            os.set_blocking(out, False)
            os.set_blocking(err, False)
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": self.directory, "LANG": "C.UTF-8",
            "PYTHONDONTWRITEBYTECODE": "1", "CELLGATE_SHELL": SHELL, **(env or {}),
        }  # fmt: skip
        self.pid = os.fork()
        if self.pid == 0:
            try:
                os.setpgid(0, 0)
                os.chdir(self.directory)
                high = {number: _above(fd, 100) for number, fd in wanted.items()}
                for number, fd in high.items():
                    os.dup2(fd, number, inheritable=True)
                os.closerange(8 + 2 * self.fixed_pairs, 1000)
                os.execve(python, self.arguments(python, boot), environment)
            finally:
                os._exit(127)
        for fd in (out_end, err_end, stacks_end, memory, wanted[0]):
            os.close(fd)
        for _, out_pipe, _, err_pipe in self.pairs:
            os.close(out_pipe)
            os.close(err_pipe)
        control.close()
        queries_end.close()
        os.set_blocking(idle_out, False)
        os.set_blocking(idle_err, False)
        self.cells = {0: Cell(0, idle_out, idle_err)}
        self.cells[0].outcome = "ok"
        self.next_pipes = None
        self.number = 0
        self.counts = 0
        self.control_bytes = self.queries_bytes = b""
        self.fragments = []
        self.replies = {}
        self.reply_parts = []
        self.syncs = 0
        self.ready = None
        self.stack_bytes = b""
        self.reuses_pipes = True  # whether a cell may have the pipes of the one before it
        self.passed_on = 0
        self.inputs = []  # answers to give to input requests, in order
        self.asked_first = False
        self.answers = 0
        self.log = []
        self.unattached = []  # comm messages that belong to no cell
        self._send_pipes()
        self.until(lambda: self.ready is not None)

    # what the supervisor sends

    def _send_pipes(self):
        if self.fixed_pairs:
            self._choose_pair()
            return
        ends, writes = [], []
        for _ in range(2):
            read, write = os.pipe()
            os.set_blocking(read, False)
            ends.append(read)
            writes.append(write)
        socket.send_fds(self.control, [pack(PIPES, 0)], writes)
        for fd in writes:
            os.close(fd)
        self.next_pipes = ends

    def _choose_pair(self):
        """Gives the next cell the pair whose cell began longest ago."""
        at = min(range(self.fixed_pairs), key=self.pair_owners.__getitem__)
        former = self.cells.get(self.pair_owners[at])
        if former is not None and former.number:
            self.drain(former.number)
            former.pipes = {"stdout": None, "stderr": None}
        self.pair_owners[at] = self.number + 1
        out, _, err, _ = self.pairs[at]
        self.next_pipes = [out, err]
        self.control.sendall(pack(PIPES, 0, bytes((at,))))

    def _is_childless(self):
        """Whether the runner has neither threads nor children; the supervisor sees more of both."""
        tasks = "/proc/%d/task" % self.pid
        with open("%s/%d/children" % (tasks, self.pid)) as children:
            return len(os.listdir(tasks)) == 1 and not children.read()

    def _pass_pipes_on(self, cell):
        """Lets the next cell have the pipes of one that left nothing which could write to them."""
        self.drain(cell.number)
        self.next_pipes = list(cell.pipes.values())
        cell.pipes = {"stdout": None, "stderr": None}
        self.passed_on += 1

    def start(self, code, **fields):
        """Sends a cell; answers it, still running."""
        self.number += 1
        if not fields.get("silent"):
            self.counts += 1
            fields.setdefault("execution_count", self.counts)
        job = {"code": code, "silent": False, "allow_input": True, **fields}
        cell = self.cells[self.number] = Cell(self.number, *self.next_pipes)
        self.next_pipes = None
        self.control.sendall(message(EXECUTE, self.number, job))
        return cell

    def run(self, code, **fields):
        """Runs a cell to its end."""
        cell = self.start(code, **fields)
        return self.finish(cell)

    def finish(self, cell):
        self.until(lambda: cell.outcome is not None)
        return cell

    def interrupt(self, number=None):
        """Interrupts a cell, the newest one unless told which."""
        self.interrupts += 1
        word = struct.pack("<II", self.number if number is None else number, self.interrupts)
        try:
            os.pwrite(self.interrupted, word, 0)
        except PermissionError:
            pass  # sealed by user code; the supervisor ignores it too
        os.killpg(self.pid, signal.SIGINT)

    def answer(self, cell, **answer):
        self.control.sendall(pack(INPUT, cell.number, json.dumps(answer).encode()))

    def ask(self, op, code, cursor=None, wait=True):
        """Puts a question about code."""
        question = {"op": op, "code": code}
        if cursor is not None:
            question["cursor"] = cursor
        return self.put(question, wait)

    def put(self, question, wait=True):
        """Puts a question as the supervisor does: the first on the control socket."""
        self.answers += 1
        number = self.answers
        target = self.queries if self.replies else self.control
        target.sendall(message(REQUEST, number, question))
        if not wait:
            return number
        self.until(lambda: number in self.replies)
        return self.replies[number]

    # what comes back

    def until(self, condition, deadline=DEADLINE):
        """Serves the runner until `condition()` holds."""
        end = time.monotonic() + deadline
        while not condition():
            self.pump(end)

    def pump(self, end, read_output=True):
        poll = select.poll()
        places = {self.control.fileno(): ("control", None), self.queries.fileno(): ("queries", None)}
        if self.has_stacks:
            places[self.stacks] = ("stacks", None)
        if read_output:
            for cell in self.cells.values():
                for name, fd in cell.pipes.items():
                    if fd is not None:
                        places[fd] = (name, cell)
        for fd in places:
            poll.register(fd, select.POLLIN)
        left = end - time.monotonic()
        ready = poll.poll(max(left, 0) * 1000) if left > 0 else []
        if not ready:
            raise AssertionError("the runner did not do in time what was waited for")
        for fd, _ in ready:
            name, cell = places[fd]
            if name == "control":
                self._on_control()
            elif name == "queries":
                self._on_queries()
            elif name == "stacks":
                data = os.read(fd, 65536)
                if not data:
                    raise Died("the runner is gone")
                self.stack_bytes += data
            elif cell.pipes[name] == fd:
                self._read(cell, name)

    def _read(self, cell, name):
        """Reads a pipe once; answers whether there was something."""
        fd = cell.pipes[name]
        try:
            data = os.read(fd, 65536)
        except BlockingIOError:
            return False
        if not data:
            os.close(fd)
            cell.pipes[name] = None
            return False
        if cell.outcome is not None:
            cell.late[name] += data
        else:
            cell.bytes[name] += data
            cell.events.append((name, data.decode("utf-8", "replace")))
        return True

    def drain(self, number):
        cell = self.cells.get(number)
        for name in ("stdout", "stderr"):
            while cell is not None and cell.pipes[name] is not None and self._read(cell, name):
                pass

    def _on_control(self):
        try:
            data = self.control.recv(65536)
        except ConnectionError:
            data = b""
        if not data:
            raise Died("the runner closed its control socket")
        self.control_bytes += data
        while len(self.control_bytes) >= 12:
            length, kind, flags, zero, number = struct.unpack("<IBBHI", self.control_bytes[:12])
            assert length <= 65536 and zero == 0 and flags & ~(MORE | SYNC) == 0
            if len(self.control_bytes) < 12 + length:
                return
            payload = self.control_bytes[12 : 12 + length]
            self.control_bytes = self.control_bytes[12 + length :]
            self.drain(number)
            if flags & SYNC:
                self.syncs += 1
                self.control.sendall(pack(ACK, 0, struct.pack("<I", self.syncs)))
            self.fragments.append(payload)
            if not flags & MORE:
                payload, self.fragments = b"".join(self.fragments), []
                self._take(kind, number, payload)

    def _take(self, kind, number, payload):
        if kind == READY:
            self.ready = json.loads(payload)
        elif kind == MESSAGE:
            event = json.loads(payload, parse_constant=_no_such_json)
            payload.decode("utf-8")
            if number == 0:
                assert event["type"].startswith("comm_"), event
                self.unattached.append(event)
                return
            cell = self.cells[number]
            assert cell.outcome is None, "an event after the cell's end"
            cell.events.append((event["type"], event))
            if event["type"] == "input_request" and self.inputs:
                self.answer(cell, **self.inputs.pop(0))
        elif kind == DONE:
            assert len(payload) == 1 or payload[1:] == b"\1"
            cell = self.cells[number]
            assert cell.outcome is None, "a second DONE"
            cell.outcome = OUTCOMES[payload[0]]
            cell.pipes_reusable = len(payload) == 2
            if cell.pipes_reusable and self.reuses_pipes and self._is_childless():
                self._pass_pipes_on(cell)
            else:
                self._send_pipes()
        else:
            assert kind == SYNC_FRAME, kind

    def _on_queries(self):
        data = self.queries.recv(65536)
        if not data:
            raise Died("the runner closed its queries socket")
        self.queries_bytes += data
        while len(self.queries_bytes) >= 12:
            length, kind, flags, _, number = struct.unpack("<IBBHI", self.queries_bytes[:12])
            if len(self.queries_bytes) < 12 + length:
                return
            assert kind == REPLY and flags & ~(MORE | BUSY) == 0
            if flags & BUSY:
                self.replies[number] = "busy"
                self.queries_bytes = self.queries_bytes[12 + length :]
                continue
            self.reply_parts.append(self.queries_bytes[12 : 12 + length])
            self.queries_bytes = self.queries_bytes[12 + length :]
            if not flags & MORE:
                payload, self.reply_parts = b"".join(self.reply_parts), []
                assert len(payload) <= 1 << 20, "more than the gateway passes on"
                self.replies[number] = json.loads(payload, parse_constant=_no_such_json)

    def wait_exit(self):
        """Waits for the process to end; answers what `waitpid` said."""
        pid, status = os.waitpid(self.pid, 0)
        self.pid = None
        return status

    def close(self):
        if self.pid is not None:
            os.killpg(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        for cell in self.cells.values():
            for fd in cell.pipes.values():
                if fd is not None:
                    os.close(fd)
        for fd in self.next_pipes or ():
            os.close(fd)
        os.close(self.stacks)
        os.close(self.interrupted)
        self.control.close()
        self.queries.close()
        shutil.rmtree(self.directory, ignore_errors=True)


def _above(fd, least):
    import fcntl

    return fcntl.fcntl(fd, fcntl.F_DUPFD, least)


def _no_such_json(name):
    raise AssertionError("%s is not JSON" % name)


def only_in(shell):
    """For a test of what one shell alone does."""
    return unittest.skipUnless(SHELL == shell, "of the shell %s" % shell)


class RunnerTest(unittest.TestCase):
    """A test with a fresh runner."""

    def setUp(self):
        self.runner = Runner()
        self.addCleanup(self.runner.close)

    def run_ok(self, code, **fields):
        cell = self.runner.run(code, **fields)
        self.assertEqual(cell.outcome, "ok", cell.events)
        return cell

    def run_error(self, code, name=None, **fields):
        cell = self.runner.run(code, **fields)
        self.assertEqual(cell.outcome, "error", cell.events)
        if name:
            self.assertEqual(cell.error["name"], name)
        return cell

    def need(self, module, required=True):
        """Skips, loudly, unless the tested interpreter has `module`. `required`: CELLGATE_REQUIRE=all
        makes that a failure."""
        cell = self.runner.run(
            "import importlib.util as u; getattr(u.find_spec(%r), 'origin', None) is not None"
            % module
        )
        if cell.text != "True":
            if required and os.environ.get("CELLGATE_REQUIRE") == "all":
                self.fail("%s has no %s, and CELLGATE_REQUIRE=all asks for it" % (PYTHON, module))
            print("\nskipped: %s: %s has no %s" % (self.id(), PYTHON, module), file=sys.stderr)
            self.skipTest("no %s" % module)

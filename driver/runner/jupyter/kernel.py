"""The kernel: its process, its five sockets, how it is interrupted and how its end is told.

Its sockets are files in a directory of its own below /tmp: no network is needed, and the paths stay short, as the
kernel takes at most 107 bytes. The process leads a session of its own, so that the signals that the supervisor
sends to the runner's group reach the kernel by way of the runner alone: a Java machine ends by a SIGINT.
"""

import json
import os
import shutil
import signal
import string
import subprocess
import sys
import tempfile
import uuid

import zmq

from _cellgate import kernel_specs, messages

_PREFIX = "cellgate-kernel-"
_PLACES = ("/tmp", "/dev/shm", ".")  # the first in which a directory can be made
_CHANNELS = ("shell", "iopub", "stdin", "control", "hb")
_PYTHONS = {"python", "python3", "python%d.%d" % sys.version_info[:2]}
_RECONNECT_MS = 10  # the kernel makes its sockets only some time after its start
_LAST_MESSAGES_MS = 1000  # how long what a dead kernel has sent may take; a process that it forked keeps sockets open


class Kernel:
    """One kernel, from its start on."""

    def __init__(self, name, directory):
        self.name = name
        self.spec_directory = directory
        self.spec = kernel_specs.read(directory)
        self.title = str(self.spec.get("display_name") or name)
        self.by_message = self.spec.get("interrupt_mode") == "message"
        self.context = zmq.Context()
        self._start({})

    def _start(self, variables):
        self.variables = variables  # that it has beside those of the sandbox
        key = uuid.uuid4().hex
        self.session = messages.Session(key)
        self.directory = _own_directory()
        prefix = os.path.join(self.directory, "s")
        ports = {channel: at for at, channel in enumerate(_CHANNELS, 1)}
        connection = {
            "transport": "ipc", "ip": prefix, "key": key, "signature_scheme": "hmac-sha256",
            "kernel_name": self.name, **{channel + "_port": port for channel, port in ports.items()},
        }  # fmt: skip
        file = os.path.join(self.directory, "connection.json")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w") as writer:
            json.dump(connection, writer)
        out, out_end = os.pipe()
        err, err_end = os.pipe()
        self.raw = {1: out, 2: err}  # what it writes by itself, past the messages
        self.process = subprocess.Popen(
            self._arguments(file), env=self._environment(), stdin=subprocess.DEVNULL,
            stdout=out_end, stderr=err_end, start_new_session=True,
        )  # fmt: skip
        for fd in (out_end, err_end):
            os.close(fd)
        for fd in self.raw.values():
            os.set_blocking(fd, False)
        identity = self.session.id.encode()  # the kernel sends input requests to the socket of this name
        self.shell, self.control, self.stdin = (
            self._connect(zmq.DEALER, prefix, ports[channel], identity)
            for channel in ("shell", "control", "stdin")
        )
        self.iopub = self._connect(zmq.SUB, prefix, ports["iopub"])
        self.iopub.setsockopt(zmq.SUBSCRIBE, b"")
        self._monitor = self.iopub.get_monitor_socket(zmq.EVENT_DISCONNECTED)

    def start_anew(self, variables):
        """Ends it, and starts it with these variables in its environment."""
        self.end()
        self.process.wait()
        self.iopub.disable_monitor()
        for entry in (self._monitor, self.iopub, self.shell, self.control, self.stdin):
            entry.close()
        for fd in self.raw.values():
            os.close(fd)
        self._start(variables)

    def _arguments(self, file):
        given = {"connection_file": file, "resource_dir": self.spec_directory, "prefix": sys.prefix}
        arguments = [str(argument) for argument in self.spec["argv"]]
        if arguments[0] in _PYTHONS:
            arguments[0] = sys.executable  # the one that the kernel is installed for
        for name, value in given.items():
            arguments = [argument.replace("{%s}" % name, value) for argument in arguments]
        return arguments

    def _environment(self):
        environment = dict(os.environ)
        environment.pop(kernel_specs.VARIABLE, None)
        for name, value in (self.spec.get("env") or {}).items():
            environment[name] = string.Template(str(value)).safe_substitute(environment)
        environment.update(self.variables)
        environment["JPY_PARENT_PID"] = str(os.getpid())  # kernels in Python end with that process
        return environment

    def _connect(self, kind, prefix, port, identity=None):
        socket = self.context.socket(kind)
        # Nothing is dropped because there is much: the runner stops the kernel when it cannot keep up.
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SNDHWM, 0)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
        if identity is not None:
            socket.setsockopt(zmq.IDENTITY, identity)
        socket.connect("ipc://%s-%d" % (prefix, port))
        return socket

    def send(self, socket, kind, content, **fields):
        """Sends a message on one of the sockets; answers its id."""
        number, parts = self.session.pack(kind, content, **fields)
        socket.send_multipart(parts)
        return number

    def receive(self, socket):
        """The next message that has come on a socket, or None."""
        while True:
            try:
                parts = socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return None
            message = self.session.unpack(parts)
            if message is not None:
                return message

    def interrupt(self):
        """Interrupts what the kernel does, in the way that its description asks for."""
        if self.by_message:
            self.send(self.control, "interrupt_request", {})
        else:
            self.signal(signal.SIGINT)

    def signal(self, number):
        """Sends a signal to the kernel and its process group."""
        try:
            os.killpg(self.process.pid, number)
        except OSError:
            pass  # it has ended, which SIGCHLD tells

    def captures(self, stream):
        """Whether the kernel has put something of its own in the place of its stdout (1) or stderr (2). Then it
        publishes what is written there, and what still comes is a copy."""
        try:
            there = os.stat("/proc/%d/fd/%d" % (self.process.pid, stream))
            return there.st_ino != os.fstat(self.raw[stream]).st_ino
        except (OSError, KeyError):
            return False  # it cannot be told

    def wait_for_last_messages(self):
        """After the kernel's end: returns when all that it has published can be received."""
        self._monitor.poll(_LAST_MESSAGES_MS)

    def end(self):
        """Kills the kernel, and removes its directory."""
        self.signal(signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)

    def end_as_it_did(self):
        """Ends this process as the kernel has ended: by the same exit code or signal."""
        self.end()
        code = self.process.returncode
        if code < 0:
            number = -code
            signal.set_wakeup_fd(-1)
            if number not in (signal.SIGKILL, signal.SIGSTOP):
                signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
            signal.pause()
        os._exit(code)


def _own_directory():
    for place in _PLACES:
        try:
            _remove_those_of_dead_runners(place)
            return tempfile.mkdtemp(prefix="%s%d-" % (_PREFIX, os.getpid()), dir=place)
        except OSError as error:
            problem = error
    sys.exit("no directory can be made for the sockets of the kernel: %s" % problem)


def _remove_those_of_dead_runners(place):
    """A runner that was killed has left its directory."""
    for name in os.listdir(place):
        pid = name[len(_PREFIX) :].split("-")[0]
        if name.startswith(_PREFIX) and pid.isdigit() and not os.path.exists("/proc/" + pid):
            shutil.rmtree(os.path.join(place, name), ignore_errors=True)

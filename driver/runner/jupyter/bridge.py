"""The bridge: cells, questions and input one way, what the kernel answers and publishes the other.

A cell has ended when the kernel has both answered its request and said that it is idle: the two come on different
sockets, and output may come between them. One loop serves all sockets, and nothing in it waits for one of them.
"""

import os
import signal
import socket
import struct
import time

import zmq

from _cellgate import cells, outgoing, published, questions, receiver, wire

_CONTROL_FD, _SIDE_FD, _INTERRUPT_FD = 3, 4, 7

# Output that may wait until clients take it. The kernel is stopped when there is more, and goes on at a quarter.
_MOST_WAITING = 16 << 20  # 16 MiB

# An interrupt may meet a kernel that is just starting a cell and is lost; then it is repeated, after twice as long
# each time.
_INTERRUPT_AGAIN_SECONDS = 1.0
# Kernels say that they are busy a moment before they can be interrupted.
_INTERRUPT_FIRST_SECONDS = 0.1

# How long the kernel's answer may come behind its being idle, and how long a kernel may take to begin with a message
# on a comm, which it need not know.
_REPLY_SECONDS = 5.0
# How long output of an interrupted cell waits for clients who do not take it.
_OUTPUT_SECONDS = 1.0
_ASK_AGAIN_SECONDS = 0.5  # for the kernel's information: the first question may meet no kernel yet
_RAW_READ_BYTES = 64 << 10
_MESSAGES_A_TURN = 100  # of the kernel, before the supervisor is listened to again


class Bridge:
    """Everything that one runner has."""

    def __init__(self, kernel):
        self.kernel = kernel
        self.control = receiver.Receiver(_CONTROL_FD, self._supervisor_has_ended)
        self.side = receiver.Receiver(_SIDE_FD, self._supervisor_has_ended)
        self.cells = cells.Cells()
        self.outgoing = outgoing.Outgoing(self.control.socket, self._supervisor_has_ended)
        self.published = published.Published(self.cells, self.outgoing)
        self.questions = questions.Questions(kernel, self.side.socket)
        self.jobs = []  # EXECUTE frames that came while a cell ran
        self.asking = None  # (cell, input_request) that waits for an answer
        self.interrupts_seen = self._newest_interrupt()[1]
        self.interrupt_again = None  # (when, after how long)
        self.give_up_at = None  # when a cell ends whose end the kernel does not tell
        self.is_stopped = False
        self.is_ready = False
        self.language = {}  # what READY says of it
        self.has_ended = False  # the kernel
        self.copies = set()  # streams of the kernel's process that it publishes itself
        self.leaves = False  # the kernel was asked to end by the code of a cell
        # Both ends are kept: a signal would be written into whatever got the number of one that is closed.
        self.wakeups, self.wakeups_end = socket.socketpair()
        for end in (self.wakeups, self.wakeups_end):
            end.setblocking(False)
        for number in (signal.SIGINT, signal.SIGCHLD, signal.SIGUSR2):
            signal.signal(number, lambda *_: None)  # the loop hears of them by the descriptor
        signal.set_wakeup_fd(self.wakeups_end.fileno(), warn_on_full_buffer=False)

    def run(self):
        """Serves until the supervisor or the kernel has ended."""
        self._wait_until_ready()
        self.outgoing.send(wire.READY, 0, wire.dumps({"language": self.language}))
        while True:
            self._serve(self._next_deadline())

    def _wait_until_ready(self):
        """Asks the kernel what it is, until it has answered and what it publishes arrives."""
        kernel, reply = self.kernel, None
        subscribed = False
        ask_at = 0.0
        while reply is None or not subscribed:
            if time.monotonic() >= ask_at:
                kernel.send(kernel.shell, "kernel_info_request", {})
                ask_at = time.monotonic() + _ASK_AGAIN_SECONDS
            ready = self._poll((kernel.shell, kernel.iopub, self.wakeups.fileno()), ask_at)
            self._take_signals(ready)
            self._take_raw()
            found = kernel.receive(kernel.shell)
            if found is not None and found.kind == "kernel_info_reply":
                reply = found.content
            while kernel.receive(kernel.iopub) is not None:
                subscribed = True
        language = reply.get("language_info") or {}
        self.language = {
            "name": str(language.get("name") or kernel.spec.get("language") or "unknown"),
            "version": str(language.get("version") or ""),
            "shell": kernel.title,
        }  # fmt: skip
        self.is_ready = True
        self.copies = {stream for stream in kernel.raw if kernel.captures(stream)}

    # The loop.

    def _poll(self, sockets, until):
        """Waits until one of the descriptors or of the kernel's sockets has something, or the time has come."""
        poller = zmq.Poller()
        for entry in sockets:
            poller.register(entry, zmq.POLLIN)
        if not self.is_stopped:
            for fd in self.kernel.raw.values():
                poller.register(fd, zmq.POLLIN)
        blocked = self.outgoing.waits_for()
        if blocked is not None:
            known = zmq.POLLIN if blocked in sockets else 0
            poller.register(blocked, known | zmq.POLLOUT)
        wait = None if until is None else max(0, (until - time.monotonic()) * 1000 + 1)
        return dict(poller.poll(wait))

    def _serve(self, until):
        kernel = self.kernel
        sockets = [_CONTROL_FD, _SIDE_FD, self.wakeups.fileno(), kernel.shell, kernel.stdin, kernel.control]
        if not self.is_stopped:
            sockets.append(kernel.iopub)
        ready = self._poll(sockets, until)
        # Before signals: an interrupt comes after its cell.
        for entry in (self.control, self.side):
            if entry.socket.fileno() in ready:
                for kind, _, number, payload in entry.messages():
                    self._on_frame(kind, number, payload)
        self._take_signals(ready)
        self._take_published()
        self._take_replies()
        self._take_raw()
        self._on_time(time.monotonic())
        self._end_cell_if_done()
        self.outgoing.flush()
        self._balance()

    def _next_deadline(self):
        times = [self.give_up_at, self.questions.expire(time.monotonic())]
        times.append(self.interrupt_again and self.interrupt_again[0])
        return min((at for at in times if at is not None), default=None)

    def _on_time(self, now):
        if self.interrupt_again is not None and self.interrupt_again[0] <= now:
            waited = self.interrupt_again[1] * 2
            self.interrupt_again = (now + waited, waited)
            self.kernel.interrupt()
        if self.give_up_at is not None and self.give_up_at <= now:
            self.give_up_at = None
            cell = self.cells.running()
            if cell is not None and self.leaves:
                self.kernel.signal(signal.SIGKILL)
            elif cell is not None:
                self._end(cell)
            elif self.outgoing.bytes:
                self._drop_waiting_output()

    def _balance(self):
        """Stops a kernel that sends more than is taken, and lets it go on."""
        if self.has_ended:
            return
        waiting = self.outgoing.bytes
        running = self.cells.running()
        if self.is_stopped and waiting < _MOST_WAITING // 4:
            self._let_go_on()
        elif not self.is_stopped and waiting > _MOST_WAITING and not (running and running.interrupted):
            self.is_stopped = True
            self.kernel.signal(signal.SIGSTOP)

    def _let_go_on(self):
        if self.is_stopped:
            self.is_stopped = False
            self.kernel.signal(signal.SIGCONT)

    # What the supervisor says.

    def _on_frame(self, kind, number, payload):
        if kind == wire.EXECUTE:
            self.jobs.append((number, payload))
            if self.cells.running() is None:
                self._begin_next()
        elif kind == wire.ACK:
            self.outgoing.acknowledge(int.from_bytes(payload, "little"))
        elif kind == wire.REQUEST:
            self.questions.ask(number, payload, self.cells.running() is not None)
        elif kind == wire.INPUT:
            self._answer_input(number, wire.loads(payload))

    def _begin_next(self):
        number, payload = self.jobs.pop(0)
        job = wire.loads(payload)
        descriptors = self.control.descriptors
        pipes = (descriptors.pop(0), descriptors.pop(0)) if len(descriptors) >= 2 else (os.dup(1), os.dup(2))
        cell = cells.Cell(number, job, pipes)
        kernel, comm = self.kernel, job.get("comm")
        self.give_up_at = None
        variables = job.get("env") or {}
        if self.cells.newest is None and variables:
            kernel.start_anew(variables)  # those of a session come with each of its cells, so with the first
            self._wait_until_ready()
        is_refused = comm is None and any(kernel.variables.get(name) != value for name, value in variables.items())
        if comm is not None:
            fields = {"metadata": comm.get("metadata"), "buffers": _buffers(comm)}
            content = {"comm_id": comm["comm_id"], "data": comm.get("data") or {}}
            if comm["type"] == "comm_open":
                content["target_name"] = comm.get("target_name")
            cell.request = kernel.send(kernel.shell, comm["type"], content, **fields)
            self.give_up_at = time.monotonic() + _REPLY_SECONDS
        elif is_refused:
            cell.request = ""
        else:
            cell.request = kernel.send(kernel.shell, "execute_request", {
                "code": str(job.get("code") or ""), "silent": bool(job.get("silent")),
                "store_history": cell.count is not None, "allow_stdin": bool(job.get("allow_input", True)),
                "user_expressions": cell.expressions, "stop_on_error": False,
            })  # fmt: skip
        oldest = self.cells.add(cell)
        if oldest is not None:
            self.outgoing.drop_output(oldest)
            oldest.close()
        if is_refused:
            self._refuse_variables(cell)
        self._look_for_interrupt()

    def _refuse_variables(self, cell):
        value = (
            "a kernel of Jupyter that has run a cell takes no other variables: set them for the session or the "
            "template (`env`), or in the code"
        )
        self.published.error(cell, {"ename": "Unsupported", "evalue": value})
        cell.reply = {"status": "error"}
        cell.idle = True

    def _answer_input(self, number, answer):
        if self.asking is None or self.asking[0].number != number:
            return
        request = self.asking[1]
        self.asking = None
        text = str(answer.get("text") or "")
        # Kernels take this sign for the end of the input.
        value = "\x04" if answer.get("eof") else text[:-1] if text.endswith("\n") else text
        self.kernel.send(self.kernel.stdin, "input_reply", {"value": value}, parent=request.header)

    # Signals: interrupts, and the kernel's end.

    def _take_signals(self, ready):
        if self.wakeups.fileno() not in ready:
            return
        try:
            while self.wakeups.recv(64):
                pass
        except BlockingIOError:
            pass
        if self.kernel.process.poll() is not None:
            self._kernel_has_ended()
        self._look_for_interrupt()

    def _look_for_interrupt(self):
        number, count = self._newest_interrupt()
        cell = self.cells.running()
        if count != self.interrupts_seen and cell is not None and cell.number == number:
            self.interrupts_seen = count
            cell.interrupted = True
            self._interrupt(cell)

    def _newest_interrupt(self):
        """(number of the cell, how many interrupts there were), as the supervisor has written it."""
        try:
            return struct.unpack("<II", os.pread(_INTERRUPT_FD, 8, 0))
        except (OSError, struct.error):
            return 0, 0  # there was none

    def _interrupt(self, cell):
        """Interrupts the kernel once it has begun with the cell: before that, it would take the signal for nobody's."""
        self._let_go_on()  # one that was stopped hears of nothing
        if cell.executes:
            self.kernel.interrupt()
            self.interrupt_again = (time.monotonic() + _INTERRUPT_AGAIN_SECONDS, _INTERRUPT_AGAIN_SECONDS)
        elif cell.begun:
            self.interrupt_again = (time.monotonic() + _INTERRUPT_FIRST_SECONDS, _INTERRUPT_AGAIN_SECONDS / 2)

    def _kernel_has_ended(self):
        """Passes on what the kernel has said before its end, and ends as it has."""
        self.has_ended, self.is_stopped = True, False
        self.kernel.wait_for_last_messages()
        while (message := self.kernel.receive(self.kernel.iopub)) is not None:
            self.published.take(message)
        while self._take_raw():
            pass
        if not self.is_ready:
            os.write(2, b"cellgate: the kernel has ended before it was ready\n")
        self.outgoing.flush()
        while self.outgoing.bytes:
            if _CONTROL_FD in self._poll((_CONTROL_FD,), None):
                for kind, _, number, payload in self.control.messages():
                    if kind == wire.ACK:
                        self._on_frame(kind, number, payload)
            self.outgoing.flush()
        self.kernel.end_as_it_did()

    def _supervisor_has_ended(self, code=0):
        self.kernel.end()
        os._exit(code)

    # What the kernel says.

    def _take_published(self):
        for _ in range(_MESSAGES_A_TURN):
            message = None if self.is_stopped else self.kernel.receive(self.kernel.iopub)
            if message is None:
                return
            self.published.take(message)
            self._balance()
            cell = self.cells.running()
            if cell is None:
                continue
            if cell.begun and cell.is_comm:
                self.give_up_at = None
            if cell.interrupted and not cell.idle and self.interrupt_again is None:
                self._interrupt(cell)
            if cell.idle and cell.reply is None and self.give_up_at is None:
                # An interrupt may have hit the kernel's own code, and then there is none.
                self.give_up_at = time.monotonic() + (_OUTPUT_SECONDS if cell.interrupted else _REPLY_SECONDS)

    def _take_replies(self):
        kernel = self.kernel
        while (message := kernel.receive(kernel.stdin)) is not None:
            if message.kind == "input_request":
                self._ask_for_input(message)
        while kernel.receive(kernel.control) is not None:
            pass  # that an interrupt has arrived
        while (message := kernel.receive(kernel.shell)) is not None:
            cell = self.cells.running()
            if cell is not None and message.parent == cell.request:
                cell.reply = message.content
                if any(part.get("source") == "ask_exit" for part in message.content.get("payload") or []):
                    self._leave()
            else:
                self.questions.take(message)

    def _ask_for_input(self, message):
        cell = self.cells.running()
        if cell is None or message.parent != cell.request:
            return
        self.asking = (cell, message)
        prompt = str(message.content.get("prompt") or "")
        password = bool(message.content.get("password"))
        self.outgoing.event(cell, {"type": "input_request", "prompt": prompt, "password": password})

    def _take_raw(self):
        """Takes what the kernel's process and its children have written by themselves, past the messages. Answers
        whether there was something."""
        taken = False
        for stream, fd in list(self.kernel.raw.items()):
            try:
                data = b"" if self.is_stopped else os.read(fd, _RAW_READ_BYTES)
            except BlockingIOError:
                continue
            if data and self.cells.newest is None:
                os.write(stream, data)  # to the operator's log
            elif data and stream not in self.copies:
                self.outgoing.write(self.cells.newest, stream, data)
            elif not data and not self.is_stopped:
                os.close(fd)
                del self.kernel.raw[stream]
            taken = taken or bool(data)
        return taken

    def _leave(self):
        """The code has ended the kernel, as `quit()` does: the cell ends with it."""
        self.leaves = True
        self.give_up_at = time.monotonic() + _REPLY_SECONDS
        self.kernel.send(self.kernel.control, "shutdown_request", {"restart": False})

    # The end of a cell.

    def _end_cell_if_done(self):
        cell = self.cells.running()
        if cell is not None and cell.idle and not self.leaves and (cell.reply is not None or cell.is_comm):
            self._end(cell)

    def _end(self, cell):
        reply = cell.reply or {}
        status = reply.get("status", "ok" if cell.is_comm else "error")
        outcome = wire.OK
        if status != "ok":
            outcome = wire.INTERRUPTED if cell.interrupted else wire.ERROR
            if not cell.told_error:
                self.published.error(cell, _error_of(reply, cell.interrupted))
        elif cell.expressions:
            values = reply.get("user_expressions") or {}
            self.outgoing.event(cell, {"type": "user_expressions", "values": values})
        cell.ended = True
        self.asking = self.interrupt_again = None
        self.give_up_at = time.monotonic() + _OUTPUT_SECONDS if cell.interrupted else None
        self.outgoing.send(wire.DONE, cell.number, bytes((outcome,)))
        if self.jobs:
            self._begin_next()

    def _drop_waiting_output(self):
        """Of an interrupted cell, so that its end can be told."""
        cell = self.cells.newest
        dropped = self.outgoing.drop_output(cell)
        if dropped:
            text = "cellgate: %d bytes of output of an interrupted cell were left out, as they were not taken\n"
            os.write(2, (text % dropped).encode())


def _error_of(reply, interrupted):
    if reply.get("ename") or reply.get("evalue"):
        return reply
    if interrupted:
        return {"ename": "KeyboardInterrupt", "evalue": "", "traceback": ["The cell was interrupted"]}
    what = reply.get("status") or "no answer"
    return {"ename": "KernelError", "evalue": "the kernel has ended the cell with %s" % what}


def _buffers(comm):
    from binascii import a2b_base64

    return [a2b_base64(text) for text in comm.get("buffers") or ()]

"""What the kernel publishes (its socket iopub), as output and events of cells."""

import os
import re
from binascii import b2a_base64

from _cellgate import wire

_MAX_EVENT = 16 << 20  # bytes of one event's JSON: a value beyond this is told of, not sent
_STREAMS = {"stdout": 1, "stderr": 2}
_BINARY = ("image/", "audio/", "video/", "application/pdf")

# How kernels of IPython's family name a line of a cell in a traceback, colours left out.
_COLOURS = re.compile(r"\x1b\[[0-9;]*m")
_FRAME = re.compile(r"Cell In\[(\d+)\], line (\d+)(?:, in ([\w.<>]+))?")


class Published:
    """Passes on what is published."""

    def __init__(self, cells, outgoing):
        self._cells = cells
        self._outgoing = outgoing
        self._cell_ids = {}  # the kernel's count → id of the cell

    def take(self, message):
        """Passes a message on."""
        cell = self._cells.of(message.parent)
        handler = getattr(self, "_on_" + str(message.kind), None)
        if handler is None:
            return
        if message.kind.startswith("comm_") or cell is not None:
            try:
                handler(cell, message, message.content)
            except (AttributeError, KeyError, TypeError, ValueError) as error:
                # Content that is not what the protocol says: the others are shown all the same.
                os.write(2, b"cellgate: a message of the kernel cannot be read: %a\n" % (error,))

    def error(self, cell, content):
        """Tells an error of a cell, as a message or a reply of the kernel has it."""
        cell.told_error = True
        lines = content.get("traceback") or []
        lines = [line for text in lines for line in str(text).split("\n")]
        name, value = str(content.get("ename") or "Error"), str(content.get("evalue") or "")
        event = {
            "type": "error", "name": name, "value": value,
            "traceback": lines or ["%s: %s" % (name, value)], "frames": self._frames(lines),
        }  # fmt: skip
        if cell.ended:
            self._outgoing.write(cell, 2, wire.utf8("\n".join(event["traceback"]) + "\n"))
        else:
            self._outgoing.event(cell, event)

    def _frames(self, lines):
        found = _FRAME.findall(_COLOURS.sub("", "\n".join(lines)))
        return [
            {"cell": self._cell_ids[int(count)], "line": int(line), "function": function}
            for count, line, function in found
            if int(count) in self._cell_ids
        ]

    def _on_status(self, cell, message, content):
        if cell.request != message.parent:
            return  # of a question
        if content.get("execution_state") == "busy":
            cell.begun = True
        elif content.get("execution_state") == "idle":
            cell.idle = True

    def _on_execute_input(self, cell, message, content):
        cell.begun = cell.executes = True
        if isinstance(content.get("execution_count"), int) and cell.id is not None:
            self._cell_ids[content["execution_count"]] = cell.id

    def _on_stream(self, cell, message, content):
        cell.executes = True
        stream = _STREAMS.get(content.get("name"), 1)
        self._outgoing.write(cell, stream, wire.utf8(str(content.get("text") or "")))

    def _on_execute_result(self, cell, message, content):
        if cell.shows_value:
            self._show(cell, {"type": "result", "execution_count": cell.count or 0}, content)

    def _on_display_data(self, cell, message, content):
        self._display(cell, content, False)

    def _on_update_display_data(self, cell, message, content):
        running = self._cells.running()
        # What is replaced is named by its id, so that the running cell can speak for one that has ended.
        if running is not None:
            self._display(running, content, True)

    def _display(self, cell, content, update):
        event = {"type": "display"}
        name = (content.get("transient") or {}).get("display_id")
        if name is not None:
            event["display_id"] = str(name)[:1024]
        if update:
            event["update"] = True
        self._show(cell, event, content)

    def _show(self, cell, event, content):
        data = {str(kind): _portable(kind, value) for kind, value in (content.get("data") or {}).items()}
        event = {**event, "data": data, "metadata": content.get("metadata") or {}}
        if cell.ended:
            # An event of a cell that has ended could not be told from one of its successor.
            text = data.get("text/plain")
            self._outgoing.write(cell, 1, wire.utf8("%s\n" % text) if text else b"")
            return
        size = len(wire.dumps(event))
        if size > _MAX_EVENT:
            note = "<a value too large to show: %d bytes, at most %d are sent>" % (size, _MAX_EVENT)
            event.update(data={"text/plain": note}, metadata={})
        self._outgoing.event(cell, event)

    def _on_clear_output(self, cell, message, content):
        if not cell.ended:
            self._outgoing.event(cell, {"type": "clear_output", "wait": bool(content.get("wait"))})

    def _on_error(self, cell, message, content):
        self.error(cell, content)

    def _on_comm_open(self, cell, message, content):
        event = {"type": message.kind, "comm_id": content.get("comm_id"), "data": content.get("data") or {}}
        if message.kind == "comm_open":
            event["target_name"] = content.get("target_name")
        if message.metadata:
            event["metadata"] = message.metadata
        if message.buffers:
            event["buffers"] = [b2a_base64(part, newline=False).decode() for part in message.buffers]
        if cell is None or cell.ended:
            self._outgoing.send(wire.MESSAGE, 0, wire.dumps(event))
        else:
            self._outgoing.event(cell, event)

    _on_comm_msg = _on_comm_close = _on_comm_open


def _portable(kind, value):
    """A value of a bundle as clients take it: text in one piece, base64 without line ends."""
    kind = str(kind)
    if isinstance(value, list) and all(isinstance(line, str) for line in value) and "json" not in kind:
        value = "".join(value)
    if isinstance(value, str) and kind.startswith(_BINARY) and not kind.endswith("+xml"):
        return "".join(value.split())
    return value

"""Questions of clients: complete, inspect and is_complete are the kernel's to answer.

A kernel answers nothing while it executes a cell, so a question that comes then is answered with BUSY, and so is one
that the kernel does not answer in time: not every kernel knows all of them.
"""

import time

from _cellgate import wire

_ANSWER_SECONDS = 5.0
_MAX_CODE = 1 << 20  # characters that are passed on
_MAX_MATCHES = 500

_REQUESTS = {
    "complete": "complete_request", "inspect": "inspect_request", "is_complete": "is_complete_request",
}  # fmt: skip
_NO_VALUES = {"error": "The variables of a Jupyter kernel cannot be listed: evaluate their names in a cell."}


class Questions:
    """The questions that wait for an answer."""

    def __init__(self, kernel, side):
        self._kernel = kernel
        self._side = side  # the socket that all answers go to
        self._waiting = {}  # id of the request → (number of the question, op, until when)

    def ask(self, number, payload, is_busy):
        """Puts a question to the kernel, or answers it at once."""
        question = wire.loads(payload)
        op = question.get("op")
        if op not in _REQUESTS:
            self._answer(number, {"busy": True} if is_busy else _NO_VALUES)
        elif is_busy:
            self._answer_busy(number)
        else:
            code = str(question.get("code") or "")[:_MAX_CODE]
            cursor = question.get("cursor")
            cursor = len(code) if type(cursor) is not int else max(0, min(cursor, len(code)))
            content = {"code": code}
            if op != "is_complete":
                content["cursor_pos"] = cursor
            if op == "inspect":
                content["detail_level"] = 0
            request = self._kernel.send(self._kernel.shell, _REQUESTS[op], content)
            self._waiting[request] = (number, op, time.monotonic() + _ANSWER_SECONDS)

    def take(self, message):
        """Takes a message of the kernel; answers whether it was the reply to a question."""
        number, op, _ = self._waiting.pop(message.parent, (None, None, None))
        if number is None:
            return False
        self._answer(number, _ANSWERS[op](message.content))
        return True

    def expire(self, now):
        """Gives up the questions that were not answered in time; answers when the next one will be, or None."""
        for request, (number, _, until) in list(self._waiting.items()):
            if until <= now:
                del self._waiting[request]
                self._answer_busy(number)
        return min((until for _, _, until in self._waiting.values()), default=None)

    def _answer(self, number, answer):
        self._side.sendall(wire.message(wire.REPLY, 0, number, wire.dumps(answer)))

    def _answer_busy(self, number):
        self._side.sendall(wire.message(wire.REPLY, wire.BUSY, number, b""))


def _completed(content):
    matches = [str(match) for match in content.get("matches") or []][:_MAX_MATCHES]
    start, end = content.get("cursor_start"), content.get("cursor_end")
    if not matches or type(start) is not int or type(end) is not int or not 0 <= start <= end:
        return {"matches": [], "start": 0, "end": 0}
    answer = {"matches": matches, "start": start, "end": end}
    known = (content.get("metadata") or {}).get("_jupyter_types_experimental")
    if isinstance(known, list):
        types = {str(one.get("text")): str(one.get("type") or "") for one in known if isinstance(one, dict)}
        answer["types"] = [types.get(match, "") for match in matches]
    return answer


def _inspected(content):
    return {"found": bool(content.get("found")), "data": content.get("data") or {}}


def _judged(content):
    status = content.get("status")
    if status not in ("complete", "incomplete", "invalid"):
        return {"status": "unknown"}
    return {"status": status, "indent": str(content.get("indent") or "")} if status == "incomplete" else {"status": status}


_ANSWERS = {"complete": _completed, "inspect": _inspected, "is_complete": _judged}

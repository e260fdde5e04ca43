"""Answers questions (complete, inspect, is_complete, table, variables) in a thread of its own, on descriptor 4.

Rule of the first question: the supervisor sends it as a REQUEST on the control socket, when the
runner is idle (if a cell runs, it answers BUSY itself). That starts this thread, which answers it
with a REPLY on the queries socket; from then on the supervisor sends all questions there, and they
are answered while cells run too. Questions about code run no user code: no property is evaluated, no
module imported, no `__getattr__` called. Tables and variables are looked at between two cells alone:
a cell may change them, and libraries read their values. With IPython's shell that holds while a cell runs; between two
cells IPython's completer and inspector answer, which do as IPython does.
"""

import _socket

from _cellgate import cell, shells, signals, wire
from _cellgate.wire import Parser

_QUERIES_FD = 4
_MAX_CODE = 1 << 20  # characters looked at


def start(number, payload):
    """Starts the thread with its first question."""
    # Not the inheriting start: this thread belongs to no cell.
    cell.start_plain_thread(_serve, (number, payload))


def _serve(number, payload):
    socket = _socket.socket(fileno=_QUERIES_FD)
    parser = Parser()
    waiting = [(wire.REQUEST, 0, number, payload)]
    while True:
        for kind, _, number, payload in waiting:
            if kind == wire.REQUEST:
                socket.sendall(
                    wire.message(wire.REPLY, 0, number, wire.dumps(_answer(payload)))
                )
        data = socket.recv(64 << 10)
        if not data:
            return
        waiting = parser.feed(data)


def _answer(payload):
    op = None
    try:
        question = wire.loads(payload)
        op = question.get("op")
        if op in ("table", "variables"):
            return _look_at_values(op, question)
        code = str(question.get("code", ""))[:_MAX_CODE]
        cursor = question.get("cursor")
        cursor = len(code) if type(cursor) is not int else max(0, min(cursor, len(code)))
        # IPython looks at values as user code would, so not while a cell runs.
        if shells.ipython is not None and signals.phase == signals.IDLE:
            from _cellgate import ipython_questions

            return ipython_questions.answer(op, code, cursor)
        if op == "complete":
            from _cellgate import completion

            return completion.complete(code, cursor)
        if op == "inspect":
            from _cellgate import inspection

            return inspection.inspect_at(code, cursor)
        from _cellgate import completeness

        return completeness.judge(code)
    except BaseException:  # a question must never cost the session its thread
        if op == "complete":
            return {"matches": [], "start": 0, "end": 0}
        if op in ("table", "variables"):
            return {"error": "The interpreter could not answer: restart it if that stays so."}
        return {"found": False, "data": {}} if op == "inspect" else {"status": "invalid"}


def _look_at_values(op, question):
    if signals.phase != signals.IDLE:
        return {"busy": True}
    if op == "table":
        from _cellgate import tables

        return tables.answer(question)
    from _cellgate import variables

    return variables.listed()

"""The expressions that a client sends with a cell, evaluated once the cell has ended well."""

from _cellgate import display, jsonable, mime, session, shells, wire
from _cellgate.errors import lines_of, message_of

_MAX_BYTES = 900 << 10  # of all values' JSON: the gateway takes 1 MiB


def answer(cell, expressions):
    """Sends what each expression is worth, in Jupyter's form."""
    if shells.ipython is not None:
        values = shells.ipython.SHELL.user_expressions(expressions)
    else:
        values = {name: _value_of(text) for name, text in expressions.items()}
    room = _MAX_BYTES
    for name, value in values.items():
        values[name], room = _within(room, value)
    session.publish(cell, {"type": "user_expressions", "values": values}, last=True)


def _value_of(text):
    try:
        data, metadata = mime.bundle(eval(text, session.namespace))
    except Exception as error:
        name = type(error).__name__
        lines = lines_of(error)
        return {"status": "error", "ename": name, "evalue": message_of(error), "traceback": lines}
    return {"status": "ok", "data": data, "metadata": metadata}


def _within(room, value):
    """The value as JSON carries it, or a note that it is too large, and the bytes left for others."""
    if value["status"] == "ok":
        data, metadata = mime.portable(value["data"]), jsonable.plain(value["metadata"])
        value = {"status": "ok", "data": data, "metadata": metadata}
    size = len(wire.dumps(value))
    if size <= room:
        return value, room - size
    if value["status"] == "ok":
        return {"status": "ok", **display.too_large(data, room)}, room
    return {**value, "evalue": value["evalue"][:1000], "traceback": []}, room

"""Comms: messages between objects of user code, such as widgets, and their parts in the clients.

Jupyter's package `comm` keeps them; here its messages find their way to the link and back. A
message from a client is run as a cell without code. One of user code belongs to the cell that
sends it; from a task or a thread whose cell has ended it goes out as a message of no cell (0).
"""

from binascii import a2b_base64, b2a_base64

from _cellgate import jsonable, session, wire
from _cellgate.cell import CELL

_manager = None  # of package `comm`


def install():
    """Makes package `comm`, if there is one, send its messages over the link."""
    global _manager
    try:
        import comm
        from comm.base_comm import BaseComm, CommManager
    except ImportError:
        return

    class Comm(BaseComm):
        """One comm, whose messages go over the link."""

        def publish_msg(self, msg_type, data=None, metadata=None, buffers=None, **keys):
            """Sends a `comm_open`, `comm_msg` or `comm_close`."""
            event = {"type": msg_type, "comm_id": self.comm_id, "data": data or {}}
            if keys.get("target_name"):
                event["target_name"] = keys["target_name"]
            if metadata:
                event["metadata"] = metadata
            if buffers:
                event["buffers"] = [_base64(buffer) for buffer in buffers]
            publish(event)

    _manager = CommManager()
    comm.create_comm = Comm
    comm.get_comm_manager = lambda: _manager


def publish(event):
    """Sends a comm message of user code."""
    if session.in_child:
        return
    try:
        payload = wire.dumps(event)
    except (TypeError, ValueError):
        payload = wire.dumps(jsonable.plain(event))
    cell = CELL.get() or session.current
    if cell.ended:
        session.link.send(wire.MESSAGE, 0, payload)
    else:
        cell.flush()
        session.link.send_event(cell, payload)


def receive(message):
    """Hands a client's message to the comm that it names; answers what the handler raised."""
    from _cellgate import shells

    kind, comm_id = message["type"], message["comm_id"]
    if _manager is None:
        if kind == "comm_open":  # as for a target that does not exist
            publish({"type": "comm_close", "comm_id": comm_id, "data": {}})
        return None
    if kind != "comm_open" and comm_id not in _manager.comms:
        return None  # closed by user code, or of an interpreter before this one
    content = {"comm_id": comm_id, "data": message.get("data") or {}}
    if kind == "comm_open":
        content["target_name"] = message.get("target_name")
    taken = {
        "header": {"msg_id": session.current.id, "msg_type": kind},
        "content": content,
        "metadata": message.get("metadata") or {},
        "buffers": [memoryview(a2b_base64(text)) for text in message.get("buffers") or ()],
    }
    receivers = {
        "comm_open": _manager.comm_open, "comm_msg": _manager.comm_msg,
        "comm_close": _manager.comm_close,
    }  # fmt: skip
    return shells.ipython.call(receivers[kind], None, None, taken)


def _base64(buffer):
    return b2a_base64(buffer, newline=False).decode("ascii")

"""`display` and its relatives: rich values on their way to the client."""

from _cellgate import mime, session, wire
from _cellgate.cell import CELL

_MAX_EVENT = 16 << 20  # bytes of one event's JSON: a value beyond this is told of, not sent
_MAX_ID = 1024  # characters of a display_id


def _cell():
    return CELL.get() or session.current


def show_result(value):
    """Sends the value of a cell's last expression."""
    shown = getattr(type(value), "_ipython_display_", None)
    if shown is not None and not isinstance(value, type):
        value._ipython_display_()  # the object shows itself, by way of `display`
        return
    send_result(*mime.bundle(value), last=True)


def send_result(data, metadata, last=False):
    """Sends a bundle {MIME type: value} as the `result` of the running cell."""
    cell = _cell()
    event = {"type": "result", "execution_count": cell.count or 0}
    _send(cell, {**event, "data": data, "metadata": metadata}, last)


def _send(cell, event, last=False):
    text = event["data"].get("text/plain", "")
    payload = wire.dumps(event)
    if len(payload) > _MAX_EVENT:
        payload = wire.dumps({**event, **too_large(event["data"], _MAX_EVENT)})
    session.publish(cell, payload, str(text), last)


def too_large(data, most_bytes):
    """What is sent in the place of a bundle that is larger than may be sent."""
    sizes = ", ".join(
        "%s: %.1f MB" % (kind, len(wire.dumps(value)) / 1e6) for kind, value in data.items()
    )
    note = "<a value too large to show (%s; at most %.1f MB are sent)>" % (sizes, most_bytes / 1e6)
    return {"data": {"text/plain": note}, "metadata": {}}


def publish(data, metadata=None, display_id=None, update=False):
    """Sends a ready bundle {MIME type: value} as a `display` event."""
    event = {"type": "display", "data": mime.portable(data), "metadata": metadata or {}}
    if display_id is not None:
        event["display_id"] = str(display_id)[:_MAX_ID]
    cell = _cell()
    if update:
        event["update"] = True
        # What is replaced is named by its display_id, so the running cell may speak for one that
        # has ended; with none running no participant would get it.
        cell = session.current if cell.ended else cell
        if cell.ended:
            return
    _send(cell, event)


def display(
    *objects, include=None, exclude=None, metadata=None, transient=None, display_id=None,
    raw=False, clear=False, **ignored,
):  # fmt: skip
    """Shows objects in their richest forms.

    include, exclude: MIME types to send only, or not. metadata: goes with the data. raw: objects
    are bundles {MIME type: value} already. clear: clears the output first. display_id: a name to
    replace what is shown later, True for a fresh one; answers a DisplayHandle then.
    """
    if display_id is None and transient:
        display_id = transient.get("display_id")
    if display_id is True:
        display_id = _fresh_id()
    if clear:
        clear_output(wait=True)
    for value in objects:
        _show(value, include, exclude, metadata, raw, display_id, bool(ignored.get("update")))
    return DisplayHandle(display_id) if display_id is not None else None


def _show(value, include, exclude, metadata, raw, display_id, update):
    if raw:
        publish(value, metadata, display_id, update)
        return
    if hasattr(type(value), "_ipython_display_") and not isinstance(value, type):
        value._ipython_display_()
        return
    data, found = mime.bundle(value, include, exclude)
    if metadata:
        found = {**found, **metadata}
    publish(data, found, display_id, update)


def update_display(obj, *, display_id, **options):
    """Replaces what is shown under `display_id`."""
    options["update"] = True
    return display(obj, display_id=display_id, **options)


def clear_output(wait=False):
    """Clears the output of the running cell; with `wait`, when the next output comes."""
    cell = _cell()
    session.publish(cell, {"type": "clear_output", "wait": bool(wait)})


def publish_display_data(data, metadata=None, source=None, *, transient=None, **options):
    """Sends a bundle {MIME type: value} as it is; the way libraries for notebooks do it."""
    display_id = (transient or {}).get("display_id")
    publish(data, metadata, display_id, bool(options.get("update")))


class DisplayHandle:
    """Something shown under a `display_id`, to be replaced."""

    def __init__(self, display_id=None):
        self.display_id = _fresh_id() if display_id is None else display_id

    def __repr__(self):
        return "<%s display_id=%s>" % (type(self).__name__, self.display_id)

    def display(self, obj, **options):
        """Shows `obj` anew under this id."""
        display(obj, display_id=self.display_id, **options)

    def update(self, obj, **options):
        """Replaces what is shown."""
        update_display(obj, display_id=self.display_id, **options)


def _fresh_id():
    from posix import urandom

    return urandom(16).hex()

"""Messages of Jupyter's protocol 5.3 as they travel over ZeroMQ: signed with HMAC-SHA256.

https://jupyter-client.readthedocs.io/en/stable/messaging.html
"""

import hashlib
import hmac
import json
import uuid
from datetime import datetime, timezone

_VERSION = "5.3"
_DELIMITER = b"<IDS|MSG>"


class Message:
    """One message of a kernel."""

    __slots__ = ("kind", "header", "parent", "metadata", "content", "buffers")

    def __init__(self, header, parent, metadata, content, buffers):
        self.kind = header.get("msg_type")
        self.header = header
        self.parent = parent.get("msg_id")  # id of the request that it belongs to, or None
        self.metadata = metadata
        self.content = content
        self.buffers = buffers


class Session:
    """Makes and reads the messages of one connection with a kernel."""

    def __init__(self, key):
        self.key = key.encode()
        self.id = uuid.uuid4().hex

    def pack(self, kind, content, metadata=None, parent=None, buffers=()):
        """(id, parts) of a new message."""
        header = {
            "msg_id": uuid.uuid4().hex, "session": self.id, "username": "cellgate",
            "date": datetime.now(timezone.utc).isoformat().replace("+00:00", "Z"),
            "msg_type": kind, "version": _VERSION,
        }  # fmt: skip
        values = [header, parent or {}, metadata or {}, content]
        parts = [json.dumps(value).encode() for value in values]
        return header["msg_id"], [_DELIMITER, self._signature(parts), *parts, *buffers]

    def unpack(self, parts):
        """The Message of these parts; None if it is not one, or is not signed by the kernel."""
        try:
            at = parts.index(_DELIMITER) + 1
            signature, signed, buffers = parts[at], parts[at + 1 : at + 5], parts[at + 5 :]
            if not hmac.compare_digest(signature, self._signature(signed)):
                return None
            values = [json.loads(part) for part in signed]
        except (ValueError, IndexError):
            return None
        if len(values) != 4 or not all(isinstance(value, dict) for value in values):
            return None
        return Message(*values, buffers)

    def _signature(self, parts):
        signature = hmac.new(self.key, digestmod=hashlib.sha256)
        for part in parts:
            signature.update(part)
        return signature.hexdigest().encode()

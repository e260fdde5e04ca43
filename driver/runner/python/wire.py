"""Frames of the link's wire (see `wire.rs`, the one definition) and the JSON inside them.

JSON goes through the C half of the standard library's `json`, because the package itself costs
six milliseconds to import; where that half is missing, the package is used.
"""

HEADER_BYTES = 12
MAX_PAYLOAD = 64 << 10  # one default pipe's capacity

EXECUTE, INPUT, REQUEST, PIPES, ACK = 0x02, 0x04, 0x06, 0x10, 0x11
READY, MESSAGE, DONE, REPLY, SYNC_FRAME = 0x82, 0x84, 0x85, 0x88, 0x90

MORE, STDERR, LATE, SYNC, BUSY = 1, 2, 4, 8, 16
ALL_FLAGS = MORE | STDERR | LATE | SYNC | BUSY

OK, ERROR, INTERRUPTED = 0, 1, 2


_PLAIN = b"\0\0\0"  # flags and padding


class WireError(Exception):
    """The other end broke the wire's rules."""


def pack(kind, flags, cell, payload=b""):
    """One frame. `payload` is at most MAX_PAYLOAD long."""
    return (
        len(payload).to_bytes(4, "little")
        + bytes((kind, flags, 0, 0))
        + cell.to_bytes(4, "little")
        + payload
    )


def message(kind, flags, cell, payload):
    """`payload` as frames joined: all but the last carry MORE, only the last carries SYNC."""
    if len(payload) <= MAX_PAYLOAD:
        return pack(kind, flags, cell, payload)
    last = (len(payload) - 1) // MAX_PAYLOAD * MAX_PAYLOAD
    more = flags & ~SYNC | MORE
    parts = [
        pack(kind, more, cell, payload[at : at + MAX_PAYLOAD]) for at in range(0, last, MAX_PAYLOAD)
    ]
    parts.append(pack(kind, flags, cell, payload[last:]))
    return b"".join(parts)


class Parser:
    """Cuts a byte stream into messages `(kind, flags, cell, payload)`, fragments joined."""

    def __init__(self):
        self.buffer = bytearray()
        self.fragments = []

    def feed(self, data):
        """Takes bytes, answers the list of messages they complete. Raises WireError."""
        buffer = self.buffer
        if not buffer and not self.fragments and HEADER_BYTES <= len(data) <= MAX_PAYLOAD:
            if data[:4] == (len(data) - HEADER_BYTES).to_bytes(4, "little") and data[5:8] == _PLAIN:
                # One whole frame without flags, which is what a small cell is.
                return [(data[4], 0, int.from_bytes(data[8:12], "little"), data[HEADER_BYTES:])]
        buffer += data
        messages = []
        at = 0
        while len(buffer) - at >= HEADER_BYTES:
            length = int.from_bytes(buffer[at : at + 4], "little")
            if (
                length > MAX_PAYLOAD
                or buffer[at + 5] & ~ALL_FLAGS
                or buffer[at + 6] | buffer[at + 7]
            ):
                raise WireError("a frame's header is not what an honest end writes")
            end = at + HEADER_BYTES + length
            if end > len(buffer):
                break
            kind, flags = buffer[at + 4], buffer[at + 5]
            payload = bytes(buffer[at + HEADER_BYTES : end])
            if flags & MORE:
                self.fragments.append(payload)
            else:
                if self.fragments:
                    payload = b"".join(self.fragments) + payload
                    self.fragments.clear()
                cell = int.from_bytes(buffer[at + 8 : at + 12], "little")
                messages.append((kind, flags, cell, payload))
            at = end
        del buffer[:at]
        return messages


class _Scanning:
    """What the C scanner asks of the decoder it belongs to."""

    strict = False
    object_hook = object_pairs_hook = None
    parse_float = float
    parse_int = int
    parse_constant = float
    memo = {}


try:
    from _json import encode_basestring as quote, make_encoder, make_scanner

    _scan = make_scanner(_Scanning)

    def loads(payload):
        """The value of a JSON text in UTF-8 that starts without blanks."""
        return _scan(payload.decode(), 0)[0]

    def _encode(value):
        # Strict on NaN: it is not JSON, and the gateway would refuse the message.
        chunks = make_encoder({}, _refuse, quote, None, ":", ",", False, False, False)
        return "".join(chunks(value, 0))

    def _refuse(value):
        raise TypeError("no JSON for a " + type(value).__name__)

except ImportError:  # an interpreter without the C half
    from json import JSONEncoder, loads  # noqa: F401

    _encode = JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode
    quote = _encode


def dumps(value):
    """The JSON of `value` in UTF-8; what has no JSON becomes its text, NaN becomes null."""
    try:
        return utf8(_encode(value))
    except (TypeError, ValueError):
        from _cellgate import jsonable

        return utf8(_encode(jsonable.plain(value)))


def utf8(text):
    """UTF-8 of `text`; half a surrogate pair, which UTF-8 cannot say, becomes U+FFFD."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace").encode()

"""`input()`, `getpass` and `sys.stdin`: all ask the client, by an `input_request`.

Where no client can answer (the cell was sent with `allow_input` false, has ended, or this is a forked
child) they raise at once. It is an EOFError, so programs that can do without input go on.
"""

import io
from _thread import allocate_lock

from _cellgate import session, wire
from _cellgate.cell import CELL


class InputNotAllowedError(EOFError):
    """No client can answer a question of this cell."""

    __module__ = "builtins"


_MAX_PROMPT = 64 << 10  # characters
_asking = allocate_lock()  # one question at a time


def ask(prompt, password=False):
    """The client's answer without its newline. Raises EOFError if there is none."""
    cell = CELL.get() or session.current
    if session.in_child:
        raise InputNotAllowedError("a forked process cannot ask for input")
    if cell.ended:
        raise InputNotAllowedError("the cell that asks for input has ended")
    if not cell.allow_input:
        raise InputNotAllowedError("this cell was sent with allow_input false: nobody can answer")
    inputs = session.link.inputs
    with _asking:
        inputs.pop(cell.number, None)  # an answer to a question that was interrupted
        request = {"type": "input_request", "prompt": str(prompt)[:_MAX_PROMPT]}
        request["password"] = password
        session.publish(cell, request)
        session.link.wait(lambda: cell.number in inputs or cell.ended)
        answer = wire.loads(inputs.pop(cell.number, b'{"eof":true}'))
    if answer.get("eof"):
        raise EOFError("the client ended the input")
    return str(answer.get("text", ""))


def read_line(prompt):
    """What `input` answers."""
    text = ask(prompt)
    return text[:-1] if text.endswith("\n") else text


def getpass(prompt="Password: ", stream=None, **options):
    """Ask for a secret: the client does not show what is typed."""
    return ask(prompt, True).rstrip("\n")


class Stdin(io.TextIOBase):
    """`sys.stdin`: each line read is asked for."""

    encoding = "utf-8"
    errors = "strict"
    newlines = None
    mode = "r"
    name = "<stdin>"

    def __init__(self):
        self._rest = ""

    def __repr__(self):
        return "<cellgate.Stdin encoding='utf-8'>"

    @property
    def closed(self):
        """False: what the next cell needs cannot be closed."""
        return False

    @property
    def buffer(self):
        """The bytes of what is read."""
        return io.BufferedReader(_Bytes(self))

    def readline(self, size=-1):
        """The next line with its newline, or the empty string at the end of input."""
        if not self._rest:
            try:
                text = ask("")
            except InputNotAllowedError:
                raise
            except EOFError:
                return ""
            self._rest = text if text.endswith("\n") else text + "\n"
        end = self._rest.index("\n") + 1 if "\n" in self._rest else len(self._rest)
        if size is not None and 0 <= size < end:
            end = size
        line, self._rest = self._rest[:end], self._rest[end:]
        return line

    def read(self, size=-1):
        """Up to `size` characters, or all lines until the client ends the input."""
        if size is not None and size >= 0:
            return self.readline(size) if size else ""
        lines = []
        while True:
            line = self.readline()
            if not line:
                return "".join(lines)
            lines.append(line)

    def __next__(self):
        line = self.readline()
        if not line:
            raise StopIteration
        return line

    def forget(self):
        """Drops what was read ahead; the next cell asks anew."""
        self._rest = ""

    def readable(self):
        """True."""
        return True

    def isatty(self):
        """False: there is no terminal."""
        return False

    def fileno(self):
        """0: what children inherit, an empty file."""
        return 0

    def close(self):
        """Nothing: the next cell may ask again."""

    def __del__(self):
        pass

    def reconfigure(self, **options):
        """Nothing: text is UTF-8."""

    def detach(self):
        """Refuses, as a stream that cannot be detached does."""
        raise io.UnsupportedOperation("detach")


class _Bytes(io.RawIOBase):
    """The UTF-8 of a Stdin."""

    def __init__(self, text):
        self._text = text
        self._rest = b""

    def readable(self):
        return True

    def readinto(self, target):
        self._rest = self._rest or self._text.readline().encode("utf-8", "surrogatepass")
        count = min(len(target), len(self._rest))
        target[:count], self._rest = self._rest[:count], self._rest[count:]
        return count

"""Shell commands of a cell: `!command`, `x = !command`, `%%bash`."""

import subprocess

from _cellgate import session
from _cellgate.cell import CELL

_ARGUMENT_BYTES = 100 << 10  # the kernel takes 128 KiB in one argument


def stream(command):
    """Runs a command on the cell's own pipes; leaves its exit code in `_exit_code`."""
    session.namespace["_exit_code"] = run([*_line_buffered(), "/bin/sh", "-c", command])


def _line_buffered():
    """What makes programs that use C's streams write each line when it is complete, as they do to a
    terminal; into a pipe they would write some kilobytes at a time."""
    from shutil import which

    program = which("stdbuf", path="/usr/local/bin:/usr/bin:/bin")
    return [program, "-oL"] if program else []


class Lines(list):
    """The lines of a command's output; `.n` is the text, `.s` has blanks between them."""

    @property
    def n(self):
        """The text."""
        return "\n".join(self)

    @property
    def s(self):
        """The lines in one."""
        return " ".join(self)

    l = property(list)  # noqa: E741 (IPython's name)


def lines(command):
    """The lines a command wrote to stdout and stderr."""
    done = subprocess.run(
        ["/bin/sh", "-c", command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, check=False,
    )  # fmt: skip
    session.namespace["_exit_code"] = done.returncode
    return Lines(done.stdout.decode("utf-8", "replace").splitlines())


def script(interpreter, text):
    """Runs a whole cell by another program. Raises CalledProcessError unless it ends well."""
    from shutil import which

    argv = interpreter.split()
    if argv and which(argv[0]) is None:
        raise FileNotFoundError("this sandbox has no program called %s" % argv[0])
    if len(text) * 4 < _ARGUMENT_BYTES:
        code = run([*_line_buffered(), *argv, "-c", text])
    else:
        import tempfile

        with tempfile.NamedTemporaryFile("w", suffix=".sh") as file:
            file.write(text)
            file.flush()
            code = run([*_line_buffered(), *argv, file.name])
    if code:
        raise subprocess.CalledProcessError(code, interpreter)


def run(argv, env=None):
    """Runs a program on the cell's own pipes; answers its exit code."""
    cell = CELL.get() or session.current
    cell.flush()
    try:
        # The cell's own pipes rather than 1 and 2, which belong to whichever cell runs now.
        child = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=cell.out, stderr=cell.err, env=env
        )
    except FileNotFoundError:
        raise FileNotFoundError("this sandbox has no program called %s" % argv[0]) from None
    try:
        return child.wait()
    except BaseException:
        # An interrupt went to the whole process group; a child that ignores it is ended with us.
        try:
            child.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        raise
    finally:
        cell.last = -1  # the child may have written to both pipes


def expand(text, local_names, global_names):
    """Puts values for `{expression}` and `$name`; what cannot be evaluated stays as it is."""
    if "{" not in text and "$" not in text:
        return text
    parts, at = [], 0
    while at < len(text):
        char = text[at]
        if text.startswith(("{{", "}}", "$$"), at):
            parts.append(char)
            at += 2
        elif char == "{":
            end = _closing_brace(text, at)
            value = _value(text[at + 1 : end], local_names, global_names) if end else None
            if value is None:
                parts.append(char)
                at += 1
            else:
                parts.append(value)
                at = end + 1
        elif char == "$":
            end = at + 1
            while end < len(text) and (text[end].isalnum() or text[end] == "_"):
                end += 1
            name = text[at + 1 : end]
            known = name.isidentifier() and (name in local_names or name in global_names)
            parts.append(_value(name, local_names, global_names) or "" if known else text[at:end])
            at = end
        else:
            parts.append(char)
            at += 1
    return "".join(parts)


def _closing_brace(text, start):
    depth = 0
    for at in range(start, len(text)):
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        if depth == 0:
            return at
    return 0


def _value(expression, local_names, global_names):
    if not expression.strip():
        return None
    try:
        return str(eval(expression, global_names, dict(local_names)))
    except Exception:
        pass
    head, colon, spec = expression.rpartition(":")
    if not colon:
        return None
    try:
        return format(eval(head, global_names, dict(local_names)), spec)
    except Exception:
        return None

"""Whether a piece of code is complete, so that Enter should run it rather than add a line."""

import re

from _cellgate.magic_syntax import Scanner, transform

_FLAGS = 0x400 | 0x2000  # PyCF_ONLY_AST | PyCF_ALLOW_TOP_LEVEL_AWAIT
# An invalid escape makes `compile` warn on the stderr of whatever cell runs; for the question
# asked here any valid one does as well.
_ESCAPE = re.compile(r"""\\([^\\'"\n])""")
_TRY = re.compile(r"\s*try\s*:")
_LEAVES = re.compile(r"\s*(return|raise|break|continue|pass)\b")


def judge(code):
    """{"status": "complete" | "incomplete" | "invalid", "indent"?: blanks of the next line}."""
    if not code.strip():
        return {"status": "complete"}
    lines = code.split("\n")
    if code.lstrip().startswith("%%"):
        done = len(lines) > 1 and not lines[-1].strip()
        return {"status": "complete"} if done else _incomplete("")
    text = _ESCAPE.sub(r"x\1", transform(code))
    scanner = Scanner()
    for line in text.split("\n"):
        scanner.feed(line)
        if len(scanner.quote) == 1 and not line.endswith("\\"):
            return {"status": "invalid"}
    last = next((line for line in reversed(lines) if line.strip()), "")
    if scanner.quote or lines[-1].endswith("\\"):
        return _incomplete("")
    indent = last[: len(last) - len(last.lstrip())]
    if scanner.open_brackets:
        opens = last.rstrip()[-1:] in ("(", "[", "{")
        return _incomplete(indent + "    " * opens)
    if _parses(text):
        if (indent or _opens_block(last)) and lines[-1].strip():
            return _incomplete(indent[4:] if _LEAVES.match(last) else indent)
        return {"status": "complete"}
    if _opens_block(last):
        indent += "    "
    for ending in ("pass", "def _(): pass", "finally: pass", "case _: pass"):
        for blanks in {indent, indent[4:], ""}:
            if _parses(text.rstrip("\n ") + "\n" + blanks + ending):
                return _incomplete(indent)
    # A `try:` needs more than a body, and so does each one around it.
    ended = "%s\n%spass" % (text.rstrip("\n "), indent)
    for blanks in _open_tries(lines, len(indent)):
        ended += "\n%sfinally: pass" % blanks
        if _parses(ended):
            return _incomplete(indent)
    return {"status": "invalid"}


def _open_tries(lines, below):
    """The indents of the `try:` lines around what is indented by `below`, innermost first."""
    for line in reversed(lines):
        blanks = len(line) - len(line.lstrip())
        if line.strip() and blanks < below:
            below = blanks
            if _TRY.match(line):
                yield line[:blanks]


def _incomplete(indent):
    return {"status": "incomplete", "indent": indent}


def _opens_block(line):
    scanner = Scanner()
    for at, char in enumerate(line):
        if char == "#" and not scanner.quote:
            line = line[:at]
            break
        scanner.feed(char)
    return line.rstrip().endswith(":")


def _parses(text):
    try:
        compile(text, "<question>", "exec", _FLAGS, True)
    except (SyntaxError, ValueError, OverflowError, RecursionError, MemoryError):
        return False
    return True

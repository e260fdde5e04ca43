"""Exceptions as the user should see them: the cells' own lines, none of ours, causes and all.

Written anew rather than with `traceback`: that module costs some five milliseconds to import, and
would show the runner's frames. The layout and the colours are those of Python 3.13.
"""

import sys

from _cellgate import execute, session, suggestions

_OURS = "<cellgate/"
_MAX_FRAMES = 60  # of one traceback; beyond, the middle is left out
_MAX_VALUE = 16 << 10  # characters of one exception's message
_MAX_LINE = 1000  # characters of a line of source, and of a name
_MAX_TEXT = 256 << 10  # characters of all lines together
_MAX_CHAIN = 20  # causes, and members of a group, told in full
_REPEATS = 3  # how often a recursive frame is shown before the rest is counted

_RED, _BOLD_RED, _MAGENTA, _BOLD_MAGENTA, _RESET = (
    "\x1b[31m", "\x1b[1;31m", "\x1b[35m", "\x1b[1;35m", "\x1b[0m",
)  # fmt: skip

_CAUSE = "The above exception was the direct cause of the following exception:"
_CONTEXT = "During handling of the above exception, another exception occurred:"


def report(cell, error, lines=None, last=True):
    """Sends the `error` event; in a forked child, writes the traceback to stderr.

    lines: the traceback, if a shell has formatted it already. last: whether the cell's code has
    ended, so that no output follows.
    """
    stack = _user_frames(error)
    _remember_for_debuggers(error)
    lines = _bounded(_describe(error, set()) if lines is None else lines)
    if session.in_child:
        cell.write_err("\n".join(lines) + "\n")
        return
    event = {
        "type": "error",
        "name": _class_attribute(type(error), "__name__"),
        "value": message_of(error),
        "traceback": lines,
        "frames": [_frame_fields(entry) for entry in _first_and_last(stack, 50)],
    }
    session.publish(cell, event, last=last)


def lines_of(error):
    """The traceback as lines of text."""
    return _bounded(_describe(error, set()))


def message_of(error):
    """What `str` says about an exception, even if that itself fails, of bounded length."""
    try:
        text = str(error)
    except KeyboardInterrupt:
        raise  # it never ended, and would not when asked for the next line of the traceback
    except BaseException as broken:
        name = _class_attribute(type(broken), "__name__")
        text = "<the exception's own text failed with %s>" % name
    if len(text) > _MAX_VALUE:
        left_out = len(text) - _MAX_VALUE
        half = _MAX_VALUE // 2
        text = "%s … (%d characters left out) … %s" % (text[:half], left_out, text[-half:])
    return text


def _remember_for_debuggers(error):
    """What `pdb.pm()` and friends look at, from the user's first frame on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_OURS):
        trace = trace.tb_next
    sys.last_type, sys.last_value, sys.last_traceback = type(error), error, trace
    if sys.version_info >= (3, 12):
        sys.last_exc = error


def _user_frames(error):
    """(frame, line, positions) from the user's outermost frame to where it was raised."""
    stack = []
    trace = error.__traceback__
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_OURS):
            stack.append((trace.tb_frame, trace.tb_lineno, _positions(code, trace.tb_lasti)))
        trace = trace.tb_next
    # The event loop stands between us and a cell that awaits.
    first = next((at for at, entry in enumerate(stack) if _file(entry) in execute.sources), None)
    if first is None and isinstance(error, (KeyboardInterrupt, SyntaxError)):
        return []  # it hit before the cell's code went on, or the cell is no Python
    return stack[first or 0 :]


def without_runner(trace):
    """A traceback without the frames that are the runner's own."""
    kept = []
    while trace is not None:
        if not trace.tb_frame.f_code.co_filename.startswith(_OURS):
            kept.append(trace)
        trace = trace.tb_next
    for entry in reversed(kept):
        trace = type(entry)(trace, entry.tb_frame, entry.tb_lasti, entry.tb_lineno)
    return trace


def _positions(code, instruction):
    """(line, end_line, column, end_column), columns in bytes; None where Python does not know."""
    if instruction < 0 or not hasattr(code, "co_positions"):
        return None
    at = instruction // 2
    for index, position in enumerate(code.co_positions()):
        if index == at:
            return position if None not in position else None
    return None


def _class_attribute(kind, attribute):
    """What a class is called, whatever its metaclass says to that, in bounded length."""
    return str(vars(type)[attribute].__get__(kind))[:_MAX_LINE]


def _file(entry):
    return entry[0].f_code.co_filename


def _frame_fields(entry):
    frame, line, _ = entry
    fields = {
        "file": _file(entry)[:_MAX_LINE],
        "line": line or 0,
        "function": frame.f_code.co_name[:_MAX_LINE],
        "source": _source_line(frame, line).strip(),
    }
    known = execute.sources.get(_file(entry))
    if known is not None and known[0] is not None:
        fields["cell"] = known[0]
    return fields


def _source_line(frame, line):
    """The line without its newline, of bounded length; empty if it cannot be had."""
    return _whole_source_line(frame, line)[:_MAX_LINE]


def _whole_source_line(frame, line):
    file = frame.f_code.co_filename
    known = execute.sources.get(file)
    if known is None:
        if file.startswith("<") and not file.startswith("<frozen "):
            return ""
        from linecache import getline

        return getline(file, line or 0, frame.f_globals).rstrip("\r\n")
    lines = known[1]
    return lines[line - 1].rstrip("\r\n") if line and line <= len(lines) else ""


def _describe(error, seen):
    """Yields the lines of an exception and what led to it, the oldest first."""
    chain = []
    while error is not None and id(error) not in seen and len(chain) < _MAX_CHAIN:
        seen.add(id(error))
        cause, context = error.__cause__, error.__context__
        if cause is not None:
            link, following = _CAUSE, cause
        elif context is not None and not error.__suppress_context__:
            link, following = _CONTEXT, context
        else:
            link = following = None
        chain.append((error, link))
        error = following
    for at in reversed(range(len(chain))):
        yield from _exception_lines(chain[at][0], seen)
        if at:
            yield ""
            yield chain[at - 1][1]
            yield ""


def _exception_lines(error, seen):
    members = getattr(error, "exceptions", None) if _is_group(error) else None
    stack = _user_frames(error)
    if stack:
        yield "%sTraceback (most recent call last):" % ("Exception Group " if members else "")
        yield from _stack_lines(stack)
    if isinstance(error, SyntaxError):
        yield from _syntax(error)
    yield from _headline(error)
    for number, member in enumerate((members or ())[:_MAX_CHAIN], 1):
        yield "  +---------------- %d ----------------" % number
        for line in _describe(member, seen):
            yield "  | " + line
    if members:
        if len(members) > _MAX_CHAIN:
            yield "  | and %d more exceptions" % (len(members) - _MAX_CHAIN)
        yield "  +------------------------------------"


def _is_group(error):
    group = getattr(_builtins, "BaseExceptionGroup", None)
    return group is not None and isinstance(error, group)


def _headline(error):
    kind = type(error)
    name = _class_attribute(kind, "__qualname__")
    module = _class_attribute(kind, "__module__")
    if module not in ("builtins", "__main__"):
        name = "%s.%s" % (module, name)
    value = error.msg if isinstance(error, SyntaxError) else message_of(error)
    value = "%s%s" % (value, suggestions.for_error(error)) if value is not None else ""
    head, *more = str(value).split("\n")
    yield "%s%s%s%s" % (
        _BOLD_MAGENTA,
        name,
        _RESET,
        ": %s%s%s" % (_MAGENTA, head, _RESET) if value else "",
    )
    for line in more:
        yield "%s%s%s" % (_MAGENTA, line, _RESET) if line else ""
    notes = getattr(error, "__notes__", None)
    if isinstance(notes, (list, tuple)):
        for note in notes[:_MAX_CHAIN]:
            yield from str(note)[:_MAX_VALUE].split("\n")


def _stack_lines(stack):
    """The frames, with one that repeats itself counted rather than shown again and again."""
    half = _MAX_FRAMES // 2
    left_out = range(half, len(stack) - half)
    repeats = 0
    for at, entry in enumerate(stack):
        if at in left_out:
            if at == half:
                yield "  … %d more frames …" % len(left_out)
            continue
        repeats += 1
        if repeats <= _REPEATS:
            yield from _frame_lines(entry)
        following = stack[at + 1] if at + 1 < len(stack) and at + 1 not in left_out else None
        if following is None or _location(following) != _location(entry):
            yield from _repeated(repeats)
            repeats = 0


def _location(entry):
    return _file(entry), entry[1], entry[0].f_code.co_name


def _repeated(times):
    if times > _REPEATS:
        yield "  [the line above repeated %d more times]" % (times - _REPEATS)


def _frame_lines(entry):
    frame, line, positions = entry
    yield '  File %s"%s"%s, line %s%s%s, in %s%s%s' % (
        _MAGENTA, _file(entry)[:_MAX_LINE], _RESET, _MAGENTA, line, _RESET,
        _MAGENTA, frame.f_code.co_name[:_MAX_LINE], _RESET,
    )  # fmt: skip
    source = _source_line(frame, line)
    text = source.strip()
    if not text:
        return
    marked, carets = _with_carets(source, text, positions)
    yield "    " + marked
    if carets:
        yield "    " + carets


def _with_carets(source, text, positions):
    """The line with the part that failed in red, and carets below it."""
    if positions is None:
        return text, ""
    first, last, column, end_column = positions
    indent = len(source) - len(source.lstrip())
    start = len(source.encode()[:column].decode(errors="replace")) - indent
    if last == first:
        end = len(source.encode()[:end_column].decode(errors="replace")) - indent
    else:
        end = len(text)
    start, end = max(start, 0), min(end, len(text))
    if start >= end or (start == 0 and end == len(text)):
        return text, ""
    marked = "%s%s%s%s%s" % (text[:start], _BOLD_RED, text[start:end], _RESET, text[end:])
    return marked, "%s%s%s%s" % (
        " " * _width(text[:start]),
        _BOLD_RED,
        "^" * _width(text[start:end]),
        _RESET,
    )


def _width(text):
    if text.isascii():
        return len(text)
    from unicodedata import east_asian_width

    return sum(2 if east_asian_width(char) in "WF" else 1 for char in text)


def _syntax(error):
    if not isinstance(error.lineno, int):
        return
    file = error.filename or "<string>"
    yield '  File %s"%s"%s, line %s%d%s' % (_MAGENTA, file, _RESET, _MAGENTA, error.lineno, _RESET)
    source = error.text
    known = execute.sources.get(file)
    offset = error.offset
    if known is not None and 0 < error.lineno <= len(known[1]):
        # As the user wrote it, before indentation was taken away or magics were made Python.
        source, compiled = known[1][error.lineno - 1], source
        if isinstance(compiled, str) and compiled.strip() != source.strip():
            offset = None
    if not isinstance(source, str) or not source.strip():
        return
    source = source.rstrip("\r\n")[:_MAX_LINE]
    text = source.strip()
    indent = len(source) - len(source.lstrip())
    yield "    " + text
    if not isinstance(offset, int) or offset < 1:
        return
    start = max(offset - 1 - indent, 0)
    end = start + 1
    end_offset = getattr(error, "end_offset", None)
    if getattr(error, "end_lineno", None) == error.lineno and isinstance(end_offset, int):
        end = max(end_offset - 1 - indent, end)
    start, end = min(start, len(text)), min(end, len(text) + 1)
    blank = " " * _width(text[:start])
    yield "    %s%s%s%s" % (blank, _BOLD_RED, "^" * max(_width(text[start:end]), 1), _RESET)


def _bounded(lines):
    """All lines, or as many from both ends as fit: the last ones name the error."""
    lines = list(lines)
    if sum(map(len, lines)) <= _MAX_TEXT:
        return lines
    tail, room = [], _MAX_TEXT // 2
    while lines and len(lines[-1]) <= room:
        room -= len(lines[-1])
        tail.insert(0, lines.pop())
    head, room = [], _MAX_TEXT // 2
    while lines and len(lines[0]) <= room:
        room -= len(lines[0])
        head.append(lines.pop(0))
    return [*head, "… %d lines left out …" % len(lines), *tail]


def _first_and_last(items, count):
    return items if len(items) <= 2 * count else items[:count] + items[-count:]


_builtins = sys.modules["builtins"]

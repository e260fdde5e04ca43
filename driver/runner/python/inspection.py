"""Signature and documentation of what stands at a cursor, for `inspect` and for `thing?`."""

import inspect
import re

from _cellgate import execute, magics, name_lookup

_MAX_TEXT = 64 << 10  # characters of an answer
_BEFORE = re.compile(r"[^\W\d]\w*(?:\.[^\W\d]\w*)*$")
_AFTER = re.compile(r"\w*")
_SIMPLE = (bool, int, float, complex, str, bytes, type(None))


def inspect_at(code, cursor):
    """{"found", "data"} for the name at the cursor, or else the call around it."""
    for path in _paths(code, cursor):
        text = describe_path(path, False)
        if text is not None:
            return {"found": True, "data": {"text/plain": text}}
    return {"found": False, "data": {}}


def describe_path(path, detail):
    """What is known of a dotted name as text, its source with `detail`; None if it is unknown."""
    if path.startswith("%"):
        return _describe_magic(path)
    if not _BEFORE.fullmatch(path):
        return None
    value = name_lookup.resolve(path)
    if value is name_lookup.MISSING:
        return None
    text = describe(path, value, detail)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "\n…"


def describe(path, value, detail):
    """What is known of a value."""
    lines = []
    signature = name_lookup.signature_of(value)
    if signature is not None:
        lines.append("Signature: %s%s" % (path, _text_of(signature)))
    lines.append("Type:      %s" % type_name(type(value)))
    if type(value) in _SIMPLE:
        lines.append("Value:     %s" % repr(value)[:1000])
    elif type(value) in (list, tuple, dict, set, frozenset):
        lines.append("Length:    %d" % len(value))
    documentation = _documentation(value)
    source = _source(value) if detail else None
    if source:
        lines += ["Source:", source.rstrip()]
    elif documentation:
        lines += ["Docstring:", documentation]
    return "\n".join(lines)


def _describe_magic(path):
    name = path.lstrip("%")
    for prefix in ("line_", "cell_") if not path.startswith("%%") else ("cell_",):
        function = vars(magics).get(prefix + name)
        if function is not None:
            return "%s: %s" % (path, function.__doc__)
    return None


def _paths(code, cursor):
    end = cursor + _AFTER.match(code, cursor).end() - cursor
    match = _BEFORE.search(code[:end])
    if match:
        yield match.group()
    depth = 0
    for at in range(cursor - 1, max(-1, cursor - 5000), -1):
        if code[at] in ")]}":
            depth += 1
        elif code[at] in "([{":
            depth -= 1
            if depth < 0:
                match = _BEFORE.search(code[:at]) if code[at] == "(" else None
                if match:
                    yield match.group()
                return


def type_name(cls):
    """The name of a class, with its module unless that goes without saying."""
    name = type.__dict__["__qualname__"].__get__(cls)
    module = vars(cls).get("__module__")
    # Types in C that hold a slot of that name, such as functions in C, tell no module themselves.
    if not name_lookup.is_a(module, str):
        module = None
    return name if module in ("builtins", "__main__", None) else "%s.%s" % (module, name)


class _FixedRepr:
    """Stands for a default value or annotation whose repr would be user code."""

    def __init__(self, text):
        self._text = text

    def __repr__(self):
        return self._text


def _text_of(signature):
    empty = inspect.Parameter.empty
    shown = []
    for item in signature.parameters.values():
        default, note = item.default, item.annotation
        if default is not empty and type(default) not in _SIMPLE:
            default = _FixedRepr("<%s>" % type_name(type(default)))
        if note is not empty and not name_lookup.is_a(note, type, str):
            note = _annotation(note)
        shown.append(item.replace(default=default, annotation=note))
    note = signature.return_annotation
    if note is not inspect.Signature.empty and not name_lookup.is_a(note, type, str):
        note = _annotation(note)
    return str(signature.replace(parameters=shown, return_annotation=note))


def _annotation(note):
    module = type(note).__module__
    return _FixedRepr(
        repr(note) if module in ("typing", "types", "builtins") else type_name(type(note))
    )


def _documentation(value):
    found = (
        name_lookup.attribute(value, "__doc__")
        if not name_lookup.is_a(value, type)
        else vars(value).get("__doc__")
    )
    if not isinstance(found, str) and not name_lookup.is_a(value, type):
        found = vars(type(value)).get("__doc__")
    return inspect.cleandoc(found) if isinstance(found, str) else None


def _source(value):
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):
        return _source_of_class(value) if name_lookup.is_a(value, type) else None


def _source_of_class(cls):
    """The source of a class that a cell made, which `inspect` cannot find before Python 3.13: it is
    in the cell that its methods are from, or else the newest that has a class of its name."""
    import ast

    if vars(cls).get("__module__") != "__main__":
        return None
    name = type.__dict__["__qualname__"].__get__(cls)
    codes = (getattr(item, "__code__", None) for item in vars(cls).values())
    files = [code.co_filename for code in codes if code is not None]
    files += reversed(list(execute.sources))
    for file in files:
        lines = execute.sources.get(file, (None, []))[1]
        try:
            tree = ast.parse("".join(lines))
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            continue  # magics, or what never ran
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef) and name.split(".")[-1] == node.name:
                first = min([node.lineno, *(item.lineno for item in node.decorator_list)])
                return "".join(lines[first - 1 : node.end_lineno])
    return None

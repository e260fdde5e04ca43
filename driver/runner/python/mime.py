"""What an object looks like: its bundle {MIME type: value}, asked of the object itself.

The protocol is IPython's (`_repr_html_`, `_repr_mimebundle_`, …), so every library that shows
itself in a notebook shows itself here. A representation that fails is left out and named on stderr;
the plain text is always there.
"""

import sys

from _cellgate import jsonable

_MAX_PLAIN = 1 << 20  # characters of text/plain
_PRETTY_ABOVE = 79  # a container whose repr is wider is laid out on several lines
_PRETTY_BELOW = 64 << 10  # and beyond this that takes too long
_MAX_ITEMS = 100_000  # of a container shown as a whole

METHODS = (
    ("text/html", "_repr_html_"),
    ("text/markdown", "_repr_markdown_"),
    ("image/svg+xml", "_repr_svg_"),
    ("image/png", "_repr_png_"),
    ("image/jpeg", "_repr_jpeg_"),
    ("application/pdf", "_repr_pdf_"),
    ("text/latex", "_repr_latex_"),
    ("application/json", "_repr_json_"),
    ("application/javascript", "_repr_javascript_"),
)
_BINARY = ("image/", "audio/", "video/", "application/pdf")
_CONTAINERS = (dict, list, tuple, set, frozenset)
_TABLES = {"DataFrame", "Series", "Table"}
_TABLE_LIBRARIES = {"pandas", "polars", "pyarrow"}
_PLAIN_TYPES = {bool, int, float, complex, str, bytes, type(None), *_CONTAINERS}


def bundle(value, include=None, exclude=None):
    """(data, metadata) of `value`. Raises only what stops the cell, such as an interrupt."""
    data, metadata = {}, {}
    if type(value) not in _PLAIN_TYPES and not isinstance(value, type):
        _collect(value, data, metadata, include, exclude)
    if may_be_table(value):
        from _cellgate import tables

        table = _try(value, "table", lambda: tables.of_value(value))
        if table is not None:
            data[tables.MIME], metadata[tables.MIME] = table
    if "text/plain" not in data:
        data["text/plain"] = plain_text(value)
    wanted = {
        kind: item
        for kind, item in data.items()
        if (include is None or kind in include) and (exclude is None or kind not in exclude)
    }
    metadata = {kind: item for kind, item in metadata.items() if kind in wanted or kind not in data}
    return portable(wanted), metadata


def may_be_table(value):
    """Whether it is worth loading `tables` for a value: a quick look that no table escapes."""
    cls = type(value)
    if cls is list:
        return bool(value) and type(value[0]) is dict
    return cls.__name__ in _TABLES and str(cls.__module__).split(".")[0] in _TABLE_LIBRARIES


def _collect(value, data, metadata, include, exclude):
    whole = _method(value, "_repr_mimebundle_")
    if whole is not None:
        answer = _try(value, "_repr_mimebundle_", whole, include=include, exclude=exclude)
        if isinstance(answer, tuple) and len(answer) == 2:
            answer, extra = answer
            metadata.update(extra or {})
        if isinstance(answer, dict):
            data.update({str(kind): item for kind, item in answer.items() if item is not None})
    for kind, name in METHODS:
        method = _method(value, name)
        if method is None or kind in data:
            continue
        answer = _try(value, name, method)
        if isinstance(answer, tuple) and len(answer) == 2:
            answer, metadata[kind] = answer
        if answer is not None:
            data[kind] = answer
    if "matplotlib.figure" in sys.modules and isinstance(
        value, sys.modules["matplotlib.figure"].Figure
    ):
        from _cellgate import figure_display

        image = _try(value, "figure", lambda: figure_display.png_of_value(value))
        if image is not None:
            data["image/png"] = image


def _method(value, name):
    """The bound method, unless the object invents attributes (a mock, a proxy)."""
    try:
        if getattr(value, "_ipython_canary_method_should_not_exist_", None) is not None:
            return None
        method = getattr(value, name, None)
    except Exception:
        return None
    return method if callable(method) else None


def _try(value, name, method, **options):
    try:
        return method(**options)
    except NotImplementedError:
        return None
    except Exception as error:
        _report_failure(value, name, error)
        return None


def _report_failure(value, name, error):
    from _cellgate import errors

    lines = errors.lines_of(error)
    print("%s of a %s failed:" % (name, type(value).__name__), *lines, sep="\n", file=sys.stderr)


def portable(data):
    """A bundle with values as JSON carries them: bytes as base64, or as text if they are text."""
    return {str(kind): _portable(str(kind), item) for kind, item in data.items()}


def _portable(kind, item):
    if isinstance(item, (bytes, bytearray, memoryview)):
        item = bytes(item)
        if kind.startswith("text/") or kind.endswith("+xml") or kind == "application/javascript":
            return item.decode("utf-8", "replace")
        from binascii import b2a_base64

        return b2a_base64(item, newline=False).decode("ascii")
    if isinstance(item, str):
        if kind.startswith(_BINARY) and not kind.endswith("+xml"):
            return "".join(item.split())  # base64 already, which some libraries break into lines
        return item
    if kind.startswith("text/") and isinstance(item, (list, tuple)):
        return "".join(map(str, item))
    return jsonable.plain(item)


def plain_text(value):
    """The text of `value`, bounded, whatever its `__repr__` does."""
    pretty = _method(value, "_repr_pretty_") if type(value) not in _PLAIN_TYPES else None
    if pretty is not None and not isinstance(value, type):
        printer = Printer()
        text = _try(value, "_repr_pretty_", lambda: (pretty(printer, False), printer.text())[1])
        if text:
            return _cut(text)
    if type(value) in _CONTAINERS and len(value) > _MAX_ITEMS:
        return _beginning_of(value)
    try:
        text = repr(value)
    except Exception as error:
        _report_failure(value, "__repr__", error)
        return "<%s object whose repr failed>" % type(value).__qualname__
    if type(value) in _CONTAINERS and _PRETTY_ABOVE < len(text) < _PRETTY_BELOW:
        text = _try(value, "pprint", lambda: _over_several_lines(value)) or text
    return _cut(text)


def _over_several_lines(value):
    """A container over several lines, its texts as they are: `pprint` would cut them to pieces."""
    from pprint import PrettyPrinter

    class Whole(PrettyPrinter):
        _dispatch = {
            method: function
            for method, function in PrettyPrinter._dispatch.items()
            if method not in (str.__repr__, bytes.__repr__, bytearray.__repr__)
        }

    return Whole(sort_dicts=False, compact=True).pformat(value)


def _beginning_of(value):
    from itertools import islice

    head = type(value)(islice(value.items() if isinstance(value, dict) else value, 1000))
    return "%s\n… %d items in all" % (plain_text(head), len(value))


def _cut(text):
    if len(text) <= _MAX_PLAIN:
        return text
    return "%s\n… %d characters in all" % (text[:_MAX_PLAIN], len(text))


class Printer:
    """As much of IPython's pretty printer as `_repr_pretty_` methods use."""

    def __init__(self):
        self._parts = []
        self._indent = 0

    def __getattr__(self, name):
        raise NotImplementedError(name)  # leaves the object to its repr

    def text(self, text=None):
        """Adds text; without any, answers all of it."""
        if text is None:
            return "".join(self._parts)
        self._parts.append(str(text))

    def breakable(self, sep=" "):
        """A place where a line could end."""
        self._parts.append(sep)

    def break_(self):
        """A place where a line ends."""
        self._parts.append("\n" + " " * self._indent)

    def pretty(self, value):
        """Adds another object."""
        self._parts.append(plain_text(value))

    def begin_group(self, indent=0, open=""):
        """Starts what belongs together."""
        self._parts.append(open)
        self._indent += indent

    def end_group(self, dedent=0, close=""):
        """Ends what belongs together."""
        self._indent -= dedent
        self._parts.append(close)

    def group(self, indent=0, open="", close=""):
        """`with` form of begin_group and end_group."""
        return _Group(self, indent, open, close)

    def indent(self, indent):
        """`with` form of a deeper indent."""
        return _Group(self, indent, "", "")


class _Group:
    def __init__(self, printer, indent, open, close):
        self._all = printer, indent, open, close

    def __enter__(self):
        printer, indent, open, _ = self._all
        printer.begin_group(indent, open)

    def __exit__(self, *error):
        printer, indent, _, close = self._all
        printer.end_group(indent, close)

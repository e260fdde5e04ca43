"""Lists the user's variables for the `variables` question: type, size and a short look at each.

The question thread calls it between two cells. Only builtin types and those of known libraries are
asked what they look like, and only for a few of their values: no `__repr__`, `__len__` or
`__sizeof__` of a class that user code has made is called.
"""

import sys
import types
from itertools import islice

from _cellgate import inspection, name_lookup, session, shells, table_sources

_MOST = 500  # variables
_MAX_NAME = 200  # characters
_MAX_PREVIEW = 120  # characters
_ITEMS = 8  # of a container that are looked at
_DEPTH = 2  # of containers in containers
_LARGE_INTEGER_BITS = 1000  # whose digits take long to make
_NAMES_LOOKED_AT = 100_000

_SIMPLE = (bool, float, complex, type(None), range)
_CONTAINERS = {list: "[]", tuple: "()", set: "{}", frozenset: "{}"}
_SIZED = {list, tuple, set, frozenset, dict, str, bytes, bytearray}
_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType, types.MethodType)
# Types of the standard library whose repr is short and runs no code of a user's class.
_SHOWN_WHOLE = {
    ("datetime", "date"), ("datetime", "timedelta"), ("decimal", "Decimal"), ("uuid", "UUID"),
    ("fractions", "Fraction"), ("pathlib", "PosixPath"), ("pathlib", "PurePosixPath"),
    ("pathlib._local", "PosixPath"), ("pathlib._local", "PurePosixPath"),  # Python 3.13
}  # fmt: skip
_ARRAY_LIBRARIES = {"numpy", "pandas", "polars", "pyarrow", "torch", "scipy", "jax", "xarray", "cupy"}


def listed():
    """What `variables` is answered with."""
    found = []
    more = False
    hidden = _hidden()
    for name, value in list(islice(list(session.namespace.items()), _NAMES_LOOKED_AT)):
        if type(name) is not str or not _is_own(name, value, hidden):
            continue
        if len(found) >= _MOST:
            more = True
            break
        found.append(_described(name[:_MAX_NAME], value))
    answer = {"variables": sorted(found, key=lambda one: one["name"].casefold())}
    return {**answer, "more": True} if more else answer


def _hidden():
    """The names that IPython has put into the namespace, with their values."""
    if shells.ipython is None:
        return {}
    hidden = shells.ipython.SHELL.user_ns_hidden
    return dict(hidden) if type(hidden) is dict else {}


def _is_own(name, value, hidden):
    if name.startswith("_") or name_lookup.is_a(value, types.ModuleType):
        return False
    if name in hidden and hidden[name] is value:
        return False
    if name in ("In", "Out", "exit", "quit", "get_ipython") and hidden:
        return False
    if name_lookup.is_a(value, types.BuiltinFunctionType):
        return False
    if name_lookup.is_a(value, types.FunctionType):
        return value.__module__ == "__main__"
    if name_lookup.is_a(value, type):
        return type.__dict__["__module__"].__get__(value) == "__main__"
    return True


def _described(name, value):
    entry = {"name": name, "type": _type_name(value), "preview": ""}
    for field, look in (("shape", _shape), ("bytes", _bytes), ("preview", _preview)):
        try:
            seen = look(value)
        except Exception:
            continue  # a value whose library fails is listed by its name and type
        if seen is not None:
            entry[field] = seen
    try:
        if table_sources.is_tabular(value):
            entry["table"] = True
    except Exception:
        pass  # as above
    return entry


def _type_name(value):
    if name_lookup.is_a(value, type):
        return "class"
    if name_lookup.is_a(value, *_FUNCTIONS):
        return "function"
    return inspection.type_name(type(value))[:_MAX_NAME]


def _is_of_library(value):
    """Whether a type is one of a library that is loaded and whose arrays and tables are known."""
    module, _ = table_sources.name_of(type(value))
    return module.split(".")[0] in _ARRAY_LIBRARIES and _is_from(type(value), module)


def _is_from(cls, module):
    """Whether a module that is loaded has a class by its name, and not another that says so."""
    _, name = table_sources.name_of(cls)
    home = sys.modules.get(module)
    return home is not None and vars(home).get(name) is cls


def _shape(value):
    if type(value) in _SIZED:
        return [len(value)]
    if not _is_of_library(value):
        return None
    shape = getattr(value, "shape", None)
    if shape is None:
        return None
    sizes = [int(size) for size in islice(shape, 32)]
    return sizes or None


def _bytes(value):
    cls = type(value)
    if cls in _SIZED or cls in (int, bool, float, complex):
        return sys.getsizeof(value)
    if not _is_of_library(value):
        return None
    if cls.__module__.startswith("pandas."):
        used = value.memory_usage(deep=False)
        return int(used if isinstance(used, int) else used.sum())
    if cls.__module__.startswith("polars."):
        return int(value.estimated_size())
    size = getattr(value, "nbytes", None)
    return int(size) if isinstance(size, int) else None


def _preview(value):
    cls = type(value)
    if name_lookup.is_a(value, types.FunctionType):
        code = value.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        return _cut("(%s)" % ", ".join(names[:20]))
    if _is_of_library(value):
        return _cut(_library_preview(cls, value))
    return _cut(_text(value, _DEPTH))


def _library_preview(cls, value):
    names = {"DataFrame": "columns", "Table": "column_names"}.get(cls.__name__)
    if names is not None:
        labels = list(islice(getattr(value, names), 20))
        return ", ".join(_label(label) for label in labels)
    if cls.__module__.startswith("numpy") and getattr(value, "ndim", 0) > 0:
        return _series(value.dtype, value.flat[:_ITEMS].tolist(), value.size)
    if cls.__name__ == "Series":
        return _series(value.dtype, value.head(_ITEMS).to_list(), len(value))
    if cls.__module__.startswith(("numpy", "pandas")) and getattr(value, "ndim", 0) == 0:
        return repr(value.item() if hasattr(value, "item") else value)
    dtype = getattr(value, "dtype", None)
    return "" if dtype is None else str(dtype)


def _series(dtype, values, length):
    texts = [_text(value, 0) for value in values]
    return "%s: %s%s" % (dtype, ", ".join(texts), ", …" if length > len(texts) else "")


def _label(label):
    return label if type(label) is str else _text(label, 1)


def _text(value, depth):
    """A short text of a value, made without code of the user's."""
    cls = type(value)
    if cls is int:
        bits = value.bit_length()
        return repr(value) if bits <= _LARGE_INTEGER_BITS else "an integer of %d bits" % bits
    if cls in _SIMPLE:
        return repr(value)
    if cls in (str, bytes, bytearray):
        return repr(value[: _MAX_PREVIEW + 1])
    if cls in _CONTAINERS:
        return _container(value, depth)
    if cls is dict:
        if depth <= 0:
            return "{…}" if value else "{}"
        items = [
            "%s: %s" % (_text(key, 0), _text(item, depth - 1))
            for key, item in islice(list(islice(value.items(), _ITEMS)), _ITEMS)
        ]
        return "{%s}" % ", ".join(items + ["…"] * (len(value) > _ITEMS))
    module, name = table_sources.name_of(cls)
    if (module, name) in _SHOWN_WHOLE and _is_from(cls, module):
        return repr(value)
    if name == "Timestamp" and _is_of_library(value):
        return str(value)
    return "<%s>" % inspection.type_name(cls)


def _container(value, depth):
    first, last = _CONTAINERS[type(value)]
    if not value:
        return "()" if type(value) is tuple else "[]" if type(value) is list else "set()"
    if depth <= 0:
        return first + "…" + last
    texts = [_text(item, depth - 1) for item in list(islice(value, _ITEMS))]
    more = ["…"] * (len(value) > _ITEMS)
    comma = "," if type(value) is tuple and len(value) == 1 else ""
    return first + ", ".join(texts + more) + comma + last


def _cut(text):
    text = " ".join(text.split()) if "\n" in text else text
    return text if len(text) <= _MAX_PREVIEW else text[: _MAX_PREVIEW - 1] + "…"

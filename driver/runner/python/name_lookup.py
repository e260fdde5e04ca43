"""Looks names up without running user code: no property, no `__getattr__`, no `__dir__`."""

import builtins
import inspect
import types

from _cellgate import session

MISSING = object()
# Descriptors written in C, which answer without Python code.
_SAFE_GETS = (types.MemberDescriptorType, types.GetSetDescriptorType)


_ROUTINES = (
    types.FunctionType, types.MethodType, types.BuiltinFunctionType, types.MethodDescriptorType,
    types.WrapperDescriptorType, types.MethodWrapperType, types.ClassMethodDescriptorType,
)  # fmt: skip


def is_a(value, *classes):
    """`isinstance` that believes the type alone: the other may ask `value.__class__`."""
    return issubclass(type(value), classes)


def resolve(path):
    """The object a dotted path names, or MISSING."""
    first, *rest = path.split(".")
    space = session.namespace
    value = space.get(first, MISSING) if type(space) is dict else MISSING
    if value is MISSING:
        value = vars(builtins).get(first, MISSING)
    for name in rest:
        if value is MISSING:
            return MISSING
        value = attribute(value, name)
    return value


def attribute(value, name):
    """An attribute as far as it can be had without user code, or MISSING."""
    if is_a(value, types.ModuleType):
        return vars(value).get(name, MISSING)
    try:
        found = inspect.getattr_static(value, name)
    except AttributeError:
        return MISSING
    kind = type(found)
    if kind in (staticmethod, classmethod):
        return found.__func__
    if kind is property:
        return MISSING  # nothing is known of its value
    if kind in _SAFE_GETS and not is_a(value, type):
        try:
            return found.__get__(value, type(value))
        except Exception:
            return MISSING
    return found


def kind_of(value):
    """The word for a value among completions: what it is, not what its class is called."""
    if is_a(value, types.ModuleType):
        return "module"
    if is_a(value, type):
        return "class"
    return "function" if is_a(value, *_ROUTINES) else "variable"


def attributes(value):
    """The names `value.` can be followed by, as a set."""
    if is_a(value, types.ModuleType):
        return set(vars(value))
    found = set()
    if is_a(value, type):
        found.update(*(vars(cls) for cls in _lineage(value)))
        found.update(*(vars(cls) for cls in _lineage(type(value))))
        return found
    found.update(*(vars(cls) for cls in _lineage(type(value))))
    own = attribute(value, "__dict__")
    if type(own) is dict:
        found.update(name for name in own if isinstance(name, str))
    found.update(str(name) for name in columns(value) if str(name).isidentifier())
    return found


def _lineage(cls):
    return type.__dict__["__mro__"].__get__(cls)


def columns(value):
    """The column names of a pandas DataFrame; empty for anything else."""
    cls = type(value)
    if cls.__name__ == "DataFrame" and str(cls.__module__).split(".")[0] == "pandas":
        return list(value.columns)[:1000]
    return []


def keys(value):
    """What `value[` can be followed by: the keys of a dict, the columns of a DataFrame."""
    if is_a(value, dict):
        return list(dict.keys(value))[:1000]
    return columns(value)


def parameters(value):
    """The names of the arguments a function or class can be given by keyword."""
    signature = signature_of(value)
    if signature is None:
        return []
    by_keyword = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    known = signature.parameters.values()
    return [item.name for item in known if item.kind in by_keyword and item.name != "self"]


def signature_of(value):
    """The signature of a function, method or class; None if it has none or it takes user code."""
    if not is_a(value, type, *_ROUTINES):
        value = attribute(type(value), "__call__")
        if not is_a(value, types.FunctionType):
            return None
    try:
        return inspect.signature(value)
    except Exception:
        return None

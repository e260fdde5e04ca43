"""Representations registered for other people's classes: `get_ipython().display_formatter`.

The interface is IPython's; sympy's `init_printing` and the like use it.
"""

from _cellgate.mime import METHODS


class Formatter:
    """How objects are shown as one MIME type, beyond what they say themselves."""

    enabled = True

    def __init__(self, kind, print_method):
        self.kind = kind
        self.print_method = print_method
        self.type_printers = {}
        self.deferred_printers = {}

    def for_type(self, typ, func=None):
        """Registers `func` for a class, or for a name such as `module.Class`."""
        if isinstance(typ, str):
            module, _, name = typ.rpartition(".")
            return self.for_type_by_name(module, name, func)
        before = self.type_printers.get(typ)
        if func is not None:
            self.type_printers[typ] = func
        return before

    def for_type_by_name(self, type_module, type_name, func=None):
        """Registers `func` for a class that need not be imported yet."""
        before = self.deferred_printers.get((type_module, type_name))
        if func is not None:
            self.deferred_printers[type_module, type_name] = func
        return before

    def pop(self, typ, default=None):
        """Forgets what is registered for a class; answers it."""
        return self.type_printers.pop(typ, default)

    def lookup_by_type(self, typ):
        """What is registered for a class or one it derives from. Raises KeyError if nothing is."""
        for cls in typ.__mro__:
            known = self.type_printers.get(cls)
            if known is None:
                known = self.deferred_printers.get((cls.__module__, cls.__qualname__))
            if known is not None:
                return known
        raise KeyError(typ)

    def lookup(self, obj):
        """What is registered for an object. Raises KeyError if nothing is."""
        return self.lookup_by_type(type(obj))


class DisplayFormatter:
    """All formatters by MIME type."""

    def __init__(self):
        kinds = (("text/plain", "_repr_pretty_"), *METHODS)
        self.formatters = {kind: Formatter(kind, method) for kind, method in kinds}
        self.active_types = [kind for kind, _ in kinds]

    def format(self, obj, include=None, exclude=None):
        """(data, metadata) of an object."""
        from _cellgate.mime import bundle

        return bundle(obj, include, exclude)


DISPLAY_FORMATTER = DisplayFormatter()


def registered(value):
    """Yields (MIME type, function without arguments) for each that applies to `value`."""
    for kind, formatter in DISPLAY_FORMATTER.formatters.items():
        try:
            function = formatter.lookup(value)
        except KeyError:
            continue
        if formatter.enabled:
            yield kind, _bound(kind, function, value)


def _bound(kind, function, value):
    if kind != "text/plain":
        return lambda: function(value)

    def as_text():
        from _cellgate.mime import Printer

        printer = Printer()
        function(value, printer, False)
        return printer.text()

    return as_text

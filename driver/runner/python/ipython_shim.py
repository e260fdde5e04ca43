"""A small `IPython` for interpreters that have none, made only when it is imported.

It holds what code written for notebooks imports: `IPython.display` and `get_ipython`. For everything
else the ImportError says what brings it.
"""

import sys

_MODULES = {
    "IPython": ("get_ipython", "version_info", "__version__"),
    "IPython.display": None,
    "IPython.core": (),
    "IPython.core.display": None,
    "IPython.core.display_functions": None,
    "IPython.core.getipython": ("get_ipython",),
}
_PACKAGES = ("IPython", "IPython.core")
_VERSION = (8, 24, 0, "")  # whose interfaces these are


def find_spec(name):
    """A spec for one of our modules. Raises ModuleNotFoundError for others."""
    if name not in _MODULES:
        from _cellgate import plain_shell

        message = "%s is not in the plain shell; %s" % (name, plain_shell.INSTALL)
        raise ModuleNotFoundError(message, name=name)
    return type(sys.__spec__)(name, _Loader(), is_package=name in _PACKAGES)


class _Loader:
    def create_module(self, spec):
        return None

    def exec_module(self, module):
        """Fills the module with the names it is known for."""
        from _cellgate import ipython_display, plain_shell

        names = _MODULES[module.__name__]
        space = vars(module)
        if names is None:
            space.update({name: getattr(ipython_display, name) for name in ipython_display.__all__})
            space["__all__"] = list(ipython_display.__all__)
            return
        known = {
            "get_ipython": plain_shell.get_ipython,
            "version_info": _VERSION,
            "__version__": ".".join(map(str, _VERSION[:3])),
        }
        space.update({name: known[name] for name in names})

"""Finishing touches to modules right after user code imports them, and not a moment before."""

import sys

from _cellgate import bundle as _bundle


def _linecache(module):
    from _cellgate import execute

    for file in execute.sources:
        execute.add_to_linecache(module, file)


def _getpass(module):
    from _cellgate import stdin

    module.getpass = module.unix_getpass = module.win_getpass = stdin.getpass


def _asyncio(module):
    from _cellgate import tasks  # adopts it when loaded

    del tasks


def _executor(module):
    from _cellgate import pools

    pools.tag_work_items(module)


def _matplotlib(module):
    # Over whatever MPLBACKEND an image sets: a file-only backend would show nothing. What the
    # user chooses with `matplotlib.use` comes later and wins.
    module.rcParams["backend"] = "module://_cellgate.figures"


def _ipython_getipython(module):
    import builtins

    module.get_ipython = builtins.get_ipython


def _ipython_display(module):
    from _cellgate import display

    for name in ("display", "update_display", "clear_output", "publish_display_data", "DisplayHandle"):
        if hasattr(module, name):
            setattr(module, name, getattr(display, name))


_AFTER = {
    "linecache": _linecache,
    "getpass": _getpass,
    "asyncio": _asyncio,
    "concurrent.futures.thread": _executor,
    "matplotlib": _matplotlib,
    "IPython.core.getipython": _ipython_getipython,
    "IPython.core.display_functions": _ipython_display,
    "IPython.core.display": _ipython_display,
}


class Finder:
    """Lets the other finders find, and adds our touch after the module has run."""

    def find_spec(self, name, path=None, target=None):
        """The spec of a module we finish, None for all others."""
        after = _AFTER.get(name)
        if after is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    spec.loader = _Loader(spec.loader, after)
                return spec
        return None


class _Loader:
    """Stands before the real loader while the module runs, then puts it back."""

    def __init__(self, loader, after):
        self._loader = loader
        self._after = after

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        try:
            self._after(module)
        except Exception:
            pass  # a version we do not know: plain behaviour is better than a failed import


class LastResort:
    """Offers a small `IPython` where none is installed: `from IPython.display import …` works."""

    def find_spec(self, name, path=None, target=None):
        """A spec for the names the stand-in has, None for all others."""
        if name == "IPython" or name.startswith("IPython."):
            from _cellgate import ipython_shim

            return ipython_shim.find_spec(name)
        return None


_finder, _last_resort = Finder(), LastResort()


def install():
    """Puts our finders first and last."""
    sys.meta_path.insert(0, _finder)
    sys.meta_path.append(_last_resort)
    for name, after in _AFTER.items():  # what `site` had imported before us
        if name in sys.modules:
            after(sys.modules[name])


def mend():
    """Puts them back where user code lost them."""
    path = sys.meta_path
    if path[0] is not _finder and _finder not in path:
        path.insert(0, _finder)
    if path[-1] is not _last_resort and _last_resort not in path:
        path.append(_last_resort)
    if _bundle not in path:
        path.insert(1, _bundle)

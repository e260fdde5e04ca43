"""Finishing touches to modules right after user code imports them, and not a moment before."""

import sys

from _cellgate import bundle as _bundle


# module → the function of `import_hooks` that finishes it
_AFTER = {
    "linecache": "linecache",
    "getpass": "getpass",
    "asyncio": "asyncio",
    "concurrent.futures.thread": "executor",
    "matplotlib": "matplotlib",
    "matplotlib.pyplot": "pyplot",
    "altair": "altair",
    "pdb": "pdb",
    "multiprocessing.pool": "multiprocessing_pool",
    "concurrent.futures._base": "futures",
    "concurrent.futures.process": "process_executor",
    "loky.process_executor": "process_executor",
    "joblib.externals.loky.process_executor": "process_executor",
    "plotly.io": "plotly",
    "tqdm.notebook": "tqdm_notebook",
    "IPython.core.getipython": "ipython_getipython",
    "IPython.core.display_functions": "ipython_display",
    "IPython.core.display": "ipython_display",
}


def touch(module, after):
    """Finishes a module. A version we do not know is left as it is: better than a failed import."""
    from _cellgate import import_hooks

    try:
        getattr(import_hooks, after)(module)
    except Exception:
        pass


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
                    from _cellgate import import_hooks

                    spec.loader = import_hooks.Loader(spec.loader, after)
                return spec
        return None


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
        # (3.13 imports linecache for `-c` itself; it has no cells to learn of yet.)
        if name in sys.modules and name != "linecache":
            touch(sys.modules[name], after)


def repair():
    """Puts them back where user code lost them."""
    path = sys.meta_path
    if path[:1] != [_finder] and _finder not in path:
        path.insert(0, _finder)
    if path[-1] is not _last_resort and _last_resort not in path:
        path.append(_last_resort)
    if _bundle not in path:
        path.insert(1, _bundle)

"""Finders on `sys.meta_path`: they call our hook when user code has imported a module that has one,
and offer a small `IPython` where none is installed. The hooks themselves are in `import_hooks`."""

import sys

from _cellgate import bundle as _bundle


# module → the function of `import_hooks` that is called with it
_HOOKS = {
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
    "tqdm.autonotebook": "tqdm_autonotebook",
    "IPython.core.getipython": "ipython_getipython",
    "IPython.core.display_functions": "ipython_display",
    "IPython.core.display": "ipython_display",
}


def run_hook(module, hook):
    """Calls a module's hook. If it fails (an unknown version) the module stays as it is: better than
    a failed import."""
    from _cellgate import import_hooks

    try:
        getattr(import_hooks, hook)(module)
    except Exception:
        pass


class HookingFinder:
    """Lets the other finders find a module, and has its hook called after the module has run."""

    def find_spec(self, name, path=None, target=None):
        """The spec of a module that has a hook, None for all others."""
        hook = _HOOKS.get(name)
        if hook is None:
            return None
        for finder in sys.meta_path:
            if finder is self or not hasattr(finder, "find_spec"):
                continue
            spec = finder.find_spec(name, path, target)
            if spec is not None:
                if hasattr(spec.loader, "exec_module"):
                    from _cellgate import import_hooks

                    spec.loader = import_hooks.HookingLoader(spec.loader, hook)
                return spec
        return None


class IPythonFinder:
    """Offers a small `IPython` where none is installed: `from IPython.display import …` works."""

    def find_spec(self, name, path=None, target=None):
        """A spec for the names the stand-in has, None for all others."""
        if name == "IPython" or name.startswith("IPython."):
            if getattr(sys.modules.get("IPython"), "__file__", None):
                return None  # the real one, which has no such part
            from _cellgate import ipython_shim

            return ipython_shim.find_spec(name)
        return None


_hooking_finder, _ipython_finder = HookingFinder(), IPythonFinder()


def install():
    """Puts our finders first and last."""
    sys.meta_path.insert(0, _hooking_finder)
    sys.meta_path.append(_ipython_finder)
    for name, hook in _HOOKS.items():  # what `site` had imported before us
        # (3.13 imports linecache for `-c` itself; it has no cells to learn of yet.)
        if name in sys.modules and name != "linecache":
            run_hook(sys.modules[name], hook)


def repair():
    """Puts them back where user code lost them."""
    path = sys.meta_path
    if path[:1] != [_hooking_finder] and _hooking_finder not in path:
        path.insert(0, _hooking_finder)
    if path[-1] is not _ipython_finder and _ipython_finder not in path:
        path.append(_ipython_finder)
    if _bundle not in path:
        path.insert(1, _bundle)

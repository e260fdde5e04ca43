"""What is done to a module right after user code imports it; each function takes the module."""

from _cellgate import imports


def linecache(module):
    from _cellgate import execute

    for file in execute.sources:
        execute.add_to_linecache(module, file)


def getpass(module):
    from _cellgate import stdin

    module.getpass = module.unix_getpass = module.win_getpass = stdin.getpass


def asyncio(module):
    from _cellgate import tasks  # adopts it when loaded

    del tasks


def executor(module):
    from _cellgate import pools

    pools.tag_work_items(module)


def matplotlib(module):
    # Over whatever MPLBACKEND an image sets: a file-only backend would show nothing. What the
    # user chooses with `matplotlib.use` comes later and wins.
    module.rcParams["backend"] = "module://_cellgate.figures"


def plotly(module):
    """Figures are shown by `display`, without a browser or Jupyter."""
    from _cellgate import charts

    charts.adopt(module.renderers)


def tqdm_notebook(module):
    """Without widgets the plain bar is better than an ImportError."""
    if getattr(module, "IProgress", None) is None:
        from tqdm.std import tqdm, trange

        module.tqdm = module.tqdm_notebook = tqdm
        module.trange = module.tnrange = trange


def ipython_getipython(module):
    import builtins

    module.get_ipython = builtins.get_ipython


def ipython_display(module):
    from _cellgate import display

    for name in (
        "display",
        "update_display",
        "clear_output",
        "publish_display_data",
        "DisplayHandle",
    ):
        if hasattr(module, name):
            setattr(module, name, getattr(display, name))


class Loader:
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
        imports.touch(module, self._after)

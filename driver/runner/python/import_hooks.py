"""One hook a module: adapts the module, which it takes, right after user code has imported it."""

from _cellgate import import_finders, shells


def linecache(module):
    from _cellgate import execute

    for file in execute.sources:
        execute.add_to_linecache(module, file)


def getpass(module):
    from _cellgate import stdin

    module.getpass = module.unix_getpass = module.win_getpass = stdin.getpass


def asyncio(module):
    from _cellgate import event_loop  # installs its hooks when loaded

    del tasks


def executor(module):
    from _cellgate import pools

    pools.tag_work_items(module)


def matplotlib(module):
    # Over whatever MPLBACKEND an image sets: a file-only backend would show nothing. What the
    # user chooses with `matplotlib.use` comes later and wins.
    ours = "module://_cellgate.figures" if shells.ipython is None else shells.ipython.FIGURES
    module.rcParams["backend"] = ours


def pyplot(module):
    """With a backend that only writes files `show` would show nothing, and the next plot be drawn
    over the last one."""
    plain = module.show

    def show(*args, **options):
        if module.get_backend().lower() in ("agg", "svg", "pdf", "ps", "cairo"):
            from _cellgate import figure_display

            return figure_display.show_open()
        return plain(*args, **options)

    show.__doc__, show.__module__, show.__wrapped__ = plain.__doc__, plain.__module__, plain
    module.show = show
    if shells.ipython is not None:
        shells.ipython.show_figures_inline(module)


def altair(module):
    """Charts are sent as what they are; the default is a page that loads scripts from elsewhere."""
    module.renderers.enable("mimetype")


def pdb(module):
    """An interrupt ends the cell, also at the debugger's prompt, where the debugger would go on
    asking; and while the code runs on, where it would ask again."""
    plain = module.Pdb.__init__

    def __init__(self, *args, **options):
        plain(self, *args, **options)
        self.nosigint = True

    def _cmdloop(self):
        self.cmdloop()

    __init__.__wrapped__ = plain
    module.Pdb.__init__, module.Pdb._cmdloop = __init__, _cmdloop


def multiprocessing_pool(module):
    """What a cell defined cannot be found by an interpreter that starts anew; its pool would start
    one after the other for ever."""
    from _cellgate import pools, workers

    pools.refuse_what_cells_defined(module.Pool)
    start = workers.start_with_session_pipes(module.Pool._repopulate_pool_static)
    module.Pool._repopulate_pool_static = staticmethod(start)


def futures(module):
    from _cellgate import workers

    workers.tag_callbacks(module.Future)


def process_executor(module):
    from _cellgate import workers

    executor = module.ProcessPoolExecutor
    for name in ("_adjust_process_count", "_launch_processes", "_spawn_process"):
        if hasattr(executor, name):
            start = workers.start_with_session_pipes(getattr(executor, name))
            setattr(executor, name, start)


def plotly(module):
    """Figures are shown by `display`, without a browser or Jupyter."""
    from _cellgate import plotly_renderer

    plotly_renderer.make_default(module.renderers)


def tqdm_notebook(module):
    """Without widgets the plain bar is better than an ImportError."""
    if getattr(module, "IProgress", None) is None:
        from tqdm.std import tqdm, trange

        module.tqdm = module.tqdm_notebook = tqdm
        module.trange = module.tnrange = trange


def tqdm_autonotebook(module):
    """Some versions look for ipykernel, to learn whether widgets are shown."""
    from importlib.util import find_spec

    if shells.ipython is not None and find_spec("ipywidgets") is not None:
        from tqdm import notebook

        module.tqdm, module.trange = notebook.tqdm, notebook.trange


def ipython_getipython(module):
    if shells.ipython is not None or shells.starts:
        return
    import builtins

    module.get_ipython = builtins.get_ipython


def ipython_display(module):
    if shells.ipython is not None or shells.starts:
        return
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


class HookingLoader:
    """Stands before the real loader while the module runs, then puts it back."""

    def __init__(self, loader, hook):
        self._loader = loader
        self._hook = hook

    def __getattr__(self, name):
        return getattr(self._loader, name)

    def create_module(self, spec):
        return self._loader.create_module(spec)

    def exec_module(self, module):
        module.__loader__ = module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        import_finders.run_hook(module, self._hook)

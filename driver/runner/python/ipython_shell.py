"""The shell `ipython`: IPython's own InteractiveShell on this runner's link.

What differs from IPython in a terminal: results and displays are events, shell commands write to the
pipes of their cell, input is asked of the client, `exit` ends a cell and not the session, and nothing
is kept on disk. The error that ends a cell is kept until then and sent as an event; one that a magic
or user code shows before is sent in its place among the output.
"""

import asyncio
import bdb
import builtins
import io
import linecache
import os
import sys
import tempfile
import tokenize
from importlib.util import find_spec

from IPython.core.compilerop import CachingCompiler
from IPython.core.displayhook import DisplayHook
from IPython.core.displaypub import DisplayPublisher
from IPython.core.error import UsageError
from IPython.core.formatters import DisplayFormatter
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

from _cellgate import comms, display, environment, errors, event_loop, mime, session, signals

FIGURES = "module://matplotlib_inline.backend_inline"  # matplotlib's backend in this shell
SHELL = None  # the one shell
_GROUP = getattr(builtins, "BaseExceptionGroup", ())  # since Python 3.11
_MOST_FRAMES = 2000  # of an error that IPython formats, and of what it comes from
_MAGICS = os.path.join("IPython", "core", "magics", "")  # in the path of IPython's own magics
_NO_OUTPUT = {tokenize.ENDMARKER, tokenize.NL, tokenize.NEWLINE, tokenize.COMMENT, tokenize.DEDENT}


class _ResultHook(DisplayHook):
    """Sends the value of an expression as a `result`."""

    def quiet(self):
        """Whether a semicolon stands behind the cell's last expression."""
        return _ends_with_semicolon(self.shell.source)

    def write_output_prompt(self):
        """Nothing: there is no terminal."""

    def write_format_data(self, format_dict, md_dict=None):
        """Sends the value in all its forms; that of a forked child is nobody's."""
        if session.in_child:
            return
        display.send_result(mime.portable(format_dict), md_dict or {})

    def finish_displayhook(self):
        """Nothing."""


class _Publisher(DisplayPublisher):
    """Sends what `display` shows."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **more):
        """Sends a bundle {MIME type: value}."""
        display.publish(data, metadata, (transient or {}).get("display_id"), update)

    def clear_output(self, wait=False):
        """Clears the output of the running cell."""
        display.clear_output(wait)


class _Formatter(DisplayFormatter):
    """IPython's formatter; adds to a DataFrame and its like the table that the console draws."""

    def format(self, obj, include=None, exclude=None):
        """(data, metadata) of an object."""
        SHELL.formats, before = True, SHELL.formats
        try:
            data, metadata = super().format(obj, include, exclude)
        finally:
            SHELL.formats = before
        if data and mime.may_be_table(obj):
            self._add_table(obj, data, metadata)
        return data, metadata

    @staticmethod
    def _add_table(value, data, metadata):
        from _cellgate import tables

        try:
            table = tables.of_value(value)
        except Exception:
            return  # the table is an addition: the value is shown as IPython shows it
        if table is not None:
            data[tables.MIME], metadata[tables.MIME] = table


class _Compiler(CachingCompiler):
    """Compiles a cell under the name that its errors and the runner know it by."""

    def get_code_name(self, raw_code, transformed_code, number):
        """The name of the running cell; code that runs inside of it has one of IPython's."""
        if SHELL is not None and SHELL.names_cell:
            SHELL.names_cell = False
            return session.current.file
        return super().get_code_name(raw_code, transformed_code, number)


class _Kernel:
    """What ipywidgets asks of a kernel: the id under which output now appears."""

    def get_parent(self, channel=None):
        """A message header with the id of the running cell."""
        return {"header": {"msg_id": (session.current.id or "")}}


# Named as the class of ipykernel: rich, pandas and others look for this name to learn whether
# what they show as HTML is seen.
class ZMQInteractiveShell(InteractiveShell):
    """IPython's shell, run by the runner."""

    displayhook_class = Type(_ResultHook)
    display_pub_class = Type(_Publisher)
    compiler_class = Type(_Compiler)

    source = ""  # of the running cell
    names_cell = False  # the next code to be compiled is the cell's own
    running_code = False  # user code runs, and not the shell's own
    formats = False  # a representation of a value is being made
    traceback = None  # (exception, its formatted lines) of the newest error of the shell's own
    raised = None  # what the cell's own code has raised
    shown = None  # the newest error that was shown while user code ran

    # What IPython does for a terminal, and is not wanted here.

    def init_virtualenv(self):
        """Nothing: the interpreter is that of the virtual environment."""

    def init_display_formatter(self):
        """Makes the formatter that knows tables."""
        self.display_formatter = _Formatter(parent=self)
        self.configurables.append(self.display_formatter)

    def init_hooks(self):
        """Prints what IPython would show in a pager."""
        super().init_hooks()
        self.set_hook("show_in_pager", _print_page, 99)

    def init_magics(self):
        """Registers IPython's magics, a %pip that knows that sandboxes have no network, and those of
        ipykernel that notebooks use."""
        super().init_magics()
        for name, function in _LINE_MAGICS.items():
            self.register_magic_function(function, "line", name)

    def init_user_ns(self):
        """Fills the namespace; `open` stays Python's, which opens descriptors 1 and 2 as well."""
        super().init_user_ns()
        self.user_ns.pop("open", None)

    def enable_gui(self, gui=None):
        """Accepts what needs no screen."""
        if gui not in (None, "inline", "agg", "asyncio"):
            raise UsageError("a sandbox has no screen for %s; figures are shown inline" % gui)

    def ask_exit(self):
        """What `exit` and `quit` do: the cell ends, the session goes on."""
        raise SystemExit(0)

    def set_next_input(self, s, replace=False):
        """What `%load` does: prints the code, as a client's input cannot be written to."""
        print(s)

    def system_piped(self, cmd):
        """Runs a shell command on the pipes of its cell."""
        from _cellgate import packages, shell_commands

        command = self.var_expand(cmd, depth=1)
        pip = packages.COMMAND.fullmatch(command)
        if pip is None:
            shell_commands.stream(command)
        else:
            _pip(pip.group("arguments"))

    system = system_raw = system_piped

    # Errors.

    def _showtraceback(self, etype, evalue, stb):
        if self.formats:  # the value has other forms, which are shown
            print(self.InteractiveTB.stb2text(stb), file=sys.stderr)
        elif self.running_code or self.call_pdb:
            # A magic such as %time, user code that goes on, or the debugger of `%pdb on`, which
            # starts when the error has been shown. The cell goes on to fail, unless user code
            # itself has caught the error and shown it, as an Output widget does.
            if self.call_pdb or _is_in_magic():
                self.shown = evalue
            errors.report(session.current, evalue, _lines(stb), last=False)
        else:
            self.traceback = (evalue, stb)

    def showtraceback(self, exc_tuple=None, filename=None, tb_offset=None, **options):
        """Shows an error, the last one unless told; what is kept of that has no frame of ours."""
        if exc_tuple is None and tb_offset is None and sys.exc_info()[0] is None:
            tb_offset = 0
        super().showtraceback(exc_tuple, filename, tb_offset, **options)

    def show_usage_error(self, exc):
        """What a magic says that was called wrongly."""
        self._showtraceback(type(exc), exc, ["UsageError: %s" % exc])

    def _note(self, result, error):
        if result is not None:
            result.error_in_exec = error
        if not self.running_code:
            self.raised = error

    def _show(self, error):
        """Formats an error of the cell as IPython does, without the frames of the runner."""
        if _is_left_to_runner(error):
            return
        trace = errors.without_runner(error.__traceback__)
        error = error.with_traceback(trace)
        # An interrupt has little time, after which the interpreter is killed, and the first error that
        # IPython shows with lines of context takes 0.1 s of CPU time: it compiles the highlighting.
        mode = self.InteractiveTB.mode
        interrupted = isinstance(error, KeyboardInterrupt) and signals.was_interrupted()
        brief = interrupted and mode == "Context"
        # IPython imports what it formats errors with, and finders of the user may never end.
        finders, sys.meta_path = sys.meta_path, environment.own_finders()
        try:
            if brief:
                self.InteractiveTB.set_mode("Plain")
            self.showtraceback(
                (type(error), error, trace), tb_offset=0, running_compiled_code=True
            )
        except Exception:
            self.traceback = None  # the runner formats it: the error's own text fails, or imports do
        finally:
            sys.meta_path = finders
            if brief:
                self.InteractiveTB.set_mode(mode)

    async def run_code(self, code_obj, result=None, *, async_=False):
        """Runs a piece of a cell; answers whether it failed.

        As IPython's, except that an interrupt of a cell which awaits is an interrupt, and that
        SystemExit is left to the runner.
        """
        __tracebackhide__ = "__ipython_bottom__"
        before, sys.excepthook = sys.excepthook, self.excepthook
        self.sys_excepthook = before
        nested, self.running_code = self.running_code, True
        try:
            try:
                # Handlers of the user may raise, and must not do so in IPython's own code.
                signals.allow_user_handlers()
                if async_:
                    await eval(code_obj, self.user_global_ns, self.user_ns)
                else:
                    exec(code_obj, self.user_global_ns, self.user_ns)
            finally:
                if not nested:
                    signals.block_user_handlers()
                sys.excepthook = before
                self.running_code = nested
        except (SystemExit, bdb.BdbQuit) as error:
            self._note(result, error)
        except self.custom_exceptions:
            etype, value, trace = sys.exc_info()
            self._note(result, value)
            self.CustomTB(etype, value, trace)
        except asyncio.CancelledError as error:
            if event_loop.was_interrupted():
                error = KeyboardInterrupt().with_traceback(error.__traceback__)
            self._note(result, error)
            self._show(error)
        except BaseException as error:
            self._note(result, error)
            self._show(error)
        else:
            return False
        return True


def _is_left_to_runner(error):
    """Whether the runner formats an error in IPython's place.

    IPython prints an exception group, and what comes from one, instead of formatting it; and 50,000
    frames take it 20 seconds.
    """
    seen, frames = set(), 0
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        if isinstance(error, _GROUP):
            return True
        trace = error.__traceback__
        while trace is not None:
            frames, trace = frames + 1, trace.tb_next
        if frames > _MOST_FRAMES:
            return True
        error = error.__context__
    return False


def _is_in_magic():
    """Whether one of IPython's magics runs, other than %tb, which shows an earlier error."""
    frame = sys._getframe(1)
    while frame is not None:
        code = frame.f_code
        if _MAGICS in code.co_filename:
            return code.co_name != "tb"
        frame = frame.f_back
    return False


def start():
    """Makes the shell."""
    global SHELL
    config = Config()
    config.HistoryManager.enabled = False
    config.InteractiveShell.colors = "Neutral"
    config.InteractiveShell.separate_in = ""
    config.IPCompleter.omit__names = 0  # private names are left out where none was begun
    config.Completer.use_jedi = False  # seconds on a large module; IPython 9 has it off too
    if find_spec("ipywidgets") is not None:
        config.IPKernelApp = Config()  # tqdm looks for it to learn whether widgets are shown
    home = os.environ.get("IPYTHONDIR") or os.path.join(tempfile.gettempdir(), ".ipython")
    SHELL = ZMQInteractiveShell.instance(
        config=config, ipython_dir=home, user_module=session.main_module,
        user_ns=session.namespace,
    )  # fmt: skip
    SHELL.loop_runner = event_loop.run
    SHELL.kernel = _Kernel()
    comms.install()


def run(cell, code):
    """Runs a cell; answers what it failed with, or None."""
    shell = SHELL
    signals.block_user_handlers()
    _repair(shell)
    shell.source = code
    shell.names_cell = True
    shell.running_code = False
    shell.traceback = shell.shown = shell.raised = None
    if cell.count:
        shell.execution_count = cell.count
    try:
        result = shell.run_cell(
            code, store_history=bool(cell.count) and not cell.silent, silent=cell.silent
        )
    finally:
        shell.names_cell = False
    late = shell.traceback and shell.traceback[0]  # of what runs at a cell's end, such as figures
    raised, shell.raised = shell.raised, None  # IPython may have failed in keeping it
    return raised or result.error_before_exec or result.error_in_exec or shell.shown or late


def _repair(shell):
    """Puts back what IPython cannot do without and user code has taken away."""
    if "_oh" not in shell.user_ns or "_ih" not in shell.user_ns:
        shell.init_user_ns()
    if type(linecache.cache) is not dict:
        linecache.cache = {}


def show_figures_inline(pyplot):
    """Sets up the figures of pyplot, which has been imported, unless another backend is chosen."""
    if dict.get(pyplot.rcParams, "backend") == FIGURES:
        from matplotlib_inline.backend_inline import configure_inline_support

        pyplot.switch_backend(FIGURES)
        configure_inline_support(SHELL, FIGURES)


def call(function, *arguments):
    """Calls what handles a client's message; answers the error it has shown, or None."""
    SHELL.traceback = None
    function(*arguments)
    return SHELL.traceback and SHELL.traceback[0]


def report(cell, error):
    """Sends a cell's error as IPython formats it, unless it was shown already."""
    kept, shown = SHELL.traceback, SHELL.shown
    SHELL.traceback = SHELL.shown = None
    if error is not shown:
        lines = _lines(kept[1]) if kept is not None and kept[0] is error else None
        errors.report(cell, error, lines)


def _lines(texts):
    return [line for text in texts for line in str(text).split("\n")]


def _ends_with_semicolon(source):
    if ";" not in source:
        return False
    try:
        tokens = list(tokenize.generate_tokens(io.StringIO(source).readline))
    except (tokenize.TokenError, SyntaxError):
        return False  # magics, that are no Python
    for token in reversed(tokens):
        if token.type not in _NO_OUTPUT:
            return token.type == tokenize.OP and token.string == ";"
    return False


def _print_page(self, data, start=0, screen_lines=0, pager_cmd=None):
    text = data.get("text/plain", "") if isinstance(data, dict) else data
    print("\n".join(str(text).split("\n")[start:]))


def _pip(line):
    """Installs packages for this session: `%pip install NAME`."""
    from _cellgate import magics, packages

    try:
        packages.pip(line)
    except magics.UsageError as error:
        raise UsageError(str(error)) from None


def _autosave(line):
    """Says what the notebook page does about saving; here nothing is saved: `%autosave SECONDS`."""
    try:
        seconds = int(line)
    except ValueError:
        raise UsageError("%%autosave requires an integer, got %r" % line) from None
    print("Autosaving every %d seconds" % seconds if seconds else "Autosave disabled")


def _clear(line):
    """Clears the output of the cell."""
    display.clear_output()


def _store(line):
    """Keeps variables in a file of the sandbox: `%store NAME`, and `%store -r` to have them back."""
    SHELL.extension_manager.load_extension("IPython.extensions.storemagic")  # takes this one's place
    return SHELL.run_line_magic("store", line)


_LINE_MAGICS = {"autosave": _autosave, "clear": _clear, "pip": _pip, "store": _store}

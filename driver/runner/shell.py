"""`get_ipython()`: as much of IPython's shell as libraries and notebooks rely on.

It is an object rather than None, because that is how libraries learn they may show rich output:
plotly picks the renderers that publish through `display` instead of opening a browser, pandas and
altair publish theirs. It is not IPython's own class and has an empty `config`, because that is how
others learn there are no widgets and no kernel: tqdm draws its plain bar instead of warning about
ipywidgets, rich writes text. The name `__cellgate__` in builtins is the same object; transformed
magic lines use it, so a cell that rebinds `get_ipython` does not break them.
"""

import builtins
import sys

from _cellgate import display, session


class _Events:
    """Accepts callbacks of libraries; figures are shown at the end of a cell without them."""

    def register(self, event, function):
        """Nothing: there are no such events."""

    def unregister(self, event, function):
        """Nothing."""

    def trigger(self, event, *args):
        """Nothing."""


class _Publisher:
    """What `get_ipython().display_pub` is asked."""

    def publish(self, data, metadata=None, source=None, *, transient=None, update=False, **more):
        """Sends a bundle {MIME type: value}."""
        display.publish_display_data(data, metadata, transient=transient, update=update)

    def clear_output(self, wait=False):
        """Clears the output of the running cell."""
        display.clear_output(wait)


class CellgateShell:
    """The running session, as seen by code written for notebooks."""

    config = {}
    colors = "NoColor"

    def __init__(self):
        self.events = _Events()
        self.display_pub = _Publisher()

    def __repr__(self):
        return "<CellgateShell>"

    @property
    def display_formatter(self):
        """Where libraries register how to show objects."""
        from _cellgate import formatters

        return formatters.DISPLAY_FORMATTER

    @property
    def user_ns(self):
        """The namespace of `__main__`."""
        return session.namespace

    user_global_ns = user_ns

    @property
    def user_module(self):
        """The module `__main__`."""
        return session.main_module

    @property
    def execution_count(self):
        """The number of the running cell."""
        return session.current.count or 0

    def run_line_magic(self, name, line, _stack_depth=1):
        """Runs `%name line`; answers its value."""
        from _cellgate import magics

        magics.at_line = sys._getframe(_stack_depth).f_lineno
        return magics.run_line(name, self._expanded(line, 1 + _stack_depth))

    def run_cell_magic(self, name, line, cell, first_line=1):
        """Runs `%%name line` with the lines below it; answers its value."""
        from _cellgate import magics

        return magics.run_cell(name, self._expanded(line, 2), cell, first_line)

    def magic(self, text):
        """Runs `%text`."""
        name, _, line = text.lstrip("%").partition(" ")
        return self.run_line_magic(name, line, 2)

    def system(self, command):
        """Runs a shell command, its output streaming; its exit code is `_exit_code`."""
        from _cellgate import shell_commands

        shell_commands.stream(self._expanded(command, 2))

    system_piped = system_raw = system

    def getoutput(self, command, split=True, depth=0):
        """The lines a shell command writes to stdout and stderr."""
        from _cellgate import shell_commands

        lines = shell_commands.lines(self._expanded(command, 2))
        return lines if split else lines.n

    def help(self, name, detail=False):
        """What `name?` shows."""
        from _cellgate import inspection

        found = inspection.describe_path(name.strip(), detail)
        print(found if found is not None else "Object `%s` not found." % name)

    def ev(self, expression):
        """The value of an expression in the session's namespace."""
        return eval(expression, session.namespace)

    def ex(self, code):
        """Runs code in the session's namespace."""
        exec(code, session.namespace)

    def push(self, variables, interactive=True):
        """Puts names into the session's namespace."""
        session.namespace.update(variables)

    def set_next_input(self, text, replace=False):
        """Nothing: the client owns its input."""

    def enable_gui(self, gui=None):
        """Nothing: there is no screen."""

    def enable_matplotlib(self, gui=None):
        """Nothing: figures are shown without it."""
        return "inline", "module://_cellgate.figures"

    def _expanded(self, text, depth):
        from _cellgate import shell_commands

        frame = sys._getframe(depth)
        return shell_commands.expand(text, frame.f_locals, session.namespace)


SHELL = CellgateShell()


def install():
    """Puts the shell where transformed magic lines find it."""
    builtins.__cellgate__ = SHELL


def get_ipython():
    """The running session."""
    return SHELL

"""`get_ipython()` of the plain shell: what libraries ask to learn that rich output is shown.

It is an object rather than None: plotly then publishes through `display` instead of opening a
browser. It is not IPython's own class and has an empty `config`, which is how libraries learn that
there are no widgets and no kernel: tqdm draws its plain bar, rich writes text. It runs the few magics
of `magics`; all else needs IPython, and says so. The name `__cellgate__` in builtins is the same
object; transformed magic lines use it, so that a cell that rebinds `get_ipython` does not break them.
"""

import builtins
import sys

from _cellgate import display, session

INSTALL = "with IPython (pip install ipython) a session has all of it"


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

    def __init__(self):
        self.display_pub = _Publisher()

    def __repr__(self):
        return "<CellgateShell>"

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        raise AttributeError("get_ipython().%s is not in the plain shell; %s" % (name, INSTALL))

    @property
    def user_ns(self):
        """The namespace of `__main__`."""
        return session.namespace

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

    def system(self, command):
        """Runs a shell command, its output streaming; its exit code is `_exit_code`."""
        from _cellgate import shell_commands

        shell_commands.stream(self._expanded(command, 2))

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

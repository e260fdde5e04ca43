"""The matplotlib backend `module://_cellgate.figures`: figures become `image/png` displays.

matplotlib imports it when a figure is first made, so a session without figures pays nothing.
"""

from matplotlib._pylab_helpers import Gcf
from matplotlib.backend_bases import FigureManagerBase
from matplotlib.backends.backend_agg import FigureCanvasAgg

from _cellgate import figure_display


class FigureManager(FigureManagerBase):
    """Holds one figure of pyplot."""

    def show(self):
        """What `figure.show()` does: sends it now."""
        figure_display.show(self)

    @classmethod
    def pyplot_show(cls, *, block=None):
        """What `pyplot.show()` does: sends every open figure and closes it."""
        figure_display.show_open()


class FigureCanvas(FigureCanvasAgg):
    """Draws into memory."""

    manager_class = FigureManager


def new_figure_manager(num, *args, FigureClass=None, **kwargs):
    """A figure and its manager, for pyplot."""
    from matplotlib.figure import Figure

    return new_figure_manager_given_figure(num, (FigureClass or Figure)(*args, **kwargs))


def new_figure_manager_given_figure(num, figure):
    """The manager of a figure that is there already."""
    return FigureManager(FigureCanvas(figure), num)


def draw_if_interactive():
    """Nothing: a figure is drawn when it is shown."""


def show(*args, **kwargs):
    """What `pyplot.show()` does: sends every open figure and closes it."""
    figure_display.show_open()


__all__ = ["FigureCanvas", "FigureManager", "Gcf", "new_figure_manager", "show"]

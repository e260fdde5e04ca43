"""Shows matplotlib figures and closes them, whichever backend made them."""

import sys

from _cellgate import display


def show_open():
    """Sends every open figure of pyplot and closes it."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    for manager in helpers.Gcf.get_all_fig_managers():
        show(manager)


def show(manager):
    """Sends one figure and closes it, even if drawing it fails."""
    figure = manager.canvas.figure
    try:
        if figure.axes or figure.lines or figure.patches or figure.texts or figure.images:
            data = {"image/png": png(figure), "text/plain": _text(figure)}
            display.publish(data)
    finally:
        _close(manager)


def png_of_value(figure):
    """The image of a figure that is a cell's value; it is not shown a second time at the end."""
    image = png(figure)
    manager = getattr(figure.canvas, "manager", None)
    if manager is not None:
        _close(manager)
    return image


def png(figure):
    """The figure as PNG bytes, cropped to what is drawn."""
    from io import BytesIO

    target = BytesIO()
    figure.savefig(target, format="png", bbox_inches="tight", facecolor=figure.get_facecolor())
    return target.getvalue()


def _text(figure):
    try:
        return repr(figure) if "object at" not in repr(figure) else str(figure)
    except Exception:
        return "<Figure>"


def _close(manager):
    from matplotlib._pylab_helpers import Gcf

    Gcf.destroy(manager)

"""Shows matplotlib figures and closes them, whichever backend made them."""

import sys

from _cellgate import display


formats = ["png"]  # how figures are sent; `retina` is a png of twice the size
_TYPES = {
    "png": "image/png", "retina": "image/png", "svg": "image/svg+xml", "jpeg": "image/jpeg",
    "pdf": "application/pdf",
}  # fmt: skip


def choose(names):
    """Sends figures in these formats from now on. Raises ValueError for one that is unknown."""
    names = ["jpeg" if name == "jpg" else "retina" if name == "png2x" else name for name in names]
    unknown = [name for name in names if name not in _TYPES]
    if unknown or not names:
        raise ValueError("figures can be %s, not %r" % (", ".join(_TYPES), unknown))
    formats[:] = names


def show_open():
    """Sends every open figure of pyplot and closes it; raises the first error once all are closed."""
    helpers = sys.modules.get("matplotlib._pylab_helpers")
    if helpers is None:
        return
    failed = None
    for manager in helpers.Gcf.get_all_fig_managers():
        try:
            show(manager)
        except Exception as error:
            failed = failed or error
    if failed is not None:
        raise failed


def show(manager):
    """Sends one figure and closes it, even if drawing it fails."""
    figure = manager.canvas.figure
    try:
        if figure.axes or figure.lines or figure.patches or figure.texts or figure.images:
            data = {_TYPES[name]: image(figure, name) for name in formats}
            data["text/plain"] = _text(figure)
            display.publish(data)
    finally:
        _close(manager)


def png_of_value(figure):
    """The image of a figure that is a cell's value; it is not shown a second time at the end."""
    drawn = image(figure, "retina" if "retina" in formats else "png")
    manager = getattr(figure.canvas, "manager", None)
    if manager is not None:
        _close(manager)
    return drawn


def image(figure, name):
    """The figure in a format, cropped to what is drawn: bytes, of SVG the text."""
    from io import BytesIO

    target, twice = BytesIO(), name == "retina"
    figure.savefig(
        target, format="png" if twice else name, bbox_inches="tight",
        facecolor=figure.get_facecolor(), dpi=figure.dpi * 2 if twice else "figure",
    )  # fmt: skip
    return target.getvalue().decode() if name == "svg" else target.getvalue()


def _text(figure):
    try:
        return repr(figure) if "object at" not in repr(figure) else str(figure)
    except Exception:
        return "<Figure>"


def _close(manager):
    from matplotlib._pylab_helpers import Gcf

    Gcf.destroy(manager)

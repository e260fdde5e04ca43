"""plotly's figures: sent as their JSON, and as HTML for clients that do not draw that.

plotly picks a renderer for Jupyter when it sees a notebook: one that needs nbformat and first sends
its five megabytes of JavaScript. Ours needs nothing; the HTML takes the library from plotly's own
server, in the client. `plotly.io.renderers.default` and PLOTLY_RENDERER choose another.
"""

from os import environ

from plotly.io import to_html
from plotly.io._base_renderers import ExternalRenderer

from _cellgate import display


class Renderer(ExternalRenderer):
    """Publishes through `display`."""

    def render(self, fig_dict):
        """Sends one figure."""
        html = to_html(fig_dict, include_plotlyjs="cdn", full_html=False, validate=False)
        data = {"application/vnd.plotly.v1+json": fig_dict, "text/html": html}
        display.publish({**data, "text/plain": "<plotly figure>"})


def make_default(renderers):
    """Makes ours the default of `plotly.io.renderers`."""
    renderers["cellgate"] = Renderer()
    if not environ.get("PLOTLY_RENDERER"):
        renderers.default = "cellgate"

"""Gives matplotlib the list of fonts that was made with the image.

Imported through cellgate_fonts.pth by the first interpreter that starts in a sandbox: matplotlib's
directory is in /tmp, which is empty then, and without the list the first plot searches for fonts.
"""

import os

MADE = "/usr/local/share/matplotlib"  # where the Dockerfile leaves the list


def link(directory):
    try:
        os.mkdir(directory)
        for name in os.listdir(MADE):
            os.symlink(f"{MADE}/{name}", f"{directory}/{name}")
    except OSError:
        pass  # matplotlib then searches, or another interpreter was first


link(os.environ["MPLCONFIGDIR"])

"""Finds the kernels of Jupyter that are installed: a directory each, with a `kernel.json`.

This module imports nothing of ours: the gateway too executes it, by itself, before it makes a sandbox.
"""

import json
import os
import sys

VARIABLE = "CELLGATE_KERNEL"  # holds the setting `kernel`


def directories():
    """Where kernels are, in the order in which they are looked for."""
    places = os.environ.get("JUPYTER_PATH", "").split(os.pathsep)
    if not sys.flags.isolated:  # the gateway's own home is none of the sandbox's
        places.append(os.path.expanduser("~/.local/share/jupyter"))
    places += [os.path.join(sys.prefix, "share/jupyter"), "/usr/local/share/jupyter", "/usr/share/jupyter"]
    return [os.path.join(place, "kernels") for place in dict.fromkeys(places) if place]


def found():
    """Name → directory of every kernel that is installed."""
    kernels = {}
    for place in directories():
        try:
            names = sorted(os.listdir(place))
        except OSError:
            continue  # most of the places are not there
        for name in names:
            directory = os.path.join(place, name)
            if name not in kernels and os.path.isfile(os.path.join(directory, "kernel.json")):
                kernels[name] = directory
    return kernels


def read(directory):
    """What the `kernel.json` of a kernel says. Raises OSError or ValueError."""
    with open(os.path.join(directory, "kernel.json"), encoding="utf-8") as file:
        spec = json.load(file)
    if not isinstance(spec, dict) or not spec.get("argv"):
        raise ValueError("it has no argv")
    return spec


def problem():
    """Why a bridge does not work in this interpreter, and what to do; None if it does."""
    try:
        import zmq  # noqa: F401
    except ImportError as error:
        return (
            "no pyzmq, which connects with kernels of Jupyter (%s): install it with `%s -m pip install pyzmq` or "
            "`apt install python3-zmq`" % (error, sys.executable)
        )
    name, kernels = os.environ.get(VARIABLE), found()
    if name in kernels:
        return None
    there = "there are: " + ", ".join(kernels) if kernels else "none is there"
    where = ", ".join(directories())
    if not name:
        return "no kernel of Jupyter is named: set `kernel` of the template (%s, in %s)" % (there, where)
    return "no kernel of Jupyter has the name %s: install it, or set `kernel` to another (%s, in %s)" % (
        name, there, where,
    )  # fmt: skip

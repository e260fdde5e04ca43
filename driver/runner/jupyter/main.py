"""The runner's main function: starts the kernel that the template names, says READY, then runs cells in it.

```
supervisor ══ frames ══► Bridge ── requests over ipc sockets ──► kernel ──► its children
           ◄════════════   │    ◄── replies, what it publishes ──  │
           ◄── the pipes of cells                   stdout, stderr ┘
```
"""

import os
import sys

from _cellgate import bridge, kernel, kernel_specs


def main():
    """Runs cells until the supervisor or the kernel is gone."""
    problem = kernel_specs.problem()
    if problem:
        sys.exit("cellgate: " + problem)
    name = os.environ[kernel_specs.VARIABLE]
    try:
        started = kernel.Kernel(name, kernel_specs.found()[name])
    except (OSError, ValueError) as error:
        sys.exit("cellgate: the kernel %s cannot be started: %s" % (name, error))
    bridge.Bridge(started).run()

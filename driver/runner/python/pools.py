"""Pool threads write for the cell that submitted the work, not for the one that made the pool."""

import sys

from _cellgate.cell import CELL


def tag_work_items(module):
    """Makes what a pool's thread does belong to the cell that submitted it."""
    item = module._WorkItem
    init, work = item.__init__, item.run

    def tagged_init(self, *args, **options):
        init(self, *args, **options)
        self._cellgate_cell = CELL.get()

    def tagged_run(self, *args):
        token = CELL.set(getattr(self, "_cellgate_cell", None) or CELL.get())
        try:
            return work(self, *args)
        finally:
            CELL.reset(token)

    item.__init__, item.run = tagged_init, tagged_run


def refuse_what_cells_defined(pool):
    """Lets a pool of new interpreters fail for functions and classes of cells."""
    plain = pool._setup_queues

    def _setup_queues(self):
        plain(self)
        method = self._ctx.get_start_method()
        if method != "fork" and not hasattr(sys.modules["__main__"], "__file__"):
            send = self._quick_put

            def checked(task):
                _check(task, method)
                send(task)

            self._quick_put = checked

    pool._setup_queues = _setup_queues


def _check(task, method):
    """Raises PicklingError if `task` refers to something that only this interpreter has."""
    import io
    import pickle
    from multiprocessing.reduction import ForkingPickler

    class Checked(ForkingPickler):
        def reducer_override(self, value):
            if getattr(value, "__module__", None) == "__main__" and hasattr(value, "__qualname__"):
                raise pickle.PicklingError(
                    "%s was defined in a cell, where the new interpreters that multiprocessing "
                    "starts by %r cannot find it. Put it into a module (%%%%writefile NAME.py, then "
                    "import it), or use multiprocessing.get_context('fork')."
                    % (value.__qualname__, method)
                )
            return NotImplemented

    Checked(io.BytesIO()).dump(task)

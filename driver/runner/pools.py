"""Pool threads write for the cell that submitted the work, not for the one that made the pool."""

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

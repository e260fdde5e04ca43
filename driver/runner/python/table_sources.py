"""Reads tables of the libraries that people use, each by the library's own functions.

`tables` calls it to show a value and to answer questions about it. A source answers for one value:
its fields, how many rows it has now, values of a column by their positions, and positions in a sort
order. Libraries are never imported here: a value of one is there only if the library is.
"""

import sys

MAX_COLUMNS = 200  # that are shown; an index comes on top
_MAX_DICT_ROWS = 1_000_000  # of a list of dicts: all of its rows are looked at
_MAX_DICT_COLUMNS = 100
_ROWS_JUDGED = 1000  # of a list of dicts, for whether its values are mostly scalars
_SCALARS = 0.8  # that share of them has to be
_SMALL_BYTES = 16 << 20  # a table that may be kept alive although user code has dropped it
_MAX_TEXT = 1000  # characters of one value

_KINDS = {
    "b": "boolean",
    "i": "integer",
    "u": "integer",
    "f": "number",
    "M": "datetime",
    "m": "duration",
}


def is_tabular(value):
    """Whether `value` is shown as a table."""
    return source_of(value) is not None


def source_of(value):
    """The source that reads `value`, or None if it is no table."""
    cls = type(value)
    if cls is list:
        return _Dicts.of(value)
    module, name = name_of(cls)
    root = module.split(".")[0]
    made = _MAKERS.get((root, name))
    if made is None or getattr(sys.modules.get(root), name, None) is not cls:
        return None  # or a class that only says it is the library's
    return made(value)


def name_of(cls):
    """(module, name) of a class, without code of its metaclass; a module that is no text is empty."""
    module = _MODULE.__get__(cls)
    return (module if type(module) is str else ""), _NAME.__get__(cls)


_MODULE, _NAME = type.__dict__["__module__"], type.__dict__["__name__"]


class _Source:
    """What all sources have. `fields` and `keys` are as in a data resource's schema."""

    total_columns = 0
    rows = 0
    small = False  # it may be kept alive
    precision = None  # decimals that the user asked the library for
    format_number = None  # makes texts of floats, if the user asked for their form

    def __init__(self):
        self.fields = []
        self.keys = []
        self._names = set()

    def _add(self, label, kind):
        name = base = ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)
        number = 0
        while name in self._names:
            number += 1
            name = "%s.%d" % (base, number)
        self._names.add(name)
        self.fields.append({"name": name, "type": kind})
        return name

    def values(self, column, positions):
        """Values of a column, as a list. `positions` is a slice or a sequence of row numbers."""
        raise NotImplementedError

    def order(self, keys):
        """Row numbers in the order of `keys`: (column, descending), the first one decides first.
        Equal rows keep their order, and missing values come last."""
        positions = range(self.rows)
        for column, descending in reversed(keys):
            positions = self._order_by(column, descending, positions)
        return positions

    def _order_by(self, column, descending, positions):
        values = self.values(column, slice(0, self.rows))
        there = [at for at in positions if not _is_missing(values[at])]
        missing = [at for at in positions if _is_missing(values[at])]
        try:
            there.sort(key=values.__getitem__, reverse=descending)
        except TypeError:  # values of several types have an order by their texts
            there.sort(key=lambda at: str(values[at]), reverse=descending)
        return there + missing


class _Pandas(_Source):
    def __init__(self, frame):
        super().__init__()
        self._frame = frame
        self.rows, self.total_columns = map(int, frame.shape)
        index = frame.index
        self._levels = getattr(index, "nlevels", 1)
        for level in range(self._levels):
            label = index.names[level]
            default = "index" if self._levels == 1 else "level_%d" % level
            self.keys.append(
                self._add(default if label is None else label, _kind(self._index(level)))
            )
        for at in range(min(self.total_columns, MAX_COLUMNS)):
            self._add(frame.columns[at], _kind(frame.iloc[:0, at]))
        self.small = int(frame.memory_usage(deep=False).sum()) <= _SMALL_BYTES
        self.precision, self.format_number = _number_format()

    @classmethod
    def of_series(cls, series):
        """The source of a Series: a table of one column."""
        return cls(series.to_frame("value" if series.name is None else series.name))

    def _index(self, level, positions=slice(0, 0)):
        index = self._frame.index[positions]
        return index if self._levels == 1 else index.get_level_values(level)

    def _column(self, column, positions):
        if column < self._levels:
            return self._index(column, positions)
        return self._frame.iloc[:, column - self._levels].iloc[positions]

    def values(self, column, positions):
        return self._column(column, positions).tolist()

    def order(self, keys):
        from numpy import arange
        from pandas import Series

        positions = arange(self.rows)
        for column, descending in reversed(keys):
            values = Series(self._column(column, slice(0, self.rows)).array).iloc[positions]
            values = values.reset_index(drop=True)
            options = {"ascending": not descending, "kind": "stable", "na_position": "last"}
            try:
                values = values.sort_values(**options)
            except TypeError:  # values of several types have an order by their texts
                values = values.map(str, na_action="ignore").sort_values(**options)
            positions = positions[values.index.to_numpy()]
        return positions


def _kind(values):
    return _KINDS.get(getattr(values.dtype, "kind", "O"), "string")


def _number_format():
    """What the user has set for numbers: decimals, and a function that makes a text of a float."""
    from pandas import get_option

    precision, form = get_option("display.precision"), get_option("display.float_format")
    return (None, form) if callable(form) else (precision if precision != 6 else None, None)


class _Polars(_Source):
    def __init__(self, frame):
        super().__init__()
        self._frame = frame
        self.rows, self.total_columns = frame.height, frame.width
        for label, kind in list(zip(frame.columns, frame.dtypes))[:MAX_COLUMNS]:
            self._add(label, _kind_of_name(str(kind)))
        self.small = frame.estimated_size() <= _SMALL_BYTES

    @classmethod
    def of_series(cls, series):
        """The source of a Series: a table of one column."""
        return cls(series.to_frame())

    def values(self, column, positions):
        series = self._frame.to_series(column)
        return (
            series[positions] if isinstance(positions, slice) else series.gather(list(positions))
        ).to_list()

    def order(self, keys):
        polars = sys.modules["polars"]
        by = []
        for place, (column, _) in enumerate(keys):
            series = self._frame.to_series(column).alias(str(place))
            by.append(series.fill_nan(None) if series.dtype.is_float() else series)
        places = polars.Series("at", range(self.rows), dtype=polars.Int64)
        descending = [descending for _, descending in keys]
        try:
            ordered = polars.DataFrame([*by, places]).sort(
                [series.name for series in by],
                descending=descending,
                nulls_last=True,
                maintain_order=True,
            )
        except Exception:  # a type that has no order of its own
            return super().order(keys)
        return ordered["at"].to_list()


class _Arrow(_Source):
    def __init__(self, table):
        super().__init__()
        self._table = table
        self.rows, self.total_columns = table.num_rows, table.num_columns
        for label, kind in list(zip(table.schema.names, table.schema.types))[:MAX_COLUMNS]:
            self._add(label, _kind_of_name(str(kind)))
        self.small = table.nbytes <= _SMALL_BYTES

    def values(self, column, positions):
        values = self._table.column(column)
        if isinstance(positions, slice):
            start, stop, _ = positions.indices(self.rows)
            return values.slice(start, max(0, stop - start)).to_pylist()
        return values.take(sys.modules["pyarrow"].array(positions, "int64")).to_pylist()

    def order(self, keys):
        from pyarrow import compute, table

        names = [str(place) for place in range(len(keys))]
        columns = table([self._table.column(column) for column, _ in keys], names)
        directions = ["descending" if descending else "ascending" for _, descending in keys]
        try:
            # Stable, as its documentation says, with NaN and null at the end.
            return compute.sort_indices(columns, sort_keys=list(zip(names, directions))).to_pylist()
        except Exception:  # a type that has no order of its own
            return super().order(keys)


def _kind_of_name(name):
    """The kind of a type of polars or Arrow by its name."""
    name = name.lower()
    for start, kind in (
        ("int", "integer"), ("uint", "integer"), ("float", "number"), ("double", "number"),
        ("halffloat", "number"), ("decimal", "number"), ("bool", "boolean"), ("date", "datetime"),
        ("timestamp", "datetime"), ("duration", "duration"),
    ):  # fmt: skip
        if name.startswith(start):
            return kind
    return "string"


class _Dicts(_Source):
    small = True  # nothing else can keep a list: no weak reference to one is possible

    def __init__(self, rows, columns):
        super().__init__()
        self._rows = rows
        self._columns = columns
        self.rows, self.total_columns = len(rows), len(columns)
        for label in columns:
            # A text as it is: two keys that are the same text cannot be in a dict.
            self._add(label, self._kind(label))

    @classmethod
    def of(cls, rows):
        """The source of a list of dicts that make a table, else None."""
        if not 0 < len(rows) <= _MAX_DICT_ROWS:
            return None
        columns = {}
        cells = scalars = 0
        for at, row in enumerate(rows):
            if type(row) is not dict:
                return None
            if row.keys() - columns.keys():
                columns.update(dict.fromkeys(row))
                if len(columns) > _MAX_DICT_COLUMNS:
                    return None
            if at < _ROWS_JUDGED:
                cells += len(row)
                scalars += sum(
                    not isinstance(value, (dict, list, tuple, set)) for value in row.values()
                )
        if not columns or scalars < _SCALARS * cells:
            return None
        if not all(type(label) is str for label in columns):
            return None
        return cls(rows, list(columns))

    def _kind(self, label):
        found = set()
        for row in self._rows[:_ROWS_JUDGED]:
            value = row.get(label)
            if value is not None:
                found.add(type(value))
        if found and found <= {int, float}:
            return "number" if float in found else "integer"
        return "boolean" if found == {bool} else "string"

    def values(self, column, positions):
        label = self._columns[column]
        rows = (
            self._rows[positions]
            if isinstance(positions, slice)
            else [self._rows[at] for at in positions]
        )
        return [row.get(label) for row in rows]


_MAKERS = {
    ("pandas", "DataFrame"): _Pandas,
    ("pandas", "Series"): _Pandas.of_series,
    ("polars", "DataFrame"): _Polars,
    ("polars", "Series"): _Polars.of_series,
    ("pyarrow", "Table"): _Arrow,
}


def _is_missing(value):
    return value is None or (isinstance(value, float) and value != value)


def scalar(value, most_characters=_MAX_TEXT):
    """`value` as JSON has it: None, a boolean, a number, or a text of at most so many characters."""
    if getattr(getattr(value, "dtype", None), "kind", "") in tuple("biuf") and value.ndim == 0:
        value = value.item()  # of numpy, as in sparse columns and those of objects
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 1 << 53 else _cut(value)
    if isinstance(value, float):
        return value if value - value == 0 else None if value != value else str(value)
    try:
        if value != value:  # NaT and its like
            return None
    except Exception:
        pass  # an array, or a value that will not be compared (pandas.NA)
    if type(value).__name__ == "NAType":
        return None
    stamp = getattr(value, "isoformat", None)
    return _cut(value, stamp if callable(stamp) else None, most_characters)


def _cut(value, text_of=None, most_characters=_MAX_TEXT):
    try:
        text = str(value) if text_of is None else str(text_of())
    except Exception:
        text = "<%s>" % type(value).__name__
    return text if len(text) <= most_characters else text[:most_characters] + "…"

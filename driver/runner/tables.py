"""pandas DataFrames as `application/vnd.dataresource+json`: a bounded table a client can sort.

Built by hand rather than by pandas' own `to_json(orient="table")`, which refuses many frames that
people have: duplicate names, several header rows, mixed or unusual types.
"""

from _cellgate import wire

MIME = "application/vnd.dataresource+json"
_MAX_ROWS = 1000
_MAX_COLUMNS = 200
_MAX_BYTES = 256 << 10  # of the JSON
_MAX_CELL = 1000  # characters of one cell

_TYPES = {
    "b": "boolean",
    "i": "integer",
    "u": "integer",
    "f": "number",
    "M": "datetime",
    "m": "duration",
}


def of_frame(frame):
    """(table, metadata) of a DataFrame.

    metadata tells how many rows and columns there are (`total_rows`, `total_columns`; the index is
    no column) and how many of them the table has (`rows`, `columns`). `precision` is the number of
    decimals the user asked pandas for, `text` the texts of the columns that the user's
    `float_format` applies to.
    """
    rows, columns = frame.shape
    head = frame.iloc[:_MAX_ROWS, :_MAX_COLUMNS]
    names, fields, lists = set(), [], []
    precision, texts_of = _number_format()
    index = head.index
    levels = range(getattr(index, "nlevels", 1))
    keys = []
    for level in levels:
        label = index.names[level]
        default = "index" if len(levels) == 1 else "level_%d" % level
        values = index if len(levels) == 1 else index.get_level_values(level)
        keys.append(_add(names, fields, lists, default if label is None else label, values))
    for at in range(head.shape[1]):
        _add(names, fields, lists, head.columns[at], head.iloc[:, at])
    texts = {
        field["name"]: texts_of(values)
        for field, values in zip(fields, lists)
        if texts_of is not None and field["type"] == "number"
    }
    data = []
    size = 0
    for at, row in enumerate(zip(*lists)):
        record = {field["name"]: value for field, value in zip(fields, row)}
        size += len(wire.dumps(record)) + 1
        size += sum(len(column[at]) + 3 for column in texts.values())
        if size > _MAX_BYTES and data:
            break
        data.append(record)
    table = {"schema": {"fields": fields, "primaryKey": keys}, "data": data}
    metadata = {
        "total_rows": int(rows),
        "total_columns": int(columns),
        "rows": len(data),
        "columns": int(head.shape[1]),
    }
    if precision is not None:
        metadata["precision"] = precision
    if texts:
        metadata["text"] = {name: column[: len(data)] for name, column in texts.items()}
    return table, metadata


def _number_format():
    """What the user has set for numbers: decimals, and a function that makes texts of a column."""
    from pandas import get_option

    precision, form = get_option("display.precision"), get_option("display.float_format")
    if not callable(form):
        return (precision if precision != 6 else None), None

    def texts(values):
        return [form(value) if isinstance(value, float) else "" for value in values]

    return None, texts


def _add(names, fields, lists, label, values):
    """Takes one column in; answers the name it got, which no other column has."""
    name = base = ", ".join(map(str, label)) if isinstance(label, tuple) else str(label)
    number = 0
    while name in names:
        number += 1
        name = "%s.%d" % (base, number)
    names.add(name)
    kind = getattr(values.dtype, "kind", "O")
    fields.append({"name": name, "type": _TYPES.get(kind, "string")})
    lists.append([_scalar(value) for value in values.tolist()])
    return name


def _scalar(value):
    if getattr(getattr(value, "dtype", None), "kind", "") in tuple("biuf") and value.ndim == 0:
        value = value.item()  # of numpy, as in sparse columns and those of objects
    if value is None or isinstance(value, (bool, int)):
        return value if not isinstance(value, int) or abs(value) < 1 << 53 else str(value)
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
    try:
        text = stamp() if callable(stamp) else str(value)
    except Exception:
        text = "<%s>" % type(value).__name__
    return text if len(text) <= _MAX_CELL else text[:_MAX_CELL] + "…"

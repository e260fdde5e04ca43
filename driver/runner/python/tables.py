"""Shows values as tables, and answers questions about them: other rows, a sort order, a filter, CSV.

A table is shown as `application/vnd.dataresource+json` with its first rows and an id. The runner
keeps what was shown by that id, so that a client can ask for the rest. The form is built by hand
rather than by pandas' own `to_json(orient="table")`, which refuses many frames that people have:
duplicate names, several header rows, mixed or unusual types.
"""

import weakref
from time import monotonic

from _cellgate import session, signals, table_sources, wire

MIME = "application/vnd.dataresource+json"
_SHOWN_ROWS = 1000
_SHOWN_BYTES = 256 << 10  # of the JSON of what is shown
_ANSWER_ROWS = 1000
_ANSWER_BYTES = 512 << 10  # of the JSON of an answer's rows or CSV; the gateway takes 1 MiB
_CSV_TEXT = 32 << 10  # characters of one value in CSV
_WIDE_TEXT = 500  # the same, in a row that alone would be larger than an answer
_NUMBER_TEXT = 200  # characters of one number in the user's own form

_MOST_KEPT = 32  # tables that can be asked for
_MOST_HELD = 4  # of these the newest that stay although user code has dropped them
_MOST_VIEWS = 4  # sort orders and filters that are remembered
_MOST_SORTED = 20_000_000  # values
_SEARCH_SECONDS = 10
_SEARCHED_AT_ONCE = 2000  # rows, before the next look at the clock

_kept = {}  # id → _Kept, newest last
_views = {}  # what was asked → positions of the rows, newest last


class _Unanswerable(Exception):
    """Why a question has no answer, in words for a person."""


class _Busy(Exception):
    """A cell has started: it may change what is looked at."""


class _Kept:
    """A value that was shown, as far as user code lets it live."""

    def __init__(self, value, source):
        self.fields = source.fields
        self._weak = self._held = None
        try:
            self._weak = weakref.ref(value)
        except TypeError:
            pass  # lists have none
        if self._weak is None or source.small:
            self._held = value

    @property
    def value(self):
        return self._held if self._weak is None else self._weak()

    @property
    def is_held(self):
        return self._held is not None

    def let_go(self):
        self._held = None


def of_value(value):
    """(table, metadata) of a value that is a table, else None.

    metadata tells how many rows and columns there are (`total_rows`, `total_columns`; the index is
    no column) and how many of them the table has (`rows`, `columns`). `precision` is the number of
    decimals the user asked pandas for, `text` the texts of the columns that the user's
    `float_format` applies to, `table` what questions call the table.
    """
    source = table_sources.source_of(value)
    if source is None:
        return None
    fields = source.fields
    lists = _lists(source, slice(0, _SHOWN_ROWS))
    texts = _texts(source, lists)
    data = []
    size = 0
    for at, row in enumerate(zip(*lists)):
        record = {field["name"]: value for field, value in zip(fields, row)}
        size += len(wire.dumps(record)) + 1
        size += sum(len(column[at]) + 3 for column in texts.values())
        if size > _SHOWN_BYTES and data:
            break
        data.append(record)
    table = {"schema": {"fields": fields, "primaryKey": source.keys}, "data": data}
    metadata = {
        "total_rows": source.rows,
        "total_columns": source.total_columns,
        "rows": len(data),
        "columns": len(fields) - len(source.keys),
        "table": _keep(value, source),
    }
    if source.precision is not None:
        metadata["precision"] = source.precision
    if texts:
        metadata["text"] = {name: column[: len(data)] for name, column in texts.items()}
    return table, metadata


def _lists(source, positions, most_characters=None):
    options = () if most_characters is None else (most_characters,)
    return [
        [table_sources.scalar(value, *options) for value in source.values(column, positions)]
        for column in range(len(source.fields))
    ]


def _texts(source, lists):
    form = source.format_number
    if form is None:
        return {}
    return {
        field["name"]: [
            str(form(value))[:_NUMBER_TEXT] if isinstance(value, float) else "" for value in values
        ]
        for field, values in zip(source.fields, lists)
        if field["type"] == "number"
    }


def _keep(value, source):
    """Keeps a value for questions; answers what they call it."""
    for name, kept in list(_kept.items()):
        if kept.value is value and kept.fields == source.fields:
            _kept[name] = _kept.pop(name)  # the newest again
            return name
    from posix import urandom

    name = urandom(8).hex()  # not a number: after a restart the same one would be another table
    _kept[name] = _Kept(value, source)
    while len(_kept) > _MOST_KEPT:
        del _kept[next(iter(_kept))]
    for kept in [kept for kept in _kept.values() if kept.is_held][:-_MOST_HELD]:
        kept.let_go()
    return name


def answer(question):
    """Answers a `table` question of a client."""
    try:
        return _answer(question)
    except _Unanswerable as why:
        return {"error": str(why)}
    except _Busy:
        return {"busy": True}
    except Exception as error:
        text = "%s: %s" % (type(error).__name__, error)
        return {"error": "The table could not be read: " + text[:500]}


def _answer(question):
    name, variable = question.get("table"), question.get("variable")
    if variable is not None:
        space = session.namespace
        if variable not in space:
            raise _Unanswerable("There is no variable %s." % variable)
        value = space[variable]
        source = table_sources.source_of(value)
        if source is None:
            raise _Unanswerable("%s is no table: its type is %s." % (variable, type(value).__name__))
        name = _keep(value, source)
    else:
        value, source = _find(name)
    found = _positions(name, source, question.get("sort") or (), question.get("filter") or "")
    matching = source.rows if found is None else len(found)
    start = min(int(question.get("from") or 0), matching)
    told = {"from": start, "total_rows": source.rows, "matching_rows": matching}
    if variable is not None:
        told.update(table=name, fields=source.fields, keys=source.keys)
        told["total_columns"] = source.total_columns
        if source.precision is not None:
            told["precision"] = source.precision
    if question.get("format") == "csv":
        return {**told, **_csv(source, found, start, matching)}
    count = min(int(question.get("count") or 100), _ANSWER_ROWS, matching - start)
    return {**told, **_rows(source, found, start, count)}


def _find(name):
    kept = _kept.get(name)
    value = None if kept is None else kept.value
    if value is None:
        raise _Unanswerable("This table is not kept any more: run the cell again.")
    source = table_sources.source_of(value)
    if source is None or source.fields != kept.fields:
        raise _Unanswerable("The columns of this table have changed: run the cell again.")
    return value, source


def _at(found, start, stop):
    return slice(start, stop) if found is None else found[start:stop]


def _rows(source, found, start, count):
    lists = _lists(source, _at(found, start, start + count))
    texts = _texts(source, lists)
    rows = []
    size = 0
    for at, row in enumerate(zip(*lists)):
        size += len(wire.dumps([row, [column[at] for column in texts.values()]]))
        if size > _ANSWER_BYTES:
            if rows:
                break
            row = [_shortened(value) for value in row]
        rows.append(row)
    told = {"rows": rows}
    if texts:
        told["text"] = {name: column[: len(rows)] for name, column in texts.items()}
    return told


def _csv(source, found, start, matching):
    """A part of the table as CSV, and where the next one begins if there is more."""
    text = _line([field["name"] for field in source.fields]) if start == 0 else ""
    parts, size, at = [text], len(wire.dumps(text)), start
    while at < matching:
        lists = _lists(source, _at(found, at, at + 200), _CSV_TEXT)
        for row in zip(*lists):
            line = _line(row)
            bytes_ = len(wire.dumps(line))
            if bytes_ > _ANSWER_BYTES:
                line = _line([_shortened(value) for value in row])
                bytes_ = len(wire.dumps(line))
            if size + bytes_ > _ANSWER_BYTES and at > start:
                return {"csv": "".join(parts), "next": at}
            parts.append(line)
            size += bytes_
            at += 1
        if not lists or not lists[0]:
            break  # fewer rows than there were
    return {"csv": "".join(parts)}


def _line(values):
    return ",".join(map(_field, values)) + "\r\n"


def _field(value):
    text = "" if value is None else str(value)
    if '"' in text or "," in text or "\n" in text or "\r" in text:
        return '"%s"' % text.replace('"', '""')
    return text


def _shortened(value):
    if isinstance(value, str) and len(value) > _WIDE_TEXT:
        return value[:_WIDE_TEXT] + "…"
    return value


def _positions(name, source, sort, text):
    """Positions of the rows that are asked for, in order; None for all of them as they are."""
    keys = []
    for key in sort:
        column = key.get("column")
        if type(column) is not int or not 0 <= column < len(source.fields):
            raise _Unanswerable("There is no column %s to sort by." % column)
        keys.append((column, bool(key.get("descending"))))
    text = text.casefold()
    ordered = _view((name, tuple(keys), ""), source, lambda: _sorted(source, keys)) if keys else None
    if not text:
        return ordered
    matching = _view((name, (), text), source, lambda: _search(source, text))
    if ordered is None:
        return matching
    found = set(matching)
    return _view(
        (name, tuple(keys), text), source, lambda: [at for at in ordered if int(at) in found]
    )


def _view(asked, source, make):
    """What `make` answers, or what it answered since a cell ran last."""
    asked = (*asked, session.current.number, source.rows)
    found = _views.get(asked)
    if found is None:
        found = make()
        _views[asked] = found
        while len(_views) > _MOST_VIEWS:
            del _views[next(iter(_views))]
    return found


def _sorted(source, keys):
    if source.rows * len(keys) > _MOST_SORTED:
        raise _Unanswerable("The table has too many rows to sort here: sort it in a cell.")
    return source.order(keys)


def _search(source, text):
    """Positions of the rows that have `text` in one of their values."""
    until = monotonic() + _SEARCH_SECONDS
    found = []
    for start in range(0, source.rows, _SEARCHED_AT_ONCE):
        if signals.phase != signals.IDLE:
            raise _Busy
        if monotonic() > until:
            raise _Unanswerable(
                "Searching took more than %d seconds: filter the table in a cell." % _SEARCH_SECONDS
            )
        hits = set()
        for values in _lists(source, slice(start, start + _SEARCHED_AT_ONCE)):
            hits.update(
                at
                for at, value in enumerate(values)
                if value is not None and text in str(value).casefold()
            )
        found += [start + at for at in sorted(hits)]
    return found

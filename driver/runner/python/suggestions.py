"""The "Did you mean" of a misspelt name, attribute or import, as the interpreter itself gives it.

Python computes these only when it prints an exception on its own, which the runner never lets it.
"""

_MAX_NAMES = 750  # more candidates than this would take noticeable time
_MAX_LENGTH = 40


def for_error(error):
    """Text to add to an exception's message; empty if nothing comes to mind."""
    try:
        return _suggest(error)
    except Exception:  # user code answers `dir`, and may do so badly
        return ""


def _suggest(error):
    kind = type(error)
    wrong = getattr(error, "name", None)
    if not isinstance(wrong, str) or not wrong:
        return ""
    if issubclass(kind, NameError) and not issubclass(kind, UnboundLocalError):
        trace = error.__traceback__
        if trace is None:
            return ""
        while trace.tb_next is not None:
            trace = trace.tb_next
        frame = trace.tb_frame
        names = [*frame.f_locals, *frame.f_globals, *frame.f_builtins]
        if wrong in _standard_modules() and wrong not in names:
            best = _closest(wrong, names)
            if best:
                return ". Did you mean: '%s'? Or did you forget to import '%s'?" % (best, wrong)
            return ". Did you forget to import '%s'?" % wrong
    elif issubclass(kind, AttributeError):
        names = dir(error.obj)
    elif issubclass(kind, ImportError):
        wrong = getattr(error, "name_from", None)
        module = _modules().get(error.name)
        if not isinstance(wrong, str) or module is None:
            return ""
        names = dir(module)
    else:
        return ""
    best = _closest(wrong, names)
    return ". Did you mean: '%s'?" % best if best else ""


def _modules():
    import sys

    return sys.modules


def _standard_modules():
    import sys

    return getattr(sys, "stdlib_module_names", ())


def _closest(wrong, names):
    if len(names) > _MAX_NAMES or len(wrong) > _MAX_LENGTH:
        return None
    best, best_distance = None, max(len(wrong) // 3, 1) + 1
    for name in names:
        if (
            not isinstance(name, str)
            or name == wrong
            or abs(len(name) - len(wrong)) >= best_distance
        ):
            continue
        if name.startswith("_") and not wrong.startswith("_"):
            continue
        distance = _distance(wrong, name, best_distance)
        if distance < best_distance:
            best, best_distance = name, distance
    return best


def _distance(one, other, limit):
    """Edits between two words, a change of case counting half; at least `limit` if many."""
    row = list(range(len(other) + 1))
    for at, char in enumerate(one, 1):
        before, row[0] = row[0], at
        for column, compared in enumerate(other, 1):
            if char == compared:
                cost = before
            elif char.lower() == compared.lower():
                cost = before + 0.5
            else:
                cost = min(before, row[column], row[column - 1]) + 1
            before, row[column] = row[column], cost
        if min(row) >= limit:
            return limit
    return row[-1]

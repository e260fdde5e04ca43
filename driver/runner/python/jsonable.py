"""Makes JSON of what has none: numpy scalars, NaN, sets, anything."""

_DEPTH = 50  # how deep containers are followed


def plain(value, around=()):
    """`value` made of what JSON has. `around` are the ids of the containers it stands in."""
    if value is None or value is True or value is False:
        return value
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if value - value == 0 else None
    if isinstance(value, (dict, list, tuple, set, frozenset)):
        if id(value) in around or len(around) >= _DEPTH:
            return "…"
        inside = (*around, id(value))
        if isinstance(value, dict):
            return {str(key): plain(item, inside) for key, item in value.items()}
        return [plain(item, inside) for item in value]
    if hasattr(value, "tolist"):  # a numpy array, or one of its scalars
        return plain(value.tolist(), (*around, id(value))) if len(around) < _DEPTH else "…"
    return str(value)

"""Makes JSON of what has none: numpy scalars, NaN, sets, anything."""


def plain(value, depth=20):
    """`value` made of what JSON has; `depth` bounds what refers to itself."""
    kind = type(value)
    if value is None or kind in (bool, int, str):
        return value
    if isinstance(value, float):
        return float(value) if value - value == 0 else None
    if isinstance(value, (str, int)):
        return kind.__base__(value) if kind.__base__ in (str, int) else str(value)
    if depth and isinstance(value, dict):
        return {str(key): plain(item, depth - 1) for key, item in value.items()}
    if depth and isinstance(value, (list, tuple, set, frozenset)):
        return [plain(item, depth - 1) for item in value]
    if hasattr(value, "item") and getattr(value, "ndim", None) == 0:  # a numpy scalar
        return plain(value.item(), 0)
    if depth and hasattr(value, "tolist"):  # a numpy array
        return plain(value.tolist(), depth - 1)
    return str(value)

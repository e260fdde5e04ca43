"""Environment variables that hold for one cell."""

from os import environ


def set_for_cell(wanted):
    """Sets variables for one cell; answers what `restore` needs."""
    changed = []
    for name, value in (wanted or {}).items():
        try:
            changed.append((name, environ.get(name), value))
            environ[name] = value
        except (ValueError, TypeError):
            changed.pop()  # a name or value no environment can hold
    return changed


def restore(changed):
    """Puts back what was before, unless the cell itself changed a variable since."""
    for name, before, given in changed:
        if environ.get(name) != given:
            continue
        if before is None:
            del environ[name]
        else:
            environ[name] = before

"""Completions at a cursor, from what the session knows. See `name_lookup` for what is never run."""

import keyword
import os
import re
import sys
from builtins import __dict__ as _builtin_names

from _cellgate import magics, name_lookup, session
from _cellgate.magic_syntax import Scanner

_MAX_MATCHES = 500
_MAX_SOURCE = 1 << 20  # bytes of a module that is read for its names
_PATH = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\.(\w*)$")
_WORD = re.compile(r"([^\W\d]\w*)?$")
_MAGIC = re.compile(r"\s*(%{1,2})(\w*)$")
_FROM = re.compile(r"\s*from\s+([\w.]*)$")
_FROM_IMPORT = re.compile(r"\s*from\s+([\w.]+)\s+import\s+\(?(?:[\w\s]+,)*\s*(\w*)$")
_IMPORT = re.compile(r"\s*import\s+(?:[\w.\s]+,\s*)*([\w.]*)$")
_IMPORTED = re.compile(r"\s*import\s+([\w.]+(?:\s+as\s+\w+)?(?:\s*,\s*[\w.]+(?:\s+as\s+\w+)?)*)\s*(?:[#;].*)?$")
_KEY = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)\[\s*(?:[rbu]{0,2})$", re.I)
_CALLED = re.compile(r"([^\W\d]\w*(?:\.[^\W\d]\w*)*)$")


def complete(code, cursor):
    """What could stand in place of code[start:end], each with what it is (`types`)."""
    before = code[:cursor]
    line = before.rsplit("\n", 1)[-1]
    scanner = Scanner()
    for text in before.split("\n")[:-1]:
        scanner.feed(text)
        scanner.end_line(text)
    fresh = scanner.at_statement()
    scanner.feed(line)
    if scanner.quote:
        matches, typed = _in_string(line, scanner)
    else:
        matches, typed = _in_code(before, line, fresh)
    start = cursor - len(typed)
    matches = matches[:_MAX_MATCHES]
    kinds = ["" for _ in matches] if scanner.quote else types_of(code[:start], matches)
    return {"matches": matches, "start": start, "end": cursor, "types": kinds}


def types_of(before, matches):
    """What each completion of the code before it is: a word, or nothing where that is not known."""
    line = before.rsplit("\n", 1)[-1]
    if _FROM.match(line) or _IMPORT.match(line):
        return ["module"] * len(matches)
    imported = _FROM_IMPORT.match(line)
    if imported:
        module = sys.modules.get(imported.group(1))
        return [_type_in(module, name, "") for name in matches]
    path = _PATH.search(line)
    if path and not path.group(2):
        value = name_lookup.resolve(path.group(1))
        return [_type_in(value, name, "attribute") for name in matches]
    return [_type_of_name(name) for name in matches]


def _type_in(value, name, otherwise):
    if value is name_lookup.MISSING or value is None:
        return otherwise
    found = name_lookup.attribute(value, name)
    kind = "" if found is name_lookup.MISSING else name_lookup.kind_of(found)
    return kind if kind and kind != "variable" else otherwise


def _type_of_name(name):
    if name.endswith("="):
        return "argument"
    if name.startswith("%"):
        return "magic"
    value = name_lookup.resolve(name) if name.isidentifier() else name_lookup.MISSING
    if value is not name_lookup.MISSING:
        return name_lookup.kind_of(value)
    return "keyword" if keyword.iskeyword(name) else ""


def _in_code(before, line, fresh):
    if fresh:
        match = _MAGIC.match(line)
        if match:
            mark, typed = match.groups()
            return _fitting(magics.names("line" if mark == "%" else "cell"), typed), typed
        match = _FROM_IMPORT.match(line)
        if match:
            module, typed = match.groups()
            return _fitting(_members(module), typed), typed
        match = _FROM.match(line) or _IMPORT.match(line)
        if match:
            package, _, typed = match.group(1).rpartition(".")
            return _fitting(_modules(package), typed), typed
    match = _PATH.search(line)
    if match:
        path, typed = match.groups()
        value = name_lookup.resolve(path)
        if value is name_lookup.MISSING:
            module = _module_named(before, path)
            return _fitting(_members(module), typed) if module else [], typed
        return _fitting(name_lookup.attributes(value), typed), typed
    typed = _WORD.search(line).group()
    if line[: len(line) - len(typed)].rstrip().endswith("."):
        return [], typed  # an attribute of something only running the code could tell
    known = {*session.namespace, *_builtin_names, *keyword.kwlist}
    arguments = [name + "=" for name in _arguments(before[: len(before) - len(typed)])]
    return _fitting(arguments, typed) + _fitting(known, typed), typed


def _fitting(known, typed):
    """The names that begin as typed, private ones last and only if asked for."""
    found = [name for name in known if isinstance(name, str) and name.startswith(typed)]
    if not typed.startswith("_"):
        found = [name for name in found if not name.startswith("_")]
    return sorted(found, key=lambda name: (name.startswith("__"), name.startswith("_"), name))


def _arguments(before):
    """Keyword arguments of the call the cursor stands in."""
    depth = 0
    for at in range(len(before) - 1, max(-1, len(before) - 5000), -1):
        char = before[at]
        if char in ")]}":
            depth += 1
        elif char in "([{":
            depth -= 1
            if depth < 0:
                match = _CALLED.search(before[:at]) if char == "(" else None
                if match is None:
                    return []
                value = name_lookup.resolve(match.group())
                return [] if value is name_lookup.MISSING else name_lookup.parameters(value)
    return []


def _in_string(line, scanner):
    content = line[scanner.quote_at + len(scanner.quote) :] if scanner.quote in line else line
    match = _KEY.search(line[: scanner.quote_at])
    if match:
        value = name_lookup.resolve(match.group(1))
        if value is not name_lookup.MISSING:
            return _fitting_keys(name_lookup.keys(value), content), content
    folder, _, typed = content.rpartition("/")
    try:
        entries = os.scandir(os.path.expanduser(folder + "/") if "/" in content else ".")
        with entries:
            found = [item.name + "/" * item.is_dir() for item, _ in zip(entries, range(10_000))]
    except (OSError, ValueError):
        return [], typed
    hidden = typed.startswith(".")
    return sorted(
        name for name in found if name.startswith(typed) and hidden == name.startswith(".")
    ), typed


def _fitting_keys(keys, typed):
    return [key for key in keys if type(key) is str and key.startswith(typed) and key.isprintable()]


def _modules(package):
    """The modules that could be imported from `package`, or at all; nothing is imported."""
    import pkgutil

    if package:
        module = sys.modules.get(package)
        places = list(getattr(module, "__path__", ())) if module else _folders_of(package)
        known = {
            name[len(package) + 1 :].split(".")[0]
            for name in list(sys.modules)
            if name.startswith(package + ".")
        }
    else:
        places = [place or "." for place in sys.path if isinstance(place, str)]
        known = {*sys.builtin_module_names, *getattr(sys, "stdlib_module_names", ())}
    known.update(info.name for info, _ in zip(pkgutil.iter_modules(places), range(20_000)))
    return known


def _folders_of(package):
    parts = package.split(".")
    folders = [os.path.join(place or ".", *parts) for place in sys.path if isinstance(place, str)]
    return [folder for folder in folders if os.path.isdir(folder)]


def _members(package):
    module = sys.modules.get(package)
    found = _names_in_source(package) if module is None else name_lookup.attributes(module)
    return found | _modules(package)


def _module_named(before, path):
    """The module that a dotted name stands for by an `import` before it that did not run yet."""
    first, *rest = path.split(".")
    for line in reversed(before.split("\n")):
        imported = _IMPORTED.match(line)
        if imported is None:
            continue
        for part in imported.group(1).split(","):
            module, _, alias = part.partition(" as ")
            module, alias = module.strip(), alias.strip()
            if alias == first:
                return ".".join((module, *rest))
            if not alias and (module + ".").startswith(first + "."):
                return path
    return None


def _names_in_source(package):
    """The names that a module defines which was not imported yet, by its source: nothing of it runs."""
    import ast

    places = _folders_of(package.rpartition(".")[0]) if "." in package else sys.path
    name = package.rpartition(".")[2]
    for place in places:
        for path in (os.path.join(place, name, "__init__.py"), os.path.join(place, name + ".py")):
            try:
                if os.path.getsize(path) > _MAX_SOURCE:
                    return set()
                with open(path, "rb") as source:
                    tree = ast.parse(source.read())
            except (OSError, SyntaxError, ValueError, RecursionError, MemoryError):
                continue
            return set(_defined_in(tree.body))
    return set()


def _defined_in(statements):
    import ast

    for statement in statements:
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            yield statement.name
        elif isinstance(statement, (ast.Import, ast.ImportFrom)):
            for alias in statement.names:
                yield (alias.asname or alias.name).split(".")[0]
        elif isinstance(statement, (ast.Assign, ast.AnnAssign)):
            targets = getattr(statement, "targets", None) or [statement.target]
            yield from (target.id for target in targets if isinstance(target, ast.Name))
        elif isinstance(statement, (ast.If, ast.Try)):
            handled = [part for handler in getattr(statement, "handlers", ()) for part in handler.body]
            yield from _defined_in([*statement.body, *statement.orelse, *handled])

"""Questions of clients, answered by IPython's completer, inspector and input transformer."""

import re
from itertools import islice

from IPython.core.completer import provisionalcompleter, rectify_completions
from IPython.utils.tokenutil import token_at_cursor

from _cellgate import completion, ipython_shell

_MAX_MATCHES = 500
_MOST_FOUND = 5000  # before those that were not asked for are left out
_MAX_TEXT = 64 << 10  # characters of an answer
_COLOURS = re.compile("\x1b\\[[0-9;]*m")


def answer(op, code, cursor):
    """Answers `complete`, `inspect` or `is_complete`."""
    shell = ipython_shell.SHELL
    if op == "complete":
        return _complete(shell, code, cursor)
    if op == "inspect":
        return _inspect(shell, code, cursor)
    status, indent = shell.check_complete(code)
    return {"status": status, "indent": indent} if status == "incomplete" else {"status": status}


def _complete(shell, code, cursor):
    with provisionalcompleter():
        found = shell.Completer.completions(code, cursor)
        found = list(islice(rectify_completions(code, list(found)), _MOST_FOUND))
    if not found:
        # Of modules that the code imports and that did not run yet, IPython knows nothing.
        return completion.complete(code, cursor)
    start, texts = found[0].start, [one.text for one in found]
    # Some versions take the dot before an attribute to what they replace, some the object too.
    typed = code[start : code.rfind(".", start, cursor) + 1]
    if typed and all(text.startswith(typed) for text in texts):
        start, texts = start + len(typed), [text[len(typed) :] for text in texts]
    if not code.startswith("_", start):
        texts = [text for text in texts if not text.startswith("_")]
    texts = texts[:_MAX_MATCHES]
    # IPython's own words for them come from jedi, which is off.
    types = completion.types_of(code[:start], texts)
    return {"matches": texts, "start": start, "end": found[0].end, "types": types}


def _inspect(shell, code, cursor):
    name = token_at_cursor(code, cursor)
    try:
        data = shell.object_inspect_mime(name, detail_level=0)
    except KeyError:
        return {"found": False, "data": {}}
    text = _COLOURS.sub("", data["text/plain"])
    if len(text) > _MAX_TEXT:
        text = text[:_MAX_TEXT] + "\n…"
    return {"found": True, "data": {"text/plain": text}}

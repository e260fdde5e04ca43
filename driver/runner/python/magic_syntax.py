"""Finds magic lines in a cell that is not Python as it stands, and makes Python of them.

```
%name rest        __cellgate__.run_line_magic('name', 'rest')
x = %name rest    x = __cellgate__.run_line_magic('name', 'rest')
!command          __cellgate__.system('command')
x = !command      x = __cellgate__.getoutput('command')
thing?            __cellgate__.help('thing')
pip …, !pip …     as %pip …, which knows what a sandbox allows
%%name rest …     __cellgate__.run_cell_magic('name', 'rest', '…', line)
```
A line counts only where a statement can begin: not within a string, brackets or a continued line.
Every line keeps its number, so tracebacks stay right.
"""

import re

from _cellgate import plain_shell

_LINE = re.compile(r"(\s*)(%{1,2}|!{1,2})\s*(.*)$", re.S)
_ASSIGNED = re.compile(r"(\s*[A-Za-z_][\w.,\s\[\]'\"*]*=\s*)([%!])(?!=)\s*(.*)$", re.S)
_HELP = re.compile(r"(\s*)(?:\?{1,2}\s*([\w.%*\[\]'\"]+)|([\w.%*\[\]'\"]+?)\s*(\?{1,2}))\s*;?\s*$")
_CELL = re.compile(r"(\s*)%%(\w[\w.]*)[ \t]*([^\n]*)(?:\n(.*))?$", re.S)


def python_of(source, error):
    """The cell as Python with the same lines. Raises `error` if it holds no magic and no indent."""
    text = _dedented(source)
    if any(mark in text for mark in "%!?") or "pip" in text:
        text = transform(text)
    if text == source:
        raise error
    plain_shell.install()
    return text


def transform(text):
    """`text` with magics made Python; unchanged if there are none."""
    match = _CELL.match(text)
    if match is not None:
        blank, name, rest, body = match.groups()
        first = blank.count("\n") + 1
        call = "__cellgate__.run_cell_magic(%r, %r, %r, %d)" % (
            name,
            rest.strip(),
            body or "",
            first + 1,
        )
        return "\n" * (first - 1) + call
    lines = text.split("\n")
    scanner = Scanner()
    at = 0
    while at < len(lines):
        if scanner.at_statement():
            end = at
            while lines[end].endswith("\\") and end + 1 < len(lines):
                end += 1
            whole = "".join(line[:-1] for line in lines[at:end]) + lines[end]
            python = _python_of_line(whole)
            if python is not None:
                lines[at : end + 1] = [python] + [""] * (end - at)
                at = end + 1
                continue
        scanner.feed(lines[at])
        scanner.end_line(lines[at])
        at += 1
    return "\n".join(lines)


def _python_of_line(line):
    if "pip" in line:
        from _cellgate import packages

        match = packages.COMMAND.fullmatch(line)
        if match is not None:
            return match.group("indent") + _call("%", "pip " + match.group("arguments"))
    match = _HELP.match(line)
    if match is not None:
        indent, after, before, marks = match.groups()
        detail = (marks or line.strip()).startswith("??")
        return "%s__cellgate__.help(%r, %r)" % (indent, after or before, detail)
    match = _LINE.match(line)
    if match is not None:
        indent, mark, rest = match.groups()
        return indent + _call(mark, rest)
    match = _ASSIGNED.match(line)
    if match is not None:
        target, mark, rest = match.groups()
        return target + _call("!!" if mark == "!" else mark, rest)
    return None


def _call(mark, rest):
    rest = rest.rstrip()
    if mark == "!":
        return "__cellgate__.system(%r)" % rest
    if mark == "!!":
        return "__cellgate__.getoutput(%r)" % rest
    name, _, line = rest.partition(" ")
    return "__cellgate__.run_line_magic(%r, %r)" % (name, line.strip())


def _dedented(source):
    """Without the indentation of the first line, if the lines after it have it too."""
    lines = source.split("\n")
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip())]
    if not indent:
        return source
    return "\n".join(line[len(indent) :] if line.startswith(indent) else line for line in lines)


class Scanner:
    """Follows strings and brackets from line to line, to know where a statement can begin."""

    def __init__(self):
        self.quote = ""  # of the string that is open
        self.quote_at = 0  # where in its line it began
        self.open_brackets = []
        self.continued = False

    def at_statement(self):
        """Whether the next line begins a statement."""
        return not (self.quote or self.open_brackets or self.continued)

    def feed(self, line):
        """Takes the next line, or a part of one to learn where its end stands."""
        self.continued = False
        at, end = 0, len(line)
        while at < end:
            char = line[at]
            if self.quote:
                if char == "\\":
                    at += 2
                    continue
                if line.startswith(self.quote, at):
                    at += len(self.quote)
                    self.quote = ""
                    continue
            elif char in "'\"":
                self.quote = char * 3 if line.startswith(char * 3, at) else char
                self.quote_at = at
                at += len(self.quote)
                continue
            elif char == "#":
                break
            elif char in "([{":
                self.open_brackets.append(char)
            elif char in ")]}":
                if self.open_brackets:
                    self.open_brackets.pop()
            elif char == "\\" and at == end - 1:
                self.continued = True
            at += 1

    def end_line(self, line):
        """A string in single quotes ends with its line, unless that is continued."""
        if len(self.quote) == 1 and not line.endswith("\\"):
            self.quote = ""

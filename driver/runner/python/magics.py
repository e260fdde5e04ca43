"""The magics of the plain shell: `%name` for a line, `%%name` for a cell."""

import os
import resource
import sys
import time

from _cellgate import execute, plain_shell, session

at_line = 1  # of the line magic that runs, in its cell


class UsageError(Exception):
    """A magic that does not exist, or was called in a way it does not know."""

    __module__ = "builtins"


def run_line(name, line):
    """Runs `%name line`; answers its value."""
    function = _find("line_", name, "%")
    return function(line)


def run_cell(name, line, body, first_line):
    """Runs `%%name line` over `body`, whose first line has the number `first_line` in the cell."""
    return _find("cell_", name, "%%")(line, body, first_line)


def names(kind):
    """The names of all `line` or `cell` magics."""
    return sorted(name[len(kind) + 1 :] for name in globals() if name.startswith(kind + "_"))


def _find(prefix, name, mark):
    function = globals().get(prefix + name)
    if function is not None:
        return function
    other = "cell_" if prefix == "line_" else "line_"
    if other + name in globals():
        hint = "%s is a %s magic; write %s%s" % (
            (mark + name, "cell", "%%", name)
            if prefix == "line_"
            else (mark + name, "line", "%", name)
        )
        raise UsageError(hint)
    known = (
        " ".join("%" + name for name in names("line"))
        + " "
        + " ".join("%%" + name for name in names("cell"))
    )
    raise UsageError(
        "there is no magic %s%s in the plain shell; %s. Here there are %s"
        % (mark, name, plain_shell.INSTALL, known)
    )


def _run_python(body, first_line):
    """Runs the body of a cell magic as part of its cell; answers the last expression's value."""
    cell = session.current
    statements, result = execute.compile_cell("\n" * (first_line - 1) + body, cell.file, True)
    if statements is not None:
        execute.evaluate(statements)
    return execute.evaluate(result) if result is not None else None


def line_cd(line):
    """Changes the working directory; `-` goes back, nothing goes home."""
    target = line.strip().strip("'\"") or "~"
    if target == "-":
        target = session.namespace.get("_previous_directory", ".")
    before = os.getcwd()
    os.chdir(os.path.expanduser(target))
    session.namespace["_previous_directory"] = before
    print(os.getcwd())


def line_pwd(line):
    """The working directory."""
    return os.getcwd()


def line_ls(line):
    """Lists files."""
    from _cellgate import shell_commands

    shell_commands.stream("ls " + line)


def line_env(line):
    """Shows all variables, shows one, or sets one: `%env NAME`, `%env NAME=value`."""
    name, sign, value = line.partition("=")
    if not sign:
        name, sign, value = line.partition(" ")
    name = name.strip()
    if not name:
        return dict(os.environ)
    if not sign:
        if name not in os.environ:
            raise UsageError("the environment has no variable %s" % name)
        return os.environ[name]
    os.environ[name] = value.strip()
    print("env: %s=%s" % (name, value.strip()))


def line_time(line):
    """Runs a statement and tells how long it took."""
    return _timed(line, at_line)


def cell_time(line, body, first_line):
    """Runs the cell and tells how long it took."""
    if line:
        _run_python(line, 1)
    return _timed(body, first_line)


def _timed(code, first_line):
    if not code.strip():
        raise UsageError("%time needs a statement to run")
    before, wall = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    try:
        return _run_python(code, first_line)
    finally:
        wall, now = time.perf_counter() - wall, resource.getrusage(resource.RUSAGE_SELF)
        user, system = now.ru_utime - before.ru_utime, now.ru_stime - before.ru_stime
        print(
            "CPU times: user %s, sys: %s, total: %s"
            % tuple(map(_span, (user, system, user + system)))
        )
        print("Wall time: %s" % _span(wall))


def _span(seconds):
    for unit, size in (("s", 1), ("ms", 1e-3), ("µs", 1e-6)):
        if seconds >= size:
            return "%.3g %s" % (seconds / size, unit)
    return "%.3g ns" % (seconds / 1e-9)


def line_timeit(line):
    """Measures a statement: `%timeit [-n loops] [-r repeats] statement`."""
    return _measured(line, "pass")


def cell_timeit(line, body, first_line):
    """Measures the cell; what stands beside `%%timeit` is done once before."""
    options, setup = _options(line)
    return _measured(options + " " + body, setup or "pass")


def _options(line):
    words, options = line.split(" "), []
    while words and words[0].startswith("-"):
        word = words.pop(0)
        options.append(word)
        if word in ("-n", "-r") and words:
            options.append(words.pop(0))
    return " ".join(options), " ".join(words)


def _measured(text, setup):
    import timeit

    options, statement = _options(text.lstrip())
    words = options.replace("-n", "-n ").replace("-r", "-r ").split()
    if not statement.strip():
        raise UsageError("%timeit needs a statement to measure")
    try:
        given = {words[at]: int(words[at + 1]) for at in range(0, len(words), 2)}
        loops, repeats = given.pop("-n", 0), given.pop("-r", 7)
    except (ValueError, IndexError):
        given = True
    if given or loops < 0 or repeats < 1:
        raise UsageError(
            "%%timeit takes -n LOOPS and -r REPEATS before the statement in the plain shell; %s"
            % plain_shell.INSTALL
        ) from None
    timer = timeit.Timer(statement, setup, globals=session.namespace)
    if not loops:
        loops, _ = timer.autorange()
    spans = [span / loops for span in timer.repeat(repeats, loops)]
    mean = sum(spans) / len(spans)
    deviation = (sum((span - mean) ** 2 for span in spans) / len(spans)) ** 0.5
    print(
        "%s ± %s per loop (mean ± std. dev. of %d run%s, %s loop%s each)"
        % (
            _span(mean),
            _span(deviation),
            repeats,
            "s"[: repeats > 1],
            format(loops, ","),
            "s"[: loops > 1],
        )
    )


def line_pip(line):
    """Installs packages for this session: `%pip install NAME`."""
    from _cellgate import packages

    packages.pip(line)


def line_matplotlib(line):
    """Accepted: figures are shown without it."""
    wanted = line.strip()
    if wanted in ("-l", "--list"):
        print("Available matplotlib backends: ['inline', 'agg']")
    elif wanted not in ("", "inline", "agg", "auto", "widget", "notebook"):
        raise UsageError(
            "there is no screen for matplotlib's %s; figures are shown inline" % wanted
        )
    elif wanted != "agg":
        import matplotlib

        matplotlib.use("module://_cellgate.figures")


def line_lsmagic(line):
    """Names all magics."""
    print("Line magics:  " + "  ".join("%" + name for name in names("line")))
    print("Cell magics:  " + "  ".join("%%" + name for name in names("cell")))


def line_run(line):
    """Runs a Python file in the session's namespace: `%run FILE [arguments]`."""
    import shlex

    argv = shlex.split(line)
    if not argv:
        raise UsageError("%run needs the name of a file")
    with open(argv[0], "rb") as file:
        code = compile(file.read(), argv[0], "exec", 0, True)
    before, sys.argv = sys.argv, argv
    session.namespace["__file__"] = argv[0]
    beside = os.path.dirname(os.path.abspath(argv[0]))
    sys.path.insert(0, beside)  # where Python looks first for what a script imports
    try:
        exec(code, session.namespace)
    except SystemExit as error:
        from _cellgate import program

        if not program.exits_successfully(error):
            raise
    finally:
        sys.argv = before
        session.namespace.pop("__file__", None)
        if beside in sys.path:
            sys.path.remove(beside)


def cell_bash(line, body, first_line):
    """Runs the cell by bash."""
    from _cellgate import shell_commands

    shell_commands.script("bash", body)


def cell_sh(line, body, first_line):
    """Runs the cell by sh."""
    from _cellgate import shell_commands

    shell_commands.script("/bin/sh", body)


def cell_writefile(line, body, first_line):
    """Writes the cell to a file: `%%writefile [-a] FILE`."""
    words = line.split()
    append = "-a" in words
    words = [word for word in words if word != "-a"]
    if len(words) != 1:
        raise UsageError("%%writefile needs the name of one file")
    path = os.path.expanduser(words[0])
    existed = os.path.exists(path)
    with open(path, "a" if append else "w", encoding="utf-8") as file:
        file.write(body if body.endswith("\n") or not body else body + "\n")
    print(
        "%s %s"
        % (
            "Appending to" if append and existed else "Overwriting" if existed else "Writing",
            words[0],
        )
    )


def _showing(name):
    def show(line, body, first_line):
        from _cellgate import display, ipython_display

        display.display(getattr(ipython_display, name)(body))

    show.__doc__ = "Shows the cell as %s." % name
    return show


cell_html = _showing("HTML")
cell_markdown = _showing("Markdown")
cell_latex = _showing("Latex")
cell_svg = _showing("SVG")
cell_javascript = _showing("Javascript")

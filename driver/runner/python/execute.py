"""Runs one cell: compiles it, evaluates it, answers how it ended.

Where IPython's shell runs the cells, it does the first two. In the plain shell cells take a short way: parsed once, the last expression split off, run in `__main__`.
What does not parse as Python may be indented as a whole or hold magic lines; only then are those
looked for, so nothing that is Python is ever misread, and nothing else pays for it.
"""

import sys
from _ast import Expr, Expression
from _io import BufferedWriter, TextIOWrapper

from _cellgate import session, shells, signals, wire
from _cellgate.cell import CELL, Cell
from _cellgate.streams import Stream

_AST_ONLY = 0x400  # PyCF_ONLY_AST
_TOP_LEVEL_AWAIT = 0x2000  # PyCF_ALLOW_TOP_LEVEL_AWAIT
_COROUTINE = 0x80  # CO_COROUTINE: the code awaits
_FUTURES = 0x1FE0000  # every `from __future__` bit of a code object
_STATEMENTS = {"pass", "import", "from", "del"}
_PLAIN = {type(None), bool, int, float, complex, str, bytes}

references = getattr(sys, "getrefcount", lambda _: _OUR_REFERENCES + 1)
_OUR_REFERENCES = 3  # to a cell that just ended: the session's, `run`'s, the count's own

future_flags = 0  # what cells so far imported from __future__
sources = {}  # file name → (id of the cell, its lines), newest last
_MAX_SOURCE_CHARS = 16 << 20  # all sources kept, for the lines in tracebacks
_kept_source_chars = 0
_last_results = [None, None, None]


def run(number, job, pipes):
    """Runs the cell of an EXECUTE; answers what DONE says of it. Never raises."""
    once = job.get("program")
    if once is None:
        shells.load()  # before there is a cell: what it makes would hold it for ever
    cell = session.current = Cell(number, job, pipes)
    CELL.set(cell)
    cell.bind()
    session.repair()
    code = job.get("code", "")
    if once is not None:
        from _cellgate import program

        program.begin(cell, once)
        shells.leave_ipython()
    shells.tell_failure(cell)
    _remember_source(cell, code)
    changed = job.get("env") and _cell_environment().set_for_cell(job["env"])
    wants_value = not cell.silent if once is None else once.get("show_value", True)
    if job.get("comm") is not None:
        from _cellgate import comms

        found, error = guarded(comms.receive, job["comm"])
    elif shells.ipython is not None:
        found, error = guarded(shells.ipython.run, cell, code)
    else:
        found, error = guarded(_run_body, cell, code, wants_value)
    if error is None:
        error = found
    found = None  # its traceback holds the cell
    if once is not None and not session.in_child:
        error = program.end(cell, error)
    if session.in_child:
        from _cellgate import forked_child

        forked_child.finish(cell, error)
    if isinstance(error, SystemExit):
        from _cellgate import program

        if program.exits_successfully(error):
            error = None  # a session goes on, and nothing failed
    outcome = wire.OK
    if error is None and job.get("user_expressions") and not session.in_child:
        from _cellgate import expressions

        _, error = guarded(expressions.answer, cell, job["user_expressions"])
    if error is not None:
        if "matplotlib._pylab_helpers" in sys.modules and not session.in_child:
            guarded(_show_figures)  # what it left open is its own, and not the next cell's
        outcome = wire.INTERRUPTED if isinstance(error, KeyboardInterrupt) else wire.ERROR
        failed = guarded(_report, cell, error)[1]
        if isinstance(failed, KeyboardInterrupt):
            outcome = wire.INTERRUPTED
        if failed is not None:
            _report_name_only(cell, error)
        failed = None  # its traceback holds the cell
    if changed:
        _cell_environment().restore(changed)
    error = None  # its traceback holds the cell
    if not session.in_child:
        guarded(_flush_foreign_streams)
    cell.end()
    session.link.end(cell)
    CELL.set(None)
    # Its tasks, its threads and whatever it had copy a context hold the cell too.
    cell.pipes_reusable = references(cell) <= _OUR_REFERENCES and cell.pipes.are_intact()
    return bytes((outcome, 1)) if cell.pipes_reusable else bytes((outcome,))


def _flush_foreign_streams():
    """Puts into the cell's pipes what streams hold that are not ours: wrappers of user code, and
    the buffers of C."""
    global _modules_seen, _c_library
    workers = sys.modules.get("_cellgate.workers")
    if workers is not None:
        workers.drain()
    found = ()
    if len(session.namespace) < _MOST_NAMES_SEARCHED:
        found = [value for value in session.namespace.values() if type(value) in _WRITERS]
    if found or type(sys.stdout) is not Stream or type(sys.stderr) is not Stream:
        from _cellgate import wrapped_streams

        wrapped_streams.flush(found)
    modules = sys.modules
    if len(modules) != _modules_seen:
        _modules_seen = len(modules)
        # Extensions may write to C's own streams, and which ones do is not known. Loading ctypes
        # for them costs some milliseconds once; numpy has loaded it already.
        if _c_library is None and ("ctypes" in modules or _has_extension(modules)):
            import ctypes

            _c_library = ctypes.CDLL(None)
    if _c_library is not None:
        _c_library.fflush(None)


_WRITERS = {TextIOWrapper, BufferedWriter}
_MOST_NAMES_SEARCHED = 5000  # names of a session that are looked through for streams of the user's
_modules_seen = 0  # how many there were when they were last looked through
_c_library = None  # C's own, if something that may write to its streams is loaded


def _has_extension(modules):
    """Whether a module in machine code is loaded that is not Python's own."""
    for module in list(modules.values()):
        file = getattr(module, "__file__", None)
        if type(file) is str and file.endswith(".so") and "/lib-dynload/" not in file:
            return True
    return False


def guarded(function, *args):
    """Calls what may run user code: answers (value, None) or (None, what it raised)."""
    try:
        try:
            signals.enter_user_code()
            return function(*args), None
        finally:
            signals.leave_user_code()
            sys.settrace(None)
            sys.setprofile(None)
    except BaseException as error:  # SystemExit and GeneratorExit too: the session goes on
        signals.leave_user_code()
        return None, error


def _run_body(cell, code, wants_value):
    """Runs a cell in the plain shell. Raises what the cell raises."""
    body, result = compile_cell(code, cell.file, wants_value)
    if body is not None:
        evaluate(body)
    if result is not None:
        value = evaluate(result)
        if value is not None and not session.in_child:
            _show_result(cell, value)
    if "matplotlib._pylab_helpers" in sys.modules and not session.in_child:
        _show_figures()


def _show_figures():
    from _cellgate import figure_display

    figure_display.show_open()


def evaluate(code):
    value = eval(code, session.namespace)
    if code.co_flags & _COROUTINE:
        from _cellgate import event_loop

        return event_loop.run(value)
    return value


def compile_cell(source, file, wants_value):
    """Two code objects, either may be None: the statements, and the expression at the end.

    Raises SyntaxError, and whatever else `compile` raises for hopeless text.
    """
    global future_flags
    flags = _TOP_LEVEL_AWAIT | future_flags
    if source[:1] == "\ufeff":  # some editors begin files with one; `python FILE` passes over it
        source = source[1:]
    mode = _mode_of_line(source)
    if mode is not None:
        try:
            code = compile(source, file, mode if wants_value else "exec", flags, True)
        except (SyntaxError, ValueError, OverflowError, MemoryError, RecursionError):
            pass  # what follows finds out what it is, and says it well
        else:
            future_flags |= code.co_flags & _FUTURES
            return (code, None) if mode == "exec" or not wants_value else (None, code)
    wrong = None
    try:
        tree = compile(source, file, "exec", flags | _AST_ONLY, True)
    except SyntaxError as error:
        wrong = error
    if wrong is not None:  # outside the clause, or a second error would carry the first along
        from _cellgate import magic_syntax

        source = magic_syntax.python_of(source, wrong)
        tree = compile(source, file, "exec", flags | _AST_ONLY, True)
    statements = tree.body
    last = None
    if wants_value and statements and type(statements[-1]) is Expr:
        if ";" not in source or not _ends_with_semicolon(source, statements[-1]):
            last = statements.pop()
    body = result = None
    if statements:
        body = compile(tree, file, "exec", flags, True)
        future_flags |= body.co_flags & _FUTURES
    if last is not None:
        result = compile(Expression(last.value), file, "eval", flags | future_flags, True)
    return body, result


def _mode_of_line(source):
    """How a cell that is one short line compiles in one step; None if that cannot be told at sight.

    The long way makes a tree of Python objects, to split the last expression off: most of what a
    small cell costs.
    """
    if len(source) > 200 or "\n" in source or ";" in source or "\r" in source:
        return None
    word, _, rest = source.partition(" ")
    if word in _STATEMENTS or (rest[:2] == "= " and word.isidentifier()):
        return "exec"
    return "eval" if source[-1:] == ")" or not ("=" in source or ":" in source) else None


def _ends_with_semicolon(source, last):
    """Whether a semicolon follows the last expression."""
    lines = source.split("\n")[last.end_lineno - 1 :]
    rest = lines[0].encode()[last.end_col_offset :].decode() if lines else ""
    return rest.lstrip().startswith(";")


def _show_result(cell, value):
    _update_last_results(value)
    if type(value) in _PLAIN:
        text = repr(value)
        if len(text) < 1 << 16:
            event = '{"type":"result","execution_count":%d,"data":{"text/plain":%s},"metadata":{}}'
            payload = wire.utf8(event % (cell.count or 0, wire.quote(text)))
            session.publish(cell, payload, last=True)
            return
    from _cellgate import display

    display.show_result(value)


def _update_last_results(value):
    """`_`, `__` and `___` are the last three results, until user code uses the names itself."""
    names, space = ("_", "__", "___"), session.namespace
    if any(space.get(name) is not kept for name, kept in zip(names, _last_results)):
        return
    _last_results.insert(0, value)
    del _last_results[3:]
    space.update(zip(names, _last_results))


def _report(cell, error):
    if shells.ipython is not None:
        shells.ipython.report(cell, error)
        return
    from _cellgate import errors

    errors.report(cell, error)


def _report_name_only(cell, error):
    """What is left to say when the interpreter is too broken to format a traceback."""
    name = type(error).__name__
    event = {"type": "error", "name": name, "value": "", "traceback": [name], "frames": []}
    session.publish(cell, event, last=True)


def _cell_environment():
    from _cellgate import cell_environment

    return cell_environment


def _remember_source(cell, code):
    """Keeps a cell's lines, for tracebacks of what it defined; drops the oldest if too many."""
    global _kept_source_chars
    lines = code.splitlines(True)
    sources[cell.file] = (cell.id, lines)
    _kept_source_chars += len(code)
    while _kept_source_chars > _MAX_SOURCE_CHARS and len(sources) > 1:
        oldest = next(iter(sources))
        _kept_source_chars -= sum(map(len, sources.pop(oldest)[1]))
    linecache = sys.modules.get("linecache")
    if linecache is not None:
        add_to_linecache(linecache, cell.file)


def add_to_linecache(linecache, file):
    """Makes a cell's lines visible to `inspect`, `traceback`, `pdb` and `warnings`."""
    lines = sources[file][1]
    try:
        linecache.cache[file] = (sum(map(len, lines)), None, lines, file)
    except Exception:
        pass  # user code put something else in the module's place

"""Notebooks have the same outputs by the runner as by ipykernel under nbclient.

Each notebook of tests/notebooks is run by both (notebook_runs.py does that, on the interpreter of
CELLGATE_TEST_NOTEBOOK_PYTHON), and what came of each cell is compared: its outputs, and whether it
failed. `normal` removes what differs from run to run. What still differs stands in DIFFERENCES, with
the reason why it may; a difference that is not listed fails, and so does a listed one that does not
occur any more.
"""

import base64
import difflib
import json
import os
import re
import struct
import subprocess
import sys
import unittest

from harness import ROOT, only_in, strip_colours

PYTHON = os.environ.get("CELLGATE_TEST_NOTEBOOK_PYTHON", "")
NOTEBOOKS = os.path.join(ROOT, "tests", "notebooks")
TABLE = "application/vnd.dataresource+json"


# What is removed from both before they are compared: (pattern, what stands in its place).
RUNS = [
    (r"/tmp/ipykernel_\d+/\d+\.py", "<cell>"),  # what ipykernel calls a cell's file
    (r"<cell \d+>", "<cell>"),  # what the runner calls it
    (r"\(\d{6,}\.py, line", "(<cell>, line"),  # in the text of a SyntaxError
    (r"/tmp/cellgate-(kernel|runner)-\w+", "<directory>"),
    (r"0x[0-9a-f]{6,}", "0x…"),
    (r"\bTask-\d+", "Task-…"),
    (r"[\d.]+(e\+\d+)? (ns|μs|µs|us|ms|s)\b", "… s"),  # %time and %timeit
    (r"in \d+\.\d+ seconds", "in … seconds"),  # %prun
    (r" +\d+\.\d{3}(?= )", " …"),
    (r"IPython/core/interactiveshell\.py:\d+", "IPython/core/interactiveshell.py:…"),
    (r"\d\d:\d\d(<|&lt;)\d\d:\d\d, +[\d.?]+(it/s|s/it)", "…"),  # tqdm
    (r"^Matplotlib is building the font cache.*\n", ""),
]


class Difference:
    """One way in which the runner's outputs may differ, and the cells in which they do.

    `rewrite(outputs)` is applied to both sides and removes the difference; `failed` says that one
    side failed and the other did not.
    """

    def __init__(self, why, cells, rewrite=None, failed=False):
        self.why = why
        # {name of a notebook: ids of cells, with blanks between them}
        self.cells = {
            (name, cell)
            for name, listed in cells.items()
            for cell in re.findall(r"\([^)]*\)|\S+", listed)
        }
        self.rewrite = rewrite or (lambda outputs: outputs)
        self.failed = failed


def without(kind):
    """Removes one form of what is shown."""

    def rewrite(outputs):
        return [
            {
                **output,
                "data": {key: value for key, value in output["data"].items() if key != kind},
                "metadata": {k: v for k, v in output["metadata"].items() if k != kind},
            }
            if "data" in output
            else output
            for output in outputs
        ]

    return rewrite


def displays_without(kind):
    """Removes what is shown in one form alone."""
    return lambda outputs: [one for one in outputs if list(one.get("data", ())) != [kind]]


def without_stream(name):
    """Removes stdout or stderr."""
    return lambda outputs: [output for output in outputs if output.get("name") != name]


def without_error(outputs):
    """Removes the error."""
    return [output for output in outputs if output["output_type"] != "error"]


def sorted_by_type(outputs):
    """Removes the order of outputs of several types."""
    return sorted(outputs, key=lambda output: output["output_type"])


def error_as_stderr(outputs):
    """Makes text on stderr of an error; the source in it loses its indentation."""
    rewritten = []
    for output in outputs:
        if output["output_type"] == "error":
            text = "\n".join(output["traceback"]) + "\n"
            output = {"output_type": "stream", "name": "stderr", "text": text}
        if output["output_type"] == "stream":
            text = re.sub(r"(?m)^((-+>| ) *\d+) +", r"\1 ", output["text"])
            output = {**output, "text": text}
        rewritten.append(output)
    return rewritten


def lines_of_streams(outputs):
    """Removes what a terminal adds to lines, and which of stdout and stderr they were written to."""
    rest = [output for output in outputs if output["output_type"] != "stream"]
    texts = [output["text"] for output in outputs if output["output_type"] == "stream"]
    lines = [line for text in texts for line in text.replace("\r\n", "\n").split("\n") if line]
    return [*sorted(line.replace("/usr/bin/sh: ", "/bin/sh: ") for line in lines), *rest]


def frames_alone(outputs):
    """Leaves of a traceback its cells, files and functions, each of those once in a row."""
    rewritten = []
    for output in outputs:
        if output["output_type"] == "error":
            lines = []
            for line in output["traceback"]:
                place = re.match(r"(Cell In\[\d+\]|File [^,]*:\d+)(?:, line \d+)?(?:, in (.*))?$", line)
                if place:
                    function = (place[2] or "").rpartition("<locals>.")[2].split("(")[0]
                    line = ("%s %s" % (place[1], function)).strip()
                elif re.match(r"(-+> *\d+| +\d+|    \[\.\.\.)( |$)| +\w+ = |$", line):
                    continue  # a line of source, a variable, or how often a frame is repeated
                if lines[-1:] != [line]:
                    lines.append(line)
            output = {**output, "traceback": lines}
        rewritten.append(output)
    return rewritten


def names_of_errors(outputs):
    """Leaves of an error its name and value, and nothing of stderr."""
    return [
        {**output, "traceback": []} if output["output_type"] == "error" else output
        for output in without_stream("stderr")(outputs)
    ]


def names_of_group(outputs):
    """Leaves the names and values of an exception group and its members, wherever they stand."""
    lines = []
    for output in outputs:
        lines += output["traceback"] if "traceback" in output else output["text"].split("\n")
    found = [re.fullmatch(r"[ |]*((\w+Error|ExceptionGroup): .*)", line) for line in lines]
    return [match[1] for match in found if match]


def nothing(_):
    """Removes everything, where the two sides do different things."""
    return []


DIFFERENCES = [
    Difference(
        "a DataFrame or a Series has a table too, which the console sorts and filters",
        {"data_frames": "make head describe group pivot missing both options large series"},
        without(TABLE),
    ),
    Difference(
        "recursion is counted from other frames, as the runner's own are not among them",
        {"errors": "recursion"},
        frames_alone,
    ),
    Difference(
        "`open` is Python's own, not the one by which IPython refuses descriptors 0, 1 and 2",
        {"files_and_shells": "load-missing"},
        names_of_errors,
    ),
    Difference(
        "ipykernel prints exception groups to stderr, with frames of IPython; here they are errors "
        "with a traceback, as others are",
        {"asynchronous": "group", "errors": "group"},
        names_of_group,
    ),
    Difference(
        "asyncio.run works in a cell",
        {"asynchronous": "running"},
        nothing,
    ),
    Difference("asyncio.run works in a cell", {"asynchronous": "running"}, failed=True),
    Difference(
        "ipykernel ignores breakpoint() unless a debugger is attached to it; here it asks the client",
        {"debugging": "breakpoint"},
        without_stream("stdout"),
    ),
    Difference(
        "what IPython shows in a pager is printed; ipykernel sends it outside of the outputs",
        {"debugging": "prun help source", "files_and_shells": "pycat"},
        without_stream("stdout"),
    ),
    Difference(
        "SystemExit has a traceback that names the line, and no advice about leaving IPython",
        {"errors": "exits"},
        names_of_errors,
    ),
    Difference(
        "sys.exit(0) ends the cell well, as it would end a program",
        {"errors": "exit-zero"},
        without_error,
    ),
    Difference(
        "sys.exit(0) ends the cell well, as it would end a program",
        {"errors": "exit-zero"},
        failed=True,
    ),
    Difference(
        "a cell that fails has an error: also where a magic is unknown, which ipykernel only prints",
        {"errors": "magic cell-magic"},
        error_as_stderr,
    ),
    Difference(
        "a cell that fails has an error: also where a handler of the user has dealt with it",
        {"errors": "handled"},
        without_error,
    ),
    Difference(
        "a value that cannot be shown does not fail its cell; the traceback is on stderr",
        {"errors": "repr"},
        error_as_stderr,
    ),
    Difference(
        "a value that cannot be shown does not fail its cell; the traceback is on stderr",
        {"errors": "repr"},
        failed=True,
    ),
    Difference(
        "the error is a cell's last output, behind the figures that it has left open",
        {"plots": "fails"},
        sorted_by_type,
    ),
    Difference(
        "shell commands have pipes and no terminal: their lines end without a carriage return, and "
        "their stderr is stderr",
        {"files_and_shells": "shell variables stderr env cat unknown alias"},
        lines_of_streams,
    ),
    Difference(
        "a cell fails when what a magic runs fails, as with %time; IPython only shows the error",
        {"files_and_shells": "run-broken capture-broken", "errors": "timed"},
        failed=True,
    ),
    Difference(
        "only the page of Jupyter has a notebook that saves itself",
        {"files_and_shells": "autosave"},
        displays_without("application/javascript"),
    ),
    Difference(
        "nothing is kept on disk, which is where %history -l looks",
        {"files_and_shells": "history"},
        without_stream("stdout"),
    ),
]


def run(how):
    """Starts the run of all notebooks by `how`, "kernel" or "runner"."""
    script = os.path.join(os.path.dirname(os.path.abspath(__file__)), "notebook_runs.py")
    environment = {**os.environ, "CELLGATE_TEST_PYTHON": PYTHON, "CELLGATE_TEST_SHELL": "ipython"}
    return subprocess.Popen(
        [PYTHON, script, how, *notebooks()], env=environment, text=True,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip


def notebooks():
    """The paths of all notebooks."""
    names = sorted(name for name in os.listdir(NOTEBOOKS) if name.endswith(".ipynb"))
    return [os.path.join(NOTEBOOKS, name) for name in names]


def has_what_it_takes():
    """Whether the interpreter has the packages that run notebooks both ways."""
    code = (
        "import IPython, ipykernel, ipywidgets, matplotlib, nbclient, pandas, sympy, tqdm\n"
        "assert IPython.version_info[0] == 8"  # DIFFERENCES are those of this version
    )
    return bool(PYTHON) and subprocess.run([PYTHON, "-c", code], capture_output=True).returncode == 0


# Normalisation.


def normal(came_of_it):
    """What came of a notebook, without what differs from run to run."""
    text = json.dumps(came_of_it)
    # Ids of comms are random: they are counted in the order in which the comms were opened.
    for number, comm in enumerate(came_of_it["comms"]):
        text = text.replace(comm["id"], "comm-%d" % number)
    came_of_it = json.loads(text)
    cells = came_of_it["cells"]
    cells = {name: normal_outputs(outputs) for name, outputs in cells.items()}
    states = came_of_it["widgets"]
    taken_in = [output for state in states.values() for output in state.pop("outputs", ())]
    if taken_in:  # by Output widgets, compared as if it were that of another cell
        cells["(in widgets)"] = [one for output in taken_in for one in normal_outputs([output])]
    return {**came_of_it, "cells": cells, "comms": texts(came_of_it["comms"]), "widgets": texts(states)}


def normal_outputs(outputs):
    """The outputs of a cell, without what differs from run to run."""
    joined = []
    for output in outputs:
        output = dict(output)
        if output["output_type"] == "stream":
            # Neither side keeps the order of stdout and stderr between two other outputs.
            place = _stream_of(joined, output["name"])
            if place is not None:
                place["text"] += output["text"]
                continue
        elif output["output_type"] == "error":
            output["traceback"] = "\n".join(output["traceback"]).split("\n")
        if "data" in output:
            output["data"] = {kind: form(kind, item) for kind, item in output["data"].items()}
        joined.append(output)
    for at in range(1, len(joined)):
        if [one.get("name") for one in joined[at - 1 : at + 1]] == ["stderr", "stdout"]:
            joined[at - 1 : at + 1] = joined[at], joined[at - 1]
    return texts(joined)


def _stream_of(outputs, name):
    for output in reversed(outputs):
        if output["output_type"] != "stream":
            return None
        if output["name"] == name:
            return output
    return None


def form(kind, item):
    """One form of what is shown: of an image its size, as its bytes hold times and random ids."""
    if kind == "image/png":
        data = base64.b64decode(item)
        assert data.startswith(b"\x89PNG") and data.rstrip().endswith(b"IEND\xaeB`\x82"), data[:20]
        return "PNG of %d x %d" % struct.unpack(">II", data[16:24])
    if kind == "image/svg+xml" and "matplotlib" in item:
        from xml.etree import ElementTree

        root = ElementTree.fromstring(item)
        return "SVG of %s, %d elements" % (root.get("viewBox"), len(list(root.iter())))
    return item


def texts(value):
    """A value with RUNS and colours removed from all its texts."""
    if isinstance(value, str):
        value = strip_colours(value)
        value = re.sub(r"\x1b\[[0-9;]*m", "", value)
        for pattern, place in RUNS:
            value = re.sub(pattern, place, value, flags=re.MULTILINE)
        return value
    if isinstance(value, list):
        return [texts(item) for item in value]
    if isinstance(value, dict):
        return {key: texts(item) for key, item in value.items()}
    return value


def compared(here, there):
    """How two values differ, in lines."""

    def lines(value):
        text = json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False)
        return text.replace("\\n", "\n").split("\n")

    names = {"fromfile": "ipykernel", "tofile": "runner"}
    return "\n".join(difflib.unified_diff(lines(there), lines(here), **names, n=1, lineterm=""))


@only_in("ipython")
class Notebooks(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        if not has_what_it_takes():
            told = "CELLGATE_TEST_NOTEBOOK_PYTHON names no interpreter with IPython 8, ipykernel and nbclient"
            if os.environ.get("CELLGATE_REQUIRE") == "all":
                raise AssertionError("%s, and CELLGATE_REQUIRE=all asks for it" % told)
            print("\nskipped: %s: %s" % (cls.__name__, told), file=sys.stderr)
            raise unittest.SkipTest(told)
        cls.results = {}
        for how, child in [(how, run(how)) for how in ("kernel", "runner")]:
            answer, said = child.communicate()
            if child.returncode:
                raise AssertionError("the run by %s failed: %s" % (how, said))
            cls.results[how] = {name: normal(one) for name, one in json.loads(answer).items()}

    def same(self, here, there):
        """Fails, and shows the difference, unless both are the same."""
        if here != there:
            self.fail("\n" + compared(here, there))

    def each(self):
        """(notebook, what the runner made of it, what ipykernel made of it) of each notebook."""
        for name, there in self.results["kernel"].items():
            yield name, self.results["runner"][name], there

    def test_cells_have_the_same_outputs(self):
        occurred = set()
        for name, here, there in self.each():
            for cell, outputs in there["cells"].items():
                ours = here["cells"][cell]
                for difference in DIFFERENCES:
                    if (name, cell) not in difference.cells:
                        continue
                    rewritten = difference.rewrite(ours), difference.rewrite(outputs)
                    before, after = compared(ours, outputs), compared(*rewritten)
                    ours, outputs = rewritten
                    if before != after:
                        occurred.add((difference.why, name, cell))
                with self.subTest(notebook=name, cell=cell):
                    self.same(ours, outputs)
        for difference in DIFFERENCES:
            if not difference.failed:
                for name, cell in sorted(difference.cells):
                    with self.subTest(listed=difference.why, notebook=name, cell=cell):
                        self.assertTrue((difference.why, name, cell) in occurred, "does not occur")

    def test_cells_fail_alike(self):
        listed = {cell for one in DIFFERENCES if one.failed for cell in one.cells}
        found = {
            (name, cell)
            for name, here, there in self.each()
            for cell, status in there["statuses"].items()
            if here["statuses"][cell] != status
        }
        self.assertEqual(found, listed)

    def test_the_tag_of_cells_that_fail_is_where_it_belongs(self):
        for path in notebooks():
            name = os.path.splitext(os.path.basename(path))[0]
            with open(path) as file:
                cells = [one for one in json.load(file)["cells"] if one["cell_type"] == "code"]
            tagged = {one["id"] for one in cells if "tags" in one["metadata"]}
            statuses = self.results["kernel"][name]["statuses"]
            failed = {cell for cell, status in statuses.items() if status == "error"}
            self.assertEqual(tagged, failed, name)

    def test_widgets_have_the_same_states(self):
        for name, here, there in self.each():
            for part in ("comms", "widgets"):
                with self.subTest(notebook=name, part=part):
                    self.same(here[part], there[part])
        self.assertGreater(len(self.results["runner"]["widgets"]["comms"]), 40)  # it saw them


if __name__ == "__main__":
    unittest.main()

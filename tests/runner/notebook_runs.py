"""Runs notebooks by ipykernel under nbclient, or by the runner; prints what came of them as JSON.

Used by test_notebooks.py, on an interpreter that has nbclient: `notebook_runs.py kernel|runner FILE…`.
In both cases nbclient makes the outputs of a cell from messages, so that both are made by the same
rules: streams, clear_output, updates of displays, and outputs that an Output widget takes in. The
runner's events are turned into Jupyter's messages for that.

Prints {notebook: {"cells": {cell id: outputs}, "statuses": {cell id: "ok" or "error"},
"comms": comm_open messages, "widgets": {comm id: state}}}.
"""

import asyncio
import contextlib
import json
import os
import sys
import tempfile
import traceback
from concurrent.futures import ThreadPoolExecutor

import nbformat
from nbclient import NotebookClient

AT_A_TIME = 2  # notebooks run at once by each side; each needs a processor for most of its time
TIMEOUT = 120  # seconds for one cell; only a hang comes near it
PYTHON = sys.executable
SIZE = {"COLUMNS": "80", "LINES": "24"}  # of a terminal, which some libraries ask for


class _Session:
    """As much of jupyter_client's session as an Output widget uses."""

    @staticmethod
    def msg(kind, content=None, **_):
        """A message."""
        return {"msg_type": kind, "content": content}


class Replies:
    """As much of jupyter_client's client as an Output widget uses: keeps what it sends."""

    session = _Session

    def __init__(self):
        self.sent = []
        self.shell_channel = self

    def send(self, message):
        """Takes a message for the interpreter, which gets it after the cell."""
        self.sent.append(message)


class Assembler(NotebookClient):
    """nbclient, which also keeps the comm_open messages and how each cell has ended.

    What its Output widgets tell the interpreter waits in `replies` until the cell has ended: sent in
    the middle of it, as nbclient does, it can make nbclient miss the end of the cell, as its socket
    tells only once that there is something to read.
    """

    def __init__(self, *args, **options):
        super().__init__(*args, allow_errors=True, **options)
        self.opened = []
        self.replies = Replies()
        self.statuses = {}  # id of a cell → "ok" or "error"

    def handle_comm_msg(self, outs, msg, cell_index):
        """Notes a comm that is opened, and goes on as nbclient does."""
        content = msg["content"]
        if msg["msg_type"] == "comm_open":
            entry = {"id": content["comm_id"], "target": content.get("target_name")}
            # A copy: nbclient changes the state of an Output widget later.
            state = json.loads(json.dumps(content["data"].get("state")))
            self.opened.append({**entry, "cell": cell_index, "state": state})
        super().handle_comm_msg(outs, msg, cell_index)

    def on_comm_open_jupyter_widget(self, msg):
        """Makes nbclient's part of an Output widget."""
        widget = super().on_comm_open_jupyter_widget(msg)
        if widget is not None:
            widget.kernel_client = self.replies
        return widget

    def came_of_it(self):
        """What is compared."""
        cells = {
            cell["id"]: cell["outputs"] for cell in self.nb.cells if cell.cell_type == "code"
        }
        return {
            "cells": cells, "statuses": self.statuses, "comms": self.opened,
            "widgets": self.widget_state,
        }  # fmt: skip


def environment(home):
    """The variables of the interpreter that runs a notebook."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": home, "LANG": "C.UTF-8",
        "PYTHONDONTWRITEBYTECODE": "1", **SIZE,
    }  # fmt: skip


# By ipykernel.


class Kernel(Assembler):
    """Runs a notebook by ipykernel."""

    async def async_start_new_kernel_client(self):
        """Lets cells ask for input."""
        client = await super().async_start_new_kernel_client()
        client.allow_stdin = True
        return client

    async def async_execute_cell(self, cell, cell_index, **options):
        """Runs a cell, and answers its questions by what stands in its metadata."""
        answering = asyncio.ensure_future(self._answer(list(cell.metadata.get("inputs", ()))))
        try:
            return await super().async_execute_cell(cell, cell_index, **options)
        finally:
            answering.cancel()
            while self.replies.sent:
                content = self.replies.sent.pop(0)["content"]
                self.kc.shell_channel.send(self.kc.session.msg("comm_msg", content))

    async def _check_raise_for_error(self, cell, cell_index, exec_reply):
        """Notes how a cell ended."""
        self.statuses[cell.id] = exec_reply["content"]["status"]

    async def _answer(self, answers):
        while answers:
            await self.kc.stdin_channel.get_msg(timeout=None)
            self.kc.input(answers.pop(0))


async def run_by_kernels(notebooks):
    """Runs all notebooks; answers (name, what came of it) of each."""
    allowed = asyncio.Semaphore(AT_A_TIME)

    async def run(name, notebook):
        async with allowed:
            with tempfile.TemporaryDirectory(prefix="cellgate-kernel-") as home:
                client = Kernel(
                    notebook, timeout=TIMEOUT, kernel_name="python3",
                    resources={"metadata": {"path": home}},
                )  # fmt: skip
                await client.async_execute(env=environment(home))
                return name, client.came_of_it()

    return await asyncio.gather(*(run(*each) for each in notebooks.items()))


# By the runner.


def message_of(kind, event, cell):
    """The message of Jupyter that says what an event of the runner says."""
    transient = {"display_id": event["display_id"]} if "display_id" in event else {}
    if kind == "result":
        kind = "execute_result"
        content = {key: event[key] for key in ("data", "metadata", "execution_count")}
    elif kind == "display":
        kind = "update_display_data" if event.get("update") else "display_data"
        content = {"data": event["data"], "metadata": event["metadata"], "transient": transient}
    elif kind == "error":
        content = {
            "ename": event["name"], "evalue": event["value"], "traceback": event["traceback"],
        }  # fmt: skip
    else:
        content = event
    header = {"msg_id": cell}
    return {
        "msg_type": kind, "header": {"msg_type": kind}, "content": content,
        "parent_header": header, "metadata": event.get("metadata", {}), "buffers": [],
    }  # fmt: skip


def run_by_runner(name, notebook):
    """Runs one notebook; answers (name, what came of it)."""
    from harness import Runner

    client = Assembler(notebook)
    replies = client.replies
    runner = Runner(python=PYTHON, env=SIZE)
    try:
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code":
                continue
            cell.outputs = []
            client.clear_before_next_output = False
            runner.inputs = [{"text": text} for text in cell.metadata.get("inputs", ())]
            done = runner.run(cell.source, id=cell.id)
            client.statuses[cell.id] = "ok" if done.outcome == "ok" else "error"
            take(client, done, cell.id, cell, index)
            while replies.sent:
                content = replies.sent.pop(0)["content"]
                comm = {"type": "comm_msg", **content}
                told = runner.run("", silent=True, comm=comm, id="told")
                take(client, told, "told", cell, index)
        return name, client.came_of_it()
    finally:
        runner.close()


def take(client, done, msg_id, cell, index):
    """Puts what came of a cell into the notebook."""
    for kind, event in done.order():
        if kind in ("stdout", "stderr"):
            kind, event = "stream", {"name": kind, "text": event}
        if kind not in ("input_request", "user_expressions"):
            client.process_message(message_of(kind, event, msg_id), cell, index)


def main():
    """Runs the notebooks that the arguments name."""
    how, *files = sys.argv[1:]
    notebooks = {
        os.path.splitext(os.path.basename(file))[0]: nbformat.read(file, as_version=4)
        for file in files
    }
    answer = os.dup(1)
    os.dup2(2, 1)  # what libraries print is no part of the answer
    if how == "kernel":
        done = asyncio.run(run_by_kernels(notebooks))
    else:
        with ThreadPoolExecutor(AT_A_TIME) as threads:
            done = list(threads.map(lambda each: run_by_runner(*each), notebooks.items()))
    with os.fdopen(answer, "w") as file:
        json.dump(dict(done), file)


if __name__ == "__main__":
    main()

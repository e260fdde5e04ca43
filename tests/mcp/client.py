"""Uses the door for agents as an agent's program does, with the Python SDK: over HTTP or over standard input and
output, in the revision that both know or in an older one. Prints the name of each check that has passed.

    client.py http URL TOKEN MODE
    client.py stdio MODE PROGRAM ARGUMENTS…
"""

import asyncio
import base64
import json
import struct
import sys
import time

import httpx2
from mcp import Client
from mcp.client.stdio import StdioServerParameters
from mcp.client.streamable_http import streamable_http_client

TOOLS = {
    "run_code",
    "wait_for_cell",
    "interrupt",
    "restart",
    "list_files",
    "read_file",
    "write_file",
    "list_sessions",
    "end_session",
}


def text(result):
    return result.content[0].text


class Agent:
    """A client with one session."""

    def __init__(self, client):
        self.client = client
        self.session = None

    async def call(self, tool, is_error=False, progress=None, **arguments):
        if self.session and tool not in ("list_sessions",):
            arguments.setdefault("session_id", self.session)
        result = await self.client.call_tool(tool, arguments, progress_callback=progress)
        assert bool(result.is_error) == is_error, (tool, arguments, result)
        return result

    async def run(self, code, **more):
        result = await self.call("run_code", code=code, **more)
        self.session = result.structured_content["session_id"]
        return result


async def tools_are_described(agent):
    tools = (await agent.client.list_tools()).tools
    assert {tool.name for tool in tools} == TOOLS
    run = tools[0]
    assert run.name == "run_code" and run.input_schema["required"] == ["code"], run
    assert "MiB of files" in run.description, run.description
    assert "There is no network" in run.description, run.description
    for tool in tools:
        assert tool.title and tool.annotations and tool.description, tool
    assert "session_id" in agent.client.instructions


async def state_stays_in_a_session(agent):
    first = await agent.run("x = 6\nprint('hi')\nx * 7")
    told = first.structured_content
    assert (told["status"], told["stdout"], told["result"]) == ("ok", "hi\n", "42"), told
    assert told["state_kept"] and not told["truncated"], told
    assert text(first).startswith("hi\n42\n"), text(first)
    assert (await agent.run("x + 1")).structured_content["result"] == "7"
    agent.session, kept = None, agent.session
    other = await agent.run("x", is_error=True)
    assert other.structured_content["error"]["name"] == "NameError"
    assert agent.session != kept
    await agent.call("end_session")
    agent.session = kept


async def an_exception_is_an_error(agent):
    result = await agent.run("print('before')\n1 / 0", is_error=True)
    told = result.structured_content
    assert told["status"] == "error" and told["error"]["name"] == "ZeroDivisionError", told
    assert "before\n" in text(result) and "ZeroDivisionError" in text(result), text(result)
    assert "\x1b" not in text(result), text(result)


async def progress_is_told_while_a_cell_prints(agent):
    told = []

    async def progress(number, _total, message):
        told.append((time.monotonic(), number, message))

    code = "import time\nfor i in range(8):\n  print('line', i, flush=True)\n  time.sleep(0.25)"
    await agent.run(code, progress=progress)
    ended = time.monotonic()
    assert len(told) >= 3, told
    numbers = [number for _, number, _ in told]
    assert all(one < next for one, next in zip(numbers, numbers[1:])), told
    assert told[0][2].startswith("line "), told
    assert told[0][0] < ended - 0.5, "told while it runs"


async def a_cell_outlives_its_call(agent):
    code = "import time\nprint('begun', flush=True)\ntime.sleep(1.5)\nprint('ended')"
    running = (await agent.run(code, timeout_ms=400)).structured_content
    assert running["status"] == "running" and running["duration_ms"] is None, running
    ended = (await agent.call("wait_for_cell", cell=running["cell"])).structured_content
    assert (ended["status"], ended["stdout"]) == ("ok", "begun\nended\n"), ended
    again = (await agent.call("wait_for_cell", cell=running["cell"])).structured_content
    assert again == ended, "what came of it is answered as often as it is asked"
    unknown = await agent.call("wait_for_cell", is_error=True, cell="nothing")
    assert "log holds nothing" in text(unknown), unknown


async def a_cell_is_interrupted(agent):
    code = "kept = 1\nimport time\ntime.sleep(60)"
    running = (await agent.run(code, timeout_ms=300)).structured_content
    await agent.call("interrupt", cell=running["cell"])
    ended = await agent.call("wait_for_cell", is_error=True, cell=running["cell"])
    assert ended.structured_content["status"] == "interrupted", ended
    assert (await agent.run("kept")).structured_content["result"] == "1"


async def a_cancelled_call_interrupts_its_cell(agent):
    began = time.monotonic()
    calling = asyncio.create_task(agent.run("cancelled = 1\nimport time\ntime.sleep(60)"))
    await asyncio.sleep(1)  # so that it runs
    calling.cancel()
    try:
        await calling
        raise AssertionError("it was cancelled")
    except asyncio.CancelledError:
        pass
    # The next cell waits for the one before it.
    assert (await agent.run("cancelled")).structured_content["result"] == "1"
    assert time.monotonic() - began < 20


async def of_much_output_the_ends_are_told_and_all_is_linked(agent):
    result = await agent.run("for i in range(20_000): print('row', i)")
    assert result.structured_content["truncated"], result.structured_content
    shown = text(result)
    assert len(shown) < 31_000 and "row 0\n" in shown and "row 19999\n" in shown, len(shown)
    assert "bytes left out" in shown, shown
    (link,) = [block for block in result.content if block.type == "resource_link"]
    everything = (await agent.client.read_resource(link.uri)).contents[0].text
    assert everything == "".join(f"row {i}\n" for i in range(20_000)), len(everything)


async def an_image_is_an_image(agent):
    png = (
        "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
    )
    show = (
        "import base64\nclass Picture:\n  def __init__(self, png): self.png = png\n"
        "  def _repr_png_(self): return self.png\n"
    )
    result = await agent.run(f"{show}Picture(base64.b64decode({png!r}))")
    (image,) = [block for block in result.content if block.type == "image"]
    assert (image.mime_type, image.data) == ("image/png", png), image
    assert png not in json.dumps(result.structured_content), "images are not for programs"
    # A large one is scaled to what models look at.
    wide = (
        "import struct, zlib\ndef chunk(kind, data):\n"
        "  return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))\n"
        "rows = zlib.compress((b'\\0' + bytes(3136)) * 100)\n"
        "head = struct.pack('>IIBBBBB', 3136, 100, 8, 0, 0, 0, 0)\n"
        "Picture(b'\\x89PNG\\r\\n\\x1a\\n' + chunk(b'IHDR', head) + chunk(b'IDAT', rows) + chunk(b'IEND', b''))"
    )
    result = await agent.run(wide)
    (image,) = [block for block in result.content if block.type == "image"]
    assert image.mime_type == "image/png", image.mime_type
    size = struct.unpack(">II", base64.b64decode(image.data)[16:24])
    assert size == (1568, 50), size
    # One that cannot be made to fit is linked.
    large = "b'\\x89PNG\\r\\n\\x1a\\n' + bytes(700_000)"
    result = await agent.run(f"Picture({large})")
    (link,) = [block for block in result.content if block.type == "resource_link"]
    assert result.structured_content["truncated"] and link.mime_type == "image/png", result
    try:
        contents = (await agent.client.read_resource(link.uri)).contents[0]
        assert len(base64.b64decode(contents.blob)) == 700_008, len(contents.blob)
    except Exception as error:  # what this client takes of a stream in one message is bounded
        assert "size" in str(error).lower() or "limit" in str(error).lower(), error


async def files_are_listed_read_and_written(agent):
    await agent.call("write_file", path="in/a.txt", text="één\n")
    await agent.call("write_file", path="b.bin", base64=base64.b64encode(bytes(range(256))).decode())
    await agent.call("write_file", is_error=True, path="c", text="x", base64="eA==")
    result = await agent.run("open('made.txt', 'w').write('by code')\nopen('in/a.txt').read()")
    assert result.structured_content["files_changed"] == ["made.txt"], result.structured_content
    assert result.structured_content["result"] == "'één\\n'", result.structured_content
    listed = (await agent.call("list_files")).structured_content
    kinds = {entry["path"]: (entry["kind"], entry["size"]) for entry in listed["entries"]}
    assert kinds["made.txt"] == ("file", 7) and kinds["in"][0] == "directory", kinds
    listed = (await agent.call("list_files", path="in/")).structured_content
    assert [entry["path"] for entry in listed["entries"]] == ["in/a.txt"], listed
    assert text(await agent.call("read_file", path="./made.txt")) == "by code"
    binary = await agent.call("read_file", path="b.bin")
    (link,) = [block for block in binary.content if block.type == "resource_link"]
    contents = (await agent.client.read_resource(link.uri)).contents[0]
    assert base64.b64decode(contents.blob) == bytes(range(256)), contents
    for path in ("../x", "/etc/passwd", "missing"):
        await agent.call("read_file", is_error=True, path=path)
    await agent.run("import os; os.symlink('/etc/passwd', 'out')")
    await agent.call("read_file", is_error=True, path="out")


async def wrong_arguments_are_told_to_the_model(agent):
    for tool, arguments in [
        ("run_code", {}),
        ("run_code", {"code": "1", "timeout_ms": 0}),
        ("run_code", {"code": "1", "unknown": 1}),
        ("run_code", {"code": "1", "session_id": "aaaaaaaaaaaa"}),
        ("interrupt", {"cell": "nothing"}),
    ]:
        result = await agent.call(tool, is_error=True, **arguments)
        assert len(text(result)) > 20, result


async def a_restart_forgets_variables_and_keeps_files(agent):
    await agent.run("gone = 1\nopen('stays', 'w').close()")
    await agent.call("restart")
    result = await agent.run("import os\nprint(os.path.exists('stays'), 'gone' in globals())")
    assert result.structured_content["stdout"] == "True False\n", result


async def sessions_are_listed_and_ended(agent):
    listed = (await agent.call("list_sessions")).structured_content["sessions"]
    assert agent.session in [session["session_id"] for session in listed], listed
    await agent.call("end_session")
    listed = (await agent.call("list_sessions")).structured_content["sessions"]
    assert agent.session not in [session["session_id"] for session in listed], listed
    over = await agent.call("run_code", is_error=True, code="1")
    assert "without session_id" in text(over), over


CHECKS = [
    tools_are_described,
    state_stays_in_a_session,
    an_exception_is_an_error,
    progress_is_told_while_a_cell_prints,
    a_cell_outlives_its_call,
    a_cell_is_interrupted,
    a_cancelled_call_interrupts_its_cell,
    of_much_output_the_ends_are_told_and_all_is_linked,
    an_image_is_an_image,
    files_are_listed_read_and_written,
    wrong_arguments_are_told_to_the_model,
    a_restart_forgets_variables_and_keeps_files,
    sessions_are_listed_and_ended,
]


async def main(way, *arguments):
    if way == "http":
        url, token, mode = arguments
        http = httpx2.AsyncClient(headers={"Authorization": f"Bearer {token}"}, timeout=60)
        server = streamable_http_client(url, http_client=http)
    else:
        mode, program, *rest = arguments
        server = StdioServerParameters(command=program, args=rest)
    async with Client(server, mode=mode) as client:
        stateless = client.protocol_version >= "2026-07-28"
        assert stateless == (mode == "auto"), client.protocol_version
        agent = Agent(client)
        for check in CHECKS:
            async with asyncio.timeout(60):
                await check(agent)
            print(check.__name__, flush=True)


asyncio.run(main(*sys.argv[1:]))

"""Records what ipywidgets, tqdm and anywidget send, in the form of the gateway's events: writes widgets.json beside it.

    pip install ipywidgets ipykernel jupyter_client anywidget tqdm
    python widgets.py

A program is a cell (`code`) or a message of a client (`comm_id`, `data`). In the events the id of the run is "$RUN".
"""

import base64
import json
from pathlib import Path

from jupyter_client.manager import start_new_kernel

STREAMS = {"stream", "display_data", "execute_result", "error", "clear_output"}
manager, client = start_new_kernel(kernel_name="python3")
programs = {}


def event(message):
    """The gateway's event for a message of the kernel; nothing for what has no counterpart."""
    kind, content = message["msg_type"], message["content"]
    made = {}
    if kind.startswith("comm"):
        made = {"type": kind, "comm_id": content["comm_id"], "data": content["data"], "metadata": message["metadata"]}
        if kind == "comm_open":
            made["target_name"] = content["target_name"]
        if message["buffers"]:
            made["buffers"] = [base64.b64encode(bytes(one)).decode() for one in message["buffers"]]
    elif kind == "stream":
        made = {"type": content["name"], "text": content["text"]}
    elif kind == "clear_output":
        made = {"type": "clear_output", "wait": content["wait"]}
    elif kind == "display_data":
        made = {"type": "display", "data": content["data"], "metadata": content["metadata"]}
    elif kind == "execute_result":
        made = {"type": "result", "data": content["data"], "metadata": content["metadata"]}
    return made


def events(run):
    found = []
    while True:
        message = client.get_iopub_msg(timeout=20)
        if message["msg_type"] == "status" and message["parent_header"].get("msg_id") == run:
            if message["content"]["execution_state"] == "idle":
                return json.loads(json.dumps(found).replace(run, "$RUN"))
        elif made := event(message):
            found.append(made)


def cell(name, code):
    programs[name] = {"code": code, "events": events(client.execute(code))}


def sends(name, kind, content, metadata=None):
    message = client.session.msg(kind, content, metadata=metadata)
    client.shell_channel.send(message)
    programs[name] = {**content, "events": events(message["header"]["msg_id"])}


def model(program, name):
    return next(e["comm_id"] for e in programs[program]["events"] if e["type"] == "comm_open" and e["data"]["state"]["_model_name"] == name)


def update(name, comm_id, state):
    sends(name, "comm_msg", {"comm_id": comm_id, "data": {"method": "update", "state": state, "buffer_paths": []}})


def click(name, comm_id):
    sends(name, "comm_msg", {"comm_id": comm_id, "data": {"method": "custom", "content": {"event": "click"}}})


cell("slider", "import ipywidgets as w\ns = w.IntSlider(value=7, description='Count')\ns")
update("slider moves", model("slider", "IntSliderModel"), {"value": 42})
control = {"comm_id": "control", "target_name": "jupyter.widget.control", "data": {}}
sends("control opens", "comm_open", control, {"version": "1.0.0"})
sends("control", "comm_msg", {"comm_id": "control", "data": {"method": "request_states"}})
cell("interact", "def f(x):\n    print('x is', x)\n    return x * 2\nw.interact(f, x=(0, 10));")
update("interact moves", model("interact", "IntSliderModel"), {"value": 8})
cell("tqdm", "from tqdm.notebook import tqdm\nimport time\nfor i in tqdm(range(3), desc='Load'):\n    time.sleep(0.12)")
cell(
    "button",
    "b = w.Button(description='Press')\no = w.Output()\nn = 0\ndef press(_):\n    global n\n    n += 1\n    with o:\n        print('pressed', n)\n"
    "b.on_click(press)\nw.VBox([b, o])",
)
click("button pressed", model("button", "ButtonModel"))
cell("outside", "b2 = w.Button(description='Say')\nb2.on_click(lambda _: print('said outside'))\nb2")
click("outside pressed", model("outside", "ButtonModel"))
cell(
    "counter",
    """import anywidget, traitlets
class Counter(anywidget.AnyWidget):
    _esm = '''
    function render({ model, el }) {
      const button = document.createElement("button");
      button.className = "counter";
      const draw = () => { button.textContent = `count is ${model.get("value")}`; };
      button.onclick = () => { model.set("value", model.get("value") + 1); model.save_changes(); };
      model.on("change:value", draw);
      draw();
      el.append(button);
    }
    export default { render };
    '''
    _css = '.counter { color: rgb(1, 2, 3); }'
    value = traitlets.Int(0).tag(sync=True)
Counter(value=3)""",
)
update("counter pressed", model("counter", "AnyModel"), {"value": 4})
cell("image", f"import base64\nw.Image(value=base64.b64decode('{base64.b64encode(bytes(range(16))).decode()}'), format='png')")
cell("nested", "out = w.Output()\nwith out:\n    display(w.Label('inside'))\nout")
cell(
    "tour",
    "w.VBox([w.Dropdown(options=['a', 'b'], description='Pick'), w.Checkbox(description='Tick'), w.DatePicker(description='Day'),\n"
    "  w.FloatRangeSlider(value=[2, 5], description='Range'), w.Text(value='words', description='Text'), w.HTML('<b>bold</b>'),\n"
    "  w.HTMLMath('$x^2$ is a formula'), w.Play(), w.ColorPicker(description='Ink'), w.FileUpload(), w.SelectMultiple(options=['p', 'q']),\n"
    "  w.ToggleButtons(options=['x', 'y']), w.TagsInput(value=['tag']), w.Valid(value=True), w.Tab([w.Label('in a tab'), w.Label('in another')], titles=['One', 'Other']),\n"
    "  w.Accordion([w.Label('in an accordion')], titles=['Two']), w.Button(description='Good', button_style='success', icon='check')])",
)
manager.shutdown_kernel(now=True)
lines = [
    f"{json.dumps(name)}: {{{', '.join(f'{json.dumps(key)}: {json.dumps(value)}' for key, value in program.items() if key != 'events')}, \"events\": [\n"
    + ",\n".join(json.dumps(one) for one in program["events"])
    + "\n]}"
    for name, program in programs.items()
]
(Path(__file__).parent / "widgets.json").write_text("{\n" + ",\n".join(lines) + "\n}\n")

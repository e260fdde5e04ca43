// Jupyter's widgets, with what ipywidgets really sends (test/recorded/widgets.py).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, lines, stage } from "./console.mjs";

const RECORDED = JSON.parse(await readFile(new URL("../recorded/widgets.json", import.meta.url)));

/** Plays the events of a recorded program as this run; `change` may change their text. */
function replay(name, cell, change = (text) => text) {
  for (const recorded of RECORDED[name].events) {
    const { type, ...fields } = JSON.parse(change(JSON.stringify(recorded).replaceAll("$RUN", cell.id)));
    cell.emit(type, fields);
  }
}

const own = {};

async function script(code, cell) {
  const name = Object.keys(RECORDED).find((one) => RECORDED[one].code === code);
  if (name) return replay(name, cell);
  const made = own[code];
  if (!made) throw new Error(`no test program is this code:\n${code}`);
  return made(cell);
}

const modelOf = (program, name) => RECORDED[program].events.find((event) => event.type === "comm_open" && event.data.state._model_name === name).comm_id;
const SLIDER = modelOf("slider", "IntSliderModel");
const INTERACT = modelOf("interact", "IntSliderModel");
const replies = {};

async function comm(message, cell) {
  const { comm_id, data } = message;
  if (data?.method === "request_states") {
    const { comm_id: _, type, ...fields } = RECORDED.control.events[0];
    return cell.emit(type, { ...fields, comm_id });
  }
  if (replies[comm_id]) return replies[comm_id](message, cell);
  if (data?.method === "update") cell.emit("comm_msg", { comm_id, data: { ...data, method: "echo_update" }, metadata: {} });
}
replies[INTERACT] = ({ data }, cell) => {
  const { value } = data.state;
  replay("interact moves", cell, (text) => text.replace('"value":8', `"value":${value}`).replace("x is 8", `x is ${value}`).replace('"16"', `"${value * 2}"`));
};
replies[modelOf("button", "ButtonModel")] = (_, cell) => replay("button pressed", cell);
replies[modelOf("outside", "ButtonModel")] = (_, cell) => replay("outside pressed", cell);

const the = stage({ gatewayOptions: { scripted: true, script, comm } });
const { fresh, open } = the;
const frameOf = (console_, number = 1) => console_.output(number).frameLocator("iframe");
const sent = () => the.gateway.received.filter(({ type }) => type.startsWith("comm_"));
const until = async (holds, what) => {
  for (let at = 0; at < 400; at += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
  assert.fail(what);
};

/** Presses an arrow key in the slider of a frame. */
async function step(frame, key = "ArrowRight") {
  await frame.locator(".noUi-handle").click();
  await frame.locator(".noUi-handle").press(key);
}

test("a slider is shown, and moving it tells the interpreter", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.slider.code);
  const frame = frameOf(console_);
  await frame.getByText("Count").waitFor();
  assert.equal(await frame.locator(".widget-readout").textContent(), "7");
  await step(frame);
  await until(() => sent().length > 0, "nothing was sent");
  const { type, comm_id, data, id } = sent()[0];
  assert.deepEqual({ type, comm_id, data }, { type: "comm_msg", comm_id: SLIDER, data: { method: "update", state: { value: 8 }, buffer_paths: [] } });
  assert.match(id, /^comm-/);
  assert.equal(await frame.locator(".widget-readout").textContent(), "8");
  await console_.page.locator(".state", { hasText: "Ready" }).waitFor();
  assert.equal(await console_.page.locator(".cell").count(), 1, "the run of the message is no cell");
  assert.deepEqual(console_.complaints, []);
  await accessible(console_.page, "a slider");
});

test("two participants move the same slider, and who comes late sees where it stands", async () => {
  const first = await fresh();
  await first.runTo(1, RECORDED.slider.code);
  await frameOf(first).getByText("Count").waitFor();
  const [session] = the.gateway.sessions.values();
  const second = await open({ fragment: `session=${session.id}&token=${session.tokenFor("editor")}` });
  await second.output(1).getByRole("button", { name: "Always in this session" }).click();
  await frameOf(second).getByText("Count").waitFor();
  await step(frameOf(first));
  await frameOf(second).locator(".widget-readout", { hasText: /^8$/ }).waitFor();
  await step(frameOf(second));
  await frameOf(first).locator(".widget-readout", { hasText: /^9$/ }).waitFor();
  await step(frameOf(first));
  await frameOf(second).locator(".widget-readout", { hasText: /^10$/ }).waitFor();
  const count = sent().length;
  assert.equal(count, 3, "who only follows sends nothing");
  // The page loaded anew has the present value from the log.
  await first.page.reload();
  await frameOf(first).locator(".widget-readout", { hasText: /^10$/ }).waitFor();
  // A viewer sees it, and moves nothing.
  const viewer = await open({ fragment: `session=${session.id}&token=${session.tokenFor("viewer")}` });
  await viewer.output(1).getByRole("button", { name: "Run its scripts" }).click();
  await frameOf(viewer).locator(".widget-readout", { hasText: /^10$/ }).waitFor();
  await frameOf(viewer).locator(".noUi-handle").press("ArrowRight");
  await frameOf(viewer).locator(".widget-readout", { hasText: /^10$/ }).waitFor();
  await step(frameOf(second));
  await frameOf(viewer).locator(".widget-readout", { hasText: /^11$/ }).waitFor();
  assert.equal(sent().length, count + 1);
  for (const console_ of [first, second, viewer]) assert.deepEqual(console_.complaints, []);
});

test("interact shows what its function printed and answered, anew with each value", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.interact.code);
  const frame = frameOf(console_);
  await frame.getByText("x is 5").waitFor();
  assert.deepEqual(await frame.locator(".terminal").allTextContents(), ["x is 5", "10"]);
  await step(frame);
  await frame.getByText("x is 6").waitFor();
  assert.deepEqual(await frame.locator(".terminal").allTextContents(), ["x is 6", "12"]);
  assert.equal(await console_.output(1).locator(".line").count(), 0, "nothing of it is below the widget");
  await console_.page.reload();
  await frame.getByText("x is 6").waitFor();
  assert.deepEqual(console_.complaints, []);
});

test("states wait while the interpreter is behind, and the newest is sent", async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  replies[SLIDER] = async ({ comm_id, data }, cell) => {
    await held;
    cell.emit("comm_msg", { comm_id, data: { ...data, method: "echo_update" }, metadata: {} });
  };
  try {
    const console_ = await fresh();
    await console_.runTo(1, RECORDED.slider.code);
    const frame = frameOf(console_);
    await step(frame);
    for (let at = 0; at < 9; at += 1) await frame.locator(".noUi-handle").press("ArrowRight");
    await frame.locator(".widget-readout", { hasText: /^17$/ }).waitFor();
    assert.deepEqual(sent().map(({ data }) => data.state.value), [8]);
    release();
    await until(() => sent().length === 2, "the newest was not sent");
    assert.deepEqual(sent()[1].data.state.value, 17);
    await console_.page.locator(".state", { hasText: "Ready" }).waitFor();
    assert.equal(await frame.locator(".widget-readout").textContent(), "17", "older echoes do not move it back");
  } finally {
    delete replies[SLIDER];
  }
});

test("a bar of tqdm fills", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.tqdm.code);
  const frame = frameOf(console_);
  await frame.getByText(/Load:\s*100%/).waitFor();
  await frame.getByText(/3\/3/).waitFor();
  await frame.locator(".progress-bar-success").waitFor();
  assert.deepEqual(console_.complaints, []);
});

own.closes = (cell) => {
  replay("tqdm", cell);
  cell.emit("comm_close", { comm_id: modelOf("tqdm", "HBoxModel"), data: {} });
};

test("a bar that is closed at once leaves nothing", async () => {
  const console_ = await fresh();
  await console_.runTo(1, "closes");
  await console_.page.waitForFunction(() => document.querySelector(".output").getBoundingClientRect().height < 4);
  await console_.page.reload();
  await console_.phase(1, "ok");
  await console_.page.waitForFunction(() => document.querySelector(".output").getBoundingClientRect().height < 4);
  assert.deepEqual(console_.complaints, []);
});

test("a button's output goes into its Output widget, or below the cell that made it", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.button.code);
  await frameOf(console_).getByRole("button", { name: "Press" }).click();
  await frameOf(console_).getByText("pressed 1").waitFor();
  assert.deepEqual(await lines(console_, 1), []);
  await console_.page.locator(".add").click();
  await console_.runTo(2, RECORDED.outside.code);
  await frameOf(console_, 2).getByRole("button", { name: "Say" }).click();
  await console_.output(2).locator(".line", { hasText: "said outside" }).waitFor();
  assert.deepEqual(await lines(console_, 1), []);
  assert.equal(await console_.cell(2).getAttribute("data-phase"), "ok");
  assert.equal(await console_.page.locator(".cell").count(), 2);
  assert.deepEqual(console_.complaints, []);
});

test("a widget of anywidget runs its module, and bytes arrive", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.counter.code);
  const button = frameOf(console_).locator("button.counter");
  await button.click();
  await until(() => sent().length === 1, "nothing was sent");
  assert.deepEqual(sent()[0].data, { method: "update", state: { value: 4 }, buffer_paths: [] });
  assert.equal(await button.textContent(), "count is 4");
  assert.equal(await button.evaluate((e) => getComputedStyle(e).color), "rgb(1, 2, 3)");
  await console_.page.locator(".add").click();
  await console_.runTo(2, RECORDED.nested.code);
  await frameOf(console_, 2).getByText("inside").waitFor();
  assert.deepEqual(console_.complaints, []);
});

test("all of Jupyter's own controls are drawn, in both themes", async () => {
  const console_ = await fresh({ colorScheme: "dark" });
  await console_.runTo(1, RECORDED.tour.code);
  const frame = frameOf(console_);
  await frame.getByText("in a tab").waitFor();
  await frame.locator("math").waitFor();
  const ink = () => frame.locator("label", { hasText: "Pick" }).evaluate((e) => getComputedStyle(e).color);
  assert.equal(await ink(), "rgb(220, 223, 228)");
  await console_.page.emulateMedia({ colorScheme: "light" });
  await until(async () => await ink() === "rgb(31, 36, 48)", "the ink of the dark theme stays");
  assert.equal(await frame.getByText("in another").isVisible(), false);
  await frame.getByText("Other", { exact: true }).click();
  await frame.getByText("in another").waitFor();
  assert.equal(await frame.getByText("in a tab").isVisible(), false);
  assert.equal(await frame.getByText("in an accordion").isVisible(), false);
  await frame.getByText("Two").click();
  await frame.getByText("in an accordion").waitFor();
  assert.deepEqual(console_.complaints, []);
});

/** A widget of anywidget with that module. */
function any(id, esm) {
  return (cell) => {
    cell.emit("comm_open", { comm_id: `${id}-layout`, target_name: "jupyter.widget", data: { state: { _model_module: "@jupyter-widgets/base", _model_module_version: "2.0.0", _model_name: "LayoutModel", _view_module: "@jupyter-widgets/base", _view_module_version: "2.0.0", _view_name: "LayoutView" } }, metadata: { version: "2.1.0" } });
    cell.emit("comm_open", {
      comm_id: id, target_name: "jupyter.widget", metadata: { version: "2.1.0" },
      data: { state: { _model_module: "anywidget", _model_module_version: "~0.11.*", _model_name: "AnyModel", _view_module: "anywidget", _view_module_version: "~0.11.*", _view_name: "AnyView", _esm: esm, _anywidget_id: id, layout: `IPY_MODEL_${id}-layout`, value: 0 } },
    });
    cell.result({ "text/plain": "Hostile()", "application/vnd.jupyter.widget-view+json": { model_id: id, version_major: 2, version_minor: 0 } });
  };
}

own.hostile = any("mine", `export default { render({ model, el }) {
  const say = (id, data, more) => parent.postMessage({ cellgate: "comm", id, token: "1", data, buffers: [], touched: true, ...more }, "*");
  const update = { method: "update", state: { value: 99 }, buffer_paths: [] };
  say("${SLIDER}", update);
  say("nobody", update);
  say("mine", { method: "request_states" });
  say("mine", null);
  say("mine", { method: "update", state: null, buffer_paths: [] });
  say("mine", update, { buffers: ["AAAA"] });
  say("mine", update, { token: "t".repeat(1000) });
  say(["mine"], update);
  say("mine", { method: "custom", content: "x".repeat(2 << 20) });
  parent.postMessage({ cellgate: "comm" }, "*");
  parent.postMessage({ type: "execute", code: "1" }, "*");
  say("mine", { method: "custom", content: "allowed", comm_id: "${SLIDER}", type: "execute" }, { type: "execute" });
  el.textContent = "done";
} }`);

test("a hostile frame sends to its own models alone, and nothing that is malformed or huge", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.slider.code);
  await frameOf(console_).getByText("Count").waitFor();
  await console_.page.locator(".add").click();
  await console_.runTo(2, "hostile");
  await frameOf(console_, 2).getByText("done").waitFor();
  await until(() => sent().length > 0, "the one that is allowed was not sent");
  await step(frameOf(console_));
  await until(() => sent().length > 1, "the slider sends nothing any more");
  assert.deepEqual(sent().map(({ type, comm_id, data }) => ({ type, comm_id, data })), [
    { type: "comm_msg", comm_id: "mine", data: { method: "custom", content: "allowed" } },
    { type: "comm_msg", comm_id: SLIDER, data: { method: "update", state: { value: 8 }, buffer_paths: [] } },
  ]);
  assert.deepEqual(console_.complaints, []);
});

own.flood = any("flood", `export default { render({ model, el }) { for (let n = 0; n < 1000; n += 1) model.send(n); el.textContent = "done"; } }`);

test("a flood of messages leaves the queue to others", async () => {
  let release;
  const held = new Promise((resolve) => { release = resolve; });
  replies.flood = () => held;
  const console_ = await fresh();
  await console_.runTo(1, "flood");
  await frameOf(console_).getByText("done").waitFor();
  await until(() => sent().length === 8, "no more than eight at a time");
  release();
  await until(() => sent().length === 256 + 8, "the rest follows, as far as it was kept");
  await console_.page.locator(".state", { hasText: "Ready" }).waitFor();
  assert.deepEqual(sent().map(({ data }) => data.content), Array.from({ length: 264 }, (_, n) => n));
});

own.foreign = (cell) => {
  cell.emit("comm_open", { comm_id: "map", target_name: "jupyter.widget", metadata: { version: "2.1.0" }, data: { state: { _model_module: "jupyter-leaflet", _model_module_version: "^0.19", _model_name: "LeafletMapModel", _view_module: "jupyter-leaflet", _view_module_version: "^0.19", _view_name: "LeafletMapView" } } });
  cell.result({ "text/plain": "Map()", "application/vnd.jupyter.widget-view+json": { model_id: "map", version_major: 2, version_minor: 0 } });
};

test("a widget whose module is not here is named", async () => {
  const console_ = await fresh();
  await console_.runTo(1, "foreign");
  await console_.output(1).getByText("This page has no widget module jupyter-leaflet.").waitFor();
  assert.deepEqual(console_.complaints, []);
});

own.lost = (cell) => cell.result({ "text/plain": "IntSlider(value=42)", "application/vnd.jupyter.widget-view+json": { model_id: SLIDER, version_major: 2, version_minor: 0 } });
own.gone = (cell) => cell.result({ "text/plain": "IntSlider(value=1)", "application/vnd.jupyter.widget-view+json": { model_id: "gone", version_major: 2, version_minor: 0 } });

test("a widget whose beginning is no longer in the log is asked for", async () => {
  const console_ = await fresh();
  await console_.runTo(1, "lost");
  await frameOf(console_).locator(".widget-readout", { hasText: /^42$/ }).waitFor();
  assert.deepEqual(sent().map(({ type, target_name, data, metadata }) => ({ type, target_name, data, metadata })), [
    { type: "comm_open", target_name: "jupyter.widget.control", data: {}, metadata: { version: "1.0.0" } },
    { type: "comm_msg", target_name: undefined, data: { method: "request_states" }, metadata: undefined },
    { type: "comm_close", target_name: undefined, data: {}, metadata: undefined },
  ]);
  await step(frameOf(console_));
  await until(() => sent().length === 4, "it is connected");
  const [session] = the.gateway.sessions.values();
  session.log = session.log.filter(({ type }) => type !== "comm_msg");
  const viewer = await open({ fragment: `session=${session.id}&token=${session.tokenFor("viewer")}` });
  await viewer.output(1).getByText("The state of this widget is no longer known").waitFor();
  await viewer.output(1).getByText("IntSlider(value=42)").waitFor();
  assert.equal(sent().length, 4, "a viewer asks nothing");
});

test("after a restart widgets stay, and say that they are no longer connected", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.slider.code);
  await frameOf(console_).getByText("Count").waitFor();
  await console_.restarts();
  await console_.output(1).getByText("No longer connected").waitFor();
  await step(frameOf(console_));
  assert.deepEqual(sent(), []);
  await console_.runTo(1, RECORDED.slider.code);
  await step(frameOf(console_));
  await until(() => sent().length === 1, "a new widget is connected");
});

test("a notebook has the widgets and their state", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.interact.code);
  await step(frameOf(console_));
  await frameOf(console_).getByText("x is 6").waitFor();
  await console_.page.getByRole("button", { name: "Menu" }).click();
  const download = console_.page.waitForEvent("download");
  await console_.page.getByRole("menuitem", { name: "Save as notebook" }).click();
  const notebook = JSON.parse(await readFile(await (await download).path(), "utf8"));
  const { model_id } = notebook.cells[0].outputs[0].data["application/vnd.jupyter.widget-view+json"];
  const { version_major, state } = notebook.metadata.widgets["application/vnd.jupyter.widget-state+json"];
  assert.equal(version_major, 2);
  assert.equal(state[model_id].model_name, "VBoxModel");
  assert.equal(state[INTERACT].state.value, 6);
  const outputs = Object.values(state).find(({ model_name }) => model_name === "OutputModel").state.outputs;
  assert.deepEqual(outputs.map((one) => one.text ?? one.data["text/plain"]), ["x is 6\n", "12"]);
});

test("a callback that clears output leaves the widget", async () => {
  const id = modelOf("outside", "ButtonModel");
  const before = replies[id];
  let presses = 0;
  replies[id] = (_, cell) => {
    cell.emit("clear_output", { wait: false });
    cell.out(`press ${presses += 1}\n`);
  };
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.outside.code);
  for (const text of ["press 1", "press 2"]) {
    await frameOf(console_).getByRole("button", { name: "Say" }).click();
    await console_.output(1).locator(".line", { hasText: text }).waitFor();
  }
  assert.deepEqual(await lines(console_, 1), ["press 2"]);
  replies[id] = before;
});

const OUTPUT = modelOf("nested", "OutputModel");
const told = (cell, state) => cell.emit("comm_msg", { comm_id: OUTPUT, data: { method: "update", state, buffer_paths: [] }, metadata: {} });
own.within = (cell) => {
  told(cell, { msg_id: cell.id });
  cell.emit("clear_output", { wait: false });
  cell.out("plain text\n");
  cell.err("\u001b[31mwarned\u001b[0m\n");
  cell.display({ "text/html": "<i>slanted</i><script>document.currentScript.previousSibling.textContent += ' by a script'</script>", "text/plain": "h" });
  cell.display({ "text/markdown": "**strong** $x^2$", "text/plain": "m" });
  cell.display({ "text/plain": "first" }, { display_id: "shown" });
  cell.emit("error", { name: "ValueError", value: "of text", traceback: ["Traceback", "ValueError: of text"], frames: [] });
  told(cell, { msg_id: "" });
};
own.outside = (cell) => {
  cell.display({ "text/plain": "second" }, { display_id: "shown", update: true });
  cell.out("outside\n");
};

test("an Output widget captures what a later cell shows in it", async () => {
  const console_ = await fresh();
  await console_.runTo(1, RECORDED.nested.code);
  const frame = frameOf(console_);
  await frame.getByText("inside").waitFor();
  await console_.page.locator(".add").click();
  await console_.runTo(2, "within");
  await frame.getByText("slanted by a script").waitFor();
  await frame.locator("b, strong", { hasText: "strong" }).waitFor();
  await frame.locator("math").waitFor();
  await frame.locator(".terminal .err", { hasText: "warned" }).waitFor();
  await frame.locator(".failure p", { hasText: "ValueError: of text" }).waitFor();
  assert.equal(await frame.getByText("inside").count(), 0);
  assert.deepEqual(await lines(console_, 2), []);
  await console_.page.locator(".add").click();
  await console_.runTo(3, "outside");
  await frame.getByText("second").waitFor();
  assert.equal(await frame.getByText("first").count(), 0);
  assert.deepEqual(await lines(console_, 3), ["outside"]);
  assert.deepEqual(console_.complaints, []);
});

test("a slider works on after the connection was broken", async () => {
  const held = new Promise(() => {});
  let holds = true;
  replies[SLIDER] = ({ comm_id, data }, cell) => {
    if (holds) return Promise.race([held, cell.interrupted]);
    cell.emit("comm_msg", { comm_id, data: { ...data, method: "echo_update" }, metadata: {} });
  };
  try {
    const console_ = await fresh();
    await console_.runTo(1, RECORDED.slider.code);
    const frame = frameOf(console_);
    await step(frame);
    await until(() => sent().length === 1, "nothing was sent");
    await console_.page.locator(".state", { hasText: "Running" }).waitFor();
    the.gateway.breakConnections();
    // It is not known whether the interpreter has taken it: what it last said is shown.
    await frame.locator(".widget-readout", { hasText: /^7$/ }).waitFor();
    await console_.reconnect();
    await console_.page.locator(".state", { hasText: "Running" }).waitFor();
    holds = false;
    for (const session of the.gateway.sessions.values()) session.running.interrupt();
    await console_.ready();
    await step(frame);
    await until(() => sent().length === 2, "nothing was sent any more");
    await frame.locator(".widget-readout", { hasText: /^8$/ }).waitFor();
    await console_.output(1).locator(".error .summary", { hasText: "KeyboardInterrupt" }).waitFor();
  } finally {
    delete replies[SLIDER];
  }
});

own.linked = (cell) => {
  replay("slider", cell);
  cell.emit("comm_open", {
    comm_id: "link", target_name: "jupyter.widget", metadata: { version: "2.1.0" },
    data: { state: {
      _model_module: "@jupyter-widgets/controls", _model_module_version: "2.0.0", _model_name: "DirectionalLinkModel", _view_name: null,
      source: [`IPY_MODEL_${SLIDER}`, "value"], target: [`IPY_MODEL_${SLIDER}`, "max"],
    } },
  });
};

test("a link acts in the frame of who ran the cell, and of who moves its widget", async () => {
  const first = await fresh();
  await first.runTo(1, "linked");
  await until(() => sent().length === 1, "the link did nothing");
  assert.deepEqual(sent()[0].data.state, { max: 7 });
  const [session] = the.gateway.sessions.values();
  const second = await open({ fragment: `session=${session.id}&token=${session.tokenFor("editor")}` });
  await second.output(1).getByRole("button", { name: "Run its scripts" }).click();
  await frameOf(second).getByText("Count").waitFor();
  await step(frameOf(second), "ArrowLeft");
  await frameOf(first).locator(".widget-readout", { hasText: /^6$/ }).waitFor();
  const told = () => Object.assign({}, ...sent().slice(1).map(({ data }) => data.state));
  await until(() => told().max === 6, `the link of who moved it did nothing: ${JSON.stringify(sent().slice(1))}`);
  assert.deepEqual(told(), { value: 6, max: 6 });
});

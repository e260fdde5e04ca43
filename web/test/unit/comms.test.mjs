// The store of widgets, with what ipywidgets really sends (test/recorded/widgets.py).

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { Comms, isComm, references, toBase64, withBuffers } from "../../dist/pure/comms.js";

const RECORDED = JSON.parse(await readFile(new URL("../recorded/widgets.json", import.meta.url)));

/** Plays a recorded program as a run; answers the changes, and the output that no widget captured. */
function play(comms, name, run) {
  const changes = [];
  const shown = [];
  for (const recorded of RECORDED[name].events) {
    const event = { ...JSON.parse(JSON.stringify(recorded).replaceAll("$RUN", run)), id: run };
    if (isComm(event)) changes.push(...comms.take(event));
    else {
      const captured = comms.capture(event);
      if (captured) changes.push(captured);
      else shown.push(event);
    }
  }
  return { changes, shown };
}

const named = (comms, shown) => comms.get(shown.at(-1).data["application/vnd.jupyter.widget-view+json"].model_id);
const child = (comms, model, name) => [...comms.closure([model.id])].map((id) => comms.get(id)).find((one) => one.state._model_name === name);

test("a slider is opened and follows what others do with it", () => {
  const comms = new Comms();
  const { shown } = play(comms, "slider", "a.1");
  const slider = named(comms, shown);
  assert.deepEqual([slider.state.value, slider.state.description, slider.opener], [7, "Count", "a.1"]);
  assert.deepEqual([...comms.closure([slider.id])].map((id) => comms.get(id).state._model_name).sort(), ["IntSliderModel", "LayoutModel", "SliderStyleModel"]);
  comms.began("c.1", slider.id);
  const { changes } = play(comms, "slider moves", "c.1");
  assert.deepEqual(changes, [{ kind: "update", id: slider.id, state: { value: 42 }, run: "c.1", echo: true }]);
  assert.equal(slider.state.value, 42);
  assert.equal(comms.cellRun("c.1"), "a.1");
  assert.equal(comms.cellRun("a.1"), "a.1");
});

test("an Output widget captures what its run shows, and nothing else", () => {
  const comms = new Comms();
  const { shown } = play(comms, "interact", "a.1");
  assert.deepEqual(shown.map((event) => event.type), ["display"], "the view alone is below the cell");
  const output = child(comms, named(comms, shown), "OutputModel");
  const texts = () => output.state.outputs.map((one) => one.text ?? one.data["text/plain"]);
  assert.deepEqual(texts(), ["x is 5\n", "10"]);
  comms.began("c.1", child(comms, named(comms, shown), "IntSliderModel").id);
  assert.deepEqual(play(comms, "interact moves", "c.1").shown, []);
  assert.deepEqual(texts(), ["x is 8\n", "16"]);
  assert.equal(comms.capture({ type: "stdout", id: "c.1", text: "later" }), null, "once it is left it captures no more");
});

test("what Python appends to an Output widget stands behind what was captured", () => {
  const comms = new Comms();
  const { shown } = play(comms, "button", "a.1");
  const output = child(comms, named(comms, shown), "OutputModel");
  play(comms, "button pressed", "c.1");
  const stream = (text) => ({ output_type: "stream", name: "stdout", text });
  const told = (outputs) => comms.take({ type: "comm_msg", comm_id: output.id, data: { method: "update", state: { outputs } } });
  told([stream("one")]);
  assert.deepEqual(output.state.outputs.map((one) => one.text), ["pressed 1\n", "one"]);
  told([stream("one"), stream("two")]);
  assert.deepEqual(output.state.outputs.map((one) => one.text), ["pressed 1\n", "one", "two"]);
  told([]);
  assert.deepEqual(output.state.outputs, []);
});

test("the innermost of two Output widgets captures, and text is continued", () => {
  const comms = new Comms();
  for (const id of ["outer", "inner"]) {
    comms.take({ type: "comm_open", comm_id: id, target_name: "jupyter.widget", data: { state: { _model_name: "OutputModel", msg_id: "", outputs: [] } } });
    comms.take({ type: "comm_msg", comm_id: id, data: { method: "update", state: { msg_id: "a.1" } } });
  }
  const write = (text) => comms.capture({ type: "stdout", id: "a.1", text });
  write("1");
  write("2");
  comms.take({ type: "comm_msg", comm_id: "inner", data: { method: "update", state: { msg_id: "" } } });
  write("3");
  assert.deepEqual(comms.get("inner").state.outputs, [{ output_type: "stream", name: "stdout", text: "12" }]);
  assert.deepEqual(comms.get("outer").state.outputs, [{ output_type: "stream", name: "stdout", text: "3" }]);
  comms.capture({ type: "display", id: "a.1", data: { "text/plain": "old" }, metadata: {}, display_id: "d" });
  assert.equal(comms.updateDisplay("d", { "text/plain": "new" }, {}).length, 1);
  assert.equal(comms.get("outer").state.outputs[1].data["text/plain"], "new");
  comms.take({ type: "comm_close", comm_id: "outer" });
  assert.equal(write("4"), null);
  assert.ok(comms.isClosed("outer"));
});

test("a bar of tqdm ends where Python left it", () => {
  const comms = new Comms();
  const bar = named(comms, play(comms, "tqdm", "a.1").shown);
  assert.equal(bar.state._model_name, "HBoxModel");
  assert.deepEqual([child(comms, bar, "FloatProgressModel").state.value, child(comms, bar, "FloatProgressModel").state.bar_style], [3, "success"]);
});

test("bytes go where their paths say, and back into a notebook", () => {
  const comms = new Comms();
  const image = named(comms, play(comms, "image", "a.1").shown);
  assert.equal(image.state.value.byteLength, 16);
  assert.equal(toBase64(image.state.value), Buffer.from(Array.from({ length: 16 }, (_, n) => n)).toString("base64"));
  const kept = comms.notebookState([image.id])[image.id];
  assert.deepEqual(kept.buffers, [{ path: ["value"], data: toBase64(image.state.value), encoding: "base64" }]);
  assert.equal("value" in kept.state, false);
  assert.equal(kept.model_name, "ImageModel");
  const hostile = JSON.parse('{"a": [null], "b": 1}');
  withBuffers(hostile, [["a", 0], ["b", "c"], ["__proto__", "x"], ["constructor", "prototype", "x"], [], 3, ["no", "where"]], Array(7).fill("AAAA"));
  assert.equal(hostile.a[0].byteLength, 3);
  assert.equal({}.x, undefined);
});

test("all states come by the control comm, for a page whose log begins later", () => {
  const comms = new Comms();
  const asked = RECORDED.control.events[0];
  const changes = comms.take({ ...asked, id: "c.1" });
  const slider = changes.map(({ model }) => model).find(({ state }) => state._model_name === "IntSliderModel");
  assert.equal(slider.state.value, 42);
  assert.equal(slider.state._view_name, "IntSliderView");
  assert.deepEqual([...comms.closure([slider.id])].length, 3);
  assert.ok(comms.take({ ...asked, id: "c.2" }).every(({ kind }) => kind === "update"), "what is known is brought up to date");
});

test("links belong to the views of both their widgets", () => {
  const comms = new Comms();
  const open = (id, state) => comms.take({ type: "comm_open", comm_id: id, target_name: "jupyter.widget", data: { state } });
  open("play", { _model_name: "PlayModel" });
  open("slider", { _model_name: "IntSliderModel", layout: "IPY_MODEL_layout" });
  open("layout", { _model_name: "LayoutModel" });
  open("link", { _model_name: "LinkModel", source: ["IPY_MODEL_play", "value"], target: ["IPY_MODEL_slider", "value"] });
  open("other", { _model_name: "LabelModel" });
  assert.deepEqual([...comms.modelsFor("slider")].sort(), ["layout", "link", "play", "slider"]);
  assert.deepEqual([...comms.closure(["slider"])].sort(), ["layout", "slider"]);
  assert.deepEqual(references({ a: ["anywidget:x"], b: { "application/vnd.jupyter.widget-view+json": { model_id: "y" } }, c: new DataView(new ArrayBuffer(1)) }), ["x", "y"]);
  assert.equal(open("foreign", { a: 1 }).length, 1);
  assert.deepEqual(comms.take({ type: "comm_open", comm_id: "z", target_name: "else", data: {} }), []);
  comms.clear();
  assert.equal(comms.size, 0);
});

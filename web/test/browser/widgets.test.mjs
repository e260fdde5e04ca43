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

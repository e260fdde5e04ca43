// The plain console, which is built in where there is no Node: before the fake gateway, and before
// the real one and its Python.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { accessible, startBrowser, startGateway } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

let browser;
let gateway;
let page;
let complaints;
let session; // the newest

before(async () => { browser = await startBrowser(); });
after(() => browser.close());
beforeEach(async () => {
  gateway = await startGateway({ page: fileURLToPath(new URL("../../plain", import.meta.url)) });
  page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(90_000);
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !/404|WebSocket|CONNECTION/.test(message.text())) complaints.push(message.text()); });
  page.on("websocket", (socket) => socket.on("framereceived", ({ payload }) => {
    const message = JSON.parse(payload);
    if (message.type === "ready") session = message.session;
  }));
  await page.goto(`${gateway.url}/?token=${gateway.token}`);
  await state("Ready");
});
afterEach(async () => {
  await page.context().close();
  await gateway.close();
});

const state = (text) => page.locator("#state", { hasText: text }).waitFor();
const output = (text) => page.locator("#output", { hasText: text }).waitFor();

async function run(code) {
  await page.locator("#code").fill(code);
  await page.keyboard.press("Control+Enter");
}

test("runs, streams, colours, and replaces lines that are written again", async () => {
  assert.equal(page.url(), `${gateway.url}/`, "the token stays in the address");
  await run(PROGRAMS.hello.code);
  await output("hello");
  await output("42");
  await run(PROGRAMS.progress.code);
  await output("green");
  const text = await page.locator("#output").textContent();
  assert.match(text, /100% done\n/);
  assert.doesNotMatch(text, /90% done/);
  assert.equal(await page.locator("#output .f2").textContent(), "green");
  await run(PROGRAMS.image.code);
  await page.locator("#output img").waitFor();
  assert.deepEqual(complaints, []);
});

test("a million lines come through, and the newest are there", async () => {
  await run(PROGRAMS.million.code);
  await output("line 999999");
});

test("stops, restarts and answers", async () => {
  await run(PROGRAMS.forever.code);
  await state("Running");
  await page.getByRole("button", { name: "Stop" }).click();
  await output("interrupted");
  await run(PROGRAMS.asks.code);
  await page.getByRole("textbox", { name: "Who?" }).fill("Ada");
  await page.keyboard.press("Enter");
  await output("hello Ada");
  page.once("dialog", (dialog) => void dialog.accept());
  await page.getByRole("button", { name: "Restart" }).click();
  await output("Restarted");
  await state("Ready");
});

test("comes back after a lost connection, and starts anew after an ended session", async () => {
  await run(PROGRAMS.slow.code);
  await output("3");
  gateway.breakConnections();
  await state("Not connected");
  await output("29");
  const text = await page.locator("#output").textContent();
  assert.deepEqual(text.trim().split("\n"), Array.from({ length: 30 }, (_, n) => String(n)));
  const ended = await fetch(`${gateway.url}/v1/sessions/${session}`, { method: "DELETE", headers: { authorization: `Bearer ${gateway.token}` } });
  assert.ok(ended.ok, `${ended.status}`);
  await state("The session is over");
  await page.getByRole("button", { name: "New session" }).click();
  await state("Ready");
});

test("is accessible and says how to get the full console", async () => {
  await page.getByText("install Node 20 or newer").waitFor();
  await accessible(page, "plain");
});

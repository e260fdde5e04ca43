// The plain console, which is built in where there is no Node. It is served by the fake gateway
// only: a real one has either this or the full console.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { FakeGateway } from "../fake/gateway.mjs";
import { startBrowser } from "./console.mjs";
import { play, PROGRAMS } from "./programs.mjs";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

let browser;
let gateway;
let page;
let complaints;

before(async () => { browser = await startBrowser(); });
after(() => browser.close());
beforeEach(async () => {
  gateway = await new FakeGateway({ script: play, page: fileURLToPath(new URL("../../plain", import.meta.url)) }).listen();
  page = await (await browser.newContext()).newPage();
  complaints = [];
  page.on("pageerror", (error) => complaints.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !/404|WebSocket|CONNECTION/.test(message.text())) complaints.push(message.text()); });
  await page.goto(`${gateway.url}/?token=secret`);
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
  for (const session of gateway.sessions.values()) session.end("idle", "nobody used it", 4408);
  await state("The session is over: nobody used it");
  await page.getByRole("button", { name: "New session" }).click();
  await state("Ready");
});

test("is accessible and says how to get the full console", async () => {
  await page.getByText("install Node 20 or newer").waitFor();
  await page.evaluate(`(() => { const module = undefined; ${axe} })()`);
  const found = await page.evaluate(() => globalThis.axe.run(document, { runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"] }));
  assert.deepEqual(found.violations.map((v) => v.id), []);
});

// Measures what a key costs in a large document, alone and with another page that writes at the same time:
// `node test/measuredocument.mjs`, after `node test/run.mjs browser` has built the page. The gateway is the scripted one.
//
// A key's cost is the CPU time of the page's main thread from one key to the next, at an even pace: handling it, drawing
// the frame after it, and whatever else the page does meanwhile. Time in which other programs have the processor does
// not count, so that figures of a busy machine and of an idle one can be compared. `idle` is the same without a key.

import { loadavg } from "node:os";
import { setTimeout as pause } from "node:timers/promises";
import { ConsolePage, startBrowser, startGateway } from "./browser/console.mjs";

const KEYS = 60;
const PACE_MS = 100; // between keys: a fast typist's
const METRICS = { task: "TaskDuration", script: "ScriptDuration", style: "RecalcStyleDuration", layout: "LayoutDuration" };
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

/** Reads what the main thread of a page has spent so far, in milliseconds of CPU time. */
async function meter({ page }) {
  const devtools = await page.context().newCDPSession(page);
  await devtools.send("Performance.enable", { timeDomain: "threadTicks" });
  return async () => {
    const { metrics } = await devtools.send("Performance.getMetrics");
    return Object.fromEntries(Object.entries(METRICS).map(([name, metric]) => [name, 1000 * metrics.find((one) => one.name === metric).value]));
  };
}

/** What each interval of `PACE_MS` costs, in which `act` is done. */
async function intervals(read, act) {
  const costs = [];
  let before = await read();
  for (let n = 0; n < KEYS; n += 1) {
    const rest = pause(PACE_MS);
    await act();
    await rest;
    const after = await read();
    costs.push(Object.fromEntries(Object.keys(METRICS).map((name) => [name, after[name] - before[name]])));
    before = after;
  }
  return costs;
}

/** Puts the cursor at the end of a cell. */
async function enter({ page }, cell) {
  await page.locator(".cell").nth(cell).locator(".editor").scrollIntoViewIfNeeded();
  await page.locator(".cell").nth(cell).locator(".cm-content").click();
  await page.keyboard.press("Control+End");
  await pause(1000);
}

function row(document, what, costs) {
  const figures = Object.keys(METRICS).map((name) => [0.5, 0.95].map((share) => quantile(costs.map((cost) => cost[name]), share).toFixed(1)).join(", "));
  console.log(`| ${document} | ${what} | ${figures.join(" | ")} | ${loadavg()[0].toFixed(1)} |`);
}

const documents = {
  "1 cell": ["value = 1"], // what a key costs at least: the others cannot be quicker
  "2,000 cells": Array.from({ length: 2000 }, (_, n) => `value_${n} = ${n}\nprint(value_${n})`),
  "4 MiB in 40 cells": Array.from({ length: 40 }, (_, n) => `# ${n}\n${"abcdefghi = 1\n".repeat(7000)}`),
};
const wanted = process.argv[2] ?? "";
const browser = await startBrowser();
console.log(`CPU time of the main thread a key, in ms: p50, p95 of ${KEYS}\n`);
console.log(`| document | pages | ${Object.keys(METRICS).join(" | ")} | load |\n|---|---|${"---|".repeat(Object.keys(METRICS).length + 1)}`);
for (const [name, texts] of Object.entries(documents).filter(([name]) => name.startsWith(wanted))) {
  const gateway = await startGateway({ scripted: true });
  const ada = await ConsolePage.open(browser, gateway);
  await ada.ready();
  const session = [...gateway.sessions.values()][0];
  session.document.seed({ title: name, cells: texts.map((source, n) => ({ id: `shared${n}`, source })) });
  session.madeDocument();
  const there = ({ page }) => page.waitForFunction((count) => document.querySelectorAll("[data-cell^=shared]").length >= count, texts.length);
  const began = performance.now();
  await there(ada);
  const opened = performance.now() - began;
  await enter(ada, 0);
  const read = await meter(ada);
  row(name, "idle", await intervals(read, () => {}));
  const key = ({ page }) => page.keyboard.press("x");
  row(name, "one writes", await intervals(read, () => key(ada)));
  const grace = await ConsolePage.open(browser, gateway, { fragment: `session=${session.id}&token=${session.tokenFor("editor")}` });
  await there(grace);
  await enter(grace, Math.min(1, texts.length - 1));
  row(name, "two write", await intervals(read, () => Promise.all([key(ada), key(grace)])));
  console.log(`| ${name} | opens in ${(opened / 1000).toFixed(1)} s |`);
  await ada.close();
  await grace.close();
  await gateway.close();
}
await browser.close();

// Measures how long a key takes in a large shared document, with another page that writes at the same time:
// `node test/measuredocument.mjs`, after `node test/run.mjs browser` has built the page. The gateway is the scripted one.

import { ConsolePage, startBrowser, startGateway } from "./browser/console.mjs";

const KEYS = 60;
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

/** How long the page is busy with each key, in milliseconds. */
async function keys({ page }, cell) {
  await page.locator(".cell").nth(cell).locator(".editor").scrollIntoViewIfNeeded();
  await page.locator(".cell").nth(cell).locator(".cm-content").click();
  await page.keyboard.press("Control+End");
  await page.evaluate(() => {
    globalThis.took = [];
    // A message, not a timer: those of pages behind another one are late.
    addEventListener("keydown", () => {
      const began = performance.now();
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => globalThis.took.push(performance.now() - began);
      port2.postMessage(null);
    }, true);
  });
  for (let n = 0; n < KEYS; n += 1) await page.keyboard.press("x");
  await page.waitForFunction((count) => globalThis.took.length >= count, KEYS);
  return page.evaluate(() => globalThis.took);
}

const browser = await startBrowser();
const documents = {
  "2,000 cells": Array.from({ length: 2000 }, (_, n) => `value_${n} = ${n}\nprint(value_${n})`),
  "4 MiB in 40 cells": Array.from({ length: 40 }, (_, n) => `# ${n}\n${"abcdefghi = 1\n".repeat(7000)}`),
};
console.log("| document | opens | key, one page: p50, p99 | key, two pages write: p50, p99 |\n|---|---|---|---|");
for (const [name, texts] of Object.entries(documents)) {
  const gateway = await startGateway({ scripted: true });
  const ada = await ConsolePage.open(browser, gateway);
  await ada.ready();
  const session = [...gateway.sessions.values()][0];
  session.document.seed({ title: name, cells: texts.map((source, n) => ({ id: `cell${n}`, source })) });
  session.madeDocument();
  const token = session.tokenFor("editor");
  const began = performance.now();
  const grace = await ConsolePage.open(browser, gateway, { fragment: `session=${session.id}&token=${token}` });
  await grace.page.waitForFunction((count) => document.querySelectorAll(".cell").length >= count, texts.length);
  const opened = performance.now() - began;
  await ada.page.waitForFunction((count) => document.querySelectorAll(".cell").length >= count, texts.length);
  const alone = await keys(grace, 0);
  const [together] = await Promise.all([keys(grace, 0), keys(ada, 1)]);
  const ms = (values) => [0.5, 0.99].map((share) => `${quantile(values, share).toFixed(1)} ms`).join(", ");
  console.log(`| ${name} | ${(opened / 1000).toFixed(1)} s | ${ms(alone)} | ${ms(together)} |`);
  await ada.close();
  await grace.close();
  await gateway.close();
}
await browser.close();

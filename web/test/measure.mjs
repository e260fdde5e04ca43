// Measures the page in headless Chromium against a real gateway: `npm run measure`, with
// CELLGATE_URL and CELLGATE_TOKEN. Prints the rows of docs/benchmarks.md.

import { startBrowser } from "./browser/console.mjs";

const ROUNDS = Number(process.argv[2] ?? 20);
const MEGABYTES = 100;
const { CELLGATE_URL: url, CELLGATE_TOKEN: token } = process.env;
if (!url || !token) throw new Error("CELLGATE_URL and CELLGATE_TOKEN name a gateway");

const MiB = 2 ** 20;
const ms = (value) => `${value.toFixed(0)} ms`;
const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];

/** Opens the page with `code` in its link, runs it at once, and waits for its first line. */
async function firstOutput(context, cold) {
  const page = await context.newPage();
  await page.addInitScript(() => {
    const click = () => {
      const run = document.querySelector("#bar .primary:not(:disabled)");
      if (run) { globalThis.ready = performance.now(); run.click(); } else requestAnimationFrame(click);
    };
    const look = () => {
      if (document.querySelector(".line")) globalThis.shown = performance.now();
      else requestAnimationFrame(look);
    };
    requestAnimationFrame(click);
    requestAnimationFrame(look);
  });
  await page.goto(`${url}/?layout=single#token=${token}`);
  await page.waitForFunction(() => globalThis.shown !== undefined, null, { timeout: 60_000 });
  const times = await page.evaluate(() => ({
    painted: performance.getEntriesByName("first-contentful-paint")[0]?.startTime ?? NaN, ready: globalThis.ready, shown: globalThis.shown,
    bytes: performance.getEntriesByType("resource").reduce((sum, one) => sum + one.encodedBodySize, 0),
  }));
  await page.close();
  return { ...times, cold };
}

async function starts(browser) {
  const cold = [];
  const warm = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const context = await browser.newContext();
    // An untouched page has an example that prints at once.
    cold.push(await firstOutput(context, true));
    warm.push(await firstOutput(context, false));
    await context.close();
  }
  for (const [name, all] of [["nothing in the cache", cold], ["assets in the cache", warm]]) {
    for (const [what, key] of [["first paint", "painted"], ["session ready", "ready"], ["first output of a cell", "shown"]]) {
      const values = all.map((one) => one[key]);
      console.log(`| from the URL to ${what}, ${name} | ${values.length} | ${ms(quantile(values, 0.5))} | ${ms(quantile(values, 0.99))} |`);
    }
  }
}

async function flood(browser) {
  const context = await browser.newContext();
  const page = await context.newPage();
  const code = `line = "x" * 99 + "\\n"\nimport sys\nfor n in range(${MEGABYTES * 10_000}): sys.stdout.write(line)\nprint("end")`;
  await page.goto(`${url}/#token=${token}`);
  await page.locator(".state", { hasText: "Ready" }).waitFor();
  const editor = page.locator(".cm-content").first();
  await editor.click();
  await page.keyboard.press("Control+a");
  await page.keyboard.insertText(code);
  const devtools = await context.newCDPSession(page);
  const heap = async () => {
    await devtools.send("HeapProfiler.collectGarbage");
    return (await devtools.send("Runtime.getHeapUsage")).usedSize;
  };
  const before = await heap();
  await page.evaluate(() => {
    globalThis.frames = [];
    let last = performance.now();
    const frame = (now) => {
      globalThis.frames.push(now - last);
      last = now;
      if (!globalThis.over) requestAnimationFrame(frame);
    };
    requestAnimationFrame(frame);
  });
  const began = Date.now();
  let peak = 0;
  let done = false;
  await page.keyboard.press("Control+Enter");
  const ended = page.locator('.cell[data-phase="ok"]').waitFor({ timeout: 300_000 }).then(() => { done = true; });
  while (!done) {
    peak = Math.max(peak, (await devtools.send("Runtime.getHeapUsage")).usedSize);
    await Promise.race([ended, new Promise((resolve) => setTimeout(resolve, 100))]);
  }
  await page.locator(".line", { hasText: "end" }).waitFor();
  const seconds = (Date.now() - began) / 1000;
  const frames = await page.evaluate(() => { globalThis.over = true; return globalThis.frames.slice(1); });
  console.log(`| ${MEGABYTES} MB of lines: to the last line on the screen | 1 | ${seconds.toFixed(1)} s, ${(MEGABYTES / seconds).toFixed(0)} MB/s | |`);
  console.log(`| frames a second meanwhile | ${frames.length} | ${(frames.length / frames.reduce((a, b) => a + b, 0) * 1000).toFixed(0)} | |`);
  console.log(`| time between two frames | ${frames.length} | ${quantile(frames, 0.5).toFixed(1)} ms | ${quantile(frames, 0.99).toFixed(0)} ms |`);
  console.log(`| longest time between two frames | | ${Math.max(...frames).toFixed(0)} ms | |`);
  console.log(`| heap of the page: before, highest, after | | ${[before, peak, await heap()].map((bytes) => `${(bytes / MiB).toFixed(0)} MiB`).join(", ")} | |`);
  console.log(`| elements in the document at the end | | ${await page.evaluate(() => document.querySelectorAll("*").length)} | |`);
  await context.close();
}

const browser = await startBrowser();
try {
  console.log("| what | n | p50 | p99 |\n|---|---|---|---|");
  await starts(browser);
  await flood(browser);
} finally {
  await browser.close();
}

// Takes the README's pictures of the page against a real gateway whose Python has numpy, pandas,
// matplotlib and pillow: `npm run screenshots`, with CELLGATE_URL and CELLGATE_TOKEN. A session of
// that gateway makes them small. `node test/screenshots.mjs languages terminal` takes those alone; of
// them the second wants `top` and `vim` in the sandbox.

import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import WebSocket from "ws";
import { Session } from "../dist/client/index.js";
import { ConsolePage, startBrowser } from "./browser/console.mjs";
import { installChat } from "./chatexample.mjs";

const { CELLGATE_URL: url, CELLGATE_TOKEN: token } = process.env;
if (!url || !token) throw new Error("CELLGATE_URL and CELLGATE_TOKEN name a gateway");

const TEXT = "## Two waves\n\nA sine beside a cosine that fades: $\\cos(2t)\\,e^{-t/4}$.";
const PLOT = `import numpy as np, matplotlib.pyplot as plt
t = np.linspace(0, 6, 300)
plt.figure(figsize=(6, 2.3))
plt.plot(t, np.sin(t)); plt.plot(t, np.cos(2 * t) * np.exp(-t / 4))
plt.show()`;
const TABLE = `import pandas as pd
pd.DataFrame({"city": ["Bern", "Zürich", "Chur"], "people": [134_591, 421_878, 38_293], "river": ["Aare", "Limmat", None]})`;
const PROGRESS = `import sys, time
print("fitting \\033[1;34mmodel 3\\033[0m with \\033[32m4 folds\\033[0m")
for done in range(101):
    sys.stderr.write(f"\\r{done:3d}% |{'█' * (done // 3):<33}| {done}/100")
    time.sleep(0.08)`;
const SMALL = `from PIL import Image
Image.open("in.png").convert("RGB").quantize(192, dither=Image.Dither.NONE).save("out.png", optimize=True)`;

const VIM = `function greet(name) {
  // The same file that the cells see.
  return "hello, " + name;
}

module.exports = { greet };`;

/** Takes a picture of a page, and saves it small. */
async function save(page, name) {
  await session.files.put("in.png", await page.screenshot({ caret: "initial" }));
  const made = await session.runCode(SMALL);
  if (made.status !== "ok") throw new Error(`${made.status}: ${made.error?.value}`);
  const bytes = Buffer.from(await (await session.files.get("out.png")).arrayBuffer());
  await writeFile(fileURLToPath(new URL(`../../docs/screenshots/${name}`, import.meta.url)), bytes);
  console.log(`${name}: ${bytes.length} bytes`);
}

/** The page of examples/chat, with its first question answered. */
async function takeChat() {
  const { startServer, GatewayKeeper, remove } = await installChat();
  const server = await startServer({ gateway: new GatewayKeeper({ url, token }) });
  const context = await browser.newContext({ colorScheme: "light", viewport: { width: 1200, height: 1225 } });
  const page = await context.newPage();
  await page.goto(server.url);
  await page.locator("#suggestions button").first().click();
  await page.locator(".answer[data-status=complete]").waitFor({ timeout: 60_000 });
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  await save(page, "chat.png");
  await context.close();
  await server.close();
  remove();
}

/** Cells in three languages that share files. */
async function takeLanguages() {
  const console_ = await ConsolePage.open(browser, { url, token }, { colorScheme: "light", viewport: { width: 1000, height: 640 } });
  const { page } = console_;
  await console_.ready();
  await console_.runTo(1, `import json\n\nrivers = {"Aare": 288, "Limmat": 36, "Inn": 518}\njson.dump(rivers, open("rivers.json", "w"))`);
  for (const [at, language, code] of [
    [2, "JavaScript", `const rivers = require("./rivers.json");\n\n// Longest first.\nObject.entries(rivers).sort(([, a], [, b]) => b - a)\n  .map(([name, km]) => \`\${name}: \${km} km\`)`],
    [3, "bash", `for name in Inn Aare; do\n  echo "$name is in $(grep -l "$name" *.json)"\ndone`],
  ]) {
    await page.locator(".add").click();
    await page.getByRole("combobox", { name: `Language of cell ${at}` }).selectOption({ label: language });
    await console_.runTo(at, code);
  }
  await page.evaluate(() => { document.activeElement.blur(); scrollTo(0, 0); });
  await save(page, "languages.png");
  await console_.close();
}

/** `top` and `vim` in the terminal. */
async function takeTerminal() {
  const console_ = await ConsolePage.open(browser, { url, token }, { colorScheme: "dark", viewport: { width: 1000, height: 640 } });
  const { page } = console_;
  await console_.ready();
  const shows = (text) => page.locator("#terminal .xterm-rows").getByText(text).first().waitFor();
  await console_.run(1, "total = 0\nwhile True:\n    total += 1");
  await page.getByRole("button", { name: "Terminal", exact: true }).click();
  await shows("$");
  await page.keyboard.type("top -d 1");
  await page.keyboard.press("Enter");
  await shows("python3");
  await page.locator(".state", { hasText: "Running · 4 s" }).waitFor();
  await save(page, "terminal-top.png");
  await page.keyboard.press("q");
  await page.getByRole("button", { name: "Stop", exact: true }).click();
  await console_.phase(1, "interrupted");
  await page.locator(".xterm-helper-textarea").focus();
  await page.keyboard.type("clear; vim -u NONE -c 'syntax on | set number ruler' greet.js");
  await page.keyboard.press("Enter");
  await shows("~");
  await page.keyboard.type(`i${VIM}`);
  await page.keyboard.press("Escape");
  await page.keyboard.type(":w");
  await page.keyboard.press("Enter");
  await shows("written");
  await save(page, "terminal-vim.png");
  await console_.close();
}

/** The console with a plot, a table and a progress bar, in both themes. */
async function takeConsole() {
  for (const colorScheme of ["light", "dark"]) {
    const console_ = await ConsolePage.open(browser, { url, token }, { colorScheme, viewport: { width: 1100, height: 1010 } });
    const { page } = console_;
    await console_.ready();
    // The first use of a library fills its caches.
    await console_.runTo(1, PLOT);
    await console_.runTo(1, PLOT);
    await console_.act(1, "Insert a cell above");
    await page.keyboard.press("Escape");
    await page.keyboard.press("m");
    await page.keyboard.press("Enter");
    await page.keyboard.insertText(TEXT);
    await page.keyboard.press("Escape");
    await page.locator(".add").click();
    await console_.runTo(3, TABLE);
    await console_.output(3).getByRole("button", { name: "people" }).click();
    await page.locator(".add").click();
    await console_.run(4, PROGRESS);
    await page.locator(".state", { hasText: "Running · 4 s" }).waitFor();
    await page.evaluate(() => scrollTo(0, 0));
    await save(page, `console-${colorScheme}.png`);
    await console_.close();
  }
}

const PICTURES = { console: takeConsole, chat: takeChat, languages: takeLanguages, terminal: takeTerminal };
const wanted = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(PICTURES);

const browser = await startBrowser();
const session = await Session.connect({ url, token, WebSocket: globalThis.WebSocket ?? WebSocket });
try {
  for (const name of wanted) await PICTURES[name]();
} finally {
  await session.end();
  await browser.close();
}

// Takes the README's pictures of the page against a real gateway whose Python has numpy, pandas,
// matplotlib and pillow: `npm run screenshots`, with CELLGATE_URL and CELLGATE_TOKEN. A session of
// that gateway makes them small.

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

const browser = await startBrowser();
const session = await Session.connect({ url, token, WebSocket: globalThis.WebSocket ?? WebSocket });
try {
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
  await takeChat();
} finally {
  await session.end();
  await browser.close();
}

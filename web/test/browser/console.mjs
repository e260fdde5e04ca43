// A browser with the console in it, and a gateway behind it: the real one if CELLGATE_URL and
// CELLGATE_TOKEN name it, else the fake one.

import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { FakeGateway } from "../fake/gateway.mjs";
import { play } from "./programs.mjs";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

export const real = process.env.CELLGATE_URL !== undefined;

export async function startBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

export async function startGateway(options = {}) {
  if (real) return { url: process.env.CELLGATE_URL, token: process.env.CELLGATE_TOKEN, close: async () => {} };
  const page = fileURLToPath(new URL("../../dist/page", import.meta.url));
  const gateway = await new FakeGateway({ script: play, page, ...options }).listen();
  gateway.token = gateway.options.token;
  return gateway;
}

export class ConsolePage {
  /** Opens the console in a browser context of its own; complaints of the page are kept. */
  static async open(browser, gateway, { query = "", fragment, ...context } = {}) {
    const opened = await browser.newContext({ viewport: { width: 1200, height: 800 }, permissions: ["clipboard-read", "clipboard-write"], ...context });
    const page = await opened.newPage();
    const console_ = new ConsolePage(page, opened);
    page.on("pageerror", (error) => console_.complaints.push(String(error)));
    page.on("console", (message) => {
      // A lost connection is reported by the browser itself.
      if (message.type() === "error" && !/WebSocket connection|ERR_CONNECTION|status of 404/.test(message.text())) console_.complaints.push(message.text());
    });
    await page.goto(`${gateway.url}/${query}#${fragment ?? `token=${gateway.token}`}`);
    return console_;
  }

  constructor(page, context) {
    this.page = page;
    this.context = context;
    this.complaints = [];
  }

  async close() {
    await this.context.close();
  }

  async ready() {
    await this.page.locator(".state", { hasText: "Ready" }).waitFor();
  }

  cell(number) {
    return this.page.locator(".cell").nth(number - 1);
  }

  output(number) {
    return this.cell(number).locator(".output");
  }

  /** Replaces the code of a cell. */
  async write(number, code) {
    const editor = this.cell(number).locator(".cm-content");
    await editor.click();
    await this.page.keyboard.press("Control+a");
    await this.page.keyboard.press("Delete");
    await this.page.keyboard.insertText(code);
    await this.page.keyboard.press("Escape");
    await editor.click();
  }

  async run(number, code) {
    await this.write(number, code);
    await this.page.keyboard.press("Control+Enter");
  }

  /** Runs, and waits until the cell has ended in that way. */
  async runTo(number, code, status = "ok") {
    await this.run(number, code);
    await this.phase(number, status);
  }

  async phase(number, phase) {
    await this.page.waitForFunction(
      ([at, wanted]) => document.querySelectorAll(".cell")[at]?.dataset.phase === wanted, [number - 1, phase]);
    // Output is drawn with the next frame.
    await this.page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(resolve))));
  }
}

// A browser with the console in it, and a gateway behind it: the real one if CELLGATE_URL and
// CELLGATE_TOKEN name it, else the scripted one. A test that needs what only a script can produce
// asks for the scripted gateway even where there is a real one.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, afterEach, before, beforeEach } from "node:test";
import { fileURLToPath } from "node:url";
import { chromium } from "playwright-core";
import { Front } from "../fake/front.mjs";
import { FakeGateway } from "../fake/gateway.mjs";
import { play } from "./programs.mjs";

const FLAGS = [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync",
];

/** For machines that do many things at once; every wait ends as soon as what it waits for is there. */
export const TIMEOUT_MS = Number(process.env.CELLGATE_TEST_TIMEOUT_MS ?? 90_000);

export const real = process.env.CELLGATE_URL !== undefined;

export async function startBrowser() {
  return chromium.launch({ executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/**
 * A browser with a profile of its own, as people have one: only there does it connect ahead of need (preconnect).
 * Answers its context.
 */
export async function startWithProfile() {
  return chromium.launchPersistentContext("", { executablePath: process.env.CHROMIUM ?? "/usr/bin/chromium", args: FLAGS });
}

/**
 * `page`: a directory with another page than the console. `scripted`: the scripted gateway, even where there is a real
 * one. `withoutHeaders`: names of headers that answers do not have.
 */
export async function startGateway({ scripted = false, ...options } = {}) {
  if (real && !scripted) {
    // CELLGATE_PAGE: another build than the one that is in the gateway.
    const front = await new Front(process.env.CELLGATE_URL, { page: process.env.CELLGATE_PAGE, ...options }).listen();
    front.token = process.env.CELLGATE_TOKEN;
    return front;
  }
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
    page.setDefaultTimeout(TIMEOUT_MS);
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

  /** Sees what is said to those who hear the page, from now on. */
  async hear() {
    await this.page.evaluate(() => {
      globalThis.heard = [];
      const live = document.getElementById("live");
      new MutationObserver(() => globalThis.heard.push(live.textContent.trim())).observe(live, { childList: true, characterData: true, subtree: true });
    });
    return () => this.page.evaluate(() => globalThis.heard);
  }

  async ready() {
    await this.page.locator(".state", { hasText: "Ready" }).waitFor();
  }

  /** Asks for a connection now, unless the page was quicker. */
  async reconnect() {
    await this.page.evaluate(() => document.querySelector("#banner .warn button")?.click());
  }

  /** Restarts by the button in the header, and agrees. */
  async restarts() {
    await this.page.getByRole("button", { name: "Restart the interpreter" }).click();
    await this.page.getByRole("dialog", { name: "Restart the interpreter?" }).getByRole("button", { name: "Restart", exact: true }).click();
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

  /** Opens a document with these cells. */
  async opens(codes) {
    await this.page.getByRole("button", { name: "Menu" }).click();
    const chooser = this.page.waitForEvent("filechooser");
    await this.page.getByRole("menuitem", { name: "Open a file" }).click();
    const text = codes.map((code) => `# %%\n${code.replace(/\n*$/, "\n")}`).join("\n");
    await (await chooser).setFiles({ name: "opened.py", mimeType: "text/plain", buffer: Buffer.from(text) });
    await this.page.waitForFunction((count) => document.querySelectorAll(".cell").length === count, codes.length);
  }

  /** Does something with a cell by its menu. */
  async act(number, name) {
    await this.cell(number).hover();
    await this.page.getByRole("button", { name: `Actions for cell ${number}`, exact: true }).click();
    await this.page.getByRole("menuitem", { name, exact: true }).click();
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

/** What every file of tests has: a browser, a gateway for each test, pages that are closed after it. */
export function stage({ gatewayOptions = {} } = {}) {
  const held = { browser: null, gateway: null, opened: [] };
  before(async () => { held.browser = await startBrowser(); });
  after(() => held.browser.close());
  beforeEach(async () => {
    held.gateway = await startGateway(gatewayOptions);
    held.opened = [];
  });
  const close = async () => {
    for (const console_ of held.opened.splice(0)) await console_.close();
    await held.gateway?.close();
    held.gateway = null;
  };
  afterEach(close);
  const open = async (options) => {
    const console_ = await ConsolePage.open(held.browser, held.gateway, options);
    held.opened.push(console_);
    return console_;
  };
  return {
    get browser() { return held.browser; },
    get gateway() { return held.gateway; },
    /** Opens the console. */
    open,
    /** Ends what a test holds; one that skips itself has to, as Node does not call `afterEach` for it. */
    close,
    /** Puts the scripted gateway in the place of the real one, for the rest of a test. */
    async script() {
      await close();
      held.gateway = await startGateway({ ...gatewayOptions, scripted: true });
    },
    /** Opens it and waits until a cell could run. */
    async fresh(options) {
      const console_ = await open(options);
      await console_.ready();
      return console_;
    },
  };
}

/** Text of the lines of an output, as a reader sees it. */
export const lines = (console_, number) => console_.output(number).locator(".line").allTextContents();

/** The code of every cell, as it stands in the editors. */
export const codes = (console_) => console_.page.evaluate(() =>
  [...document.querySelectorAll(".cell .editor")].map((host) => {
    const still = host.shadowRoot.querySelector(".still"); // far from the window
    return (still ? still.textContent : [...host.shadowRoot.querySelectorAll(".cm-line")].map((line) => line.textContent).join("\n")).trim();
  }));

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Has axe look at the page as it is now. */
export async function accessible(page, where) {
  await page.evaluate(`(() => { const module = undefined; ${axe} })()`);
  const found = await page.evaluate(() => globalThis.axe.run(document, {
    runOnly: ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"],
  }));
  assert.deepEqual(found.violations.map((v) => `${v.id}: ${v.nodes.map((n) => `${n.target} ${n.failureSummary}`).join("; ")}`), [], where);
}

// What the tests of examples/chat share: its server with the scripted model, gateways that the server starts from the
// program that CELLGATE_BINARY names, and its page in a browser.

import assert from "node:assert/strict";
import { after, afterEach, before, beforeEach } from "node:test";
import { installChat } from "../chatexample.mjs";
import { startBrowser, TIMEOUT_MS } from "./console.mjs";

export const skip = !process.env.CELLGATE_BINARY && "needs the gateway's program: CELLGATE_BINARY";
export const flags = (process.env.CELLGATE_TEST_ARGUMENTS ?? "--backend local").split(" ").filter(Boolean);
// A gateway refuses variables that it does not know, such as those of other tests.
for (const name of Object.keys(process.env)) if (name.startsWith("CELLGATE_") && name !== "CELLGATE_BINARY") delete process.env[name];

/** The questions of the scripted model that the tests ask. */
export const PRIMES = "How far apart are the primes below 10,000?";
export const LONG = "Run something that takes long, so that I can stop it";

/** A browser, and for each test a server with a page of it. */
export const the = {
  browser: undefined,
  /** The example's modules. */
  example: undefined,
  /** The newest gateway that the server has started. */
  gateway: undefined,
  server: undefined,
  page: undefined,
  /** What the pages have complained of. */
  complaints: [],

  async serve(limits, model) {
    const start = async () => the.gateway = await the.example.Gateway.start({ arguments: flags });
    the.server = await the.example.startServer({ gateway: new the.example.GatewayKeeper({ url: "", start }), limits, model });
  },

  async open(path = "/", options = {}, model = "Scripted model") {
    const context = await the.browser.newContext({ viewport: { width: 1200, height: 800 }, ...options });
    const page = await context.newPage();
    page.setDefaultTimeout(TIMEOUT_MS);
    page.on("pageerror", (error) => the.complaints.push(String(error)));
    // Refused requests and broken connections are reported by the browser itself.
    page.on("console", (message) => { if (message.type() === "error" && !/status of 4\d\d|net::ERR_/.test(message.text())) the.complaints.push(message.text()); });
    await page.goto(the.server.url + path);
    await page.locator("#model", { hasText: model }).waitFor();
    return page;
  },
};

/** Called by each file of tests. */
export function stage() {
  if (skip) return;
  before(async () => {
    the.example = await installChat();
    the.browser = await startBrowser();
  });
  after(async () => {
    await the.browser?.close();
    the.example?.remove();
  });
  beforeEach(async () => {
    the.complaints = [];
    await the.serve();
    the.page = await the.open();
  });
  afterEach(async () => {
    for (const context of the.browser.contexts()) await context.close();
    await the.server.close();
    assert.deepEqual(the.complaints, []);
  });
}

export const suggestion = (question) => the.page.getByRole("button", { name: question }).click();
export async function say(text) {
  await the.page.getByRole("textbox", { name: "Message" }).fill(text);
  await the.page.keyboard.press("Enter");
}
export const fence = (code) => `\`\`\`\n${code}\n\`\`\``;
export const cell = (number, page = the.page) => page.locator(".cell").nth(number - 1);
export const status = (number, wanted, page = the.page) =>
  page.waitForFunction(([at, end]) => document.querySelectorAll(".cell")[at]?.dataset.status === end, [number - 1, wanted]);
export const answered = (count, page = the.page) =>
  page.waitForFunction((wanted) => document.querySelectorAll(".answer[data-status]").length === wanted, count);
export const transcript = (page = the.page) => page.locator("#transcript").innerText();
export const output = (number, text, page = the.page) => cell(number, page).locator(".output", { hasText: text }).waitFor();

// The card in a frame of another site: only where the gateway's settings allow it. The server of
// that site is the caller's (tests/page.rs): `CELLGATE_EMBEDDER` is its port on this machine, and
// `http://localhost:PORT` is allowed, `http://127.0.0.1:PORT` only with the publishable key KEY.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PROGRAMS } from "./programs.mjs";
import { ConsolePage, startBrowser, startGateway } from "./console.mjs";

const port = process.env.CELLGATE_EMBEDDER;
const KEY = "pk_embedder-0123456789";
const allowedOnly = { skip: port === undefined && "needs a gateway that allows an embedder" };

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser.close());

async function embedded(host, address = `?embed=1#token=${process.env.CELLGATE_TOKEN}`) {
  const page = await (await browser.newContext()).newPage();
  page.setDefaultTimeout(90_000);
  const said = [];
  page.on("console", (message) => said.push(message.text()));
  const frame = `${process.env.CELLGATE_URL}/${address}`;
  await page.goto(`http://${host}:${port}/?frame=${encodeURIComponent(frame)}`);
  return { page, said, card: page.frameLocator("iframe") };
}

test("another site that is allowed to may show the card, which runs code", allowedOnly, async () => {
  const { page, card } = await embedded("localhost");
  await card.locator(".state", { hasText: "Ready" }).waitFor();
  assert.equal(await page.evaluate(() => document.activeElement.tagName), "BODY", "the card takes the focus of the page around it");
  await card.locator(".cm-content").click();
  await page.keyboard.insertText(PROGRAMS.hello.code);
  await page.keyboard.press("Control+Enter");
  await card.locator(".line", { hasText: "42" }).waitFor();
  assert.equal(await card.getByRole("button", { name: "Menu" }).count(), 0);
  await page.context().close();
});

test("a site that is not allowed may not", allowedOnly, async () => {
  const { page, card, said } = await embedded("127.0.0.1");
  await page.waitForFunction(() => document.title === "loaded");
  assert.ok(said.some((text) => text.includes("frame-ancestors")), said.join(" | "));
  assert.equal(await card.locator(".state").count(), 0);
  await page.context().close();
});

test("a site that a publishable key names shows the card with that key, and what runs in frames within it", allowedOnly, async () => {
  const { page, said, card } = await embedded("127.0.0.1", `?embed=1&key=${KEY}`);
  await card.locator(".state", { hasText: "Ready" }).waitFor();
  await card.locator(".cm-content").click();
  await page.keyboard.insertText(PROGRAMS.vega.code);
  await page.keyboard.press("Control+Enter");
  await card.frameLocator(".output iframe").locator("canvas, svg").first().waitFor();
  assert.deepEqual(said.filter((text) => text.includes("frame-ancestors")), []);
  await page.context().close();

  const other = await embedded("127.0.0.1", "?embed=1&key=pk_another-0123456789");
  await other.page.waitForFunction(() => document.title === "loaded");
  assert.ok(other.said.some((text) => text.includes("frame-ancestors")), other.said.join(" | "));
  await other.page.context().close();
});

test("where the browser allows no storage, the page works without", async () => {
  const gateway = await startGateway();
  const context = await browser.newContext();
  await context.addInitScript(() => {
    for (const name of ["localStorage", "sessionStorage"]) {
      Object.defineProperty(globalThis, name, { get() { throw new DOMException("denied", "SecurityError"); } });
    }
  });
  const page = await context.newPage();
  page.setDefaultTimeout(90_000);
  await page.goto(`${gateway.url}/?embed=1#token=${gateway.token}`);
  const console_ = new ConsolePage(page, context);
  await console_.ready();
  await console_.runTo(1, PROGRAMS.hello.code);
  await context.close();
  await gateway.close();
});

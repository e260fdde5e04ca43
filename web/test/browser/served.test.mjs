// How the page gets to a visitor: what the real gateway sends, how much of it, and how it is kept.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { PROGRAMS } from "./programs.mjs";
import { ConsolePage, real, startBrowser } from "./console.mjs";

const FIRST_LOAD_BYTES = 200 * 1000; // compressed, until a session is ready
const gatewayOnly = { skip: !real && "needs the gateway that serves the page" };
const gateway = { url: process.env.CELLGATE_URL, token: process.env.CELLGATE_TOKEN };

let browser;
before(async () => { browser = await startBrowser(); });
after(() => browser.close());

/** What the page has been sent up to now: path and compressed size of each. */
const sent = (console_) => console_.page.evaluate(() =>
  [...performance.getEntriesByType("navigation"), ...performance.getEntriesByType("resource")]
    .filter((entry) => !entry.name.includes("/v1/"))
    .map((entry) => ({ path: new URL(entry.name).pathname, host: new URL(entry.name).host, bytes: entry.encodedBodySize, plain: entry.decodedBodySize })));

test("the first load is small, compressed, and from the gateway alone; what is heavy comes when it is shown", gatewayOnly, async () => {
  const console_ = await ConsolePage.open(browser, gateway);
  await console_.ready();
  const first = await sent(console_);
  assert.ok(first.length >= 3, JSON.stringify(first));
  assert.deepEqual([...new Set(first.map(({ host }) => host))], [new URL(gateway.url).host]);
  const bytes = first.reduce((sum, one) => sum + one.bytes, 0);
  assert.ok(bytes > 50_000 && bytes <= FIRST_LOAD_BYTES, `${bytes} bytes: ${JSON.stringify(first)}`);
  for (const { path, bytes: compressed, plain } of first) assert.ok(compressed < plain || plain < 600, `${path} is not compressed`);
  const heavy = /plotly|vega|math|markdown|html-/;
  assert.deepEqual(first.filter(({ path }) => heavy.test(path)), []);
  await console_.runTo(1, PROGRAMS.vega.code);
  await console_.output(1).frameLocator("iframe").locator("canvas, svg").first().waitFor();
  assert.deepEqual((await sent(console_)).map(({ path }) => path).filter((path) => heavy.test(path) && !/vega/.test(path)), []);
  assert.ok((await sent(console_)).some(({ path }) => /vega/.test(path)));
  await console_.close();
});

test("assets are kept for ever, and the page itself is asked for and not sent again", gatewayOnly, async () => {
  const ask = (path, headers = {}) => fetch(gateway.url + path, { headers: { "accept-encoding": "br", ...headers } });
  const page = await ask("/");
  assert.equal(page.status, 200);
  assert.equal(page.headers.get("cache-control"), "no-cache");
  assert.match(page.headers.get("content-security-policy"), /script-src 'self';.*style-src 'self';/);
  const etag = page.headers.get("etag");
  assert.match(etag, /^"[0-9a-f]+"$/);
  const again = await ask("/", { "if-none-match": etag });
  assert.equal(again.status, 304);
  assert.equal(await again.text(), "");
  const text = await page.text();
  const assets = Array.from(text.matchAll(/(?:src|href)="(assets\/[^"]+)"/g), ([, path]) => `/${path}`);
  assert.ok(assets.length >= 3, text);
  assert.doesNotMatch(text, /https?:\/\/|<script>|<style|\sstyle=|\son\w+=/);
  for (const path of assets) {
    const asset = await ask(path);
    assert.equal(asset.status, 200, path);
    assert.match(asset.headers.get("cache-control"), /max-age=31536000, immutable/, path);
    assert.equal((await ask(path, { "if-none-match": asset.headers.get("etag") })).status, 304, path);
    assert.equal(asset.headers.get("x-content-type-options"), "nosniff", path);
    if ((await asset.arrayBuffer()).byteLength > 600) assert.equal(asset.headers.get("content-encoding"), "br", path);
  }
});

test("the document that output runs in may connect to nothing, and has the policy that says so", gatewayOnly, async () => {
  const console_ = await ConsolePage.open(browser, gateway);
  await console_.ready();
  const answered = console_.page.waitForResponse(/\/assets\/frame-/);
  await console_.runTo(1, PROGRAMS.vega.code);
  const headers = await (await answered).allHeaders();
  assert.equal(headers["connection-allowlist"], "();webrtc=block");
  assert.equal(headers["x-dns-prefetch-control"], "off");
  assert.match(headers["content-security-policy"], /^sandbox allow-scripts; default-src 'none';/);
  await console_.output(1).frameLocator("iframe").locator("canvas, svg").first().waitFor();
  await console_.close();
});

// The example in examples/monaco: a cell of a session's document in another editor, beside the console. Its packages
// are its own: `npm ci` in examples/monaco.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { extname, join } from "node:path";
import { before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { codes, lines, real, stage, TIMEOUT_MS } from "./console.mjs";

const EXAMPLE = fileURLToPath(new URL("../../../examples/monaco/", import.meta.url));
const TYPES = { ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".css": "text/css", ".ttf": "font/ttf" };
const skip = !existsSync(join(EXAMPLE, "node_modules")) ? "the packages of the example are not installed: npm ci in examples/monaco"
  : !real && "needs the real gateway: CELLGATE_URL and CELLGATE_TOKEN";

const the = stage();
before(() => { if (!skip) execFileSync(process.execPath, ["build.mjs"], { cwd: EXAMPLE, stdio: "inherit" }); });

/** Opens the example's page, as its README says. */
async function monaco(parameters) {
  const context = await the.browser.newContext({ viewport: { width: 900, height: 800 } });
  for (const file of ["index.html", "page.css", ...readdirSync(join(EXAMPLE, "dist")).map((name) => `dist/${name}`)]) {
    the.gateway.assets.set(`/monaco/${file}`, { headers: { "content-type": TYPES[extname(file)] ?? "text/plain" }, body: readFileSync(join(EXAMPLE, file)) });
  }
  const page = await context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  page.complaints = [];
  page.on("pageerror", (error) => page.complaints.push(String(error)));
  page.on("console", (message) => { if (message.type() === "error" && !/404/.test(message.text())) page.complaints.push(message.text()); });
  await page.goto(`${the.gateway.url}/monaco/index.html#${new URLSearchParams({ gateway: the.gateway.url, ...parameters })}`);
  await page.locator(".monaco-editor .view-line").first().waitFor();
  return {
    page,
    /** The code that the editor shows; Monaco draws blanks as U+00A0. */
    shows: (code) => page.waitForFunction((wanted) => [...document.querySelectorAll(".view-line")].sort((a, b) => parseFloat(a.style.top) - parseFloat(b.style.top)).map((line) => line.textContent.replaceAll("\u00a0", " ")).join("\n") === wanted, code),
    async types(key, text) {
      await page.locator(".view-lines").click();
      await page.keyboard.press(key);
      await page.keyboard.type(text);
    },
    close: () => context.close(),
  };
}

/** Waits until the console's first cell has this code. */
async function consoleShows(console_, code) {
  await console_.page.waitForFunction((wanted) => {
    const host = document.querySelector(".cell .editor");
    return [...host.shadowRoot.querySelectorAll(".cm-line")].map((line) => line.textContent).join("\n") === wanted;
  }, code);
  assert.equal((await codes(console_))[0], code);
}

const kept = (console_) => console_.page.evaluate(() => JSON.parse(sessionStorage.getItem("cellgate.session")));

test("the console and Monaco write and run one cell, and see each other's cursors", { skip }, async () => {
  const console_ = await the.fresh();
  await console_.write(1, "x = 1");
  const { session, token } = await kept(console_);
  const editor = await monaco({ session, token: await linkOf(session, token, { role: "editor" }), name: "Mona" });
  try {
    await editor.shows("x = 1");
    await editor.types("Control+End", "0");
    await consoleShows(console_, "x = 10");
    await console_.cell(1).locator(".cm-person[data-name=Mona]").waitFor();
    await console_.cell(1).locator(".cm-content").click();
    await console_.page.keyboard.press("Control+End");
    await console_.page.keyboard.type("\nprint(x + 1)");
    await editor.shows("x = 10\nprint(x + 1)");
    await editor.page.locator(".yRemoteSelectionHead").waitFor();
    await editor.page.getByRole("button", { name: "Run" }).click();
    await editor.page.locator("#output", { hasText: /^11\n?$/ }).waitFor();
    await editor.page.locator("#state", { hasText: "ok" }).waitFor();
    await console_.output(1).locator(".line", { hasText: "11" }).waitFor();
    assert.deepEqual(await lines(console_, 1), ["11"]);
    // What the console runs is shown here too.
    await console_.page.keyboard.type("0");
    await console_.page.keyboard.press("Backspace");
    await console_.page.keyboard.press("Control+Enter");
    await editor.page.locator("#output", { hasText: /^11\n?$/ }).waitFor();
    assert.deepEqual([editor.page.complaints, console_.complaints], [[], []]);
  } finally {
    await editor.close();
  }
});

test("a session that Monaco opens has a first cell, which another Monaco joins as a viewer", { skip }, async () => {
  const first = await monaco({ token: the.gateway.token });
  await first.shows("print(6 * 7)\n");
  await first.page.getByRole("button", { name: "Run" }).click();
  await first.page.locator("#output", { hasText: /^42\n?$/ }).waitFor();
  const session = [...the.gateway.sessions].at(-1);
  const second = await monaco({ session, token: await linkOf(session, the.gateway.token, { role: "viewer" }), cell: "first" });
  try {
    await second.shows("print(6 * 7)\n");
    await second.page.locator("#output", { hasText: /^42\n?$/ }).waitFor();
    assert.equal(await second.page.getByRole("button", { name: "Run" }).isDisabled(), true);
    await second.types("Control+Home", "no");
    await first.types("Control+Home", "# yes\n");
    for (const one of [first, second]) await one.shows("# yes\nprint(6 * 7)\n");
    assert.deepEqual([first.page.complaints, second.page.complaints], [[], []]);
  } finally {
    await first.close();
    await second.close();
  }
});

/** A link's token, as an owner makes it. */
async function linkOf(session, token, rights) {
  const response = await fetch(`${the.gateway.url}/v1/sessions/${session}/tokens`, {
    method: "POST", headers: { authorization: `Bearer ${token}`, "content-type": "application/json" }, body: JSON.stringify(rights),
  });
  return (await response.json()).token;
}

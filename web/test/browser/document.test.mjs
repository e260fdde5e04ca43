// One document for all participants of a session: several pages that write and run at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, codes, lines, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

// What is tested needs the gateway's side of a connection, which can be cut and looked at.
const the = stage({ gatewayOptions: { scripted: true } });
const { fresh } = the;

const named = (who, more = {}) => ({ ...more, storageState: { cookies: [], origins: [{ origin: the.gateway.url, localStorage: [{ name: "cellgate.name", value: who }] }] } });

const session = () => [...the.gateway.sessions.values()][0];

/** A link as an owner makes it. */
const linkFor = (role, rights = {}) => `session=${session().id}&token=${session().tokenFor(role, false, null, rights)}`;

/** What the gateway has, in order. */
const document = () => session().document.cells.toArray().map((cell) => ({ id: cell.get("id"), source: cell.get("source").toString(), position: cell.get("position") }))
  .sort((a, b) => (a.position < b.position ? -1 : a.position > b.position ? 1 : 0));

const sources = () => document().map(({ source }) => source);

/** Waits for a condition of this process; it fails when the test's time is over. */
async function until(what, found) {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setImmediate(resolve))) if (await found()) return;
  assert.fail(`waited in vain for ${what}`);
}

/** Waits until all pages show these texts. */
async function allShow(pages, wanted) {
  for (const [at, one] of pages.entries()) {
    await until(`page ${at + 1} to show ${JSON.stringify(wanted)}: it shows ${JSON.stringify(await codes(one))}`, async () => JSON.stringify(await codes(one)) === JSON.stringify(wanted));
  }
}

/** Puts the cursor behind the text of a cell and types. */
async function type(console_, number, text, at = "Control+End") {
  await console_.cell(number).locator(".cm-content").click();
  await console_.page.keyboard.press(at);
  await console_.page.keyboard.insertText(text);
}

/** Three people in one session. */
async function three(first = "a = 1") {
  const ada = await fresh(named("Ada"));
  await ada.write(1, first);
  const grace = await fresh(named("Grace", { fragment: linkFor("editor") }));
  const alan = await fresh(named("Alan", { fragment: linkFor("editor") }));
  await allShow([ada, grace, alan], [first]);
  return [ada, grace, alan];
}

test("three pages write and run at once, and all have the same text and the same outputs", async () => {
  const all = await three();
  const [ada, grace, alan] = all;
  await Promise.all([type(ada, 1, "\n# Ada"), type(grace, 1, "# Grace\n", "Control+Home"), (async () => {
    await alan.page.locator(".add").click();
    await alan.page.keyboard.insertText(PROGRAMS.hello.code);
  })()]);
  await allShow(all, ["# Grace\na = 1\n# Ada", PROGRAMS.hello.code]);
  assert.deepEqual(sources(), ["# Grace\na = 1\n# Ada", PROGRAMS.hello.code]);
  await alan.page.keyboard.press("Control+Enter");
  for (const one of all) {
    await one.output(2).locator(".line", { hasText: "hello" }).waitFor();
    await one.cell(2).locator(".by", { hasText: "Alan" }).waitFor();
    assert.deepEqual(one.complaints, []);
  }
  const executes = the.gateway.received.filter(({ type }) => type === "execute");
  assert.equal(executes.at(-1).cell, document()[1].id, "a run names its cell");
});

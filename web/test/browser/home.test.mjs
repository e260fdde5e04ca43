// Coming back: documents of this browser, sessions of its token, a closed tab, a second tab.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, ConsolePage, lines, stage, TIMEOUT_MS } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh } = the;

/** Another tab of the same browser. */
async function tab(console_, fragment = "") {
  const page = await console_.context.newPage();
  page.setDefaultTimeout(TIMEOUT_MS);
  await page.goto(`${the.gateway.url}/${fragment}`);
  const other = new ConsolePage(page, console_.context);
  return other;
}

async function home(console_) {
  await console_.page.getByRole("button", { name: "Home", exact: true }).click();
  const dialog = console_.page.getByRole("dialog", { name: "Home" });
  await dialog.waitFor();
  return dialog;
}

const menu = async (console_, name) => {
  await console_.page.getByRole("button", { name: "Menu", exact: true }).click();
  await console_.page.getByRole("menuitem", { name }).click();
};

const sessionId = (console_) => console_.page.evaluate(() => JSON.parse(sessionStorage.getItem("cellgate.session")).session);

test("earlier documents are kept, found and deleted", async () => {
  const console_ = await fresh();
  await console_.write(1, "'the first'");
  await menu(console_, "New document");
  await console_.write(1, "'the second'");
  let dialog = await home(console_);
  await accessible(console_.page, "home");
  await dialog.getByRole("button", { name: "'the first'" }).first().click();
  await console_.cell(1).locator(".cm-content", { hasText: "'the first'" }).waitFor();
  dialog = await home(console_);
  await dialog.getByRole("button", { name: "Delete 'the second'" }).click();
  await console_.page.getByRole("dialog", { name: /^Delete/ }).getByRole("button", { name: "Delete", exact: true }).click();
  await dialog.locator("li", { hasText: "the second" }).waitFor({ state: "detached" });
});

test("a second tab needs no token, and has a session and a document of its own", async () => {
  const console_ = await fresh();
  await console_.write(1, "'mine'");
  const other = await tab(console_);
  await other.ready();
  assert.equal(await other.page.locator("input[name=token]").count(), 0);
  assert.notEqual(await sessionId(other), await sessionId(console_));
});

test("a token that no tab has is asked for", async () => {
  const console_ = await the.open({ fragment: "x" });
  await console_.page.getByLabel("Token").waitFor();
});

test("a closed tab's session is there when its document is opened again", async () => {
  const console_ = await fresh();
  const first = await tab(console_);
  await first.ready();
  await first.runTo(1, PROGRAMS.setX.code);
  const id = await sessionId(first);
  await first.page.waitForFunction(() => Object.values(localStorage).some((text) => text.includes("x = 'kept'")));
  await first.page.close();
  // The first tab has another document; the next one opens the newest that no tab has.
  const second = await tab(console_);
  await second.ready();
  assert.equal(await sessionId(second), id);
  await second.cell(1).locator(".cm-content", { hasText: "x = 'kept'" }).waitFor();
  await second.page.getByRole("button", { name: "+ Cell" }).click();
  await second.runTo(2, PROGRAMS.showX.code);
  assert.deepEqual(await lines(second, 2), ["kept"]);
});

test("the sessions that the token made are listed, opened and ended", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.setX.code);
  const other = await tab(console_);
  await other.ready();
  const mine = await sessionId(other);
  const theirs = await sessionId(console_);
  let dialog = await home(other);
  const row = dialog.locator("li", { hasText: "x = 'kept'" }).filter({ hasText: "since" });
  await row.waitFor();
  assert.match(await row.textContent(), /since .* · python · /);
  await console_.page.close();
  await row.getByRole("button").first().click();
  await other.ready();
  await other.cell(1).locator(".cm-content", { hasText: "x = 'kept'" }).waitFor();
  assert.equal(await sessionId(other), theirs);
  dialog = await home(other);
  // The one that it left. Other tests have sessions of the same token.
  const end = dialog.getByRole("button", { name: `End Session ${mine.slice(0, 6)}` });
  await end.click();
  await other.page.getByRole("dialog", { name: "End this session?" }).getByRole("button", { name: "End it" }).click();
  await end.waitFor({ state: "detached" });
});

// One document for all participants of a session: several pages that write and run at once.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, codes, lines, stage, TIMEOUT_MS } from "./console.mjs";
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
  for (const end = Date.now() + TIMEOUT_MS; Date.now() < end; await new Promise((resolve) => setImmediate(resolve))) if (await found()) return;
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

test("a session of one loads and sends nothing of it", async () => {
  const ada = await fresh(named("Ada"));
  await ada.runTo(1, PROGRAMS.hello.code);
  // What is loaded a moment later has come by then.
  await ada.page.getByRole("button", { name: "Menu" }).click();
  assert.equal(the.gateway.requests.some((one) => one.includes("/document")), false);
  const sources_ = await ada.page.evaluate(() => performance.getEntriesByType("resource").map(({ name }) => name));
  assert.equal(sources_.some((name) => /shareddocument/.test(name)), false);
});

test("a page that is cut off writes on and merges, and says so", async () => {
  const all = await three();
  const [ada, grace, alan] = all;
  const own = await grace.page.evaluate(() => JSON.parse(sessionStorage.getItem("cellgate.session")).token);
  the.gateway.documentsDown.add(own);
  session().document.cut(own);
  await grace.page.getByText("Editing offline; changes merge when the connection is back.").waitFor();
  await accessible(grace.page, "a page that is cut off");
  await type(grace, 1, "\n# from afar");
  await grace.page.locator(".add").click();
  await grace.page.keyboard.insertText("b = 2");
  await type(ada, 1, "# meanwhile\n", "Control+Home");
  await allShow([ada, alan], ["# meanwhile\na = 1"]);
  assert.deepEqual(await codes(grace), ["a = 1\n# from afar", "b = 2"]);
  the.gateway.documentsDown.clear();
  await allShow(all, ["# meanwhile\na = 1\n# from afar", "b = 2"]);
  await grace.page.getByText("Editing offline").waitFor({ state: "detached" });
  for (const one of all) assert.deepEqual(one.complaints, []);
});

test("a viewer sees texts, cursors and outputs as they come, and writes nothing", async () => {
  const [ada, grace] = await three();
  const viewer = await fresh(named("Vera", { fragment: linkFor("viewer") }));
  await allShow([viewer], ["a = 1"]);
  await type(grace, 1, "23");
  await allShow([viewer, ada], ["a = 123"]);
  await viewer.cell(1).locator(".cm-person[data-name=Grace]").waitFor();
  await viewer.cell(1).locator(".cm-content").click();
  await viewer.page.keyboard.type("x");
  assert.deepEqual(await codes(viewer), ["a = 123"]);
  // It is seen by the others.
  await ada.page.getByRole("button", { name: /^Go to Vera/ }).waitFor();
  await ada.run(1, PROGRAMS.hello.code);
  await viewer.output(1).locator(".line", { hasText: "hello" }).waitFor();
  await allShow([viewer], [PROGRAMS.hello.code]);
  assert.deepEqual(viewer.complaints, []);
});

test("cells that are added, moved and deleted at once end up the same everywhere", async () => {
  const ada = await fresh(named("Ada"));
  await ada.opens(["a", "b", "c", "d"]);
  const grace = await fresh(named("Grace", { fragment: linkFor("editor") }));
  const alan = await fresh(named("Alan", { fragment: linkFor("editor") }));
  await allShow([grace, alan], ["a", "b", "c", "d"]);
  await until("Ada to be in the document", () => session().document.sockets.size === 3);
  const [b] = document().filter(({ source }) => source === "b");
  // One moves what another writes in, a third deletes and adds: nothing of it is lost.
  await Promise.all([
    ada.act(2, "Move down"),
    type(grace, 2, " = 2"),
    (async () => {
      await alan.act(4, "Delete");
      await alan.act(1, "Insert a cell above");
      await alan.page.keyboard.insertText("first");
    })(),
  ]);
  await allShow([ada, grace, alan], ["first", "a", "c", "b = 2"]);
  assert.deepEqual(sources(), ["first", "a", "c", "b = 2"]);
  assert.equal(document()[3].id, b.id, "a move makes no other cell");

  // Split, join, conversion and undo of a deletion are seen by all.
  await grace.cell(4).locator(".cm-content").click();
  await grace.page.keyboard.press("Control+Home");
  await grace.page.keyboard.press("ArrowRight");
  await grace.page.keyboard.press("Control+Shift+-");
  await allShow([ada, grace, alan], ["first", "a", "c", "b", "= 2"]);
  await grace.act(4, "Join with the next cell");
  await allShow([ada, grace, alan], ["first", "a", "c", "b\n = 2"]);
  await ada.act(3, "Delete");
  await allShow([ada, grace, alan], ["first", "a", "b\n = 2"]);
  await ada.page.getByRole("button", { name: "Undo" }).click();
  await allShow([ada, grace, alan], ["first", "a", "c", "b\n = 2"]);
  await alan.act(2, "Turn into Markdown");
  for (const one of [ada, grace, alan]) await one.page.locator('.cell[data-kind="markdown"] .prose', { hasText: "a" }).waitFor();
  for (const one of [ada, grace, alan]) assert.deepEqual(one.complaints, []);
});

test("who comes late or loads the page anew in the middle of a stream has all of it under the same cell", async () => {
  const ada = await fresh(named("Ada"));
  await ada.opens(["1", PROGRAMS.slow.code, "3"]);
  const grace = await fresh(named("Grace", { fragment: linkFor("editor") }));
  await allShow([grace], ["1", PROGRAMS.slow.code.trim(), "3"]);
  await grace.cell(2).locator(".cm-content").click();
  await grace.page.keyboard.press("Control+Enter");
  await ada.output(2).locator(".line", { hasText: /^3$/ }).waitFor();
  const [late] = await Promise.all([fresh(named("Late", { fragment: linkFor("editor") })), grace.page.reload()]);
  for (const one of [ada, grace, late]) {
    await one.phase(2, "ok");
    await allShow([one], ["1", PROGRAMS.slow.code.trim(), "3"]);
    assert.deepEqual(await lines(one, 2), Array.from({ length: 30 }, (_, n) => String(n)));
    assert.deepEqual(one.complaints, []);
  }
  assert.equal(document().length, 3);
});

test("undo takes back what one has written oneself", async () => {
  const [ada, grace, alan] = await three();
  await type(ada, 1, "\nfrom_ada = 1");
  await allShow([grace], ["a = 1\nfrom_ada = 1"]);
  await type(grace, 1, "\nfrom_grace = 1");
  await allShow([ada], ["a = 1\nfrom_ada = 1\nfrom_grace = 1"]);
  await ada.page.keyboard.press("Control+z");
  await allShow([ada, grace, alan], ["a = 1\nfrom_grace = 1"]);
  await grace.page.keyboard.press("Control+z");
  await allShow([ada, grace, alan], ["a = 1"]);
  await grace.page.keyboard.press("Control+y");
  await allShow([ada, grace, alan], ["a = 1\nfrom_grace = 1"]);
});

test("who writes in a cell that somebody deletes hears of it, and can bring it back", async () => {
  const [ada, grace, alan] = await three();
  await ada.page.locator(".add").click();
  await ada.page.keyboard.insertText("work = 'long'");
  await allShow([grace, alan], ["a = 1", "work = 'long'"]);
  await grace.act(2, "Delete");
  const note = ada.page.getByRole("group", { name: "Grace deleted the cell you were writing in." });
  await note.waitFor();
  await accessible(ada.page, "a cell deleted under one's hands");
  await note.getByRole("button", { name: "Bring it back" }).click();
  await allShow([ada, grace, alan], ["a = 1", "work = 'long'"]);
  assert.equal(await alan.page.locator(".deleted").count(), 0, "only who wrote there is told");
  await ada.page.keyboard.press("Control+End");
  await ada.page.keyboard.insertText(" + 'er'");
  await allShow([ada, grace, alan], ["a = 1", "work = 'long' + 'er'"]);
});

test("what an owner lets somebody do changes at once", async () => {
  const [ada, grace] = await three();
  await ada.page.getByRole("button", { name: "3 people are here" }).click();
  const may = ada.page.getByRole("combobox", { name: "What Grace may do" });
  await accessible(ada.page, "who may do what");
  await may.selectOption("Edit only");
  await ada.page.getByRole("status").getByText("Grace now writes code, and runs nothing.").waitFor();
  await grace.page.getByRole("button", { name: "Run all" }).waitFor({ state: "detached" });
  await type(grace, 1, "0");
  await allShow([ada], ["a = 10"]);
  await may.selectOption("Run only");
  await grace.page.getByRole("button", { name: "Run all" }).waitFor();
  await grace.cell(1).locator(".cm-content").click();
  await grace.page.keyboard.type("x");
  assert.deepEqual(await codes(grace), ["a = 10"]);
  assert.equal(await grace.page.locator(".add").isVisible(), false);
  await grace.page.keyboard.press("Control+Enter");
  await until("Grace's run", () => the.gateway.received.some(({ type, code }) => type === "execute" && code === "a = 10"));
  await may.selectOption("Watch");
  await grace.page.getByText("watching").waitFor();
  await may.selectOption("Work along");
  await type(grace, 1, "0");
  await allShow([ada, grace], ["a = 100"]);
});

test("a change that the gateway does not take is said once, and the page shows what the others have", async () => {
  const [ada, grace] = await three();
  // The right is gone before the page hears of it.
  const own = await grace.page.evaluate(() => JSON.parse(sessionStorage.getItem("cellgate.session")).token);
  session().listed.get(own).edit = false;
  await type(grace, 1, "99");
  await grace.page.locator(".toast", { hasText: "Your change was not taken: You may not edit this document." }).waitFor();
  await allShow([ada, grace], ["a = 1"]);
});

test("two pages that make the document at once make one, and what each has written is in it", async () => {
  const ada = await fresh(named("Ada"));
  await ada.write(1, "from_ada = 1");
  // Another page that holds a text of its own comes with the session's own token, as another tab of the owner's does.
  const key = await ada.page.evaluate(() => sessionStorage.getItem("cellgate.session"));
  const { session: id } = JSON.parse(key);
  const kept = { id: "000000000001", title: "", updated: 1, cells: [{ id: "00000000000a", kind: "code", code: "from_other = 1" }] };
  const storage = [
    { name: "cellgate.name", value: "Other" }, { name: "cellgate.document.000000000001", value: JSON.stringify(kept) },
    { name: "cellgate.sessions", value: JSON.stringify([{ session: id, token: session().tokenFor("owner"), document: kept.id, at: 1 }]) },
  ];
  const other = await fresh({ storageState: { cookies: [], origins: [{ origin: the.gateway.url, localStorage: storage }] } });
  await until("both texts in one document", () => sources().length === 2);
  assert.deepEqual([...sources()].sort(), ["from_ada = 1", "from_other = 1"]);
  await allShow([ada, other], sources());
  assert.equal(the.gateway.requests.filter((one) => /^POST .*\/document$/.test(one)).length, 2);
});

test("a page alone by a link makes the document of what the session ran, if nobody else does", async () => {
  const ada = await fresh(named("Ada"));
  await ada.runTo(1, PROGRAMS.hello.code);
  const fragment = linkFor("editor");
  await ada.page.close();
  await until("Ada to be gone", () => session().sockets.size === 0);
  const grace = await fresh(named("Grace", { fragment }));
  await grace.output(1).locator(".line", { hasText: "hello" }).waitFor();
  const alan = await fresh(named("Alan", { fragment }));
  await until("a document", () => document().length > 0);
  assert.deepEqual(sources(), [PROGRAMS.hello.code]);
  await allShow([grace, alan], [PROGRAMS.hello.code]);
});

test("cursors, avatars and following", async () => {
  const ada = await fresh(named("Ada Lovelace"));
  await ada.opens(Array.from({ length: 40 }, (_, n) => `# cell ${n + 1}\n\n\n`));
  const grace = await fresh(named("Grace", { fragment: linkFor("editor") }));
  await until("both in the document", () => session().document.sockets.size === 2);
  await grace.cell(1).locator(".cm-content").click();
  await ada.cell(1).locator(".cm-person[data-name=Grace]").waitFor();
  await ada.cell(1).locator(".persons", { hasText: "Grace" }).waitFor();
  await accessible(ada.page, "somebody else in a cell");
  const heard = await ada.hear();
  await grace.page.locator(".add").scrollIntoViewIfNeeded();
  await grace.cell(40).locator(".cm-content").click();
  await ada.page.getByRole("button", { name: "Go to Grace, in cell 40" }).click();
  await ada.cell(40).locator(".persons").waitFor();
  const seen = (number) => ada.page.waitForFunction((at) => { const box = document.querySelectorAll(".cell")[at].getBoundingClientRect(); return box.top >= 0 && box.bottom <= innerHeight; }, number - 1);
  await seen(40);
  await ada.page.getByRole("button", { name: "Follow Grace" }).click();
  await grace.cell(2).locator(".editor").scrollIntoViewIfNeeded();
  await grace.cell(2).locator(".cm-content").click();
  await seen(2);
  await ada.page.keyboard.press("Escape");
  await ada.page.getByRole("button", { name: "Go to Grace, in cell 2", exact: true }).waitFor();
  assert.equal((await heard()).some((text) => /typed|changed/.test(text)), false);
  assert.deepEqual(ada.complaints, []);
});

test("a name is asked for once, and changes at once", async () => {
  const ada = await fresh(named("Ada"));
  const guest = await fresh({ fragment: linkFor("editor") });
  const form = guest.page.getByRole("form", { name: "Your name" });
  await form.waitFor();
  await accessible(guest.page, "the question for a name");
  await form.getByRole("textbox").fill("Katherine");
  await form.getByRole("button", { name: "Use this name" }).click();
  await ada.page.getByRole("button", { name: /^Go to Katherine/ }).waitFor();
  await guest.page.reload();
  await guest.ready();
  await ada.page.getByRole("button", { name: /^Go to Katherine/ }).waitFor();
  await guest.page.getByRole("button", { name: /^Go to Ada/ }).waitFor();
  assert.equal(await form.count(), 0);
});

test("a document that is full says what is not shared", async () => {
  const [ada, grace] = await three();
  the.gateway.options.documentBytes = 2000;
  await type(ada, 1, "x".repeat(3000));
  await ada.page.getByText("The shared document is full (4 MiB).").waitFor();
  await accessible(ada.page, "a full document");
  const saved = ada.page.waitForEvent("download");
  await ada.page.getByRole("button", { name: "Download this page's text" }).click();
  assert.match((await saved).suggestedFilename(), /\.py$/);
  assert.deepEqual(await codes(grace), ["a = 1"]);
  // It goes on once there is room.
  the.gateway.options.documentBytes = undefined;
  await ada.page.getByRole("button", { name: "Try again" }).click();
  await allShow([grace], [`a = 1${"x".repeat(3000)}`]);
});

test("a file is added to the shared document, or takes its place", async () => {
  const [ada, grace] = await three();
  const openFile = async (text, name) => {
    await ada.page.getByRole("button", { name: "Menu" }).click();
    const chooser = ada.page.waitForEvent("filechooser");
    await ada.page.getByRole("menuitem", { name: "Open a file" }).click();
    await (await chooser).setFiles({ name: "opened.py", mimeType: "text/plain", buffer: Buffer.from(text) });
    await ada.page.getByRole("dialog", { name: "Into the shared document?" }).getByRole("button", { name }).click();
  };
  await openFile("# %%\nb = 2\n\n# %% [markdown]\n# # Title\n", "Add behind the last cell");
  await allShow([ada, grace], ["a = 1", "b = 2", "# Title"]);
  await openFile("# %%\nc = 3\n", "Replace all cells");
  await allShow([ada, grace], ["c = 3"]);
});

test("runs of a client that is not in the document are shown, and stay out of it", async () => {
  const [ada, grace] = await three();
  session().receive({ role: "owner", name: "script", token: the.gateway.token, reply() {} }, JSON.stringify({ type: "execute", id: "outside.1", code: PROGRAMS.hello.code }));
  for (const one of [ada, grace]) await one.output(2).locator(".line", { hasText: "hello" }).waitFor();
  assert.deepEqual(sources(), ["a = 1"]);
  // Who writes in it makes it one of the document.
  await type(grace, 2, "\n# mine now");
  await allShow([ada, grace], ["a = 1", `${PROGRAMS.hello.code}\n# mine now`]);
  assert.equal(document().length, 2);
  await ada.output(2).locator(".line", { hasText: "hello" }).waitFor();
});

test("who begins a cell before the document has come keeps it", async () => {
  const ada = await fresh(named("Ada"));
  await ada.write(1, "a = 1");
  const first = await fresh(named("Alan", { fragment: linkFor("editor") }));
  await allShow([ada, first], ["a = 1"]);
  the.gateway.documentsDown.add("all");
  const grace = await fresh(named("Grace", { fragment: linkFor("editor") }));
  await grace.page.locator(".add").click();
  the.gateway.documentsDown.clear();
  await until("the cell to be in the document", () => document().length === 2);
  await grace.page.keyboard.insertText("b = 2");
  await allShow([ada, first, grace], ["a = 1", "b = 2"]);
});

test("who has the cursor in the first cell when the document comes writes on there", async () => {
  const ada = await fresh(named("Ada"));
  await ada.write(1, "a = 1");
  const alan = await fresh(named("Alan", { fragment: linkFor("editor") }));
  await allShow([ada, alan], ["a = 1"]);
  the.gateway.documentsDown.add("all");
  const grace = await fresh(named("Grace", { fragment: linkFor("editor") }));
  await grace.cell(1).locator(".cm-content").click();
  the.gateway.documentsDown.clear();
  await grace.page.locator(".cell .cm-content", { hasText: "a = 1" }).waitFor();
  await grace.page.keyboard.insertText("b = 2");
  await allShow([ada, alan, grace], ["a = 1", "b = 2"]);
});

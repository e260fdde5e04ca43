// Connections that break, sessions that end, several people in one session.

import assert from "node:assert/strict";
import { test } from "node:test";
import { accessible, codes, lines, real, stage } from "./console.mjs";
import { bundle, PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh, open } = the;

/** Opens the share dialog, makes a link for that role, and answers its fragment. */
async function linkFor(console_, role) {
  const { page } = console_;
  await page.getByRole("button", { name: "Share", exact: true }).click();
  const field = page.getByLabel("Link to this live session");
  const other = (than) => page.waitForFunction((value) => !["", value].includes(document.querySelector("dialog .row input")?.value ?? ""), than);
  await other("");
  const first = await field.inputValue();
  const choice = page.getByRole("radio", { name: role });
  if (!await choice.isChecked()) {
    await choice.check();
    await other(first);
  }
  await page.getByRole("button", { name: "Copy", exact: true }).and(page.locator(":enabled")).click();
  const link = new URL(await page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(link.search, "", "the key is in the fragment, which no server sees");
  assert.match(link.hash, /session=.*token=/);
  await page.keyboard.press("Escape");
  return link.hash.slice(1);
}

test("a connection that breaks in the middle of a stream comes back without a trace", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.slow.code);
  await console_.output(1).locator(".line", { hasText: /^3$/ }).waitFor();
  the.gateway.down = true;
  the.gateway.breakConnections();
  await console_.page.locator(".state", { hasText: /Reconnecting in \d+ s/ }).waitFor();
  await console_.page.locator(".banner", { hasText: "Running code keeps running" }).waitFor();
  the.gateway.down = false;
  await console_.reconnect();
  await console_.phase(1, "ok");
  assert.deepEqual(await lines(console_, 1), Array.from({ length: 30 }, (_, n) => String(n)));
  assert.equal(await console_.page.locator(".banner").count(), 0);
  assert.equal(await console_.page.locator(".toast").count(), 0);
});

test("a reload in the middle of a stream goes on with it", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.slow.code);
  await console_.output(1).locator(".line", { hasText: /^3$/ }).waitFor();
  await console_.page.reload();
  await console_.phase(1, "ok");
  assert.deepEqual(await lines(console_, 1), Array.from({ length: 30 }, (_, n) => String(n)));
});

test("a viewer sees everything live and can do nothing", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.hello.code);
  const viewer = await fresh({ fragment: await linkFor(console_, "Watch") });
  await viewer.output(1).locator(".line", { hasText: "hello" }).waitFor();
  await viewer.page.getByText("watching").waitFor();
  for (const name of ["Run cell 1", "Run all", "Restart the interpreter"]) {
    assert.equal(await viewer.page.getByRole("button", { name }).count(), 0, name);
  }
  assert.equal(await viewer.page.locator(".add").isVisible(), false);
  await console_.run(1, PROGRAMS.slow.code);
  await viewer.output(1).locator(".line", { hasText: /^3$/ }).waitFor();
  await viewer.cell(1).locator(".cm-content", { hasText: "time.sleep" }).waitFor();
  await viewer.phase(1, "ok");
  assert.deepEqual(await lines(viewer, 1), await lines(console_, 1));
  await viewer.cell(1).locator(".cm-content").click();
  await viewer.page.keyboard.type("x");
  assert.equal((await viewer.cell(1).locator(".cm-content").textContent()).includes("x"), false);
});

test("two browsers work in one session, and each sees who is here and who runs what", async () => {
  const name = (who) => ({ who, storageState: { cookies: [], origins: [{ origin: the.gateway.url, localStorage: [{ name: "cellgate.name", value: who }] }] } });
  const ada = await fresh(name("Ada"));
  await ada.runTo(1, PROGRAMS.setX.code);
  const grace = await fresh({ ...name("Grace"), fragment: await linkFor(ada, "Work along") });
  await grace.cell(1).locator(".cm-content", { hasText: "kept" }).waitFor();
  await grace.page.locator(".add").click();
  await grace.runTo(2, PROGRAMS.showX.code);
  assert.deepEqual(await lines(grace, 2), ["kept"]);
  // What Grace wrote and ran is on Ada's page, with her name.
  await ada.output(2).locator(".line", { hasText: "kept" }).waitFor();
  await ada.cell(2).locator(".by", { hasText: "Grace" }).waitFor();
  for (const one of [ada, grace]) {
    await one.page.getByRole("button", { name: "2 people are here" }).click();
    const dialog = one.page.getByRole("dialog", { name: "Participants" });
    await dialog.locator("li").nth(1).waitFor();
    const people = (await dialog.locator("li > span").allTextContents()).map((text) => text.replace(/\s+/g, " ").replace(/(owns|works)/, " $1").replace(/ +/g, " ").trim());
    assert.deepEqual(people.map((text) => text.replace(" (you)", "")).sort(), ["Ada owner", "Grace editor"]);
    assert.equal(people.filter((text) => text.includes("(you)")).length, 1);
    await one.page.keyboard.press("Escape");
  }
  // Restarting takes everybody's variables: that is the owner's.
  assert.equal(await ada.page.getByRole("button", { name: "Restart the interpreter" }).count(), 1);
  assert.equal(await grace.page.getByRole("button", { name: "Restart the interpreter" }).count(), 0);
  // Either may stop what the other one runs.
  await ada.run(1, PROGRAMS.forever.code);
  await grace.phase(1, "running");
  await grace.page.getByRole("button", { name: "Stop", exact: true }).click();
  await ada.phase(1, "interrupted");
});

/** Waits until the cell has that code. */
const hasCode = async (console_, number, code) => {
  for (const end = Date.now() + 20_000; Date.now() < end; await new Promise((resolve) => setTimeout(resolve, 50))) {
    if ((await codes(console_))[number - 1] === code.trim()) return;
  }
  assert.equal((await codes(console_))[number - 1], code.trim());
};

test("without a shared document the code above an output is the code that ran, and what one was writing is kept", async () => {
  // A gateway that has none: each page keeps a document of its own.
  await the.script();
  the.gateway.options.documents = false;
  const name = (who) => ({ storageState: { cookies: [], origins: [{ origin: the.gateway.url, localStorage: [{ name: "cellgate.name", value: who }] }] } });
  const ada = await fresh(name("Ada"));
  await ada.runTo(1, PROGRAMS.hello.code);
  const grace = await fresh({ ...name("Grace"), fragment: await linkFor(ada, "Work along") });
  const viewer = await fresh({ fragment: await linkFor(ada, "Watch") });
  const everybody = [ada, grace, viewer];
  const edited = (console_) => console_.cell(1).getByText("Edited since it ran");
  for (const one of everybody) await hasCode(one, 1, PROGRAMS.hello.code);

  // Somebody else runs other code in the same cell; a reload changes nothing.
  await grace.runTo(1, PROGRAMS.setX.code);
  for (const one of everybody) await hasCode(one, 1, PROGRAMS.setX.code);
  for (const one of everybody) {
    await one.page.reload();
    await one.ready();
    await one.phase(1, "ok");
    await hasCode(one, 1, PROGRAMS.setX.code);
    assert.equal(await edited(one).count(), 0);
  }

  // What one was writing gives way, is kept over a reload, and comes back.
  await ada.write(1, "not_sent = 1");
  await edited(ada).waitFor();
  await grace.runTo(1, PROGRAMS.hello.code);
  await ada.cell(1).getByText("What you were writing is kept.").waitFor();
  await hasCode(ada, 1, PROGRAMS.hello.code);
  await accessible(ada.page, "a text that gave way");
  await ada.page.reload();
  await ada.ready();
  await ada.phase(1, "ok");
  await hasCode(ada, 1, PROGRAMS.hello.code);
  await ada.cell(1).getByRole("button", { name: "Bring my text back" }).click();
  await hasCode(ada, 1, "not_sent = 1");
  await edited(ada).waitFor();
  assert.equal(await ada.cell(1).locator(".draft").count(), 0);
  // It is newer than what is replayed.
  await ada.page.reload();
  await ada.ready();
  await edited(ada).waitFor();
  await hasCode(ada, 1, "not_sent = 1");

  // One's own text, changed after it was sent, stays and is said to be another.
  await ada.run(1, PROGRAMS.asks.code);
  const question = ada.output(1).locator("input");
  await question.waitFor();
  await ada.write(1, "later = 1");
  await edited(ada).waitFor();
  await hasCode(grace, 1, PROGRAMS.asks.code);
  await hasCode(viewer, 1, PROGRAMS.asks.code);
  // Who has the cell run anew meanwhile waits, and what runs keeps its output.
  await grace.run(1, PROGRAMS.showX.code);
  await ada.cell(1).getByText("New code queued behind 1").waitFor();
  await question.fill("Ada");
  await question.press("Enter");
  await ada.output(1).locator(".line", { hasText: "kept" }).waitFor();
  for (const one of [grace, viewer]) {
    await one.output(1).locator(".line", { hasText: "kept" }).waitFor();
    await hasCode(one, 1, PROGRAMS.showX.code);
  }
  await hasCode(ada, 1, PROGRAMS.showX.code);
  await ada.cell(1).getByRole("button", { name: "Discard it" }).click();
  assert.equal(await ada.cell(1).locator(".draft").count(), 0);
  for (const one of everybody) assert.deepEqual(one.complaints, []);
});

const SCRIPT = "<p id='p'>written</p><script>document.getElementById('p').textContent = 'ran for ' + location.protocol</script>";
PROGRAMS.scripts = bundle({ "text/html": SCRIPT, "text/plain": "t" });
PROGRAMS.scriptsUnderway = {
  code: "from IPython.display import HTML, display\nhandle = display(HTML('<b>harmless</b>'), display_id='shared')",
  play(cell) { cell.display({ "text/html": "<b>harmless</b>", "text/plain": "t" }, { display_id: "shared" }); },
};
PROGRAMS.scriptsUpdate = {
  code: `from IPython.display import HTML, update_display\nupdate_display(HTML(${JSON.stringify(SCRIPT)}), display_id='shared')`,
  play(cell) { cell.display({ "text/html": SCRIPT, "text/plain": "t" }, { display_id: "shared", update: true }); },
};

test("scripts of what somebody else's cell shows run when the user has said so, one's own at once", async () => {
  const name = (who) => ({ storageState: { cookies: [], origins: [{ origin: the.gateway.url, localStorage: [{ name: "cellgate.name", value: who }] }] } });
  // One name is two people here: a name says nothing.
  const ada = await fresh(name("Ada"));
  const other = await fresh({ ...name("Ada"), fragment: await linkFor(ada, "Work along") });
  const viewer = await fresh({ fragment: await linkFor(ada, "Watch"), colorScheme: "dark", viewport: { width: 390, height: 800 } });
  const heard = await viewer.hear();
  const ran = (console_, cell) => console_.output(cell).frameLocator("iframe").getByText("ran for http:");
  const asks = (console_, cell) => console_.output(cell).getByText("Run this output's scripts? It was made by a cell of Ada.");

  await ada.runTo(1, PROGRAMS.scripts.code);
  await ran(ada, 1).waitFor();
  assert.equal(await ada.output(1).locator(".consent").count(), 0);
  for (const one of [other, viewer]) {
    await asks(one, 1).waitFor();
    assert.equal(await one.output(1).locator("iframe").count(), 0, "no frame before the user says so");
    await accessible(one.page, "an output that asks");
  }
  assert.ok((await heard()).some((text) => text.startsWith("Output of Ada asks before it runs scripts.")));
  assert.equal(await viewer.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth), true, "it fits a phone");

  // By the keyboard: it runs, and the focus stays where it was.
  await viewer.output(1).getByRole("button", { name: "Run its scripts" }).focus();
  await viewer.page.keyboard.press("Enter");
  await ran(viewer, 1).waitFor();
  assert.equal(await viewer.page.evaluate(() => document.querySelector(".output").contains(document.activeElement)), true);

  // After a reload the page still knows what it has run itself, and asks of the rest.
  await ada.page.reload();
  await ran(ada, 1).waitFor();
  await other.page.reload();
  await asks(other, 1).waitFor();

  const theirs = await other.page.locator(".cell").count();

  // Whose output it is goes by the cell that showed it, not by the cell that it stands under.
  await ada.page.locator(".add").click();
  await ada.runTo(2, PROGRAMS.scriptsUnderway.code);
  await other.output(theirs + 1).getByText("harmless").waitFor();
  await other.page.locator(".add").click();
  await other.runTo(theirs + 2, PROGRAMS.scriptsUpdate.code);
  await asks(ada, 2).waitFor();
  await ran(other, theirs + 1).waitFor();

  // "Always" is for what waits, for what comes, and for the time after a reload.
  await other.output(theirs).getByRole("button", { name: "Always in this session" }).click();
  await ran(other, theirs).waitFor();
  await ada.runTo(1, PROGRAMS.scripts.code);
  await ran(other, theirs).waitFor();
  await other.page.reload();
  await ran(other, theirs).waitFor();
  assert.equal(await other.page.locator(".consent").count(), 0);
});

/** Does something while the page's requests of that kind are refused. */
async function refused(page, pattern, act) {
  await page.route(pattern, (route) => route.fulfill({
    status: 503, contentType: "application/problem+json",
    body: JSON.stringify({ status: 503, detail: "the gateway has no room for this now" }),
  }));
  await act();
  await page.unroute(pattern);
}

test("an owner sees the links, and who came by one that is revoked is out", async () => {
  const ada = await fresh();
  const { page } = ada;
  const [watch, work] = [await linkFor(ada, "Watch"), await linkFor(ada, "Work along")];
  // One that was made is given again: opening the dialog makes no further keys to the session.
  assert.equal(await linkFor(ada, "Watch"), watch);
  const viewer = await fresh({ fragment: watch });
  const editor = await fresh({ fragment: work });
  const questions = [];
  page.on("dialog", (dialog) => { questions.push(dialog.message()); void (questions.length === 1 ? dialog.dismiss() : dialog.accept()); });

  await page.getByRole("button", { name: "Share", exact: true }).click();
  const links = page.getByRole("region", { name: "Links that open this session" });
  const rows = links.getByRole("listitem");
  await rows.nth(1).waitFor();
  assert.match((await rows.allTextContents()).map((text) => text.replace(/\s+/g, " ")).join("; "),
    /^\s*Work along made [^;]+, ends with the session Revoke; Watch made [^;]+, ends with the session · the one above Revoke$/);
  await accessible(page, "the links");
  const revoke = rows.filter({ hasText: "Watch" }).getByRole("button", { name: /^Revoke the link made / });
  await revoke.click();
  assert.match(questions[0], /^Revoke this link\? /);
  assert.equal(await rows.count(), 2, "who says no has changed nothing");
  await refused(page, "**/tokens/*", async () => {
    await revoke.click();
    await page.getByRole("alert").getByText("The link was not revoked: The gateway has no room for this now.").waitFor();
  });
  await revoke.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("status").getByText("The link is revoked.").waitFor();
  assert.equal(await rows.count(), 1);
  assert.equal(await page.getByRole("alert").count(), 0);
  assert.equal(await links.evaluate((element) => element === document.activeElement), true, "the focus is not lost with the button");
  await viewer.page.locator(".banner", { hasText: "The link to this session was revoked." }).waitFor();
  const later = await open({ fragment: watch });
  await later.page.locator(".banner", { hasText: "The link to this session does not open it, or not any more." }).waitFor();

  // The one that was shown is gone: another one is made when asked for.
  assert.equal(await page.getByLabel("Link to this live session").inputValue(), "");
  await page.getByRole("button", { name: "Make a link" }).click();
  await rows.nth(1).waitFor();
  await page.getByRole("button", { name: "Copy", exact: true }).waitFor();
  await page.keyboard.press("Escape");
  await editor.runTo(1, PROGRAMS.hello.code);

  // Nobody but an owner sees them.
  await editor.page.getByRole("button", { name: "Share", exact: true }).click();
  await editor.page.getByRole("button", { name: "Copy", exact: true }).waitFor();
  assert.equal(await editor.page.getByRole("region", { name: "Links that open this session" }).count(), 0);
});

test("an owner removes a participant", async () => {
  const name = (who) => ({ storageState: { cookies: [], origins: [{ origin: the.gateway.url, localStorage: [{ name: "cellgate.name", value: who }] }] } });
  const ada = await fresh({ ...name("Ada"), colorScheme: "dark" });
  const fragment = await linkFor(ada, "Work along");
  const grace = await fresh({ ...name("Grace"), fragment });
  const eve = await fresh({ ...name("Eve"), fragment });
  const { page } = ada;
  page.on("dialog", (dialog) => { assert.match(dialog.message(), /^Remove Eve\? .*revoke it too/); void dialog.accept(); });
  await page.getByRole("button", { name: "3 people are here" }).click();
  const dialog = page.getByRole("dialog", { name: "Participants" });
  await accessible(page, "who is here");
  assert.equal(await dialog.getByRole("button", { name: "Remove Ada" }).count(), 0, "not oneself");
  const removeEve = dialog.getByRole("button", { name: "Remove Eve" });
  await refused(page, "**/participants/*", async () => {
    await removeEve.click();
    await dialog.getByRole("alert").getByText("Eve was not removed: The gateway has no room for this now.").waitFor();
  });
  await removeEve.focus();
  await page.keyboard.press("Enter");
  await dialog.getByRole("status").getByText("Eve has been removed.").waitFor();
  await eve.page.locator(".banner", { hasText: "An owner removed you from this session. Ask for a new link to come back." }).waitFor();
  await page.waitForFunction(() => document.querySelectorAll("dialog .person").length === 2);
  assert.equal(await dialog.locator("ul").evaluate((element) => element === document.activeElement), true, "the focus is not lost with the button");
  await page.keyboard.press("Escape");
  await grace.runTo(1, PROGRAMS.hello.code);
  await grace.page.getByRole("button", { name: "2 people are here" }).click();
  assert.equal(await grace.page.getByRole("button", { name: /^Remove / }).count(), 0, "an editor removes no one");
});

test("a gateway that shuts down says so, and not that running code keeps running", async () => {
  // The other tests use the real one further.
  await the.script();
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.forever.code);
  await console_.phase(1, "running");
  the.gateway.down = true;
  for (const socket of the.gateway.sockets) socket.close(1001, "the gateway is shutting down");
  const banner = console_.page.locator(".banner", { hasText: "The gateway is shutting down, and running code ends with it." });
  await banner.waitFor();
  // The next attempt fails for another reason, which changes nothing of it.
  await console_.reconnect();
  await console_.page.waitForTimeout(300);
  await banner.waitFor();
  assert.equal(await console_.page.getByText("Running code keeps running").count(), 0);
  the.gateway.down = false;
  await console_.reconnect();
  await banner.waitFor({ state: "detached" });
});

test("a session that ends says why, keeps the code and offers it to a new one", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.setX.code);
  const { session } = JSON.parse(await console_.page.evaluate(() => sessionStorage.getItem("cellgate.session")));
  const ended = await fetch(`${the.gateway.url}/v1/sessions/${session}`, { method: "DELETE", headers: { authorization: `Bearer ${the.gateway.token}` } });
  assert.ok(ended.ok, `${ended.status}`);
  await console_.page.locator(".banner", { hasText: /[Ee]nded.*Your code is kept here/ }).waitFor();
  await console_.page.locator(".state", { hasText: "Ended" }).waitFor();
  await console_.page.getByRole("button", { name: "Start a new session" }).click();
  await console_.ready();
  await console_.cell(1).locator(".cm-content", { hasText: "kept" }).waitFor();
  await console_.page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.showX.code, "error");
  await console_.page.getByRole("button", { name: "Run all" }).click();
  await console_.phase(2, "ok");
});

test("code survives the tab, and two tabs have documents of their own", async () => {
  const console_ = await fresh();
  await console_.write(1, "'from the first tab'");
  const second = await console_.context.newPage();
  await second.goto(`${the.gateway.url}/#token=${the.gateway.token}`);
  await second.locator(".state", { hasText: "Ready" }).waitFor();
  assert.doesNotMatch(await second.locator(".cm-content").first().textContent(), /first tab/);
  await console_.page.close();
  const third = await console_.context.newPage();
  await third.goto(`${the.gateway.url}/#token=${the.gateway.token}`);
  await third.locator(".cm-content", { hasText: "from the first tab" }).waitFor();
});

test("what the page cannot reach it tries again, and says so", async () => {
  the.gateway.down = true;
  const console_ = await open();
  await console_.page.locator(".banner", { hasText: "cannot be reached" }).waitFor();
  the.gateway.down = false;
  await console_.reconnect();
  await console_.ready();
});

test("until a session is there the page says that it starts, and takes code already", async () => {
  const console_ = await fresh();
  const { page } = console_;
  let letThrough;
  const later = new Promise((resolve) => { letThrough = resolve; });
  await page.routeWebSocket(/\/ws/, async (socket) => {
    await later;
    socket.connectToServer();
  });
  await page.reload();
  await page.locator(".state", { hasText: "Starting" }).waitFor();
  assert.equal(await page.getByRole("button", { name: "Run all" }).isDisabled(), true);
  await console_.write(1, PROGRAMS.hello.code);
  letThrough();
  await console_.ready();
  await page.keyboard.press("Control+Enter");
  await console_.phase(1, "ok");
});

test("the state tells latency, memory and who one is", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.forever.code);
  await console_.page.locator(".state", { hasText: /Running · \d+ s/ }).waitFor();
  const meter = console_.page.getByRole("meter", { name: "Memory" });
  await meter.waitFor();
  assert.match(await meter.getAttribute("aria-valuetext"), /^[\d.]+ MiB of [\d.]+ [MG]iB$/);
  const title = await console_.page.locator(".state").getAttribute("title");
  assert.match(title, /\d ms to the gateway and back/);
  assert.match(title, /you are owner/);
  await console_.page.getByRole("button", { name: "Stop", exact: true }).click();
  await console_.phase(1, "interrupted");
});

test("a gateway that comes back without the session says so, and the code goes into a new one", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.slow.code);
  await console_.output(1).locator(".line", { hasText: /^3$/ }).waitFor();
  const { session } = JSON.parse(await console_.page.evaluate(() => sessionStorage.getItem("cellgate.session")));
  the.gateway.down = true;
  the.gateway.breakConnections();
  await console_.page.locator(".state", { hasText: /Reconnecting in \d+ s/ }).waitFor();
  const ended = await fetch(`${the.gateway.url}/v1/sessions/${session}`, { method: "DELETE", headers: { authorization: `Bearer ${the.gateway.token}` } });
  assert.ok(ended.ok, `${ended.status}`);
  the.gateway.forget?.(session);
  the.gateway.down = false;
  await console_.reconnect();
  await console_.page.locator(".banner", { hasText: "The session is gone: the gateway no longer has it." }).waitFor();
  assert.equal(await console_.cell(1).locator(".how").textContent(), "The session ended before this cell did.");
  await console_.output(1).locator(".line", { hasText: /^3$/ }).waitFor();
  await console_.page.getByRole("button", { name: "Start a new session" }).click();
  await console_.ready();
  // What ran in the old one counts for nothing in the new one.
  assert.equal(await console_.cell(1).locator(".count").textContent(), "");
  await console_.runTo(1, PROGRAMS.hello.code);
});

test("who came by a link leaves when it expires, and it opens nothing then", { skip: !real && "needs the gateway's own tokens" }, async () => {
  const console_ = await fresh();
  const { session, token } = JSON.parse(await console_.page.evaluate(() => sessionStorage.getItem("cellgate.session")));
  const granted = await fetch(`${the.gateway.url}/v1/sessions/${session}/tokens`, {
    method: "POST", headers: { authorization: `Bearer ${token}` }, body: JSON.stringify({ role: "editor", expires_in_ms: 8000 }),
  });
  const fragment = new URLSearchParams({ session, token: (await granted.json()).token }).toString();
  const guest = await fresh({ fragment });
  await guest.write(1, "'mine'");
  await guest.page.locator(".banner", { hasText: "The link to this session has expired. Ask for a new link to come back. Your code is kept here." }).waitFor();
  await guest.page.locator(".cell .cm-content", { hasText: "'mine'" }).waitFor();
  const later = await open({ fragment });
  await later.page.locator(".banner", { hasText: "The link to this session does not open it, or not any more." }).waitFor();
  await console_.runTo(1, PROGRAMS.hello.code);
});

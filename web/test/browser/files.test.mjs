// The panel of files: its tree, uploads, what files look like, and what is said where there are none.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, codes, lines, real, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh } = the;

PROGRAMS.makesFiles = {
  code: "import os\nos.makedirs('data/inner')\nfor name in ['a10.txt', 'a2.txt', 'B.csv', 'data/in.txt', 'data/inner/deep.txt']:\n    with open(name, 'w') as file:\n        file.write('name,born\\nAda,1815\\nGrace,1906\\n' if name == 'B.csv' else 'text of ' + name)",
  play({ session }) {
    for (const name of ["a10.txt", "a2.txt", "data/in.txt", "data/inner/deep.txt"]) session.write(name, `text of ${name}`);
    session.write("B.csv", "name,born\nAda,1815\nGrace,1906\n");
  },
};
PROGRAMS.changesFiles = {
  code: "open('new.txt', 'w').close()\nopen('a2.txt', 'a').write('!')\nopen('data/more.txt', 'w').close()",
  play({ session }) {
    session.write("new.txt", "");
    session.write("a2.txt", "text of a2.txt!");
    session.write("data/more.txt", "");
  },
};

const menu = async ({ page }) => {
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("menuitem", { name: "Files in the session …" }).click();
};

/** Opens the panel; answers what a test looks at in it. */
async function opened(console_) {
  const { page } = console_;
  await menu(console_);
  const panel = page.getByRole("complementary");
  await panel.getByRole("button", { name: "Upload" }).waitFor();
  const item = (name) => panel.getByRole("treeitem", { name: new RegExp(`^\\s*›?\\s*${name.replace(/[.$()]/g, "\\$&")}(\\s|$)`) });
  return {
    panel, item,
    names: () => panel.locator("[role=treeitem] .name").allTextContents(),
    focused: () => page.evaluate(() => document.activeElement.dataset.path ?? document.activeElement.tagName),
    button: (name) => panel.getByRole("button", { name, exact: true }),
    agrees: (title, name) => page.getByRole("dialog", { name: title }).getByRole("button", { name, exact: true }).click(),
    has: (name) => item(name).waitFor(),
    without: (name) => item(name).waitFor({ state: "detached" }),
    chooses: async (files) => {
      const [chooser] = await Promise.all([page.waitForEvent("filechooser"), panel.getByRole("button", { name: "Upload" }).click()]);
      await chooser.setFiles(files.map(([name, text]) => ({ name, mimeType: "text/plain", buffer: Buffer.from(text) })));
    },
  };
}

async function withFiles(options) {
  const console_ = await fresh(options);
  await console_.runTo(1, PROGRAMS.makesFiles.code);
  return { console_, page: console_.page, files: await opened(console_) };
}

/** The session behind the page, of the scripted gateway. */
const session = () => [...the.gateway.sessions.values()].at(-1);

for (const colorScheme of ["light", "dark"]) {
  test(`files are a tree, folders first and in natural order, in the ${colorScheme}`, async () => {
    const { console_, page, files } = await withFiles({ colorScheme });
    await files.has("a10.txt");
    assert.deepEqual(await files.names(), ["data", "a2.txt", "a10.txt", "B.csv"]);
    await files.item("data").click();
    await files.has("in.txt");
    assert.deepEqual(await files.names(), ["data", "inner", "in.txt", "a2.txt", "a10.txt", "B.csv"]);
    const told = (name) => files.item(name).evaluate((element) => ["aria-level", "aria-posinset", "aria-setsize", "aria-expanded"].map((one) => element.getAttribute(one)));
    assert.deepEqual(await told("data"), ["1", "1", "4", "true"]);
    assert.deepEqual(await told("in.txt"), ["2", "2", "2", null]);
    await accessible(page, "the tree");
    await files.item("data").click();
    await files.without("in.txt");
    assert.deepEqual(console_.complaints, []);
  });
}

test("the tree is walked with the keyboard", async () => {
  const { page, files } = await withFiles();
  const { keyboard } = page;
  await files.has("a2.txt");
  await files.item("data").focus();
  const goes = async (key, to) => {
    await keyboard.press(key);
    assert.equal(await files.focused(), to, key);
  };
  await goes("ArrowDown", "a2.txt");
  await goes("End", "B.csv");
  await goes("ArrowDown", "B.csv");
  await goes("Home", "data");
  await goes("ArrowLeft", "data");
  await keyboard.press("ArrowRight");
  await files.has("in.txt");
  assert.equal(await files.focused(), "data", "what is opened keeps the focus");
  await goes("ArrowRight", "data/inner");
  await goes("ArrowDown", "data/in.txt");
  await goes("ArrowLeft", "data");
  await goes("a", "a2.txt");
  await goes("a", "a10.txt");
  await page.waitForTimeout(800); // what is typed later is another name
  await keyboard.type("b.");
  assert.equal(await files.focused(), "B.csv");
  assert.equal(await page.locator("[role=treeitem][tabindex='0']").count(), 1);
  assert.equal(await files.item("B.csv").getAttribute("aria-selected"), "true");
  await keyboard.press("Escape");
  await files.panel.waitFor({ state: "detached" });
});

test("files are renamed in place, moved into no other's place, and deleted after a question", async () => {
  const { console_, page, files } = await withFiles();
  const { keyboard } = page;
  await files.item("a2.txt").focus();
  await keyboard.press("F2");
  const input = files.panel.getByRole("textbox", { name: "New name of a2.txt" });
  await input.waitFor();
  assert.deepEqual(await input.evaluate((one) => [one.selectionStart, one.selectionEnd]), [0, 2]);
  await accessible(page, "renaming");
  await keyboard.press("Escape");
  assert.equal(await files.focused(), "a2.txt");
  await keyboard.press("F2");
  await keyboard.type("renamed");
  await keyboard.press("Enter");
  await files.has("renamed.txt");
  await files.without("a2.txt");
  assert.equal(await files.focused(), "renamed.txt");
  assert.equal(await files.item("renamed.txt").locator(".mark-new").count(), 0, "what this page does is known");
  await keyboard.press("F2");
  await input.or(files.panel.getByRole("textbox", { name: "New name of renamed.txt" })).fill("B.csv");
  await keyboard.press("Enter");
  await files.panel.getByRole("alert").getByText(/^renamed\.txt was not renamed: Something has the name/).waitFor();
  await accessible(page, "a refused name");
  await files.has("renamed.txt");
  await files.item("renamed.txt").focus();
  await keyboard.press("F2");
  await keyboard.type("a/b");
  await keyboard.press("Enter");
  await files.panel.getByRole("alert").getByText("A name has no “/” in it.").waitFor();

  await files.item("renamed.txt").focus();
  await keyboard.press("Delete");
  await page.getByRole("dialog", { name: "Delete renamed.txt?" }).waitFor();
  await accessible(page, "the question");
  await keyboard.press("Escape");
  await files.has("renamed.txt");
  await files.item("renamed.txt").focus();
  await keyboard.press("Delete");
  await files.agrees("Delete renamed.txt?", "Delete");
  await files.without("renamed.txt");
  await files.item("data").click();
  await files.button("Delete").click();
  await files.agrees("Delete data?", "Delete");
  await files.without("data");
  assert.deepEqual(await files.names(), ["a10.txt", "B.csv"]);
  if (!real) return assert.deepEqual([...session().files.keys()].sort(), ["B.csv", "a10.txt"]);
  await page.locator(".add").click();
  await console_.runTo(2, "print(sorted(os.listdir()))");
  assert.deepEqual(await lines(console_, 2), ["['B.csv', 'a10.txt']"]);
});

test("folders are made and named at once, and files put into them", async () => {
  const { page, files } = await withFiles();
  const { keyboard } = page;
  await files.item("data").click();
  await files.has("in.txt");
  await files.button("New folder").click();
  await files.panel.getByRole("textbox", { name: "New name of New folder" }).waitFor();
  await keyboard.type("Results");
  await keyboard.press("Enter");
  await files.has("Results");
  assert.equal(await files.item("Results").getAttribute("aria-level"), "2");
  await files.chooses([["one.txt", "1"], ["two.txt", "22"]]);
  await files.has("two.txt");
  assert.equal(await files.item("two.txt").getAttribute("aria-level"), "3");
  assert.match(await files.item("two.txt").textContent(), /2 bytes/);
  // What is there is replaced after a question alone.
  await files.item("Results").focus();
  await keyboard.press("Home");
  await keyboard.press("End");
  await files.chooses([["B.csv", "new"]]);
  await page.getByRole("dialog", { name: "Replace?" }).getByText("B.csv is there already.").waitFor();
  await accessible(page, "the question whether to replace");
  await files.agrees("Replace?", "Cancel");
  await files.chooses([["B.csv", "new"]]);
  await files.agrees("Replace?", "Replace");
  await page.waitForFunction(() => /3 bytes/.test(document.querySelector('[data-path="B.csv"]').textContent));
});

test("files dropped onto a folder go into it, and elsewhere into the working directory", async () => {
  const { console_, page, files } = await withFiles();
  await files.has("data");
  const drop = (selector, name, types) => page.evaluate(([at, fileName, all]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File(["dropped"], fileName));
    for (const type of all) document.querySelector(at).dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }, [selector, name, types]);
  await drop("[data-path=data]", "x.txt", ["dragover"]);
  await files.panel.locator(".row.aimed[data-path=data]").waitFor();
  assert.equal(await page.locator("html[data-drop]").count(), 0);
  await accessible(page, "aimed at a folder");
  await drop("[data-path=data]", "x.txt", ["drop"]);
  await files.has("x.txt");
  assert.equal(await files.item("x.txt").getAttribute("aria-level"), "2");
  await drop("[data-path='a2.txt']", "y.ipynb", ["dragover", "drop"]);
  await files.has("y.ipynb");
  assert.equal(await files.item("y.ipynb").getAttribute("aria-level"), "1");
  assert.equal(await files.panel.locator(".aimed").count(), 0);
  assert.deepEqual(console_.complaints, []);
});

test("an upload shows how far it is, and can be given up", async () => {
  const { page, files } = await withFiles();
  let go;
  const held = new Promise((resolve) => { go = resolve; });
  await page.route("**/files/slow.bin", async (route) => { await held; await route.continue().catch(() => {}); });
  await page.route("**/files/large.bin", (route) => route.fulfill({ status: 413, contentType: "application/problem+json", body: JSON.stringify({ status: 413, detail: "the file is larger than 1 MiB" }) }));
  await files.chooses([["slow.bin", "x".repeat(1000)], ["large.bin", "y"], ["later.txt", "z"]]);
  const uploads = files.panel.getByRole("list", { name: "Uploads" });
  await uploads.getByRole("progressbar", { name: "Upload of slow.bin" }).waitFor();
  assert.match(await uploads.getByRole("listitem").nth(2).textContent(), /later\.txt\s+waits/);
  await accessible(page, "uploads");
  await uploads.getByRole("button", { name: "Cancel the upload of slow.bin" }).click();
  await uploads.getByRole("alert").getByText("large.bin was not taken: The file is larger than 1 MiB.").waitFor();
  await files.has("later.txt");
  await accessible(page, "a refused upload");
  await uploads.getByRole("button", { name: "Take large.bin off the list" }).click();
  await uploads.waitFor({ state: "detached" });
  go();
  await files.button("List the files again").click();
  assert.equal((await files.names()).includes("slow.bin"), false);
});

test("what a cell makes or changes is marked until it is looked at", async () => {
  const { console_, page, files } = await withFiles();
  await files.has("a2.txt");
  await page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.changesFiles.code);
  await files.has("new.txt");
  const marks = async () => Object.fromEntries(await files.panel.locator("[role=treeitem]:has(.mark-new)").evaluateAll((all) => all.map((one) => [one.dataset.path, one.querySelector(".mark-new").textContent])));
  const found = await marks();
  assert.equal(found["new.txt"], "new");
  assert.equal(found["a2.txt"], "changed");
  await accessible(page, "marks");
  await files.item("new.txt").click();
  assert.equal("new.txt" in await marks(), false);
  // The panel keeps what was seen while it is closed.
  await page.keyboard.press("Escape");
  await files.panel.waitFor({ state: "detached" });
  await menu(console_);
  await files.has("a2.txt");
  assert.equal("new.txt" in await marks(), false);
  assert.equal((await marks())["a2.txt"], "changed");
});

test("texts, tables, pictures and notebooks are shown", async () => {
  const { console_, page, files } = await withFiles();
  const png = Buffer.from("iVBORw0KGgoAAAANSUhEUgAAAAIAAAACCAIAAAD91JpzAAAAFklEQVR4nGP8z8DAwMDAxMDAwMDAAAANHQEDasKb6QAAAABJRU5ErkJggg==", "base64");
  const notebook = { nbformat: 4, nbformat_minor: 5, metadata: {}, cells: [{ cell_type: "code", id: "a", metadata: {}, execution_count: null, outputs: [], source: ["'from the session'"] }] };
  await files.chooses([["p.png", png], ["n.ipynb", JSON.stringify(notebook)], ["long.txt", "é".repeat(200_000)], ["bytes.bin", Buffer.from([0, 1, 2])], ["empty.txt", ""], ["<b>.html", "<script>alert(1)</script>"]]);
  await files.has("empty.txt");
  const shows = async (name, what) => {
    await files.item(name).dblclick();
    await page.getByRole("complementary", { name }).waitFor();
    await files.panel.locator(what).first().waitFor();
    await accessible(page, name);
  };
  const back = async (path) => {
    await files.button("All files").click();
    assert.equal(await files.focused(), path);
  };
  await shows("a2.txt", "pre");
  assert.equal(await files.panel.locator("pre").textContent(), "text of a2.txt");
  const [download] = await Promise.all([page.waitForEvent("download"), files.button("Download").click()]);
  assert.equal(await readFile(await download.path(), "utf8"), "text of a2.txt");
  await back("a2.txt");
  await shows("B.csv", "table");
  assert.deepEqual(await files.panel.locator("tbody td").allTextContents(), ["Ada", "1815", "Grace", "1906"]);
  await back("B.csv");
  await shows("p.png", "img");
  await page.waitForFunction(() => document.querySelector("#side img").naturalWidth === 2);
  await back("p.png");
  await shows("long.txt", "pre");
  await files.panel.getByText("The first 256 KiB of 391 KiB. Download it to see all.").waitFor();
  assert.match(await files.panel.locator("pre").textContent(), /^é+$/, "half a character is left out");
  await back("long.txt");
  for (const [name, says] of [["bytes.bin", "This is no text"], ["empty.txt", "The file is empty."]]) {
    await shows(name, `p:has-text("${says}")`);
    await back(name);
  }
  await files.item("<b>.html").dblclick();
  assert.equal(await files.panel.locator("pre").textContent(), "<script>alert(1)</script>");
  await back("<b>.html");
  await shows("n.ipynb", "button:has-text('Open as a document')");
  await files.button("Open as a document").click();
  await console_.cell(1).locator(".cm-content", { hasText: "from the session" }).waitFor();
  assert.deepEqual(await codes(console_), ["'from the session'"]);
  assert.deepEqual(console_.complaints, []);
});

test("an empty, a broken and an ended session say what to do", async () => {
  await the.script();
  const console_ = await fresh();
  const { page } = console_;
  const files = await opened(console_);
  await files.panel.getByText("Nothing here yet.").waitFor();
  await accessible(page, "no files");
  let broken = true;
  the.gateway.options.fileProblem = (method) => (broken && method === "GET" ? [504, "the sandbox did not answer"] : null);
  await files.button("List the files again").click();
  await files.panel.getByRole("alert").getByText("The files cannot be listed: The sandbox did not answer.").waitFor();
  await accessible(page, "no answer");
  broken = false;
  session().write("late.txt", "x");
  await files.button("Try again").click();
  await files.has("late.txt");
  // One that is gone when it is opened.
  session().remove("late.txt");
  await files.item("late.txt").dblclick();
  await files.panel.getByRole("alert").getByText(/^late\.txt cannot be read: Cannot find the file/).waitFor();
  await files.button("All files").click();
  session().end("requested", "ended by request", 1000);
  await files.panel.getByText("The session has ended, and its files with it.").waitFor();
  await accessible(page, "ended");
  assert.equal(await files.panel.getByRole("tree").count(), 0);
  await page.keyboard.press("Escape");
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("menuitem", { name: "Start a new session" }).click();
  await console_.ready();
  session().write("fresh.txt", "x");
  const again = await opened(console_);
  await again.has("fresh.txt");
  assert.deepEqual(await again.names(), ["fresh.txt"]);
});

test("a long folder shows its rest when it is asked for", async () => {
  await the.script();
  const console_ = await fresh();
  for (let number = 0; number < 1234; number += 1) session().write(`file ${number}`, "");
  const files = await opened(console_);
  await files.has("file 499");
  assert.equal((await files.names()).length, 500);
  await files.item("file 0").focus();
  await console_.page.keyboard.press("End");
  await console_.page.getByRole("treeitem", { name: "Show more of 734 entries" }).waitFor();
  await accessible(console_.page, "a long folder");
  await console_.page.keyboard.press("Enter");
  await files.has("file 999");
  await files.panel.getByText("Show more of 234 entries").click();
  await files.has("file 1233");
  assert.equal((await files.names()).length, 1234);
});

test("viewers, and sessions that give no files, have no panel", async () => {
  await the.script();
  const console_ = await fresh();
  const viewer = await fresh({ fragment: `session=${session().id}&token=${session().tokenFor("viewer")}` });
  const offers = async ({ page }) => {
    await page.getByRole("button", { name: "Menu" }).click();
    await page.getByRole("menuitem", { name: "Examples …" }).waitFor();
    const found = await page.getByRole("menuitem", { name: "Files in the session" }).count();
    await page.keyboard.press("Escape");
    return found;
  };
  assert.equal(await offers(console_), 1);
  assert.equal(await offers(viewer), 0);
  the.gateway.options.allowed = { files: false, sharing: true };
  const asked = the.gateway.requests.length;
  assert.equal(await offers(await fresh()), 0);
  assert.equal(the.gateway.requests.slice(asked).some((request) => request.endsWith("/files")), false, "nothing is asked in vain");
});

// Cells in several languages beside each other, the playground of one of them, and what is kept of it. The interpreters
// are real: these tests want the gateway.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, codes, lines, real, stage } from "./console.mjs";

const { fresh } = stage();
const gatewayOnly = { skip: !real && "needs a gateway with interpreters of several languages" };

const languageOf = (console_, number) => console_.cell(number).getByRole("combobox", { name: `Language of cell ${number}` });

const menu = async (console_, name) => {
  await console_.page.getByRole("button", { name: "Menu", exact: true }).click();
  await console_.page.getByRole("menuitem", { name }).click();
};

const saved = async (console_, name) => {
  const [download] = await Promise.all([console_.page.waitForEvent("download"), menu(console_, name)]);
  return readFile(await download.path(), "utf8");
};

/** A Python cell with a JavaScript cell below it; both have run. */
async function twoLanguages(console_) {
  await console_.runTo(1, "x = 6\nx * 7");
  await console_.page.getByRole("button", { name: "+ Cell" }).click();
  await languageOf(console_, 2).selectOption({ label: "JavaScript" });
  await console_.runTo(2, "const x = [1, 2, 3];\nx.map((n) => n * 2)");
}

test("a JavaScript cell runs beside a Python cell, each with its own variables and counts", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  assert.deepEqual(await lines(console_, 1), ["42"]);
  assert.match((await lines(console_, 2)).join(""), /2, 4, 6/);
  assert.equal(await console_.cell(2).locator(".count").textContent(), "1");
  await console_.runTo(1, "x");
  assert.deepEqual(await lines(console_, 1), ["6"]);
  assert.equal(await console_.cell(1).locator(".count").textContent(), "2");
  // What ran above in another language is nothing that the output follows from.
  await console_.cell(1).locator(".cm-content").click();
  await console_.page.keyboard.insertText("y");
  await console_.cell(1).getByText("Edited since it ran").waitFor();
  assert.equal(await console_.cell(2).locator(".edited").count(), 0);
  assert.deepEqual(console_.complaints, []);
});

test("a new cell has the language of the one above it, and another language counts as an edit", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  await console_.page.getByRole("button", { name: "+ Cell" }).click();
  assert.equal(await languageOf(console_, 3).inputValue(), "javascript");
  await console_.runTo(3, "x.length");
  assert.deepEqual(await lines(console_, 3), ["3"]);
  await languageOf(console_, 3).selectOption({ label: "bash" });
  await console_.cell(3).getByText("Edited since it ran").waitFor();
  await console_.runTo(3, "echo from $((40 + 2))");
  assert.deepEqual(await lines(console_, 3), ["from 42"]);
  assert.equal(await console_.cell(3).locator(".edited").count(), 0);
});

test("the grammar of a language is loaded when a cell has it", gatewayOnly, async () => {
  const console_ = await fresh();
  const asked = [];
  console_.page.on("request", (request) => asked.push(new URL(request.url()).pathname));
  await console_.write(1, "const text = 'x'");
  const colours = () => console_.cell(1).locator(".cm-line span").count();
  assert.deepEqual(asked.filter((path) => /javascript|bash/.test(path)), []);
  await languageOf(console_, 1).selectOption({ label: "JavaScript" });
  await console_.page.waitForFunction(() => [...document.querySelector(".cell .editor").shadowRoot.querySelectorAll(".cm-line span")].some((span) => span.textContent === "const"));
  assert.ok(await colours() >= 2);
  assert.ok(asked.some((path) => /javascript-/.test(path)), asked.join(" "));
  assert.deepEqual(asked.filter((path) => /bash-/.test(path)), []);
});

test("completions and documentation come from the cell's own interpreter", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  await console_.write(2, "x.findLastInd");
  await console_.page.keyboard.press("Control+Space");
  await console_.cell(2).locator(".cm-tooltip-autocomplete").getByText("findLastIndex").first().waitFor();
});

test("the panel of variables shows those of the cell's language, and of others on request", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  await menu(console_, "Variables");
  const list = console_.page.getByRole("list", { name: "Variables" });
  await list.getByText("[ 1, 2, 3 ]").waitFor();
  await console_.page.locator("#side").getByRole("combobox").selectOption({ label: "Python" });
  await list.getByText("int").waitFor();
  await accessible(console_.page, "variables of several languages");
});

test("a JavaScript loop is stopped, and Python goes on", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  await console_.run(2, "console.log('loops'); for (;;) {}");
  await console_.output(2).getByText("loops").waitFor();
  await console_.runTo(1, "x + 1");
  assert.deepEqual(await lines(console_, 1), ["7"]);
  assert.equal(await console_.cell(2).getAttribute("data-phase"), "running");
  await console_.page.getByRole("button", { name: "Stop cell 2" }).click();
  await console_.phase(2, "interrupted");
  await console_.runTo(1, "x + 2");
  assert.deepEqual(await lines(console_, 1), ["8"]);
});

test("restarting says that it takes the variables of all languages, and does", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  await console_.page.getByRole("button", { name: "Restart the interpreter" }).click();
  const dialog = console_.page.getByRole("dialog", { name: "Restart the interpreter?" });
  await dialog.getByText("The variables of all its languages, JavaScript too").waitFor();
  await dialog.getByRole("button", { name: "Restart", exact: true }).click();
  await console_.page.waitForFunction(() => [...document.querySelectorAll(".cell .count")].every((count) => count.textContent === ""));
  await console_.runTo(1, "x", "error");
  await console_.runTo(2, "typeof x");
  assert.deepEqual(await lines(console_, 2), ["'undefined'"]);
});

test("languages are kept over a reload, and are in what is exported and opened again", gatewayOnly, async () => {
  const console_ = await fresh();
  await twoLanguages(console_);
  await console_.page.reload();
  await console_.ready();
  await console_.phase(2, "ok");
  assert.equal(await languageOf(console_, 2).inputValue(), "javascript");
  assert.equal(await console_.page.locator(".edited").count(), 0);
  const notebook = JSON.parse(await saved(console_, "Save as notebook"));
  assert.deepEqual(notebook.cells.map((cell) => cell.metadata.language), [undefined, "javascript"]);
  assert.match(await saved(console_, "Save as Python"), /# %% language="javascript"\n# const x/);
  const chooser = console_.page.waitForEvent("filechooser");
  await menu(console_, "Open a file");
  await (await chooser).setFiles({ name: "again.ipynb", mimeType: "text/plain", buffer: Buffer.from(JSON.stringify(notebook)) });
  await console_.page.locator(".title", { hasText: "again" }).waitFor();
  assert.equal(await languageOf(console_, 2).inputValue(), "javascript");
});

test("?language=javascript is a JavaScript playground with examples of its own", gatewayOnly, async () => {
  const console_ = await fresh({ query: "?language=javascript" });
  assert.match((await codes(console_))[0], /console\.log/);
  assert.equal(await languageOf(console_, 1).inputValue(), "javascript");
  await console_.runTo(1, "[1, 2].concat(3).length");
  assert.deepEqual(await lines(console_, 1), ["3"]);
  await console_.page.getByRole("button", { name: "+ Cell" }).click();
  assert.equal(await languageOf(console_, 2).inputValue(), "javascript");
  await menu(console_, "Examples");
  const dialog = console_.page.getByRole("dialog", { name: "Examples" });
  assert.equal(await dialog.getByRole("heading", { level: 3 }).first().textContent(), "JavaScript");
  await accessible(console_.page, "examples in several languages");
  await dialog.getByRole("button", { name: "Modules" }).click();
  await console_.page.getByRole("button", { name: "Run all" }).click();
  await console_.phase(2, "ok");
  assert.match((await lines(console_, 2)).join(""), /written by JavaScript/);
});

test("every example in JavaScript and bash runs", gatewayOnly, async () => {
  const console_ = await fresh();
  const dialog = console_.page.getByRole("dialog", { name: "Examples" });
  for (const language of ["JavaScript", "bash"]) {
    await menu(console_, "Examples");
    const list = dialog.locator("h3", { hasText: language }).locator("xpath=following-sibling::ul[1]");
    const titles = await list.locator("strong").allTextContents();
    assert.ok(titles.length >= 3, titles.join(", "));
    await console_.page.keyboard.press("Escape");
    for (const title of titles) {
      await menu(console_, "New document");
      await menu(console_, "Examples");
      await list.getByRole("button", { name: title }).click();
      await console_.page.locator(".title", { hasText: title }).waitFor();
      const cells = await console_.page.locator(".cell").count();
      await console_.page.getByRole("button", { name: "Run all" }).click();
      for (let cell = 1; cell <= cells; cell += 1) await console_.phase(cell, title === "Error" ? "error" : "ok");
    }
  }
});

test("a language that the session does not run is said so", gatewayOnly, async () => {
  const console_ = await fresh({ query: "?language=cobol" });
  await console_.page.locator("#toasts").getByText("run no Cobol").waitFor();
});

test("all participants see the language that one of them gives a cell", gatewayOnly, async () => {
  const ada = await fresh();
  await twoLanguages(ada);
  await ada.page.getByRole("button", { name: "Share", exact: true }).click();
  await ada.page.getByLabel("Link to this live session").filter({ visible: true }).waitFor();
  await ada.page.waitForFunction(() => document.querySelector("dialog .row input")?.value.includes("token="));
  const link = new URL(await ada.page.locator("dialog .row input").inputValue());
  await ada.page.keyboard.press("Escape");
  const grace = await fresh({ fragment: link.hash.slice(1) });
  await grace.phase(2, "ok");
  await grace.page.locator(".faces").first().waitFor();
  assert.equal(await languageOf(grace, 2).inputValue(), "javascript");
  await ada.page.locator(".faces").first().waitFor();
  await languageOf(ada, 2).selectOption({ label: "bash" });
  await grace.page.waitForFunction(() => document.querySelectorAll(".cell select.language")[1]?.value === "bash");
});

for (const options of [{ colorScheme: "light" }, { colorScheme: "dark" }, { viewport: { width: 390, height: 800 } }]) {
  test(`a notebook of two languages is accessible: ${JSON.stringify(options)}`, gatewayOnly, async () => {
    const console_ = await fresh(options);
    await twoLanguages(console_);
    await accessible(console_.page, JSON.stringify(options));
    const fits = await console_.page.evaluate(() => document.documentElement.scrollWidth <= innerWidth);
    assert.ok(fits, "the page is as wide as the window");
  });
}

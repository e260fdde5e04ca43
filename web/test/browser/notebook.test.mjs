// A notebook keeps what it showed, has text between its code, and says which outputs are stale.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { NOTEBOOKS } from "../notebooks.mjs";
import { accessible, codes, lines, real, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

const { fresh } = stage();

const menu = async (console_, name) => {
  await console_.page.getByRole("button", { name: "Menu", exact: true }).click();
  await console_.page.getByRole("menuitem", { name }).click();
};

const opens = async (console_, name, text) => {
  const [chooser] = await Promise.all([console_.page.waitForEvent("filechooser"), menu(console_, "Open a file")]);
  await chooser.setFiles({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
  await console_.page.locator(".title", { hasText: name.replace(/\.\w+$/, "") }).waitFor();
};

const saved = async (console_) => {
  const [download] = await Promise.all([console_.page.waitForEvent("download"), menu(console_, "Save as notebook")]);
  return JSON.parse(await readFile(await download.path(), "utf8"));
};

/** Waits until what that many cells showed is in the browser's database. */
const kept = (console_, cells) => console_.page.evaluate(async (wanted) => {
  const count = () => new Promise((resolve) => {
    const request = indexedDB.open("cellgate");
    request.onupgradeneeded = () => request.transaction.abort();
    request.onerror = () => resolve(0);
    request.onsuccess = () => {
      const counted = request.result.transaction("cells").objectStore("cells").getAll();
      counted.onsuccess = () => { resolve(counted.result.filter(({ run }) => run).length); request.result.close(); };
    };
  });
  while (await count() !== wanted) await new Promise((resolve) => setTimeout(resolve, 20));
}, cells);

/** Loads the page as on another day, when the session is over and forgotten. */
async function laterReload(console_) {
  await console_.page.evaluate(() => {
    sessionStorage.removeItem("cellgate.session");
    localStorage.removeItem("cellgate.sessions");
  });
  await console_.page.reload();
}

test("what a cell showed is there after its session, marked as of then", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.hello.code);
  await kept(console_, 1);
  await laterReload(console_);
  await console_.phase(1, "kept");
  assert.deepEqual(await lines(console_, 1), ["hello", "42"]);
  assert.match(await console_.cell(1).locator(".foot").textContent(), /Shown as of/);
  await accessible(console_.page, "kept outputs");
  const { cells } = await saved(console_);
  assert.deepEqual(cells[0].outputs.map((output) => output.output_type), ["stream", "execute_result"]);
  // It is told that the text has changed since, too.
  await console_.cell(1).locator(".cm-content").click();
  await console_.page.keyboard.press("Control+End");
  await console_.page.keyboard.insertText("1");
  await console_.cell(1).getByText("Edited since it ran").waitFor();
  await console_.runTo(1, PROGRAMS.hello.code);
  assert.doesNotMatch(await console_.cell(1).locator(".foot").textContent(), /Shown as of|Edited/);
});

test("clearing outputs clears what is kept of them", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.hello.code);
  await kept(console_, 1);
  await menu(console_, "Clear all outputs");
  await kept(console_, 0);
  assert.equal(await console_.output(1).textContent(), "");
  await laterReload(console_);
  await console_.ready();
  assert.equal(await console_.output(1).textContent(), "");
});

test("a notebook from a file shows its text, its pictures and its outputs", async () => {
  const console_ = await fresh();
  await opens(console_, "tutorial.ipynb", JSON.stringify(NOTEBOOKS.tutorial));
  await console_.cell(1).getByRole("heading", { name: "Loops" }).waitFor();
  assert.equal(await console_.cell(1).locator("table td").count(), 2);
  assert.deepEqual(await lines(console_, 2), ["0", "1", "2"]);
  await console_.cell(3).locator("math").first().waitFor();
  assert.equal(await console_.output(4).textContent(), "42");
  assert.match(await console_.cell(4).locator(".foot").textContent(), /as it was in the file/);
  await accessible(console_.page, "a notebook");
  await opens(console_, "lecture.ipynb", JSON.stringify(NOTEBOOKS.lectureWithAttachments));
  await console_.cell(1).locator("img").nth(1).waitFor();
  for (const picture of await console_.cell(1).locator("img").all()) assert.equal(await picture.evaluate((img) => img.naturalWidth), 1);
  assert.deepEqual(console_.complaints, []);
});

test("scripts of a file's outputs wait until the user lets them run", async () => {
  const console_ = await fresh();
  const cell = { cell_type: "code", metadata: {}, source: "'x'", execution_count: 1, outputs: [{ output_type: "display_data", metadata: {}, data: { "text/html": "<p>shown</p><script>document.body.dataset.ran = 1</script>" } }] };
  await opens(console_, "scripts.ipynb", JSON.stringify({ nbformat: 4, nbformat_minor: 4, metadata: {}, cells: [cell] }));
  const question = console_.output(1).getByRole("group");
  await question.getByText("It comes from an opened file or an earlier session.").waitFor();
  assert.equal(await console_.output(1).locator("iframe").count(), 0);
  await question.getByRole("button", { name: "Run its scripts" }).click();
  await console_.output(1).frameLocator("iframe").locator("body[data-ran]").waitFor();
});

test("Markdown is written in place, rendered by Escape, and turned into code and back", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  await console_.write(1, "x = 1");
  await console_.page.getByRole("button", { name: "+ Text" }).click();
  await keyboard.insertText("# A *title*\n\n$a_b$");
  await accessible(console_.page, "a Markdown cell that is written");
  await keyboard.press("Escape");
  await console_.cell(2).getByRole("heading", { name: "A title" }).waitFor();
  await console_.cell(2).locator("math").waitFor();
  assert.equal(await console_.cell(2).locator(".editor").isVisible(), false);
  await console_.cell(2).locator(".prose").dblclick();
  await keyboard.press("Control+End");
  await keyboard.insertText("\n\nmore");
  await keyboard.press("Shift+Enter");
  await console_.cell(2).getByRole("paragraph").filter({ hasText: "more" }).waitFor();
  await console_.cell(3).waitFor(); // the next one, made as it is for code
  await console_.cell(2).click();
  await keyboard.press("y");
  await console_.cell(2).locator(".go").waitFor();
  assert.match((await codes(console_))[1], /^# A \*title\*/);
  await keyboard.press("m");
  await console_.cell(2).getByRole("heading", { name: "A title" }).waitFor();
  const { cells } = await saved(console_);
  assert.deepEqual(cells.map((cell) => cell.cell_type), ["code", "markdown", "code"]);
  await console_.page.reload();
  await console_.cell(2).getByRole("heading", { name: "A title" }).waitFor();
});

test("outputs say when they no longer follow from the code, and stale cells run at once", async () => {
  const console_ = await fresh();
  await console_.opens([PROGRAMS.setX.code, PROGRAMS.showX.code, PROGRAMS.hello.code]);
  await console_.page.getByRole("button", { name: "Run all" }).click();
  await console_.phase(3, "ok");
  const mark = (cell) => console_.cell(cell).locator(".edited");
  assert.equal(await console_.page.locator(".edited").count(), 0);
  await console_.cell(1).locator(".cm-content").click();
  await console_.page.keyboard.press("Control+Home");
  await console_.page.keyboard.insertText("y");
  await mark(1).getByText("Edited since it ran").waitFor();
  await mark(2).getByText("Ran before something above it changed").waitFor();
  await mark(3).waitFor();
  await accessible(console_.page, "stale cells");
  // A reload comes back to the session, and still knows.
  await console_.page.reload();
  await console_.phase(3, "ok");
  await mark(1).getByText("Edited since it ran").waitFor();
  await mark(2).getByText("Ran before something above it changed").waitFor();
  await console_.cell(1).locator(".cm-content").click();
  await console_.page.keyboard.press("Control+Home");
  await console_.page.keyboard.press("ArrowRight");
  await console_.page.keyboard.press("Backspace");
  await console_.page.waitForFunction(() => document.querySelectorAll(".edited").length === 0);
  if (!real) return; // the scripted interpreter knows its own programs alone
  await console_.write(1, "x = 'other'");
  await menu(console_, "Run 3 stale cells");
  await console_.output(2).locator(".line", { hasText: /^other$/ }).waitFor();
  await console_.page.waitForFunction(() => document.querySelectorAll(".edited").length === 0);
});

test("the cells above a cell run, and a cell with those below it", async () => {
  const console_ = await fresh();
  await console_.opens([PROGRAMS.hello.code, PROGRAMS.setX.code, PROGRAMS.showX.code]);
  await console_.act(3, "Run cells above");
  await console_.phase(2, "ok");
  assert.deepEqual(await console_.page.locator(".cell").evaluateAll((cells) => cells.map((cell) => cell.dataset.phase)), ["ok", "ok", "fresh"]);
  await console_.act(2, "Run this cell and those below");
  await console_.phase(3, "ok");
  assert.deepEqual(await lines(console_, 3), ["kept"]);
  assert.equal(await console_.cell(1).locator(".count").textContent(), "1", "the first did not run again");
});

test("cells are split, joined, cut, copied, pasted, hidden and numbered", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  await console_.write(1, "one\ntwo");
  await keyboard.press("Control+Home");
  await keyboard.press("ArrowDown");
  await keyboard.press("Control+Shift+-");
  assert.deepEqual(await codes(console_), ["one", "two"]);
  await keyboard.press("Escape");
  await keyboard.press("k");
  await keyboard.press("Shift+M");
  assert.deepEqual(await codes(console_), ["one\ntwo"]);
  await keyboard.press("c");
  await keyboard.press("v");
  await keyboard.press("v");
  assert.deepEqual(await codes(console_), ["one\ntwo", "one\ntwo", "one\ntwo"]);
  await keyboard.press("x");
  assert.equal((await codes(console_)).length, 2);
  await console_.runTo(1, PROGRAMS.hello.code);
  await keyboard.press("Escape");
  await keyboard.press("o");
  assert.equal(await console_.output(1).isVisible(), false);
  await accessible(console_.page, "a hidden output");
  await console_.cell(1).getByRole("button", { name: "Show the output" }).click();
  assert.equal(await console_.output(1).isVisible(), true);
  await console_.cell(1).focus();
  await keyboard.press("l");
  await console_.cell(1).locator(".cm-lineNumbers").waitFor();
  await console_.page.reload();
  await console_.cell(1).locator(".cm-lineNumbers").waitFor();
});

test("a long cell scrolls within itself, and a document of many cells makes editors where they are seen", async () => {
  const console_ = await fresh();
  await console_.write(1, Array.from({ length: 300 }, (_, at) => `line_${at} = ${at}`).join("\n"));
  assert.ok((await console_.cell(1).boundingBox()).height < 700);
  await console_.opens(Array.from({ length: 120 }, (_, at) => `value_${at} = ${at}`));
  const made = () => console_.page.evaluate(() => [...document.querySelectorAll(".cell .editor")].filter((host) => host.shadowRoot.querySelector(".cm-editor")).length);
  assert.ok(await made() < 80, `${await made()} editors`);
  assert.equal((await codes(console_)).at(-1), "value_119 = 119");
  await console_.cell(120).locator(".still, .cm-content").first().click();
  await console_.page.keyboard.press("Control+End");
  await console_.page.keyboard.insertText("9");
  assert.equal((await codes(console_)).at(-1), "value_119 = 1199");
});

test("of hundreds of cells those far from the window are not laid out, and the last one is scrolled to", async () => {
  const console_ = await fresh();
  const { page } = console_;
  await console_.opens(Array.from({ length: 400 }, (_, at) => `value_${at} = ${at}\n`.repeat(1 + at % 8)));
  const laidOut = () => page.evaluate(() => [...document.querySelectorAll(".cell")].map((cell) => cell.firstElementChild.checkVisibility({ contentVisibilityAuto: true })));
  await console_.cell(1).locator(".cm-content").click();
  await page.keyboard.press("Escape");
  assert.ok((await laidOut()).filter(Boolean).length < 100);
  await page.keyboard.press("End");
  await page.waitForFunction(() => {
    const cell = [...document.querySelectorAll(".cell")].at(-1);
    const { top, bottom } = cell.getBoundingClientRect();
    return document.activeElement === cell && top >= 0 && bottom <= innerHeight;
  });
  await page.waitForFunction(() => !document.querySelector("[data-shown]")); // what was laid out for it alone is let go
  const shown = await laidOut();
  assert.equal(shown.at(-1), true);
  assert.ok(shown.filter(Boolean).length < 150, `${shown.filter(Boolean).length} cells are laid out`);
});

test("notebooks of ten kinds are opened, run, saved and opened again", { skip: !real && "needs a real Python" }, async () => {
  const console_ = await fresh();
  for (const [name, notebook] of Object.entries(NOTEBOOKS)) {
    const file = { ...notebook, metadata: { ...notebook.metadata, title: name } };
    await opens(console_, `${name}.ipynb`, JSON.stringify(file));
    await console_.page.getByRole("button", { name: "Run all" }).click();
    const runnable = file.cells.map((cell, at) => [cell, at + 1]).filter(([cell]) => cell.cell_type === "code" && [cell.source].flat().join("").trim() !== "");
    for (const [cell, number] of runnable) {
      const fails = [cell.source].flat().join("").includes("1 / 0");
      await console_.phase(number, fails ? "error" : "ok");
      // A failed cell stops what "Run all" had left.
      if (fails) await console_.cell(number + 1).locator(".go").click();
    }
    const first = await saved(console_);
    assert.deepEqual(first.cells.map((cell) => cell.cell_type), file.cells.length > 0 ? file.cells.map((cell) => cell.cell_type) : ["code"], name);
    for (const [cell, number] of runnable) {
      const names = (outputs) => [...new Set(outputs.map((output) => output.output_type))].filter((type) => type !== "display_data");
      const shown = first.cells[number - 1].outputs;
      if (name !== "charts" && name !== "widgets" && cell.outputs.length > 0) assert.deepEqual(names(shown), names(cell.outputs), `${name}, cell ${number}`);
    }
    await opens(console_, `${name}-again.ipynb`, JSON.stringify({ ...first, metadata: { ...first.metadata, title: `${name}-again` } }));
    const second = await saved(console_);
    const same = (made) => made.cells.map(({ id: _, ...cell }) => cell);
    assert.deepEqual(same(second), same(first), name);
  }
  assert.deepEqual(console_.complaints, []);
});

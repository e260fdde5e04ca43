// What is kept, taken out, brought in and shown: documents, links, examples, files.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { codes, real, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

const { fresh, open } = stage();

async function menu(console_, name) {
  await console_.page.getByRole("button", { name: "Menu" }).click();
  await console_.page.getByRole("menuitem", { name }).click();
}

/** Clicks in the menu, and answers the text of the file that comes of it. */
async function saved(console_, name) {
  const [download] = await Promise.all([console_.page.waitForEvent("download"), menu(console_, name)]);
  return { name: download.suggestedFilename(), text: await readFile(await download.path(), "utf8") };
}

async function opens(console_, name, text) {
  const [chooser] = await Promise.all([console_.page.waitForEvent("filechooser"), menu(console_, "Open a file")]);
  await chooser.setFiles({ name, mimeType: "text/plain", buffer: Buffer.from(text) });
}

test("Rename begins in the title", async () => {
  const console_ = await fresh();
  await console_.page.getByRole("button", { name: "Rename" }).or(console_.page.locator(".title")).first().click();
  await console_.page.getByRole("dialog", { name: "Rename" }).waitFor();
  await console_.page.keyboard.type("Mine");
  await console_.page.keyboard.press("Enter");
  await console_.page.locator(".title", { hasText: /^Mine$/ }).waitFor();
});

test("what is said while a dialog is open is in front of it, and is there afterwards", async () => {
  const console_ = await fresh();
  await console_.page.getByRole("button", { name: "Share", exact: true }).click();
  await console_.page.getByRole("button", { name: "Copy", exact: true }).click();
  const toast = console_.page.locator(".toast", { hasText: "Link copied." });
  assert.equal(await toast.evaluate((element) => {
    const { x, y, width, height } = element.getBoundingClientRect();
    return element.contains(document.elementFromPoint(x + width / 2, y + height / 2));
  }), true);
  await console_.page.keyboard.press("Escape");
  assert.equal(await toast.count(), 1);
});

test("a notebook has what each stream wrote, and no words of the page", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.streams.code);
  await console_.page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.million.code);
  const { cells } = JSON.parse((await saved(console_, "Save as notebook")).text);
  const texts = (name) => cells[0].outputs.filter((output) => output.name === name).map((output) => output.text).join("");
  assert.equal(texts("stdout"), "out 0\nout 1\nout 2\n");
  assert.equal(texts("stderr"), "err 0\nerr 1\nerr 2\n");
  const long = cells[1].outputs.map((output) => output.text).join("");
  assert.match(long, /^line 0\n[\s\S]*line 999999\n$/);
  assert.doesNotMatch(long, /omitted|left out/);
  await console_.page.locator(".toast", { hasText: /The notebook has the first and the last lines of long output; [\d,]+ lines/ }).waitFor();
});

test("documents go out and come in: notebook, Python file, link", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.hello.code);
  const notebook = await saved(console_, "Save as notebook");
  assert.match(notebook.name, /\.ipynb$/);
  const content = JSON.parse(notebook.text);
  assert.equal(content.nbformat, 4);
  assert.equal(content.cells[0].source.join(""), PROGRAMS.hello.code);
  assert.deepEqual(content.cells[0].outputs.map((o) => o.output_type), ["stream", "execute_result"]);
  assert.equal(content.cells[0].outputs[1].execution_count, content.cells[0].execution_count);

  await opens(console_, "two.py", "# %%\n'one'\n\n# %%\n'two'\n");
  await console_.cell(2).locator(".cm-content", { hasText: "'two'" }).waitFor();
  const python = await saved(console_, "Save as Python");
  assert.equal(python.name, "two.py");
  assert.equal(python.text, "# %%\n'one'\n\n# %%\n'two'\n");

  await opens(console_, "back.ipynb", notebook.text);
  await console_.cell(1).locator(".cm-content", { hasText: "hello" }).waitFor();
  assert.deepEqual(await codes(console_), [PROGRAMS.hello.code]);

  await opens(console_, "two.py", python.text);
  await console_.cell(2).locator(".cm-content", { hasText: "'two'" }).waitFor();
  await menu(console_, "Copy a link with the code");
  await console_.page.locator(".toast", { hasText: "Link" }).waitFor();
  const link = new URL(await console_.page.evaluate(() => navigator.clipboard.readText()));
  assert.equal(link.search, "");
  assert.match(link.hash, /^#code=v1\./);
  const other = await open({ fragment: link.hash.slice(1) });
  await other.cell(2).locator(".cm-content", { hasText: "'two'" }).waitFor();
  assert.deepEqual(await codes(other), ["'one'", "'two'"]);
  assert.deepEqual(console_.complaints, []);
});

test("every example runs as it promises", { skip: !real && "needs a real Python" }, async () => {
  const console_ = await fresh();
  await menu(console_, "Examples");
  const dialog = console_.page.getByRole("dialog", { name: "Examples" });
  // Those of Python come first.
  const list = dialog.getByRole("list").first();
  const titles = await list.locator("li strong").allTextContents();
  assert.deepEqual(titles, ["Streaming", "Progress and colours", "Plot", "Table", "Values", "Input", "Error", "Async", "Long output"]);
  await console_.page.keyboard.press("Escape");
  for (const title of titles) {
    await menu(console_, "Examples");
    await list.getByRole("button", { name: title }).click();
    // Opening takes a turn: before it, the cells are those of the example before.
    await console_.page.locator(".title", { hasText: title }).waitFor();
    const cells = await console_.page.locator(".cell").count();
    await console_.page.getByRole("button", { name: "Run all" }).click();
    if (title === "Input") {
      for (const cell of [1, 2]) {
        const field = console_.output(cell).locator("input");
        await field.fill("Ada");
        await field.press("Enter");
      }
    }
    for (let cell = 1; cell <= cells; cell += 1) {
      await console_.phase(cell, title === "Error" && cell === 2 ? "error" : "ok").catch((error) => { throw new Error(`${title}, cell ${cell}: ${error}`); });
    }
    const last = console_.output(cells);
    if (title === "Plot") await last.frameLocator("iframe").locator("canvas, svg").first().waitFor();
    if (title === "Table") assert.equal(await last.locator("tbody tr").count(), 30);
    if (title === "Values") await console_.output(1).locator("math").waitFor();
    if (title === "Long output") await last.locator(".omitted", { hasText: "498,8" }).waitFor();
  }
  assert.deepEqual(console_.complaints.filter((text) => !/WebGL/i.test(text)), []);
});

test("an untouched page offers the examples, and stops when it is touched", async () => {
  const console_ = await fresh();
  const offers = console_.page.locator(".beginnings");
  assert.equal(await offers.isVisible(), true);
  await console_.runTo(1, PROGRAMS.hello.code);
  assert.equal(await offers.isVisible(), false);
  await menu(console_, "New document");
  await offers.getByRole("button", { name: "Try an example" }).click();
  await console_.page.getByRole("dialog", { name: "Examples" }).getByRole("button", { name: "Table" }).click();
  await console_.cell(1).locator(".cm-content", { hasText: "class Table" }).waitFor();
});

test("files dropped onto the page land in the session, notebooks open", async () => {
  const console_ = await fresh();
  const drop = (name, text) => console_.page.evaluate(([fileName, content]) => {
    const transfer = new DataTransfer();
    transfer.items.add(new File([content], fileName));
    for (const type of ["dragover", "drop"]) document.body.dispatchEvent(new DragEvent(type, { bubbles: true, cancelable: true, dataTransfer: transfer }));
  }, [name, text]);
  await console_.page.getByRole("button", { name: "Menu" }).click();
  await console_.page.getByRole("menuitem", { name: "Files in the session" }).waitFor();
  await console_.page.keyboard.press("Escape");
  await drop("dropped.txt", "hello");
  await console_.page.locator(".toast", { hasText: "dropped.txt is in the working directory (5 bytes)" }).waitFor();
  await drop("a.ipynb", JSON.stringify({ nbformat: 4, cells: [{ cell_type: "code", source: ["'from a notebook'"] }] }));
  await console_.cell(1).locator(".cm-content", { hasText: "from a notebook" }).waitFor();
  assert.equal(await console_.page.locator("html[data-drop]").count(), 0);
});

// Cells and their outputs, in a real browser.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { lines, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

/** Milliseconds without an answer that are a freeze on any machine; `npm run measure` tells what it is on this one. */
const FREEZE = 5000;

const the = stage();
const { fresh, open } = the;

test("a cell runs and shows what it printed and its value", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.hello.code);
  assert.deepEqual(await lines(console_, 1), ["hello", "42"]);
  assert.match(await console_.cell(1).locator(".time").textContent(), /ms$|s$/);
  assert.equal(new URL(console_.page.url()).hash, "", "the token stays in the address");
  assert.deepEqual(console_.complaints, []);
});

test("stdout and stderr keep their order, and stderr is marked", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.streams.code);
  assert.deepEqual(await lines(console_, 1), ["out 0", "err 0", "out 1", "err 1", "out 2", "err 2"]);
  assert.deepEqual(await console_.output(1).locator(".line.err").allTextContents(), ["err 0", "err 1", "err 2"]);
});

test("a progress bar ends as one line, and colours are colours", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.progress.code);
  assert.deepEqual(await lines(console_, 1), ["100% done", "green"]);
  const colour = await console_.output(1).locator(".line span", { hasText: "green" }).evaluate((e) => e.style.color);
  assert.equal(colour, "var(--ansi-2)");
  assert.deepEqual(console_.complaints, []);
});

test("bars within bars and tables drawn anew leave what a terminal would show", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.tqdm.code);
  const shown = (await lines(console_, 1)).map((line) => line.trim()).filter((line) => line !== "");
  assert.equal(shown.length, 2, shown.join(" / "));
  assert.match(shown[0], /^outer: 100%\|█+\| 3\/3 /);
  assert.equal(shown[1], "done");
  await console_.runTo(1, PROGRAMS.live.code);
  assert.deepEqual(await lines(console_, 1), ["┏━━━┓", "┃ 3 ┃", "┗━━━┛", "step 3"]);
});

test("a million lines neither freeze the page nor are lost", async () => {
  const console_ = await fresh();
  await console_.write(1, PROGRAMS.million.code);
  await console_.page.evaluate(() => {
    globalThis.longest = 0;
    let last = performance.now();
    const beat = () => {
      const now = performance.now();
      globalThis.longest = Math.max(globalThis.longest, now - last);
      last = now;
      setTimeout(beat, 10);
    };
    beat();
  });
  await console_.page.keyboard.press("Control+Enter");
  await console_.page.locator('.cell[data-phase="ok"]').waitFor({ timeout: 100_000 });
  await console_.page.locator(".line", { hasText: "line 999999" }).waitFor();
  // In a flood fewer of the newest lines are drawn than are kept.
  await console_.output(1).locator(".omitted", { hasText: /^998,80\d lines omitted/ }).waitFor();
  assert.ok((await console_.output(1).locator(".line").count()) <= 1201);
  const longest = await console_.page.evaluate(() => globalThis.longest);
  assert.ok(longest < FREEZE, `the page did not answer for ${longest} ms`);
  const [download] = await Promise.all([
    console_.page.waitForEvent("download"), console_.page.getByRole("button", { name: "download all" }).click(),
  ]);
  const text = await readFile(await download.path(), "utf8");
  assert.equal(text.split("\n").length, 1_000_001);
});

test("a line of 15 MB does not freeze the page, and all of it can be had", async () => {
  const console_ = await fresh();
  await console_.page.evaluate(() => {
    globalThis.longest = 0;
    let last = performance.now();
    const look = () => {
      globalThis.longest = Math.max(globalThis.longest, performance.now() - last);
      last = performance.now();
      requestAnimationFrame(look);
    };
    look();
  });
  await console_.runTo(1, PROGRAMS.hugeLine.code);
  await console_.output(1).getByText("A part of this line is omitted").waitFor();
  const longest = await console_.page.evaluate(() => globalThis.longest);
  assert.ok(longest < FREEZE, `${longest} ms without a frame`);
  const [download] = await Promise.all([
    console_.page.waitForEvent("download"), console_.page.getByRole("button", { name: "download all" }).click(),
  ]);
  assert.equal((await readFile(await download.path(), "utf8")).length, 15_000_000);
});

test("a table in Markdown has the look of a table", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.markdownTable.code);
  const cell = console_.output(1).getByRole("region", { name: "Table" }).locator("td").first();
  assert.equal(await cell.evaluate((element) => getComputedStyle(element).paddingLeft), "12px");
});

test("an answer to input() leaves the focus in the cell", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.asks.code);
  await console_.output(1).locator("input").fill("Ada");
  await console_.page.keyboard.press("Enter");
  await console_.phase(1, "ok");
  assert.equal(await console_.page.evaluate(() => document.activeElement.classList.contains("cell")), true);
  await console_.page.keyboard.press("b");
  assert.equal(await console_.page.locator(".cell").count(), 2, "the keys of the list work");
});

test("a deleted cell comes back with its output, and with what it ran meanwhile", async () => {
  const console_ = await fresh();
  await console_.page.locator(".add").click();
  await console_.runTo(1, PROGRAMS.hello.code);
  const remove = () => console_.act(1, "Delete");
  const undo = () => console_.page.getByRole("button", { name: "Undo" }).click();
  await remove();
  assert.equal(await console_.page.locator(".cell").count(), 1);
  await undo();
  assert.deepEqual(await lines(console_, 1), ["hello", "42"]);
  await console_.run(1, PROGRAMS.slow.code);
  await console_.output(1).locator(".line", { hasText: /^2$/ }).waitFor();
  await remove();
  await console_.page.waitForTimeout(500);
  await undo();
  await console_.phase(1, "ok");
  assert.deepEqual(await lines(console_, 1), Array.from({ length: 30 }, (_, n) => String(n)));
});

test("tables sort by their headings", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.table.code);
  const cities = () => console_.output(1).locator("tbody td:nth-child(2)").allTextContents();
  assert.deepEqual(await cities(), ["Bern", "Zürich", "Chur"]);
  await console_.output(1).getByRole("button", { name: "people" }).click();
  assert.deepEqual(await cities(), ["Chur", "Bern", "Zürich"]);
  await console_.output(1).getByRole("button", { name: "people" }).click();
  assert.deepEqual(await cities(), ["Zürich", "Bern", "Chur"]);
  assert.equal(await console_.output(1).locator("thead th").nth(2).getAttribute("aria-sort"), "descending");
});

test("values show in their richest form, and nothing escapes into the page", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.markdown.code);
  await console_.output(1).locator("math").nth(1).waitFor();
  assert.equal(await console_.output(1).locator("h2").textContent(), "Title");
  assert.equal(await console_.output(1).locator("[onerror]").count(), 0);

  await console_.runTo(1, PROGRAMS.latex.code);
  await console_.output(1).locator("mfrac").waitFor();

  await console_.runTo(1, PROGRAMS.json.code);
  await console_.output(1).locator("summary", { hasText: "list" }).click();
  await console_.output(1).locator("summary", { hasText: "{1}" }).waitFor();

  await console_.runTo(1, PROGRAMS.safeHtml.code);
  await console_.output(1).locator("td", { hasText: "1" }).waitFor();

  await console_.runTo(1, PROGRAMS.svg.code);
  await console_.output(1).locator("img").waitFor();
  await console_.runTo(1, PROGRAMS.image.code);
  await console_.output(1).getByRole("button", { name: /Enlarge/ }).click();
  await console_.page.locator("dialog.viewer").waitFor();
  await console_.page.keyboard.press("Escape");
  await console_.page.locator("dialog.viewer").waitFor({ state: "detached" });
});

test("HTML with scripts runs in a frame without an origin, apart from the page", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.scriptHtml.code);
  const frame = console_.output(1).frameLocator("iframe");
  await frame.getByText("ran null apart").waitFor();
  assert.notEqual(await console_.page.title(), "taken");
});

test("Plotly and Vega charts are drawn", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.plotly.code);
  await console_.output(1).frameLocator("iframe").locator(".main-svg").first().waitFor();
  await console_.runTo(1, PROGRAMS.vega.code);
  await console_.output(1).frameLocator("iframe").locator("canvas, svg").first().waitFor();
  assert.deepEqual(console_.complaints.filter((text) => !/WebGL/i.test(text)), []);
});

test("a value with a very long line says what is left out of it, and shows it when asked", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.longValue.code);
  const value = console_.output(1).locator(".value > div");
  assert.equal(await value.count(), 2);
  assert.equal(await value.nth(1).textContent(), "last");
  const more = console_.output(1).getByRole("button", { name: "… 150,001 more characters in this line: show them" });
  await more.click();
  assert.equal(await value.first().evaluate((element) => element.textContent === `${"a".repeat(250_000)}Z`), true);
  assert.equal(await more.count(), 0);
  await console_.act(1, "Copy output as text");
  await console_.page.locator(".toast", { hasText: "Output copied" }).waitFor();
  assert.equal((await console_.page.evaluate(() => navigator.clipboard.readText())).length, 250_006);
});

test("an error with a very long line says what is left out of it", async () => {
  // A real gateway bounds the message itself, and says so.
  await the.script();
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.longError.code, "error");
  await console_.output(1).locator(".trace").getByRole("button", { name: /^… [\d,]+ more characters in this line: show them$/ }).waitFor();
});

test("a traceback leads to the line in the cell", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.fails.code, "error");
  assert.match(await console_.output(1).locator(".summary").textContent(), /^ZeroDivisionError: division by zero/);
  assert.equal((await console_.output(1).textContent()).split("division by zero").length - 1, 1, "an error is told once");
  assert.equal(await console_.cell(1).locator(".cm-culprit").textContent(), "1 / 0");
  await console_.output(1).locator(".place").first().click();
  const selected = await console_.cell(1).locator(".editor").evaluate((host) => host.shadowRoot.getSelection().toString());
  assert.equal(selected, "1 / 0");
});

test("questions are answered in place, and secrets stay hidden", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.asks.code);
  const field = console_.output(1).getByRole("textbox", { name: "Who?" });
  await field.fill("Ada");
  await field.press("Enter");
  await console_.phase(1, "ok");
  assert.match(await console_.output(1).textContent(), /Who\? Ada.*hello Ada/s);
  await console_.run(1, PROGRAMS.asksSecret.code);
  const secret = console_.output(1).locator("input[type=password]");
  await secret.fill("hidden");
  await secret.press("Enter");
  await console_.phase(1, "ok");
  assert.doesNotMatch(await console_.output(1).textContent(), /hidden/);
  assert.match(await console_.output(1).textContent(), /6/);
});

test("what runs is seen and can be stopped; what waits says so", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.forever.code);
  await console_.phase(1, "running");
  await console_.page.locator(".state", { hasText: "Running" }).waitFor();
  await console_.page.locator(".add").click();
  await console_.run(2, PROGRAMS.hello.code);
  await console_.cell(2).locator(".how", { hasText: /Queued|Next/ }).waitFor();
  await console_.page.locator(".meter").waitFor();
  await console_.page.getByRole("button", { name: "Stop", exact: true }).click();
  await console_.phase(1, "interrupted");
  assert.equal(await console_.cell(1).locator(".how").textContent(), "Stopped.");
  await console_.phase(2, "ok");
});

test("what does not stop can be stopped by force", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.stubborn.code);
  await console_.phase(1, "running");
  await console_.page.getByRole("button", { name: "Stop", exact: true }).click();
  await console_.page.locator(".state", { hasText: "Stopping" }).waitFor();
  // A real gateway kills by itself after its time of grace, unless that is long.
  await console_.page.getByRole("button", { name: "Force stop" }).click();
  await console_.page.waitForFunction(() => /^(killed|interrupted)$/.test(document.querySelector(".cell").dataset.phase));
  assert.match(await console_.cell(1).locator(".how").textContent(), /The variables are gone\.$/);
  await console_.ready();
});

test("every way to end has its words, and late output is marked as such", async () => {
  const console_ = await fresh();
  const ended = async (program, status, words) => {
    await console_.runTo(1, PROGRAMS[program].code, status);
    assert.match(await console_.cell(1).locator(".how").textContent(), words, program);
    await console_.ready();
  };
  await ended("hoards", "oom", /^Ran out of memory: the limit is 256 MiB\. The variables are gone\.$/);
  await ended("exits", "exited", /^The interpreter ended with exit code 3\. The variables are gone\.$/);
  await ended("tooMuch", "output_limit", /^Wrote more output than is allowed\./);
  const omitted = console_.output(1).locator(".note", { hasText: /^[\d.]+ MiB of stdout left out: the limit for output was reached\./ });
  const [all] = await Promise.all([console_.page.waitForEvent("download"), omitted.getByRole("button", { name: "Download all" }).click()]);
  assert.equal((await readFile(await all.path())).length, 17 << 20, "as much as is kept");
  await console_.runTo(1, PROGRAMS.late.code);
  await console_.output(1).locator(".note", { hasText: "Written after the cell had ended:" }).waitFor();
  assert.deepEqual(await lines(console_, 1), ["now", "afterwards"]);
});

test("output is taken along as text or as Markdown, of one cell or of all", async () => {
  const console_ = await fresh();
  const copied = async (click) => {
    await click();
    await console_.page.locator(".toast", { hasText: "copied" }).last().waitFor();
    return console_.page.evaluate(async () => {
      const text = await navigator.clipboard.readText();
      await navigator.clipboard.writeText("");
      for (const toast of document.querySelectorAll(".toast")) toast.remove();
      return text;
    });
  };
  await console_.runTo(1, PROGRAMS.progress.code);
  const tool = (name) => () => console_.act(1, name);
  assert.equal(await copied(tool("Copy output as text")), "100% done\ngreen");
  assert.equal(await copied(tool("Copy output as Markdown")), "```\n100% done\ngreen\n```");
  await console_.runTo(1, PROGRAMS.table.code);
  assert.match(await copied(tool("Copy output as Markdown")), /^\| index \| city \| people \|\n.*\n\| 0 \| Bern \| 134 \|/);
  const all = await copied(async () => {
    await console_.page.getByRole("button", { name: "Menu" }).click();
    await console_.page.getByRole("menuitem", { name: "Copy all outputs as Markdown" }).click();
  });
  assert.match(all, /^```python\nclass Shown:[\s\S]*```\n\n\| index \|/);
});

test("a picture enlarges and is saved as what it is", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.image.code);
  await console_.output(1).getByRole("button", { name: /Enlarge/ }).click();
  const viewer = console_.page.locator("dialog.viewer");
  const [download] = await Promise.all([console_.page.waitForEvent("download"), viewer.getByRole("button", { name: "Save" }).click()]);
  assert.match(download.suggestedFilename(), /\.png$/);
  const bytes = await readFile(await download.path());
  assert.deepEqual([...bytes.subarray(1, 4)], [..."PNG"].map((letter) => letter.charCodeAt(0)));
  await viewer.getByRole("button", { name: "Close" }).click();
  await viewer.waitFor({ state: "detached" });
});

test("the editor colours Python, closes brackets and marks them", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  const editor = console_.cell(1).locator(".cm-content");
  await console_.write(1, "");
  await keyboard.type("def half(n");
  assert.equal(await editor.innerText(), "def half(n)");
  await editor.locator(".cm-matchingBracket").first().waitFor();
  await keyboard.press("End");
  await keyboard.type(":");
  await keyboard.press("Enter");
  await keyboard.type("return 'x' + 2 # why");
  assert.equal(await editor.innerText(), "def half(n):\n    return 'x' + 2 # why", "the block is indented");
  const colour = (text) => editor.getByText(text, { exact: true }).first().evaluate((element) => getComputedStyle(element).color);
  const colours = await Promise.all(["def", "half", "'x'", "2", "# why"].map(colour));
  assert.equal(new Set(colours).size, 5, colours.join(" "));
  assert.deepEqual(console_.complaints, []);
});

test("running again moves nothing, and a second click of a double one starts nothing", async () => {
  const console_ = await fresh();
  const { page } = console_;
  await console_.runTo(1, PROGRAMS.streams.code);
  await page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.hello.code);
  await console_.cell(1).locator(".cm-content").click();
  // The place of what is below, in every frame from before the run to after it.
  await page.evaluate(() => {
    globalThis.places = new Set();
    const look = () => {
      globalThis.places.add(Math.round(document.querySelectorAll(".cell")[1].getBoundingClientRect().top));
      if (!globalThis.looked) requestAnimationFrame(look);
    };
    look();
  });
  const before = await console_.cell(1).locator(".count").textContent();
  await page.keyboard.press("Control+Enter");
  await page.waitForFunction((count) => !["*", "", count].includes(document.querySelector(".count").textContent), before);
  await console_.phase(1, "ok");
  assert.equal(await page.evaluate(() => { globalThis.looked = true; return globalThis.places.size; }), 1);

  await console_.run(1, PROGRAMS.forever.code);
  await console_.phase(1, "running");
  await page.getByRole("button", { name: "Stop", exact: true }).dblclick();
  await console_.phase(1, "interrupted");
  await console_.ready();
  assert.equal(await console_.cell(2).getAttribute("data-phase"), "ok");
  assert.match(await console_.cell(2).locator(".count").textContent(), /^\d+$/);
});

test("output stays in view as it grows, until the reader scrolls", async () => {
  const console_ = await fresh();
  const { page } = console_;
  await console_.runTo(1, PROGRAMS.fails.code, "error");
  for (const at of [2, 3]) {
    await page.locator(".add").click();
    await console_.runTo(at, PROGRAMS.streams.code);
  }
  await page.locator(".add").click();
  const last = (text) => console_.output(4).locator(".line", { hasText: text });
  const seen = (text) => last(text).evaluate((line) => {
    const box = line.getBoundingClientRect();
    return box.top >= 0 && box.bottom <= innerHeight;
  });
  await console_.run(4, PROGRAMS.slow.code);
  await last(/^15$/).waitFor();
  // A moment later, as the page scrolls once per frame.
  for (const end = Date.now() + FREEZE; !await seen(/^15$/); ) assert.ok(Date.now() < end, "the newest line was not scrolled to");
  // Beside the cells: an output that scrolls by itself would take the wheel's turn.
  await page.mouse.move(4, 400);
  await page.mouse.wheel(0, -5000);
  await page.waitForFunction(() => scrollY === 0);
  await console_.phase(4, "ok");
  assert.equal(await page.evaluate(() => scrollY), 0, "the page took the reader away");
  assert.equal(await seen(/^29$/), false);
});

test("restart and run all begins with a fresh interpreter", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.setX.code);
  await console_.page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.showX.code);
  await console_.page.getByRole("button", { name: "Menu" }).click();
  await console_.page.getByRole("menuitem", { name: "Restart and run all" }).click();
  await console_.page.getByRole("dialog").getByRole("button", { name: "Restart", exact: true }).click();
  await console_.page.locator(".toast", { hasText: "variables are gone" }).waitFor();
  await console_.cell(2).locator(".count", { hasText: /^2$/ }).waitFor();
  assert.equal(await console_.cell(1).locator(".count").textContent(), "1");
});

test("the keys of a notebook work, and deleted cells come back", async () => {
  const console_ = await fresh();
  const { keyboard } = console_.page;
  const codes = () => console_.page.evaluate(() => [...document.querySelectorAll(".cell .editor")].map((host) => host.shadowRoot.querySelector(".cm-content").innerText.trim()));
  await console_.write(1, "'first'");
  await keyboard.press("Escape");
  await keyboard.press("b");
  await keyboard.press("Enter");
  await keyboard.insertText("'second'");
  await keyboard.press("Escape");
  await keyboard.press("k");
  await keyboard.press("a");
  await keyboard.press("Enter");
  await keyboard.insertText("'zeroth'");
  await keyboard.press("Escape");
  assert.deepEqual(await codes(), ["'zeroth'", "'first'", "'second'"]);
  await keyboard.press("j");
  await keyboard.press("d");
  await keyboard.press("d");
  assert.deepEqual(await codes(), ["'zeroth'", "'second'"]);
  await keyboard.press("z");
  assert.deepEqual(await codes(), ["'zeroth'", "'first'", "'second'"]);
  await keyboard.press("Shift+K");
  assert.deepEqual(await codes(), ["'first'", "'zeroth'", "'second'"]);
  await keyboard.press("?");
  await console_.page.getByRole("dialog", { name: "Keys" }).waitFor();
  await keyboard.press("Escape");
  // From the text, Escape and Tab lead on: no trap.
  await console_.cell(1).locator(".cm-content").click();
  await keyboard.press("Escape");
  await keyboard.press("Tab");
  await keyboard.press("Tab");
  const focused = () => console_.page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  // Where the session has several languages, their choice comes first.
  if (await focused() === "Language of cell 1") await keyboard.press("Tab");
  assert.equal(await focused(), "Actions for cell 1");
});

test("running on advances and makes cells, and all run in order", async () => {
  const console_ = await fresh();
  await console_.write(1, PROGRAMS.setX.code);
  await console_.page.keyboard.press("Shift+Enter");
  await console_.phase(1, "ok");
  await console_.page.keyboard.insertText(PROGRAMS.showX.code);
  await console_.page.keyboard.press("Alt+Enter");
  await console_.phase(2, "ok");
  assert.equal(await console_.page.locator(".cell").count(), 3);
  assert.deepEqual(await lines(console_, 2), ["kept"]);
  await console_.restarts();
  await console_.page.locator(".toast", { hasText: "variables are gone" }).waitFor();
  await console_.run(2, PROGRAMS.showX.code);
  await console_.phase(2, "error");
  await console_.page.getByRole("button", { name: "Run all" }).click();
  await console_.phase(2, "ok");
  assert.deepEqual(await lines(console_, 2), ["kept"]);
});

test("run all stops at the first error, and nothing after it was sent", async () => {
  const console_ = await fresh();
  const others = Array.from({ length: 17 }, () => PROGRAMS.hello.code);
  for (const failsAt of [3, 1, 12]) {
    const codes = [...others];
    codes.splice(failsAt - 1, 0, PROGRAMS.showX.code); // there is no x
    await console_.opens(codes);
    await console_.page.getByRole("button", { name: "Run all" }).click();
    await console_.phase(failsAt, "error");
    await console_.page.locator(".toast", { hasText: `Run all stopped there: ${18 - failsAt} cells after it did not run.` }).waitFor();
    await console_.page.locator(".state", { hasText: "Ready" }).waitFor();
    const phases = await console_.page.locator(".cell").evaluateAll((cells) => cells.map((cell) => cell.dataset.phase));
    assert.deepEqual(phases, codes.map((_, at) => (at + 1 < failsAt ? "ok" : at + 1 === failsAt ? "error" : "fresh")));
    // The next cell by hand is the next one that the interpreter counts: none ran in between.
    const counted = async (number) => Number(await console_.cell(number).locator(".count").textContent());
    const failed = await counted(failsAt);
    await console_.runTo(18, PROGRAMS.hello.code);
    assert.equal(await counted(18), failed + 1);
  }
  // What waits can be taken out of it, and a stop takes out all. The first one runs until it is answered.
  await console_.opens([PROGRAMS.asks.code, PROGRAMS.hello.code, PROGRAMS.asks.code, PROGRAMS.hello.code]);
  await console_.page.getByRole("button", { name: "Run all" }).click();
  await console_.phase(1, "running");
  await console_.page.getByRole("button", { name: "Stop cell 2" }).click();
  await console_.output(1).locator("input").fill("Ada");
  await console_.page.keyboard.press("Enter");
  await console_.phase(3, "running");
  assert.equal(await console_.cell(2).getAttribute("data-phase"), "fresh");
  await console_.page.getByRole("button", { name: "Stop", exact: true }).click();
  await console_.phase(3, "interrupted");
  assert.equal(await console_.cell(4).getAttribute("data-phase"), "fresh");
});

test("a click on Stop that comes as the cell ends does not run it again", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.slow.code);
  await console_.phase(1, "running");
  const click = () => console_.page.evaluate(() => document.querySelector(".cell .go").dispatchEvent(new MouseEvent("click", { detail: 1, bubbles: true })));
  await console_.page.evaluate(() => {
    const cell = document.querySelector(".cell");
    new MutationObserver((_, observer) => {
      if (cell.dataset.phase !== "ok") return;
      observer.disconnect();
      cell.querySelector(".go").dispatchEvent(new MouseEvent("click", { detail: 1, bubbles: true }));
      globalThis.after = cell.querySelector(".go").getAttribute("aria-label");
    }).observe(cell, { attributeFilter: ["data-phase"] });
  });
  await console_.phase(1, "ok");
  assert.equal(await console_.page.evaluate(() => globalThis.after), "Run cell 1");
  await console_.page.waitForTimeout(500);
  assert.equal(await console_.cell(1).getAttribute("data-phase"), "ok");
  await click();
  await console_.phase(1, "running");
});

test("a cell that runs takes new code: it waits, and the newest alone", async () => {
  const console_ = await fresh();
  await console_.run(1, PROGRAMS.asks.code);
  const question = console_.output(1).locator("input");
  await question.waitFor();
  await console_.cell(1).locator(".cm-content").click();
  await console_.page.keyboard.press("Control+Enter");
  await console_.run(1, PROGRAMS.hello.code);
  await console_.cell(1).getByText("New code queued behind 1").waitFor();
  await console_.run(1, PROGRAMS.setX.code);
  await console_.run(1, PROGRAMS.streams.code);
  // What runs goes on, and is seen until its end.
  await question.fill("Ada");
  await question.press("Enter");
  await console_.output(1).locator(".line", { hasText: "out 2" }).waitFor();
  await console_.phase(1, "ok");
  assert.equal(await console_.cell(1).locator(".count").textContent(), "2", "neither the same code nor what was replaced has run");
  assert.equal(await console_.cell(1).getByText("Edited since it ran").count(), 0);
  // A stop takes both out.
  await console_.run(1, PROGRAMS.forever.code);
  await console_.phase(1, "running");
  await console_.run(1, PROGRAMS.hello.code);
  await console_.cell(1).getByText("New code queued behind 1").waitFor();
  await console_.page.getByRole("button", { name: "Stop cell 1" }).click();
  await console_.phase(1, "interrupted");
  await console_.page.locator(".state", { hasText: "Ready" }).waitFor();
  assert.equal(await console_.cell(1).locator(".count").textContent(), "3");
  assert.deepEqual(console_.complaints, []);
});

test("a reload finds the code, the output and the session again", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.setX.code);
  await console_.page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.showX.code);
  await console_.page.reload();
  await console_.ready();
  await console_.phase(2, "ok");
  await console_.output(2).locator(".line", { hasText: "kept" }).waitFor();
  await console_.runTo(2, PROGRAMS.showX.code);
  assert.deepEqual(await lines(console_, 2), ["kept"]);
  assert.deepEqual(console_.complaints, []);
});

test("completions and documentation come from the session", async () => {
  const console_ = await fresh();
  await console_.write(1, "");
  await console_.page.keyboard.type("pri");
  await console_.page.keyboard.press("Tab");
  await console_.cell(1).locator(".cm-tooltip-autocomplete .cm-completionLabel", { hasText: /^print$/ }).click();
  await console_.page.waitForFunction(() => document.querySelector(".editor").shadowRoot.querySelector(".cm-content").innerText.trim().startsWith("print"));
  await console_.write(1, "print(1)");
  await console_.page.keyboard.press("Escape");
  await console_.cell(1).locator(".cm-content").getByText("print").first().hover();
  await console_.cell(1).locator(".docs", { hasText: "sep" }).waitFor();
  assert.deepEqual(console_.complaints, []);
});

test("without a token the page asks for one, and takes the whole address too", async () => {
  const console_ = await open({ fragment: "" });
  const field = console_.page.getByLabel("Token");
  await field.fill("wrong");
  await field.press("Enter");
  await console_.page.getByText("does not accept that token").waitFor();
  await field.fill(`${the.gateway.url}/#token=${the.gateway.token}`);
  await field.press("Enter");
  await console_.ready();
});

test("on a Mac the command key runs too", async () => {
  const console_ = await fresh();
  await console_.write(1, PROGRAMS.hello.code);
  await console_.page.addInitScript(() => Object.defineProperty(navigator, "platform", { get: () => "MacIntel" }));
  await console_.page.reload();
  await console_.ready();
  await console_.cell(1).locator(".cm-content", { hasText: "hello" }).click();
  await console_.page.keyboard.press("Meta+Enter");
  await console_.phase(1, "ok");
  await console_.page.keyboard.press("Escape");
  const before = await console_.cell(1).locator(".count").textContent();
  await console_.page.keyboard.press("Meta+Enter");
  await console_.page.waitForFunction((count) => !["*", "", count].includes(document.querySelector(".count").textContent), before);
});

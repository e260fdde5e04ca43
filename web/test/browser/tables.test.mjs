// Tables and variables: what the page asks the interpreter, and what it does where it cannot ask.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, lines, real, stage } from "./console.mjs";
import { PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh } = the;

const SENT = 700;
const ROWS = 100_000;
const MIME = "application/vnd.dataresource+json";
PROGRAMS.largeTable = {
  code: "import pandas as pd\nframe = pd.DataFrame({'n': range(100_000), 'half': [n / 2 if n >= 5000 else n for n in range(100_000)], 's': ['row %d' % (n * 7) for n in range(100_000)]})\nframe",
  play(cell) {
    const fields = [{ name: "index", type: "integer" }, { name: "n", type: "integer" }, { name: "half", type: "number" }, { name: "s", type: "string" }];
    const rows = Array.from({ length: ROWS }, (_, n) => [n, n, n >= 5000 ? n / 2 : n, `row ${n * 7}`]);
    cell.session.values.set("frame", { table: "t1", fields, keys: ["index"], rows });
    cell.result({ "text/plain": "frame", "text/html": "<table></table>", [MIME]: { schema: { fields, primaryKey: ["index"] }, data: rows.slice(0, SENT) } },
      { [MIME]: { total_rows: ROWS, total_columns: 3, rows: SENT, columns: 3, table: "t1" } });
  },
};
PROGRAMS.runsOn = {
  code: "import time\nprint('runs')\ntime.sleep(600)",
  async play(cell) { cell.out("runs\n"); await cell.interrupted; },
};
PROGRAMS.dicts = {
  code: "people = [{'name': 'Ada', 'born': 1815}, {'name': 'Grace', 'born': 1906}]\npeople",
  play(cell) {
    const fields = [{ name: "name", type: "string" }, { name: "born", type: "integer" }];
    const rows = [["Ada", 1815], ["Grace", 1906]];
    cell.session.values.set("people", { table: "t2", fields, keys: [], rows });
    cell.result({ "text/plain": "[{'name': 'Ada', 'born': 1815}, {'name': 'Grace', 'born': 1906}]", [MIME]: { schema: { fields, primaryKey: [] }, data: rows } },
      { [MIME]: { total_rows: 2, total_columns: 2, rows: 2, columns: 2, table: "t2" } });
  },
};

/** A page whose interpreter has pandas: a real one, or else the script that plays one. */
async function withPandas(options) {
  const console_ = await fresh(options);
  if (!real) return console_;
  await console_.run(1, "import importlib.util\nprint('has it:', importlib.util.find_spec('pandas') is not None)");
  await console_.output(1).locator(".line", { hasText: "has it:" }).waitFor();
  if ((await lines(console_, 1))[0] === "has it: True") return console_;
  await the.script();
  return fresh(options);
}

/** What a test looks at in a table. */
function tableIn(place) {
  return {
    place: place.locator(".place"),
    foot: place.locator(".table .foot"),
    button: (name) => place.getByRole("button", { name, exact: true }),
    filter: place.getByRole("searchbox", { name: "Filter the rows" }),
    column: (at) => place.locator(`tbody tr > :nth-child(${at})`).allTextContents(),
    says: (text) => place.locator(".place", { hasText: text }).waitFor(),
    notes: (text) => place.locator(".table .foot", { hasText: text }).waitFor(),
  };
}

async function saved(page, press) {
  const [download] = await Promise.all([page.waitForEvent("download"), press()]);
  return readFile(await download.path(), "utf8");
}

test("all rows of a large table are had page by page", async () => {
  const console_ = await withPandas();
  await console_.runTo(1, PROGRAMS.largeTable.code);
  const table = tableIn(console_.output(1));
  await console_.output(1).getByRole("region", { name: "Table of 100,000 rows × 3 columns" }).waitFor();
  await table.says("Rows 1–50 of 100,000");
  assert.match(await table.foot.textContent(), /^100,000 rows × 3 columns · Copy · Save as CSV$/);
  assert.equal((await table.column(3))[1], "1");
  await table.button("Last rows").click();
  await table.says("Rows 99,951–100,000 of 100,000");
  assert.equal((await table.column(2)).at(-1), "99999");
  assert.equal((await table.column(3)).at(-1), "49999.5", "with the decimals that these rows need");
  await table.button("First rows").click();
  await table.says("Rows 1–50");
  assert.equal((await table.column(3))[1], "1.0", "and the column keeps them");
  // By the keyboard alone, and the button at the end keeps the focus.
  await table.button("Last rows").focus();
  await console_.page.keyboard.press("Enter");
  await table.says("99,951");
  assert.equal(await table.button("Last rows").getAttribute("aria-disabled"), "true");
  assert.equal(await console_.page.evaluate(() => document.activeElement.ariaLabel), "Last rows");
  await table.button("Previous rows").click();
  await table.says("Rows 99,901–99,950");
  await accessible(console_.page, "a large table");
  assert.deepEqual(console_.complaints, []);
});

test("a large table is sorted and filtered as a whole, and saved so", async () => {
  const console_ = await withPandas();
  await console_.runTo(1, PROGRAMS.largeTable.code);
  const table = tableIn(console_.output(1));
  await table.button("n").click();
  await table.button("n").click();
  await console_.output(1).locator("tbody td", { hasText: /^99999$/ }).first().waitFor();
  assert.deepEqual((await table.column(2)).slice(0, 2), ["99999", "99998"]);
  assert.equal(await console_.output(1).locator("thead th").nth(1).getAttribute("aria-sort"), "descending");
  await table.filter.fill("ROW 69999");
  await table.says("Rows 1–1 of 1 matching");
  const csv = await saved(console_.page, () => table.button("Save as CSV").click());
  assert.equal(csv, "index,n,half,s\r\n99999,99999,49999.5,row 699993\r\n");
  await table.filter.fill("");
  await table.says("of 100,000");
  const all = await saved(console_.page, () => table.button("Save as CSV").click());
  assert.equal(all.trimEnd().split("\r\n").length, ROWS + 1);
  await table.button("Copy").click();
  const copied = await console_.page.evaluate(() => navigator.clipboard.readText());
  assert.equal(copied.split("\n")[1].split("\t")[1], "99999");
  await table.filter.fill("no such row");
  await table.says("No matching rows");
});

test("a question waits for the cell that runs", async () => {
  const console_ = await withPandas();
  await console_.runTo(1, PROGRAMS.largeTable.code);
  await console_.page.locator(".add").click();
  await console_.run(2, PROGRAMS.runsOn.code);
  await console_.output(2).locator(".line", { hasText: "runs" }).waitFor();
  const table = tableIn(console_.output(1));
  await table.button("Last rows").click();
  await table.notes("Waiting for the cell that runs.");
  await accessible(console_.page, "a table that waits");
  await console_.page.getByRole("button", { name: "Stop", exact: true }).first().click();
  await table.says("Rows 99,951–100,000");
});

test("where nothing can be asked, the rows that were sent are sorted, and it is said why", async () => {
  await the.script();
  the.gateway.options.answersValues = false;
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.largeTable.code);
  let table = tableIn(console_.output(1));
  await table.button("Last rows").click();
  await table.notes("here are the first 700 of 100,000 rows · This gateway answers no questions about values.");
  await table.says("Rows 651–700 of 700");
  await table.button("n").click();
  await table.button("n").click();
  await table.notes("sorted within the first 700 of 100,000 rows");
  assert.equal((await table.column(2))[0], "699");
  const csv = await saved(console_.page, () => table.button("Save as CSV").click());
  assert.equal(csv.trimEnd().split("\r\n").length, SENT + 1);
  await accessible(console_.page, "a table of which a part is here");

  the.gateway.options.answersValues = true;
  const second = await fresh();
  await second.runTo(1, PROGRAMS.largeTable.code);
  [...the.gateway.sessions.values()].at(-1).values.clear();
  table = tableIn(second.output(1));
  await table.button("Last rows").click();
  await table.notes("This table is not kept any more: run the cell again.");
});

test("a viewer has the rows that were sent", async () => {
  await the.script();
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.largeTable.code);
  const session = [...the.gateway.sessions.values()].at(-1);
  const viewer = await fresh({ fragment: `session=${session.id}&token=${session.tokenFor("viewer")}` });
  const table = tableIn(viewer.output(1));
  await table.notes("here are the first 700 of 100,000 rows · Viewers see what was sent.");
  await table.says("Rows 1–50 of 700");
});

test("a list of dicts is a table, and its text is below it", async () => {
  const console_ = await fresh();
  await console_.runTo(1, PROGRAMS.dicts.code);
  const table = tableIn(console_.output(1));
  assert.deepEqual(await table.column(1), ["Ada", "Grace"]);
  assert.equal(await table.filter.count(), 0, "small tables are read faster");
  assert.equal(await table.place.isVisible(), false);
  await console_.output(1).getByText("As text").click();
  await console_.output(1).locator(".line", { hasText: "{'name': 'Ada'" }).waitFor();
  assert.equal(await saved(console_.page, () => table.button("Save as CSV").click()), "name,born\r\nAda,1815\r\nGrace,1906\r\n");
  await accessible(console_.page, "a list of dicts");
});

test("the panel of variables lists them, opens tables, and follows the session", async () => {
  const console_ = await withPandas();
  const { page } = console_;
  await console_.runTo(1, PROGRAMS.largeTable.code);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("menuitem", { name: "Variables …" }).click();
  const panel = page.getByRole("complementary", { name: "Variables" });
  const frame = panel.locator("li", { has: page.getByRole("button", { name: "frame", exact: true }) });
  await frame.waitFor();
  assert.match(await frame.textContent(), /DataFrame\s*100,000 × 3 · .*n, half, s/s);
  await accessible(page, "the panel of variables");

  await page.locator(".add").click();
  await console_.runTo(2, PROGRAMS.dicts.code);
  await panel.getByRole("button", { name: "people", exact: true }).waitFor();
  await panel.getByRole("searchbox").fill("fra");
  await panel.getByText("1 variable.").waitFor();
  await panel.getByRole("button", { name: "frame", exact: true }).click();
  const opened = page.getByRole("complementary", { name: "frame" });
  const table = tableIn(opened);
  await table.says("Rows 1–50 of 100,000");
  await table.button("Last rows").click();
  await table.says("99,951");
  await accessible(page, "a variable's table");
  await opened.getByRole("button", { name: "All variables" }).click();
  await panel.getByRole("searchbox").fill("");
  await page.keyboard.press("Escape");
  assert.equal(await panel.count(), 0);
  assert.equal(await page.evaluate(() => document.activeElement.getAttribute("aria-label")), "Menu");
  assert.deepEqual(console_.complaints, []);
});

test("on a phone the panel is a sheet, and what is behind it cannot be reached", async () => {
  const console_ = await fresh({ viewport: { width: 360, height: 740 } });
  const { page } = console_;
  await console_.runTo(1, PROGRAMS.dicts.code);
  await page.getByRole("button", { name: "Menu" }).click();
  await page.getByRole("menuitem", { name: "Variables …" }).click();
  const panel = page.getByRole("complementary", { name: "Variables" });
  await panel.getByRole("button", { name: "people", exact: true }).waitFor();
  const box = await panel.boundingBox();
  assert.deepEqual([box.x, box.y, box.width, box.height], [0, 0, 360, 740]);
  assert.equal(await page.locator("main").evaluate((main) => main.inert), true);
  await accessible(page, "the panel on a phone");
  await panel.getByRole("button", { name: "Close the panel" }).click();
  assert.equal(await page.locator("main").evaluate((main) => main.inert), false);
});

// What libraries show: the page says what is so in the interpreter. Where the real gateway's Python lacks
// the library, or there is no real gateway, the scripted one plays what was recorded.

import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { test } from "node:test";
import { accessible, lines, real, stage } from "./console.mjs";
import { bundle, PROGRAMS } from "./programs.mjs";

const the = stage();
const { fresh } = the;

/** Whether the interpreter of the first cell has that library. */
async function has(console_, library) {
  await console_.run(1, `import importlib.util\nprint("has it:", importlib.util.find_spec(${JSON.stringify(library)}) is not None)`);
  await console_.output(1).locator(".line", { hasText: "has it:" }).waitFor();
  return (await lines(console_, 1))[0] === "has it: True";
}

/** A page whose interpreter has that library: a real one, or else the script that plays one. */
async function having(library) {
  const console_ = await fresh();
  if (!real || await has(console_, library)) return console_;
  await the.script();
  return fresh();
}

PROGRAMS.digits = {
  code: "import pandas as pd\npd.DataFrame({'n': [1795902150.13, 123456789.25], 's': pd.arrays.SparseArray([0, 1])})",
  play: bundle({
    "text/plain": "frame",
    "application/vnd.dataresource+json": {
      schema: { fields: [{ name: "index", type: "integer" }, { name: "n", type: "number" }, { name: "s", type: "integer" }], primaryKey: ["index"] },
      data: [{ index: 0, n: 1795902150.13, s: 0 }, { index: 1, n: 123456789.25, s: 1 }],
    },
  }).play,
};
PROGRAMS.form = {
  code: "pd.options.display.float_format = '{:,.1f} CHF'.format\npd.DataFrame({'n': [1795902150.13, 2.0]})",
  play(cell) {
    cell.result({
      "text/plain": "frame",
      "application/vnd.dataresource+json": {
        schema: { fields: [{ name: "index", type: "integer" }, { name: "n", type: "number" }], primaryKey: ["index"] },
        data: [{ index: 0, n: 1795902150.13 }, { index: 1, n: 2 }],
      },
    }, { "application/vnd.dataresource+json": { total_rows: 2, total_columns: 1, text: { n: ["1,795,902,150.1 CHF", "2.0 CHF"] } } });
  },
};

test("numbers keep their digits and the form that the user asked for", async () => {
  const console_ = await having("pandas");
  const cells = () => console_.output(1).locator("tbody td").allTextContents();
  await console_.runTo(1, PROGRAMS.digits.code);
  assert.deepEqual(await cells(), ["1795902150.13", "0", "123456789.25", "1"]);
  assert.match(await console_.output(1).locator(".foot").textContent(), /^2 rows × 2 columns · Copy/);
  await console_.runTo(1, PROGRAMS.form.code);
  assert.deepEqual(await cells(), ["1,795,902,150.1 CHF", "2.0 CHF"]);
  await console_.output(1).getByRole("button", { name: "n", exact: true }).click();
  assert.deepEqual(await cells(), ["2.0 CHF", "1,795,902,150.1 CHF"], "sorted as numbers, each with its own text");
});

PROGRAMS.altair = {
  code: "import altair as a\na.Chart(a.Data(values=[{'x': 'A', 'y': 28}, {'x': 'B', 'y': 55}])).mark_bar().encode(x='x:N', y='y:Q')",
  // Altair 6.3, recorded.
  play: bundle({
    "application/vnd.vegalite.v6.json": {
      config: { view: { continuousWidth: 300, continuousHeight: 300 } }, data: { values: [{ x: "A", y: 28 }, { x: "B", y: 55 }] },
      mark: { type: "bar" }, encoding: { x: { field: "x", type: "nominal" }, y: { field: "y", type: "quantitative" } },
      $schema: "https://vega.github.io/schema/vega-lite/v6.4.1.json",
    },
    "text/plain": "<VegaLite 6 object>\n\nIf you see this message, it means the renderer has not been properly enabled",
  }).play,
};

test("a chart of Altair is drawn", async () => {
  const console_ = await having("altair");
  await console_.runTo(1, PROGRAMS.altair.code);
  const frame = console_.output(1).frameLocator("iframe");
  for (const label of ["x: A; y: 28", "x: B; y: 55"]) await frame.locator(`path[aria-label="${label}"]`).waitFor();
  assert.equal(await console_.output(1).locator(".note").count(), 0);
  await console_.act(1, "Copy output as text");
  assert.match(await console_.page.evaluate(() => navigator.clipboard.readText()), /^<VegaLite \d+ object>$/);
});

const RICH = `from rich.progress import Progress
import time, rich
rich.print("[bold red]hello[/] [green]world[/]")
with Progress(refresh_per_second=30) as p:
    a=p.add_task("outer", total=2); b=p.add_task("inner", total=2)
    for i in range(2):
        for j in range(2):
            time.sleep(.03); p.advance(b)
        p.advance(a); p.print("line", i); p.reset(b) if i == 0 else None
from rich.live import Live
from rich.table import Table
with Live(refresh_per_second=4) as live:
    for n in range(1,4):
        t=Table("n"); [t.add_row(str(k)) for k in range(n)]; live.update(t, refresh=True)
from rich.console import Console
c=Console()
with c.status("working"): time.sleep(.2)
print("end")`;
const recorded = await readFile(new URL("../recorded/rich.txt", import.meta.url), "utf8");
PROGRAMS.rich = { code: RICH, play(cell) { for (let at = 0; at < recorded.length; at += 100) cell.out(recorded.slice(at, at + 100)); } };

test("rich has its colours, and its bars, live tables and spinners are drawn over", async () => {
  const console_ = await having("rich");
  await console_.runTo(1, PROGRAMS.rich.code);
  const shown = await lines(console_, 1);
  const bar = /^(outer|inner) ━+ 100% 0:00:00$/;
  assert.deepEqual(shown.map((line) => bar.exec(line.trim())?.[1] ?? line.trim()).filter((line) => line !== ""),
    ["hello world", "line 0", "line 1", "outer", "inner", "┏━━━┓", "┃ n ┃", "┡━━━┩", "│ 0 │", "│ 1 │", "│ 2 │", "└───┘", "end"]);
  assert.equal(await console_.output(1).locator("span.bold", { hasText: "hello" }).evaluate((element) => element.style.color), "var(--ansi-9)");
});

/** A bundle that is shown as it is, whatever libraries are there. */
const shows = async (console_, name, data) => {
  PROGRAMS[name] = bundle(data);
  await console_.runTo(1, PROGRAMS[name].code);
};

test("what this page cannot draw it names, and says what to do", async () => {
  const console_ = await fresh();
  const note = (text) => console_.output(1).locator(".note", { hasText: text }).waitFor();
  const frame = console_.output(1).frameLocator("iframe");
  await shows(console_, "treemap", { "application/vnd.plotly.v1+json": { data: [{ type: "bar", y: [1, 2] }, { type: "treemap", labels: ["a", "b"], parents: ["", "a"] }], layout: {} }, "text/plain": "fig" });
  await note('This page cannot draw a Plotly chart of the kind treemap. fig.write_html("chart.html")');
  assert.equal(await frame.locator(".main-svg").count(), 0, "nothing else is drawn in its place");
  // Plotly Express makes such a trace of more than a thousand points.
  await shows(console_, "scattergl", { "application/vnd.plotly.v1+json": { data: [{ type: "scattergl", x: [1, 2, 3], y: [2, 1, 3] }, { y: [1, 2] }], layout: {} }, "text/plain": "fig" });
  await frame.locator(".scatterlayer .trace").nth(1).waitFor();
  await shows(console_, "bokeh", { "application/javascript": "1", "application/vnd.bokehjs_exec.v0+json": "", "text/plain": "" });
  await note("HTML(file_html(figure, INLINE))");
});

test("what Bokeh's note advises draws the figure", { skip: !real && "needs Bokeh" }, async (context) => {
  const console_ = await fresh();
  if (!await has(console_, "bokeh")) {
    context.skip("this gateway's Python has no bokeh");
    return the.close();
  }
  await console_.runTo(1, "from bokeh.plotting import figure, show\nfrom bokeh.io import output_notebook\nfrom bokeh.resources import INLINE\noutput_notebook(INLINE)\nfigure = figure(height=200)\nfigure.line([1, 2], [3, 4])\nshow(figure)");
  const advice = await console_.output(1).locator(".note code").last().textContent();
  await console_.runTo(1, advice);
  await console_.output(1).frameLocator("iframe").locator("canvas").first().waitFor();
});

test("a text with formulas in it is a text with formulas in it", async () => {
  const console_ = await fresh();
  const output = console_.output(1);
  const shown = async (name, text, formulas) => {
    await shows(console_, name, { "text/latex": text, "text/plain": "Latex" });
    await output.locator("math").nth(formulas - 1).waitFor();
    assert.equal(await output.locator("math").count(), formulas);
    return output.locator(".prose").innerText();
  };
  assert.match(await shown("prose", "The value is $x^2$.", 1), /^The value is .*\.$/s);
  const text = await shown("longProse", "First \\(a\\) costs 5\\$.\n\nThen $$b^2$$ and \\begin{align} c &= d \\\\ e &= f \\end{align} end", 3);
  assert.match(text, /First [\s\S]* costs 5\$\.[\s\S]*Then[\s\S]*and[\s\S]*end/);
  assert.equal(await output.locator("p", { hasText: "First" }).count(), 1);
  assert.doesNotMatch(text, /\$\$|\\begin/);
});

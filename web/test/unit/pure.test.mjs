import assert from "node:assert/strict";
import { test } from "node:test";
import * as document from "../../dist/pure/document.js";
import { choose } from "../../dist/pure/mime.js";
import { snippetOfCells, snippetOfFrame } from "../../dist/pure/snippet.js";
import * as table from "../../dist/pure/table.js";
import { culprit, places, tracebackLines } from "../../dist/pure/traceback.js";
import * as words from "../../dist/pure/words.js";

test("code survives a link, a Python file and a notebook", async () => {
  const codes = ["print('grüezi 🦀')\nx = 1", "# a comment\n\nx + 1", "s = '# %%'"];
  const made = document.newDocument(codes, "Mine");
  assert.deepEqual(await document.fromFragment(await document.toFragment(codes)), codes);
  assert.deepEqual(document.fromPython(document.toPython(made)), codes);
  const mixed = [{ kind: "markdown", code: "# Title\n\ntext" }, "x = 1", { kind: "raw", code: "as it is" }];
  assert.deepEqual(await document.fromFragment(await document.toFragment(mixed)), mixed);
  assert.deepEqual(document.fromPython(document.toPython(document.newDocument(mixed))), mixed);
  assert.equal(document.toPython(document.newDocument(mixed.slice(0, 1))), "# %% [markdown]\n# # Title\n#\n# text\n");
  await assert.rejects(document.fromFragment("v9.x"));
  await assert.rejects(document.fromFragment("v1.AAAA"));
});

test("a file without marks is one cell, and runs lead to their cell", () => {
  assert.deepEqual(document.fromPython("a = 1\r\nb = 2\r\n"), ["a = 1\nb = 2"]);
  assert.equal(document.cellOfRun("abc.12"), "abc");
  assert.equal(document.cellOfRun("abc"), "abc");
});

test("the richest known form of a value is chosen", () => {
  assert.equal(choose({ "text/plain": "a", "text/html": "b", "application/vnd.dataresource+json": {} }), "application/vnd.dataresource+json");
  assert.equal(choose({ "text/plain": "a", "image/png": "b" }), "image/png");
  assert.equal(choose({ "application/vnd.vegalite.v5+json": {}, "text/plain": "" }), "application/vnd.vegalite.v5+json");
  // Altair's "mimetype" renderer says `.json`, others `+json`, of every version.
  for (const type of ["vegalite.v6.json", "vegalite.v4+json", "vegalite.v5.json", "vegalite.v6.4.1.json", "vega.v5+json", "vega.v6.json"]) {
    assert.equal(choose({ [`application/vnd.${type}`]: {}, "text/html": "<p>", "text/plain": "" }), `application/vnd.${type}`);
  }
  assert.equal(choose({ "application/x-unknown": 1 }), undefined);
});

test("tables sort numbers as numbers and keep what is missing last", () => {
  const made = table.readTable({
    schema: { fields: [{ name: "index", type: "integer" }, { name: "n", type: "number" }], primaryKey: ["index"] },
    data: [{ index: 0, n: 10 }, { index: 1, n: null }, { index: 2, n: 9 }],
  });
  const order = (direction) => table.sorted(made, "n", direction).map((row) => row.values.index);
  assert.deepEqual(order("ascending"), [2, 0, 1]);
  assert.deepEqual(order("descending"), [0, 2, 1]);
  assert.equal(made.columns[0].index, true);
  assert.equal(table.asMarkdown(made).split("\n")[2], "| 0 | 10 |");
  assert.equal(table.readTable({ data: 3 }), null);
});

/** A table of one column, and what its cells say. */
const column = (values, metadata, type = "number") => {
  const made = table.readTable({ schema: { fields: [{ name: "i" }, { name: "n", type }], primaryKey: "i" }, data: values.map((n, i) => ({ i, n })) }, metadata);
  return made.rows.map((row) => made.columns[1].text(row.values.n, row.texts?.n));
};

test("numbers of a table keep their digits, and their points stand in line", () => {
  for (const [values, texts] of [
    [[1795902150.13, 123456789.25], ["1795902150.13", "123456789.25"]],
    [[1.5, 2, 0.25], ["1.50", "2.00", "0.25"]],
    [[1, 2, 3], ["1", "2", "3"]],
    [[47.37688123, 8.54169412], ["47.37688123", "8.54169412"]],
    // Computed ones: six decimals, or fewer where these are zeros.
    [[0.4967141530112327, -0.13826430117118466], ["0.496714", "-0.138264"]],
    [[0.1 + 0.2, 1], ["0.3", "1.0"]],
    [[0.10000000149011612, 0.5], ["0.1", "0.5"]],
    [[1e-7, 0, 12.5], ["1e-7", "0.0", "12.5"]],
    [[1.2345678901e-9, 1 / 3], ["1.234568e-9", "0.333333"]],
    [[2 ** 53, 1e300], ["9007199254740992", "1e+300"]],
    [["Infinity", 1], ["Infinity", "1"]],
    [[-0.5, 100], ["-0.5", "100.0"]],
  ]) assert.deepEqual(column(values), texts);
  assert.deepEqual(column([1 / 3, 2], { precision: 2 }), ["0.33", "2.00"]);
  assert.deepEqual(column([1234.5, null], { text: { n: ["1,234.50 CHF", ""] } }), ["1,234.50 CHF", ""]);
});

test("a column gets the decimals that pages fetched later need, and never fewer", () => {
  const made = table.readTable({ schema: { fields: [{ name: "n", type: "number" }] }, data: [{ n: 1 }, { n: 2.5 }] });
  const [{ text, learn }] = made.columns;
  assert.equal(text(3), "3.0");
  learn([3.25]);
  assert.deepEqual([text(3), text(3.25)], ["3.00", "3.25"]);
  learn([4, 5]);
  assert.equal(text(4), "4.00");
  learn([1 / 3]);
  assert.deepEqual([text(4), text(1 / 3)], ["4.000000", "0.333333"]);
});

test("rows are filtered in any case, and written as CSV that spreadsheets read", () => {
  const made = table.readTable({ schema: { fields: [{ name: "a,b" }, { name: "n", type: "number" }] }, data: [["Say \"hi\"", 1.50], ["two\nlines", null]] });
  assert.deepEqual(table.filtered(made, made.rows, "SAY").map((row) => row.at), [0]);
  assert.deepEqual(table.filtered(made, made.rows, "1.5").map((row) => row.at), [0]);
  assert.deepEqual(table.filtered(made, made.rows, "null"), []);
  assert.equal(table.asCsv(made, made.rows), '"a,b",n\r\n"Say ""hi""",1.5\r\n"two\nlines",\r\n');
  const later = table.readRows(["a", "n"], [["x", 2]], 700, { n: ["2.00 CHF"] });
  assert.deepEqual(later, [{ at: 700, values: { a: "x", n: 2 }, texts: { n: "2.00 CHF" } }]);
});

test("a table says how large it is, and what of it is here", () => {
  const made = (rows, metadata) => table.readTable({
    schema: { fields: [{ name: "index" }, { name: "a" }, { name: "b" }], primaryKey: ["index"] },
    data: Array.from({ length: rows }, (_, index) => ({ index, a: 1, b: 2 })),
  }, metadata);
  assert.equal(table.sizeOf(made(1)), "1 row × 2 columns");
  assert.equal(table.partOf(made(1)), "");
  const cut = made(754, { total_rows: 100_000, total_columns: 2 });
  assert.equal(table.sizeOf(cut), "100,000 rows × 2 columns");
  assert.equal(table.partOf(cut), "the first 754 of 100,000 rows");
  assert.match(table.asText(cut), /\n\(the first 754 of 100,000 rows\)$/);
  const wide = made(1, { total_rows: 2, total_columns: 300 });
  assert.equal(table.partOf(wide), "the first 1 of 2 rows and the first 2 of 300 columns");
});

test("lines of a traceback lead to their cells", () => {
  const frames = [
    { cell: "a.1", file: "<a.1>", line: 3, function: "<module>", source: "f()" },
    { file: "/lib/x.py", line: 3, function: "g", source: "" },
    { cell: "b.2", file: "<b.2>", line: 1, function: "f", source: "1/0" },
  ];
  const lines = ["Traceback (most recent call last):", '  \x1b[35mFile "<a.1>"\x1b[0m, line 3, in <module>', "    f()",
    '  File "/lib/x.py", line 3, in g', '  File "<b.2>", line 1, in f', "ZeroDivisionError"];
  assert.deepEqual(places(lines, frames).map((p) => p && `${p.cell}:${p.line}`), [null, "a.1:3", null, null, "b.2:1", null]);
  assert.deepEqual(culprit(frames), { cell: "b.2", line: 1, function: "f" });
  assert.equal(culprit([]), null);
  assert.deepEqual(tracebackLines(["a\nb\n", "c\n"]), ["a", "b", "c"]);
});

test("every way a cell can end has its words", () => {
  const say = (status, more = {}) => words.ending({ status, state_kept: true, duration_ms: 5000, ...more }, 256 << 20);
  assert.equal(say("ok"), "");
  assert.equal(say("oom", { state_kept: false }), "Ran out of memory: the limit is 256 MiB. The variables are gone.");
  assert.equal(say("timeout"), "Ran out of time after 5.0 s.");
  assert.equal(say("exited", { detail: "the interpreter exited with code 3", state_kept: false }),
    "The interpreter exited with code 3. The variables are gone.");
  for (const status of ["interrupted", "output_limit", "killed", "cancelled", "lost"]) assert.match(say(status), /^[A-Z].*\.$/, status);
});

test("sizes, times and counts read well", () => {
  assert.deepEqual([0, 1, 2, 1536, 256 << 20, 1234567].map(words.bytes), ["0 bytes", "1 byte", "2 bytes", "1.5 KiB", "256 MiB", "1.2 MiB"]);
  assert.deepEqual([0.2, 950, 1234, 59_800, 83_456, 3_720_000].map(words.duration), ["under 1 ms", "950 ms", "1.2 s", "1 min 0 s", "1 min 23 s", "1 h 2 min"]);
  assert.equal(words.count(1_000_000, "line"), "1,000,000 lines");
});

test("code in the HTML for a web page ends no element, and cells stay apart where they may share a session", () => {
  const site = { gateway: "https://play.example/", key: 'pk_a"b', template: null, title: "T" };
  const hostile = snippetOfCells([{ code: "print('</script><img src=x>')" }], site, true);
  assert.match(hostile, /<pre>\nprint\('&lt;\/script&gt;&lt;img src=x&gt;'\)\n<\/pre>/);
  assert.ok(hostile.includes('key="pk_a&quot;b"') && hostile.includes('src="https://play.example/embed.js"'), hostile);
  const count = (text) => text.split("<cellgate-cell").length - 1;
  assert.equal(count(snippetOfCells([{ code: "a = 1" }, { code: "a < 2" }], site, true)), 2);
  const joined = snippetOfCells([{ code: "a = 1" }, { code: "a < 2" }], site, false);
  assert.equal(count(joined), 1);
  assert.equal(count(snippetOfCells([], site, false)), 1);
  const languages = snippetOfCells([{ code: "a = 1" }, { code: "ls", language: "bash" }, { code: "a" }], site, false);
  assert.equal(count(languages), 2);
  assert.ok(languages.includes('language="bash"><script type="text/plain">\nls\n') && languages.includes("\na = 1\n\na\n"), languages);
  assert.ok(joined.includes("\na = 1\n\na < 2\n") && !joined.includes("session="), joined);
  const frame = snippetOfFrame("v1.x", 2, { ...site, key: "pk_a", template: "t" });
  assert.ok(frame.includes('src="https://play.example/?embed=1&amp;key=pk_a&amp;template=t&amp;cells=all#code=v1.x"'), frame);
});

// The tree of files and the reader of CSV, without a page.

import assert from "node:assert/strict";
import { test } from "node:test";
import { FileTree, ordered, problemOfName, ROWS, stepFrom, typedTo } from "../../dist/pure/filetree.js";
import { readCsv } from "../../dist/pure/csv.js";

const entry = (path, more = {}) => ({ path, name: path.split("/").at(-1), kind: "file", size: 1, modified: 1, ...more });
const folder = (path, more = {}) => entry(path, { kind: "directory", size: 0, ...more });
const marks = (tree) => Object.fromEntries(tree.rows().filter(({ mark }) => mark).map(({ entry: { path }, mark }) => [path, mark]));
const paths = (tree) => tree.rows().map((row) => row.entry.path);

test("folders come first, and numbers count as numbers", () => {
  const names = ["b10", "b9", "A", "a", "é", "Z"].map((name) => entry(name));
  assert.deepEqual(ordered([...names, folder("z")]).map(({ name }) => name), ["z", "A", "a", "b9", "b10", "é", "Z"]);
});

test("rows are those of the open folders, with their places", () => {
  const tree = new FileTree();
  tree.take("", [entry("f"), folder("d")], false);
  tree.take("d", [folder("d/e"), entry("d/f")], false);
  assert.deepEqual(paths(tree), ["d", "f"]);
  tree.setOpen("d", true);
  tree.setOpen("d/e", true);
  tree.take("d/e", [], false);
  assert.deepEqual(tree.rows().map(({ entry: one, level, place, of, open }) => [one.path, level, place, of, open]),
    [["d", 1, 1, 2, true], ["d/e", 2, 1, 2, true], ["d/f", 2, 2, 2, null], ["f", 1, 2, 2, null]]);
  assert.deepEqual(tree.seenFolders, ["", "d", "d/e"]);
  tree.setOpen("d", false);
  assert.deepEqual(tree.seenFolders, [""], "what is in a closed folder is not seen");
  tree.take("", [entry("f")], false);
  tree.take("", [entry("f"), folder("d")], false);
  assert.deepEqual(tree.rows()[0].open, false, "one of the same name later is another folder");
});

test("what is new or has changed is marked until it is seen", () => {
  const tree = new FileTree();
  tree.take("", [entry("old"), folder("d"), folder("open")], false);
  assert.deepEqual(marks(tree), {}, "at first nothing is new");
  tree.setOpen("open", true);
  tree.expect("mine");
  tree.take("", [entry("old", { modified: 2 }), folder("d", { modified: 2 }), folder("open", { modified: 2 }), entry("new"), entry("mine")], false);
  assert.deepEqual(marks(tree), { old: "changed", d: "changed", new: "new" });
  assert.equal(tree.seen("old"), true);
  tree.take("", [entry("old", { modified: 2 }), entry("new", { modified: 3 })], false);
  assert.deepEqual(marks(tree), { new: "new" }, "what is new and changes is still new");
  tree.take("", [entry("old", { size: 2, modified: 2 })], false);
  tree.take("", [entry("old", { size: 2, modified: 2 }), entry("new")], false);
  assert.deepEqual(marks(tree), { old: "changed", new: "new" });
  const long = new FileTree();
  long.take("", [entry("a")], true);
  long.take("", [entry("b")], true);
  assert.deepEqual(marks(long), {}, "beyond a listing that was cut nothing is known");
});

test("a long folder has a row for its rest", () => {
  const tree = new FileTree();
  tree.take("", Array.from({ length: ROWS + 3 }, (_, at) => entry(`f${at}`)), false);
  let rows = tree.rows();
  assert.deepEqual([rows.length, rows.at(-1).more, rows.at(-1).place, rows[0].of], [ROWS + 1, 3, ROWS + 1, ROWS + 1]);
  tree.showMore("");
  rows = tree.rows();
  assert.deepEqual([rows.length, rows.at(-1).more], [ROWS + 3, 0]);
});

test("keys step through the rows, and letters find names", () => {
  const tree = new FileTree();
  tree.take("", [folder("d"), entry("alpha"), entry("Beta"), entry("beta2")], false);
  const rows = tree.rows();
  assert.deepEqual(stepFrom(rows, 0, "ArrowRight"), { open: "d" });
  assert.deepEqual(stepFrom(rows, 3, "ArrowDown"), { to: 3 });
  assert.deepEqual(stepFrom(rows, 0, "ArrowLeft"), { to: 0 });
  assert.equal(stepFrom(rows, 0, "x"), null);
  assert.equal(stepFrom([], 0, "Home"), null);
  assert.equal(rows[typedTo(rows, 0, "b")].entry.name, "Beta");
  assert.equal(rows[typedTo(rows, 2, "b")].entry.name, "beta2");
  assert.equal(rows[typedTo(rows, 2, "bb")].entry.name, "beta2", "the same letter goes on");
  assert.equal(rows[typedTo(rows, 2, "beta2")].entry.name, "beta2");
  assert.equal(typedTo(rows, 1, "zz"), 1);
});

test("names that no file can have are told", () => {
  for (const name of ["", " ", "a/b", ".", "..", "é".repeat(128)]) assert.ok(problemOfName(name), name);
  for (const name of ["...", ".hidden", "a b", "é".repeat(127)]) assert.equal(problemOfName(name), null, name);
});

test("CSV is read with quotes, other separators and missing values", () => {
  const read = (text, isWhole = true) => {
    const table = readCsv(text, isWhole);
    return table && [table.schema.fields.map(({ name, type }) => `${name}:${type}`), ...table.data];
  };
  assert.deepEqual(read('\uFEFFa,b\r\n1,"x, ""y""\nz"\r\n2,\r\n'), [["a:integer", "b:string"], [1, 'x, "y"\nz'], [2, ""]]);
  assert.deepEqual(read("a;b\n1,5;2.5\n;1e3\n"), [["a:string", "b:number"], ["1,5", 2.5], ["", 1000]]);
  assert.deepEqual(read("a\tb\n007\t12345678901234567890\n"), [["a:string", "b:string"], ["007", "12345678901234567890"]], "no digit is lost");
  assert.deepEqual(read("a,a,\n1,2,3,4\n"), [["a:integer", "a (2):integer", "column 3:integer", "column 4:integer"], [1, 2, 3, 4]]);
  assert.deepEqual(read("a,b\n1,2\n3,4", false), [["a:integer", "b:integer"], [1, 2]], "half a line is left out");
  assert.deepEqual(read('a,b\n1,2\n3,"4\n', false), [["a:integer", "b:integer"], [1, 2]]);
  assert.deepEqual(read("a,b\n-,.\n"), [["a:string", "b:string"], ["-", "."]]);
  assert.equal(read(""), null);
  assert.equal(read("one line of text"), null);
});

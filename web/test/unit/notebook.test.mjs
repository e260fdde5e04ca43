// Notebooks are read and written again without a loss, and are valid by Jupyter's own library where it is installed.

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { test } from "node:test";
import { newDocument } from "../../dist/pure/document.js";
import { fromNotebook, toNotebook } from "../../dist/pure/notebook.js";
import { shownBy } from "../../dist/pure/notebookoutput.js";
import { NOTEBOOKS } from "../notebooks.mjs";

const LANGUAGE = { name: "python", version: "3.11.2" };
/** A Python that has Jupyter's `nbformat`. */
const python = process.env.CELLGATE_TEST_NOTEBOOK_PYTHON;

/** What `nbformat` says against notebooks, and each as it reads it. */
function judged(texts) {
  const script = "import json, sys, nbformat\nfor text in json.load(sys.stdin):\n    book = nbformat.reads(text, as_version=4)\n    nbformat.validate(book)\n    print(json.dumps(book))";
  const { status, stdout, stderr } = spawnSync(python, ["-c", script], { input: JSON.stringify(texts), encoding: "utf8" });
  assert.equal(status, 0, stderr);
  return stdout.trim().split("\n").map((line) => JSON.parse(line));
}

const outputsOf = (cell) => ({ execution_count: cell.kept?.count ?? null, outputs: cell.kept?.outputs ?? [] });
const written = (made) => toNotebook(made, outputsOf, LANGUAGE);

/** A notebook with its texts joined, in the newest format, without the ids of cells. */
function plain(notebook) {
  const joined = (value) => (Array.isArray(value) && value.every((one) => typeof one === "string") ? value.join("") : value);
  return {
    metadata: notebook.metadata,
    cells: notebook.cells.map(({ id: _, source, outputs, ...cell }) => ({
      ...cell,
      source: joined(source),
      ...(outputs && { outputs: outputs.map((output) => ({
        ...output,
        ...("text" in output && { text: joined(output.text) }),
        ...("data" in output && { data: Object.fromEntries(Object.entries(output.data).map(([type, value]) => [type, joined(value)])) }),
      })) }),
    })),
  };
}

for (const [name, notebook] of Object.entries(NOTEBOOKS)) {
  test(`a notebook (${name}) is written as it was read, but for the ids of its cells`, () => {
    const made = fromNotebook(JSON.stringify(notebook), "file");
    const again = JSON.parse(written(made));
    // One without cells gets an empty one, to write into.
    const expected = notebook.cells.length > 0 ? notebook : { ...notebook, cells: [{ cell_type: "code", metadata: {}, source: "", outputs: [], execution_count: null }] };
    assert.deepEqual(plain(again), plain(expected));
    const twice = fromNotebook(JSON.stringify(again), "file");
    assert.deepEqual(plain(JSON.parse(written(twice))), plain(again));
    assert.ok(new Set(made.cells.map((cell) => cell.id)).size === made.cells.length);
  });
}

test("what is written is valid by Jupyter's own library", { skip: !python && "CELLGATE_TEST_NOTEBOOK_PYTHON names no Python with nbformat" }, () => {
  const texts = Object.values(NOTEBOOKS).map((notebook) => written(fromNotebook(JSON.stringify(notebook), "file")));
  const own = toNotebook({ ...newDocument(["1 + 1", { kind: "markdown", code: "# Title" }, { kind: "raw", code: "raw" }], "Mine") }, (cell) => (cell.code === "1 + 1" ? {
    execution_count: 1,
    outputs: [
      { output_type: "stream", name: "stderr", text: "err\n" },
      { output_type: "display_data", data: { "text/plain": "2" }, metadata: { cellgate: { display_id: "d" } } },
      { output_type: "execute_result", data: { "text/plain": "2" }, metadata: {}, execution_count: 1 },
      { output_type: "error", ename: "E", evalue: "v", traceback: ["E: v"] },
    ],
  } : { execution_count: null, outputs: [] }), LANGUAGE, { abc: { model_name: "M", model_module: "m", model_module_version: "1", state: {} } });
  const books = judged([...texts, own]);
  assert.equal(books.at(-1).metadata.title, "Mine");
  assert.deepEqual(books.at(-1).cells[0].outputs.map((output) => output.output_type), ["stream", "display_data", "execute_result", "error"]);
});

test("what is not a notebook says why", () => {
  assert.throws(() => fromNotebook("{", "x"), /not JSON/);
  assert.throws(() => fromNotebook("[]", "x"), /not a Jupyter notebook/);
  assert.throws(() => fromNotebook("{}", "x"), /no list of cells/);
  assert.throws(() => fromNotebook(JSON.stringify({ nbformat: 3, worksheets: [] }), "x"), /format 3.*nbconvert/);
  assert.throws(() => fromNotebook(JSON.stringify({ nbformat: 4, cells: [3] }), "x"), /cell 1/);
});

test("outputs of a file that are not as the format says harm nothing", () => {
  for (const output of [{ output_type: "stream" }, { output_type: "error" }, { output_type: "display_data", data: 3, metadata: [] }, { output_type: "pyout" }]) shownBy(output);
  assert.deepEqual(shownBy({ output_type: "stream", name: "stderr", text: ["a\n", "b"] }), { type: "stderr", text: "a\nb" });
  assert.deepEqual(shownBy({ output_type: "display_data", data: {}, metadata: { cellgate: { display_id: "d" } } }), { type: "display", data: {}, metadata: { cellgate: { display_id: "d" } }, displayId: "d" });
  const made = fromNotebook(JSON.stringify({ nbformat: 4, cells: [{ cell_type: "code", source: 3, outputs: [null, 5, {}], execution_count: "x" }] }), "x");
  assert.deepEqual([made.cells[0].code, made.cells[0].kept], ["", undefined]);
});

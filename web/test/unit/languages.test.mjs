// Languages of cells, without a page: who executes them, and what files keep of them.

import assert from "node:assert/strict";
import { test } from "node:test";
import { commandOf } from "../../dist/pure/command.js";
import { fromFragment, fromPython, newDocument, toFragment, toPython, written } from "../../dist/pure/document.js";
import { choices, interpreterFor, languageOf, languageTitle } from "../../dist/pure/languages.js";
import { fromNotebook, toNotebook } from "../../dist/pure/notebook.js";
import { staleness, textHash, textsAbove } from "../../dist/pure/stale.js";

const OFFERED = [{ name: "python" }, { name: "javascript" }];
const nothing = () => ({ execution_count: null, outputs: [] });

test("the session's first language is executed by its first interpreter, others by one of their name", () => {
  assert.equal(interpreterFor(undefined, OFFERED), undefined);
  assert.equal(interpreterFor("python", OFFERED), undefined);
  assert.equal(interpreterFor("javascript", OFFERED), "javascript");
  assert.equal(interpreterFor("python", [{ name: "javascript" }]), "python");
  assert.equal(languageOf(undefined, [{ name: "javascript" }]), "javascript");
  assert.equal(languageOf(undefined, []), "python");
  assert.equal(languageTitle("javascript"), "JavaScript");
  assert.equal(languageTitle("ruby"), "Ruby");
});

test("there is a choice where there are several, and what is not offered is not lost", () => {
  assert.deepEqual(choices(undefined, OFFERED), ["python", "javascript"]);
  assert.deepEqual(choices(undefined, [{ name: "python" }]), []);
  assert.deepEqual(choices("bash", [{ name: "python" }]), ["python", "bash"]);
  assert.deepEqual(choices("bash", []), []);
});

test("links and Python files keep languages", async () => {
  const document = newDocument(["x = 1", { kind: "code", code: "ls\n\necho # no", language: "bash" }, { kind: "markdown", code: "# T" }]);
  const cells = document.cells.map(written);
  assert.deepEqual(cells, ["x = 1", { kind: "code", code: "ls\n\necho # no", language: "bash" }, { kind: "markdown", code: "# T" }]);
  assert.deepEqual(await fromFragment(await toFragment(cells)), cells);
  const python = toPython(document);
  assert.match(python, /# %% language="bash"\n# ls\n#\n# echo # no\n/);
  assert.deepEqual(fromPython(python), cells);
  await assert.rejects(fromFragment(await toFragment([{ kind: "code", code: "", language: 3 }])));
  // Text cells have none.
  assert.deepEqual(newDocument(["", { kind: "raw", code: "" }], "", "bash").cells.map((cell) => cell.language), ["bash", undefined]);
});

test("notebooks keep languages in the metadata of cells, and say their own", () => {
  const document = newDocument(["x", { kind: "code", code: "ls", language: "bash" }]);
  const text = toNotebook(document, nothing, { name: "python", version: "3.11" });
  assert.deepEqual(JSON.parse(text).cells.map((cell) => cell.metadata), [{}, { language: "bash" }]);
  assert.deepEqual(fromNotebook(text, "n").cells.map((cell) => cell.language), ["python", "bash"]);
  const node = { nbformat: 4, nbformat_minor: 5, metadata: { kernelspec: { name: "deno", language: "typescript" } }, cells: [{ cell_type: "code", metadata: {}, source: "1", outputs: [] }, { cell_type: "markdown", metadata: {}, source: "t" }] };
  assert.deepEqual(fromNotebook(JSON.stringify(node), "n").cells.map((cell) => cell.language), ["typescript", undefined]);
  // What is read is written again.
  assert.deepEqual(JSON.parse(toNotebook(fromNotebook(text, "n"), nothing, { name: "bash", version: "5" })).cells.map((cell) => cell.metadata), [{}, { language: "bash" }]);
  assert.equal(JSON.parse(toNotebook(newDocument(["1"]), nothing, { name: "javascript", version: "20" })).metadata.kernelspec.display_name, "JavaScript");
});

test("what stands above in another language makes no output stale; another language does", () => {
  const step = (code, order, more = {}) => ({ code, hash: textHash(code), ran: true, ranCode: code, order, changed: order, above: undefined, ...more });
  const python = step("x = 1", 5);
  const other = step("let x", 2, { interpreter: "javascript" });
  assert.deepEqual(staleness([python, other]), [null, null]);
  assert.deepEqual(staleness([python, { ...other, interpreter: undefined }]), [null, "above"]);
  assert.deepEqual(staleness([{ ...python, otherLanguage: true }]), ["edited"]);
  const [first, second, third] = textsAbove([python, other, step("y", 6)]);
  assert.equal(first, second);
  assert.notEqual(first, third);
});

test("a command is written as a shell takes it", () => {
  assert.equal(commandOf(["/bin/sh", "-c", "echo it's"]), String.raw`/bin/sh -c 'echo it'\''s'`);
});

import assert from "node:assert/strict";
import { test } from "node:test";
import { staleness, textHash, textsAbove } from "../../dist/pure/stale.js";

/** Cells that run in the order of `clock`, and a copy of what is known of them. */
class Cells {
  clock = 0;
  constructor(...codes) { this.list = codes.map((code) => ({ code, ran: false, ranCode: undefined, order: undefined, changed: undefined, above: undefined })); }
  /** The cells with the hashes of their texts. */
  get steps() { return this.list.map((cell) => ({ ...cell, hash: textHash(cell.code) })); }
  run(at) {
    const cell = this.list[at];
    const order = this.clock += 1;
    if (cell.changed === undefined || cell.ranCode !== cell.code) cell.changed = order;
    Object.assign(cell, { ran: true, ranCode: cell.code, order, above: textsAbove(this.steps)[at] });
  }
  get stale() { return staleness(this.steps); }
}

test("what ran in order is not stale, nor is what never ran", () => {
  const cells = new Cells("a = 1", "b = a", "a + b");
  assert.deepEqual(cells.stale, [null, null, null]);
  for (const at of [0, 1, 2]) cells.run(at);
  assert.deepEqual(cells.stale, [null, null, null]);
  cells.run(0); // the same code again
  assert.deepEqual(cells.stale, [null, null, null]);
});

test("an edit marks its cell and those below, and going back takes the marks away", () => {
  const cells = new Cells("a = 1", "b = a", "a + b");
  for (const at of [0, 1, 2]) cells.run(at);
  cells.list[0].code = "a = 2";
  assert.deepEqual(cells.stale, ["edited", "above", "above"]);
  cells.list[0].code = "a = 1";
  assert.deepEqual(cells.stale, [null, null, null]);
  cells.list[0].code = "a = 2";
  cells.run(0);
  assert.deepEqual(cells.stale, [null, "above", "above"]);
  cells.run(1);
  assert.deepEqual(cells.stale, [null, null, "above"]);
});

test("cells that come, go and move above count; those below do not", () => {
  const cells = new Cells("a = 1", "b = 2");
  for (const at of [0, 1]) cells.run(at);
  cells.list.splice(1, 0, { code: "  \n", ran: false }); // a blank one
  assert.deepEqual(cells.stale, [null, null, null]);
  cells.list[1].code = "a = 3";
  assert.deepEqual(cells.stale, [null, null, "above"]);
  cells.list.splice(1, 1);
  assert.deepEqual(cells.stale, [null, null]);
  cells.list.reverse();
  assert.deepEqual(cells.stale, ["above", "above"]);
});

test("a cell that ran before one above it first ran is stale", () => {
  const cells = new Cells("a = 1", "print(a)");
  cells.run(1);
  assert.deepEqual(cells.stale, [null, null]);
  cells.run(0);
  assert.deepEqual(cells.stale, [null, "above"]);
});

test("the hash of a text depends on each of its characters and not on the blanks around it", () => {
  assert.equal(textHash("  a = 1\n"), textHash("a = 1"));
  assert.equal(textHash(" \n"), textHash(""));
  const texts = ["", "a = 1", "a = 2", "b = 1", "a  = 1", "a = 1\na = 1", "1 = a", "ä = 1"];
  assert.equal(new Set(texts.map(textHash)).size, texts.length);
});

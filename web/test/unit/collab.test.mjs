// Positions in a shared document, what becomes of a page's own cells when it attaches, and the colours of people.

import assert from "node:assert/strict";
import { test } from "node:test";
import { difference, fateOf } from "../../dist/pure/merge.js";
import { contrast, initials, inkOn, PALETTE } from "../../dist/pure/palette.js";
import { between, isPosition, ordered, spread } from "../../dist/pure/position.js";

test("there is always a position between two others, also after many insertions in one place", () => {
  for (const side of ["behind", "before", "between"]) {
    const all = spread(3);
    for (let n = 0; n < 2000; n += 1) {
      const at = side === "behind" ? all.length : side === "before" ? 0 : 1 + (n % 2);
      const made = between(all[at - 1] ?? "", all[at] ?? null);
      assert.ok(isPosition(made), made);
      assert.ok(made > (all[at - 1] ?? ""), `${made} after ${all[at - 1]}`);
      assert.ok(all[at] === undefined || made < all[at], `${made} before ${all[at]}`);
      all.splice(at, 0, made);
    }
    if (side === "behind") assert.ok(all.at(-1).length <= 4, "cells at the end keep short positions");
  }
});

test("positions of neighbours that have a common beginning or end in the lowest digit", () => {
  for (const [low, high] of [["", "1"], ["", "01"], ["z", null], ["zzzz", null], ["A", "A1"], ["A", "A01"], ["Az", "B"], ["A1", "A2"], ["a", "b"], ["Azz", "B1"]]) {
    for (let n = 0; n < 50; n += 1) {
      const made = between(low, high);
      assert.ok(isPosition(made) && made > low && (high === null || made < high), `${low} < ${made} < ${high}`);
    }
  }
});

test("positions for many cells rise and differ", () => {
  for (const count of [1, 2, 100, 5000]) {
    const all = spread(count);
    assert.deepEqual([...all].sort((a, b) => (a < b ? -1 : 1)), all);
    assert.equal(new Set(all).size, count);
    assert.ok(all.every(isPosition));
  }
});

test("the order goes by position; equal ones as listed, and one without behind the one before it", () => {
  const cell = (name, position) => ({ name, position });
  const order = (cells) => ordered(cells, (one) => one.position).map(({ name }) => name).join("");
  assert.equal(order([cell("c", "C"), cell("a", "A"), cell("b", "B")]), "abc");
  assert.equal(order([cell("x", "M"), cell("y", "M"), cell("a", "A")]), "axy");
  assert.equal(order([cell("b", "B"), cell("-"), cell("a", "A")]), "ab-");
  assert.equal(order([cell("-"), cell("b", "B"), cell("a", "A")]), "-ab");
  assert.equal(order([cell("b", "B"), cell("-", 7), cell("=", "no!"), cell("a", "A")]), "ab-=");
  // By code units: digits, capitals, small letters.
  assert.equal(order([cell("3", "a"), cell("2", "Z"), cell("1", "9")]), "123");
});

test("the smallest change between two texts", () => {
  const apply = (before, { from, to, insert }) => before.slice(0, from) + insert + before.slice(to);
  assert.equal(difference("same", "same"), null);
  assert.deepEqual(difference("print(1)", "print(12)"), { from: 7, to: 7, insert: "2" });
  for (const [before, after] of [["", "a"], ["a", ""], ["aaa", "aa"], ["aa", "aaa"], ["abcabc", "abc"], ["one two", "one or two"], ["🎈", "🎉"], ["a🎈b", "a🎈🎈b"], ["x🎈", "x🎉y"]]) {
    const change = difference(before, after);
    assert.equal(apply(before, change), after);
    assert.equal(change.insert.isWellFormed(), true, `${before} to ${after} inserts whole characters`);
  }
});

test("what becomes of a page's own cell when it attaches", () => {
  const cell = { id: "c", code: "mine", shared: undefined, unsent: false, foreign: false, begun: false };
  const rows = [
    ["it was written here and never shared", {}, undefined, undefined, "add"],
    ["nothing is in it", { code: "  \n" }, undefined, undefined, "leave"],
    ["somebody has deleted it meanwhile", { shared: "s" }, undefined, undefined, "leave"],
    ["it was in the document of another session", { shared: "other" }, undefined, undefined, "add"],
    ["it was deleted while it was written in offline", { shared: "s", unsent: true }, undefined, undefined, "add"],
    ["it is blank, and the user has just made it", { code: "", begun: true }, undefined, undefined, "add"],
    ["it is only shown, as somebody's run", { foreign: true }, undefined, undefined, "leave"],
    ["the document has the same text", {}, "mine", undefined, "take"],
    ["this page has made the document, and was written on since", { code: "mine, longer" }, "mine", "mine", "write"],
    ["others were as quick, and this page was not written on", {}, "theirs", "mine", "take"],
    ["others were as quick, and so was this page", { code: "mine, longer" }, "theirs", "mine", "keep both"],
    ["others have written on while the page was away", { shared: "s" }, "theirs", undefined, "take"],
    ["both have written on while the page was offline", { shared: "s", unsent: true }, "theirs", undefined, "keep both"],
  ];
  for (const [name, own, text, seeded, fate] of rows) assert.equal(fateOf({ ...cell, ...own }, "s", text, seeded), fate, name);
});

test("colours can be read on, and seen on the grounds of both themes", () => {
  for (const color of PALETTE) {
    assert.ok(contrast(color, "#ffffff") >= 4.5, `white on ${color}: ${contrast(color, "#ffffff")}`);
    for (const ground of ["#ffffff", "#1b1e24"]) assert.ok(contrast(color, ground) >= 3, `${color} on ${ground}: ${contrast(color, ground)}`);
    assert.equal(inkOn(color), "#ffffff");
  }
  assert.equal(inkOn("#ffff00"), "#000000");
});

test("initials", () => {
  assert.deepEqual(["Ada Lovelace", "grace", "  ", "guest-12", "🎈 party", "Łukasz van der Berg"].map(initials), ["AL", "G", "?", "G1", "🎈P", "ŁB"]);
});

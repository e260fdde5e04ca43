// What a page knows of the programs of its session, and what it keeps of a terminal.

import assert from "node:assert/strict";
import { test } from "node:test";
import { Programs } from "../../dist/pure/programs.js";

const MAIN = { id: "main", kind: "interpreter", language: "python" };
const SHELL = { id: "terminal", kind: "process", terminal: true, pid: 7, by: "Ada" };

/** A screen that takes parts in when it is told to. */
function screenOf() {
  const told = [];
  const waiting = [];
  return {
    told, waiting,
    write: (part, shown) => { told.push(part.text); waiting.push(shown); },
    begin: () => told.push("begin"),
    exited: (text) => told.push(`exited: ${text}`),
    refused: () => told.push("refused"),
  };
}

const terminal = (seq, text) => ({ type: "terminal", program: "terminal", seq, ts: 0, text });
const opened = (seq, info) => ({ type: "opened", seq, ts: 0, ...info });
const exited = (seq, more) => ({ type: "exited", seq, ts: 0, id: "terminal", ...more });

test("what is replayed does not change which programs are open, what comes later does", () => {
  const programs = new Programs(() => {});
  let changes = 0;
  programs.onChange(() => { changes += 1; });
  programs.begin({ programs: [MAIN], seq: 4 }, false);
  assert.ok(programs.take(opened(1, SHELL)));
  assert.ok(programs.take(exited(3, { code: 0 })));
  assert.deepEqual(programs.all, [MAIN]);
  programs.take(opened(5, { id: "javascript", kind: "interpreter", language: "javascript", version: "20" }));
  programs.take(opened(6, SHELL));
  assert.deepEqual(programs.interpreters, ["javascript"]);
  assert.equal(programs.info("terminal").pid, 7);
  programs.take(exited(7, { signal: "SIGKILL" }));
  assert.equal(programs.info("terminal"), undefined);
  assert.equal(changes, 6);
});

test("output of processes is of no cell, and that of cells is no program's", () => {
  const programs = new Programs(() => {});
  programs.begin({ programs: [MAIN], seq: 0 }, false);
  assert.ok(programs.take({ type: "stdout", seq: 1, ts: 0, program: "server", text: "x" }));
  assert.ok(!programs.take({ type: "stdout", seq: 2, ts: 0, id: "cell", text: "x" }));
  assert.ok(!programs.take({ type: "status", seq: 3, ts: 0, state: "idle" }));
});

test("a screen that opens later shows what was written, and whether it was before the page", () => {
  const programs = new Programs(() => {});
  programs.begin({ programs: [MAIN, SHELL], seq: 2 }, false);
  programs.take(opened(1, SHELL));
  programs.take(terminal(2, "old"));
  programs.take(terminal(3, "new"));
  const parts = [];
  const leave = programs.attach("terminal", { write: (part) => parts.push([part.text, part.replayed]), begin() {}, exited() {} });
  assert.deepEqual(parts, [["old", true], ["new", false]]);
  leave();
  programs.take(terminal(4, "unseen"));
  assert.equal(parts.length, 2);
});

test("nothing is acknowledged before the screen has taken it in", () => {
  let shown = 0;
  const programs = new Programs(() => { shown += 1; });
  programs.begin({ programs: [MAIN, SHELL], seq: 0 }, false);
  const screen = screenOf();
  programs.attach("terminal", screen);
  programs.take(opened(1, SHELL));
  programs.take(terminal(2, "a"));
  programs.take(terminal(3, "b"));
  assert.equal(programs.shownUpTo(9), 1);
  screen.waiting[0]();
  assert.equal(programs.shownUpTo(9), 2);
  screen.waiting[1]();
  assert.equal(programs.shownUpTo(9), 9);
  assert.equal(shown, 2);
});

test("of much output the newest is kept, and it is said that there was more", () => {
  const programs = new Programs(() => {});
  programs.begin({ programs: [MAIN, SHELL], seq: 0 }, false);
  for (let n = 1; n <= 40; n += 1) programs.take(terminal(n, `${n} `.padEnd(1 << 15)));
  const screen = screenOf();
  programs.attach("terminal", screen);
  assert.match(screen.told[0], /earlier output is not kept/);
  assert.equal(screen.told.length, 33);
  assert.match(screen.told.at(-1), /^40 /);
});

test("another shell under the same id, and another session, begin with an empty screen", () => {
  const programs = new Programs(() => {});
  programs.begin({ programs: [MAIN], seq: 0 }, false);
  const screen = screenOf();
  programs.attach("terminal", screen);
  programs.take(opened(1, SHELL));
  programs.take(terminal(2, "a"));
  programs.take(exited(3, { code: 3 }));
  programs.take(opened(4, SHELL));
  programs.take(terminal(5, "b"));
  programs.begin({ programs: [MAIN, SHELL], seq: 5 }, true);
  assert.deepEqual(screen.told, ["begin", "a", "exited: ended with the code 3", "begin", "b"]);
  programs.begin({ programs: [MAIN], seq: 0 }, false);
  assert.equal(screen.told.at(-1), "begin");
  programs.refused("terminal");
  assert.equal(screen.told.at(-1), "refused");
  programs.over();
  assert.deepEqual(programs.all, []);
  assert.equal(programs.shownUpTo(1), 1);
});

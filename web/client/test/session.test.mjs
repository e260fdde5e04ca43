// What the library's `Session` has beside the protocol: forms of results, addresses, and advice.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { ExecutionFailed, Outcome, parseAddress, Session } from "../../dist/client/index.js";
import { startGateway, WebSocket } from "./support.mjs";

let gateway;
let session;
before(async () => {
  gateway = await startGateway();
  session = await Session.connect({ url: `${gateway.url}/#token=${gateway.token}`, WebSocket });
});
after(async () => {
  session.close();
  await gateway.stop();
});

test("results have their forms at hand", async () => {
  const outcome = await session.runCode(`
class Shown:
    def _repr_html_(self): return "<b>é</b>"
    def _repr_markdown_(self): return "**é**"
    def _repr_latex_(self): return "$x$"
    def _repr_svg_(self): return "<svg/>"
    def _repr_png_(self): return b"\\x89PNG\\x00\\xff"
    def _repr_jpeg_(self): return b"\\xff\\xd8"
    def _repr_pdf_(self): return b"%PDF"
    def _repr_json_(self): return {"a": [1]}
    def __repr__(self): return "Shown()"
Shown()`);
  assert.ok(outcome instanceof Outcome);
  const [shown] = outcome.results;
  assert.deepEqual([shown.text, shown.html, shown.markdown, shown.latex, shown.svg, shown.isMainResult], ["Shown()", "<b>é</b>", "**é**", "$x$", "<svg/>", true]);
  assert.deepEqual([...shown.png], [0x89, 0x50, 0x4e, 0x47, 0, 0xff]);
  assert.deepEqual([[...shown.jpeg], String.fromCharCode(...shown.pdf), shown.json], [[0xff, 0xd8], "%PDF", { a: [1] }]);
  assert.deepEqual([outcome.text, outcome.html, [...outcome.png]], ["Shown()", "<b>é</b>", [...shown.png]]);
  const nothing = await session.runCode("x = 1");
  assert.deepEqual([nothing.text, nothing.html, nothing.png, nothing.results], [undefined, undefined, undefined, []]);
});

test("a stream ends with the outcome", async () => {
  const events = session.stream("6 * 7");
  let step = await events.next();
  while (!step.done) step = await events.next();
  assert.equal(step.value.text, "42");
});

test("a cell that failed can be an exception", async () => {
  const failed = await session.runCode("raise ValueError('no')");
  assert.throws(() => failed.raiseForError(), (error) => error instanceof ExecutionFailed && /^the cell raised ValueError: no\n[\s\S]*raise/.test(error.message));
  const timedOut = await session.runCode("while True: pass", { timeoutMs: 100 });
  assert.throws(() => timedOut.raiseForError(), /ended as "timeout"/);
});

test("errors of a connection say what to do", async () => {
  await assert.rejects(Session.connect({ url: gateway.url, token: gateway.token, session: "abcdefghij23", WebSocket }), /open a new session: connect without `session`/);
  const other = await Session.connect({ url: gateway.url, token: gateway.token, WebSocket });
  await other.end();
  await assert.rejects(other.runCode("1"), /open a new session with Session\.connect\(\)/);
});

test("addresses are read as they are printed", () => {
  for (const [given, base, token, id] of [
    ["http://h:1", "http://h:1"], ["h:1", "http://h:1"], ["wss://h/ws", "https://h"], ["https://h/base/", "https://h/base"],
    ["https://h/base/ws", "https://h/base"], ["http://h/#token=a", "http://h", "a"], ["http://h/#session=s&token=a", "http://h", "a", "s"],
    ["ws://h/ws?token=a&session=s", "http://h", "a", "s"],
  ]) {
    const address = parseAddress(given);
    assert.deepEqual([address.base, address.token, address.session], [base, token, id], given);
  }
  for (const wrong of ["ftp://h", "http://", ""]) assert.throws(() => parseAddress(wrong), /not the address of a gateway/);
});

// The client by requests, against a real gateway.

import assert from "node:assert/strict";
import { after, before, describe, test } from "node:test";
import { Client, ExecutionFailed, Refused, RequestFailed, Session, Unauthorised } from "../../dist/client/index.js";
import { startGateway, WebSocket } from "./support.mjs";

let gateway;
let client;
before(async () => {
  gateway = await startGateway();
  client = gateway.client();
});
after(() => gateway.stop());

/** A session that ends with the test. */
async function made(t, options) {
  const session = await client.sessions.create(options);
  t.after(() => session.end().catch(() => { /* the test has ended it */ }));
  return session;
}

describe("one cell in a session of its own", () => {
  test("its outcome has what it printed, showed and raised", async () => {
    const outcome = await client.run("import os, sys\nprint('out'); print('err', file=sys.stderr)\nint(os.environ['N']) * 7", { env: { N: "6" } });
    assert.deepEqual([outcome.ok, outcome.stdout, outcome.stderr, outcome.text, outcome.executionCount], [true, "out\n", "err\n", "42", 1]);
    assert.equal(outcome.raiseForError(), outcome);
    assert.ok(outcome.id && outcome.durationMs > 0 && outcome.usage.output_bytes > 0);
    const failed = await client.run("1 / 0");
    assert.equal(failed.error.name, "ZeroDivisionError");
    assert.throws(() => failed.raiseForError(), (error) => error instanceof ExecutionFailed && /division by zero/.test(error.message) && error.outcome === failed);
    assert.equal((await client.run("import time; time.sleep(60)", { timeoutMs: 200 })).status, "timeout");
  });

  test("its events come as they happen, and leaving ends it with its session", async () => {
    const types = [];
    for await (const event of client.stream("print(1, flush=True)\nimport time; time.sleep(60)")) {
      types.push(event.type);
      if (event.type === "stdout") break;
    }
    assert.deepEqual(types, ["queued", "started", "stdout"]);
    const stop = new AbortController();
    const running = client.run("print('on', flush=True)\nwhile True: pass", { signal: stop.signal, onStdout: () => stop.abort() });
    await assert.rejects(running, { name: "AbortError" });
    await until(async () => (await client.sessions.list()).length === 0);
  });
});

test("a session is made with its files and variables, listed, and ended", async (t) => {
  const session = await made(t, { files: { "data/a.txt": "naïve 🦀" }, env: { MODE: "test" }, idleTimeoutMs: 60_000, lifetimeMs: 600_000 });
  assert.equal((await session.runCode("import os\nopen('data/a.txt', encoding='utf-8').read() + os.environ['MODE']")).text, "'naïve 🦀test'");
  assert.deepEqual((await client.sessions.list()).map(({ id }) => id), [session.id]);
  const info = await client.sessions.get(session.id);
  assert.deepEqual([info.id, info.state, info.cells, (await session.info()).template], [session.id, "idle", 1, info.template]);
  // Another program comes back with the id and the token.
  const again = new Client({ url: gateway.url, token: session.token }).sessions.open(session.id);
  assert.equal((await again.runCode("os.environ['MODE']")).text, "'test'");
  await client.sessions.end(session.id);
  await assert.rejects(session.runCode("1"), (error) => error instanceof RequestFailed && /over/.test(error.message));
});

test("the same idempotency key makes one session, another body with it is refused", async (t) => {
  const first = await made(t, { idempotencyKey: "once" });
  const second = await client.sessions.create({ idempotencyKey: "once" });
  assert.deepEqual([second.id, second.token], [first.id, first.token]);
  await assert.rejects(client.sessions.create({ idempotencyKey: "once", env: { A: "b" } }), { name: "RequestFailed", status: 422 });
});

test("a cell is told of, waited for, and its id is used once", async (t) => {
  const session = await made(t);
  const id = await session.submit("print('in the background')\nimport time; time.sleep(0.3)\n6 * 7", { id: "mine" });
  assert.equal(id, "mine");
  assert.match((await session.cell("mine")).state, /queued|running/);
  const outcome = await session.wait("mine");
  assert.deepEqual([outcome.stdout, outcome.text, outcome.id], ["in the background\n", "42", "mine"]);
  const report = await session.cell("mine");
  assert.deepEqual([report.state, report.status, report.stdout, report.text, report.omittedBytes], ["done", "ok", "in the background\n", "42", 0]);
  await assert.rejects(session.output("mine"), /all of it was shown/);
  await assert.rejects(session.runCode("1", { id: "mine" }), (error) => error instanceof Refused && error.code === "duplicate_id" && /leave `id` out/.test(error.message));
  await assert.rejects(session.wait("nobody's"), { status: 404 });
});

test("aborting a cell interrupts it, leaving its loop does too, and detaching does not", async (t) => {
  const session = await made(t);
  const stop = new AbortController();
  const stopped = await session.runCode("kept = 1\nprint('on', flush=True)\nwhile True: pass", { signal: stop.signal, onStdout: () => stop.abort() });
  assert.deepEqual([stopped.status, stopped.stdout, stopped.stateKept], ["interrupted", "on\n", true]);
  assert.equal((await session.runCode("while True: pass", { signal: AbortSignal.abort() })).status, "interrupted");
  for await (const event of session.stream("print('on', flush=True)\nwhile True: pass", { id: "left" })) if (event.type === "stdout") break;
  assert.equal((await session.wait("left")).status, "interrupted");
  for await (const event of session.stream("print('on', flush=True)\nimport time; time.sleep(0.3); kept", { id: "detached", detach: true })) if (event.type === "stdout") break;
  assert.equal((await session.wait("detached")).text, "1");
  // A handler that throws ends the cell, and the error is its caller's.
  await assert.rejects(session.runCode("print('on', flush=True)\nwhile True: pass", { id: "thrown", onStdout() { throw new TypeError("mine"); } }), { message: "mine" });
  assert.equal((await session.wait("thrown")).status, "interrupted");
});

test("input is answered, the interpreter interrupted and replaced", async (t) => {
  const session = await made(t);
  assert.equal((await session.runCode("name = input('Who? ')\nname", { onInput: ({ prompt }) => `${prompt}Ada` })).text, "'Who? Ada'");
  assert.equal((await session.runCode("input()", { onInput: () => null })).error.name, "EOFError");
  assert.equal((await session.runCode("input()")).ok, false);
  const running = session.runCode("print('on', flush=True)\nwhile True: pass", { onStdout: () => void session.interrupt() });
  assert.equal((await running).status, "interrupted");
  await assert.rejects(session.interrupt("nobody's"), { status: 409 });
  await session.restart();
  assert.equal((await session.runCode("name")).error.name, "NameError");
});

test("events are read from any point, and end with the session", async (t) => {
  const session = await made(t);
  await session.runCode("print('first')");
  const seq = session.lastSeq;
  await session.runCode("print('second')");
  const all = [];
  let ended = false;
  for await (const event of session.events({ after: seq })) {
    assert.ok(event.seq > seq);
    if (event.type === "stdout") all.push(event.text);
    if (event.type === "done" && !ended) { ended = true; await session.end(); }
  }
  assert.deepEqual(all, ["second\n"]);
  const stop = new AbortController();
  stop.abort();
  for await (const event of session.events({ signal: stop.signal })) assert.fail(event.type);
});

test("what happens to files is told until the loop is left, the directory goes, or the watch is aborted", async (t) => {
  const session = await made(t);
  const watch = await session.files.watch("", { recursive: true });
  await session.runCode("import os; os.mkdir('dir é'); open('f', 'w').write('text'); os.rename('f', 'g'); os.remove('g')");
  const events = [];
  for await (const event of watch) {
    events.push(event);
    if (event.type === "removed") break;
  }
  assert.deepEqual(events, [
    { type: "created", path: "dir é", kind: "directory" },
    { type: "created", path: "f", kind: "file" },
    { type: "written", path: "f", kind: "file" },
    { type: "renamed", path: "f", to: "g", kind: "file" },
    { type: "removed", path: "g", kind: "file" },
  ]);
  assert.equal((await watch.next()).done, true);

  const inner = await session.files.watch("dir é");
  const abort = new AbortController();
  const aborted = await session.files.watch("", { signal: abort.signal });
  await session.files.remove("dir é");
  assert.deepEqual(await inner.next(), { done: false, value: { type: "removed", path: "dir é", kind: "directory" } });
  assert.equal((await inner.next()).done, true);
  await aborted.next();
  const next = aborted.next();
  abort.abort(new Error("enough"));
  await assert.rejects(next, /enough/);
  await assert.rejects(session.files.watch("none"), (error) => error instanceof RequestFailed && error.status === 404);
});

test("files, share links and the document", async (t) => {
  const session = await made(t);
  await assert.rejects(session.files.get("dir é/a.txt"), (error) => error instanceof RequestFailed && error.status === 404);
  assert.equal(await session.files.makeDirectory("dir é"), true);
  await session.files.put("dir é/a.txt", "text");
  assert.equal(await (await session.files.get("dir é/a.txt")).text(), "text");
  assert.deepEqual((await session.files.list("dir é")).entries.map(({ name }) => name), ["a.txt"]);
  const about = await session.files.stat("dir é/a.txt");
  assert.deepEqual(about, (await session.files.list("dir é")).entries[0]);
  assert.deepEqual([about.kind, about.size, about.mode], ["file", 4, 0o644]);
  await assert.rejects(session.files.stat("dir é/none"), (error) => error.status === 404);
  await session.files.move("dir é/a.txt", "b.txt");
  await session.files.remove("b.txt");

  const link = await session.sharing.createLink({ role: "editor", edit: false, expiresInMs: 60_000 });
  assert.deepEqual([link.role, link.edit, link.url.startsWith(`${gateway.url}/#session=${session.id}&token=`)], ["editor", false, true]);
  const guest = await Session.connect({ url: link.url, WebSocket });
  t.after(() => guest.close());
  assert.deepEqual([guest.id, guest.role, guest.mayRun, guest.mayEdit], [session.id, "editor", true, false]);
  assert.equal((await guest.runCode("6 * 7")).text, "42");
  await assert.rejects(guest.sharing.tokens(), { name: "Forbidden", status: 403 });
  await session.sharing.changeRights(guest.ready.participant, { role: "viewer" });
  await until(() => guest.role === "viewer");
  assert.ok((await session.sharing.tokens()).some(({ id, link: isLink }) => id === link.id && isLink));
  await session.sharing.revoke(link.id);
  assert.equal((await guest.closed).kind, "unauthorised");

  const cells = [{ id: "one", kind: "code", source: "1 + 1" }, { id: "two", kind: "markdown", source: "# Text" }];
  assert.deepEqual([await session.document.fill(cells, "Mine"), await session.document.fill(cells)], [true, false]);
  await session.runCode("1 + 1", { cell: "one" });
  const read = await session.document.read();
  assert.deepEqual([read.title, read.cells.map(({ source }) => source)], ["Mine", ["1 + 1", "# Text"]]);
  const notebook = JSON.parse(await (await session.document.export()).text());
  assert.deepEqual(notebook.cells[0].outputs[0].data["text/plain"], "2");
  assert.match(await (await session.document.export("py")).text(), /# %%/);
});

test("what is refused says what to do", async (t) => {
  await assert.rejects(new Client({ url: gateway.url, token: "wrong" }).run("1"), (error) => error instanceof Unauthorised && /check the token/.test(error.message));
  await assert.rejects(client.sessions.create({ template: "none-such" }), (error) => error instanceof RequestFailed && error.status === 404 && /template/.test(error.message));
  await assert.rejects(new Client({ url: "http://127.0.0.1:9", token: "x" }).run("1"), /127\.0\.0\.1:9.*npx cellgate serve/);
  await assert.rejects(Session.connect({ url: "http://127.0.0.1:9", token: "x", WebSocket }), /check the address/);
  assert.throws(() => new Client({ url: "ftp://example.org" }), /not the address of a gateway/);
  const small = await startGateway(["--sessions", "1", "--waiting-timeout", "0s"]);
  t.after(() => small.stop());
  const full = small.client();
  const only = await full.sessions.create();
  await assert.rejects(full.sessions.create(), (error) => error.name === "GatewayBusy" && error.retryAfterMs > 0 && /--sessions/.test(error.message));
  await only.end();
});

/** Waits until something is so. */
async function until(condition) {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    assert.ok(Date.now() < deadline, `not within 20 s: ${condition}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

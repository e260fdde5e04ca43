import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import WebSocket from "ws";
import { ConnectionClosed, Refused, RequestFailed, Session } from "../../dist/client/index.js";
import { FakeGateway } from "../fake/gateway.mjs";

let gateway;
let sessions;

beforeEach(() => { sessions = []; });
afterEach(async () => {
  for (const session of sessions) session.close();
  await gateway.close();
});

async function start(script, options = {}) {
  gateway = await new FakeGateway({ ...(script && { script }), ...options }).listen();
}

async function connect(options = {}, listener) {
  const session = await Session.connect(
    { url: gateway.url, token: "secret", WebSocket, minDelayMs: 5, maxDelayMs: 20, ...options }, listener);
  sessions.push(session);
  return session;
}

/** A promise with its handles. */
function deferred() {
  let resolve;
  const promise = new Promise((r) => { resolve = r; });
  return { promise, resolve };
}

/** The first event that `pick` accepts. */
function next(session, pick) {
  return new Promise((resolve) => {
    const stop = session.listen({ event(event) { if (pick(event)) { stop(); resolve(event); } } });
  });
}

test("a cell streams to its handlers and its outcome has everything", async () => {
  await start(async (code, cell) => {
    cell.out("one\n");
    cell.err("careful\n");
    cell.display({ "text/plain": "shown" }, { display_id: "d" });
    cell.display({ "text/plain": "changed" }, { display_id: "d", update: true });
    cell.out("two\n");
    cell.result({ "text/plain": "42" });
  });
  const session = await connect();
  const seen = [];
  const outcome = await session.runCode("anything", {
    id: "mine",
    onStarted: (count) => seen.push(["started", count]),
    onStdout: (text) => seen.push(["out", text]),
    onStderr: (text) => seen.push(["err", text]),
    onDisplay: (data) => seen.push(["display", data["text/plain"]]),
    onResult: (data) => seen.push(["result", data["text/plain"]]),
  });
  assert.deepEqual(seen, [
    ["started", 1], ["out", "one\n"], ["err", "careful\n"], ["display", "shown"], ["display", "changed"],
    ["out", "two\n"], ["result", "42"],
  ]);
  assert.equal(outcome.id, "mine");
  assert.equal(outcome.stdout, "one\ntwo\n");
  assert.equal(outcome.stderr, "careful\n");
  assert.deepEqual(outcome.displays.map((d) => d.data["text/plain"]), ["changed"]);
  assert.equal(outcome.ok, true);
  assert.equal(outcome.executionCount, 1);
});

test("the token travels as a subprotocol and never in the address", async () => {
  await start();
  await connect({ name: "Ada", token: "sécret?" }).catch(() => {});
  const upgrade = gateway.upgrades[0];
  assert.deepEqual(upgrade.query, { name: "Ada" });
  assert.deepEqual(upgrade.protocols, ["cellgate.v1", "cellgate.bearer.c8OpY3JldD8"]);
});

test("a message of a comm is run without a cell, and a refusal is told", async () => {
  await start();
  const refused = [];
  const session = await connect({}, { refused: ({ id }) => refused.push(id) });
  const started = next(session, (event) => event.type === "started");
  const echo = next(session, (event) => event.type === "comm_msg");
  const message = { type: "comm_msg", comm_id: "c", data: { method: "update", state: { value: 1 }, buffer_paths: [] }, id: "m" };
  session.sendComm(message);
  assert.deepEqual([(await started).id, (await started).comm_id, (await started).code], ["m", "c", ""]);
  assert.equal((await echo).data.method, "echo_update");
  session.sendComm(message);
  await session.ping();
  assert.deepEqual(refused, ["m"]);
});

test("options of a cell reach the wire, and only those that were given", async () => {
  await start();
  const session = await connect();
  await session.runCode("x", {
    id: "a", cell: "n", timeoutMs: 5, stopOnError: true, silent: true, storeHistory: false, userExpressions: { v: "1" }, env: { A: "b" },
    allowInput: true,
  });
  await session.runCode("y", { id: "b" });
  const [full, plain] = gateway.received.filter((m) => m.type === "execute");
  assert.deepEqual(full, {
    type: "execute", code: "x", id: "a", cell: "n", timeout_ms: 5, stop_on_error: true, silent: true, store_history: false,
    user_expressions: { v: "1" }, env: { A: "b" }, allow_input: true,
  });
  assert.deepEqual(plain, { type: "execute", code: "y", id: "b", allow_input: false });
});

test("a message on a comm settles like a cell, and those of the code are events", async () => {
  await start();
  const session = await connect();
  const sent = deferred();
  const [other] = gateway.sessions.values();
  other.receive = (socket, text) => {
    const said = JSON.parse(text);
    if (said.type !== "comm_msg") return; // credit
    sent.resolve(said);
    other.emit("started", { id: "m", code: "", by: "", comm_id: "w" });
    other.emit("comm_msg", { comm_id: "w", data: { value: 2 } });
    other.emit("done", { id: "m", status: "ok", duration_ms: 1, state_kept: true, usage: {} });
  };
  const heard = next(session, (event) => event.type === "comm_msg");
  const message = { type: "comm_msg", comm_id: "w", data: { value: 1 }, id: "m" };
  const outcome = await session.comm(message);
  assert.equal(outcome.ok, true);
  assert.deepEqual(await sent.promise, message);
  assert.deepEqual((await heard).data, { value: 2 });
});

test("input is answered by the handler, and null ends it", async () => {
  await start(async (code, cell) => {
    cell.out(`first ${await cell.input("a? ")}, then ${await cell.input("b? ", true)}`);
  });
  const session = await connect();
  const asked = [];
  const { stdout } = await session.runCode("", {
    onInput(request) {
      asked.push([request.prompt, request.password]);
      return asked.length === 1 ? "yes" : null;
    },
  });
  assert.equal(stdout, "first yes, then null");
  assert.deepEqual(asked, [["a? ", false], ["b? ", true]]);
});

test("aborting the signal interrupts the cell, and the promise says so", async () => {
  await start(async (code, cell) => { cell.out("running"); await cell.interrupted; });
  const session = await connect();
  const abort = new AbortController();
  const outcome = await session.runCode("loop", { signal: abort.signal, onStdout: () => abort.abort() });
  assert.equal(outcome.status, "interrupted");
  assert.equal(outcome.error.name, "KeyboardInterrupt");
});

test("a refused cell rejects with the code of the refusal", async () => {
  await start();
  const session = await connect();
  await session.runCode("x", { id: "twice" });
  await assert.rejects(session.runCode("x", { id: "twice" }), (error) =>
    error instanceof Refused && error.code === "duplicate_id" && error.id === "twice");
});

test("a broken connection resumes, and nothing is seen twice or missed", async () => {
  const broken = deferred();
  await start(async (code, cell) => {
    for (let n = 0; n < 5; n += 1) cell.out(`${n} `);
    gateway.breakConnections();
    for (let n = 5; n < 10; n += 1) cell.out(`${n} `);
    await broken.promise;
    cell.out("end");
  });
  const states = [];
  const session = await connect({}, {
    connection: (state) => states.push(state.state),
    ready: (ready, resumed) => { if (resumed) broken.resolve(); },
  });
  const { stdout, status } = await session.runCode("count");
  assert.equal(stdout, "0 1 2 3 4 5 6 7 8 9 end");
  assert.equal(status, "ok");
  assert.deepEqual(states.filter((s) => s !== "connecting"), ["open", "waiting", "open"]);
  const resumed = gateway.upgrades[1].query;
  assert.equal(resumed.session, session.id);
  assert.ok(Number(resumed.after) > 0);
});

test("a cell sent into a broken connection runs once, after the next one", async () => {
  await start();
  const session = await connect();
  const lost = new Promise((resolve) => session.listen({ connection: (s) => { if (s.state === "waiting") resolve(); } }));
  gateway.breakConnections();
  await lost;
  const { stdout } = await session.runCode("later");
  assert.equal(stdout, "later\n");
  assert.equal(gateway.received.filter((m) => m.type === "execute").length, 1);
});

test("who comes back with its own token takes its own place, and by a link two are two", async () => {
  await start();
  const owner = await connect();
  const link = await owner.files.share("editor");
  const [ada, bob] = [await connect({ session: owner.id, token: link }), await connect({ session: owner.id, token: link })];
  assert.notEqual(ada.token, bob.token);
  const again = await connect({ session: owner.id, token: ada.token });
  assert.equal((await ada.closed).kind, "replaced");
  assert.equal(again.token, ada.token);
  assert.equal(bob.connection.state, "open");
  const told = new Promise((resolve) => owner.listen({ participants: (list) => { if (list.length === 2) resolve(list); } }));
  again.close();
  assert.deepEqual((await told).map(({ role }) => role), ["owner", "editor"]);
  assert.equal(owner.participants.length, 2);
});

test("a gap is surfaced, and a cell whose end it swallowed is lost, not stuck", async () => {
  await start(async (code, cell) => {
    cell.out("begun");
    gateway.turnAway.push(1011);
    gateway.breakConnections();
    for (let n = 0; n < 50; n += 1) cell.out("x");
  }, { logEvents: 1 });
  const gaps = [];
  const session = await connect({}, { gap: (gap) => gaps.push(gap) });
  const outcome = await session.runCode("flood");
  assert.equal(gaps.length, 1);
  assert.ok(gaps[0].to > gaps[0].from);
  assert.equal(outcome.stdout, "begun");
  assert.equal(outcome.status, "lost");
});

test("iterating gives events in order and ends when the session does", async () => {
  await start();
  const session = await connect();
  const events = session.events();
  await session.runCode("hello");
  await session.end();
  const types = [];
  let last = 0;
  for await (const event of events) {
    assert.ok(event.seq > last);
    last = event.seq;
    types.push(event.type);
  }
  assert.deepEqual(types.filter((t) => t !== "status"), ["queued", "started", "stdout", "done", "ended"]);
});

test("streaming a cell yields its events alone, and leaving early interrupts it", async () => {
  await start(async (code, cell) => { cell.out("1"); cell.out("2"); await cell.interrupted; });
  const session = await connect();
  const seen = [];
  const ended = next(session, (event) => event.type === "done");
  for await (const event of session.stream("forever", { id: "s" })) {
    assert.equal(event.id, "s");
    seen.push(event.type);
    if (seen.length === 3) break;
  }
  assert.deepEqual(seen, ["queued", "started", "stdout"]);
  assert.equal((await ended).status, "interrupted");
});

test("credit: output never exceeds the window and never stops", async () => {
  const line = "x".repeat(1000);
  await start(async (code, cell) => { for (let n = 0; n < 400; n += 1) cell.out(line); }, { windowBytes: 16 << 10 });
  const session = await connect();
  const { stdout } = await session.runCode("flood");
  assert.equal(stdout.length, 400_000);
  const [socket] = gateway.sockets;
  assert.ok(socket.mostOutstanding <= 16 << 10, `${socket.mostOutstanding} bytes outstanding`);
  const acks = gateway.received.filter((m) => m.type === "ack");
  assert.ok(acks.length > 20 && acks.length < 200, `${acks.length} acks`);
});

test("credit: an iterator that does not read holds the output back", async () => {
  await start(async (code, cell) => { for (let n = 0; n < 40; n += 1) cell.out("x".repeat(1000)); }, { windowBytes: 8 << 10 });
  const session = await connect();
  const events = session.events();
  let received = 0;
  session.listen({ event: (event) => { if (event.type === "stdout") received += 1; } });
  const outcome = session.runCode("flood");
  // A ping is answered behind everything that could be sent: then the window is full.
  await session.ping();
  await session.ping();
  assert.ok(received > 0 && received < 10, `${received} received`);
  for await (const event of events) if (event.type === "done") break;
  assert.equal((await outcome).stdout.length, 40_000);
});

test("completion counts characters on the wire and UTF-16 units here", async () => {
  await start();
  const session = await connect();
  const code = "'🦀🦀'; pri";
  const reply = await session.complete(code, code.length);
  assert.deepEqual(reply, { matches: ["print"], types: ["function"], start: code.length - 3, end: code.length, busy: false });
  assert.equal(gateway.received.at(-1).cursor, Array.from(code).length);
  assert.equal((await session.inspect("print", 3)).found, true);
  assert.deepEqual((await session.isComplete("for x in y:")).status, "incomplete");
  assert.ok((await session.ping()) >= 0);
});

test("restart cancels what waits and the interpreter is a fresh one", async () => {
  await start(async (code, cell) => { await cell.interrupted; });
  const session = await connect();
  const running = session.runCode("one");
  const waiting = session.runCode("two");
  await next(session, (event) => event.type === "started");
  const restarted = next(session, (event) => event.type === "restarted");
  session.restart();
  assert.equal((await running).status, "killed");
  assert.equal((await waiting).status, "cancelled");
  assert.equal((await restarted).reason, "requested");
});

for (const [code, kind, resumable] of [
  [4401, "unauthorised", false], [4404, "no_session", false], [1013, "no_capacity", true], [4429, "too_many_requests", true],
]) {
  test(`close code ${code} before ready rejects as ${kind}`, async () => {
    await start();
    gateway.turnAway.push(code);
    await assert.rejects(connect(), (error) =>
      error instanceof ConnectionClosed && error.kind === kind && error.code === code && error.resumable === resumable);
  });
}

test("a final close code ends the session: promises settle, nothing reconnects", async () => {
  await start(async (code, cell) => { cell.session.end("idle", "nobody used it", 4408); await cell.interrupted; });
  const session = await connect();
  await assert.rejects(session.runCode("x"), (error) => error.kind === "expired");
  assert.equal((await session.closed).code, 4408);
  assert.equal(session.connection.state, "closed");
  assert.equal(gateway.upgrades.length, 1);
  await assert.rejects(session.runCode("y"), ConnectionClosed);
});

test("files and share tokens go over HTTP with the session's token", async () => {
  await start();
  const session = await connect();
  await session.files.put("data/ü.txt", "hello");
  assert.equal(await (await session.files.get("data/ü.txt")).text(), "hello");
  const token = await session.files.share("viewer");
  const viewer = await connect({ session: session.id, token, name: "Grace" });
  assert.equal(viewer.role, "viewer");
  await assert.rejects(viewer.runCode("x"), (error) => error.code === "forbidden");
});

test("an owner changes what a participant may do, who sees it in the list", async () => {
  await start();
  const session = await connect({ name: "Ada" });
  const link = await session.files.grant("editor", { edit: false });
  assert.deepEqual([link.role, link.run, link.edit], ["editor", undefined, false]);
  const eve = await connect({ session: session.id, token: link.token, name: "Eve" });
  assert.deepEqual([eve.role, eve.mayRun, eve.mayEdit], ["editor", true, false]);
  const changed = (fits) => new Promise((resolve) => {
    const stop = eve.listen({ participants: () => { if (fits()) { stop(); resolve(); } } });
  });
  let seen = changed(() => !eve.mayRun);
  await session.files.changeRights(eve.ready.participant, { run: false, edit: true });
  await seen;
  assert.deepEqual([eve.role, eve.mayEdit], ["editor", true]);
  await assert.rejects(eve.runCode("x"), (error) => error.code === "forbidden" && /right to run/.test(error.message));
  seen = changed(() => eve.role === "viewer");
  await session.files.changeRights(eve.ready.participant, { role: "viewer" });
  await seen;
  assert.deepEqual([eve.mayRun, eve.mayEdit], [false, false]);
  await assert.rejects(session.files.changeRights(session.ready.participant, { role: "editor" }),
    (error) => error instanceof RequestFailed && error.status === 409);
});

test("an owner lists tokens, revokes a link, and shows a participant out", async () => {
  await start();
  const session = await connect({ name: "Ada" });
  const [watch, work] = [await session.files.grant("viewer"), await session.files.grant("editor")];
  const viewer = await connect({ session: session.id, token: watch.token, name: "Grace" });
  const editor = await connect({ session: session.id, token: work.token, name: "Eve" });
  const listed = await session.files.tokens();
  assert.deepEqual(listed.filter(({ link }) => link).map(({ id, role, expires }) => ({ id, role, expires })),
    [{ id: watch.id, role: "viewer", expires: null }, { id: work.id, role: "editor", expires: null }]);
  assert.ok(!JSON.stringify(listed).includes(watch.token), "never the secrets");
  await assert.rejects(editor.files.tokens(), (error) => error instanceof RequestFailed && error.status === 403);
  await session.files.revoke(watch.id);
  assert.equal((await viewer.closed).code, 4401);
  await session.files.showOut(editor.ready.participant);
  assert.equal((await editor.closed).code, 4401);
  await assert.rejects(session.files.revoke(watch.id), (error) => error instanceof RequestFailed && error.status === 404);
});

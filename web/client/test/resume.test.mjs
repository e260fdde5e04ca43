// Connections that break in the middle: nothing is lost, nothing comes twice, and each cell runs once.

import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { Client, ConnectionClosed, Session } from "../../dist/client/index.js";
import { CuttingProxy, NOISE, sha256, startGateway, WebSocket } from "./support.mjs";

let gateway;
before(async () => { gateway = await startGateway(); });
after(() => gateway.stop());

async function proxyFor(t) {
  const proxy = await CuttingProxy.before(gateway.url);
  t.after(() => proxy.close());
  return proxy;
}

/** A session by requests through a proxy. */
async function sessionThrough(proxy, t, options = {}) {
  const session = await new Client({ url: proxy.url, token: gateway.token, ...options }).sessions.create();
  t.after(() => gateway.client().sessions.open(session.id, session.token).end().catch(() => { /* its gateway has ended */ }));
  return session;
}

test("over a WebSocket, output is byte-exact over cut connections", async (t) => {
  const proxy = await proxyFor(t);
  const session = await Session.connect({ url: proxy.url, token: gateway.token, WebSocket, minDelayMs: 20 });
  proxy.cutAfter = 700_000;
  proxy.cut(); // the first connection was made without an end
  const parts = [];
  const done = await session.runCode(NOISE, { onStdout: (text) => parts.push(text) });
  proxy.cutAfter = Infinity;
  assert.equal(done.status, "ok");
  assert.ok(proxy.cuts >= 4, `${proxy.cuts} cuts`);
  assert.equal(`'${sha256(parts.join(""))}'`, done.text);
  assert.equal(`'${sha256(done.stdout)}'`, done.text);
  assert.deepEqual([done.outputLost, done.executionCount], [false, 1]);
  assert.equal((await session.runCode("line")).text, "39999");
  await session.end();
});

test("by requests, output is byte-exact over cut connections", async (t) => {
  const proxy = await proxyFor(t);
  const session = await sessionThrough(proxy, t);
  proxy.cutAfter = 700_000;
  proxy.cut();
  const parts = [];
  const done = await session.runCode(NOISE, { onStdout: (text) => parts.push(text) });
  proxy.cutAfter = Infinity;
  assert.equal(done.status, "ok");
  assert.ok(proxy.cuts >= 4, `${proxy.cuts} cuts`);
  assert.equal(`'${sha256(parts.join(""))}'`, done.text);
  assert.equal(`'${sha256(done.stdout)}'`, done.text);
  assert.deepEqual([done.outputLost, done.executionCount], [false, 1]);
  assert.equal((await session.runCode("line")).text, "39999");
});

test("events by requests are each told once, in their order, over cut connections", async (t) => {
  const proxy = await proxyFor(t);
  const session = await sessionThrough(proxy, t);
  await session.submit(NOISE, { id: "noise" });
  proxy.cutAfter = 500_000;
  proxy.cut();
  let [text, value, last] = ["", "", 0];
  for await (const event of session.events()) {
    assert.notEqual(event.type, "gap");
    assert.equal(event.seq, last + 1);
    last = event.seq;
    if (event.type === "stdout") text += event.text;
    if (event.type === "result") value = event.data["text/plain"];
    if (event.type === "done") break;
  }
  proxy.cutAfter = Infinity;
  assert.ok(proxy.cuts >= 5, `${proxy.cuts} cuts`);
  assert.equal(`'${sha256(text)}'`, value);
});

test("a request whose answer is lost makes one session, and runs its cell once", async (t) => {
  const proxy = await proxyFor(t);
  const client = new Client({ url: proxy.url, token: gateway.token });
  await client.sessions.list();
  /** Lets requests through and cuts the answer, once; then all is well. */
  const loseAnswer = () => {
    proxy.cut();
    const { cuts } = proxy;
    proxy.cutAfter = 0;
    const watch = setInterval(() => { if (proxy.cuts > cuts) { proxy.cutAfter = Infinity; clearInterval(watch); } }, 1);
  };
  const already = (await client.sessions.list()).length;
  loseAnswer();
  const session = await client.sessions.create();
  assert.equal((await client.sessions.list()).length, already + 1);
  await session.runCode("count = 0");
  for (let n = 1; n <= 5; n += 1) {
    loseAnswer();
    assert.equal((await session.runCode("count += 1; count")).text, String(n));
  }
  loseAnswer();
  await session.end();
  assert.equal((await client.sessions.list()).length, already);
  await assert.rejects(session.end(), { status: 401 });
});

test("a cell goes on while its client is away, or ends with the connection if that was wanted", async (t) => {
  const proxy = await proxyFor(t);
  const session = await sessionThrough(proxy, t);
  await session.runCode("1"); // IPython is imported with the first cell
  const away = () => {
    proxy.accepts = false;
    proxy.cut();
    setTimeout(() => { proxy.accepts = true; }, 1500);
  };
  const code = "import time\nprint('begin', flush=True)\ntime.sleep(0.6)\nprint('middle', flush=True)\n'end'";
  const done = await session.runCode(code, { onStdout: (text) => { if (text.startsWith("begin")) away(); } });
  assert.deepEqual([done.stdout, done.text], ["begin\nmiddle\n", "'end'"]);
  assert.ok(done.durationMs < 1400, "it did not wait for its client");
  const stopped = await session.runCode("print('begin', flush=True)\nwhile True: pass", { onStdout: away, connectionLost: "interrupt" });
  assert.equal(stopped.status, "interrupted");
});

test("a cell of its own session cannot be resumed, which is said", async (t) => {
  const proxy = await proxyFor(t);
  const client = new Client({ url: proxy.url, token: gateway.token });
  await assert.rejects(client.run("print(1, flush=True)\nimport time; time.sleep(60)", { onStdout: () => proxy.cut() }),
    (error) => error instanceof ConnectionClosed && /sessions\.create/.test(error.message));
});

test("without a gateway it gives up after a time", async (t) => {
  const proxy = await proxyFor(t);
  const session = await sessionThrough(proxy, t, { reconnectForMs: 800 });
  const begun = Date.now();
  const running = session.runCode("print(1, flush=True)\nimport time; time.sleep(60)", { onStdout() { proxy.accepts = false; proxy.cut(); } });
  await assert.rejects(running, (error) => error instanceof ConnectionClosed && error.kind === "unreachable" && /cellgate serve/.test(error.message));
  assert.ok(Date.now() - begun < 15_000);
});

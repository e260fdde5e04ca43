// The document of a session, from the unmodified npm packages yjs and y-websocket. What it says on the wire is the
// real gateway's, so that these tests need one: CELLGATE_URL and CELLGATE_TOKEN name it.

import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";
import { Front } from "../fake/front.mjs";

const { CELLGATE_URL: url, CELLGATE_TOKEN: token } = process.env;
const skip = url === undefined && "needs the real gateway: CELLGATE_URL and CELLGATE_TOKEN";
const TIMEOUT_MS = 20_000;

let front;
let socket;
let opened;

beforeEach(async () => {
  opened = [];
  if (skip) return;
  // Between the clients and the gateway, so that connections can be cut.
  front = await new Front(url).listen();
  front.token = token;
});
afterEach(async () => {
  for (const { doc, provider } of opened) {
    provider.destroy();
    doc.destroy(); // and with it the timer of its awareness
  }
  socket?.close();
  if (!skip) await front.close();
});

/** Opens a session, and answers its id and the token of its owner. */
async function session() {
  socket = new WebSocket(`${front.url.replace("http", "ws")}/ws?token=${token}`);
  const ready = await new Promise((resolve, reject) => {
    socket.once("message", (data) => resolve(JSON.parse(data)));
    socket.once("error", reject);
  });
  return { id: ready.session, token: ready.token };
}

const ask = async (method, path, secret, body) => {
  const headers = { authorization: `Bearer ${secret}`, ...(body && { "content-type": "application/json" }) };
  const response = await fetch(`${front.url}/v1/sessions/${path}`, { method, headers, ...(body && { body: JSON.stringify(body) }) });
  return { status: response.status, body: await response.json() };
};

/** Attaches as any client of Yjs does. */
function attach(id, secret) {
  const doc = new Y.Doc();
  // Clients in one process would else hear each other without the gateway (`disableBc`).
  const provider = new WebsocketProvider(`${front.url.replace("http", "ws")}/v1/documents`, id, doc, { params: { token: secret }, WebSocketPolyfill: WebSocket, disableBc: true });
  const client = { doc, provider, cells: doc.getArray("cells"), awareness: provider.awareness };
  opened.push(client);
  return client;
}

/** Waits until `found` answers something, which it is asked after each change that is heard of. */
function until(what, { doc, provider, awareness }, found) {
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      doc.off("update", look);
      provider.off("sync", look);
      provider.off("status", look);
      awareness.off("change", look);
    };
    const timer = setTimeout(() => { stop(); reject(new Error(`waited in vain for ${what}`)); }, TIMEOUT_MS);
    const look = () => {
      const answer = found();
      if (!answer) return;
      stop();
      resolve(answer);
    };
    doc.on("update", look);
    provider.on("sync", look);
    provider.on("status", look);
    awareness.on("change", look);
    look();
  });
}

const synced = (client) => until("the document", client, () => client.provider.synced);
const cell = (id, source) => new Y.Map(Object.entries({ id, kind: "code", source: new Y.Text(source) }));
const texts = ({ cells }) => cells.toArray().map((one) => one.get("source").toString());
const shows = (client, wanted) => until(JSON.stringify(wanted), client, () => JSON.stringify(texts(client)) === JSON.stringify(wanted));

test("two clients write one document", { skip }, async () => {
  const { id, token: owner } = await session();
  const [ada, grace] = [attach(id, owner), attach(id, owner)];
  await Promise.all([synced(ada), synced(grace)]);
  ada.cells.push([cell("a", "x = 1"), cell("b", "print(x)")]);
  await shows(grace, ["x = 1", "print(x)"]);
  grace.cells.get(0).get("source").insert(5, "0");
  ada.cells.get(1).get("source").delete(0, 8);
  ada.cells.get(1).get("source").insert(0, "🦀");
  for (const one of [ada, grace]) await shows(one, ["x = 10", "🦀"]);
  const read = await ask("GET", `${id}/document`, owner);
  assert.deepEqual(read.body, { title: "", cells: [{ id: "a", kind: "code", source: "x = 10" }, { id: "b", kind: "code", source: "🦀" }] });
  // One that comes later gets it all.
  await shows(attach(id, owner), ["x = 10", "🦀"]);
});

test("a document that is filled over HTTP is filled once, with positions", { skip }, async () => {
  const { id, token: owner } = await session();
  const cells = [{ id: "a", source: "1" }, { id: "b", kind: "markdown", source: "# 2" }];
  const answers = await Promise.all([1, 2].map(() => ask("POST", `${id}/document`, owner, { title: "Sums", cells })));
  assert.deepEqual(answers.map(({ status, body }) => [status, body.seeded]).sort(), [[200, false], [201, true]]);
  const ada = attach(id, owner);
  await shows(ada, ["1", "# 2"]);
  assert.equal(ada.doc.getMap("meta").get("title"), "Sums");
  const positions = ada.cells.toArray().map((one) => one.get("position"));
  assert.ok(positions[0] < positions[1], JSON.stringify(positions));
});

test("states of awareness are seen, and go when their client goes", { skip }, async () => {
  const { id, token: owner } = await session();
  const [ada, grace] = [attach(id, owner), attach(id, owner)];
  await Promise.all([synced(ada), synced(grace)]);
  const state = { user: { name: "Ada", color: "#2f7d4f" }, cell: "a" };
  ada.awareness.setLocalState(state);
  assert.deepEqual(await until("Ada", grace, () => grace.awareness.getStates().get(ada.doc.clientID)?.user && grace.awareness.getStates().get(ada.doc.clientID)), state);
  ada.provider.destroy();
  await until("Ada to be gone", grace, () => !grace.awareness.getStates().has(ada.doc.clientID));
});

test("a viewer reads, is seen, and is told that it may not write", { skip }, async () => {
  const { id, token: owner } = await session();
  const link = await ask("POST", `${id}/tokens`, owner, { role: "viewer" });
  const [ada, vera] = [attach(id, owner), attach(id, link.body.token)];
  await Promise.all([synced(ada), synced(vera)]);
  ada.cells.push([cell("a", "x = 1")]);
  await shows(vera, ["x = 1"]);
  vera.awareness.setLocalStateField("user", { name: "Vera" });
  await until("Vera", ada, () => ada.awareness.getStates().get(vera.doc.clientID)?.user);
  const said = [];
  const { warn } = console;
  const told = new Promise((resolve) => {
    // What the package does with a refusal: it says it.
    console.warn = (text) => { said.push(text); resolve(); };
  });
  try {
    vera.cells.get(0).get("source").insert(0, "no");
    await told;
  } finally {
    console.warn = warn;
  }
  assert.match(said[0], /^Permission denied to access .*\nthis link lets you read the document, not change it; ask an owner/s);
  // It stays connected, and what it wrote is nowhere else.
  ada.cells.get(0).get("source").insert(5, "1");
  await until("Ada's change", vera, () => texts(vera)[0].endsWith("x = 11"));
  assert.deepEqual(texts(ada), ["x = 11"]);
  assert.equal((await ask("GET", `${id}/document`, owner)).body.cells[0].source, "x = 11");
});

test("what is written while the connection is cut is merged when it is back", { skip }, async () => {
  const { id, token: owner } = await session();
  const [ada, grace] = [attach(id, owner), attach(id, owner)];
  await Promise.all([synced(ada), synced(grace)]);
  ada.cells.push([cell("a", "middle")]);
  await shows(grace, ["middle"]);
  front.down = true;
  front.breakConnections();
  for (const one of [ada, grace]) await until("the cut", one, () => !one.provider.wsconnected);
  ada.cells.get(0).get("source").insert(0, "before ");
  grace.cells.get(0).get("source").insert(6, " behind");
  grace.cells.push([cell("b", "new")]);
  assert.deepEqual([texts(ada), texts(grace)], [["before middle"], ["middle behind", "new"]]);
  front.down = false;
  for (const one of [ada, grace]) await shows(one, ["before middle behind", "new"]);
  const read = await ask("GET", `${id}/document`, owner);
  assert.deepEqual(read.body.cells.map(({ source }) => source), ["before middle behind", "new"]);
});

test("a token that opens nothing ends in a close that the package does not try again", { skip }, async () => {
  const { id } = await session();
  const eve = attach(id, "not-a-token-of-this-gateway");
  const closed = await new Promise((resolve) => eve.provider.on("closed", resolve));
  assert.equal(closed.code, 4401);
  assert.notEqual(closed.reason, "");
  assert.equal(eve.provider.shouldConnect, false);
});

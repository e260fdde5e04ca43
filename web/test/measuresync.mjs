// Measures the document that the participants of a session share, with stock clients (the npm packages yjs and
// y-websocket) against a running gateway: `node test/measuresync.mjs [edits|keys|idle|large …]`, with CELLGATE_URL and
// CELLGATE_TOKEN, and for `idle` CELLGATE_PID, the gateway's process on this machine. All clients run in this one process: what
// they take themselves is in the times.

import { readFile } from "node:fs/promises";
import { setTimeout as sleep } from "node:timers/promises";
import WebSocket from "ws";
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const { CELLGATE_URL: url, CELLGATE_TOKEN: token, CELLGATE_PID: pid } = process.env;
if (!url || !token) throw new Error("CELLGATE_URL and CELLGATE_TOKEN name a gateway");

const EDITORS = 20;
const EDITS = 500;
const EDIT_MS = 25; // 40 a second; the gateway takes 50 beyond its burst
const KEYS = 500;
const IDLE = 200;
const IDLE_SECONDS = 60;
const TICKS = 100; // of /proc, a second

const quantile = (values, share) => [...values].sort((a, b) => a - b)[Math.min(values.length - 1, Math.floor(values.length * share))];
const ms = (value) => (value < 10 ? `${value.toFixed(1)} ms` : `${value.toFixed(0)} ms`);
const row = (...columns) => console.log(`| ${columns.join(" | ")} |`);

/** What all clients together have sent and received. */
const traffic = { sent: 0, sentBytes: 0, received: 0, receivedBytes: 0 };
class Counted extends WebSocket {
  constructor(...all) {
    super(...all);
    this.on("message", (data) => { traffic.received += 1; traffic.receivedBytes += data.byteLength ?? data.length; });
  }

  send(data, ...rest) {
    traffic.sent += 1;
    traffic.sentBytes += data.byteLength;
    super.send(data, ...rest);
  }
}

const ask = (method, path, body) => fetch(`${url}/v1/sessions/${path}`, {
  method, headers: { authorization: `Bearer ${token}`, ...(body && { "content-type": "application/json" }) }, ...(body && { body: JSON.stringify(body) }),
});

/** Opens a session with these cells, does something with it, and ends it. */
async function withSession(cells, work) {
  const socket = new WebSocket(`${url.replace("http", "ws")}/ws?token=${token}`);
  const { session } = await new Promise((resolve, reject) => {
    socket.once("message", (data) => resolve(JSON.parse(data)));
    socket.once("error", reject);
  });
  const clients = [];
  try {
    const answer = await ask("POST", `${session}/document`, { cells });
    if (answer.status !== 201) throw new Error(`the document is not filled: ${await answer.text()}`);
    await work(session, async (echoes = true) => {
      const client = attach(session, echoes);
      clients.push(client);
      await synced(client);
      return client;
    });
  } finally {
    for (const client of clients) leave(client);
    await ask("DELETE", session);
    socket.close();
  }
}

function attach(session, echoes = true) {
  const doc = new Y.Doc();
  const provider = new WebsocketProvider(`${url.replace("http", "ws")}/v1/documents`, session, doc, { params: { token }, WebSocketPolyfill: Counted, disableBc: true, connect: false });
  if (!echoes) {
    // y-websocket sends on what it hears of others; here its own state alone.
    const stock = provider._awarenessUpdateHandler;
    provider.awareness.off("update", stock);
    provider.awareness.on("update", (change, origin) => { if (origin === "local") stock(change, origin); });
  }
  provider.on("closed", ({ code, reason }) => console.error(`a connection was closed for good: ${code} ${reason}`));
  provider.on("connection-close", (event) => { if (event?.code >= 1007) console.error(`a connection was closed: ${event.code} ${event.reason}`); });
  provider.connect();
  return { doc, provider, cells: doc.getArray("cells"), text: (at = 0) => doc.getArray("cells").get(at).get("source") };
}

function leave({ doc, provider }) {
  provider.destroy();
  doc.destroy();
}

async function synced({ provider }) {
  if (!provider.synced) await new Promise((resolve) => { const look = (now) => { if (now) { provider.off("sync", look); resolve(); } }; provider.on("sync", look); });
}

/** Everybody edits at random places, and loses the connection now and then. */
async function edits() {
  await withSession([{ id: "a", source: "0123456789".repeat(10) }], async (session, join) => {
    const clients = await Promise.all(Array.from({ length: EDITORS }, () => join()));
    let cuts = 0;
    const began = performance.now();
    await Promise.all(clients.map(async (client) => {
      for (let edit = 0; edit < EDITS; edit += 1) {
        const text = client.text();
        if (Math.random() < 0.35 && text.length > 0) text.delete(Math.floor(Math.random() * text.length), 1);
        else text.insert(Math.floor(Math.random() * (text.length + 1)), String.fromCharCode(97 + (edit % 26)));
        if (client.provider.shouldConnect && Math.random() < 0.02) {
          cuts += 1;
          client.provider.disconnect();
        } else if (!client.provider.shouldConnect && Math.random() < 0.1) client.provider.connect();
        await sleep(EDIT_MS * (0.5 + Math.random()));
      }
    }));
    const edited = performance.now();
    for (const { provider } of clients) provider.connect();
    await Promise.all(clients.map(synced));
    let texts;
    do {
      await sleep(5);
      texts = new Set(clients.map((client) => client.text().toString()));
    } while (texts.size > 1 && performance.now() - edited < 60_000);
    const converged = performance.now();
    const { cells } = await (await ask("GET", `${session}/document`)).json();
    texts.add(cells[0].source);
    if (texts.size > 1) throw new Error(`${texts.size} texts after ${ms(converged - edited)}: they do not converge`);
    row(`${EDITORS} clients make ${EDITS} edits each, with ${cuts} cuts: from the last edit to one text of ${cells[0].source.length} characters everywhere`, 1, ms(converged - edited), `edits took ${((edited - began) / 1000).toFixed(1)} s`);
  });
}

/** Times from a key of one client to the document of another. */
async function latencies(from, to, at = 0) {
  const took = [];
  for (let key = 0; key < KEYS; key += 1) {
    const arrived = new Promise((resolve) => { const seen = () => { to.text(at).unobserve(seen); resolve(performance.now()); }; to.text(at).observe(seen); });
    const began = performance.now();
    from.text(at).insert(from.text(at).length, "x");
    took.push(await arrived - began);
    await sleep(15 + Math.random() * 10);
  }
  return took;
}

async function keys() {
  for (const attached of [2, EDITORS]) {
    await withSession([{ id: "a", source: "x = 1\n" }], async (_, join) => {
      const clients = await Promise.all(Array.from({ length: attached }, () => join()));
      const took = await latencies(clients[0], clients[1]);
      row(`from a key of one client to another's document, ${attached} attached`, took.length, ms(quantile(took, 0.5)), ms(quantile(took, 0.99)));
    });
  }
}

const seconds = async () => {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8");
  const fields = stat.slice(stat.lastIndexOf(")") + 2).split(" ");
  return (Number(fields[11]) + Number(fields[12])) / TICKS;
};
const mebibytes = async () => Number(/VmRSS:\s+(\d+)/.exec(await readFile(`/proc/${pid}/status`, "utf8"))[1]) / 1024;

/** What it costs that many are there who do nothing: each says its state anew every 15 s, as awareness does. */
async function idle() {
  if (!pid) throw new Error("CELLGATE_PID names the gateway's process, for what it takes");
  for (const echoes of [true, false]) {
    const before = await mebibytes();
    await withSession([{ id: "a", source: "x = 1\n" }], async (_, join) => {
      const clients = [];
      for (let n = 0; n < IDLE; n += 1) {
        const client = await join(echoes);
        clients.push(client);
        const at = Y.relativePositionToJSON(Y.createRelativePositionFromTypeIndex(client.text(), n % 6));
        client.provider.awareness.setLocalState({ user: { name: `Person ${n}`, color: "#2f7d4f", participant: n }, cell: "a", cursor: { anchor: at, head: at } });
      }
      await sleep(5000); // until all have heard of all
      const [start, was] = [await seconds(), { ...traffic }];
      await sleep(IDLE_SECONDS * 1000);
      const used = (await seconds()) - start;
      const least = Math.min(...clients.map(({ provider }) => provider.awareness.getStates().size));
      if (least < IDLE) throw new Error(`a client sees ${least} of ${IDLE}`);
      const per = (key) => (traffic[key] - was[key]) / IDLE_SECONDS;
      const what = `${IDLE} idle clients with cursors for ${IDLE_SECONDS} s${echoes ? "" : ", without the echoes of y-websocket"}`;
      row(`${what}: processor of the gateway`, 1, `${((used / IDLE_SECONDS) * 100).toFixed(2)} % of a core`, "");
      row(`${what}: frames a second to the gateway, from it`, 1, `${per("sent").toFixed(0)}, ${per("received").toFixed(0)}`, `${(per("sentBytes") / 1024).toFixed(0)}, ${(per("receivedBytes") / 1024).toFixed(0)} KiB/s`);
      row(`${what}: memory of the gateway before, with them`, 1, `${before.toFixed(0)}, ${(await mebibytes()).toFixed(0)} MiB`, "");
    });
  }
}

async function large() {
  const documents = {
    "4 MiB in 40 cells": Array.from({ length: 40 }, (_, n) => ({ id: `c${n}`, source: `# ${n}\n${"abcdefghi = 1\n".repeat(7000)}` })),
    "2,000 cells": Array.from({ length: 2000 }, (_, n) => ({ id: `c${n}`, source: `value_${n} = ${n}\nprint(value_${n})` })),
  };
  for (const [name, cells] of Object.entries(documents)) {
    await withSession(cells, async (_, join) => {
      const attaches = [];
      let clients = [];
      for (let n = 0; n < 10; n += 1) {
        const began = performance.now();
        clients.push(await join());
        attaches.push(performance.now() - began);
        if (clients.at(-1).cells.length !== cells.length) throw new Error("not all cells have come");
      }
      const [one, other, ...rest] = clients;
      rest.forEach(leave);
      row(`${name}: to attach, until all of it has come`, attaches.length, ms(quantile(attaches, 0.5)), ms(quantile(attaches, 0.99)));
      const took = await latencies(one, other, 20);
      row(`${name}: from a key of one client to another's document`, took.length, ms(quantile(took, 0.5)), ms(quantile(took, 0.99)));
    });
  }
}

const all = { edits, keys, idle, large };
const wanted = process.argv.slice(2);
console.log("| what | n | p50 | p99 |\n|---|---|---|---|");
for (const name of wanted.length > 0 ? wanted : Object.keys(all)) await all[name]();
process.exit(0);

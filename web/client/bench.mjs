// What this package costs for each cell: empty cells one after the other, beside a bare loop over a WebSocket. And how
// soon a cell's first output is there by a request, beside a WebSocket: both over bare sockets.
//
//     CELLGATE_BINARY=… node client/bench.mjs [CELLS [FLAGS of cellgate serve]]      in web/, after `tsc -p client --outDir dist/client`
//
// All are measured in turns against one gateway; printed are medians in milliseconds.

import { connect } from "node:net";

import { Gateway } from "../dist/client/node.js";

const ROUNDS = 4;
const WebSocket = globalThis.WebSocket ?? (await import("ws")).default;
const cells = Number(process.argv[2] ?? 200);

/** The times of `cells` calls, in milliseconds, without the first ones, which start the interpreter. */
async function timed(runCell) {
  const times = [];
  for (let n = 0; n < cells; n += 1) {
    const before = performance.now();
    await runCell(n);
    times.push(performance.now() - before);
  }
  return times.slice(Math.floor(cells / 10));
}

async function bare(gateway) {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/ws?token=${gateway.token}`);
  let heard;
  socket.onmessage = ({ data }) => heard(JSON.parse(data).type);
  await new Promise((resolve) => { heard = resolve; });
  const times = await timed((n) => new Promise((resolve) => {
    heard = (type) => { if (type === "done") resolve(); };
    socket.send(JSON.stringify({ type: "execute", code: "", id: String(n) }));
  }));
  socket.send('{"type": "end"}');
  return times;
}

async function withSession(gateway) {
  const session = await gateway.connect({ WebSocket });
  const times = await timed(() => session.runCode(""));
  await session.end();
  return times;
}

/** A bare loop over `fetch`. */
async function bareRequests(gateway) {
  const { id, token } = await gateway.client().sessions.create();
  const headers = { authorization: `Bearer ${token}`, accept: "text/event-stream" };
  const times = await timed(async () => {
    const response = await fetch(`${gateway.url}/v1/sessions/${id}/cells`, { method: "POST", headers, body: '{"code": ""}' });
    for (const event of (await response.text()).matchAll(/^data: (.*)$/gm)) JSON.parse(event[1]);
  });
  await gateway.client().sessions.end(id);
  return times;
}

async function withRequests(gateway) {
  const session = await gateway.client().sessions.create();
  const times = await timed(() => session.runCode(""));
  await session.end();
  return times;
}

const PRINTS = "print(1)";

async function outputByWebSocket(gateway) {
  const socket = new WebSocket(`${gateway.url.replace("http", "ws")}/ws?token=${gateway.token}`);
  let heard;
  socket.onmessage = ({ data }) => heard(data);
  await new Promise((resolve) => { heard = resolve; });
  const times = [];
  for (let n = 0; n < cells; n += 1) {
    const before = performance.now();
    socket.send(JSON.stringify({ type: "execute", code: PRINTS, id: String(n) }));
    let first;
    await new Promise((resolve) => {
      heard = (data) => {
        if (data.includes('"type":"stdout"')) first ??= performance.now() - before;
        if (data.includes('"type":"done"')) resolve();
      };
    });
    times.push(first);
  }
  socket.send('{"type": "end"}');
  return times.slice(Math.floor(cells / 10));
}

async function outputByRequest(gateway) {
  const { id, token } = await gateway.client().sessions.create();
  const { hostname, port } = new URL(gateway.url);
  const socket = connect({ host: hostname, port: Number(port), noDelay: true }).setEncoding("utf8");
  const body = JSON.stringify({ code: PRINTS });
  const request = `POST /v1/sessions/${id}/cells HTTP/1.1\r\nhost: ${hostname}:${port}\r\nauthorization: Bearer ${token}\r\n`
    + `content-length: ${body.length}\r\n\r\n${body}`;
  const times = [];
  for (let n = 0; n < cells; n += 1) {
    const before = performance.now();
    socket.write(request);
    let [first, answer] = [undefined, ""];
    await new Promise((resolve) => {
      socket.removeAllListeners("data").on("data", (data) => {
        answer += data;
        if (answer.includes('"type":"stdout"')) first ??= performance.now() - before;
        if (answer.endsWith("0\r\n\r\n")) resolve();
      });
    });
    times.push(first);
  }
  socket.destroy();
  await gateway.client().sessions.end(id);
  return times.slice(Math.floor(cells / 10));
}

const median = (times) => times.sort((a, b) => a - b)[Math.floor(times.length / 2)];
const PAIRS = [
  ["bare WebSocket", bare, "Session", withSession],
  ["bare fetch", bareRequests, "RestSession", withRequests],
  ["first output over a WebSocket", outputByWebSocket, "by a request", outputByRequest],
];
const gateway = await Gateway.start({ arguments: ["--client-requests", "100000", ...process.argv.slice(3)] });
for (const [bareName, bareLoop, name, loop] of PAIRS) {
  const [floor, measured] = [[], []];
  for (let round = 0; round < ROUNDS; round += 1) {
    floor.push(...(await bareLoop(gateway)));
    measured.push(...(await loop(gateway)));
  }
  const [least, took] = [median(floor), median(measured)];
  console.log(`${bareName} ${least.toFixed(3)} ms, ${name} ${took.toFixed(3)} ms: ${(took - least).toFixed(3)} ms more, ${(took / least).toFixed(2)} times`);
}
await gateway.stop();

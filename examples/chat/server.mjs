// The chat's server: its page, and what the page asks for.
//
//   GET    /api/info                   which model answers, and what it may be asked
//   POST   /api/chats                  makes a chat: {id}
//   GET    /api/chats/ID               whether there is such a chat
//   GET    /api/chats/ID/events        its log as server-sent events, from the first one or from behind Last-Event-ID on
//   GET    /api/chats/ID/html/NUMBER   what the event of that number shows as HTML, for a sandboxed frame
//   POST   /api/chats/ID/messages      {text}: says something
//   POST   /api/chats/ID/stop          {cell?}: stops the code of a cell, or the whole answer
//
// A chat's id opens it: there are no accounts.

import { once } from "node:events";
import { realpathSync } from "node:fs";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { isIP } from "node:net";
import { pathToFileURL } from "node:url";
import { NotPossible } from "./chat.mjs";
import { Chats } from "./chats.mjs";
import { GatewayKeeper } from "./gateway.mjs";
import { chooseModel } from "./model.mjs";

const FILES = {
  "/": ["index.html", "text/html; charset=utf-8"],
  "/chat.css": ["chat.css", "text/css; charset=utf-8"],
  ...Object.fromEntries(["chat", "transcript", "cell", "markdown"].map((name) => [`/${name}.js`, [`${name}.js`, "text/javascript; charset=utf-8"]])),
};
const PAGE_POLICY = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
// No scripts, no network, no origin: the frame of the page says so too.
const FRAME_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'";
const FRAME_STYLE = "<!doctype html><meta charset=utf-8><style>:root { color-scheme: light dark; font: 0.9rem/1.4 system-ui, sans-serif } th, td { padding: 0.2em 0.7em; text-align: left; border-bottom: 1px solid #8885 } table { border-collapse: collapse }</style>";
const BODY_BYTES = 100_000;
const HEARTBEAT_MS = 15_000; // so that proxies keep quiet connections

/** Starts the server; answers `{url, chats, breakConnections, close}`. Each part may be given by tests. */
export async function startServer({ port = 0, host = "127.0.0.1", hosts = [], gateway = new GatewayKeeper(), model = chooseModel(), limits } = {}) {
  const chats = new Chats(gateway, model, limits);
  const server = createServer((request, response) => {
    answer(request, response, chats, hosts).catch((error) => {
      if (!(error instanceof NotPossible)) console.error(error);
      if (response.headersSent) return void response.destroy();
      const isKnown = error instanceof NotPossible;
      send(response, isKnown ? error.status : 500, { error: isKnown ? error.message : "The server failed; its log says why." });
    });
  });
  await new Promise((resolve, reject) => server.once("error", reject).listen(port, host, resolve));
  return {
    url: `http://${host.includes(":") ? `[${host}]` : host}:${server.address().port}`,
    chats,
    /** Ends all connections; browsers connect again. */
    breakConnections: () => server.closeAllConnections(),
    async close() {
      server.close();
      await chats.close();
      server.closeAllConnections();
      await gateway.stop();
    },
  };
}

async function answer(request, response, chats, hosts) {
  const { pathname } = new URL(request.url, "http://chat");
  guard(request, hosts);
  if (request.method === "GET" && pathname in FILES) {
    const [name, type] = FILES[pathname];
    const body = await readFile(new URL(`page/${name}`, import.meta.url));
    response.writeHead(200, { "content-type": type, "content-security-policy": PAGE_POLICY, "cache-control": "no-cache", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" });
    return void response.end(body);
  }
  if (pathname === "/api/info" && request.method === "GET") {
    const { name, isScripted, suggestions } = chats.model;
    return send(response, 200, { model: name, isScripted, suggestions, longestMessage: chats.limits.message });
  }
  if (pathname === "/api/chats" && request.method === "POST") {
    await bodyOf(request);
    return send(response, 201, { id: chats.create().id });
  }
  const [, id, what, number] = /^\/api\/chats\/([\w-]+)(?:\/(events|messages|stop|html)(?:\/(\d+))?)?$/.exec(pathname) ?? [];
  if (!id) throw new NotPossible(404, "There is nothing at this address.");
  const chat = chats.get(id);
  if (request.method === "POST" && what === "messages") {
    chat.say((await bodyOf(request)).text);
    return send(response, 202, {});
  }
  if (request.method === "POST" && what === "stop") {
    await chat.stop((await bodyOf(request)).cell);
    return send(response, 202, {});
  }
  if (request.method !== "GET" || what === "messages" || what === "stop") throw new NotPossible(405, "This address takes other requests.");
  if (what === "events") return stream(request, response, chat, chats.limits);
  if (what === "html") return frame(response, chat, Number(number));
  send(response, 200, { id: chat.id });
}

/** Refuses pages of other sites: those that ask from there, and those whose name leads here. */
function guard(request, hosts) {
  const { host = "", origin } = request.headers;
  const name = URL.canParse(`http://${host}`) ? new URL(`http://${host}`).hostname : "";
  const isKnown = name === "localhost" || isIP(name.replace(/^\[|\]$/g, "")) !== 0 || hosts.includes(name);
  if (!isKnown) throw new NotPossible(403, `This server is not known as ${name}: name it in CHAT_HOSTS.`);
  if (origin && !(URL.canParse(origin) && new URL(origin).host === host)) throw new NotPossible(403, "Pages of other sites may not use this server.");
}

async function bodyOf(request) {
  if (!request.headers["content-type"]?.startsWith("application/json")) throw new NotPossible(415, "Send JSON, with its content type.");
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > BODY_BYTES) throw new NotPossible(413, "The message is too long: shorten it.");
    parts.push(part);
  }
  try {
    const body = JSON.parse(Buffer.concat(parts).toString());
    if (body !== null && typeof body === "object") return body;
  } catch {
    // Told below.
  }
  throw new NotPossible(400, "The request is not a JSON object.");
}

function send(response, status, body) {
  response.writeHead(status, { "content-type": "application/json", "cache-control": "no-store", "x-content-type-options": "nosniff" });
  response.end(JSON.stringify(body));
}

/** Sends the log, as fast as the reader takes it, and what comes then. `live` tells the page that it has all up to now. */
async function stream(request, response, chat, limits) {
  if (chat.log.readers >= limits.readers) throw new NotPossible(429, `${limits.readers} tabs show this chat already: close one.`);
  const left = new AbortController();
  response.on("close", () => left.abort());
  response.writeHead(200, { "content-type": "text/event-stream", "cache-control": "no-store", "x-accel-buffering": "no" });
  const heartbeat = setInterval(() => response.write(": still here\n\n"), HEARTBEAT_MS);
  const last = Number(request.headers["last-event-id"]);
  let wasLive = false;
  try {
    for await (const event of chat.log.after(Number.isSafeInteger(last) && last > 0 ? last : 0, left.signal)) {
      if (!event && wasLive) continue;
      wasLive ||= !event;
      const hasRoom = response.write(event ? `id: ${event[0]}\ndata: ${event[1]}\n\n` : "event: live\ndata: {}\n\n");
      if (!hasRoom) await once(response, "drain", { signal: left.signal }).catch(() => {}); // it has left: the loop ends
    }
  } finally {
    clearInterval(heartbeat);
    response.end();
  }
}

function frame(response, chat, number) {
  const event = chat.log.at(number);
  if (event?.data?.type !== "text/html") throw new NotPossible(404, "There is no HTML at this address.");
  response.writeHead(200, { "content-type": "text/html; charset=utf-8", "content-security-policy": FRAME_POLICY, "cache-control": "no-store", "x-content-type-options": "nosniff", "referrer-policy": "no-referrer", "x-dns-prefetch-control": "off" });
  response.end(FRAME_STYLE + event.data.value);
}

async function main() {
  const { PORT = "3000", HOST = "127.0.0.1", CHAT_HOSTS = "" } = process.env;
  const gateway = new GatewayKeeper();
  await gateway.client(); // tells at once what is missing
  const model = chooseModel();
  const server = await startServer({ port: Number(PORT), host: HOST, hosts: CHAT_HOSTS.split(",").map((name) => name.trim()).filter(Boolean), gateway, model });
  console.log(`${server.url}  (${model.isScripted ? "the scripted model; set OPENAI_API_KEY for a real one" : `model ${model.name}`})`);
  for (const signal of ["SIGINT", "SIGTERM"]) process.once(signal, () => server.close().then(() => process.exit(0)));
}

if (process.argv[1] && import.meta.url === pathToFileURL(realpathSync(process.argv[1])).href) {
  main().catch((error) => {
    console.error(`The chat does not start: ${error.message}${error.code === "EADDRINUSE" ? "; name another port in $PORT" : ""}`);
    process.exit(1);
  });
}

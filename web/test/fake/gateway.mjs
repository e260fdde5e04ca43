// A gateway for tests: the real protocol over real sockets, a script in the place of the sandbox.

import { createServer } from "node:http";
import { WebSocketServer } from "ws";
import { readAssets } from "./front.mjs";
import { FakeSession } from "./session.mjs";

const ECHO = async (code, cell) => { cell.out(`${code}\n`); };
/** What ipywidgets does with a new state: every client hears of it. */
const ECHO_STATE = async ({ comm_id, data }, cell) => {
  if (data?.method === "update") cell.emit("comm_msg", { comm_id, data: { ...data, method: "echo_update" }, metadata: {} });
};

export class FakeGateway {
  constructor(options = {}) {
    this.options = { script: ECHO, comm: ECHO_STATE, token: "secret", windowBytes: 1 << 20, keys: {}, logEvents: Infinity, page: null, answersValues: true, documents: true, withoutHeaders: [], ...options };
    this.sessions = new Map();
    this.sockets = new Set();
    /** Every client message, in order. */
    this.received = [];
    /** The subprotocols and query of every upgrade. */
    this.upgrades = [];
    /** Method and path of every request. */
    this.requests = [];
    /** Whether new sockets are turned away without a word. */
    this.down = false;
    /** Close codes for the next sockets, instead of an answer. */
    this.turnAway = [];
    this.nextParticipant = 1;
  }

  async listen() {
    this.assets = this.options.page ? await readAssets(this.options.page) : new Map();
    this.server = createServer((request, response) => {
      this.serve(request, response).catch((error) => response.writeHead(500).end(String(error)));
    });
    this.wss = new WebSocketServer({
      noServer: true,
      handleProtocols: (offered) => (offered.has("cellgate.v1") ? "cellgate.v1" : false),
    });
    this.documents = new WebSocketServer({ noServer: true });
    this.server.on("upgrade", (request, socket, head) => {
      const { pathname } = new URL(request.url, "http://x");
      const [, id] = /^\/v1\/documents\/([^/]+)$/.exec(pathname) ?? [];
      if (id) return this.documents.handleUpgrade(request, socket, head, (ws) => this.connectDocument(ws, id, request));
      if (pathname !== "/ws") return socket.end("HTTP/1.1 404 Not Found\r\n\r\n");
      this.wss.handleUpgrade(request, socket, head, (ws) => this.connect(ws, request));
    });
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  connect(ws, request) {
    this.requests.push(`WS /ws from ${request.headers.origin}`);
    if (this.down) return ws.terminate();
    const query = new URL(request.url, "http://x").searchParams;
    const protocols = (request.headers["sec-websocket-protocol"] ?? "").split(/, */);
    this.upgrades.push({ protocols, query: Object.fromEntries(query) });
    const turnedAway = this.turnAway.shift();
    if (turnedAway) return ws.close(turnedAway, "turned away by the test");
    const bearer = protocols.find((p) => p.startsWith("cellgate.bearer."))?.slice("cellgate.bearer.".length);
    const token = bearer ? Buffer.from(bearer, "base64url").toString() : query.get("token");
    let session;
    let role = "owner";
    if (query.has("session")) {
      session = this.sessions.get(query.get("session"));
      if (!session) return ws.close(4404, "no such session");
      if (token !== this.options.token) role = session.tokens.get(token);
    } else if (token === this.options.token || this.options.keys[token]) {
      session = new FakeSession(this);
      session.key = this.options.keys[token] ?? null;
      this.sessions.set(session.id, session);
    }
    if (!session || !role) return ws.close(4401, "token not valid");
    const socket = new FakeSocket(ws, this.nextParticipant++, query.get("name") ?? "", role, this.options.windowBytes);
    this.sockets.add(socket);
    ws.on("message", (data) => session.receive(socket, data.toString()));
    ws.on("close", () => {
      this.sockets.delete(socket);
      session.detach(socket);
    });
    session.attach(socket, Number(query.get("after") ?? 0), token);
  }

  /** Whether connections to documents with this token are turned away, as if the network were cut; `"all"`: with any. */
  documentsDown = new Set();

  connectDocument(ws, id, request) {
    const token = new URL(request.url, "http://x").searchParams.get("token");
    if (this.documentsDown.has(token) || this.documentsDown.has("all")) return ws.terminate();
    const session = this.sessions.get(id);
    if (!session || !this.options.documents) return ws.close(4404, "no such session");
    if (!session.tokens.has(token) && token !== this.options.token) return ws.close(4401, "token not valid");
    session.document.connect(ws, token);
  }

  /** Knows nothing of a session any more, as if it were another gateway. */
  forget(id) {
    this.sessions.delete(id);
  }

  /** Breaks every connection without a closing handshake, as a network does. */
  breakConnections() {
    for (const socket of this.sockets) socket.ws.terminate();
  }

  async serve(request, response) {
    const url = new URL(request.url, "http://x");
    this.requests.push(`${request.method} ${url.pathname}`);
    if (url.pathname === "/v1/keys") {
      const authorised = request.headers.authorization === `Bearer ${this.options.token}`;
      const keys = Object.entries(this.options.keys).map(([key, { name = "site", sharing = true }]) => ({ name, key, templates: ["python"], origins: ["*"], sharing }));
      return void response.writeHead(authorised ? 200 : 401, { "content-type": "application/json" }).end(JSON.stringify(authorised ? { keys } : {}));
    }
    const match = /^\/v1\/sessions\/([^/]+)(?:\/(tokens(?:\/\d+)?|participants\/\d+|document|(?:files|directories)\/?(.*)|cells\/[^/]+\/output))?$/.exec(url.pathname);
    if (match) return this.serveSession(match, request, response);
    if (url.pathname === "/v1/sessions") {
      if (request.headers.authorization !== `Bearer ${this.options.token}`) return void response.writeHead(401).end();
      const sessions = [...this.sessions.values()].map((one) => ({
        id: one.id, template: "python", backend: "local", state: one.state, participants: one.sockets.size, cells: one.executions, created: one.created, memory_bytes: 24 << 20,
      }));
      return void response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify({ sessions }));
    }
    const asset = this.assets.get(url.pathname === "/" ? "/index.html" : url.pathname);
    if (!asset) return void response.writeHead(404).end("not found");
    const headers = { ...asset.headers, "x-content-type-options": "nosniff", "referrer-policy": "no-referrer" };
    // As the gateway has it: with a key that it knows, a page may be shown in frames of that key's origins.
    if (url.pathname === "/" && !this.options.keys[url.searchParams.get("key")]) headers["content-security-policy"] += "; frame-ancestors 'self'";
    if (url.pathname === "/embed.js") Object.assign(headers, { "access-control-allow-origin": "*", "cross-origin-resource-policy": "cross-origin" });
    for (const name of this.options.withoutHeaders) delete headers[name];
    response.writeHead(200, headers).end(asset.body);
  }

  async serveSession([, id, what, path], request, response) {
    const session = this.sessions.get(id);
    const token = (request.headers.authorization ?? "").replace("Bearer ", "");
    if (!session || (!session.tokens.has(token) && token !== this.options.token)) return void response.writeHead(404).end("{}");
    const body = [];
    for await (const chunk of request) body.push(chunk);
    const bytes = Buffer.concat(body);
    const json = (value) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
    const [kind, number] = (what ?? "").split("/");
    if (kind === "tokens" || kind === "participants") {
      const problem = (status, detail) => response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify({ status, detail }));
      if (token !== this.options.token && session.tokens.get(token) !== "owner") return void problem(403, "this needs the role owner");
      if (request.method === "POST") {
        if (session.key?.sharing === false) return void problem(403, "the publishable key site does not allow share links");
        const { role, ...withheld } = JSON.parse(bytes.toString());
        const made = session.tokenFor(role, false, session.listed.get(token)?.id ?? null, withheld);
        return json({ token: made, session: session.id, ...session.listed.get(made) });
      }
      if (request.method === "GET") return json({ tokens: [...session.listed.values()] });
      const key = kind === "tokens" ? "id" : "participant";
      const found = [...session.listed].find(([, one]) => one[key] === Number(number));
      if (!found) return void problem(404, `there is no ${kind === "tokens" ? "token" : "participant"} of this number`);
      if (request.method === "PATCH") {
        const refused = session.changeRights(found[0], JSON.parse(bytes.toString()));
        return void (refused ? problem(...refused) : response.writeHead(204).end());
      }
      if (found[1].id === 1) return void problem(409, "this is the token of the session's creator, which ends with the session; end that");
      session.revoke(found[0], kind === "tokens" ? "the link to this session was revoked" : "an owner removed you from this session");
      return void response.writeHead(204).end();
    }
    if (kind === "document" && this.options.documents) {
      if (request.method !== "POST") return void response.writeHead(405).end("{}");
      if (!session.mayEdit(token)) return void response.writeHead(403).end("{}");
      const seeded = session.document.seed(JSON.parse(bytes.toString()));
      session.madeDocument();
      return void response.writeHead(seeded ? 201 : 200, { "content-type": "application/json" }).end(JSON.stringify({ seeded }));
    }
    if (kind === "files" || kind === "directories") return this.serveFiles(session, kind, decodeURIComponent(path ?? ""), request, response, bytes, token);
    if (request.method === "DELETE") {
      session.end("requested", "the session was ended by its owner", 1000);
      return void response.writeHead(204).end();
    }
    if (what?.startsWith("cells/")) return void response.writeHead(200).end(Buffer.alloc(17 << 20, "y"));
    return void response.writeHead(404).end("{}");
  }

  serveFiles(session, kind, path, request, response, bytes, token) {
    const json = (value, status = 200) => response.writeHead(status, { "content-type": "application/json" }).end(JSON.stringify(value));
    const problem = ([status, detail]) => response.writeHead(status, { "content-type": "application/problem+json" }).end(JSON.stringify({ status, detail }));
    const query = new URL(request.url, "http://x").searchParams;
    if (this.options.allowed?.files === false || session.key || session.tokens.get(token) === "viewer") return void problem([403, "this session gives no files out"]);
    const failure = this.options.fileProblem?.(request.method, path || query.get("path") || "");
    if (failure) return void problem(failure);
    if (kind === "directories") {
      const isNew = !session.folders.has(path);
      session.folders.add(path);
      return void json({ path }, isNew ? 201 : 200);
    }
    if (request.method === "DELETE" || request.method === "POST") {
      const refused = request.method === "DELETE" ? session.remove(path, query.get("recursive") === "true") : session.move(path, query.get("move_to"));
      return void (refused ? problem(refused) : response.writeHead(204).end());
    }
    if (request.method === "PUT") {
      session.write(path, bytes);
      return void json({ path, size: bytes.length }, 201);
    }
    if (path) {
      const content = session.files.get(path);
      return void (content ? response.writeHead(200, { "content-length": content.length }).end(content) : problem([404, "cannot find the file"]));
    }
    const entries = session.list(query.get("path") ?? "");
    return void (entries ? json({ path: query.get("path") ?? "", entries, truncated: false }) : problem([404, "cannot find the directory"]));
  }

  async close() {
    this.breakConnections();
    for (const ws of this.documents.clients) ws.terminate();
    this.documents.close();
    this.wss.close();
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

class FakeSocket {
  constructor(ws, id, name, role, windowBytes) {
    Object.assign(this, { ws, id, name, role, windowBytes });
    this.acks = false;
    this.outstanding = [];
    this.waiting = [];
    /** The most bytes that were ever unacknowledged. */
    this.mostOutstanding = 0;
  }

  reply(message) {
    this.ws.send(JSON.stringify(message));
  }

  push(event) {
    this.waiting.push({ seq: event.seq, text: JSON.stringify(event) });
    this.flush();
  }

  acknowledge(seq) {
    this.acks = true;
    this.outstanding = this.outstanding.filter((sent) => sent.seq > seq);
    this.flush();
  }

  flush() {
    while (this.waiting.length > 0) {
      const bytes = this.outstanding.reduce((sum, sent) => sum + sent.bytes, 0);
      const next = this.waiting[0];
      if (this.acks && bytes > 0 && bytes + next.text.length > this.windowBytes) return;
      this.waiting.shift();
      if (this.acks) this.outstanding.push({ seq: next.seq, bytes: next.text.length });
      this.mostOutstanding = Math.max(this.mostOutstanding, bytes + next.text.length);
      this.ws.send(next.text);
    }
  }

  close(code, reason) {
    this.ws.close(code, reason);
  }
}

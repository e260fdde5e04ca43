// Stands between a browser and the real gateway, so that tests can break connections as networks
// do, see what a page asks for, serve another page (the plain one) before the same sandboxes, and leave
// out headers that some browsers do not know.

import { readFile } from "node:fs/promises";
import { createServer, request as ask } from "node:http";
import { connect } from "node:net";

export class Front {
  constructor(upstream, { page = null, withoutHeaders = [] } = {}) {
    this.upstream = new URL(upstream);
    this.page = page;
    this.withoutHeaders = withoutHeaders;
    this.sockets = new Set();
    /** Sessions that were joined through it. */
    this.sessions = new Set();
    /** Method and path of every request, and whether it was for a WebSocket. */
    this.requests = [];
    /** Whether new WebSockets are turned away. */
    this.down = false;
  }

  async listen() {
    this.assets = this.page ? await readAssets(this.page) : new Map();
    this.server = createServer((request, response) => this.pass(request, response));
    this.server.on("upgrade", (request, socket, head) => this.upgrade(request, socket, head));
    await new Promise((resolve) => this.server.listen(0, "127.0.0.1", resolve));
    this.url = `http://127.0.0.1:${this.server.address().port}`;
    return this;
  }

  pass(request, response) {
    const { pathname } = new URL(request.url, this.url);
    this.requests.push(`${request.method} ${pathname}`);
    const asset = this.assets.get(pathname === "/" ? "/index.html" : pathname);
    if (asset) {
      response.writeHead(200, this.without(asset.headers));
      return void response.end(asset.body);
    }
    const { hostname: host, port } = this.upstream;
    const passed = ask({ host, port, path: request.url, method: request.method, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, this.without(answer.headers));
      answer.pipe(response);
    });
    passed.on("error", () => response.destroy());
    request.pipe(passed);
  }

  without(headers) {
    return Object.fromEntries(Object.entries(headers).filter(([name]) => !this.withoutHeaders.includes(name)));
  }

  upgrade(request, socket, head) {
    this.requests.push(`WS ${new URL(request.url, this.url).pathname} from ${request.headers.origin}`);
    if (this.down) return void socket.destroy();
    const further = connect(Number(this.upstream.port), this.upstream.hostname);
    const headers = Object.entries(request.headers).map(([name, value]) => `${name}: ${value}`);
    further.write(`GET ${request.url} HTTP/1.1\r\n${headers.join("\r\n")}\r\n\r\n`);
    further.write(head);
    further.pipe(socket);
    socket.pipe(further);
    this.noteSession(further);
    for (const [one, other] of [[socket, further], [further, socket]]) {
      this.sockets.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        this.sockets.delete(one);
        other.destroy();
      });
    }
  }

  /** Reads which session a connection joins: its first message, `ready`, names it. */
  noteSession(further) {
    let beginning = "";
    const read = (chunk) => {
      beginning += chunk.toString("latin1");
      const ready = /"session":"([^"]+)"/.exec(beginning);
      if (!ready) return;
      this.sessions.add(ready[1]);
      further.off("data", read);
    };
    further.on("data", read);
  }

  /** Breaks every WebSocket without a closing handshake. */
  breakConnections() {
    for (const socket of this.sockets) socket.destroy();
  }

  /** Ends its sessions too: a cell that goes on would slow the tests that follow. */
  async close() {
    this.breakConnections();
    const headers = { authorization: `Bearer ${this.token}` };
    await Promise.all([...this.sessions].map((id) => fetch(new URL(`/v1/sessions/${id}`, this.upstream), { method: "DELETE", headers })));
    this.server.closeAllConnections();
    await new Promise((resolve) => this.server.close(resolve));
  }
}

/** Reads what the build left, by the manifest that the gateway embeds too. */
export async function readAssets(directory) {
  const manifest = await readFile(`${directory}/assets.tsv`, "utf8");
  const assets = new Map();
  for (const line of manifest.replace(/\n$/, "").split("\n")) {
    const [path, contentType, , , csp, more] = line.split("\t");
    const headers = { "content-type": contentType, ...(csp && { "content-security-policy": csp }) };
    for (const header of more ? more.split(" | ") : []) {
      const [name, value] = header.split(/: (.*)/);
      headers[name] = value;
    }
    assets.set(`/${path}`, { headers, body: await readFile(`${directory}/${path}`) });
  }
  return assets;
}

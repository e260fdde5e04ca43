// What the tests share: a gateway of their own, and a proxy that cuts connections.
//
// The gateway's program is found as `Gateway.start` finds it; $CELLGATE_TEST_ARGUMENTS has more flags for it.

import { createHash } from "node:crypto";
import { connect, createServer } from "node:net";
import { Gateway } from "../../dist/client/node.js";

/** Node before 22 has no WebSocket of its own. */
export const WebSocket = globalThis.WebSocket ?? (await import("ws")).default;

/** Flags of the gateways that the tests start. */
export const flags = (process.env.CELLGATE_TEST_ARGUMENTS ?? "--backend local").split(" ").filter(Boolean);

export const startGateway = (more = []) => Gateway.start({ arguments: [...flags, ...more] });

export const sha256 = (text) => createHash("sha256").update(text).digest("hex");

/** Prints about 4 MiB that no two places of look alike, and its SHA-256 at the end as the cell's value. */
export const NOISE = `
import hashlib, random, sys
noise, digest = random.Random(7), hashlib.sha256()
for line in range(40_000):
    text = f"{line} {noise.getrandbits(320):080x} é🦀\\n"
    digest.update(text.encode())
    sys.stdout.write(text)
digest.hexdigest()
`;

/** Passes TCP connections on to a gateway, and cuts them: each after so many bytes of answers, or all at once. */
export class CuttingProxy {
  /** Bytes towards the client after which a connection is reset. */
  cutAfter = Infinity;
  /** Connections that were cut. */
  cuts = 0;
  /** While false, connections are reset at once. */
  accepts = true;
  #open = new Set();
  #server;

  static async before(url) {
    const { hostname, port } = new URL(url);
    const proxy = new CuttingProxy();
    proxy.#server = createServer((client) => proxy.#passOn(client, connect(Number(port), hostname)));
    await new Promise((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    proxy.url = `http://127.0.0.1:${proxy.#server.address().port}`;
    return proxy;
  }

  /** Cuts all connections now. */
  cut() {
    for (const client of this.#open) this.#reset(client);
  }

  close() {
    this.#server.close();
    this.cut();
  }

  #reset(client) {
    if (!this.#open.delete(client)) return;
    this.cuts += 1;
    client.resetAndDestroy();
  }

  #passOn(client, server) {
    client.on("error", () => {}).on("close", () => { this.#open.delete(client); server.destroy(); });
    server.on("error", () => {}).on("close", () => client.end());
    this.#open.add(client);
    if (!this.accepts) return this.#reset(client);
    let passed = 0;
    client.pipe(server);
    server.on("data", (data) => {
      const left = Math.max(0, this.cutAfter - passed);
      passed += data.length;
      if (data.length > left) {
        // In the middle of an event, once what comes before it has left.
        if (left === 0) this.#reset(client);
        else client.write(data.subarray(0, left), () => this.#reset(client));
        return;
      }
      const more = client.write(data);
      if (more) return;
      server.pause();
      client.once("drain", () => server.resume());
    });
  }
}

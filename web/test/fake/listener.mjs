// Listens on loopback for whatever should never come: UDP (STUN) and TCP (preconnect, TURN).

import { createSocket } from "node:dgram";
import { createServer } from "node:http";

export class Listener {
  /** What came, one word each: `udp`, `tcp`. */
  heard = [];

  /** `page`: HTML that it serves without any policy. */
  async listen(page = "") {
    this.http = createServer((_, response) => response.writeHead(200, { "content-type": "text/html" }).end(page));
    this.http.on("connection", () => this.heard.push("tcp"));
    this.udp = createSocket("udp4", () => this.heard.push("udp"));
    await new Promise((resolve) => this.http.listen(0, "127.0.0.1", resolve));
    await new Promise((resolve) => this.udp.bind(0, "127.0.0.1", resolve));
    this.tcpPort = this.http.address().port;
    this.udpPort = this.udp.address().port;
    return this;
  }

  async close() {
    this.udp.close();
    this.http.closeAllConnections();
    await new Promise((resolve) => this.http.close(resolve));
  }
}

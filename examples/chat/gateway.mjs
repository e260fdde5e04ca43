// The gateway that runs the code: the one that $CELLGATE_URL names, else one that this program starts and, should it end,
// starts again.

import { Client } from "cellgate";
import { Gateway } from "cellgate/node";

/** How long a running cell waits for a gateway that does not answer any more. One of our own does not come back. */
const RECONNECT_MS = { named: 20_000, own: 3_000 };

export class GatewayKeeper {
  #start;
  #client;
  #own; // the gateway that was started here
  #starting; // while one starts

  /** `url` and `token`: of a gateway that runs already. `start`: starts one. */
  constructor({ url = process.env.CELLGATE_URL, token, start = () => Gateway.start() } = {}) {
    this.#start = start;
    if (url) this.#client = new Client({ url, token, reconnectForMs: RECONNECT_MS.named });
  }

  /** Whether the gateway is gone for good. One that is named may come back. */
  get hasEnded() { return this.#own !== undefined && !this.#own.running; }

  /** A client of the gateway, which runs when this settles. Another gateway has another client. */
  async client() {
    if (!this.#client || this.hasEnded) {
      this.#starting ??= this.#startOwn().finally(() => { this.#starting = undefined; });
      await this.#starting;
    }
    return this.#client;
  }

  /** Ends the gateway that was started here. */
  async stop() {
    await this.#starting?.catch(() => {});
    await this.#own?.stop();
  }

  async #startOwn() {
    this.#own = await this.#start();
    this.#client = this.#own.client({ reconnectForMs: RECONNECT_MS.own });
  }
}

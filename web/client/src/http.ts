// Requests to a gateway, sent again when the connection breaks if that does no harm.

import { CellgateError, RequestFailed } from "./errors.js";
import { failureOf, unreachable } from "./failures.js";
import { sentenceOf } from "./files.js";

/** How requests are made. */
export interface HttpOptions {
  /** In the place of the global `fetch`. */
  fetch?: typeof fetch;
  /** How long a gateway that has answered before may be away, in milliseconds, before a request fails; 60,000 by default. */
  reconnectForMs?: number;
}

export interface Order {
  /** Sent as JSON. */
  json?: unknown;
  headers?: Record<string, string>;
  signal?: AbortSignal;
  /** Whether it may be sent again when the connection breaks; unless told, all but POST and PATCH. */
  again?: boolean;
  /** Whether a 404 means the session itself. */
  aboutSession?: boolean;
  /** Called when the connection of an attempt broke, which the gateway may have received. */
  lost?(): void;
  /** Called with the error of each attempt that the gateway refused; answers whether the next one may help. */
  refused?(error: RequestFailed, attempt: number): boolean;
}

const RECONNECT_FOR_MS = 60_000;
const FIRST_CONTACT_MS = 1_000; // a wrong address should be told soon
const LEAST_DELAY_MS = 100;
const MOST_DELAY_MS = 4_000;

export class Http {
  readonly #fetch: typeof fetch;
  readonly #patienceMs: number;
  #reached = false;

  constructor(
    /** The gateway's address without a slash at the end. */
    readonly base: string,
    readonly token: string | undefined,
    readonly options: HttpOptions = {},
  ) {
    const given = options.fetch ?? globalThis.fetch;
    if (!given) throw new CellgateError("there is no global fetch here: use Node 18 or newer, or give one as the option fetch");
    // Browsers refuse a `fetch` that is called as a method of something else than the window.
    this.#fetch = (...request) => given(...request);
    this.#patienceMs = options.reconnectForMs ?? RECONNECT_FOR_MS;
  }

  /** The same gateway, with another token. */
  with(token: string | undefined): Http {
    const other = new Http(this.base, token, this.options);
    other.#reached = this.#reached;
    return other;
  }

  /** How attempts that follow each other are spaced, and when to give up. */
  pauses(): Pauses {
    return new Pauses(this.base, this.#reached ? this.#patienceMs : Math.min(FIRST_CONTACT_MS, this.#patienceMs));
  }

  async json<Answer>(method: string, path: string, order: Order = {}): Promise<Answer> {
    return (await (await this.send(method, path, order)).json()) as Answer;
  }

  /** Sends a request; `path` comes after `/v1/`. Answers the response if its status is one of success. */
  async send(method: string, path: string, order: Order = {}): Promise<Response> {
    const { json, signal, again = method !== "POST" && method !== "PATCH" } = order;
    const init: RequestInit = {
      method,
      headers: {
        ...(this.token !== undefined && { authorization: `Bearer ${this.token}` }),
        ...(json !== undefined && { "content-type": "application/json" }),
        ...order.headers,
      },
      ...(json !== undefined && { body: JSON.stringify(json) }),
      ...(signal && { signal }),
    };
    const pauses = this.pauses();
    for (let attempt = 1; ; attempt += 1) {
      let response: Response;
      try {
        response = await this.#fetch(`${this.base}/v1/${path}`, init);
      } catch (cause) {
        if (signal?.aborted) throw cause;
        if (!again) throw unreachable(this.base, cause);
        order.lost?.();
        await pauses.next(cause, signal);
        continue;
      }
      this.#reached = true;
      if (response.ok) return response;
      const error = await refusalOf(response, order.aboutSession);
      if (!order.refused?.(error, attempt)) throw error;
      await pauses.next(error, signal);
    }
  }
}

/** The pauses between attempts to reach a gateway: each twice as long as the one before it. */
export class Pauses {
  #delay = LEAST_DELAY_MS;
  #until: number;

  constructor(readonly base: string, readonly patienceMs: number) {
    this.#until = Date.now() + patienceMs;
  }

  /** The gateway has answered. */
  reset(): void {
    this.#delay = LEAST_DELAY_MS;
    this.#until = Date.now() + this.patienceMs;
  }

  /** Waits; throws that the gateway cannot be reached if it was away for too long. */
  async next(cause: unknown, signal?: AbortSignal): Promise<void> {
    if (Date.now() >= this.#until) throw cause instanceof RequestFailed ? cause : unreachable(this.base, cause);
    // Many clients of one gateway do not come back together.
    const delay = this.#delay / 2 + Math.random() * (this.#delay / 2);
    this.#delay = Math.min(this.#delay * 2, MOST_DELAY_MS);
    await new Promise<void>((resolve, reject) => {
      const timer = setTimeout(over, delay);
      signal?.addEventListener("abort", over, { once: true });
      function over(): void {
        clearTimeout(timer);
        signal?.removeEventListener("abort", over);
        if (signal?.aborted) reject(signal.reason);
        else resolve();
      }
    });
  }
}

async function refusalOf(response: Response, aboutSession?: boolean): Promise<RequestFailed> {
  const fallback = `the gateway answered with HTTP status ${response.status}`;
  let text = "";
  try {
    text = await response.text();
  } catch {
    // The connection broke after the status, which says enough.
  }
  return failureOf(response.status, sentenceOf(text, fallback), response.headers.get("retry-after"), aboutSession);
}

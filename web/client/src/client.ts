// A gateway by requests: for programs that hold no WebSocket, such as functions that live for one request.
//
//   const client = new Client({ url: "http://127.0.0.1:8080", token });
//   (await client.run("6 * 7")).text;                       // one cell in a session of its own
//   const session = await client.sessions.create();         // variables stay
//   await session.runCode("x = 6"); (await session.runCode("x * 7")).text;
//   await session.end();

import { addressOf } from "./address.js";
import { PendingCell } from "./cell.js";
import type { RunOptions } from "./cell.js";
import { CellgateError, ConnectionClosed } from "./errors.js";
import { Http } from "./http.js";
import type { HttpOptions } from "./http.js";
import { randomId } from "./id.js";
import { Outcome } from "./outcome.js";
import type { Gap, Ready, SessionEvent, SessionState } from "./protocol.js";
import { outcomeOf, RestSession } from "./restsession.js";
import { eventsOf, StreamBroke } from "./sse.js";

/** Where the gateway is, and what opens it. */
export interface ClientOptions extends HttpOptions {
  /** The gateway's address, or what it prints at its start; in Node, $CELLGATE_URL stands in for it. */
  url?: string | URL;
  /** A gateway token or a publishable key; in Node, $CELLGATE_TOKEN stands in for it. */
  token?: string;
}

/** How to run one cell in a session of its own, and whom to tell. */
export interface RunOnceOptions
  extends Pick<RunOptions, "onStarted" | "onStdout" | "onStderr" | "onResult" | "onDisplay" | "onError" | "onEvent" | "timeoutMs" | "env" | "keepCharacters"> {
  /** What the sandbox is made from. */
  template?: string;
  /** Ends the cell and its session when aborted; the promise rejects with the reason. */
  signal?: AbortSignal;
}

/** A session to make. */
export interface CreateOptions {
  /** What it is made from; the gateway's first template by default. */
  template?: string;
  /** Environment variables of all its cells. */
  env?: Record<string, string>;
  /** Files of its working directory: their texts, by their paths. */
  files?: Record<string, string>;
  /** How long it may do nothing, in milliseconds. */
  idleTimeoutMs?: number;
  /** How long it may live, in milliseconds. */
  lifetimeMs?: number;
  /** The same key makes the same session, however often it is sent; a random one by default. */
  idempotencyKey?: string;
  signal?: AbortSignal;
}

/** What a session does. `created` is in Unix milliseconds. */
export interface SessionInfo {
  id: string;
  template: string;
  backend: string;
  state: SessionState;
  participants: number;
  cells: number;
  created: number;
  memory_bytes?: number;
  /** Name of the publishable key that made it. */
  key?: string;
}

export class Client {
  /** Makes, lists and ends sessions. */
  readonly sessions: Sessions;
  readonly #http: Http;

  constructor(options: ClientOptions = {}) {
    const { base, token } = addressOf({ ...options });
    this.#http = new Http(base, token, options);
    this.sessions = new Sessions(this.#http);
  }

  /** Where the gateway is. */
  get url(): string { return this.#http.base; }

  /** Runs one cell in a session of its own, which ends with it. `input()` raises: nobody can answer. */
  run(code: string, options: RunOnceOptions = {}): Promise<Outcome> {
    return outcomeOf(this.stream(code, options));
  }

  /** The same as an iteration over the cell's events, `done` being the last. Leaving early ends the cell. */
  async *stream(code: string, options: RunOnceOptions = {}): AsyncGenerator<SessionEvent, Outcome> {
    const { template, timeoutMs, env, signal } = options;
    const response = await this.#http.send("POST", "run", {
      json: { code, template, timeout_ms: timeoutMs, env },
      headers: { accept: "text/event-stream" },
      ...(signal && { signal }),
    });
    const cell = new PendingCell({ type: "execute", id: "", code }, { ...options, signal: undefined } as RunOptions);
    try {
      for await (const event of eventsOf<SessionEvent | Gap>(response)) {
        if (event.type === "gap") {
          if (!event.superseded) cell.uncertain = true;
          continue;
        }
        // What the session as a whole does, such as `status`, is no matter of the cell.
        if (!("id" in event) || event.id === undefined) continue;
        const over = cell.take(event);
        yield event;
        if (over) return new Outcome({ ...(await cell.promise), id: event.id });
      }
    } catch (cause) {
      signal?.throwIfAborted();
      if (!(cause instanceof StreamBroke)) throw cause;
    }
    throw new ConnectionClosed(1006, "the connection broke while the cell ran, which ended it. Run it again if it may run twice, "
      + "or in a session that outlives connections: client.sessions.create()");
  }
}

export class Sessions {
  readonly #http: Http;

  constructor(http: Http) {
    this.#http = http;
  }

  /** Makes a session. It lives until it is ended or reaches its idle timeout or lifetime, whoever is connected. */
  async create(options: CreateOptions = {}): Promise<RestSession> {
    const { template, env, files, idleTimeoutMs, lifetimeMs, idempotencyKey = randomId(), signal } = options;
    const made = await this.#http.json<{ id: string } & Omit<Ready, "type">>("POST", "sessions", {
      json: { template, env, files, idle_timeout_ms: idleTimeoutMs, lifetime_ms: lifetimeMs },
      headers: { "idempotency-key": idempotencyKey },
      again: true,
      // The first attempt is under way still: its answer comes with the next one.
      refused: ({ status }, attempt) => status === 409 && attempt < 100,
      ...(signal && { signal }),
    });
    return new RestSession(this.#http.with(made.token), made.id, made.seq);
  }

  /** The sessions that this token may list. */
  async list(): Promise<SessionInfo[]> {
    return (await this.#http.json<{ sessions: SessionInfo[] }>("GET", "sessions")).sessions;
  }

  /** What a session does. */
  get(id: string): Promise<SessionInfo> {
    return this.#http.json("GET", `sessions/${encodeURIComponent(id)}`, { aboutSession: true });
  }

  /** A session that there is already, without a request: with a token of its own, or with this client's. */
  open(id: string, token = this.#http.token): RestSession {
    if (!id) throw new CellgateError("a session is opened by its id: see `id` of what sessions.create() answered");
    return new RestSession(this.#http.with(token), id);
  }

  /** Ends a session for everybody. */
  async end(id: string): Promise<void> {
    await this.open(id).end();
  }
}

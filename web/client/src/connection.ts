// One WebSocket after another to the same session.
//
//   connecting ──ready──► open ──lost──► waiting ──► connecting …
//        └──────── closed by a code that trying again cannot help ────► closed
//
// The connection knows sockets, seqs and back-off, and nothing of cells. After every `ready` the
// replay of what was missed follows; the owner is told when it is complete.

import { CellgateError, ConnectionClosed } from "./errors.js";
import { BEARER_SUBPROTOCOL, SUBPROTOCOL } from "./protocol.js";
import type { ClientMessage, Ready, ServerMessage, SessionEvent } from "./protocol.js";

/** The part of the WebSocket interface that is used; browsers, Node 22 and `ws` have it. */
export interface WebSocketLike {
  readyState: number;
  onopen: ((event: any) => void) | null;
  onmessage: ((event: any) => void) | null;
  onclose: ((event: any) => void) | null;
  onerror: ((event: any) => void) | null;
  send(data: string): void;
  close(code?: number, reason?: string): void;
}

/** Makes a WebSocket. */
export type WebSocketConstructor = new (url: string, protocols?: string[]) => WebSocketLike;

/** How to find a session. */
export interface ConnectOptions {
  /** Where the gateway is: `http:`, `https:`, `ws:` or `wss:`; `/ws` is added unless it is there. */
  url: string | URL;
  /** A gateway token to make a session, or a session token to attach to one. */
  token?: string;
  /** Attach to this session instead of making one. */
  session?: string;
  /** Replay what came after this seq; by default everything the log holds. */
  after?: number;
  /** Which recipe to make the sandbox from. */
  template?: string;
  /** Shown to the other participants. */
  name?: string;
  /** For Node before 22, where there is no global WebSocket. */
  WebSocket?: WebSocketConstructor;
  /** Whether a lost connection is made again; on by default. */
  reconnect?: boolean;
  /** First pause before connecting again, in milliseconds; it doubles up to `maxDelayMs`. */
  minDelayMs?: number;
  maxDelayMs?: number;
  /** How long to wait for `ready`, in milliseconds. A sandbox may have to be made first. */
  readyTimeoutMs?: number;
}

/** Where a connection stands. */
export type ConnectionState =
  | { state: "connecting"; attempt: number }
  | { state: "open" }
  /** `at` is when the next attempt begins, in Unix milliseconds. */
  | { state: "waiting"; attempt: number; at: number; cause: ConnectionClosed }
  | { state: "closed"; cause: ConnectionClosed };

/** Whom a connection tells. Called in the order of the wire. */
export interface ConnectionListener {
  /** The first message of every socket. `resumed` is false for the first one. */
  ready(ready: Ready, resumed: boolean): void;
  /** Every other message; events at most once, in the order of their seq. */
  message(message: ServerMessage, bytes: number): void;
  /** Everything that the log held when this socket was attached has been delivered. */
  caughtUp(): void;
  state(state: ConnectionState): void;
}

const OPEN = 1; // WebSocket.OPEN

export class Connection {
  readonly #options: Required<Pick<ConnectOptions, "reconnect" | "minDelayMs" | "maxDelayMs" | "readyTimeoutMs">> & ConnectOptions;
  readonly #listener: ConnectionListener;
  readonly #WebSocket: WebSocketConstructor;
  #socket: WebSocketLike | null = null;
  #state: ConnectionState = { state: "connecting", attempt: 0 };
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #ready: Ready | null = null;
  #lastSeq: number | undefined;
  #catchUpTo: number | null = null;

  constructor(options: ConnectOptions, listener: ConnectionListener) {
    const found = options.WebSocket ?? (globalThis as { WebSocket?: WebSocketConstructor }).WebSocket;
    if (!found) {
      throw new CellgateError("there is no global WebSocket here: give one as the option WebSocket");
    }
    this.#WebSocket = found;
    this.#listener = listener;
    this.#options = {
      ...options,
      reconnect: options.reconnect ?? true,
      minDelayMs: options.minDelayMs ?? 250,
      maxDelayMs: options.maxDelayMs ?? 15_000,
      readyTimeoutMs: options.readyTimeoutMs ?? 60_000,
    };
    this.#lastSeq = options.after;
    this.#open();
  }

  get state(): ConnectionState { return this.#state; }

  /** The seq of the newest event delivered, or of the end of a gap. */
  get lastSeq(): number | undefined { return this.#lastSeq; }

  /** Sends unless there is no open socket; says whether it was sent. */
  send(message: ClientMessage): boolean {
    if (this.#state.state !== "open" || this.#socket?.readyState !== OPEN) return false;
    this.#socket.send(JSON.stringify(message));
    return true;
  }

  /** Ends the pause before the next attempt, if there is one. */
  retryNow(): void {
    if (this.#state.state !== "waiting") return;
    clearTimeout(this.#timer);
    this.#open();
  }

  /** Detaches for good. The session lives on. */
  close(): void {
    if (this.#state.state === "closed") return;
    this.#finish(new ConnectionClosed(1000, "closed by this client"));
  }

  #open(): void {
    this.#become({ state: "connecting", attempt: this.#attempt });
    const { url, protocols } = this.#address();
    let socket: WebSocketLike;
    try {
      socket = new this.#WebSocket(url, protocols);
    } catch (error) {
      this.#finish(new ConnectionClosed(1006, String((error as Error).message ?? error)));
      return;
    }
    this.#socket = socket;
    this.#timer = setTimeout(() => {
      this.#lost(new ConnectionClosed(1006, "no answer in time"));
    }, this.#options.readyTimeoutMs);
    socket.onmessage = (event) => {
      if (this.#socket === socket && typeof event.data === "string") this.#receive(event.data);
    };
    // What happened is in the close event that follows.
    socket.onerror = () => {};
    socket.onclose = (event) => {
      if (this.#socket === socket) this.#lost(new ConnectionClosed(event.code ?? 1006, event.reason ?? ""));
    };
  }

  #address(): { url: string; protocols: string[] } {
    const { options, ready } = { options: this.#options, ready: this.#ready };
    const url = new URL(options.url);
    url.protocol = url.protocol.replace(/^http/, "ws");
    if (!url.pathname.endsWith("/ws")) url.pathname = url.pathname.replace(/\/?$/, "/ws");
    url.hash = "";
    const session = ready?.session ?? options.session;
    if (session) url.searchParams.set("session", session);
    else if (options.template) url.searchParams.set("template", options.template);
    if (session && this.#lastSeq !== undefined) url.searchParams.set("after", String(this.#lastSeq));
    if (options.name) url.searchParams.set("name", options.name);
    const token = ready?.token ?? options.token;
    const protocols = [SUBPROTOCOL];
    if (token) protocols.push(BEARER_SUBPROTOCOL + base64url(token));
    return { url: url.href, protocols };
  }

  #receive(text: string): void {
    let message: ServerMessage;
    try {
      message = JSON.parse(text);
    } catch {
      this.#finish(new ConnectionClosed(1002, "the gateway sent something that is not JSON"));
      return;
    }
    if (message.type === "ready") {
      clearTimeout(this.#timer);
      const resumed = this.#ready !== null;
      this.#ready = message;
      this.#attempt = 0;
      this.#catchUpTo = message.seq;
      this.#become({ state: "open" });
      this.#listener.ready(message, resumed);
      this.#checkCaughtUp();
      return;
    }
    const seq = (message as SessionEvent).seq;
    if (typeof seq === "number") {
      if (this.#lastSeq !== undefined && seq <= this.#lastSeq) return;
      this.#lastSeq = seq;
    } else if (message.type === "gap") {
      this.#lastSeq = Math.max(this.#lastSeq ?? 0, message.to);
    }
    this.#listener.message(message, text.length);
    this.#checkCaughtUp();
  }

  #checkCaughtUp(): void {
    if (this.#catchUpTo === null || (this.#lastSeq ?? 0) < this.#catchUpTo) return;
    this.#catchUpTo = null;
    this.#listener.caughtUp();
  }

  #lost(cause: ConnectionClosed): void {
    this.#drop();
    // Before the first `ready` there is nothing to resume: the caller learns at once.
    if (!this.#ready || !this.#options.reconnect || !cause.resumable) return this.#finish(cause);
    const { minDelayMs, maxDelayMs } = this.#options;
    const ceiling = Math.min(maxDelayMs, minDelayMs * 2 ** this.#attempt);
    // Full jitter above one half: many clients of one gateway do not come back together.
    const delay = ceiling / 2 + Math.random() * (ceiling / 2);
    this.#attempt += 1;
    this.#timer = setTimeout(() => this.#open(), delay);
    this.#become({ state: "waiting", attempt: this.#attempt, at: Date.now() + delay, cause });
  }

  #finish(cause: ConnectionClosed): void {
    this.#drop();
    this.#become({ state: "closed", cause });
  }

  #drop(): void {
    clearTimeout(this.#timer);
    const socket = this.#socket;
    this.#socket = null;
    if (socket && socket.readyState <= OPEN) socket.close();
  }

  #become(state: ConnectionState): void {
    this.#state = state;
    this.#listener.state(state);
  }
}

function base64url(text: string): string {
  const bytes = new TextEncoder().encode(text);
  let binary = "";
  for (const byte of bytes) binary += String.fromCharCode(byte);
  return btoa(binary).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");
}

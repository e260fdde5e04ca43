// The page's way to a session: finds one, keeps it over reloads, says how the connection stands.
//
//   connecting ─► open ⇄ waiting ─► over ─ start() ─► connecting
//        ├─► refused: a token is needed
//        └─► unavailable: tried again by itself

import { ConnectionClosed, Session } from "../client/src/core.js";
import type { Gap, Participant, ProtocolError, Ready, SessionEvent } from "../client/src/core.js";
import { forgetSession, gatewayToken, keepSession, keepToken, keptSession, ownName } from "./credentials.js";
import type { SessionKey } from "./credentials.js";

export type LinkState =
  | { kind: "connecting" }
  | { kind: "open" }
  /** `stopped`: the gateway said that it shuts down, which ends its sessions. */
  | { kind: "waiting"; at: number; why: string; stopped: boolean }
  | { kind: "unavailable"; at: number; why: string }
  | { kind: "refused"; wrong: boolean }
  | { kind: "over"; why: string; code: number };

export interface LinkHost {
  linkChanged(state: LinkState): void;
  /** `fresh`: a session that had nothing before; else it is resumed, with or without a reload. */
  ready(ready: Ready, resumed: boolean): void;
  event(event: SessionEvent): void;
  gap(gap: Gap): void;
  participants(list: readonly Participant[], document: boolean): void;
  refused(error: ProtocolError): void;
  /** The session this tab had is gone and a new one takes its place. */
  lostEarlier(): void;
}

const RETRY_MS = [1000, 2000, 4000, 8000, 15_000];

/** The session that several frames of one page have together. */
export interface Shared {
  /** `connect` makes a session, or joins the one that the key opens. */
  open(connect: (key: SessionKey | null) => Promise<Session>): Promise<Session>;
}

export class Link {
  shared: Shared | null = null;
  /** What a new session is made from. */
  template: string | null = null;
  session: Session | null = null;
  /** Whether this page has made the session, and not joined it. */
  made = false;
  state: LinkState = { kind: "connecting" };
  readonly #host: LinkHost;
  #attempt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #current = 0;

  constructor(host: LinkHost) {
    this.#host = host;
    addEventListener("online", () => this.retryNow());
  }

  /** Resumes the session of this tab, or starts one. */
  async start(): Promise<void> {
    clearTimeout(this.#timer);
    const turn = ++this.#current;
    this.session?.close();
    this.session = null;
    this.#become({ kind: "connecting" });
    const kept = this.shared ? null : keptSession();
    let stopped = false;
    this.made = kept === null && !this.shared;
    try {
      const connect = (kept: SessionKey | null) => Session.connect({
        url: new URL(".", location.href).href,
        flowControl: "manual",
        ...(ownName() && { name: ownName() }),
        ...(kept ? { session: kept.session, token: kept.token } : { ...(gatewayToken() && { token: gatewayToken()! }), ...(this.template && { template: this.template }) }),
      }, {
        ready: (ready, resumed) => {
          if (turn !== this.#current) return;
          this.#attempt = 0;
          keepSession({ session: ready.session, token: ready.token, ...(kept?.link && { link: kept.link }) });
          this.#host.ready(ready, resumed);
        },
        event: (event) => { if (turn === this.#current) this.#host.event(event); },
        gap: (gap) => { if (turn === this.#current) this.#host.gap(gap); },
        participants: (list, document) => { if (turn === this.#current) this.#host.participants(list, document); },
        refused: (error) => { if (turn === this.#current) this.#host.refused(error); },
        connection: (state) => {
          if (turn !== this.#current) return;
          if (state.state === "open") {
            stopped = false;
            if (this.session || !this.shared) this.#become({ kind: "open" });
          } else if (state.state === "waiting") {
            // The attempts after it fail otherwise.
            stopped ||= state.cause.kind === "draining";
            this.#become({ kind: "waiting", at: state.at, why: state.cause.message, stopped });
          }
        },
      });
      const session = await (this.shared ? this.shared.open(connect) : connect(kept));
      if (turn !== this.#current) return session.close();
      this.session = session;
      // The first `ready` came before there was a session to ask things of.
      this.#become({ kind: "open" });
      void session.closed.then((cause) => { if (turn === this.#current) this.#over(cause); });
    } catch (error) {
      if (turn !== this.#current) return;
      if (!(error instanceof ConnectionClosed)) return this.#become({ kind: "over", why: (error as Error).message, code: 0 });
      this.#failed(error as ConnectionClosed, kept !== null && !kept.link);
    }
  }

  /** Tries the given token. */
  signIn(token: string): void {
    keepToken(token);
    forgetSession();
    void this.start();
  }

  /** Leaves this session behind and starts another. */
  startNew(): void {
    forgetSession();
    void this.start();
  }

  retryNow(): void {
    if (this.state.kind === "waiting") this.session?.retryNow();
    if (this.state.kind === "unavailable") void this.start();
  }

  #failed(cause: ConnectionClosed, hadSession: boolean): void {
    if (hadSession && ["no_session", "unauthorised", "forbidden", "expired", "ended"].includes(cause.kind)) {
      forgetSession();
      this.#host.lostEarlier();
      void this.start();
      return;
    }
    const kept = keptSession();
    if (cause.kind === "unauthorised" && kept?.link && kept.link !== kept.token) {
      // The gateway no longer knows this participant; the link may let it in anew.
      keepSession({ ...kept, token: kept.link });
      void this.start();
      return;
    }
    if (cause.kind === "unauthorised" && kept?.link) {
      forgetSession();
      this.#become({ kind: "over", why: "the link to this session does not open it, or not any more", code: cause.code });
    } else if (cause.kind === "unauthorised") {
      this.#become({ kind: "refused", wrong: gatewayToken() !== undefined });
    } else if (cause.resumable) {
      const delay = RETRY_MS[Math.min(this.#attempt, RETRY_MS.length - 1)]!;
      this.#attempt += 1;
      this.#timer = setTimeout(() => void this.start(), delay);
      const why = cause.kind === "unreachable" ? "The gateway cannot be reached" : cause.message;
      this.#become({ kind: "unavailable", at: Date.now() + delay, why });
    } else {
      this.#over(cause);
    }
  }

  #over(cause: ConnectionClosed): void {
    this.session = null;
    if (cause.kind !== "replaced") forgetSession();
    this.#become({ kind: "over", why: cause.reason || cause.message, code: cause.code });
  }

  #become(state: LinkState): void {
    this.state = state;
    this.#host.linkChanged(state);
  }
}

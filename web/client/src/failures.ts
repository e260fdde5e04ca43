// What can go wrong beside `errors.ts`: typed failures of HTTP requests, each with what to do next.
//
// They are apart so that the console, which shows refusals in words of its own, does not load them.

import { CellgateError, ConnectionClosed, RequestFailed } from "./errors.js";

/** The token is missing, wrong, expired or revoked (401). */
export class Unauthorised extends RequestFailed { override name = "Unauthorised"; }

/** The token is valid and may not do this (403). */
export class Forbidden extends RequestFailed { override name = "Forbidden"; }

/** No session or template has that name; the session may be over (404). */
export class NoSuchSession extends RequestFailed { override name = "NoSuchSession"; }

/** The gateway has no room, or was asked too often (429, 503). */
export class GatewayBusy extends RequestFailed {
  override name = "GatewayBusy";

  constructor(
    status: number,
    message: string,
    /** How long the gateway asks to wait before the next attempt, in milliseconds, if it says so. */
    readonly retryAfterMs: number | undefined,
  ) {
    super(status, message);
  }
}

/** A process or an interpreter could not be started. */
export class ProgramNotStarted extends CellgateError {
  override name = "ProgramNotStarted";

  constructor(message: string, /** Its exit code; 127 says that its file was not found. */ readonly code: number | undefined) {
    super(message);
  }
}

/** `Gateway.start()` found no program to start, or it ended before it served. */
export class GatewayNotStarted extends CellgateError { override name = "GatewayNotStarted"; }

/** What to do about a close code of a WebSocket, beside what the gateway says itself. */
const ADVICE: Record<number, string> = {
  1000: "open a new session with Session.connect()",
  1001: "connect again once the gateway is back",
  1002: "this is a bug of the client or of a proxy between; please report it",
  1006: "check the address, and whether a gateway serves there: `npx cellgate serve` starts one",
  1007: "this is a bug of the client or of a proxy between; please report it",
  1009: "put large data into a file with session.files.put() and read it in the cell",
  1011: "look for the reference in the gateway's log, and connect again",
  1013: "try again in a moment, or raise the gateway's --sessions",
  4401: "check the token: the gateway prints its own at start, and a share link may have expired",
  4403: "use a token that is allowed this",
  4404: "open a new session: connect without `session`",
  4408: "open a new session; the gateway's --idle-timeout and --lifetime say how long one may live",
  4409: "let each client connect with a token of its own: session.sharing.createLink() makes one",
  4413: "take in events faster",
  4429: "send less at a time, or try again in a moment",
};

/** Adds what to do next to the text of an error of a connection; answers the same error. */
export function advise<Cause>(cause: Cause): Cause {
  if (!(cause instanceof ConnectionClosed)) return cause;
  const advice = ADVICE[cause.code];
  if (advice && !cause.message.includes(advice)) cause.message += ` (${advice})`;
  return cause;
}

/** The error for a response that refuses. `aboutSession`: whether a 404 means the session itself. */
export function failureOf(status: number, said: string, retryAfter: string | null, aboutSession = false): RequestFailed {
  switch (status) {
    case 401: return new Unauthorised(status, `${said} (${ADVICE[4401]})`);
    case 403: return new Forbidden(status, `${said} (${ADVICE[4403]})`);
    case 404: return aboutSession ? new NoSuchSession(status, `${said} (client.sessions.create() makes a new session)`) : new RequestFailed(status, said);
    case 429:
    case 503: {
      const seconds = retryAfter === null ? NaN : Number(retryAfter);
      return new GatewayBusy(status, `${said} (${status === 503 ? ADVICE[1013] : ADVICE[4429]})`, Number.isFinite(seconds) ? seconds * 1000 : undefined);
    }
    default: return new RequestFailed(status, said);
  }
}

/** The error where no gateway answers, or not again in time. */
export function unreachable(base: string, cause: unknown): ConnectionClosed {
  // What `fetch` throws says no more than "fetch failed"; the reason is its cause.
  const inner = cause instanceof Error && cause.cause instanceof Error ? cause.cause : cause;
  const why = inner instanceof Error ? inner.message || inner.name : String(inner);
  // Browsers do not tell a page whether it is not allowed to ask.
  const site = "document" in globalThis ? "; or it does not allow pages of this site, which is set with a publishable key" : "";
  const error = new ConnectionClosed(1006, `no gateway answers at ${base}: ${why}${site}`);
  error.cause = cause;
  return advise(error);
}

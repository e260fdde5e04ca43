// What can go wrong, as types: how a connection closed, and which message was refused.

import type { RefusalCode } from "./protocol.js";

/** What a close code means, and whether connecting again may help. */
interface CloseMeaning {
  kind: CloseKind;
  /** Whether the same session can be reached again. */
  resumable: boolean;
  text: string;
}

/** The kinds of ends a connection can come to. */
export type CloseKind =
  | "ended" | "draining" | "protocol" | "not_text" | "message_too_big" | "internal" | "no_capacity"
  | "unauthorised" | "forbidden" | "no_session" | "expired" | "replaced" | "too_slow"
  | "too_many_requests" | "unreachable";

const MEANINGS: ReadonlyMap<number, CloseMeaning> = new Map([
  [1000, { kind: "ended", resumable: false, text: "the session was ended by request" }],
  [1001, { kind: "draining", resumable: true, text: "the gateway is shutting down" }],
  [1002, { kind: "protocol", resumable: false, text: "the gateway saw a violation of the WebSocket protocol" }],
  [1007, { kind: "not_text", resumable: false, text: "the gateway was sent text that is not UTF-8" }],
  [1009, { kind: "message_too_big", resumable: false, text: "a message was larger than the gateway takes" }],
  [1011, { kind: "internal", resumable: true, text: "the gateway failed" }],
  [1013, { kind: "no_capacity", resumable: true, text: "the gateway has no room for another session now" }],
  [4401, { kind: "unauthorised", resumable: false, text: "the token is missing or not valid" }],
  [4403, { kind: "forbidden", resumable: false, text: "this token may not do that" }],
  [4404, { kind: "no_session", resumable: false, text: "there is no such session any more" }],
  [4408, { kind: "expired", resumable: false, text: "the session reached its idle or lifetime limit" }],
  [4409, { kind: "replaced", resumable: false, text: "a newer connection of yours took over" }],
  [4413, { kind: "too_slow", resumable: true, text: "this client did not keep up with the output" }],
  [4429, { kind: "too_many_requests", resumable: true, text: "too many requests" }],
]);

const UNKNOWN: CloseMeaning = { kind: "unreachable", resumable: true, text: "the connection was lost" };

/** Any error this library makes. */
export class CellgateError extends Error {
  override name = "CellgateError";
}

/** The connection closed, or never came to be. */
export class ConnectionClosed extends CellgateError {
  override name = "ConnectionClosed";
  readonly kind: CloseKind;
  /** Whether trying again may reach the same session. */
  readonly resumable: boolean;

  constructor(
    /** The WebSocket close code; 1006 if there was none. */
    readonly code: number,
    /** What the gateway said, at most 123 bytes. */
    readonly reason: string,
  ) {
    const meaning = MEANINGS.get(code) ?? UNKNOWN;
    super(reason ? `${meaning.text}: ${reason}` : meaning.text);
    this.kind = meaning.kind;
    this.resumable = meaning.resumable;
  }
}

/** The gateway refused one message; the connection lives on. */
export class Refused extends CellgateError {
  override name = "Refused";

  constructor(readonly code: RefusalCode, message: string, readonly id?: string) {
    super(message);
  }
}

/** An HTTP request failed. */
export class RequestFailed extends CellgateError {
  override name = "RequestFailed";

  constructor(readonly status: number, message: string) {
    super(message);
  }
}

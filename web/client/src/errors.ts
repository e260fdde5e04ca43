// What can go wrong, as types: how a connection closed, and which message was refused.

import { CloseCode } from "./protocol.js";
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
  | "too_many_requests" | "document_full" | "unreachable";

const MEANINGS: Record<CloseCode, CloseMeaning> = {
  [CloseCode.Ended]: { kind: "ended", resumable: false, text: "the session was ended by request" },
  [CloseCode.Draining]: { kind: "draining", resumable: true, text: "the gateway is shutting down" },
  [CloseCode.Protocol]: { kind: "protocol", resumable: false, text: "the gateway saw a violation of the WebSocket protocol" },
  [CloseCode.Payload]: { kind: "not_text", resumable: false, text: "the gateway was sent text that is not UTF-8" },
  [CloseCode.TooLarge]: { kind: "message_too_big", resumable: false, text: "a message was larger than the gateway takes" },
  [CloseCode.Internal]: { kind: "internal", resumable: true, text: "the gateway failed" },
  [CloseCode.NoCapacity]: { kind: "no_capacity", resumable: true, text: "the gateway has no room for another session now" },
  [CloseCode.Unauthorised]: { kind: "unauthorised", resumable: false, text: "the token is missing or not valid" },
  [CloseCode.Forbidden]: { kind: "forbidden", resumable: false, text: "this token may not do that" },
  [CloseCode.NoSuchSession]: { kind: "no_session", resumable: false, text: "there is no such session any more" },
  [CloseCode.Expired]: { kind: "expired", resumable: false, text: "the session reached its idle or lifetime limit" },
  [CloseCode.Replaced]: { kind: "replaced", resumable: false, text: "a newer connection of yours took over" },
  [CloseCode.TooSlow]: { kind: "too_slow", resumable: true, text: "this client did not keep up with the output" },
  [CloseCode.TooMany]: { kind: "too_many_requests", resumable: true, text: "too many requests" },
  [CloseCode.DocumentFull]: { kind: "document_full", resumable: false, text: "the document would be larger than it may be" },
};

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
    const meaning = (MEANINGS as Record<number, CloseMeaning>)[code] ?? UNKNOWN;
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

// cellgate client: run code in a session of a gateway, from a browser or from Node.

export { Session } from "./session.js";
export type { Completions, SessionListener, SessionOptions } from "./session.js";
export type { CommSend } from "./comm.js";
export type { CellOutcome, InputHandler, RunOptions } from "./cell.js";
export type { ConnectionState, ConnectOptions, WebSocketConstructor, WebSocketLike } from "./connection.js";
export { CellgateError, ConnectionClosed, Refused, RequestFailed } from "./errors.js";
export type { CloseKind } from "./errors.js";
export type { EventStream } from "./events.js";
export type { Files, Grant, SessionToken } from "./files.js";
export { charactersToUnits, unitsToCharacters } from "./text.js";
export * from "./protocol.js";

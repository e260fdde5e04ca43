// The part of the library that the console is made with: what it does not use costs its visitors nothing. Programs
// import `index.ts`, which has all of this and more.

export { BasicSession as Session } from "./session.js";
export type { Completions, SessionListener, SessionOptions, TableQuestion } from "./session.js";
export type { CellOutcome, CommOptions, InputHandler, RunOptions } from "./cell.js";
export type { ConnectionState, ConnectOptions, WebSocketConstructor, WebSocketLike } from "./connection.js";
export { CellgateError, ConnectionClosed, Refused, RequestFailed } from "./errors.js";
export type { CloseKind } from "./errors.js";
export type { EventStream } from "./events.js";
export type { Files, Grant, SessionToken, Withheld } from "./files.js";
export { charactersToUnits, unitsToCharacters } from "./text.js";
export * from "./protocol.js";

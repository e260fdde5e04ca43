// cellgate client: run code in a session of a gateway, from a browser or from Node.

export * from "./core.js";
export { Session } from "./fullsession.js";
export { Client } from "./client.js";
export type { ClientOptions, CreateOptions, RunOnceOptions, SessionInfo, Sessions } from "./client.js";
export type { FileEvent, Files, WatchOptions } from "./fullfiles.js";
export { RestSession } from "./restsession.js";
export type { CellReport, EventsOptions, RestRunOptions } from "./restsession.js";
export { ExecutionFailed, Outcome, Shown } from "./outcome.js";
export { CommandFailed, CommandResult, Interpreter, Process } from "./process.js";
export type { Command, CommandOptions, Exit, PlaceOptions, ProcessOptions } from "./process.js";
export { Forbidden, GatewayBusy, GatewayNotStarted, NoSuchSession, ProgramNotStarted, Unauthorised } from "./failures.js";
export type { LinkOptions, ShareLink, Sharing } from "./sharing.js";
export type { DocumentCell, DocumentText, SharedDocument } from "./document.js";
export { parseAddress } from "./address.js";
export type { Address } from "./address.js";

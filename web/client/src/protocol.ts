// The messages of protocol `cellgate.v1` by their names. What they hold is in `wire.ts`, which is
// generated from the gateway's own definitions.

import type {
  CellStatus, ClientMessage, DoneUsage, ErrorCode, ParticipantInfo, Reply, SessionEvent,
} from "./wire.js";

export { BEARER_SUBPROTOCOL, CloseCode, PROTOCOL, SUBPROTOCOL } from "./wire.js";
export type {
  CellStatus, ClientMessage, Completeness, Directory, DirectoryEntry, DoneUsage, EndReason, EntryKind, ErrorCode, Frame,
  LanguageInfo, Limits, Metadata, MimeBundle, NoticeLevel, ParticipantInfo, ProgramInfo, Reply, Role, SessionEvent, SessionState,
  SortKey, Stream, TableField, TableFormat, Variable, WatchedKind, WatchEvent,
} from "./wire.js";

/** Whatever a gateway sends. */
export type ServerMessage = SessionEvent | Reply;

type Sent<Type extends ClientMessage["type"]> = Extract<ClientMessage, { type: Type }>;
type Heard<Type extends ServerMessage["type"]> = Extract<ServerMessage, { type: Type }>;

/** How a cell ended. */
export type DoneStatus = CellStatus;
/** Why a message was refused. */
export type RefusalCode = ErrorCode;
/** What a cell used. */
export type CellUsage = DoneUsage;
/** Somebody attached to the session. */
export type Participant = ParticipantInfo;

// --- client to gateway ---------------------------------------------------------------------

/** Queues a cell. */
export type Execute = Sent<"execute">;
/** Says something on a comm; runs like a silent cell without code. */
export type SendComm = Sent<"comm_open" | "comm_msg" | "comm_close">;
/** Stops a cell, or the one that runs. */
export type Interrupt = Sent<"interrupt">;
/** Answers an `input_request`: with a line, or with the end of the input. */
export type Input = Sent<"input">;
/** Replaces the interpreter by a fresh one. */
export type Restart = Sent<"restart">;
/** What is said to programs: opens one, ends it, and reaches a process. */
export type ToProgram = Sent<"open" | "close" | "signal" | "resize" | "write">;
/** Asks for completions. */
export type Complete = Sent<"complete">;
/** Asks for a signature and documentation. */
export type Inspect = Sent<"inspect">;
/** Asks whether the code is a whole statement. */
export type IsComplete = Sent<"is_complete">;
/** Asks for rows of a table, or for all of them as CSV. */
export type AskTable = Sent<"table">;
/** Asks for the variables of the code. */
export type AskVariables = Sent<"variables">;
/** Says up to where events were taken in; the first one turns flow control on. */
export type Ack = Sent<"ack">;
/** Is echoed in a `pong` with all its fields. */
export type Ping = Sent<"ping">;
/** Ends the session now. */
export type End = Sent<"end">;

// --- gateway to client: events of the session ------------------------------------------------

/** A cell was accepted. */
export type Queued = Heard<"queued">;
/** A cell began to run. */
export type Started = Heard<"started">;
/** Text of a stream. */
export type Output = Exclude<Heard<"stdout" | "stderr">, { program: string }>;
/** Text that a process wrote, to a stream or its terminal. */
export type ProcessOutput = Extract<Heard<"stdout" | "stderr" | "terminal">, { program: string }>;
/** A program was started. */
export type Opened = Heard<"opened">;
/** A program is no more. */
export type Exited = Heard<"exited">;
/** The value of the last expression. */
export type Result = Heard<"result">;
/** Something was shown. */
export type Display = Heard<"display">;
/** What the cell has shown so far is to be removed. */
export type ClearOutput = Heard<"clear_output">;
/** The code opened a comm, said something on one, or closed one. */
export type CommEvent = Heard<"comm_open" | "comm_msg" | "comm_close">;
/** The code asks for a line. */
export type InputRequest = Heard<"input_request">;
/** The code raised. */
export type ErrorEvent = Heard<"error">;
/** The output budget of a cell was spent. */
export type Truncated = Heard<"truncated">;
/** A cell ended; exactly once for each that was accepted. */
export type Done = Heard<"done">;
/** What the sandbox uses; about once a second while a cell runs. */
export type Usage = Heard<"usage">;
/** The session does something else now. */
export type Status = Heard<"status">;
/** A fresh interpreter took the place of the old one. */
export type Restarted = Heard<"restarted">;
/** Something people should know. */
export type Notice = Heard<"notice">;
/** The session is over; always the last event. */
export type Ended = Heard<"ended">;

// --- gateway to client: replies to one participant -------------------------------------------

/** Always the first message of a connection. */
export type Ready = Heard<"ready">;
/** Who is attached: the whole list, after `ready` and whenever it has changed. */
export type Participants = Heard<"participants">;
/** Names the seqs that cannot be replayed, both ends included. */
export type Gap = Heard<"gap">;
/** Answers `complete`. */
export type CompleteReply = Heard<"complete_reply">;
/** Answers `inspect`. */
export type InspectReply = Heard<"inspect_reply">;
/** Answers `is_complete`. */
export type IsCompleteReply = Heard<"is_complete_reply">;
/** Answers `table`. */
export type TableReply = Heard<"table_reply">;
/** Answers `variables`. */
export type VariablesReply = Heard<"variables_reply">;
/** Echoes a `ping`. */
export type Pong = Heard<"pong">;
/** A message was refused; the connection lives on. */
export type ProtocolError = Heard<"protocol_error">;

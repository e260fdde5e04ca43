// The messages of protocol `cellgate.v1`, as the gateway and its clients exchange them.
//
// One JSON text frame holds one message. Examples of every message, in full and minimal form,
// are in `tests/golden/protocol/`; the gateway's tests and the ones here check the same files.

/** The version that `ready.protocol` carries. */
export const PROTOCOL = 1;

/** The WebSocket subprotocol of this version. */
export const SUBPROTOCOL = "cellgate.v1";

/** Prefix of the subprotocol that carries a token, followed by its base64url form. */
export const BEARER_SUBPROTOCOL = "cellgate.bearer.";

/** What a participant may do. */
export type Role = "owner" | "editor" | "viewer";

/** What a session is doing. */
export type SessionState = "starting" | "idle" | "busy" | "restarting" | "ended";

/** How a cell ended. */
export type DoneStatus =
  | "ok" | "error" | "interrupted" | "timeout" | "oom" | "output_limit"
  | "exited" | "killed" | "cancelled" | "lost";

/** Why a message was refused. */
export type RefusalCode =
  | "bad_json" | "bad_message" | "unknown_type" | "duplicate_id" | "queue_full"
  | "too_large" | "forbidden" | "not_running" | "rate_limited";

/** One value in several forms, by MIME type. */
export type MimeBundle = Record<string, unknown>;

// --- client to gateway ---------------------------------------------------------------------

/** Queues a cell. */
export interface Execute {
  type: "execute";
  code: string;
  id?: string;
  timeout_ms?: number;
  stop_on_error?: boolean;
  silent?: boolean;
  env?: Record<string, string>;
  allow_input?: boolean;
}

/** Stops a cell, or the one that runs. */
export interface Interrupt { type: "interrupt"; id?: string }

/** Answers an `input_request`: with a line, or with the end of the input. */
export type Input =
  | { type: "input"; id: string; text: string }
  | { type: "input"; id: string; eof: true };

/** Replaces the interpreter by a fresh one. */
export interface Restart { type: "restart" }

/** Asks for completions; `cursor` counts Unicode characters. */
export interface Complete { type: "complete"; id: string; code: string; cursor: number }

/** Asks for the signature and documentation at `cursor`, counted in Unicode characters. */
export interface Inspect { type: "inspect"; id: string; code: string; cursor: number }

/** Asks whether the code is a whole statement. */
export interface IsComplete { type: "is_complete"; id: string; code: string }

/** Says up to where events were taken in; the first one turns flow control on. */
export interface Ack { type: "ack"; seq: number }

/** Is echoed in a `pong` with all its fields. */
export interface Ping { type: "ping"; [field: string]: unknown }

/** Ends the session now. */
export interface End { type: "end" }

/** Whatever a client may send. */
export type ClientMessage =
  Execute | Interrupt | Input | Restart | Complete | Inspect | IsComplete | Ack | Ping | End;

// --- gateway to client: events of the session ------------------------------------------------

/** What every event of a session carries. */
export interface Stamp {
  /** Rises by one with every event of the session. */
  seq: number;
  /** Unix time in milliseconds. */
  ts: number;
}

export interface Queued extends Stamp { type: "queued"; id: string; position: number; by: string }

export interface Started extends Stamp {
  type: "started";
  id: string;
  code: string;
  /** Absent if the cell is silent. */
  execution_count?: number;
  by: string;
}

export interface Output extends Stamp {
  type: "stdout" | "stderr";
  id: string;
  text: string;
  /** Written by a thread or child that outlived its cell. */
  late?: boolean;
}

export interface Result extends Stamp {
  type: "result";
  id: string;
  execution_count: number;
  data: MimeBundle;
  metadata: Record<string, unknown>;
}

export interface Display extends Stamp {
  type: "display";
  id: string;
  data: MimeBundle;
  metadata: Record<string, unknown>;
  display_id?: string;
  /** Replaces what was shown under `display_id`. */
  update?: boolean;
}

export interface ClearOutput extends Stamp { type: "clear_output"; id: string; wait: boolean }

export interface InputRequest extends Stamp {
  type: "input_request";
  id: string;
  prompt: string;
  password: boolean;
}

/** One frame of a traceback, outermost first. */
export interface Frame {
  /** The cell the code came from, if it came from one. */
  cell?: string;
  file: string;
  /** Counted from one. */
  line: number;
  function: string;
  source: string;
}

export interface ErrorEvent extends Stamp {
  type: "error";
  id: string;
  name: string;
  value: string;
  traceback: string[];
  frames: Frame[];
}

export interface Truncated extends Stamp {
  type: "truncated";
  id: string;
  stream: "stdout" | "stderr";
  omitted_bytes: number;
}

/** What a cell used. */
export interface CellUsage { cpu_ms: number; peak_memory_bytes: number; output_bytes: number }

export interface Done extends Stamp {
  type: "done";
  id: string;
  status: DoneStatus;
  execution_count?: number;
  duration_ms: number;
  /** Whether the variables survived. */
  state_kept: boolean;
  usage: CellUsage;
  /** One sentence for people. */
  detail?: string;
}

export interface Usage extends Stamp {
  type: "usage";
  memory_bytes: number;
  memory_limit_bytes: number;
  cpu_percent: number;
  processes: number;
}

export interface Status extends Stamp { type: "status"; state: SessionState }

/** Somebody attached to the session. */
export interface Participant { id: number; name: string; role: Role }

export interface Participants extends Stamp { type: "participants"; list: Participant[] }

export interface Restarted extends Stamp { type: "restarted"; reason: string; requested_by?: string }

export interface Notice extends Stamp {
  type: "notice";
  level: "info" | "warning";
  code: string;
  text: string;
}

export interface Ended extends Stamp { type: "ended"; reason: string; detail: string }

/** Whatever happens in a session. */
export type SessionEvent =
  | Queued | Started | Output | Result | Display | ClearOutput | InputRequest | ErrorEvent
  | Truncated | Done | Usage | Status | Participants | Restarted | Notice | Ended;

// --- gateway to client: replies to one participant -------------------------------------------

/** What a session may use, and what the gateway takes. */
export interface Limits {
  /** Largest message the gateway takes, in bytes. */
  message_bytes?: number;
  /** Cells that may wait. */
  queue?: number;
  output_bytes?: number | null;
  timeout_ms?: number | null;
  memory_bytes?: number;
  /** Unacknowledged output a participant that sends `ack` may have outstanding. */
  window_bytes?: number;
  [other: string]: unknown;
}

export interface Ready {
  type: "ready";
  protocol: number;
  session: string;
  /** Resumes or shares this session. */
  token: string;
  /** This participant's number, as in `participants`. */
  participant: number;
  role: Role;
  template: string;
  language: { name: string; version: string };
  state: SessionState;
  /** Newest seq in the log. */
  seq: number;
  limits: Limits;
  backend: string;
}

/** Names the seqs that cannot be replayed, both ends included. */
export interface Gap { type: "gap"; from: number; to: number }

export interface CompleteReply {
  type: "complete_reply";
  id: string;
  matches: string[];
  /** Start of what a match replaces, in Unicode characters. */
  start: number;
  end: number;
  busy?: boolean;
}

export interface InspectReply { type: "inspect_reply"; id: string; found: boolean; data: MimeBundle }

export interface IsCompleteReply {
  type: "is_complete_reply";
  id: string;
  status: "complete" | "incomplete" | "invalid";
  indent?: string;
}

export interface Pong { type: "pong"; [field: string]: unknown }

export interface ProtocolError {
  type: "protocol_error";
  code: RefusalCode;
  message: string;
  id?: string;
}

/** Whatever answers one participant alone. */
export type Reply =
  Ready | Gap | CompleteReply | InspectReply | IsCompleteReply | Pong | ProtocolError;

/** Whatever a gateway sends. */
export type ServerMessage = SessionEvent | Reply;

// What travels between a gateway and its clients. Generated from the definitions in Rust, do not
// edit: `CELLGATE_TEST_UPDATE=1 cargo test --lib typescript` writes it anew, and `cargo test` fails
// when it is out of date.

/** One value in several forms, by MIME type. */
export type MimeBundle = Record<string, unknown>;

/** What a value says about its forms. */
export type Metadata = Record<string, unknown>;

/** The version that `ready.protocol` carries. */
export const PROTOCOL = 1;

/** The WebSocket subprotocol of it. */
export const SUBPROTOCOL = "cellgate.v1";

/** A subprotocol that carries a token: this, then its base64url form. */
export const BEARER_SUBPROTOCOL = "cellgate.bearer.";

/** Whatever a client may send. */
export type ClientMessage = { type: "execute",
  /** What to run. */
  code: string,
  /** The client's name for the cell, unique in the session; the gateway gives one if it is absent. */
  id?: string,
  /** The id of the document's cell that the code is from, at most 128 bytes; it is repeated in `queued`, `started` and `done`. */
  cell?: string,
  /** The interpreter that executes it: the id of one that was opened, or one of `ready.languages`, which is opened under that id if it is not; the session's first if it is absent. */
  interpreter?: string,
  /** Wall clock for the cell, in milliseconds. */
  timeout_ms?: number,
  /** Whether cells queued behind this one are cancelled if it fails; they are not unless told. */
  stop_on_error?: boolean,
  /** No result event and, unless `store_history` says otherwise, no execution count. */
  silent?: boolean,
  /** Whether the cell gets an execution count; if it is absent, it does unless it is silent. */
  store_history?: boolean,
  /** Expressions, by names of one's own, that are evaluated after the cell if it ends `ok`: at most 64. Their values are in `done`. */
  user_expressions?: { [key in string]: string },
  /** Variables of the environment while the cell runs. */
  env?: { [key in string]: string },
  /** Whether `input()` may ask; it may unless told otherwise. */
  allow_input?: boolean,
} | { type: "comm_open",
  /** The comm, named by who opens it. */
  comm_id: string,
  /** What answers in the interpreter, such as `jupyter.widget`. */
  target_name: string,
  /** What is said; nothing if it is absent. */
  data?: Record<string, unknown>,
  /** What is said about it. */
  metadata?: Metadata,
  /** Bytes that belong to the data, in base64. */
  buffers?: Array<string>,
  /** The client's name for this message, unique among cells; the gateway gives one if it is absent. */
  id?: string,
} | { type: "comm_msg",
  /** The comm. */
  comm_id: string,
  /** What is said; nothing if it is absent. */
  data?: Record<string, unknown>,
  /** What is said about it. */
  metadata?: Metadata,
  /** Bytes that belong to the data, in base64. */
  buffers?: Array<string>,
  /** The client's name for this message, unique among cells; the gateway gives one if it is absent. */
  id?: string,
} | { type: "comm_close",
  /** The comm. */
  comm_id: string,
  /** What is said; nothing if it is absent. */
  data?: Record<string, unknown>,
  /** What is said about it. */
  metadata?: Metadata,
  /** Bytes that belong to the data, in base64. */
  buffers?: Array<string>,
  /** The client's name for this message, unique among cells; the gateway gives one if it is absent. */
  id?: string,
} | { type: "interrupt",
  /** The cell; the one that runs if it is absent. */
  id?: string,
  /** Of which interpreter the one that runs; of the session's first if it is absent. */
  interpreter?: string,
} | { type: "input",
  /** The cell that asked. */
  id: string,
  /** A line without its end. */
  text?: string,
  /** In the place of a line: the end of the input. */
  eof?: boolean,
} | { type: "restart",
  /** Which interpreter; the session's first if it is absent. */
  interpreter?: string,
} | { type: "open",
  /** The client's name for the program, which no other that is open has. */
  id: string,
  /** An interpreter executes cells, a process is a command. */
  kind: ProgramKind,
  /** Of an interpreter: what its cells are written in, one of `ready.languages`. */
  language?: string,
  /** Of a process: its file, looked up in PATH unless it is a path, and its arguments. */
  argv?: Array<string>,
  /** Of a process, in the place of `argv`: a command for `/bin/sh`. With a terminal both may be absent: a shell. */
  command?: string,
  /** Variables added to its environment. */
  env?: { [key in string]: string },
  /** Where it starts; the working directory if it is absent. */
  cwd?: string,
  /** Of a process: it gets a terminal of this size, and pipes if this is absent. */
  terminal?: TerminalSize,
  /** Of a process with pipes: whether `write` reaches its input, which is empty unless told. */
  stdin?: boolean,
} | { type: "close",
  /** The program. */
  id: string,
} | { type: "signal",
  /** The process. */
  id: string,
  /** Such as `SIGINT`. */
  signal: string,
} | { type: "resize",
  /** The process. */
  id: string,
  /** Characters in a line, 1 to 1000. */
  cols: number,
  /** Lines, 1 to 1000. */
  rows: number,
} | { type: "write",
  /** The process. */
  id: string,
  /** What to write: text, */
  text?: string,
  /** or bytes, in base64. */
  data?: string,
  /** Whether its input ends after that. */
  eof?: boolean,
} | { type: "complete",
  /** Repeated in the reply. */
  id: string,
  /** What it is about. */
  code: string,
  /** Position in the code, in Unicode characters. */
  cursor: number,
  /** The interpreter that is asked; the session's first if it is absent. */
  interpreter?: string,
} | { type: "inspect",
  /** Repeated in the reply. */
  id: string,
  /** What it is about. */
  code: string,
  /** Position in the code, in Unicode characters. */
  cursor: number,
  /** The interpreter that is asked; the session's first if it is absent. */
  interpreter?: string,
} | { type: "is_complete",
  /** Repeated in the reply. */
  id: string,
  /** What it is about. */
  code: string,
  /** The interpreter that is asked; the session's first if it is absent. */
  interpreter?: string,
} | { type: "table",
  /** Repeated in the reply. */
  id: string,
  /** The table: `table` in the metadata of a value that was shown. */
  table?: string,
  /** In the place of `table`: the name of a variable that holds one. */
  variable?: string,
  /** The first row, counted among those that match; 0 if it is absent. */
  from?: number,
  /** At most so many rows, from 1 to 1000; 100 if it is absent. */
  count?: number,
  /** Columns that give the order, at most 16; the first one decides first. */
  sort?: Array<SortKey>,
  /** Rows match that have this text in one of their values, in any case. */
  filter?: string,
  /** Whether rows or CSV are answered; rows if it is absent. */
  format?: TableFormat,
  /** The interpreter that is asked; the session's first if it is absent. */
  interpreter?: string,
} | { type: "variables",
  /** Repeated in the reply. */
  id: string,
  /** The interpreter that is asked; the session's first if it is absent. */
  interpreter?: string,
} | { type: "ack",
  /** Everything up to it was taken in. */
  seq: number,
} | { type: "ping" } & Record<string, unknown> | { type: "end" };

/** Whatever happens in a session. */
export type SessionEvent = {
  /** Rises by one with every event of the session. */
  seq: number,
  /** Unix time in milliseconds. */
  ts: number,
} & ({ type: "queued",
    /** The cell. */
    id: string,
    /** Cells ahead of it, the running one included. */
    position: number,
    /** Name of the participant. */
    by: string,
    /** The document's cell that the code is from, if `execute` named one. */
    cell?: string,
    /** The interpreter that executes it, if it is not the session's first. */
    interpreter?: string,
  } | { type: "started",
    /** The cell. */
    id: string,
    /** Its code. */
    code: string,
    /** Rises by one with each cell that is not silent; starts again with the interpreter. */
    execution_count?: number,
    /** Name of the participant. */
    by: string,
    /** It is no code but a message of a client on this comm. */
    comm_id?: string,
    /** The document's cell that the code is from, if `execute` named one. */
    cell?: string,
    /** The interpreter that executes it, if it is not the session's first. */
    interpreter?: string,
  } | { type: "stdout" } & OutputFields | { type: "stderr" } & OutputFields | { type: "result",
    /** The cell. */
    id: string,
    /** As in `started`. */
    execution_count?: number,
    /** The value in all its forms. */
    data: MimeBundle,
    /** What the value says about its forms. */
    metadata: Metadata,
  } | { type: "display",
    /** The cell. */
    id: string,
    /** The thing in all its forms. */
    data: MimeBundle,
    /** What it says about them. */
    metadata: Metadata,
    /** Names it for later updates. */
    display_id?: string,
    /** Replaces what was shown under `display_id`. */
    update?: boolean,
    /** The cell had already ended. */
    late?: boolean,
  } | { type: "clear_output",
    /** The cell. */
    id: string,
    /** Not before something new comes. */
    wait: boolean,
  } | { type: "comm_open" } & CommFields | { type: "comm_msg" } & CommFields | { type: "comm_close" } & CommFields | { type: "input_request",
    /** The cell. */
    id: string,
    /** What to ask. */
    prompt: string,
    /** Whether typing should not be shown. */
    password: boolean,
  } | { type: "error",
    /** The cell. */
    id: string,
    /** Name of the exception's class. */
    name: string,
    /** Its text. */
    value: string,
    /** Lines for people; ANSI colours allowed. */
    traceback: Array<string>,
    /** The same for programs. */
    frames: Array<Frame>,
  } | { type: "truncated",
    /** The cell. */
    id: string,
    /** `stdout` or `stderr`. */
    stream: Stream,
    /** Bytes left out. */
    omitted_bytes: number,
  } | { type: "done",
    /** The cell. */
    id: string,
    /** How. */
    status: CellStatus,
    /** As in `started`. */
    execution_count?: number,
    /** From its start to its end; 0 if it never started. */
    duration_ms: number,
    /** Whether variables of earlier cells are still there. */
    state_kept: boolean,
    /** What it used. */
    usage: DoneUsage,
    /** One sentence for people. */
    detail?: string,
    /** The values of the cell's `user_expressions`, by their names, if it ended `ok`. */
    user_expressions?: Record<string, ExpressionValue>,
    /** The document's cell that the code is from, if `execute` named one. */
    cell?: string,
    /** Files below the working directory that were made or changed while it ran, at most 100. */
    files_changed?: Array<string>,
    /** There are more of them. */
    more?: boolean,
  } | { type: "usage",
    /** Memory charged to it, in bytes. */
    memory_bytes: number,
    /** Its limit, in bytes. */
    memory_limit_bytes: number,
    /** CPU since the last one, in percent of one core. */
    cpu_percent: number,
    /** Processes in it. */
    processes: number,
  } | { type: "status",
    /** What. */
    state: SessionState,
  } | { type: "restarted",
    /** Why: a sentence. */
    reason: string,
    /** Name of the participant who asked. */
    requested_by?: string,
    /** Which interpreter, if it is not the session's first. */
    interpreter?: string,
  } | { type: "opened" } & ProgramInfo | { type: "exited",
    /** The program. */
    id: string,
    /** Its exit code, if it was a process that ended by itself. */
    code?: number,
    /** The signal that ended it, such as `SIGKILL`. */
    signal?: string,
    /** One sentence for people. */
    detail?: string,
  } | { type: "stdout" } & ProcessOutputFields | { type: "stderr" } & ProcessOutputFields | { type: "terminal" } & ProcessOutputFields | { type: "notice",
    /** How bad it is. */
    level: NoticeLevel,
    /** For programs. */
    code: string,
    /** For people. */
    text: string,
  } | { type: "ended",
    /** For programs. */
    reason: EndReason,
    /** For people. */
    detail: string,
  });

/** Fields of `stdout` and `stderr`. */
export type OutputFields = {
  /** The cell. */
  id: string,
  /** The text. */
  text: string,
  /** The cell had already ended. */
  late?: boolean,
};

/** Fields of `stdout` and `stderr` that a process wrote, and of `terminal`. */
export type ProcessOutputFields = {
  /** The process. */
  program: string,
  /** The text. */
  text: string,
};

/** A program that is open: the fields of `opened`, and an entry of `ready.programs`. */
export type ProgramInfo = {
  /** Its id, by which clients name it. */
  id: string,
  /** What it is. */
  kind: ProgramKind,
  /** Of an interpreter: what its cells are written in. */
  language?: string,
  /** Of an interpreter: its version, such as `20.11.1`. */
  version?: string,
  /** Of a process: its number in the sandbox. */
  pid?: number,
  /** Of a process: its file and its arguments, cut after 1 KiB. */
  argv?: Array<string>,
  /** Of a process: it has a terminal. */
  terminal?: boolean,
  /** Name of the participant who opened it; absent if the session has it from its beginning. */
  by?: string,
};

/** What a program is. */
export type ProgramKind = "interpreter" | "process";


export type TerminalSize = {
  /** Characters in a line, 1 to 1000. */
  cols: number,
  /** Lines, 1 to 1000. */
  rows: number,
};

/** Fields of `comm_open`, `comm_msg` and `comm_close`. */
export type CommFields = {
  /** The cell that runs, or the client's message on a comm that does; absent if none does. */
  id?: string,
  /** The comm, named by who opened it. */
  comm_id: string,
  /** What is to answer at the clients, such as `jupyter.widget`; of `comm_open` alone. */
  target_name?: string,
  /** What is said. */
  data: Record<string, unknown>,
  /** What is said about it. */
  metadata?: Metadata,
  /** Bytes that belong to the data, in base64. */
  buffers?: Array<string>,
};

/** Which output stream. */
export type Stream = "stdout" | "stderr";

/** One frame of a traceback, outermost first. */
export type Frame = {
  /** The cell whose code it is in. */
  cell?: string,
  /** The file. */
  file: string,
  /** The line, from 1. */
  line: number,
  /** The function. */
  function: string,
  /** The line's text. */
  source: string,
};

/** How a cell ended. */
export type CellStatus = "ok" | "error" | "interrupted" | "timeout" | "oom" | "output_limit" | "exited" | "killed" | "cancelled" | "lost";

/** What a cell used. */
export type DoneUsage = {
  /** CPU time, in milliseconds. */
  cpu_ms: number,
  /** Highest memory seen, in bytes. */
  peak_memory_bytes: number,
  /** Bytes written. */
  output_bytes: number,
};

/** The value of one of a cell's `user_expressions`, or the error that it raised. */
export type ExpressionValue = {
  /** Whether it has a value. */
  status: ExpressionStatus,
  /** The value in all its forms; if `ok`. */
  data?: MimeBundle,
  /** What it says about them; if `ok`. */
  metadata?: Metadata,
  /** Name of the exception's class; if `error`. */
  ename?: string,
  /** Its text; if `error`. */
  evalue?: string,
  /** Lines for people; if `error`. */
  traceback?: Array<string>,
};

/** What came of an expression. */
export type ExpressionStatus = "ok" | "error";

/** What a session does. */
export type SessionState = "idle" | "busy" | "restarting" | "ended";

/** How bad a notice is. */
export type NoticeLevel = "info" | "warning";

/** Why a session is over. */
export type EndReason = "requested" | "abandoned" | "idle_timeout" | "lifetime" | "draining" | "sandbox_lost" | "interpreter_failed";

/** A message to one participant. */
export type Reply = { type: "ready" } & ReadyFields | { type: "gap",
  /** First missing seq. */
  from: number,
  /** Last missing seq. */
  to: number,
  /** Nothing is lost: what follows has taken the place of what these events showed, as the newest frame of a progress bar does, a `clear_output`, or the newest update of a display. */
  superseded?: boolean,
} | { type: "participants",
  /** All participants, in the order in which they joined. */
  list: Array<ParticipantInfo>,
  /** Whether the session has a document that its participants edit together: somebody has opened or filled it. */
  document?: boolean,
} | { type: "pong" } & Record<string, unknown> | { type: "complete_reply",
  /** The question's id. */
  id: string,
  /** Texts that fit. */
  matches: Array<string>,
  /** What each of them is, in the same order: `function`, `class`, `module`, `variable`, `attribute`, `argument`, `keyword`, `magic`, or nothing where that is not known. */
  types?: Array<string>,
  /** Where the text they replace begins, in characters. */
  start: number,
  /** Where it ends. */
  end: number,
  /** The interpreter could not be asked now. */
  busy?: boolean,
} | { type: "inspect_reply",
  /** The question's id. */
  id: string,
  /** Whether there is anything to say. */
  found: boolean,
  /** MIME type to value. */
  data: MimeBundle,
  /** The interpreter could not be asked now. */
  busy?: boolean,
} | { type: "is_complete_reply",
  /** The question's id. */
  id: string,
  /** The verdict. */
  status: Completeness,
  /** What the next line should begin with, if `incomplete`. */
  indent?: string,
  /** The interpreter could not be asked now; `status` is `unknown`. */
  busy?: boolean,
} | { type: "table_reply",
  /** The question's id. */
  id: string,
  /** Why there is no answer, for people; all other fields are absent. */
  error?: string,
  /** The values of rows, in the order of the fields. There may be fewer than asked for: an answer has at most 1 MiB. */
  rows?: Array<Array<null | boolean | number | string>>,
  /** Rows as CSV, the first part with the names of the fields. */
  csv?: string,
  /** Where the next part of the CSV begins; absent with the last one. */
  next?: number,
  /** The first row's place among those that match. */
  from?: number,
  /** Rows of the table. */
  total_rows?: number,
  /** Rows that match the filter. */
  matching_rows?: number,
  /** Texts of the rows' numbers, by fields, where the user asked for a form of their own. */
  text?: Record<string, Array<string>>,
  /** Of a variable's table: its id, for further questions. */
  table?: string,
  /** Of a variable's table: its fields. */
  fields?: Array<TableField>,
  /** Of a variable's table: the names of the fields that are its index. */
  keys?: Array<string>,
  /** Of a variable's table: how many columns it has, of which not all need be fields. */
  total_columns?: number,
  /** Of a variable's table: the decimals that the user asked for. */
  precision?: number,
  /** The interpreter could not be asked now. */
  busy?: boolean,
} | { type: "variables_reply",
  /** The question's id. */
  id: string,
  /** Why there is no answer, for people. */
  error?: string,
  /** What user code has defined, by name. */
  variables: Array<Variable>,
  /** There are more. */
  more?: boolean,
  /** The interpreter could not be asked now. */
  busy?: boolean,
} | { type: "protocol_error",
  /** For programs. */
  code: ErrorCode,
  /** For people. */
  message: string,
  /** The id the message carried. */
  id?: string,
};

/** What a connection needs to know. */
export type ReadyFields = {
  /** The protocol's number. */
  protocol: number,
  /** The session's id. */
  session: string,
  /** This participant's own token: a client that joins with it is this participant, and takes the place of its older connection. */
  token: string,
  /** This participant's number, as in `participants`. */
  participant: number,
  /** Name of the template. */
  template: string,
  /** What the interpreter is. */
  language: LanguageInfo,
  /** What cells may be written in, the default first. */
  languages: Array<LanguageInfo>,
  /** The programs that are open, the session's first interpreter before all others. */
  programs: Array<ProgramInfo>,
  /** What the session does now. */
  state: SessionState,
  /** Newest seq in the log; 0 if there is none yet. */
  seq: number,
  /** What the session may use. */
  limits: Limits,
  /** `local` or `docker`. */
  backend: string,
  /** What may be done over HTTP in this session; only where something may not. */
  allowed?: Allowed,
  /** The role. */
  role: Role,
  /** `false` for an editor who may not run: it executes, interrupts and answers no cells, says nothing on comms and changes no files. Absent otherwise. */
  run?: boolean,
  /** `false` for an editor who may not change the document. Absent otherwise. */
  edit?: boolean,
};

/** The interpreter's language. */
export type LanguageInfo = {
  /** `python`. */
  name: string,
  /** Such as `3.11.2`; of a language that is not the session's first what is known before an interpreter of it was started, which may be nothing. */
  version: string,
  /** What executes cells, where a language has several: `ipython` or `plain`. */
  shell?: string,
};

/** Limits as told to clients. What is `null` has no limit. */
export type Limits = {
  /** Longest client message. */
  message_bytes: number,
  /** Cells that may wait. */
  queue: number,
  /** Output of one cell. */
  output_bytes: number | null,
  /** Wall clock of one cell. */
  timeout_ms: number | null,
  /** Memory of the sandbox. */
  memory_bytes: number,
  /** Unacknowledged output of one participant. */
  window_bytes: number,
  /** CPU, in thousandths of a core. */
  cpu_millis: number,
  /** Processes and threads. */
  processes: number,
  /** Working directory. */
  disk_bytes: number,
};

/** What a session allows that was made with a publishable key. */
export type Allowed = {
  /** Reading and writing files of the working directory. */
  files: boolean,
  /** Making share links. */
  sharing: boolean,
};

/** What a participant may do; who may do more comes first. */
export type Role = "owner" | "editor" | "viewer";

/** A participant as the others see it. */
export type ParticipantInfo = {
  /** Its number in the session. */
  id: number,
  /** Its name. */
  name: string,
  /** The role. */
  role: Role,
  /** `false` for an editor who may not run: it executes, interrupts and answers no cells, says nothing on comms and changes no files. Absent otherwise. */
  run?: boolean,
  /** `false` for an editor who may not change the document. Absent otherwise. */
  edit?: boolean,
};

/** Whether code is a whole cell. */
export type Completeness = "complete" | "incomplete" | "invalid" | "unknown";

/** A column that rows are sorted by. */
export type SortKey = {
  /** Its position among the fields, which begin with the index. */
  column: number,
  /** Whether the largest value is the first; the smallest is unless told. Missing ones are last. */
  descending?: boolean,
};

/** What a table is answered as. */
export type TableFormat = "rows" | "csv";

/** A column of a table, or a level of its index. */
export type TableField = {
  /** Its name, which no other field has. */
  name: string,
  /** `boolean`, `integer`, `number`, `datetime`, `duration` or `string`. */
  type: string,
};

/** A variable of user code. */
export type Variable = {
  /** Its name. */
  name: string,
  /** The name of its value's type, or `function`, or `class`. */
  type: string,
  /** Its length, or its length in each dimension. */
  shape?: Array<number>,
  /** Bytes that the value itself takes, without what it refers to. */
  bytes?: number,
  /** A short look at the value; may be empty. */
  preview: string,
  /** It is a table, which the question `table` opens. */
  table?: boolean,
};

/** Why a message was refused. */
export type ErrorCode = "bad_json" | "bad_message" | "unknown_type" | "duplicate_id" | "queue_full" | "too_large" | "forbidden" | "not_running" | "rate_limited";

/** A close code of the protocol. RFC 6455 gives the 1xxx, the 4xxx are ours. */
export enum CloseCode { "Ended" = 1000, "Draining" = 1001, "Protocol" = 1002, "Payload" = 1007, "TooLarge" = 1009, "Internal" = 1011, "NoCapacity" = 1013, "Unauthorised" = 4401, "Forbidden" = 4403, "NoSuchSession" = 4404, "Expired" = 4408, "Replaced" = 4409, "TooSlow" = 4413, "TooMany" = 4429, "DocumentFull" = 4431 }

/** What stands in a directory. */
export type Directory = {
  /** The directory, relative to the working directory, which is empty. */
  path: string,
  /** What stands in it, by name; of each directory that was gone into, its entries follow its own. */
  entries: Array<DirectoryEntry>,
  /** Whether there is more: a listing ends after 10,000 entries. */
  truncated: boolean,
};

/** A file, or what else has a name. */
export type DirectoryEntry = {
  /** Its name. */
  name: string,
  /** Its path, relative to the working directory. */
  path: string,
  /** Its size in bytes; 0 for what is not a file. */
  size: number,
  /** When it was last changed, in Unix milliseconds. */
  modified: number,
  /** Its permissions as a number: 420 are `0o644`. */
  mode: number,
  /** What it is. Links are not followed by any request. */
  kind: EntryKind,
};

/** What has a name. */
export type EntryKind = "file" | "directory" | "link" | "other";

/** A file that was written. */
export type Written = {
  /** Its path, relative to the working directory. */
  path: string,
  /** Its size in bytes. */
  size: number,
};

/** What happened to a file. Paths are relative to the working directory. */
export type WatchEvent = { type: "ready",
} | { type: "created",
  /** Its path. */
  path: string,
  /** What it is. */
  kind: WatchedKind,
} | { type: "written",
  /** Its path. */
  path: string,
  /** What it is. */
  kind: WatchedKind,
} | { type: "removed",
  /** Its path. */
  path: string,
  /** What it was. */
  kind: WatchedKind,
} | { type: "renamed",
  /** The path it had. */
  path: string,
  /** The path it has. */
  to: string,
  /** What it is. */
  kind: WatchedKind,
} | { type: "overflow",
};

/** What an event is about. */
export type WatchedKind = "file" | "directory";

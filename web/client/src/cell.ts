// A cell that this client sent: its handlers, what it has produced so far, and its promise.
//
//   sent ──queued or started──► accepted ──done──► settled
//     └────── refused, session gone ──────────────► settled
//
// A cell that was sent but not accepted when the connection broke is sent again: the gateway
// refuses a duplicate id and never runs it twice.

import type {
  CellUsage, Display, Done, DoneStatus, ErrorEvent, Execute, InputRequest, Output, Result, SendComm,
  SessionEvent, Truncated,
} from "./protocol.js";

/** Called when a cell asks for a line; `null` means the end of the input. */
export type InputHandler = (request: InputRequest) => string | null | Promise<string | null>;

/** How to run a cell, and whom to tell. */
export interface RunOptions {
  /** Chosen by the client, unique within the session; a random one by default. */
  id?: string;
  onQueued?(position: number): void;
  onStarted?(executionCount: number | undefined): void;
  onStdout?(text: string, event: Output): void;
  onStderr?(text: string, event: Output): void;
  onResult?(data: Result["data"], event: Result): void;
  onDisplay?(data: Display["data"], event: Display): void;
  onError?(error: ErrorEvent): void;
  /** Answers `input()`. Without it, a cell that asks sees the end of the input. */
  onInput?: InputHandler;
  /** Every event of the cell, in order. */
  onEvent?(event: SessionEvent): void;
  /** Interrupts the cell when aborted; the promise still settles with how it ended. */
  signal?: AbortSignal;
  /** The id of the document's cell that the code is from, repeated in `queued`, `started` and `done`. */
  cell?: string;
  /** The interpreter that executes it: the id of an open one, or one of `ready.languages`; by default the session's first. */
  interpreter?: string;
  /** Wall clock for the cell, in milliseconds. */
  timeoutMs?: number;
  /** Cancels the cells behind this one if it fails. */
  stopOnError?: boolean;
  /** No result event and, unless `storeHistory` says otherwise, no execution count. */
  silent?: boolean;
  /** Whether the cell gets an execution count; by default unless it is silent. */
  storeHistory?: boolean;
  /** Expressions to be evaluated after the cell, if it ends `ok`, by the names of their values. */
  userExpressions?: Record<string, string>;
  /** Variables of the environment for this cell. */
  env?: Record<string, string>;
  /** Whether the cell may ask for input; by default if `onInput` is given. */
  allowInput?: boolean;
  /** How many characters of each stream the outcome keeps; the rest is only passed to handlers. */
  keepCharacters?: number;
}

/** How a cell ended, and what it produced. */
export interface CellOutcome {
  id: string;
  status: DoneStatus;
  /** Whether `status` is `ok`. */
  ok: boolean;
  stdout: string;
  stderr: string;
  /** The value of the last expression. */
  result: Result["data"] | undefined;
  /** What it says about its forms. */
  resultMetadata: Result["metadata"] | undefined;
  displays: Display[];
  error: ErrorEvent | undefined;
  /** Where the gateway left output out. */
  truncated: Truncated[];
  /** Whether events are missing that the gateway no longer held after a broken connection. */
  outputLost: boolean;
  executionCount: number | undefined;
  durationMs: number;
  /** Whether the variables survived. */
  stateKept: boolean;
  usage: CellUsage;
  detail: string | undefined;
  /** The values of `userExpressions`, if the cell ended `ok`. */
  userExpressions: Done["user_expressions"];
}

/** How to send a message on a comm, and whom to tell of what comes of it. */
export type CommOptions = Pick<RunOptions, "onStdout" | "onStderr" | "onDisplay" | "onError" | "onInput" | "onEvent" | "signal">;

const KEEP_CHARACTERS = 8 << 20; // per stream: what a program can still hold without thinking
const NO_USAGE: CellUsage = { cpu_ms: 0, peak_memory_bytes: 0, output_bytes: 0 };

/** The message that queues a cell with these options. */
export function executeMessage(id: string, code: string, options: RunOptions): Execute & { id: string } {
  return {
    type: "execute",
    code,
    id,
    ...(options.cell !== undefined && { cell: options.cell }),
    ...(options.interpreter !== undefined && { interpreter: options.interpreter }),
    ...(options.timeoutMs !== undefined && { timeout_ms: options.timeoutMs }),
    ...(options.stopOnError && { stop_on_error: true }),
    ...(options.silent && { silent: true }),
    ...(options.storeHistory !== undefined && { store_history: options.storeHistory }),
    ...(options.userExpressions && { user_expressions: options.userExpressions }),
    ...(options.env && { env: options.env }),
    allow_input: options.allowInput ?? options.onInput !== undefined,
  };
}

export class PendingCell {
  readonly promise: Promise<CellOutcome>;
  accepted = false;
  /** How often it was sent, and whether that was on the socket that is open now. */
  sendings = 0;
  sent = false;
  /** Asked to stop while there was no connection. */
  interruptWanted = false;
  /** A gap may have swallowed the end of this cell. */
  uncertain = false;
  #stdout = "";
  #stderr = "";
  #result: Result | undefined;
  #displays: Display[] = [];
  #error: ErrorEvent | undefined;
  #truncated: Truncated[] = [];
  #resolve!: (outcome: CellOutcome) => void;
  #reject!: (error: Error) => void;
  readonly #keep: number;

  constructor(readonly message: (Execute | SendComm) & { id: string }, readonly options: RunOptions) {
    this.#keep = options.keepCharacters ?? KEEP_CHARACTERS;
    this.promise = new Promise((resolve, reject) => {
      this.#resolve = resolve;
      this.#reject = reject;
    });
  }

  /** Takes one event of this cell in; says whether it was the last. */
  take(event: SessionEvent): boolean {
    // A program may have the id of a cell.
    if ("program" in event || event.type === "opened" || event.type === "exited") return false;
    const options = this.options;
    this.accepted = true;
    switch (event.type) {
      case "queued":
        options.onQueued?.(event.position);
        break;
      case "started":
        options.onStarted?.(event.execution_count);
        break;
      case "stdout":
        if (this.#stdout.length < this.#keep) this.#stdout += event.text;
        options.onStdout?.(event.text, event);
        break;
      case "stderr":
        if (this.#stderr.length < this.#keep) this.#stderr += event.text;
        options.onStderr?.(event.text, event);
        break;
      case "result":
        this.#result = event;
        options.onResult?.(event.data, event);
        break;
      case "display":
        this.#show(event);
        options.onDisplay?.(event.data, event);
        break;
      case "clear_output":
        this.#displays = [];
        break;
      case "error":
        this.#error = event;
        options.onError?.(event);
        break;
      case "truncated":
        this.#truncated.push(event);
        break;
    }
    options.onEvent?.(event);
    if (event.type !== "done") return false;
    this.#resolve(this.#outcome(event));
    return true;
  }

  /** Settles without an end from the gateway. */
  fail(error: Error): void {
    this.#reject(error);
  }

  /** Settles as lost: the session went on, but how this cell ended is not known any more. */
  lose(detail: string): void {
    const event = { status: "lost" as const, duration_ms: 0, state_kept: false, usage: NO_USAGE, detail };
    this.#resolve(this.#outcome(event));
  }

  #show(event: Display): void {
    const known = event.update && event.display_id !== undefined
      ? this.#displays.findIndex((shown) => shown.display_id === event.display_id)
      : -1;
    if (known >= 0) this.#displays[known] = event;
    else this.#displays.push(event);
  }

  #outcome(done: Pick<Done, "status" | "duration_ms" | "state_kept" | "usage" | "detail" | "execution_count" | "user_expressions">): CellOutcome {
    return {
      id: this.message.id,
      status: done.status,
      ok: done.status === "ok",
      stdout: this.#stdout,
      stderr: this.#stderr,
      result: this.#result?.data,
      resultMetadata: this.#result?.metadata,
      displays: this.#displays,
      error: this.#error,
      truncated: this.#truncated,
      outputLost: this.uncertain,
      executionCount: done.execution_count,
      durationMs: done.duration_ms,
      stateKept: done.state_kept,
      usage: done.usage,
      detail: done.detail,
      userExpressions: done.user_expressions,
    };
  }
}

// A session of a gateway, as a program sees it.
//
//   const session = await Session.connect({ url: "http://127.0.0.1:8080", token });
//   const { stdout } = await session.runCode("print(6 * 7)");
//   for await (const event of session) …
//   session.close();            // detach; or `await session.end()` to end it
//
// The connection is made again when it breaks, and what was missed is replayed: handlers see
// every event once and in order, or a `gap` that names what is gone.

import { executeMessage, PendingCell } from "./cell.js";
import type { CellOutcome, CommOptions, RunOptions } from "./cell.js";
import { Connection } from "./connection.js";
import type { ConnectionState, ConnectOptions } from "./connection.js";
import { Credit } from "./credit.js";
import { CellgateError, ConnectionClosed, Refused } from "./errors.js";
import { EventStream } from "./events.js";
import { Files } from "./files.js";
import { randomId } from "./id.js";
import type {
  AskTable, ClientMessage, Execute, Gap, InspectReply, IsCompleteReply, Participant, ProtocolError, Ready, Reply, Role,
  SendComm, ServerMessage, SessionEvent, SessionState, TableReply, ToProgram, VariablesReply,
} from "./protocol.js";
import { charactersToUnits, unitsToCharacters } from "./text.js";

/** How to find a session, and how to follow it. */
export interface SessionOptions extends ConnectOptions {
  /** `auto` acknowledges what was handled, `manual` leaves it to `acknowledge`, `off` sends none. */
  flowControl?: "auto" | "manual" | "off";
}

/** What a session tells whoever listens. */
export interface SessionListener {
  ready?(ready: Ready, resumed: boolean): void;
  event?(event: SessionEvent): void;
  gap?(gap: Gap): void;
  /** Who is attached has changed, or the session has a shared document now. */
  participants?(list: readonly Participant[], document: boolean): void;
  connection?(state: ConnectionState): void;
  /** After `ready`: all that was missed, as far as the log holds it, has been told. */
  caughtUp?(): void;
  /** A message was refused that no promise is waiting for. */
  refused?(error: ProtocolError): void;
}

/** Completions at a cursor. Positions count UTF-16 units, as JavaScript strings do. */
export interface Completions {
  matches: string[];
  /** What each of them is (`function`, `module`, …); empty where the interpreter does not say. */
  types: string[];
  start: number;
  end: number;
  busy: boolean;
}

/** What to ask of a table: its id, or the variable that holds it; see `table` in docs/protocol.md. */
export type TableQuestion = Omit<AskTable, "type" | "id">;

interface Call { resolve(reply: Reply): void; reject(error: Error): void }

/** Names the interpreter that a message is for, unless it is the session's first. */
const of = (interpreter?: string) => (interpreter === undefined ? {} : { interpreter });

/** What is told when the session is ready, or never will be. */
export interface Opened { resolve(session: BasicSession): void; reject(error: Error): void }

const CALL_TIMEOUT_MS = 10_000;
const TABLE_TIMEOUT_MS = 60_000; // a large table takes time to sort, and to search

/** All that the protocol has, and nothing in comfort: what the console is made with. `Session` adds to it. */
export class BasicSession implements AsyncIterable<SessionEvent | Gap> {
  /** Files in the working directory, and other requests over HTTP. */
  readonly files: Files;
  readonly #connection: Connection;
  readonly #credit: Credit;
  readonly #flowControl: "auto" | "manual" | "off";
  readonly #listeners = new Set<SessionListener>();
  readonly #streams = new Set<EventStream>();
  readonly #cells = new Map<string, PendingCell>();
  readonly #calls = new Map<string, Call>();
  #ready: Ready | null = null;
  #state: SessionState = "idle";
  #participants: Participant[] = [];
  #opened!: Opened;
  #closed!: (cause: ConnectionClosed) => void;
  #nextCall = 1;

  /** Settles when the connection is closed for good, with why. Never rejects. */
  readonly closed: Promise<ConnectionClosed>;

  /** Makes a session, or attaches to one; resolves with the gateway's `ready`. */
  static connect(options: SessionOptions, listener?: SessionListener): Promise<BasicSession> {
    return new Promise((resolve, reject) => {
      new BasicSession(options, listener, { resolve, reject });
    });
  }

  protected constructor(options: SessionOptions, listener: SessionListener | undefined, opened: Opened) {
    this.#opened = opened;
    this.closed = new Promise((resolve) => { this.#closed = resolve; });
    this.#flowControl = options.flowControl ?? "auto";
    if (listener) this.#listeners.add(listener);
    this.files = new Files(options.url, () => this.ready);
    this.#credit = new Credit((seq) => {
      this.#connection.send({ type: "ack", seq });
    });
    this.#connection = new Connection(options, {
      ready: (ready, resumed) => this.#onReady(ready, resumed),
      message: (message, bytes) => this.#onMessage(message, bytes),
      caughtUp: () => this.#onCaughtUp(),
      state: (state) => this.#onState(state),
    });
  }

  /** The newest `ready`. */
  get ready(): Ready {
    if (!this.#ready) throw new CellgateError("the session is not ready yet");
    return this.#ready;
  }

  get id(): string { return this.ready.session; }

  /** This participant's own: resumes the session as it; for others there is `files.share`. */
  get token(): string { return this.ready.token; }

  /** What this participant may do now: an owner may have changed it since `ready`. */
  get role(): Role { return this.#rights.role; }

  /** Whether this participant may run cells now, and change files. */
  get mayRun(): boolean { return this.role !== "viewer" && this.#rights.run !== false; }

  /** Whether this participant may change the document now. */
  get mayEdit(): boolean { return this.role !== "viewer" && this.#rights.edit !== false; }

  get #rights(): Pick<Participant, "role" | "run" | "edit"> {
    return this.#participants.find(({ id }) => id === this.ready.participant) ?? this.ready;
  }

  /** What the session is doing, as far as is known. */
  get state(): SessionState { return this.#state; }

  get participants(): readonly Participant[] { return this.#participants; }

  get connection(): ConnectionState { return this.#connection.state; }

  /** The newest seq seen; with `id` and `token` it resumes the session later. */
  get lastSeq(): number { return this.#connection.lastSeq ?? 0; }

  /** Tells `listener` of everything from now on; the answer stops that. */
  listen(listener: SessionListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Every event from now on. Flow control waits for the slowest iterator. */
  [Symbol.asyncIterator](): AsyncIterator<SessionEvent | Gap> {
    return this.events()[Symbol.asyncIterator]();
  }

  /** Every event from now on, or those `keep` lets through. */
  events(keep: (event: SessionEvent | Gap) => boolean = () => true): EventStream {
    const stream: EventStream = new EventStream(keep, () => this.#grant(), () => {
      this.#streams.delete(stream);
      this.#grant();
    });
    if (this.#connection.state.state === "closed") stream.finish();
    else this.#streams.add(stream);
    return stream;
  }

  /** Runs a cell. Rejects only if it was refused or the session is gone for good. */
  runCode(code: string, options: RunOptions = {}): Promise<CellOutcome> {
    return this.#run(executeMessage(options.id ?? randomId(), code, options), options);
  }

  /** Says something on a comm, which runs like a silent cell. Rejects as `runCode` does. What code
   *  says on comms comes as events: `comm_open`, `comm_msg`, `comm_close`. */
  comm(message: SendComm, options: CommOptions = {}): Promise<CellOutcome> {
    return this.#run({ ...message, id: message.id ?? randomId() }, options);
  }

  #run(message: (Execute | SendComm) & { id: string }, options: RunOptions): Promise<CellOutcome> {
    const { id } = message;
    if (this.#cells.has(id)) {
      return Promise.reject(new Refused("duplicate_id", `cell ${id} is still running`, id));
    }
    const state = this.#connection.state;
    if (state.state === "closed") return Promise.reject(state.cause);
    const cell = new PendingCell(message, options);
    this.#cells.set(id, cell);
    this.#sendCell(cell);
    const { signal } = options;
    if (signal) {
      const stop = () => this.interrupt(id);
      if (signal.aborted) stop();
      else signal.addEventListener("abort", stop, { once: true });
      void cell.promise.finally(() => signal.removeEventListener("abort", stop)).catch(() => {
        // The caller holds the same promise and sees the error there.
      });
    }
    return cell.promise;
  }

  /** Runs a cell and iterates over its events, `done` being the last. Leaving early interrupts it. */
  async *stream(code: string, options: RunOptions = {}): AsyncGenerator<SessionEvent, CellOutcome> {
    const id = options.id ?? randomId();
    const events = this.events((event) => "id" in event && event.id === id);
    const outcome = this.runCode(code, { ...options, id });
    outcome.catch(() => events.finish());
    let ended = false;
    try {
      for await (const event of events) {
        yield event as SessionEvent;
        if (event.type === "done") { ended = true; break; }
      }
      ended = true;
      return await outcome;
    } finally {
      events.finish();
      if (!ended) this.interrupt(id);
    }
  }

  /** Stops a cell, or the one that an interpreter runs. One of this client's cells is stopped later if need be. */
  interrupt(id?: string, interpreter?: string): void {
    const cell = id === undefined ? undefined : this.#cells.get(id);
    if (cell && this.#connection.state.state !== "open") {
      cell.interruptWanted = true;
      return;
    }
    this.#send({ type: "interrupt", ...(id === undefined ? of(interpreter) : { id }) });
  }

  /** Answers an `input_request`; `null` is the end of the input. */
  answer(id: string, text: string | null): void {
    this.#send(text === null ? { type: "input", id, eof: true } : { type: "input", id, text });
  }

  /** Sends a message on a comm once, and does not wait: its run comes as events, a refusal is told to listeners. */
  sendComm(message: SendComm): void {
    this.#send(message);
  }

  /** Replaces an interpreter by a fresh one; the session's first unless another is named. */
  restart(interpreter?: string): void {
    this.#send({ type: "restart", ...of(interpreter) });
  }

  /** Opens a program or says something to it. A refusal is told to listeners. */
  toProgram(message: ToProgram): void {
    this.#send(message);
  }

  /** Completions at `cursor`, counted in UTF-16 units. */
  async complete(code: string, cursor: number, interpreter?: string): Promise<Completions> {
    const reply = await this.#call((id) => ({
      type: "complete", id, code, cursor: unitsToCharacters(code, cursor), ...of(interpreter),
    }));
    if (reply.type !== "complete_reply") throw new CellgateError(`complete was answered by ${reply.type}`);
    return {
      matches: reply.matches,
      types: reply.types ?? [],
      start: charactersToUnits(code, reply.start),
      end: charactersToUnits(code, reply.end),
      busy: reply.busy ?? false,
    };
  }

  /** Signature and documentation at `cursor`, counted in UTF-16 units. */
  async inspect(code: string, cursor: number, interpreter?: string): Promise<InspectReply> {
    const reply = await this.#call((id) => ({
      type: "inspect", id, code, cursor: unitsToCharacters(code, cursor), ...of(interpreter),
    }));
    if (reply.type !== "inspect_reply") throw new CellgateError(`inspect was answered by ${reply.type}`);
    return reply;
  }

  /** Whether the code is a whole statement. */
  async isComplete(code: string, interpreter?: string): Promise<IsCompleteReply> {
    const reply = await this.#call((id) => ({ type: "is_complete", id, code, ...of(interpreter) }));
    if (reply.type !== "is_complete_reply") throw new CellgateError(`is_complete was answered by ${reply.type}`);
    return reply;
  }

  /** Rows of a table, or all of them as CSV, part by part. `busy`: ask again when the session is idle. */
  async table(question: TableQuestion): Promise<TableReply> {
    const reply = await this.#call((id) => ({ ...question, type: "table", id }), TABLE_TIMEOUT_MS);
    if (reply.type !== "table_reply") throw new CellgateError(`table was answered by ${reply.type}`);
    return reply;
  }

  /** What the code has defined. `busy`: ask again when the session is idle. */
  async variables(interpreter?: string): Promise<VariablesReply> {
    const reply = await this.#call((id) => ({ type: "variables", id, ...of(interpreter) }));
    if (reply.type !== "variables_reply") throw new CellgateError(`variables was answered by ${reply.type}`);
    return reply;
  }

  /** How long a message takes there and back, in milliseconds. */
  async ping(): Promise<number> {
    const before = performance.now();
    await this.#call((id) => ({ type: "ping", id }));
    return performance.now() - before;
  }

  /** With `flowControl: "manual"`: everything up to `seq` was taken in. */
  acknowledge(seq: number): void {
    this.#credit.taken(seq);
  }

  /** Ends the pause before the next attempt to connect. */
  retryNow(): void {
    this.#connection.retryNow();
  }

  /** Ends the session for everybody; resolves when the gateway has closed the connection. */
  async end(): Promise<ConnectionClosed> {
    this.#send({ type: "end" });
    return this.closed;
  }

  /** Detaches. The session lives on until its idle limit. */
  close(): void {
    this.#connection.close();
  }

  #onReady(ready: Ready, resumed: boolean): void {
    this.#ready = ready;
    this.#state = ready.state;
    if (this.#flowControl !== "off") {
      this.#credit.begin(ready.limits.window_bytes, this.#connection.lastSeq ?? 0);
    }
    for (const listener of this.#listeners) listener.ready?.(ready, resumed);
    this.#opened.resolve(this);
  }

  /** What was sent and not accepted when the last connection broke is sent again. */
  #onCaughtUp(): void {
    for (const cell of this.#cells.values()) {
      if (!cell.accepted && !cell.sent) this.#sendCell(cell);
      if (cell.interruptWanted) {
        cell.interruptWanted = false;
        this.#send({ type: "interrupt", id: cell.message.id });
      }
    }
    for (const listener of this.#listeners) listener.caughtUp?.();
    this.#settleUncertain();
  }

  #onMessage(message: ServerMessage, bytes: number): void {
    switch (message.type) {
      case "gap":
        if (!message.superseded) for (const cell of this.#cells.values()) cell.uncertain = true;
        for (const listener of this.#listeners) listener.gap?.(message);
        for (const stream of this.#streams) stream.push(message, message.to);
        return;
      case "complete_reply":
      case "inspect_reply":
      case "is_complete_reply":
      case "table_reply":
      case "variables_reply":
      case "pong":
        this.#settleCall(String(message.id), message);
        return;
      case "participants":
        this.#participants = message.list;
        for (const listener of this.#listeners) listener.participants?.(message.list, message.document === true);
        return;
      case "protocol_error":
        this.#onRefusal(message);
        return;
      case "ready":
        return;
      default:
        this.#onEvent(message, bytes);
    }
  }

  #onEvent(event: SessionEvent, bytes: number): void {
    this.#credit.delivered(event.seq, bytes);
    if (event.type === "status") this.#state = event.state;
    if (event.type === "ended") this.#state = "ended";
    const cell = "id" in event && event.id !== undefined ? this.#cells.get(event.id) : undefined;
    if (cell) {
      if (event.type === "input_request") this.#askFor(cell, event);
      if (cell.take(event)) this.#cells.delete(cell.message.id);
    }
    for (const listener of this.#listeners) listener.event?.(event);
    for (const stream of this.#streams) stream.push(event, event.seq);
    this.#grant();
    if (event.type === "status" && event.state === "idle") this.#settleUncertain();
  }

  /** An idle session has no queue: a cell whose end we have not seen lost it in a gap. */
  #settleUncertain(): void {
    if (this.#state !== "idle" && this.#state !== "ended") return;
    for (const [id, cell] of this.#cells) {
      if (!cell.uncertain || !cell.accepted) continue;
      this.#cells.delete(id);
      cell.lose("how this cell ended is no longer in the log of the session");
    }
  }

  async #askFor(cell: PendingCell, request: Extract<SessionEvent, { type: "input_request" }>): Promise<void> {
    const { onInput } = cell.options;
    if (!onInput) return;
    let text: string | null = null;
    try {
      text = await onInput(request);
    } catch {
      // A handler that fails has no line to give: the cell sees the end of the input.
    }
    this.answer(request.id, text);
  }

  #onRefusal(refusal: ProtocolError): void {
    const error = new Refused(refusal.code, refusal.message, refusal.id);
    const call = refusal.id === undefined ? undefined : this.#calls.get(refusal.id);
    if (call) {
      this.#calls.delete(refusal.id!);
      call.reject(error);
      return;
    }
    const cell = refusal.id === undefined ? undefined : this.#cells.get(refusal.id);
    // The first sending had arrived after all: the cell runs, or has run.
    if (cell && refusal.code === "duplicate_id" && cell.sendings > 1) {
      cell.accepted = true;
      this.#settleUncertain();
      return;
    }
    if (cell && !cell.accepted) {
      this.#cells.delete(cell.message.id);
      cell.fail(error);
      return;
    }
    for (const listener of this.#listeners) listener.refused?.(refusal);
  }

  #sendCell(cell: PendingCell): void {
    cell.sent = this.#connection.send(cell.message);
    if (cell.sent) cell.sendings += 1;
  }

  #onState(state: ConnectionState): void {
    for (const listener of this.#listeners) listener.connection?.(state);
    if (state.state === "open" || state.state === "connecting") return;
    for (const call of this.#calls.values()) call.reject(state.cause);
    this.#calls.clear();
    for (const cell of this.#cells.values()) cell.sent = false;
    if (state.state !== "closed") return;
    this.#credit.end();
    for (const cell of this.#cells.values()) cell.fail(state.cause);
    this.#cells.clear();
    for (const stream of [...this.#streams]) stream.finish();
    this.#opened.reject(state.cause);
    this.#closed(state.cause);
  }

  /** Gives credit for what every open iterator has consumed. */
  #grant(): void {
    if (this.#flowControl !== "auto") return;
    let seq = this.#connection.lastSeq ?? 0;
    for (const stream of this.#streams) seq = Math.min(seq, stream.consumed(seq));
    this.#credit.taken(seq);
  }

  #call(message: (id: string) => ClientMessage, timeoutMs = CALL_TIMEOUT_MS): Promise<Reply> {
    const id = `call-${this.#nextCall++}`;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#calls.delete(id);
        reject(new CellgateError(`no answer within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#calls.set(id, {
        resolve: (reply) => { clearTimeout(timer); resolve(reply); },
        reject: (error) => { clearTimeout(timer); reject(error); },
      });
      if (!this.#connection.send(message(id))) {
        this.#calls.get(id)?.reject(new CellgateError("not connected"));
        this.#calls.delete(id);
      }
    });
  }

  #settleCall(id: string, reply: Reply): void {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.resolve(reply);
  }

  #send(message: ClientMessage): void {
    if (!this.#connection.send(message)) {
      throw new CellgateError(`cannot send ${message.type}: not connected`);
    }
  }
}

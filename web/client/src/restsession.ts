// `RestSession`: a session by requests. A cell's events are one response; when its connection breaks, what is missing
// is read from the session's log:
//
//   POST …/cells ── events ──► done
//        │ broken (before or after the first event)
//        ▼
//   GET …/events?after=SEQ ── events of this cell ──► done      as often as it takes
//
// The cell's id is chosen here, so that a request that is sent again never runs the cell twice.

import { executeMessage, PendingCell } from "./cell.js";
import type { RunOptions } from "./cell.js";
import type { SessionInfo } from "./client.js";
import { SharedDocument } from "./document.js";
import { Refused, RequestFailed } from "./errors.js";
import { failureOf, NoSuchSession } from "./failures.js";
import { Files } from "./fullfiles.js";
import type { Http, Order } from "./http.js";
import { randomId } from "./id.js";
import { Outcome, Shown } from "./outcome.js";
import type { DoneStatus, ErrorEvent, Gap, Metadata, MimeBundle, SessionEvent } from "./protocol.js";
import { Sharing } from "./sharing.js";
import { eventsOf, StreamBroke } from "./sse.js";

/** How to run a cell by a request, and whom to tell. */
export interface RestRunOptions extends RunOptions {
  /**
   * What a lost connection does to the cell: it goes on, and its output is read when the gateway can be reached again
   * (`resume`, by default), or it is interrupted. `interrupt` suits programs that may be ended at any time, and with
   * them their cells.
   */
  connectionLost?: "resume" | "interrupt";
  /** Leaving the loop over `stream` early leaves the cell running. */
  detach?: boolean;
}

/** Which events to read. */
export interface EventsOptions {
  /** Only what came after this seq; all that the log holds by default. */
  after?: number;
  /** Ends the iteration when aborted. */
  signal?: AbortSignal;
}

/** A cell as the session's log knows it. */
export type CellReport =
  | { id: string; state: "queued" | "running" }
  | {
    id: string;
    state: "done";
    status: DoneStatus;
    stdout: string;
    stderr: string;
    results: Shown[];
    /** The value of the last expression as text. */
    text: string | undefined;
    error: Pick<ErrorEvent, "name" | "value" | "traceback" | "frames"> | null;
    durationMs: number;
    detail: string | undefined;
    /** Bytes of output that are not here, being too many; `output` has them. */
    omittedBytes: number;
  };

/** What the gateway answers for a cell. */
interface RawReport {
  id: string; state: "done"; status: DoneStatus; stdout: string; stderr: string;
  results: { type: string; data: MimeBundle; metadata: Metadata }[];
  error: Pick<ErrorEvent, "name" | "value" | "traceback" | "frames"> | null;
  duration_ms: number; detail?: string; omitted_bytes?: number;
}

export class RestSession {
  /** Files in the working directory. */
  readonly files: Files;
  /** Share links, tokens and the participants' rights. For owners. */
  readonly sharing: Sharing;
  /** The text that participants edit together. */
  readonly document: SharedDocument;
  readonly #http: Http;
  #lastSeq: number;

  /** Made by `client.sessions.create` and `open`. */
  constructor(http: Http, readonly id: string, lastSeq = 0) {
    this.#http = http;
    this.#lastSeq = lastSeq;
    const session = () => encodeURIComponent(id);
    this.files = new Files(http.base, () => ({ session: id, token: this.token }), failureOf);
    this.sharing = new Sharing(() => http, session);
    this.document = new SharedDocument(() => http, session);
  }

  /** Opens this session, over HTTP and for `Session.connect({url, session: id, token})`. */
  get token(): string { return this.#http.token ?? ""; }

  /** The newest seq seen, for `events({after})`. */
  get lastSeq(): number { return this.#lastSeq; }

  /** What the session does. */
  info(): Promise<SessionInfo> {
    return this.#http.json("GET", this.#path(), { aboutSession: true });
  }

  /** Runs a cell, and answers what came of it. Aborting `signal` interrupts the cell; the promise still settles with how it ended. */
  runCode(code: string, options: RestRunOptions = {}): Promise<Outcome> {
    return outcomeOf(this.stream(code, options));
  }

  /** Runs a cell and iterates over its events, `done` being the last. Leaving early interrupts it, unless `detach` is set. */
  async *stream(code: string, options: RestRunOptions = {}): AsyncGenerator<SessionEvent, Outcome> {
    const id = options.id ?? randomId();
    const { signal, onInput, detach } = options;
    const cell = new PendingCell(executeMessage(id, code, options), options);
    // A cell that does not end is told by what is thrown here.
    cell.promise.catch(() => {});
    const stop = (): void => { if (cell.accepted) void this.#stop(id); };
    signal?.addEventListener("abort", stop, { once: true });
    let over = false;
    try {
      for await (const event of this.#follow(cell, options)) {
        if (event.type === "gap") {
          if (!event.superseded) cell.uncertain = true;
          continue;
        }
        const first = !cell.accepted;
        over = cell.take(event);
        if (first && signal?.aborted) stop();
        if (event.type === "input_request" && onInput) void this.#ask(event, onInput);
        yield event;
        if (over) return new Outcome(await cell.promise);
      }
      throw new NoSuchSession(404, "the session ended before its cell did; client.sessions.create() makes a new one");
    } catch (error) {
      // There is nothing left to stop.
      if (error instanceof RequestFailed || error instanceof Refused) over = true;
      throw error;
    } finally {
      signal?.removeEventListener("abort", stop);
      if (!over && !detach) await this.#stop(id);
    }
  }

  /** Starts a cell and answers its id; it goes on without a connection. `wait` or `cell` tell what came of it. */
  async submit(code: string, options: RestRunOptions = {}): Promise<string> {
    const id = options.id ?? randomId();
    const response = await this.#post(executeMessage(id, code, options), true);
    await response?.body?.cancel();
    return id;
  }

  /** Whether a cell waits or runs, and once it has ended what came of it, as far as the log holds it. */
  async cell(id: string): Promise<CellReport> {
    const raw = await this.#http.json<RawReport | { id: string; state: "queued" | "running" }>("GET", this.#path(`cells/${encodeURIComponent(id)}`));
    if (raw.state !== "done") return raw;
    const { results, duration_ms, omitted_bytes = 0, detail, ...same } = raw;
    const shown = results.map((one) => new Shown(one.data, one.metadata, one.type === "result", undefined));
    const text = shown.find(({ isMainResult }) => isMainResult)?.text;
    return { ...same, results: shown, text, durationMs: duration_ms, detail, omittedBytes: omitted_bytes };
  }

  /** Waits for the end of a cell that somebody has sent, and answers what came of it, from its beginning as far as the log holds it. */
  async wait(id: string, options: Pick<RunOptions, "onStdout" | "onStderr" | "onEvent" | "signal"> = {}): Promise<Outcome> {
    await this.cell(id); // refuses what the log does not know, for which one would wait in vain
    const cell = new PendingCell({ type: "execute", id, code: "" }, options);
    for await (const event of this.events(options.signal ? { signal: options.signal } : {})) {
      if (event.type === "gap") cell.uncertain ||= !event.superseded;
      else if ("id" in event && event.id === id && cell.take(event)) return new Outcome(await cell.promise);
    }
    options.signal?.throwIfAborted();
    throw new NoSuchSession(404, "the session ended before its cell did; client.sessions.create() makes a new one");
  }

  /** The session's events, those that the log holds and then those that come, over lost connections. Ends with the session. */
  async *events({ after, signal }: EventsOptions = {}): AsyncGenerator<SessionEvent | Gap> {
    const pauses = this.#http.pauses();
    let seq = after;
    while (!signal?.aborted) {
      let cause: unknown = new StreamBroke("the gateway closed the connection");
      try {
        // The same as the header Last-Event-ID, which pages of other sites would have to ask the gateway for first.
        const path = this.#path(`events${seq === undefined ? "" : `?after=${seq}`}`);
        const response = await this.#http.send("GET", path, { aboutSession: true, ...(signal && { signal }) });
        for await (const event of eventsOf<SessionEvent | Gap>(response)) {
          pauses.reset();
          seq = event.type === "gap" ? Math.max(event.to, seq ?? 0) : event.seq;
          this.#seen(seq);
          yield event;
          if (event.type === "ended") return;
        }
      } catch (error) {
        if (signal?.aborted) return;
        if (!(error instanceof StreamBroke)) throw error;
        cause = error;
      }
      try {
        await pauses.next(cause, signal);
      } catch (error) {
        if (signal?.aborted) return;
        throw error;
      }
    }
  }

  /** Stops a cell by its id, or the one that runs. */
  async interrupt(id?: string): Promise<void> {
    await this.#http.send("POST", this.#path("interrupt"), { json: { id }, again: id !== undefined });
  }

  /** Replaces the interpreter by a fresh one: files stay, variables go. For owners. */
  async restart(): Promise<void> {
    await this.#http.send("POST", this.#path("restart"));
  }

  /** Answers a cell that asks for a line; `null` is the end of its input. */
  async answer(id: string, text: string | null): Promise<void> {
    await this.#http.send("POST", this.#path("input"), { json: text === null ? { id, eof: true } : { id, text } });
  }

  /** All that a cell wrote, where `truncated` tells that not all of it was shown. */
  output(id: string): Promise<Blob> {
    return this.files.output(id);
  }

  /** Ends the session for everybody. */
  async end(): Promise<void> {
    let lost = false;
    try {
      await this.#http.send("DELETE", this.#path(), { aboutSession: true, lost: () => { lost = true; } });
    } catch (error) {
      // It is gone by the request whose answer was lost.
      if (!lost || !(error instanceof RequestFailed) || ![401, 404].includes(error.status)) throw error;
    }
  }

  /** A cell's events: those of its request, and what is missing from the log. */
  async *#follow(cell: PendingCell, options: RestRunOptions): AsyncGenerator<SessionEvent | Gap> {
    const { id } = cell.message;
    // Whatever this cell says comes after it.
    let seq = this.#lastSeq;
    const goesOn = options.detach === true || options.connectionLost !== "interrupt";
    const response = await this.#post(cell.message, goesOn);
    if (response) {
      try {
        for await (const event of eventsOf<SessionEvent | Gap>(response)) {
          seq = event.type === "gap" ? Math.max(event.to, seq) : event.seq;
          this.#seen(seq);
          yield event;
        }
      } catch (error) {
        if (!(error instanceof StreamBroke)) throw error;
      }
    }
    for await (const event of this.events({ after: seq })) {
      if (event.type === "gap" || ("id" in event && event.id === id)) yield event;
    }
  }

  /** Sends a cell; answers nothing if it is accepted already, by a request whose answer was lost. */
  async #post(message: PendingCell["message"], detach: boolean): Promise<Response | undefined> {
    let lost = false;
    const order: Order = {
      json: { ...message, type: undefined, detach },
      headers: { accept: "text/event-stream" },
      again: true,
      lost: () => { lost = true; },
    };
    try {
      return await this.#http.send("POST", this.#path("cells"), order);
    } catch (error) {
      if (!(error instanceof RequestFailed) || error.status !== 409) throw error;
      if (lost) return undefined;
      throw new Refused("duplicate_id", `${error.message}; leave \`id\` out, or give each cell one of its own`, message.id);
    }
  }

  /** Interrupts a cell that may have ended. */
  async #stop(id: string): Promise<void> {
    try {
      await this.interrupt(id);
    } catch {
      // It has ended, or the session has, or the gateway cannot be reached: there is nothing more to do.
    }
  }

  async #ask(request: Extract<SessionEvent, { type: "input_request" }>, onInput: NonNullable<RunOptions["onInput"]>): Promise<void> {
    let text: string | null = null;
    try {
      text = await onInput(request);
    } catch {
      // A handler that fails has no line to give: the cell sees the end of the input.
    }
    try {
      await this.answer(request.id, text);
    } catch {
      // The cell does not ask any more: it was interrupted, or somebody else was faster.
    }
  }

  #seen(seq: number): void {
    this.#lastSeq = Math.max(this.#lastSeq, seq);
  }

  #path(tail = ""): string {
    return `sessions/${encodeURIComponent(this.id)}${tail && "/"}${tail}`;
  }
}

/** Reads a cell's events to their end. */
export async function outcomeOf(events: AsyncGenerator<SessionEvent, Outcome>): Promise<Outcome> {
  while (true) {
    const { done, value } = await events.next();
    if (done) return value;
  }
}

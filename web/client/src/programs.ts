// Processes and further interpreters that a session's client opens.
//
//   open ──opened──► open ──exited──► ended
//     └── refused, could not be started, session gone ──► ended
//
// An `open` that was sent and not answered when the connection broke is sent again, unless events are missing: then it
// may have been opened, and have ended. What is said to a program is confirmed by a `ping` behind it: the gateway
// refuses before it answers that.

import { CellgateError, Refused } from "./errors.js";
import type { ConnectionState } from "./connection.js";
import { ProgramNotStarted } from "./failures.js";
import type { Exited, Gap, ProgramInfo, ProtocolError, SessionEvent, ToProgram } from "./protocol.js";
import type { BasicSession, SessionListener } from "./session.js";

type Open = Extract<ToProgram, { type: "open" }>;
type Say = ToProgram extends infer One ? One extends { id: string } ? Omit<One, "id"> : never : never;

const OPEN_MS = 60_000; // for a program to be there
const CLOSE_MS = 30_000; // for a program to end when it is closed
const GONE = "how this program ended is no longer in the session's log; open it again if need be";

/** A promise with what settles it. */
class Settled<Value> {
  value: Value | CellgateError | undefined;
  readonly promise: Promise<void>;
  #done!: () => void;

  constructor() {
    this.promise = new Promise((resolve) => { this.#done = resolve; });
  }

  settle(value: Value | CellgateError): void {
    this.value ??= value;
    this.#done();
  }
}

/** A program that this client has opened. */
export class Program {
  readonly opened = new Settled<ProgramInfo>();
  readonly exited = new Settled<Exited>();
  sent = false;
  sendings = 0;
  /** Events are missing. */
  outputLost = false;
  /** The connection broke after it was opened: it may have ended since. */
  toCheck = false;
  /** Events were lost before it was opened, so that it may have been, and have ended. */
  uncertain = false;
  /** Why the gateway does not take what was said to it last. */
  refusal: Refused | undefined;
  /** One message at a time, so that a refusal is known to be of this one. */
  saying: Promise<unknown> = Promise.resolve();
  /** Called with each of its events. */
  onEvent: ((event: SessionEvent) => void) | undefined;
  /** Called when it has ended, or the session is gone. */
  onEnd: (() => void) | undefined;

  constructor(readonly message: Open) {}

  get id(): string { return this.message.id; }
}

/** The programs of one session that this client has opened and that have not ended. */
export class Programs implements SessionListener {
  readonly #session: BasicSession;
  readonly #programs = new Map<string, Program>();
  /** Those that are being told something, which may have ended meanwhile. */
  readonly #told = new Map<string, Program>();

  constructor(session: BasicSession) {
    this.#session = session;
    session.listen(this);
  }

  /** Opens a program, and waits until it is there. */
  async open(program: Program): Promise<void> {
    const { id } = program;
    if (this.#programs.has(id)) {
      throw new Refused("duplicate_id", `program ${id} is open; close it, or choose another id`, id);
    }
    const { connection } = this.#session;
    if (connection.state === "closed") throw connection.cause;
    this.#programs.set(id, program);
    try {
      this.#send(program);
      if (!await within(program.opened.promise, OPEN_MS)) {
        throw new CellgateError(`the program was not there within ${OPEN_MS / 1000} s; see the gateway's log`);
      }
    } catch (error) {
      this.#programs.delete(id);
      try {
        this.#session.toProgram({ type: "close", id });
      } catch {
        // There is no connection: the first error says so.
      }
      throw error;
    }
    if (program.opened.value instanceof CellgateError) throw program.opened.value;
  }

  /** Says something to a program, and waits until the gateway has taken it; rejects with why it does not. */
  say(program: Program, message: Say): Promise<void> {
    const said = program.saying.then(() => this.#say(program, message));
    program.saying = said.catch(() => {
      // The caller holds the same promise and sees the error there.
    });
    return said;
  }

  async #say(program: Program, message: Say): Promise<void> {
    const { exited, id } = program;
    if (exited.value instanceof CellgateError) throw exited.value;
    if (exited.value) throw new Refused("not_running", `the program has ended (${describe(exited.value)}); open another one`, id);
    program.refusal = undefined;
    this.#told.set(id, program);
    try {
      this.#session.toProgram({ ...message, id });
      await this.#session.ping();
    } finally {
      this.#told.delete(id);
    }
    if (program.refusal) throw program.refusal;
  }

  /** Ends a program, and waits until it has ended. */
  async close(program: Program): Promise<void> {
    if (program.exited.value) return;
    this.#session.toProgram({ type: "close", id: program.id });
    if (await within(program.exited.promise, CLOSE_MS)) return;
    throw new CellgateError(`the program did not end within ${CLOSE_MS / 1000} s; see the gateway's log`);
  }

  event(event: SessionEvent): void {
    if ("program" in event) {
      this.#programs.get(event.program)?.onEvent?.(event);
    } else if (event.type === "opened") {
      this.#programs.get(event.id)?.opened.settle(event);
    } else if (event.type === "exited") {
      const program = this.#programs.get(event.id);
      if (program) this.#end(program, event);
    }
  }

  gap(gap: Gap): void {
    if (gap.superseded) return;
    for (const program of this.#programs.values()) {
      program.outputLost = true;
      program.uncertain = !program.opened.value;
    }
  }

  refused(refusal: ProtocolError): void {
    if (refusal.id === undefined) return;
    const error = new Refused(refusal.code, refusal.message, refusal.id);
    const told = this.#told.get(refusal.id);
    if (told) {
      told.refusal = error;
      return;
    }
    const program = this.#programs.get(refusal.id);
    // If it was sent twice, the first sending had arrived after all.
    if (!program || program.opened.value || (refusal.code === "duplicate_id" && program.sendings > 1)) return;
    this.#end(program, error);
  }

  /** All that was missed has come. */
  caughtUp(): void {
    const open = new Map(this.#session.ready.programs.map((info) => [info.id, info]));
    for (const program of [...this.#programs.values()]) {
      const info = open.get(program.id);
      if (program.opened.value) {
        if (program.toCheck && !info) this.#end(program, new CellgateError(GONE));
        program.toCheck = false;
      } else if (info && program.sendings > 0) {
        program.opened.settle(info);
      } else if (program.uncertain) {
        this.#end(program, new CellgateError(GONE));
      } else if (!program.sent) {
        this.#send(program);
      }
    }
  }

  connection(state: ConnectionState): void {
    if (state.state === "open" || state.state === "connecting") return;
    for (const program of [...this.#programs.values()]) {
      if (state.state === "closed") {
        this.#end(program, state.cause);
        continue;
      }
      program.sent = false;
      program.toCheck = program.opened.value !== undefined;
    }
  }

  #send(program: Program): void {
    this.#session.toProgram(program.message);
    program.sent = true;
    program.sendings += 1;
  }

  #end(program: Program, how: Exited | CellgateError): void {
    this.#programs.delete(program.id);
    program.opened.settle(how instanceof CellgateError ? how : notStarted(program, how));
    program.exited.settle(how);
    program.onEnd?.();
  }
}

/** How a program ended, in a few words. */
function describe({ code, signal, detail }: Exited): string {
  if (signal !== undefined) return `ended by ${signal}`;
  return code === undefined ? detail ?? "it has ended" : `exit code ${code}`;
}

function notStarted({ message }: Program, how: Exited): ProgramNotStarted {
  return new ProgramNotStarted(`the ${message.kind} did not start: ${how.detail ?? describe(how)}`, how.code);
}

/** Whether a promise settles in time. */
async function within(promise: Promise<void>, ms: number): Promise<boolean> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const late = new Promise<boolean>((resolve) => { timer = setTimeout(() => resolve(false), ms); });
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    clearTimeout(timer);
  }
}


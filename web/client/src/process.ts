// What `session.start`, `openInterpreter` and `runCommand` answer: processes, interpreters, and commands that have ended.

import { CellgateError } from "./errors.js";
import type { EventStream } from "./events.js";
import { randomId } from "./id.js";
import { Program } from "./programs.js";
import type { Programs } from "./programs.js";
import type { Exited, ProcessOutput, ProgramInfo, SessionEvent, ToProgram } from "./protocol.js";
import type { BasicSession } from "./session.js";

/** A text for `/bin/sh`, or a file and its arguments. */
export type Command = string | readonly string[];

/** Where a program starts. */
export interface PlaceOptions {
  /** Its id in the session, which no other open program has; a random one by default. */
  id?: string;
  /** Variables added to its environment. */
  env?: Record<string, string>;
  /** Where it starts; the working directory by default. */
  cwd?: string;
}

/** How to start a process. */
export interface ProcessOptions extends PlaceOptions {
  /** Whether `write` is to reach its input. */
  stdin?: boolean;
  /** It gets a terminal of this size, in characters, whose input `write` reaches. */
  terminal?: { cols: number; rows: number };
}

/** How to run a command to its end. */
export interface CommandOptions extends PlaceOptions {
  onStdout?(text: string): void;
  onStderr?(text: string): void;
  /** Ends the command when aborted; the promise still settles with how it ended. */
  signal?: AbortSignal;
}

/** How a program ended: by its exit code, or a signal such as `SIGKILL`. */
export type Exit = Pick<Exited, "code" | "signal" | "detail">;

const UNREAD_CHARACTERS = 1 << 20; // most output of a process that is kept while nobody reads it

/** What interpreters and processes have in common. */
class Opened {
  /** @internal */
  constructor(protected readonly programs: Programs, protected readonly program: Program) {}

  /** Its id in the session. */
  get id(): string { return this.program.id; }

  /** How it ended; undefined while it runs. */
  get exited(): Exit | undefined {
    const how = this.program.exited.value;
    return how instanceof CellgateError ? undefined : how;
  }

  /** Ends it with all that it started, and waits for that. */
  close(): Promise<void> { return this.programs.close(this.program); }

  /** Waits for its end. Rejects if the session is gone. */
  async wait(): Promise<Exit> {
    await this.program.exited.promise;
    const how = this.program.exited.value!;
    if (how instanceof CellgateError) throw how;
    return how;
  }

  protected get info(): ProgramInfo { return this.program.opened.value as ProgramInfo; }
}

/** A further interpreter of a session: `session.runCode(code, { interpreter: it.id })`. */
export class Interpreter extends Opened {
  /** What its cells are written in. */
  get language(): string { return this.info.language ?? ""; }

  /** Its version, such as `20.11.1`. */
  get version(): string | undefined { return this.info.version; }
}

/**
 * A command in a session's sandbox. Iterate over its output, by one reader at a time; leaving the loop leaves it running.
 *
 * While its output is iterated over, the session waits for the reader. While it is not, the newest output is kept, up to
 * about a million characters; `outputLost` tells that there was more.
 */
export class Process extends Opened implements AsyncIterable<ProcessOutput> {
  readonly #session: BasicSession;
  #unread: ProcessOutput[] = [];
  #unreadCharacters = 0;
  #reading: EventStream | undefined;

  /** @internal */
  constructor(session: BasicSession, programs: Programs, program: Program) {
    super(programs, program);
    this.#session = session;
    program.onEvent = (event) => this.#keep(event);
    program.onEnd = () => this.#reading?.finish();
  }

  /** Its number in the sandbox. */
  get pid(): number | undefined { return this.info.pid; }

  /** Whether output is missing: the gateway no longer held it, or there was too much while nobody read it. */
  get outputLost(): boolean { return this.program.outputLost; }

  /** Its output, to its end: events of the type `stdout`, `stderr` or `terminal`. */
  async *[Symbol.asyncIterator](): AsyncGenerator<ProcessOutput, void> {
    if (this.#reading) throw new CellgateError("the output of this process is being read already");
    const { exited, id } = this.program;
    const events = this.#session.events((event) => "program" in event && event.program === id);
    this.#reading = events;
    if (exited.value) events.finish();
    try {
      for (let kept = this.#shift(); kept; kept = this.#shift()) yield kept;
      for (let step = await events.next(); !step.done; step = await events.next()) yield step.value as ProcessOutput;
      if (exited.value instanceof CellgateError) throw exited.value;
    } finally {
      this.#reading = undefined;
      for (const event of events.leave()) this.#keep(event as ProcessOutput);
    }
  }

  /**
   * Writes to its input, which needs `stdin` or a terminal; `eof` ends the input then. Rejects as `Refused` with the code
   * `queue_full`, and writes nothing, while 1 MiB waits that the process has not read.
   */
  write(data: string | Uint8Array, { eof = false } = {}): Promise<void> {
    const what = typeof data === "string" ? { text: data } : { data: base64(data) };
    return this.programs.say(this.program, { type: "write", ...what, ...(eof && { eof }) });
  }

  /** Ends its input; on a terminal that is the key Ctrl-D. */
  closeInput(): Promise<void> { return this.write("", { eof: true }); }

  /** Sends it and its process group a signal; with a terminal, what runs in the foreground. One that has ended gets none. */
  async signal(name = "SIGINT"): Promise<void> {
    try {
      await this.programs.say(this.program, { type: "signal", signal: name });
    } catch (error) {
      if (!this.exited) throw error;
    }
  }

  /** Gives its terminal another size, in characters. */
  resize(cols: number, rows: number): Promise<void> {
    return this.programs.say(this.program, { type: "resize", cols, rows });
  }

  #keep(event: SessionEvent): void {
    if (this.#reading || !("program" in event)) return;
    this.#unread.push(event);
    this.#unreadCharacters += event.text.length;
    while (this.#unreadCharacters > UNREAD_CHARACTERS) {
      this.#shift();
      this.program.outputLost = true;
    }
  }

  #shift(): ProcessOutput | undefined {
    const first = this.#unread.shift();
    this.#unreadCharacters -= first?.text.length ?? 0;
    return first;
  }
}

/** A command that has ended. */
export class CommandResult {
  constructor(
    readonly stdout: string,
    readonly stderr: string,
    /** Its exit code; undefined if a signal ended it. */
    readonly code: number | undefined,
    /** The signal that ended it, such as `SIGKILL`. */
    readonly signal: string | undefined,
    /** A sentence on why it ended so, if there is more to say. */
    readonly detail: string | undefined,
    /** Whether events were lost while it ran. */
    readonly outputLost: boolean,
  ) {}

  /** Whether its exit code is 0. */
  get ok(): boolean { return this.code === 0; }

  /** Throws `CommandFailed` unless its exit code is 0; else answers itself. */
  raiseForError(): this {
    if (this.ok) return this;
    const how = this.signal === undefined ? `ended with exit code ${this.code}` : `was ended by ${this.signal}`;
    const said = this.stderr.trim() || this.detail;
    throw new CommandFailed(`the command ${how}${said ? `\n${said}` : ""}`, this);
  }
}

/** A command did not end with exit code 0. */
export class CommandFailed extends CellgateError {
  override name = "CommandFailed";

  constructor(message: string, /** All that it produced. */ readonly result: CommandResult) {
    super(message);
  }
}

/** The program that `openInterpreter` opens. */
export function interpreterProgram(language: string, { id = randomId(), env, cwd }: PlaceOptions): Program {
  return new Program({ type: "open", id, kind: "interpreter", language, ...(env && { env }), ...(cwd !== undefined && { cwd }) });
}

/** The program that `start` opens. */
export function processProgram(command: Command | undefined, { id = randomId(), env, cwd, stdin, terminal }: ProcessOptions): Program {
  if (command === undefined && !terminal) {
    throw new CellgateError("name a command, or a terminal's size for a shell: session.start(undefined, { terminal: { cols: 80, rows: 24 } })");
  }
  const what: Partial<Extract<ToProgram, { type: "open" }>> = typeof command === "string" ? { command } : command ? { argv: [...command] } : {};
  return new Program({
    type: "open", id, kind: "process", ...what,
    ...(env && { env }), ...(cwd !== undefined && { cwd }), ...(terminal ? { terminal } : stdin && { stdin }),
  });
}

/** Reads a process to its end. */
export async function resultOf(process: Process, { onStdout, onStderr, signal }: CommandOptions): Promise<CommandResult> {
  let stdout = "";
  let stderr = "";
  const stop = (): void => { process.close().catch(() => { /* it ends with the session */ }); };
  signal?.addEventListener("abort", stop, { once: true });
  if (signal?.aborted) stop();
  try {
    for await (const { type, text } of process) {
      if (type === "stderr") { stderr += text; onStderr?.(text); } else { stdout += text; onStdout?.(text); }
    }
    const { code, signal: by, detail } = await process.wait();
    return new CommandResult(stdout, stderr, code, by, detail, process.outputLost);
  } catch (error) {
    stop(); // a callback has failed: nobody waits for the command any more
    throw error;
  } finally {
    signal?.removeEventListener("abort", stop);
  }
}

function base64(bytes: Uint8Array): string {
  let text = "";
  for (let at = 0; at < bytes.length; at += 0x8000) text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  return btoa(text);
}

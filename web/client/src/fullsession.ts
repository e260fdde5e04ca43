// `Session`: a session over a WebSocket, with all that the library has.

import { addressOf } from "./address.js";
import type { RunOptions } from "./cell.js";
import { SharedDocument } from "./document.js";
import { advise, failureOf } from "./failures.js";
import { Files } from "./fullfiles.js";
import { Http } from "./http.js";
import { Outcome } from "./outcome.js";
import { Interpreter, interpreterProgram, Process, processProgram, resultOf } from "./process.js";
import type { Command, CommandOptions, CommandResult, PlaceOptions, ProcessOptions } from "./process.js";
import { Programs } from "./programs.js";
import type { SendComm, SessionEvent } from "./protocol.js";
import { BasicSession } from "./session.js";
import type { Opened, SessionListener, SessionOptions } from "./session.js";
import { Sharing } from "./sharing.js";

export class Session extends BasicSession {
  /** Files in the working directory. */
  override readonly files: Files;
  /** Share links, tokens and the participants' rights. For owners. */
  readonly sharing: Sharing;
  /** The text that participants edit together. */
  readonly document: SharedDocument;
  readonly #programs: Programs;

  /**
   * Makes a session, or attaches to one; resolves with the gateway's `ready`. `url` may be a share link, or the address
   * that the gateway prints at its start; without it, $CELLGATE_URL and $CELLGATE_TOKEN are read.
   */
  static override connect(options: Partial<SessionOptions> = {}, listener?: SessionListener): Promise<Session> {
    return new Promise((resolve, reject) => {
      const { base, token, session } = addressOf(options);
      const whole = { ...options, url: base, ...(token && { token }), ...(session && { session }) };
      new Session(whole, listener, {
        resolve: (opened) => resolve(opened as Session),
        reject: (error) => reject(advise(error)),
      });
    });
  }

  private constructor(options: SessionOptions, listener: SessionListener | undefined, opened: Opened) {
    super(options, listener, opened);
    const base = String(options.url);
    const http = () => new Http(base, this.token);
    const id = () => this.id;
    this.files = new Files(base, () => this.ready, failureOf);
    this.sharing = new Sharing(http, id);
    this.document = new SharedDocument(http, id);
    this.#programs = new Programs(this);
  }

  /** Runs a cell. Rejects only if it was refused or the session is gone for good. */
  override async runCode(code: string, options: RunOptions = {}): Promise<Outcome> {
    return outcomeOf(super.runCode(code, options));
  }

  /** Says something on a comm, which runs like a silent cell. Rejects as `runCode` does. */
  override async comm(message: SendComm, options: Parameters<BasicSession["comm"]>[1] = {}): Promise<Outcome> {
    return outcomeOf(super.comm(message, options));
  }

  /** Runs a cell and iterates over its events, `done` being the last. Leaving early interrupts it. */
  override stream(code: string, options: RunOptions = {}): AsyncGenerator<SessionEvent, Outcome> {
    // `runCode` of this class makes the outcome that it ends with.
    return super.stream(code, options) as AsyncGenerator<SessionEvent, Outcome>;
  }

  /** Starts another interpreter, of one of `ready.languages`; cells name it: `runCode(code, { interpreter: it.id })`. */
  async openInterpreter(language: string, options: PlaceOptions = {}): Promise<Interpreter> {
    const program = interpreterProgram(language, options);
    const interpreter = new Interpreter(this.#programs, program);
    await advised(this.#programs.open(program));
    return interpreter;
  }

  /**
   * Starts a command beside the cells, and settles when it runs; rejects with `ProgramNotStarted` if it cannot. Without a
   * command, a terminal is a shell.
   */
  async start(command?: Command, options: ProcessOptions = {}): Promise<Process> {
    const program = processProgram(command, options);
    const process = new Process(this, this.#programs, program);
    await advised(this.#programs.open(program));
    return process;
  }

  /** Runs a command to its end. One that fails rejects nothing: see `raiseForError`. */
  async runCommand(command: Command, options: CommandOptions = {}): Promise<CommandResult> {
    const { id, env, cwd } = options;
    const process = await this.start(command, { ...(id !== undefined && { id }), ...(env && { env }), ...(cwd !== undefined && { cwd }) });
    return advised(resultOf(process, options));
  }
}

async function outcomeOf(settling: ReturnType<BasicSession["runCode"]>): Promise<Outcome> {
  return new Outcome(await advised(settling));
}

/** The same, with what to do next in its errors. */
async function advised<Value>(settling: Promise<Value>): Promise<Value> {
  try {
    return await settling;
  } catch (error) {
    throw advise(error);
  }
}

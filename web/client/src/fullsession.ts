// `Session`: a session over a WebSocket, with all that the library has.

import { addressOf } from "./address.js";
import type { RunOptions } from "./cell.js";
import { SharedDocument } from "./document.js";
import { advise, failureOf } from "./failures.js";
import { Files } from "./fullfiles.js";
import { Http } from "./http.js";
import { Outcome } from "./outcome.js";
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
}

async function outcomeOf(settling: ReturnType<BasicSession["runCode"]>): Promise<Outcome> {
  try {
    return new Outcome(await settling);
  } catch (error) {
    throw advise(error);
  }
}

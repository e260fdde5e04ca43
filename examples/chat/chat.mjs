// `Chat`: one conversation with its session of the gateway, its answer that is being given, and the log of all that its
// pages show. The events of the log:
//
//   message {text}                        what a person has said; an answer begins
//     text {text}                         more of what the model says
//     code {cell, text}                   more of the code that it writes
//     run {cell}                          the code is whole, and runs
//       stdout, stderr {cell, text}       what it prints
//       display {cell, data, id?, update?}   what it shows, in one form
//       clear {cell, wait}                what it has shown up to now goes
//       error {cell, traceback}           what it raised
//     done {cell, status, seconds, detail?}
//   end {status, problem?}                the answer is complete, was stopped, or has failed
//   notice {text}                         what happened beside it
//   closed {text}                         the chat is over

import { randomUUID } from "node:crypto";
import { NoSuchSession, RequestFailed, Unauthorised } from "cellgate";
import { EventLog } from "./log.mjs";

/** What a chat may be. The sizes are characters. */
export const LIMITS = {
  chats: 20, // each holds a session of the gateway
  idleMs: 30 * 60_000, // without a message; then the chat ends with its session
  messages: 200, // of people in one chat
  message: 16_000,
  cellOutput: 200_000, // text of one cell; what comes after it is left out
  shown: 2_000_000, // one picture or table, in base64 or HTML
  cellShown: 6_000_000, // all that one cell shows
  log: 16_000_000, // all events of a chat; the server keeps them in memory
  readers: 20, // tabs that show one chat
  cellMs: 120_000,
};

/** What an event counts as beside its text, so that many small ones end too. */
const EVENT_CHARACTERS = 50;

/** Forms of a value, the best for this page first. */
const FORMS = ["image/png", "image/jpeg", "image/svg+xml", "text/html", "text/markdown", "text/latex", "text/plain"];

/** A request of a page cannot be met; `status` is the HTTP status. */
export class NotPossible extends Error {
  constructor(status, message) {
    super(message);
    this.status = status;
  }
}

export class Chat {
  id = randomUUID();
  log = new EventLog();
  /** When it was last used, in Unix milliseconds. */
  used = Date.now();
  #gateway;
  #conversation;
  #limits;
  #session;
  #client; // of the gateway that has the session
  #messages = 0;
  #answer; // { stopping, cell, finished } while there is one
  #closed = false;

  constructor(gateway, model, limits) {
    this.#gateway = gateway;
    this.#conversation = model.open();
    this.#limits = limits;
  }

  get isAnswering() { return this.#answer !== undefined; }

  /** Takes a message of a person, and begins to answer it. */
  say(text) {
    const limits = this.#limits;
    if (typeof text !== "string" || text.trim() === "") throw new NotPossible(400, "The message is empty: write something.");
    if (text.length > limits.message) throw new NotPossible(413, `The message has ${text.length} characters, and ${limits.message} are allowed: shorten it.`);
    if (this.#answer) throw new NotPossible(409, "The last message is still being answered: wait for the end, or stop the answer.");
    if (this.#messages >= limits.messages || this.log.size >= limits.log) throw new NotPossible(409, "This chat is full. Start a new one.");
    this.#messages += 1;
    this.used = Date.now();
    this.log.append({ type: "message", text });
    const answer = { number: this.#messages, stopping: new AbortController(), cell: undefined };
    this.#answer = answer;
    answer.finished = this.#give(answer, text);
  }

  /** Stops the code of one cell, after which the model goes on; or, without a cell, the whole answer. */
  async stop(cell) {
    const answer = this.#answer;
    if (!answer) throw new NotPossible(409, "There is nothing to stop: the answer has ended.");
    if (cell === undefined) return answer.stopping.abort();
    if (answer.cell !== cell) throw new NotPossible(409, "That code does not run any more.");
    try {
      await this.#session?.interrupt(cell);
    } catch (error) {
      if (error instanceof RequestFailed && error.status === 409) throw new NotPossible(409, "That code does not run any more.");
      throw new NotPossible(502, `The code could not be stopped: ${error.message}`);
    }
  }

  /** Ends the chat and its session; its pages are told why. */
  async close(text) {
    if (this.#closed) return;
    this.#closed = true;
    const answer = this.#answer;
    answer?.stopping.abort();
    await answer?.finished;
    this.log.append({ type: "closed", text });
    this.log.close();
    await this.#session?.end().catch(() => {}); // it is over, or its idle timeout ends it
  }

  /** Gives one answer: what the model says is shown, the code that it writes runs, and it is told what came of it. */
  async #give(answer, text) {
    const { signal } = answer.stopping;
    const steps = this.#conversation.answer(text, signal);
    const nameOf = (cell) => `${answer.number}.${cell}`;
    let end = { status: "complete" };
    try {
      let outcome;
      while (true) {
        const { done, value: step } = await steps.next(outcome);
        outcome = undefined;
        if (done) break;
        if (this.log.size > this.#limits.log) throw new Error("This chat is full: start a new one.");
        if (step.type === "text") this.log.append(step);
        else if (step.type === "code") this.log.append({ ...step, cell: nameOf(step.cell) });
        else outcome = await this.#run(nameOf(step.cell), step.code, answer);
      }
    } catch (error) {
      end = signal.aborted ? { status: "stopped" } : { status: "failed", problem: error.message };
    }
    // Lets the conversation note that it was broken off.
    await steps.return().catch(() => {});
    this.used = Date.now();
    this.#answer = undefined;
    this.log.append({ type: "end", ...end });
  }

  /** Runs a cell, and shows what it does. Answers its outcome, and whether variables of before are gone (`isFresh`). */
  async #run(cell, code, answer) {
    const { log } = this;
    const { signal } = answer.stopping;
    log.append({ type: "run", cell });
    let isFresh = false;
    while (true) {
      let started = false;
      const shower = new OutputShower(log, cell, this.#limits);
      const hadSession = this.#session !== undefined;
      try {
        const session = await this.#openSession(signal);
        answer.cell = cell;
        const outcome = await session.runCode(code, {
          id: cell,
          signal,
          timeoutMs: this.#limits.cellMs,
          keepCharacters: this.#limits.cellOutput,
          onEvent: (event) => { started = true; shower.take(event); },
        });
        log.append({ type: "done", cell, status: outcome.status, seconds: outcome.durationMs / 1000, detail: outcome.detail });
        if (!outcome.stateKept) log.append({ type: "notice", text: "The interpreter was started anew: the variables of this chat are gone, its files are still there." });
        return { outcome, isFresh };
      } catch (error) {
        const isGone = this.#session !== undefined && hasEnded(error, this.#gateway);
        if (isGone) this.#session = undefined;
        if ((isGone || (hadSession && error instanceof SessionGone)) && !started && !isFresh && !signal.aborted) {
          isFresh = true;
          log.append({ type: "notice", text: "The session of this chat had ended: variables and files of before are gone. The code runs in a new one." });
          continue;
        }
        log.append({ type: "done", cell, status: signal.aborted ? "interrupted" : "lost", seconds: 0 });
        if (isGone) throw new Error("The gateway has ended the session of this chat while the code ran: its variables and files are gone. Send the message again; the code then runs in a new session.", { cause: error });
        throw new Error(`The code could not be run: ${error.message}. When that is mended, send the message again.`, { cause: error });
      } finally {
        answer.cell = undefined;
      }
    }
  }

  /** This chat's session, which is made when the first code runs. Throws `SessionGone` if it went with its gateway. */
  async #openSession(signal) {
    const client = await this.#gateway.client();
    if (this.#session && this.#client !== client) {
      this.#session = undefined;
      throw new SessionGone();
    }
    this.#client = client;
    this.#session ??= await client.sessions.create({ idleTimeoutMs: 2 * this.#limits.idleMs, signal });
    return this.#session;
  }
}

/** The session went with its gateway, and another gateway runs now. */
class SessionGone extends Error {}

/** Whether an error of a session says that it is over. A gateway that was restarted does not know its token any more. */
function hasEnded(error, gateway) {
  return error instanceof NoSuchSession || error instanceof Unauthorised || gateway.hasEnded;
}

/** Writes what one cell shows into the log, within the limits. */
class OutputShower {
  #text = 0; // characters
  #shown = 0;
  #toldOmission = false;

  constructor(log, cell, limits) {
    Object.assign(this, { log, cell, limits });
  }

  take(event) {
    const { log, cell, limits } = this;
    switch (event.type) {
      case "stdout":
      case "stderr": {
        const text = event.text.slice(0, Math.max(0, limits.cellOutput - this.#text));
        this.#text += event.text.length + EVENT_CHARACTERS;
        if (text) log.append({ type: event.type, cell, text });
        if (text.length < event.text.length) this.#omit("The rest of the output is not shown.");
        break;
      }
      case "display":
      case "result": {
        const data = bestForm(event.data);
        if (!data) break;
        if (data.value.length > limits.shown) this.#omit(`A value of ${data.value.length} characters is too large to be shown.`);
        else if (this.#hasRoom(data.value.length)) log.append({ type: "display", cell, data, id: event.display_id, update: event.update });
        else this.#omit("Further pictures and values are not shown.");
        break;
      }
      case "clear_output":
        if (this.#hasRoom(0)) log.append({ type: "clear", cell, wait: event.wait });
        break;
      case "error":
        log.append({ type: "error", cell, traceback: event.traceback.join("\n").slice(0, limits.cellOutput) || `${event.name}: ${event.value}` });
        break;
      case "truncated":
        this.#omit("The rest of the output is not shown.");
        break;
    }
  }

  #hasRoom(characters) {
    this.#shown += characters + EVENT_CHARACTERS;
    return this.#shown <= this.limits.cellShown;
  }

  #omit(text) {
    if (this.#toldOmission) return;
    this.#toldOmission = true;
    this.log.append({ type: "stderr", cell: this.cell, text: `\n[${text}]\n` });
  }
}

/** `{type, value}` of the form of a value that the page shows best. */
function bestForm(bundle) {
  const type = FORMS.find((form) => form in bundle);
  if (!type) return undefined;
  const value = bundle[type];
  return { type, value: Array.isArray(value) ? value.join("") : String(value) };
}

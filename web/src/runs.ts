// What this tab has run: cells one by one or all in order, and the stop that becomes a force stop.
//
//   run all ─► backlog ─► ahead (one, which the gateway has) ─ ok ─► the next
//                 ▲                                          └ else ─► the rest does not run
//
// One at a time: a cell that was sent before the page hears that the one before it failed would run.
//
//   no ─interrupt─► asked ─ 1 s ─► stubborn ─interrupt─► restart
//    └──────────── a cell ended, the interpreter restarted ◄──────┘

import { CellgateError, Refused } from "../client/src/core.js";
import type { Role, RunOptions, Session } from "../client/src/core.js";
import type { CellView } from "./cellview.js";
import { toast } from "./dom.js";
import { newId } from "./pure/document.js";
import { count, sentence } from "./pure/words.js";
import type { Trust } from "./trust.js";

const STUBBORN_MS = 1000; // what has not stopped by then may be stopped by force

export type Stopping = "no" | "asked" | "stubborn";

export interface RunsHost {
  readonly session: Session | null;
  /** What this participant is now. */
  readonly role: Role;
  /** The cells, in their order. */
  readonly all: readonly CellView[];
  /** The interpreters that are open beside the session's first. */
  readonly beside: readonly string[];
  changed(): void;
  /** A cell was sent; the document knows its run now. */
  sent(): void;
}

export class Runs {
  readonly #host: RunsHost;
  readonly #trust: Trust;
  #backlog: CellView[] = [];
  /** The run of "run all" whose end the next one waits for. */
  #ahead: string | null = null;
  #stopping: Stopping = "no";
  /** The interpreters that were asked to stop; the session's first is `undefined`. */
  #asked = new Set<string | undefined>();
  /** Called before a cell is sent. */
  before: ((cell: CellView) => void) | null = null;
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: RunsHost, trust: Trust) {
    this.#host = host;
    this.#trust = trust;
  }

  get stopping(): Stopping { return this.#stopping; }

  /** Whether "run all" is not through yet, also between two cells. */
  get runsAll(): boolean { return this.#ahead !== null; }

  /** Restarting takes everybody's variables, which the owner alone may. */
  get canRestart(): boolean { return this.#host.session !== null && this.#host.role === "owner"; }

  /** Whether this tab sent the run. */
  isOwn(run: string): boolean { return this.#trust.isOwn(run); }

  /** Runs a cell. One that runs already runs anew afterwards, if its code has changed; the newest code alone waits. */
  run(cell: CellView, options: RunOptions = {}): void {
    const code = cell.editor.code;
    const { session } = this.#host;
    if (!cell.runnable || (cell.busy && cell.sentCode === code)) return;
    if (!session) return cell.refuse("Not run: there is no session.");
    this.before?.(cell);
    // Nobody else may know it beforehand, and run something under it that passes for ours.
    const run = `${cell.id}.${newId()}`;
    this.#trust.sent(run);
    const older = cell.next?.run;
    if (cell.active) cell.setNext({ run, code, position: 1 });
    else cell.begin(run, code);
    if (older !== undefined && this.isOwn(older)) this.ask(() => session.interrupt(older));
    this.#host.sent();
    session.runCode(code, { id: run, cell: cell.id, ...(cell.interpreter !== undefined && { interpreter: cell.interpreter }), allowInput: true, keepCharacters: 0, ...options }).then((outcome) => this.#over(run, outcome.status === "ok"), (error: unknown) => {
      if (error instanceof Refused) this.#trust.refused(run);
      const why = error instanceof Refused ? sentence(`Not run: ${error.message}`) : "The session ended before this cell did.";
      if (cell.next?.run === run) {
        cell.setNext(null);
        toast(why);
      } else if (error instanceof Refused) cell.refuse(why);
      else cell.forget(why);
      this.#over(run, false);
    });
  }

  runAll(): void { this.#runSome(() => true); }

  /** Runs the cells above this one. */
  runAbove(cell: CellView): void { this.#runSome((other) => other.number < cell.number); }

  /** Runs this cell and those below it. */
  runFrom(cell: CellView): void { this.#runSome((other) => other.number >= cell.number); }

  /** Runs the cells whose output no longer follows from the code. */
  runStale(): void { this.#runSome((cell) => cell.stale !== null); }

  #runSome(wanted: (cell: CellView) => boolean): void {
    this.#setBacklog(this.#host.all.filter((cell) => cell.runnable && wanted(cell)));
    this.#pump();
  }

  /** Takes a cell that "run all" has not come to out of it. */
  skip(cell: CellView): void {
    this.#setBacklog(this.#backlog.filter((other) => other !== cell));
  }

  /** Asks for a stop of a cell, or of all that runs; once that has been in vain for a while, stops by force. */
  interrupt(cell?: CellView): void {
    this.#setBacklog([]);
    const { session } = this.#host;
    if (!session) return;
    if (this.#stopping === "stubborn") return this.#restartSome([...this.#asked]);
    for (const one of cell ? [cell] : this.#host.all) {
      if (one.interpreter === undefined || one.phase.phase !== "running") continue;
      this.#asked.add(one.interpreter);
      this.ask(() => session.interrupt(one.run));
    }
    if (!cell || cell.interpreter === undefined) {
      // Whatever the first interpreter runs: it may be no cell of this page.
      this.#asked.add(undefined);
      this.ask(() => session.interrupt());
    }
    if (this.#stopping === "no") {
      this.#stopping = "asked";
      // For others the gateway's own grace is what ends a cell that does not yield.
      if (this.canRestart) this.#timer = setTimeout(() => {
        this.#stopping = "stubborn";
        this.#host.changed();
      }, STUBBORN_MS);
    }
    this.#host.changed();
  }

  /** Restarts all interpreters of the session. */
  restart(): void { this.#restartSome([undefined, ...this.#host.beside]); }

  #restartSome(interpreters: readonly (string | undefined)[]): void {
    if (this.#host.session && !this.canRestart) return toast("Only the owner of this session may restart it.");
    this.#setBacklog([]);
    this.ask(() => { for (const one of interpreters) this.#host.session?.restart(one); });
  }

  async restartAndRunAll(): Promise<void> {
    const { session } = this.#host;
    if (!session || !this.canRestart) return this.restart();
    const left = new Set([undefined, ...this.#host.beside]);
    const restarted = new Promise<void>((resolve) => {
      const stop = session.listen({ event(event) {
        // One that ends instead is opened anew by its next cell.
        if (event.type === "restarted") left.delete(event.interpreter);
        else if (event.type === "exited") left.delete(event.id);
        if (left.size === 0) { stop(); resolve(); }
      } });
    });
    this.restart();
    await restarted;
    this.runAll();
  }

  /** A run ended: the next of "run all" may follow. */
  ended(run: string, ok: boolean, interpreter?: string): void {
    this.stopped(interpreter);
    this.#over(run, ok);
  }

  #over(run: string, ok: boolean): void {
    if (run !== this.#ahead) return;
    this.#ahead = null;
    const left = this.#backlog.length;
    if (!ok && left > 0) {
      this.#setBacklog([]);
      toast(`Run all stopped there: ${count(left, "cell")} after it did not run.`);
    }
    this.#pump();
  }

  #setBacklog(cells: CellView[]): void {
    for (const cell of this.#backlog) cell.setPlanned(false);
    this.#backlog = cells;
    for (const cell of cells) cell.setPlanned(true);
  }

  /** That interpreter is not asked to stop any more. */
  stopped(interpreter?: string): void {
    this.#asked.delete(interpreter);
    // The first one is asked together with others, whether it runs something or not.
    if (this.#host.all.some((cell) => this.#asked.has(cell.interpreter) && cell.phase.phase === "running")) return;
    this.#asked.clear();
    this.#stopping = "no";
    clearTimeout(this.#timer);
  }

  /** Sends something, or says that it could not. */
  ask(what: () => void): void {
    try {
      what();
    } catch (error) {
      if (!(error instanceof CellgateError)) throw error;
      toast("Not connected: nothing was sent.");
    }
  }

  /** Sends the next cell of "run all". */
  #pump(): void {
    while (this.#ahead === null) {
      const cell = this.#backlog.shift();
      if (!cell) return;
      cell.setPlanned(false);
      // It may have been deleted or emptied since.
      if (!cell.element.isConnected || !cell.runnable) continue;
      this.run(cell);
      if (!cell.busy) return this.#setBacklog([]);
      this.#ahead = cell.next?.run ?? cell.run ?? null;
    }
  }
}

// What this tab has run: cells one by one or all in order, and the stop that becomes a force stop.
//
//   run all ─► backlog ─► ahead (at most AHEAD in the gateway's queue) ─► done
//
//   no ─interrupt─► asked ─ 1 s ─► stubborn ─interrupt─► restart
//    └──────────── a cell ended, the interpreter restarted ◄──────┘

import { CellgateError, Refused } from "../client/src/index.js";
import type { Session } from "../client/src/index.js";
import type { CellView } from "./cellview.js";
import { toast } from "./dom.js";
import { newId } from "./pure/document.js";
import { sentence } from "./pure/words.js";
import type { Trust } from "./trust.js";

const AHEAD = 8; // cells of "run all" in the queue of the gateway at once
const STUBBORN_MS = 1000; // what has not stopped by then may be stopped by force

export type Stopping = "no" | "asked" | "stubborn";

export interface RunsHost {
  readonly session: Session | null;
  /** The cells, in their order. */
  readonly all: readonly CellView[];
  changed(): void;
  /** A cell was sent; the document knows its run now. */
  sent(): void;
}

export class Runs {
  readonly #host: RunsHost;
  readonly #trust: Trust;
  #backlog: CellView[] = [];
  #ahead = new Set<string>();
  #stopping: Stopping = "no";
  #timer: ReturnType<typeof setTimeout> | undefined;

  constructor(host: RunsHost, trust: Trust) {
    this.#host = host;
    this.#trust = trust;
  }

  get stopping(): Stopping { return this.#stopping; }

  /** Restarting takes everybody's variables, which the owner alone may. */
  get canRestart(): boolean { return this.#host.session?.role === "owner"; }

  /** Whether this tab sent the run. */
  isOwn(run: string): boolean { return this.#trust.isOwn(run); }

  run(cell: CellView, stopOnError = false): void {
    const code = cell.editor.code;
    if (code.trim() === "" || cell.busy) return;
    const { session } = this.#host;
    if (!session) return cell.refuse("Not run: there is no session.");
    // Nobody else may know it beforehand, and run something under it that passes for ours.
    const run = `${cell.id}.${newId()}`;
    this.#trust.sent(run);
    cell.begin(run, code);
    this.#host.sent();
    session.runCode(code, { id: run, stopOnError, allowInput: true, keepCharacters: 0 }).catch((error: unknown) => {
      if (error instanceof Refused) this.#trust.refused(run);
      if (error instanceof Refused) cell.refuse(sentence(`Not run: ${error.message}`));
      else cell.forget("The session ended before this cell did.");
      this.#ahead.delete(run);
      this.#pump();
    });
  }

  runAll(): void {
    this.#backlog = this.#host.all.filter((cell) => cell.editor.code.trim() !== "");
    this.#pump();
  }

  /** Asks for a stop; once that has been in vain for a while, stops by force. */
  interrupt(): void {
    this.#backlog = [];
    const { session } = this.#host;
    if (!session) return;
    if (this.#stopping === "stubborn") return this.restart();
    this.ask(() => session.interrupt());
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

  restart(): void {
    if (this.#host.session && !this.canRestart) return toast("Only the owner of this session may restart it.");
    this.#backlog = [];
    this.ask(() => this.#host.session?.restart());
  }

  async restartAndRunAll(): Promise<void> {
    const { session } = this.#host;
    if (!session || !this.canRestart) return this.restart();
    const restarted = new Promise<void>((resolve) => {
      const stop = session.listen({ event(event) { if (event.type === "restarted") { stop(); resolve(); } } });
    });
    this.restart();
    await restarted;
    this.runAll();
  }

  /** A run ended: the next of "run all" may follow. */
  ended(run: string, ok: boolean): void {
    this.stopped();
    if (this.#ahead.delete(run) && !ok) this.#backlog = [];
    this.#pump();
  }

  /** Nothing is asked to stop any more. */
  stopped(): void {
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

  /** Sends cells of "run all" while there is room. */
  #pump(): void {
    while (this.#backlog.length > 0 && this.#ahead.size < AHEAD) {
      const cell = this.#backlog.shift()!;
      this.run(cell, true);
      if (cell.run && cell.busy) this.#ahead.add(cell.run);
    }
  }
}

// What the page asks the interpreter of values: rows of tables, and the variables.
//
// A cell that runs comes first: who got `busy` is called again when the session is idle.

import { Refused } from "../client/src/core.js";
import type { Session, TableQuestion, TableReply, VariablesReply } from "../client/src/core.js";
import type { LinkState } from "./link.js";
import type { TableHost } from "./rich/table.js";

export interface TablesHost {
  readonly link: { readonly session: Session | null; readonly state: LinkState };
  /** Whether this participant may run code, and so ask about it. */
  canRun(): boolean;
}

export class Tables {
  readonly #host: TablesHost;
  readonly #waiting = new Set<() => void>();
  readonly #listeners = new Set<() => void>();
  /** Sessions whose gateway does not know these questions. */
  readonly #without = new WeakSet<Session>();

  constructor(host: TablesHost) {
    this.#host = host;
  }

  /** Why nothing can be asked now, as the end of a sentence; nothing if it can. */
  problem(): string | null {
    const { session, state } = this.#host.link;
    if (state.kind === "over") return "the session has ended";
    if (!this.#host.canRun()) return "viewers see what was sent";
    // What is replayed is drawn before the connection counts as open.
    if (state.kind !== "open" && state.kind !== "connecting") return "there is no connection";
    return session && this.#without.has(session) ? "this gateway answers no questions about values" : null;
  }

  /** Asks for rows. Rejects with a sentence where that cannot be. */
  table(question: TableQuestion): Promise<TableReply> {
    return this.#ask((session) => session.table(question));
  }

  /** Asks an interpreter other than the session's first. */
  of(interpreter: string): TableHost {
    return {
      problem: () => this.problem(),
      table: (question) => this.table({ ...question, interpreter }),
      whenIdle: (again) => this.whenIdle(again),
    };
  }

  /** Asks an interpreter for its variables, the session's first unless another is named. Rejects with a sentence where that cannot be. */
  variables(interpreter?: string): Promise<VariablesReply> {
    return this.#ask((session) => session.variables(interpreter));
  }

  async #ask<Answer>(put: (session: Session) => Promise<Answer>): Promise<Answer> {
    const problem = this.problem();
    const { session } = this.#host.link;
    if (problem !== null || !session) throw new Error(problem ?? "there is no connection");
    try {
      return await put(session);
    } catch (error) {
      if (!(error instanceof Refused) || (error.code !== "unknown_type" && error.code !== "bad_message")) throw error;
      this.#without.add(session);
      throw new Error(this.problem() ?? error.message);
    }
  }

  /** Calls `again` once, when no cell runs any more. */
  whenIdle(again: () => void): void { this.#waiting.add(again); }

  /** Calls `listener` whenever the session has become idle, until the answer is called. */
  onIdle(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** The session is idle. */
  idle(): void {
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const again of waiting) again();
    for (const listener of [...this.#listeners]) listener();
  }
}

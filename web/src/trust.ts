// Whose output may run scripts without being asked: that of the runs this tab has sent.
//
// Several people may write in one session, and a name says nothing of who somebody is. So it is the ids of its own
// runs that the tab keeps, over reloads too, and whether the user has let everybody's run in this session.

import { ofTab } from "./storage.js";

const KEY = "cellgate.runs";
/** Newest ids that are kept, some 80 KiB of the 5 MiB that a tab may store; of older runs the page asks. */
const KEPT = 2000;

interface Kept { session: string; runs: string[]; everyone: boolean }

export class Trust {
  #session = "";
  #own = new Set<string>();
  #allowed = new Set<string>();
  #everyone = false;

  /** The tab is in that session now. Of another one nothing holds, but for what was sent before it was there. */
  enter(session: string): void {
    if (session === this.#session) return;
    const kept = this.#session === "" ? read() : null;
    const ours = kept?.session === session ? kept : null;
    this.#own = new Set(ours?.runs);
    this.#allowed = new Set();
    this.#everyone = ours?.everyone ?? false;
    this.#session = session;
  }

  /** Whether this tab sent the run. */
  isOwn(run: string): boolean { return this.#own.has(run); }

  sent(run: string): void {
    this.#own.add(run);
    if (this.#own.size > KEPT) for (const oldest of this.#own) { this.#own.delete(oldest); break; }
    this.#keep();
  }

  /** The gateway did not take the run: somebody else's may have that id. */
  refused(run: string): void {
    this.#own.delete(run);
    this.#keep();
  }

  /** Whether what a run shows may run scripts. */
  mayRunScripts(run: string): boolean {
    return this.#everyone || this.#own.has(run) || this.#allowed.has(run);
  }

  /** The user lets the scripts of a run's output run, until the page is loaded again. */
  allow(run: string): void { this.#allowed.add(run); }

  /** The user lets everybody's run, as long as the tab is in this session. */
  allowEveryone(): void {
    this.#everyone = true;
    this.#keep();
  }

  #keep(): void {
    try {
      ofTab.setItem(KEY, JSON.stringify({ session: this.#session, runs: [...this.#own], everyone: this.#everyone } satisfies Kept));
    } catch {
      // The storage is full: after a reload the page asks.
    }
  }
}

function read(): Kept | null {
  try {
    const kept = JSON.parse(ofTab.getItem(KEY) ?? "null") as Kept | null;
    return kept && Array.isArray(kept.runs) ? kept : null;
  } catch {
    return null;
  }
}

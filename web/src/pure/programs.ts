// The programs that are open in the session, and what its terminals have written.
//
//   ready.programs, opened, exited ─► Programs ─► the list of processes, the terminal's panel
//   terminal ─► what is kept, up to KEPT_UNITS ─► the panel, once it is open
//
// Events up to the seq of `ready` are replayed: `ready.programs` says already which programs they led to.

import type { ProgramInfo, Ready, SessionEvent } from "../../client/src/core.js";

/** The id of the terminal that the page opens. */
export const TERMINAL = "terminal";
/** In the storage of the tab: the panel of the terminal is open. */
export const TERMINAL_SHOWN = "cellgate.terminal";

/** How much of a terminal's output is kept to be shown when the panel opens, in UTF-16 units. */
const KEPT_UNITS = 1 << 20;

/** A part of a terminal's output. `replayed`: it was written before this page was there. */
export interface Part { seq: number; text: string; replayed: boolean }

/** Shows a terminal. Calls `shown` when it has taken a part in. */
export interface Screen {
  write(part: Part, shown: () => void): void;
  /** Another program has the id now: what the one before it wrote is over. */
  begin(): void;
  /** The program has ended. */
  exited(text: string): void;
  /** The gateway has refused to open the program, which the page says elsewhere. */
  refused(): void;
}

interface Kept { parts: Part[]; units: number; screen: Screen | null; cut: boolean; ended: string | null }

export class Programs {
  #open = new Map<string, ProgramInfo>();
  readonly #terminals = new Map<string, Kept>();
  /** The seqs of parts that a screen has not taken in yet, in their order. */
  readonly #pending = new Set<number>();
  #readySeq = 0;
  readonly #listeners = new Set<() => void>();
  readonly #shown: () => void;

  /** `shown` is called when a screen has taken in what it was given. */
  constructor(shown: () => void) {
    this.#shown = shown;
  }

  /** The programs that are open, the session's first interpreter before all others. */
  get all(): readonly ProgramInfo[] { return [...this.#open.values()]; }

  info(id: string): ProgramInfo | undefined { return this.#open.get(id); }

  /** The ids of interpreters beside the session's first. */
  get interpreters(): string[] { return this.all.slice(1).filter(({ kind }) => kind === "interpreter").map(({ id }) => id); }

  /** Calls `listener` whenever a program was opened or has ended, until the answer is called. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** A connection begins. `resumed`: to the session that this page was in before. */
  begin({ programs, seq }: Ready, resumed: boolean): void {
    this.#open = new Map(programs.map((program) => [program.id, program]));
    this.#readySeq = seq;
    if (!resumed) {
      for (const kept of this.#terminals.values()) Object.assign(kept, { parts: [], units: 0, cut: false, ended: null }).screen?.begin();
      this.#pending.clear();
    }
    this.#tell();
  }

  /** The session is over, and so are its programs. */
  over(): void {
    this.#open.clear();
    this.#tell();
  }

  /** A message that named this program was refused. */
  refused(id: string): void { this.#terminals.get(id)?.screen?.refused(); }

  /** Takes an event that is about a program; says whether it was one. */
  take(event: SessionEvent): boolean {
    switch (event.type) {
      case "opened": {
        const { type: _type, seq, ts: _ts, ...info } = event;
        if (seq > this.#readySeq) this.#open.set(event.id, info);
        if (info.terminal) this.#began(event.id);
        break;
      }
      case "exited": {
        if (event.seq > this.#readySeq) this.#open.delete(event.id);
        const kept = this.#terminals.get(event.id);
        if (kept) kept.screen?.exited(kept.ended = howItEnded(event));
        break;
      }
      case "terminal":
        this.#write(event.program, { seq: event.seq, text: event.text, replayed: event.seq <= this.#readySeq });
        return true;
      case "stdout":
      case "stderr":
        return "program" in event;
      default:
        return false;
    }
    this.#tell();
    return true;
  }

  /** The newest seq up to which everything has been shown, of what came up to `seq`. */
  shownUpTo(seq: number): number {
    const [first] = this.#pending;
    return first === undefined ? seq : Math.min(seq, first - 1);
  }

  /** Shows what a terminal has written and will write, until the answer is called. */
  attach(id: string, screen: Screen): () => void {
    const kept = this.#terminal(id);
    kept.screen = screen;
    if (kept.cut) screen.write({ seq: 0, text: "\x1b[2m(earlier output is not kept)\x1b[0m\r\n", replayed: true }, () => {});
    for (const part of kept.parts) this.#show(screen, part);
    if (kept.ended !== null) screen.exited(kept.ended);
    return () => { if (kept.screen === screen) kept.screen = null; };
  }

  #terminal(id: string): Kept {
    const there = this.#terminals.get(id);
    if (there) return there;
    const made: Kept = { parts: [], units: 0, screen: null, cut: false, ended: null };
    this.#terminals.set(id, made);
    return made;
  }

  #began(id: string): void {
    const kept = this.#terminal(id);
    Object.assign(kept, { parts: [], units: 0, cut: false, ended: null });
    kept.screen?.begin();
  }

  #write(id: string, part: Part): void {
    const kept = this.#terminal(id);
    kept.parts.push(part);
    kept.units += part.text.length;
    while (kept.units > KEPT_UNITS && kept.parts.length > 1) {
      kept.units -= kept.parts.shift()!.text.length;
      kept.cut = true;
    }
    if (kept.screen) this.#show(kept.screen, part);
  }

  #show(screen: Screen, part: Part): void {
    if (part.seq > 0) this.#pending.add(part.seq);
    screen.write(part, () => {
      this.#pending.delete(part.seq);
      this.#shown();
    });
  }

  #tell(): void {
    for (const listener of [...this.#listeners]) listener();
  }
}

function howItEnded({ code, signal, detail }: Extract<SessionEvent, { type: "exited" }>): string {
  return detail ?? (signal !== undefined ? `ended by ${signal}` : `ended with the code ${code ?? 0}`);
}

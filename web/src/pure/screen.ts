// Text output as lines, the way a terminal would leave them: colours, carriage returns, erased
// lines and a cursor that moves up, for progress bars and live displays.
//
//   text ─► parse ─► lines [head … | omitted | … tail]
//
// The first and the last lines are kept, and between them a number: a million lines cost what a
// few thousand do. The cursor can reach what was not omitted. Both streams share the screen, as on
// a terminal; each keeps its own colours and its own unfinished escape sequence.

import { sliceCells, width } from "./cells.js";
import { PLAIN, PLAIN_STDERR, select } from "./style.js";
import type { Style } from "./style.js";

export interface Run { text: string; style: Style }

export interface Line {
  runs: Run[];
  /** Changes whenever the line does: what is drawn can be compared with what is. */
  version: number;
  /** Continues the line before: that one was too long to be one. */
  continued: boolean;
}

export interface ScreenLimits {
  head: number;
  tail: number;
  lineCharacters: number;
  /** Of all lines that are shown of the head, and of the tail. */
  characters: number;
}

export const LIMITS: ScreenLimits = {
  head: 200, // what a reader sees first
  tail: 1000, // what a cursor can reach, and what is drawn anew at worst in one frame
  lineCharacters: 8192, // in cells of a terminal; longer lines are cut: layout of one huge line freezes a browser
  characters: 96 << 10, // of the head, and of the tail: a browser lays out some 2 MiB of long lines a second
};

interface Pen { style: Style; pending: string }

const ESC = 0x1b;
const CONTROL = /[\x00-\x08\x0b-\x1f\x7f\x9b]/; // anything that text and line feeds alone do not have
const MAX_PENDING = 4096; // an escape sequence that has not ended by then is not one

export class Screen {
  #lines: Line[] = [];
  #dropped = 0; // lines that were behind the head
  #droppedPieces = 0; // of these, such as continue the line before
  #row = 0; // of the cursor, an index of #lines
  #column = 0;
  #saved: { row: number; column: number } | null = null;
  #version = 0;
  #written = 0;
  readonly #pens: { stdout: Pen; stderr: Pen } = {
    stdout: { style: PLAIN, pending: "" },
    stderr: { style: PLAIN_STDERR, pending: "" },
  };
  readonly #limits: ScreenLimits;

  constructor(limits: ScreenLimits = LIMITS) {
    this.#limits = limits;
  }

  get empty(): boolean { return this.#lines.length === 0; }

  /** Characters that were ever written. */
  get written(): number { return this.#written; }

  /** All lines there ever were. */
  get lineCount(): number { return this.#lines.length + this.#dropped; }

  /** The same without the one behind a final line feed, which has nothing yet. */
  get writtenLines(): number { return this.lineCount - (this.#lines.at(-1)?.runs.length === 0 ? 1 : 0); }

  /**
   * What to show: the first lines, how many are left out behind them, and the last ones. A line that is cut into
   * pieces counts once; `within` says that what is left out is of one line alone.
   */
  view(): { head: Line[]; omitted: number; within: boolean; tail: Line[] } {
    const { head, tail, characters } = this.#limits;
    const lines = this.#lines;
    if (this.#dropped === 0 && lines.length <= head + tail && this.#short(lines, characters)) return { head: lines, omitted: 0, within: false, tail: [] };
    let to = Math.min(head, lines.length);
    for (let at = 0, sum = 0; at < to; at += 1) {
      sum += sizeOf(lines[at]!);
      if (sum > characters && at > 0) to = at;
    }
    let from = Math.max(to, lines.length - tail);
    for (let at = lines.length - 1, sum = 0; at >= from; at -= 1) {
      sum += sizeOf(lines[at]!);
      if (sum > characters && at < lines.length - 1) from = at + 1;
    }
    const pieces = this.#dropped + from - to;
    if (pieces === 0) return { head: lines, omitted: 0, within: false, tail: [] };
    let continued = this.#droppedPieces;
    for (let at = to; at < from; at += 1) if (lines[at]!.continued) continued += 1;
    return { head: lines.slice(0, to), omitted: Math.max(1, pieces - continued), within: pieces === continued, tail: lines.slice(from) };
  }

  /** Whether these lines have no more characters than that. */
  #short(lines: Line[], characters: number): boolean {
    let sum = 0;
    for (const line of lines) {
      sum += sizeOf(line);
      if (sum > characters) return false;
    }
    return true;
  }

  write(text: string, stream: "stdout" | "stderr" = "stdout"): void {
    this.#written += text.length;
    const pen = this.#pens[stream];
    if (pen.pending) {
      text = pen.pending + text;
      pen.pending = "";
    }
    let at = 0;
    while (at < text.length) {
      const end = nextControl(text, at);
      if (end > at) this.#print(text.slice(at, end), pen.style);
      if (end === text.length) return;
      at = this.#control(text, end, pen);
      if (at < 0) {
        pen.pending = text.length - end > MAX_PENDING ? "" : text.slice(end);
        return;
      }
    }
  }

  /** The lines kept as what each stream wrote, one after another, and nothing of the page's own. */
  streams(): { name: "stdout" | "stderr"; text: string }[] {
    const out: { name: "stdout" | "stderr"; text: string }[] = [];
    const add = (name: "stdout" | "stderr", text: string) => {
      const last = out.at(-1);
      if (last?.name === name) last.text += text;
      else if (text) out.push({ name, text });
    };
    const { head, tail } = this.view();
    for (const [at, line] of [...head, ...tail].entries()) {
      // The line feed belongs to what stands before it.
      if (at > 0 && !line.continued) add(out.at(-1)?.name ?? "stdout", "\n");
      for (const run of line.runs) add(run.style.stderr ? "stderr" : "stdout", run.text);
    }
    return out;
  }

  /** The lines kept, as plain text. */
  plainText(): string {
    let text = "";
    const append = (lines: Line[]) => {
      for (const line of lines) {
        if (text !== "" && !line.continued) text += "\n";
        for (const run of line.runs) text += run.text;
      }
    };
    const { head, omitted, within, tail } = this.view();
    append(head);
    if (omitted > 0) text += within ? "… a part of this line is omitted …" : `\n… ${omitted} lines omitted …`;
    append(tail);
    return text;
  }

  // --- lines ---------------------------------------------------------------------------------

  #line(): Line {
    if (this.#lines.length === 0) this.#append(false);
    return this.#lines[this.#row]!;
  }

  #append(continued: boolean): void {
    const { head, tail } = this.#limits;
    this.#lines.push({ runs: [], version: ++this.#version, continued });
    // In strides: taking one out of the middle for every line would move the rest every time.
    if (this.#lines.length < head + 2 * tail) return;
    for (const line of this.#lines.splice(head, tail)) if (line.continued) this.#droppedPieces += 1;
    this.#dropped += tail;
    this.#row -= tail;
    if (this.#saved) this.#saved.row -= tail;
  }

  /** The uppermost row the cursor can reach. */
  #top(): number {
    return this.#dropped > 0 ? this.#limits.head : 0;
  }

  #down(count: number, continued = false): void {
    for (let n = 0; n < count; n += 1) {
      if (this.#row + 1 >= this.#lines.length) this.#append(continued);
      this.#row += 1;
    }
  }

  #feed(): void {
    this.#line();
    this.#down(1);
    this.#column = 0;
  }

  #print(text: string, style: Style): void {
    let from = 0;
    for (;;) {
      const feed = text.indexOf("\n", from);
      const piece = feed < 0 ? text.slice(from) : text.slice(from, feed);
      if (piece) this.#put(piece, style);
      if (feed < 0) return;
      this.#feed();
      from = feed + 1;
    }
  }

  #put(text: string, style: Style): void {
    const { lineCharacters } = this.#limits;
    while (text.length > 0) {
      const room = lineCharacters - this.#column;
      if (room <= 0) {
        this.#line();
        this.#down(1, true);
        this.#column = 0;
        continue;
      }
      // No more of it than could have room is looked at: a text may be of millions.
      let piece = text.length > room ? text.slice(0, room) : text;
      if (width(piece) > room) {
        // A wide character that has half a place left is on the next line.
        piece = sliceCells(piece, 0, room);
        if (!text.startsWith(piece)) piece = piece.slice(0, -1);
      }
      // Nor is one that takes two units cut.
      if (piece.length < text.length && /[\ud800-\udbff]$/.test(piece)) piece = piece.slice(0, -1);
      if (piece === "") {
        this.#column = lineCharacters;
        continue;
      }
      this.#overwrite(this.#line(), piece, style);
      this.#column += width(piece);
      text = text.slice(piece.length);
      if (text.length > 0 && this.#column >= lineCharacters - 1) this.#column = lineCharacters;
    }
  }

  #overwrite(line: Line, text: string, style: Style): void {
    line.version = ++this.#version;
    const length = lengthOf(line.runs);
    if (this.#column >= length) {
      if (this.#column > length) add(line.runs, " ".repeat(this.#column - length), PLAIN);
      add(line.runs, text, style);
      return;
    }
    const before = slice(line.runs, 0, this.#column);
    const after = slice(line.runs, this.#column + width(text), length);
    add(before, text, style);
    for (const run of after) add(before, run.text, run.style);
    line.runs = before;
  }

  #erase(line: Line, from: number, to: number): void {
    line.version = ++this.#version;
    const length = lengthOf(line.runs);
    if (to >= length) {
      line.runs = slice(line.runs, 0, Math.min(from, length));
      return;
    }
    const erased = slice(line.runs, 0, from);
    add(erased, " ".repeat(to - from), PLAIN);
    for (const run of slice(line.runs, to, length)) add(erased, run.text, run.style);
    line.runs = erased;
  }

  // --- control -------------------------------------------------------------------------------

  /** Takes one control character or sequence; answers where it ends, or -1 if it is cut short. */
  #control(text: string, at: number, pen: Pen): number {
    const code = text.charCodeAt(at);
    switch (code) {
      case 0x08: this.#column = Math.max(0, this.#column - 1); return at + 1;
      case 0x0d: this.#column = 0; return at + 1;
      case 0x0b: case 0x0c: this.#feed(); return at + 1;
      case 0x9b: return this.#csi(text, at + 1, pen);
      case ESC: return this.#escape(text, at, pen);
      default: return at + 1; // a bell, and others without a meaning on a page
    }
  }

  #escape(text: string, at: number, pen: Pen): number {
    if (at + 1 >= text.length) return -1;
    switch (text[at + 1]) {
      case "[": return this.#csi(text, at + 2, pen);
      case "]": return this.#osc(text, at + 2, pen);
      case "7": this.#save(); return at + 2;
      case "8": this.#restore(); return at + 2;
      case "M": this.#row = Math.max(this.#top(), this.#row - 1); return at + 2;
      // A character set is named by one more character.
      case "(": case ")": case "#": return at + 3 > text.length ? -1 : at + 3;
      default: return at + 2;
    }
  }

  #csi(text: string, from: number, pen: Pen): number {
    let at = from;
    while (at < text.length && text.charCodeAt(at) >= 0x20 && text.charCodeAt(at) < 0x40) at += 1;
    if (at >= text.length) return -1;
    const parameters = text.slice(from, at);
    if (/^[0-9;:]*$/.test(parameters)) this.#act(text[at]!, parameters, pen);
    return at + 1;
  }

  #act(final: string, parameters: string, pen: Pen): void {
    const first = Number(parameters.split(";")[0] || 0);
    const count = Math.min(Math.max(1, first), 10_000);
    switch (final) {
      case "m": pen.style = select(pen.style, parameters); return;
      case "A": this.#row = Math.max(this.#top(), this.#row - count); return;
      case "B": this.#line(); this.#down(Math.min(count, this.#lines.length - 1 - this.#row)); return;
      case "C": this.#column = Math.min(this.#column + count, this.#limits.lineCharacters - 1); return;
      case "D": this.#column = Math.max(0, this.#column - count); return;
      case "E": this.#line(); this.#down(Math.min(count, this.#lines.length - 1 - this.#row)); this.#column = 0; return;
      case "F": this.#row = Math.max(this.#top(), this.#row - count); this.#column = 0; return;
      case "G": this.#column = Math.min(count - 1, this.#limits.lineCharacters - 1); return;
      case "K": {
        const line = this.#line();
        if (first === 0) this.#erase(line, this.#column, Infinity);
        else if (first === 1) this.#erase(line, 0, this.#column + 1);
        else this.#erase(line, 0, Infinity);
        return;
      }
      case "J": {
        this.#line();
        const lines = this.#lines;
        if (first === 0) {
          this.#erase(lines[this.#row]!, this.#column, Infinity);
          lines.length = this.#row + 1;
        }
        return;
      }
      case "s": this.#save(); return;
      case "u": this.#restore(); return;
      // Positions on a whole screen, modes and reports mean nothing here.
    }
  }

  #osc(text: string, from: number, pen: Pen): number {
    const end = /\x07|\x1b\\/.exec(text.slice(from));
    if (!end) return -1;
    const body = text.slice(from, from + end.index);
    const link = /^8;[^;]*;(.*)$/s.exec(body);
    if (link) pen.style = { ...pen.style, link: /^https?:\/\//i.test(link[1]!) ? link[1]! : null };
    return from + end.index + end[0].length;
  }

  #save(): void {
    this.#saved = { row: this.#row, column: this.#column };
  }

  #restore(): void {
    if (!this.#saved) return;
    this.#line();
    this.#row = Math.max(this.#top(), Math.min(this.#saved.row, this.#lines.length - 1));
    this.#column = this.#saved.column;
  }
}

/** Text without escape sequences, for a file: what the screen does not keep is in it too. */
export function stripEscapes(text: string): string {
  return text.replace(/\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_78]|[\x00-\x07\x0b\x0c\x0e-\x1a\x1c-\x1f\x7f]/g, "");
}

function nextControl(text: string, from: number): number {
  if (from === 0) {
    const first = text.search(CONTROL);
    return first < 0 ? text.length : first;
  }
  for (let at = from; at < text.length; at += 1) {
    const code = text.charCodeAt(at);
    if ((code < 0x20 && code !== 0x0a && code !== 0x09) || code === 0x7f || code === 0x9b) return at;
  }
  return text.length;
}

function add(runs: Run[], text: string, style: Style): void {
  const last = runs[runs.length - 1];
  if (last && last.style === style) last.text += text;
  else if (text) runs.push({ text, style });
}

/** Characters of a line. */
function sizeOf(line: Line): number {
  return line.runs.reduce((sum, run) => sum + run.text.length, 0);
}

/** Cells that a line takes. */
function lengthOf(runs: Run[]): number {
  return runs.reduce((sum, run) => sum + width(run.text), 0);
}

function slice(runs: Run[], from: number, to: number): Run[] {
  const out: Run[] = [];
  let at = 0;
  for (const run of runs) {
    const cells = width(run.text);
    const start = Math.max(from, at);
    const end = Math.min(to, at + cells);
    if (end > start) out.push({ text: start === at && end === at + cells ? run.text : sliceCells(run.text, start - at, end - at), style: run.style });
    at += cells;
  }
  return out;
}

// Draws a screen of text into the document, touching only lines that changed, and keeps the whole
// text aside for a download.

import { download, h } from "./dom.js";
import type { Drawable, Frames } from "./frames.js";
import { Screen, stripEscapes } from "./pure/screen.js";
import type { Line } from "./pure/screen.js";
import type { Colour, Style } from "./pure/style.js";
import { bytes, count } from "./pure/words.js";

const PART = 1 << 20; // characters joined into one Blob, which browsers keep outside of the heap
const KEEP = 256 << 20; // characters kept for a download
const FLOOD_LINES = 250; // in one frame: faster than anyone reads
const FLOOD_CHARACTERS = 32 << 10; // the same, of long lines
const LIVE_LINES = 100; // what is drawn of the newest meanwhile; a screen shows fewer
const LIVE_CHARACTERS = 8 << 10; // the same, of long lines
const CALM_FRAMES = 6; // after the last of a flood, until all that is kept is drawn

export class TextView implements Drawable {
  readonly element = h("div", { className: "text" });
  readonly screen = new Screen();
  readonly #head = new LineBlock();
  readonly #omitted = h("p", { className: "omitted", hidden: true });
  readonly #tail = new LineBlock();
  readonly #frames: Frames;
  readonly #name: string;
  #parts: Blob[] = [];
  #recent: string[] = [];
  #recentLength = 0;
  #kept = 0;
  #omittedCount = -1;
  #within = false;
  #follow = true;
  #drawnLines = 0;
  #drawnCharacters = 0;
  #calm = CALM_FRAMES; // frames since the last of a flood

  /** `name` is what a download is called, without its ending. */
  constructor(frames: Frames, name: string) {
    this.#frames = frames;
    this.#name = name;
    this.element.append(this.#head.element, this.#omitted, this.#tail.element);
    this.element.addEventListener("scroll", () => {
      const { scrollTop, scrollHeight, clientHeight } = this.element;
      this.#follow = scrollHeight - scrollTop - clientHeight < 24;
    }, { passive: true });
  }

  write(text: string, stream: "stdout" | "stderr"): void {
    this.screen.write(text, stream);
    this.#keep(text);
    this.#frames.request(this);
  }

  draw(): void {
    const { head, omitted: beyond, within, tail } = this.screen.view();
    const live = this.#inFlood();
    const skipped = live ? tail.length - newest(tail) : 0;
    if (live) this.#frames.request(this); // for the rest, once it is calm
    const omitted = beyond + skipped;
    const shownTail = withoutEmptyEnd(skipped > 0 ? tail.slice(skipped) : tail);
    this.#head.show(tail.length > 0 || omitted > 0 ? head : withoutEmptyEnd(head));
    if (omitted !== this.#omittedCount || within !== this.#within) this.#showOmitted(omitted, within);
    this.#tail.show(shownTail);
    const { element } = this;
    const scrolls = element.scrollHeight > element.clientHeight + 1;
    // What scrolls must be reachable without a mouse.
    element.tabIndex = scrolls ? 0 : -1;
    if (scrolls) {
      element.setAttribute("role", "region");
      element.setAttribute("aria-label", "Text output");
      if (this.#follow) element.scrollTop = element.scrollHeight;
    }
  }

  /** What is shown, as text. */
  plainText(): string {
    return this.screen.plainText();
  }

  /** Everything that was written, without escape sequences. */
  async save(): Promise<void> {
    const whole = await new Blob([...this.#parts, ...this.#recent]).text();
    const end = this.#kept > KEEP ? `\n… what came after the first ${bytes(KEEP)} was not kept …\n` : "";
    download(`${this.#name}.txt`, stripEscapes(whole) + end);
  }

  /** Whether lines come in faster than anybody reads, and the reader is where they come in. */
  #inFlood(): boolean {
    const { lineCount: lines, written: characters } = this.screen;
    this.#calm = lines - this.#drawnLines > FLOOD_LINES || characters - this.#drawnCharacters > FLOOD_CHARACTERS ? 0 : this.#calm + 1;
    this.#drawnLines = lines;
    this.#drawnCharacters = characters;
    return this.#follow && this.#calm < CALM_FRAMES;
  }

  #keep(text: string): void {
    if (this.#kept > KEEP) return;
    this.#kept += text.length;
    this.#recent.push(text);
    this.#recentLength += text.length;
    if (this.#recentLength < PART) return;
    this.#parts.push(new Blob(this.#recent));
    this.#recent = [];
    this.#recentLength = 0;
  }

  #showOmitted(omitted: number, within: boolean): void {
    this.#omittedCount = omitted;
    this.#within = within;
    this.#omitted.hidden = omitted === 0;
    if (omitted === 0) return;
    if (!this.#omitted.firstChild) {
      const save = h("button", { type: "button", className: "link", textContent: "download all", onclick: () => void this.save() });
      this.#omitted.append(h("span", {}), " · ", save);
    }
    this.#omitted.firstElementChild!.textContent = within ? "A part of this line is omitted" : `${count(omitted, "line")} omitted`;
  }
}

/** How many of the last lines are drawn while more come in than can be read. */
function newest(lines: Line[]): number {
  let characters = 0;
  let count = 0;
  for (let at = lines.length - 1; at >= 0 && count < LIVE_LINES && characters < LIVE_CHARACTERS; at -= 1, count += 1) {
    for (const run of lines[at]!.runs) characters += run.text.length;
  }
  return count;
}

/** After a final line feed the cursor is on a line that has nothing yet: not to be shown. */
function withoutEmptyEnd(lines: Line[]): Line[] {
  return lines.at(-1)?.runs.length === 0 ? lines.slice(0, -1) : lines;
}

/** A run of lines in the document. */
class LineBlock {
  readonly element = h("div", { className: "lines" });
  #shown: { line: Line; version: number; element: HTMLElement }[] = [];

  show(lines: Line[]): void {
    // Lines leave at the front and arrive at the end; what stays is compared by version.
    const first = lines[0];
    let stale = first ? this.#shown.findIndex((shown) => shown.line === first) : -1;
    if (stale < 0) stale = this.#shown.length;
    if (stale === this.#shown.length) this.element.replaceChildren();
    else for (let n = 0; n < stale; n += 1) this.#shown[n]!.element.remove();
    this.#shown.splice(0, stale);
    while (this.#shown.length > lines.length) this.#shown.pop()!.element.remove();
    const arriving = document.createDocumentFragment();
    for (const [at, line] of lines.entries()) {
      const shown = this.#shown[at];
      if (shown && shown.line === line) {
        if (shown.version === line.version) continue;
        shown.version = line.version;
        fill(shown.element, line);
        continue;
      }
      const element = h("div");
      fill(element, line);
      if (shown) {
        shown.element.replaceWith(element);
        this.#shown[at] = { line, version: line.version, element };
      } else {
        arriving.append(element);
        this.#shown.push({ line, version: line.version, element });
      }
    }
    this.element.append(arriving);
  }
}

function fill(element: HTMLElement, line: Line): void {
  const { runs } = line;
  element.className = runs.some((run) => run.style.stderr) ? "line err" : "line";
  if (runs.length === 1 && isPlain(runs[0]!.style)) {
    element.textContent = runs[0]!.text;
    return;
  }
  element.replaceChildren(...runs.map(({ text, style }) => (isPlain(style) ? text : span(text, style))));
}

function isPlain(style: Style): boolean {
  return style.fg === null && style.bg === null && !style.bold && !style.dim && !style.italic && !style.underline &&
    !style.strike && !style.inverse && style.link === null;
}

/** Text in its colours. Set through the style object, which a strict CSP allows. */
export function span(text: string, style: Style): HTMLElement {
  const element = style.link
    ? h("a", { href: style.link, target: "_blank", rel: "noopener noreferrer", textContent: text })
    : h("span", { textContent: text });
  const { fg, bg } = style.inverse ? { fg: style.bg ?? "var(--surface)", bg: style.fg ?? "var(--ink)" } : style;
  if (fg !== null) element.style.color = paint(fg, style.bold);
  // Behind text in the page's own ink a ground is a tint of its colour: a terminal's ink would be another one there.
  if (bg !== null) element.style.backgroundColor = fg === null ? `color-mix(in srgb, ${paint(bg, false)} 35%, transparent)` : paint(bg, false);
  for (const name of ["bold", "dim", "italic", "underline", "strike"] as const) if (style[name]) element.classList.add(name);
  return element;
}

function paint(colour: Colour, bright: boolean): string {
  if (typeof colour === "string") return colour;
  // Bold text in one of the eight colours is bright, as on most terminals.
  return `var(--ansi-${bright && colour < 8 ? colour + 8 : colour})`;
}

const VALUE_LINE = 100_000; // characters of one line that are drawn at once: the layout of more freezes a browser

/** Lines of text with ANSI colours, for values and tracebacks: an element each. The rest of a very long one comes when asked for. */
export function colouredLines(lines: string[]): HTMLElement[] {
  const pieces = lines.reduce((sum, line) => sum + 1 + Math.floor(line.length / VALUE_LINE), 1);
  const screen = new Screen({ head: pieces, tail: 1, lineCharacters: VALUE_LINE, characters: Infinity });
  screen.write(lines.join("\n"));
  const elements: HTMLElement[] = [];
  const rests = new Map<HTMLElement, Line[]>();
  for (const line of screen.view().head) {
    const last = elements.at(-1);
    if (line.continued && last) {
      rests.set(last, [...rests.get(last) ?? [], line]);
      continue;
    }
    const element = h("div");
    fill(element, line);
    elements.push(element);
  }
  for (const [element, rest] of rests) {
    const length = rest.reduce((sum, line) => sum + line.runs.reduce((all, run) => all + run.text.length, 0), 0);
    const more = h("button", { type: "button", className: "link more", textContent: `… ${count(length, "more character", "more characters")} in this line: show them`, onclick: () => {
      more.replaceWith(...rest.map((line) => {
        const piece = h("span");
        fill(piece, line);
        piece.className = "";
        return piece;
      }));
    } });
    element.append(more);
  }
  return elements;
}

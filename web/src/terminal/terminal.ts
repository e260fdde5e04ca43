// The panel of the session's terminal: a shell in the sandbox, shown by xterm.js. Loaded when it is first opened.
//
//   keys ─► write ─► the shell ─► terminal events ─► Programs ─► xterm.js
//   size of the panel ─► resize ─┘
//
// Closing the panel leaves the shell running; it ends by "End", by `exit`, or with the session. All participants see the
// same terminal, and those who may run code type into it.

import { FitAddon } from "@xterm/addon-fit";
import { Terminal } from "@xterm/xterm";
import xtermSheet from "@xterm/xterm/css/xterm.css" with { type: "text" };
import { html, nothing, render } from "lit-html";
import type { Console } from "../console.js";
import { onChange } from "../dialog.js";
import { copy, h, icon } from "../dom.js";
import type { Part, Screen } from "../pure/programs.js";
import { TERMINAL, TERMINAL_SHOWN } from "../pure/programs.js";
import { ofTab } from "../storage.js";
import { THEME_CHANGED } from "../theme.js";
import { coloursOf } from "./colours.js";
import panelSheet from "./panel.css" with { type: "text" };
import { answerOnly } from "./queries.js";
import { strictDocument, withStrictDocument } from "./styles.js";

const SCROLLBACK = 5000; // lines
const WRITE_UNITS = 64 << 10; // of what is pasted, in one message

let panel: TerminalPanel | null = null;

/** Opens the panel, or closes it. */
export function toggleTerminal(console: Console): void {
  panel ??= new TerminalPanel(console);
  if (panel.shown) panel.hide();
  else panel.show(true);
}

/** Opens the panel as it was before the page was loaded anew: without a new shell, and without the focus. */
export function reopenTerminal(console: Console): void {
  panel ??= new TerminalPanel(console);
  if (!panel.shown) panel.show(false);
}

class TerminalPanel implements Screen {
  /** Whether the panel is open. */
  shown = false;
  readonly #console: Console;
  readonly #terminal: Terminal;
  readonly #fit = new FitAddon();
  readonly #bar = h("div", { className: "bar" });
  readonly #screen = h("div", { className: "screen" });
  readonly #element = h("section", { id: "terminal", aria: { label: "Terminal" } }, this.#bar, this.#screen);
  /** What xterm.js has yet to take in, oldest first. */
  #writing: Part[] = [];
  /** How the shell ended, if the panel has seen it. */
  #ended: string | null = null;
  /** The shell was asked for, and is not there yet. */
  #opening = false;
  #before: Element | null = null;

  constructor(console: Console) {
    this.#console = console;
    adopt(xtermSheet);
    adopt(panelSheet);
    this.#place();
    this.#terminal = new Terminal({
      documentOverride: strictDocument,
      scrollback: SCROLLBACK,
      fontFamily: getComputedStyle(document.documentElement).getPropertyValue("--mono"),
      fontSize: 13,
      cursorBlink: !matchMedia("(prefers-reduced-motion: reduce)").matches,
      minimumContrastRatio: 4.5,
      theme: coloursOf(this.#element),
    });
    this.#terminal.loadAddon(this.#fit);
    withStrictDocument(() => this.#terminal.open(this.#screen));
    this.#terminal.textarea?.setAttribute("aria-label", "Terminal. Ctrl+` leaves it");
    answerOnly(this.#terminal, () => !this.#writing[0]?.replayed && this.#isOwn);
    this.#terminal.onData((data) => this.#type(data));
    this.#terminal.onBinary((data) => this.#send({ data: btoa(data) }));
    this.#terminal.onResize(({ cols, rows }) => this.#tellSize(cols, rows));
    this.#terminal.attachCustomKeyEventHandler((event) => this.#passes(event));
    new ResizeObserver(() => this.#fitNow()).observe(this.#screen);
    addEventListener(THEME_CHANGED, () => { this.#terminal.options.theme = coloursOf(this.#element); });
    console.programs.attach(TERMINAL, this);
    console.programs.onChange(() => this.#changed());
    onChange(() => this.#draw());
    this.#changed();
  }


  get #open(): boolean { return this.#console.programs.info(TERMINAL) !== undefined; }

  /** Whether this participant has started the shell: one page alone answers what its programs ask. */
  get #isOwn(): boolean { return this.#console.programs.info(TERMINAL)?.by === this.#console.ownName; }

  /** `fresh`: the user wants it now, who gets a shell if there is none, and the focus. */
  show(fresh: boolean): void {
    this.#before = document.activeElement;
    this.shown = true;
    this.#place();
    ofTab.setItem(TERMINAL_SHOWN, "yes");
    this.#fitNow();
    if (fresh) {
      if (!this.#open) this.#start();
      this.#terminal.focus();
    }
    this.#draw();
  }

  hide(): void {
    const hadFocus = this.#element.contains(document.activeElement);
    this.shown = false;
    this.#element.remove();
    delete document.documentElement.dataset.terminal;
    ofTab.removeItem(TERMINAL_SHOWN);
    this.#console.redraw();
    if (hadFocus && this.#before instanceof HTMLElement) this.#before.focus();
  }

  #place(): void {
    document.documentElement.dataset.terminal = "";
    document.querySelector("main")!.after(this.#element);
    this.#console.redraw();
  }

  // --- what the shell writes ---------------------------------------------------------------------

  write(part: Part, shown: () => void): void {
    this.#writing.push(part);
    this.#terminal.write(part.text, () => {
      this.#writing.shift();
      shown();
    });
  }

  begin(): void {
    this.#ended = null;
    this.#opening = false;
    this.#terminal.reset();
  }

  exited(text: string): void {
    this.#ended = text;
    this.#opening = false;
    this.#terminal.write("\x1b[?1049l\x1b[?25h\r\n");
  }

  refused(): void {
    this.#opening = false;
    this.#draw();
  }

  // --- what the user does ------------------------------------------------------------------------

  #start(): void {
    const { link } = this.#console;
    if (!this.#console.canRun() || link.state.kind !== "open") return;
    const { cols, rows } = this.#terminal;
    this.#opening = true;
    this.#console.runs.ask(() => link.session?.toProgram({ type: "open", id: TERMINAL, kind: "process", terminal: { cols, rows } }));
    this.#draw();
  }

  #end(): void {
    this.#console.runs.ask(() => this.#console.link.session?.toProgram({ type: "close", id: TERMINAL }));
    this.#terminal.focus();
  }

  #type(data: string): void {
    for (let at = 0; at < data.length;) {
      let end = Math.min(at + WRITE_UNITS, data.length);
      // Half of a surrogate pair is no text.
      if (/[\ud800-\udbff]/.test(data[end - 1]!) && end < data.length) end -= 1;
      this.#send({ text: data.slice(at, end) });
      at = end;
    }
  }

  #send(what: { text: string } | { data: string }): void {
    if (this.#open && this.#console.canRun()) this.#console.runs.ask(() => this.#console.link.session?.toProgram({ type: "write", id: TERMINAL, ...what }));
  }

  /** Whether a key is the shell's, and not the page's. */
  #passes(event: KeyboardEvent): boolean {
    if (event.ctrlKey && event.code === "Backquote") return false;
    if (event.type === "keydown" && event.ctrlKey && event.shiftKey && event.code === "KeyC" && this.#terminal.hasSelection()) {
      event.preventDefault();
      void copy(this.#terminal.getSelection(), "Selection");
      return false;
    }
    return true;
  }

  #fitNow(): void {
    if (this.shown) this.#fit.fit();
  }

  #tellSize(cols: number, rows: number): void {
    if (this.#open && this.#console.canRun() && this.#console.link.state.kind === "open") {
      this.#console.runs.ask(() => this.#console.link.session?.toProgram({ type: "resize", id: TERMINAL, cols, rows }));
    }
  }

  // --- the bar -----------------------------------------------------------------------------------

  /** What is open in the session has changed. */
  #changed(): void {
    const { cols, rows } = this.#terminal;
    if (this.#open && this.#opening) this.#opening = false;
    else if (this.#open && this.shown) this.#tellSize(cols, rows);
    this.#terminal.options.disableStdin = !this.#open || !this.#console.canRun();
    this.#draw();
  }

  #status(): string {
    if (this.#open) return this.#console.canRun() ? "" : "You see what others type.";
    if (this.#console.link.state.kind === "over") return "The session has ended.";
    if (this.#opening) return "Starting …";
    if (this.#ended !== null) return `The shell has ended: ${this.#ended}.`;
    return this.#console.canRun() ? "No shell runs." : "No shell runs. Who may run code can start one.";
  }

  #draw(): void {
    const canStart = !this.#open && !this.#opening && this.#console.canRun() && this.#console.link.state.kind === "open";
    render(html`<h2>Terminal</h2><span class="how" role="status">${this.#status()}</span>
      ${canStart ? html`<button type="button" @click=${() => { this.#start(); this.#terminal.focus(); }}>Start a shell</button>` : nothing}
      ${this.#open && this.#console.canRun() ? html`<button type="button" title="End the shell and what runs in it" @click=${() => this.#end()}>End</button>` : nothing}
      <button type="button" class="bare" aria-label="Close the panel" title="Close the panel; the shell runs on (Ctrl+\`)" @click=${() => this.hide()}>${icon("close")}</button>`, this.#bar);
  }
}

function adopt(css: string): void {
  const sheet = new CSSStyleSheet();
  sheet.replaceSync(css);
  document.adoptedStyleSheets.push(sheet);
}

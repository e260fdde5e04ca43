// One cell on the page: its editor, its tools, how it stands, and its output.
//
//   fresh ─run─► sent ─queued─► waiting ─started─► running ─done─► ended
//                                  └──────────── done ───────────────┘
//
//   kept: what it showed when it last ended, in an earlier session or in a file, is shown again
//
// The view keeps what the events say; who runs what is the console's business. A Markdown cell is shown rendered, and
// as its text while it is edited; it never runs.

import { html, nothing, render } from "lit-html";
import type { Done, DoneStatus, SessionEvent } from "../client/src/protocol.js";
import { h, icon } from "./dom.js";
import { Editor } from "./editor.js";
import type { EditorHost } from "./editor.js";
import { Output } from "./output.js";
import type { OutputHost } from "./outputitem.js";
import { newId } from "./pure/document.js";
import { choices, interpreterFor, languageOf, languageTitle } from "./pure/languages.js";
import type { Offered } from "./pure/languages.js";
import type { CellKind, CellSource, KeptRun } from "./pure/document.js";
import type { CellOutputs, NotebookCell } from "./pure/notebook.js";
import { textHash } from "./pure/stale.js";
import type { Staleness, Step } from "./pure/stale.js";
import { culprit } from "./pure/traceback.js";
import { duration, elapsed, ending, moment } from "./pure/words.js";
import { Prose } from "./prose.js";

const ROOM_MS = 600; // that a new run has to fill the room of the last one's output
const LONG_MS = 1000; // a run that somebody may want to stop
const MISSED_MS = 400; // after its end: about what a hand needs

export type Phase =
  | { phase: "fresh" }
  | { phase: "sent" }
  | { phase: "waiting"; position: number }
  | { phase: "running"; since: number }
  /** `detail` is what the gateway said, word for word; `at` is when it ended, in Unix milliseconds. */
  | { phase: "ended"; status: DoneStatus; ms: number; text: string; detail: string; at: number }
  | { phase: "kept"; run: KeptRun };

/** A run of the cell that waits while an earlier one runs. */
export interface Next { run: string; position: number; code: string | undefined }

export type CellAction =
  | "restore" | "discard" | "run" | "stop" | "run-above" | "run-below"
  | "insert-above" | "insert" | "up" | "down" | "remove" | "cut" | "copy" | "paste" | "split" | "join"
  | "to-markdown" | "to-code" | "edit" | "collapse" | "copy-text" | "copy-markdown";

const LABELS: Record<CellKind, string> = { code: "Code", markdown: "Markdown", raw: "Raw text" };

export interface CellHost extends OutputHost {
  act(cell: CellView, action: CellAction): void;
  /** Shows what can be done with a cell, below a button of it. */
  menu(cell: CellView, button: HTMLElement): void;
  /** Whether cells have line numbers. */
  lineNumbers(): boolean;
  /** The user lets scripts of a run's output run. */
  allowScripts(run: string): void;
  editorHost(cell: CellView): EditorHost;
  /** What cells of the session may be written in, the first one being what they are in unless they say otherwise. */
  languages(): readonly Offered[];
  /** What a cell is written in that no other cell stands above; `undefined`: the session's first language. */
  newLanguage(): string | undefined;
  /** The user gives a cell another language. */
  changeLanguage(cell: CellView, language: string): void;
  memoryLimit(): number | undefined;
  /** Whether this participant may run cells. */
  canRun(): boolean;
  /** Whether this participant may change cells. */
  canEdit(): boolean;
  /** Somebody else's name, if the run was not ours. */
  runBy(participant: string): string | null;
  select(cell: CellView): void;
}

export class CellView {
  readonly id: string;
  readonly kind: CellKind;
  readonly element: HTMLElement;
  readonly editor: Editor;
  readonly output: Output;
  /** Of a Markdown cell: its text as it is read. */
  readonly prose: Prose | null;
  run: string | undefined;
  count: number | undefined;
  phase: Phase = { phase: "fresh" };
  /** The code of the newest run: what the output and marks in tracebacks are about. */
  ranCode: string | undefined;
  /** What was being written here when somebody else's code took its place. */
  draft: string | undefined;
  /** The run that takes the place of this one when its turn comes. */
  next: Next | null = null;
  /** When its newest run began, and when one first began with that code: numbers that grow with each run of this page. */
  order: number | undefined;
  changed: number | undefined;
  /** What stood above it when its newest run began (`textsAbove`). */
  above: number | undefined;
  /** What its code is written in; `undefined`: the session's first language. */
  language: string | undefined;
  /** What it was in when its newest run began. */
  #ranIn: string | undefined;
  collapsed: boolean;
  /** Of a shared document: as in `CellSource`. */
  shared: string | undefined;
  unsent: boolean;
  foreign: boolean;
  /** The user made it on this page or went into it, and may be about to write in it. */
  begun = false;
  /** The newest run that the document knows of, until its events come: what is replayed before is older than the text. */
  #known: string | undefined;
  /** "Run all" has not come to it yet. */
  #planned = false;
  /** When its button became one that stops, and when one that runs again. */
  #stops = { shown: false, since: 0, until: 0 };
  #drawnEdited = false;
  #stale: Staleness = null;
  /** The text that was hashed last, and its hash. */
  #hashed = { code: "", hash: textHash("") };
  /** What it showed when it last ended, until it runs anew. */
  #kept: KeptRun | undefined;
  /** What stood above the run that the document knew of when it was opened. */
  readonly #keptAbove: { run: string | undefined; above: number | undefined };
  readonly #notebook: NotebookCell | undefined;
  readonly #host: CellHost;
  readonly #side = h("div", { className: "side" });
  readonly #tools = h("div", { className: "tools" });
  readonly #foot = h("div", { className: "foot" });
  #number = 0;
  #by: string | null = null;
  /** Who sent the newest run, by the name they gave. */
  author = "";
  #room: ReturnType<typeof setTimeout> | undefined;

  constructor(source: CellSource, host: CellHost) {
    this.id = source.id;
    this.kind = source.kind;
    this.run = this.#known = source.run;
    this.draft = source.draft;
    this.shared = source.shared;
    this.unsent = source.unsent ?? false;
    this.foreign = source.foreign ?? false;
    this.language = this.#ranIn = source.language;
    this.collapsed = source.collapsed ?? false;
    this.#kept = source.kept;
    this.#keptAbove = { run: source.run, above: source.kept?.above };
    this.#notebook = source.notebook;
    this.#host = host;
    this.output = new Output(host, `output-${source.id}`);
    this.editor = new Editor(source.code, LABELS[source.kind], host.editorHost(this), this.#textLanguage);
    if (host.lineNumbers()) this.editor.setLineNumbers(true);
    const box = h("div", { className: "box" }, this.editor.element, this.#tools);
    this.element = h("section", { className: "cell", tabIndex: -1 }, this.#side, h("div", { className: "body" }, box, this.#foot, this.output.element));
    this.element.dataset.cell = source.id;
    this.element.dataset.kind = source.kind;
    this.prose = source.kind === "markdown" ? new Prose(source.code, source.notebook?.attachments, () => host.act(this, "edit")) : null;
    if (this.prose) {
      box.prepend(this.prose.element);
      this.element.addEventListener("focusout", (event) => {
        if (!this.element.contains(event.relatedTarget as Node | null) && document.hasFocus()) this.render();
      });
      this.element.dataset.editing = source.code.trim() === "" ? "" : "no";
    }
    this.element.addEventListener("pointerdown", () => { this.begun = true; host.select(this); });
    // Whoever left the text by Escape gets past it with Tab, until the cell is left.
    this.element.addEventListener("focus", () => this.editor.setTabStop(false));
    this.element.addEventListener("focusout", (event) => {
      if (!this.element.contains(event.relatedTarget as Node | null)) this.editor.setTabStop(true);
    });
    this.draw();
  }

  get source(): CellSource {
    const run = this.next?.run ?? this.run;
    return {
      id: this.id, kind: this.kind, code: this.editor.code, ...(this.language !== undefined && { language: this.language }),
      ...(run !== undefined && { run }), ...(this.draft !== undefined && { draft: this.draft }),
      ...(this.shared !== undefined && { shared: this.shared }), ...(this.unsent && { unsent: true }), ...(this.foreign && { foreign: true }),
      ...(this.collapsed && { collapsed: true }), ...(this.#notebook && { notebook: this.#notebook }),
    };
  }

  /** The interpreter that executes it; `undefined`: the session's first. */
  get interpreter(): string | undefined { return interpreterFor(this.language, this.#host.languages()); }

  get #textLanguage(): string {
    if (this.kind !== "code") return this.kind === "markdown" ? "markdown" : "text";
    return languageOf(this.language, this.#host.languages());
  }

  /** Gives its code another language. What it shows stays, and is said to be of what ran. */
  setLanguage(language: string | undefined): void {
    this.language = language;
    this.languagesChanged();
  }

  /** Its language, or what the session offers, has changed. */
  languagesChanged(): void {
    this.editor.setLanguage(this.#textLanguage);
    this.draw();
  }

  /** Whether it is in another language than the code that it shows the output of. */
  get #otherLanguage(): boolean {
    const offered = this.#host.languages();
    return this.ranCode !== undefined && interpreterFor(this.#ranIn, offered) !== interpreterFor(this.language, offered);
  }

  /** Whether it has code that could run. */
  get runnable(): boolean { return this.kind === "code" && this.editor.code.trim() !== ""; }

  /** What it shows, to be shown again another day; nothing if it has not ended. `own`: its run was sent from here. */
  keep(own: boolean): KeptRun | undefined {
    const { phase } = this;
    if (phase.phase === "kept") return phase.run;
    if (phase.phase !== "ended" || phase.status === "cancelled" || this.ranCode === undefined) return this.#kept;
    const { outputs, execution_count: count } = this.shown();
    return {
      outputs: outputs as KeptRun["outputs"], count, code: this.ranCode, at: phase.at, status: phase.status, text: phase.text, ms: phase.ms, own,
      ...(this.above !== undefined && { above: this.above }), ...(this.#ranIn !== undefined && { language: this.#ranIn }),
    };
  }

  /** What it shows, in the form of a notebook. */
  shown(): CellOutputs {
    if (this.phase.phase === "kept") return { execution_count: this.phase.run.count, outputs: this.phase.run.outputs };
    const count = this.count ?? null;
    const outputs = this.output.notebook().map((output) => ("execution_count" in output ? { ...output, execution_count: count } : output));
    return { execution_count: count, outputs };
  }

  /** Shows again what was kept, unless the cell has run since. */
  showKept(): void {
    const kept = this.#kept;
    if (!kept || this.phase.phase !== "fresh") return;
    this.#kept = undefined;
    this.ranCode = kept.code;
    // What comes from a file is in the language that the file gives the cell.
    this.#ranIn = kept.at === null ? this.language : kept.language;
    this.above = kept.above;
    this.author = "";
    const run = `kept-${this.id}.${newId()}`;
    if (kept.own) this.#host.allowScripts(run);
    this.output.restore(run, kept.outputs, kept.cut ?? false);
    this.#become({ phase: "kept", run: kept });
  }

  /** What of it decides about the outputs below it. */
  get step(): Step {
    const { phase } = this;
    const ran = phase.phase === "kept" || (phase.phase === "ended" && phase.status !== "cancelled");
    const code = this.kind === "code" ? this.editor.code : "";
    // While the text stays, the editor answers with the same string: comparing it costs nothing.
    if (this.#hashed.code !== code) this.#hashed = { code, hash: textHash(code) };
    return {
      code, hash: this.#hashed.hash, interpreter: this.interpreter, ran, ranCode: this.ranCode, otherLanguage: this.#otherLanguage,
      order: this.order, changed: this.changed, above: this.above,
    };
  }

  /** What stood above a run of before the page was loaded, where that was kept. */
  keptAbove(run: string): number | undefined { return run === this.#keptAbove.run ? this.#keptAbove.above : undefined; }

  get stale(): Staleness { return this.#stale; }

  setStale(stale: Staleness): void {
    if (stale === this.#stale) return;
    this.#stale = stale;
    this.#drawFoot();
  }

  setCollapsed(collapsed: boolean): void {
    this.collapsed = collapsed;
    this.draw();
  }

  /** Shows a Markdown cell's text to be edited. */
  edit(): void {
    if (this.prose) this.element.dataset.editing = "";
    this.editor.focus();
  }

  /** Shows a Markdown cell rendered; an empty one stays open. */
  render(): void {
    if (!this.prose) return;
    this.prose.show(this.editor.code);
    this.element.dataset.editing = this.editor.code.trim() === "" ? "" : "no";
  }

  /** Whether a run of it waits or runs. */
  get busy(): boolean { return this.active || this.next !== null; }

  /** Whether the run that it shows waits or runs. */
  get active(): boolean {
    return this.phase.phase === "sent" || this.phase.phase === "waiting" || this.phase.phase === "running";
  }

  /** The code of its newest run that waits or runs, as far as it is known. */
  get sentCode(): string | undefined { return this.next ? this.next.code : this.active ? this.ranCode : undefined; }

  get planned(): boolean { return this.#planned; }

  setPlanned(planned: boolean): void {
    if (planned === this.#planned) return;
    this.#planned = planned;
    this.draw();
  }

  /** Whether the text is not the code that the output is of. */
  get edited(): boolean {
    const { phase } = this;
    const ran = phase.phase === "running" || phase.phase === "kept" || (phase.phase === "ended" && phase.status !== "cancelled");
    const { code } = this.editor;
    // Of a new code that waits already it is said that it waits.
    return ran && this.ranCode !== undefined && (this.ranCode !== code || this.#otherLanguage) && this.next?.code !== code;
  }

  /** Whether the text is newer than a run that is replayed: the document knows that run, or one after it. */
  isNewerThan(run: string): boolean {
    const known = this.#known;
    if (run === known) this.#known = undefined;
    return known !== undefined;
  }

  /** Shows the code that somebody else ran. What was being written in its place is kept aside. */
  showCode(code: string): void {
    const { code: before } = this.editor;
    if (before === code) return;
    const written = before.trim() !== "" && before !== this.ranCode;
    if (written) this.draft = before;
    this.editor.setCode(code);
    if (written) this.draw();
  }

  /** The draft is the text again. */
  restoreDraft(): void {
    const { draft } = this;
    if (draft === undefined) return;
    this.draft = undefined;
    this.editor.setCode(draft);
    this.draw();
  }

  /** Nobody wants the draft back. */
  discardDraft(): void {
    this.draft = undefined;
    this.draw();
  }

  /** The text has changed. */
  textChanged(): void {
    if (this.edited !== this.#drawnEdited) this.draw();
  }

  /** Its place in the list, counted from one. */
  get number(): number { return this.#number; }

  setNumber(number: number): void {
    if (number === this.#number) return;
    this.#number = number;
    this.element.setAttribute("aria-label", `Cell ${number}`);
    this.editor.setLabel(`${LABELS[this.kind]} of cell ${number}`);
    this.draw();
  }

  setSelected(selected: boolean): void {
    this.element.classList.toggle("selected", selected);
    // One stop for Tab in the whole list.
    this.element.tabIndex = selected ? 0 : -1;
  }

  /** A run begins: what the last one left is gone. Of somebody else's the code comes when it starts. */
  begin(run: string, code?: string): void {
    this.run = run;
    this.#ranIn = this.language;
    if (this.next?.run === run) this.next = null;
    if (code !== undefined) this.ranCode = code;
    this.#keepRoom();
    this.output.clear();
    this.#kept = undefined;
    this.above = undefined;
    this.editor.mark(null);
    this.count = undefined;
    this.#by = null;
    this.#become({ phase: "sent" });
  }

  /** What a refusal says, in the place of an ending. */
  refuse(text: string): void {
    this.#become({ phase: "ended", status: "cancelled", ms: 0, text, detail: "", at: Date.now() });
  }

  /** Nothing is known of a run any more. */
  forget(text = ""): void {
    this.next = null;
    if (!this.active) return this.draw();
    this.#become(text ? { phase: "ended", status: "lost", ms: 0, text, detail: "", at: Date.now() } : { phase: "fresh" });
  }

  take(event: SessionEvent): void {
    switch (event.type) {
      case "queued":
        this.author = event.by;
        this.#by = this.#host.runBy(event.by);
        this.#become({ phase: "waiting", position: event.position });
        break;
      case "started":
        this.#kept = undefined;
        this.ranCode = event.code;
        this.count = event.execution_count;
        this.author = event.by;
        this.#by = this.#host.runBy(event.by);
        this.#become({ phase: "running", since: event.ts });
        break;
      case "error": {
        const where = culprit(event.frames);
        if (where && where.cell === this.run && this.ranCode === this.editor.code) this.editor.mark(where.line);
        break;
      }
      case "done":
        this.#ended(event);
        break;
    }
    this.output.take(event);
    if (event.type === "input_request") this.draw();
  }

  /** A run of it waits while an earlier one runs; `null`: none does any more. */
  setNext(next: Next | null): void {
    this.next = next;
    this.draw();
  }

  /** Takes the output away. */
  clear(): void {
    this.#kept = this.ranCode = undefined;
    this.output.clear();
    this.editor.mark(null);
    this.#become({ phase: "fresh" });
  }

  /** The interpreter is a new one: what it shows is of an earlier one, whose count says nothing any more. */
  outlived(): void {
    this.count = this.order = this.changed = undefined;
    this.draw();
  }

  /** A cell ahead of this one ended. */
  advance(): void {
    if (this.next && this.next.position > 0) this.setNext({ ...this.next, position: this.next.position - 1 });
    if (this.phase.phase === "waiting" && this.phase.position > 0) {
      this.#become({ phase: "waiting", position: this.phase.position - 1 });
    }
  }

  draw(): void {
    const { phase } = this;
    const label = phase.phase === "running" ? "*" : this.count ?? "";
    const stop = this.busy || this.#planned;
    if (stop !== this.#stops.shown) this.#stops = { ...this.#stops, shown: stop, [stop ? "since" : "until"]: performance.now() };
    const canRun = this.#host.canRun();
    render(this.kind !== "code" ? nothing : html`
      <button type="button" class="go" ?disabled=${!canRun}
        aria-label=${stop ? `Stop cell ${this.#number}` : `Run cell ${this.#number}`}
        title=${stop ? "Stop (I I)" : "Run (Ctrl+Enter)"}
        @click=${(event: MouseEvent) => this.#go(event)}>${icon(stop ? "stop" : "run")}</button>
      <span class="count" aria-hidden="true">${label}</span>`, this.#side);
    this.element.dataset.phase = phase.phase === "ended" ? phase.status : phase.phase;
    this.element.dataset.collapsed = this.collapsed && !this.output.empty ? "" : "no";
    this.#drawFoot();
    const languages = this.kind === "code" ? choices(this.language, this.#host.languages()) : [];
    render(html`${languages.length === 0 ? nothing : html`
      <select class="language" aria-label=${`Language of cell ${this.#number}`} title="Language" ?disabled=${!this.#host.canEdit()}
        @change=${(event: Event) => this.#host.changeLanguage(this, (event.target as HTMLSelectElement).value)}>${languages.map((name) => html`
        <option value=${name} .selected=${name === this.#textLanguage}>${languageTitle(name)}</option>`)}</select>`}
      <button type="button" class="bare" aria-haspopup="menu" aria-label=${`Actions for cell ${this.#number}`} title="Actions for this cell"
        @click=${(event: Event) => this.#host.menu(this, event.currentTarget as HTMLElement)}>${icon("more")}</button>`, this.#tools);
  }

  /** Runs the cell or stops it. Whoever clicks just as a long run ends meant to stop it, and not to run it again. */
  #go(event: MouseEvent): void {
    const { shown, since, until } = this.#stops;
    const clicked = event.detail > 0; // 0: by a key
    if (!shown && clicked && until - since > LONG_MS && performance.now() - until < MISSED_MS) return;
    this.#host.act(this, shown ? "stop" : "run");
  }

  /** The line under the code; called every second while the cell runs. */
  #drawFoot(): void {
    const { phase } = this;
    const by = this.#by ? html`<span class="by">${this.#by}</span>` : nothing;
    const text =
      this.#planned ? "Queued"
      : phase.phase === "sent" ? "Sending …"
      : phase.phase === "waiting" ? (phase.position === 0 ? "Next in the queue" : `Queued behind ${phase.position}`)
      : phase.phase === "running" ? (this.output.asking ? "Waiting for input" : `Running · ${elapsed(Date.now() - phase.since)}`)
      : phase.phase === "ended" ? phase.text
      : phase.phase === "kept" ? keptWords(phase.run) : "";
    const time = phase.phase === "ended" && phase.status !== "cancelled" && phase.status !== "lost" ? html`<span class="time">${duration(phase.ms)}</span>` : nothing;
    const passing = this.busy || this.#planned;
    const { draft, edited, next } = this;
    this.#drawnEdited = edited;
    this.#foot.classList.toggle("passing", passing);
    this.#foot.classList.toggle("tag", draft === undefined && (passing || text === "") && !this.collapsed);
    const again = next === null ? "" : next.position === 0 ? "New code next in the queue" : `New code queued behind ${next.position}`;
    const act = (action: CellAction) => () => this.#host.act(this, action);
    render(html`${by}<span class="how" title=${phase.phase === "ended" ? phase.detail : ""}>${text}</span>
      ${again ? html`<span>${again}</span>` : nothing}${edited ? html`<span class="edited">Edited since it ran</span>`
        : this.#stale === "above" && !passing ? html`<span class="edited">Ran before something above it changed</span>` : nothing}${time}
      ${this.collapsed && !this.output.empty ? html`<button type="button" class="link" @click=${() => this.#host.act(this, "collapse")}>Show the output</button>` : nothing}
      ${draft === undefined ? nothing : html`<span class="draft">This is the code that ran. What you were writing is kept.
        <button type="button" class="link" @click=${act("restore")}>Bring my text back</button>
        <button type="button" class="link" @click=${act("discard")}>Discard it</button></span>`}`, this.#foot);
  }

  #ended(done: Done): void {
    this.count = done.execution_count ?? this.count;
    const text = ending(done, this.#host.memoryLimit());
    this.#become({ phase: "ended", status: done.status, ms: done.duration_ms, text, detail: done.detail ?? "", at: done.ts });
  }

  /** Keeps the room of the output for a moment, so that what is below does not jump up and back. */
  #keepRoom(): void {
    const { element } = this.output;
    const { offsetHeight } = element;
    if (offsetHeight === 0) return;
    element.style.minHeight = `${offsetHeight}px`;
    element.classList.add("held");
    clearTimeout(this.#room);
    this.#room = setTimeout(() => this.#giveRoom(), ROOM_MS);
  }

  #giveRoom(): void {
    this.output.element.style.minHeight = "";
    this.output.element.classList.remove("held");
  }

  #become(phase: Phase): void {
    this.phase = phase;
    // The last output is drawn with the next frame.
    if (phase.phase === "ended") requestAnimationFrame(() => requestAnimationFrame(() => { if (!this.busy) this.#giveRoom(); }));
    this.draw();
  }
}

/** Since when a kept output is what it is. */
function keptWords({ at, text }: KeptRun): string {
  const as = at === null ? "Shown as it was in the file." : `Shown as of ${moment(at)}.`;
  return text ? `${text} ${as}` : as;
}
